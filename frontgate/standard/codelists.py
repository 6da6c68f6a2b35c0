"""Code lists: values with both languages and the time they are in force.

Offers: `CodeList`, read from one CSV file of the standard; `pattern_of`, codes as an expression of XSD.
Guarantees: a code is judged at a date, because codes retire but old records keep them; a code
is never removed from a list, it gets a `valid_to`.
Fails: `CatalogueError` FG-STD-003 for a file that is not a code list.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path

from frontgate.errors import CatalogueError
from frontgate.values import Struct

LOCAL_PREFIX = "L"
"""Codes that begin so are a province's own; receivers take unknown ones as 'other'."""


class Code(Struct, frozen=True):
    """One row. valid_from, valid_to: both days included; None where open."""

    code: str
    zh: str
    en: str
    valid_from: date | None = None
    valid_to: date | None = None
    parent: str = ""
    note: str = ""

    def is_valid(self, on: date) -> bool:
        """Whether the code is in force on that day."""
        return (self.valid_from is None or self.valid_from <= on) and (
            self.valid_to is None or on <= self.valid_to
        )


class CodeList(Struct, frozen=True):
    """A named list. codes: in the order of the file; a code may have several periods."""

    name: str
    codes: Mapping[str, tuple[Code, ...]]

    def has(self, code: str, on: date) -> bool:
        """Whether `code` is in the list and in force on that day."""
        rows = self.codes.get(code)
        return rows is not None and any(row.is_valid(on) for row in rows)

    def changes(self) -> Iterator[date]:
        """The days on which a code begins to be in force or has ceased to be."""
        for rows in self.codes.values():
            for row in rows:
                if row.valid_from is not None:
                    yield row.valid_from
                if row.valid_to is not None and row.valid_to < date.max:
                    yield row.valid_to + timedelta(days=1)

    def text(self, code: str, lang: str = "zh") -> str:
        """The name of `code` in `zh` or `en`; empty if the list does not hold it."""
        rows = self.codes.get(code)
        if not rows:
            return ""
        return rows[-1].zh if lang == "zh" else rows[-1].en

    def nearest(self, code: str, count: int = 3) -> tuple[str, ...]:
        """Codes that look like `code`; for a hint, so a bounded comparison is enough.

        Codes are built from the left (article, then number; division, then place): those that begin
        as it does, by at least half of it, come before those that look alike as a whole.
        """
        wanted = code[:64]
        shared = {c: _shared(wanted, c) for c in self.codes}
        most = max(shared.values(), default=0)
        near: list[str] = []
        if most >= max(2, (len(wanted) + 1) // 2):
            akin = [c for c, length in shared.items() if length == most]
            near = difflib.get_close_matches(wanted, akin, n=count, cutoff=0.0)
        likeness = 0.8 if near else 0.5
        near += difflib.get_close_matches(wanted, list(self.codes), n=count, cutoff=likeness)
        if not near and len(self.codes) <= 12:
            return tuple(self.codes)
        return tuple(dict.fromkeys(near))[:count]


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def read_codes(path: Path) -> CodeList:
    """Read `codes/<list>.csv`: code,zh,en,valid_from,valid_to,parent,note; UTF-8.

    Raises: CatalogueError FG-STD-003 for a missing column, an empty or repeated code, a bad date.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueError("FG-STD-003", file=path.name, reason=str(error)) from None
    rows: dict[str, tuple[Code, ...]] = {}
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = {"code", "zh", "en"} - set(reader.fieldnames or ())
    if missing:
        reason = f"column {', '.join(sorted(missing))} is missing"
        raise CatalogueError("FG-STD-003", file=path.name, reason=reason)
    for row in reader:
        line = reader.line_num
        try:
            code = Code(
                code=(row["code"] or "").strip(),
                zh=(row["zh"] or "").strip(),
                en=(row["en"] or "").strip(),
                valid_from=_day(row.get("valid_from")),
                valid_to=_day(row.get("valid_to")),
                parent=(row.get("parent") or "").strip(),
                note=(row.get("note") or "").strip(),
            )
        except ValueError as error:
            reason = f"line {line}: {error}"
            raise CatalogueError("FG-STD-003", file=path.name, reason=reason) from None
        if not code.code:
            raise CatalogueError("FG-STD-003", file=path.name, reason=f"line {line}: no code")
        rows[code.code] = (*rows.get(code.code, ()), code)
    return CodeList(path.stem, rows)


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text.strip()) if text and text.strip() else None


# -- codes as a regular expression -----------------------------------------------------------------

_PLAIN_CODE = re.compile(r"[A-Za-z0-9._-]{1,40}", re.ASCII)


class _Letters(dict[str, "_Letters"]):
    """A tree of codes by their letters; the empty letter marks that a code ends here."""


def pattern_of(codes: Iterable[str]) -> str:
    """A regular expression of XSD that fits just these codes; those of unusual characters are left out.

    Each position has one way to go on, so that matching never turns back: an enumeration is
    compared value by value. Empty if no code is left.
    """
    tree = _Letters()
    for code in codes:
        if _PLAIN_CODE.fullmatch(code):
            node = tree
            for letter in code:
                node = node.setdefault(letter, _Letters())
            node[""] = _Letters()
    return _expression(tree)


def _expression(node: _Letters) -> str:
    by_rest: dict[str, list[str]] = {}
    for letter, below in node.items():
        if letter:
            by_rest.setdefault(_expression(below), []).append(
                letter if letter.isalnum() else f"\\{letter}"
            )
    ways = [
        (letters[0] if len(letters) == 1 else f"[{''.join(letters)}]") + rest
        for rest, letters in by_rest.items()
    ]
    if not ways:
        return ""
    if "" in node:
        return f"({'|'.join(ways)})?"
    return ways[0] if len(ways) == 1 else f"({'|'.join(ways)})"
