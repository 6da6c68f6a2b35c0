"""Supervision: questions the law asks, each a file in `standards/<version>/supervision/`.

Offers: `Questions` (`all`, `count`, `rows`). Guarantees: a question is data (SQL that reads one
projection file, names, columns, articles), checked when read; lists are bounded and pages are by number;
with `unit` only cases that the unit is a party of are told.
Fails: `CaseError` FG-CAS-007 (unknown), FG-CAS-008 (unusable file).

In the SQL the table `at` has one row: `now` (stored time), `today` and `in_7_days` (legal days),
`day_before` (stored time 24 hours ago). Every question has a column `case_uid`.
"""

from __future__ import annotations

import difflib
import tomllib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from frontgate.cases.times import legal_day, stored
from frontgate.errors import CaseError
from frontgate.journal import Reader
from frontgate.standard import Catalogue
from frontgate.values import Struct

_AT = "WITH at(now, today, in_7_days, day_before) AS (VALUES (?, ?, ?, ?)), q AS ({sql})"
# As a list, not as `EXISTS`: the planner may then begin with the unit's own cases.
_PARTY = " WHERE case_uid IN (SELECT x.case_uid FROM party x WHERE x.unit = ?)"


class Column(Struct, frozen=True):
    name: str
    zh: str
    en: str


class Question(Struct, frozen=True):
    """One saved question. basis: articles. note: what exactly is listed."""

    name: str
    order: int
    zh: str
    en: str
    note_zh: str
    note_en: str
    basis: tuple[str, ...]
    columns: tuple[Column, ...]
    sql: str


class Questions:
    """The questions of one version of the standard, asked over one connection."""

    def __init__(self, catalogue: Catalogue, reader: Reader) -> None:
        self._reader = reader
        found = [_read(p) for p in sorted((catalogue.folder / "supervision").glob("*.toml"))]
        self.all: tuple[Question, ...] = tuple(sorted(found, key=lambda q: (q.order, q.name)))

    def question(self, name: str) -> Question:
        """Raises: CaseError FG-CAS-007."""
        for question in self.all:
            if question.name == name:
                return question
        near = difflib.get_close_matches(name, [q.name for q in self.all], n=3, cutoff=0.3)
        raise CaseError("FG-CAS-007", value=name[:80], near=", ".join(near) or "-")

    def count(self, name: str, now: datetime, *, unit: str = "", most: int = -1) -> int:
        """How many rows the question has now. most: counting ends there; -1: never."""
        sql = (
            f"{_at(self.question(name))} SELECT count(*) FROM"  # noqa: S608 (the question is data of the standard)
            f" (SELECT 1 FROM q{_PARTY if unit else ''} LIMIT ?)"
        )
        row = self._reader.one(sql, *_moments(now), *([unit] if unit else []), most)
        return int(row[0]) if row is not None else 0

    def rows(
        self, name: str, now: datetime, *, unit: str = "", offset: int = 0, limit: int = 100
    ) -> list[dict[str, Any]]:
        """The rows, in the question's own order."""
        question = self.question(name)
        names = [c.name for c in question.columns]
        party = _PARTY if unit else ""
        sql = f"{_at(question)} SELECT {', '.join(names)} FROM q{party} LIMIT ? OFFSET ?"  # noqa: S608 (as above)
        whose = [unit] if unit else []
        rows = self._reader.all(sql, *_moments(now), *whose, min(limit, 1000), offset)
        return [dict(zip(names, row, strict=True)) for row in rows]


def _at(question: Question) -> str:
    return _AT.format(sql=question.sql)


def _moments(now: datetime) -> tuple[str, str, str, str]:
    return (
        stored(now),
        legal_day(stored(now)),
        legal_day(stored(now + timedelta(days=7))),
        stored(now - timedelta(days=1)),
    )


def _read(path: Path) -> Question:
    try:
        t = tomllib.loads(path.read_text("utf-8"))
        columns = tuple(Column(c["name"], c["zh"], c["en"]) for c in t.pop("column"))
        question = Question(
            t.pop("name"), int(t.pop("order")), t.pop("zh"), t.pop("en"), t.pop("note_zh"),
            t.pop("note_en"), tuple(t.pop("basis")), columns, t.pop("sql").strip(),
        )  # fmt: skip
        if t or question.name != path.stem:
            raise ValueError(f"unknown key {next(iter(t), 'name')!r}")
        if not question.sql.upper().startswith("SELECT") or ";" in question.sql:
            raise ValueError("sql must be one SELECT")
        if "case_uid" not in {c.name for c in columns}:
            raise ValueError("no column case_uid")
        if not all(c.name.isidentifier() for c in columns):
            raise ValueError("a column's name is not a name")
    except (
        OSError,
        UnicodeDecodeError,
        tomllib.TOMLDecodeError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise CaseError("FG-CAS-008", file=path.name, reason=repr(error)[:300]) from None
    return question
