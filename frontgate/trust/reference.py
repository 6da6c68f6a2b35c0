"""The unit directory as a table for the case software: `reference/units.csv`."""

from __future__ import annotations

import csv
import io

from frontgate.model.unit import Directory


def units_csv(directory: Directory) -> bytes:
    """UTF-8 with BOM (spreadsheets need it), CRLF; a cell never begins a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(
        [
            "code",
            "name_zh",
            "name_en",
            "roles",
            "division",
            "external",
            "versions",
            "status",
            "successor",
        ]
    )
    for unit in sorted(directory.units.values(), key=lambda u: u.code):
        writer.writerow(
            [
                _safe(cell)
                for cell in (
                    unit.code,
                    unit.name_zh,
                    unit.name_en,
                    ";".join(unit.roles),
                    unit.division,
                    ";".join(f"{k}={v}" for k, v in sorted(unit.external.items())),
                    ";".join(unit.versions),
                    unit.status,
                    unit.successor,
                )
            ]
        )
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def _safe(cell: str) -> str:
    return "'" + cell if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
