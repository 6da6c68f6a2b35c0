"""Rows as CSV and XLSX for people's spreadsheets; no cell of theirs becomes a formula.

A text that a spreadsheet would take for a formula (`= + - @`, also of full width, tab, carriage return at its start) gets
an apostrophe before it in CSV; in XLSX texts are written as texts (OWASP, CSV injection).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")


def to_csv(rows: Sequence[dict[str, Any]]) -> bytes:
    """UTF-8 with BOM and CRLF, so that spreadsheets read Chinese rightly."""
    out = io.StringIO()
    if rows:
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(list(rows[0]))
        writer.writerows([[_safe(v) for v in row.values()] for row in rows])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def _safe(value: Any) -> Any:
    text = value if isinstance(value, str) else None
    return "'" + text if text is not None and text.startswith(_FORMULA) else value


def to_xlsx(sheets: Sequence[tuple[str, Sequence[dict[str, Any]]]]) -> bytes:
    """One workbook; (name, rows) a sheet."""
    import xlsxwriter  # a fifth of the start-up of the console, for a rare act

    out = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(out, options) as book:
        bold = book.add_format({"bold": True})
        for name, rows in sheets:
            sheet = book.add_worksheet(name[:31])
            for column, title in enumerate(rows[0] if rows else ()):
                sheet.write_string(0, column, title, bold)
            for number, row in enumerate(rows, 1):
                for column, value in enumerate(row.values()):
                    if isinstance(value, bool) or value is None:
                        sheet.write_string(number, column, "" if value is None else str(value))
                    elif isinstance(value, int | float):
                        sheet.write_number(number, column, value)
                    else:
                        sheet.write_string(number, column, str(value)[:32000])
            sheet.freeze_panes(1, 0)
    return out.getvalue()
