"""Reading cases: the query functions that command line, console and API share.

Offers: `Cases` over one read-only connection: `find`, `case`, `person`, `timeline`, `due`, `paused`,
`deadlines_of`, `alarms`, `absent`, `parties`, `may_view`. Guarantees: nothing is written; every list is bounded and
pages by key; what depends on the present moment takes `now`. Who may see what is judged by the caller,
in one place; `may_view` tells what the case itself knows of it.
Fails: `JournalError` FG-JRN-001 where the projections are not there yet.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from frontgate.cases.counting import DEADLINE
from frontgate.cases.parts import MOST, PARTS, CaseParts
from frontgate.cases.records import (
    CASE,
    NODE,
    PERSON,
    Case,
    Deadline,
    Document,
    Node,
    Outcome,
    Party,
    Person,
    Received,
    Timeline,
)
from frontgate.cases.records import case as to_case
from frontgate.cases.records import deadline as to_deadline
from frontgate.cases.records import person as to_person
from frontgate.cases.times import stored
from frontgate.journal import Reader
from frontgate.journal.files import open_reading

FEW = 2000


_NUMBERS = ("case_uid = ?", "police_no = ?", "procuratorate_no = ?", "court_no = ?")
_NAMED = "(name >= ? AND name < ? || char(1114111))"
_TEXT = "case_uid IN ({})".format(
    # Each by its own index and no further than it may be listed: a common name has very many cases.
    " UNION ALL ".join(
        f"SELECT * FROM (SELECT case_uid FROM {table} WHERE {condition} LIMIT {FEW})"  # noqa: S608 (fixed texts)
        for table, condition in (
            *(("casefile", c) for c in (*_NUMBERS, _NAMED)),
            ("person", "id_no = ?"),
            ("person", _NAMED),
        )
    )
)
"""What fits a text, among all cases."""
_TEXT_OF_ONE = (
    f"({' OR '.join((*_NUMBERS, _NAMED))} OR EXISTS (SELECT 1 FROM person p"  # noqa: S608 (fixed texts)
    " WHERE p.case_uid = casefile.case_uid AND (p.id_no = ? OR (p.name >= ? AND p.name < ? || char(1114111)))))"
)
"""The same among a unit's cases, which are few: none is left out for others of that name."""

_CONCERNS = (
    "(? = '' OR EXISTS (SELECT 1 FROM concerns c WHERE c.person_uid = ? AND c.message = m.id))"
)


class Cases(CaseParts):
    """Queries over one read-only connection; may be shared by threads."""

    def __init__(self, path: Path, ties: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(open_reading(path), ties)

    def close(self) -> None:
        self._reader.close()

    @property
    def reader(self) -> Reader:
        """For saved questions and statistics."""
        return self._reader

    def as_of(self) -> tuple[int, str]:
        """(sequence, time) of the last journal event that these rows know."""
        cursor = self._reader.meta("cursor") or "0 "
        return int(cursor.partition(" ")[0]), self._reader.meta("as_of") or ""

    # -- finding ----------------------------------------------------------------------------------

    def find(
        self,
        *,
        text: str = "",
        unit: str = "",
        stage: str = "",
        since: str = "",
        until: str = "",
        before: tuple[str, str] | None = None,
        limit: int = 50,
    ) -> list[Case]:
        """Cases, the newest first. text: CaseUid, a number of police, procuratorate or court, an
        identity number, or the beginning of a case's or person's name. unit: cases it is a party of.
        since, until: of the last message. before: (last_at, case_uid) of the last row of the page before.
        """
        where, values = ["1 = 1"], list[str]()
        is_small = bool(unit) and self._has_few(unit)
        if is_small:
            where.append("case_uid IN (SELECT case_uid FROM party WHERE unit = ?)")
            values.append(unit)
        elif unit:
            where.append(
                "EXISTS (SELECT 1 FROM party p WHERE p.case_uid = casefile.case_uid AND p.unit = ?)"
            )
            values.append(unit)
        if text:
            where.append(_TEXT_OF_ONE if is_small else _TEXT)
            values += [text] * (_TEXT_OF_ONE if is_small else _TEXT).count("?")
        for column, value, sign in (
            ("stage", stage, "="), ("last_at", since, ">="), ("last_at", until, "<")
        ):  # fmt: skip
            if value:
                where.append(f"{column} {sign} ?")
                values.append(value)
        if before is not None:
            where.append("(last_at, case_uid) < (?, ?)")
            values += list(before)
        rows = self._reader.all(
            f"SELECT {CASE} FROM casefile WHERE {' AND '.join(where)}"  # noqa: S608 (fixed texts)
            # Few are sorted; of many the newest are found by the index of the last message.
            + (
                " ORDER BY +last_at DESC, +case_uid DESC LIMIT ?"
                if text or is_small
                else " ORDER BY last_at DESC, case_uid DESC LIMIT ?"
            ),
            *values, min(limit, MOST),
        )  # fmt: skip
        return [to_case(r) for r in rows]

    def _has_few(self, unit: str) -> bool:
        """Whether a unit is a party of so few cases that they are better sorted than searched for."""
        row = self._reader.one(
            "SELECT count(*) FROM (SELECT 1 FROM party WHERE unit = ? LIMIT ?)", unit, FEW
        )
        return row is not None and int(row[0]) < FEW

    def case(self, case_uid: str) -> Case | None:
        rows = self._reader.all(f"SELECT {CASE} FROM casefile WHERE case_uid = ?", case_uid)  # noqa: S608
        return to_case(rows[0]) if rows else None

    def person(self, person_uid: str) -> Person | None:
        rows = self._reader.all(f"SELECT {PERSON} FROM person WHERE person_uid = ?", person_uid)  # noqa: S608
        return to_person(rows[0]) if rows else None

    def parties(self, case_uid: str) -> list[Party]:
        rows = self._reader.all(
            "SELECT unit, how, since FROM party WHERE case_uid = ? ORDER BY since, unit", case_uid
        )
        return [Party(str(r[0]), str(r[1]), str(r[2])) for r in rows]

    def may_view(self, case_uid: str, unit: str) -> bool:
        """Whether the unit is a party: it opened the case, was addressed or copied by one, has
        jurisdiction, or was confirmed."""
        return (
            self._reader.one("SELECT 1 FROM party WHERE case_uid = ? AND unit = ?", case_uid, unit)
            is not None
        )

    # -- the course -------------------------------------------------------------------------------

    def timeline(
        self,
        case_uid: str,
        *,
        person: str = "",
        unit: str = "",
        first: int = 0,
        limit: int = MOST,
    ) -> Timeline | None:
        """The course of a case; of one person where given. None for a case that is not known.

        first: so many messages are left out before those that are told, at least one is.
        """
        case = self.case(case_uid)
        if case is None:
            return None
        total = self._count(
            "message m", f"m.case_uid = ? AND {_CONCERNS}", case_uid, person, person
        )
        first = max(min(first, total - 1), 0)
        nodes = self.nodes(case_uid, person=person, first=first, limit=limit)
        lists = {n: self.part(n, case_uid, person=person, unit=unit) for n in PARTS}
        left_off = {
            n: more
            for n, rows in lists.items()
            if len(rows) == MOST
            and (more := self.part_size(n, case_uid, person=person, unit=unit) - MOST) > 0
        }
        return Timeline(
            case=case,
            parties=self.parties(case_uid),
            nodes=nodes,
            first=first,
            total=total,
            left_off=left_off,
            **lists,
        )

    def nodes(
        self, case_uid: str, *, person: str = "", first: int = 0, limit: int = MOST
    ) -> list[Node]:
        """Messages in order of their own time, without the `first` ones."""
        rows = self._reader.all(
            f"SELECT {NODE} FROM message m WHERE m.case_uid = ? AND {_CONCERNS}"  # noqa: S608
            " ORDER BY effective_at, id LIMIT ? OFFSET ?",
            case_uid, person, person, min(limit, MOST), first,
        )  # fmt: skip
        return [self._node(r) for r in rows]

    def message(self, message_id: str, sender: str = "", case_uid: str = "") -> list[Node]:
        """The first messages with this MessageId, twenty at most; several only where senders used the
        same. case_uid: of this case alone."""
        rows = self._reader.all(
            f"SELECT {NODE} FROM message WHERE message_id = ? AND (? = '' OR sender = ?)"  # noqa: S608
            " AND (? = '' OR case_uid = ?) ORDER BY id LIMIT 20",
            message_id, sender, sender, case_uid, case_uid,
        )  # fmt: skip
        return [self._node(r) for r in rows]

    def _node(self, r: tuple[Any, ...]) -> Node:
        ident = int(r[0])
        all_of = self._reader.all
        received = all_of(
            "SELECT unit, mode, delivered_at, delivered_known_at, handed_at, failed_at, failed_kind,"
            " delayed_at FROM recipient WHERE message = ? ORDER BY mode DESC, unit",
            ident,
        )
        documents = all_of(
            "SELECT doc_uid, type, title, carrier, digest, bytes FROM document WHERE message = ?"
            " ORDER BY position",
            ident,
        )
        outcomes = all_of(
            "SELECT person_uid, flow, step, field, list, code, doc_no, decided_on, decided_by, reason, at"
            " FROM outcome WHERE message = ? ORDER BY position",
            ident,
        )
        persons = all_of("SELECT person_uid FROM concerns WHERE message = ? ORDER BY 1", ident)
        values: tuple[Any, ...] = (
            *r[:14],
            bool(r[14]),
            bool(r[15]),
            json.loads(r[16]),
            [Received(*x) for x in received],
            [Document(*x) for x in documents],
            [Outcome(*x) for x in outcomes],
            [str(x[0]) for x in persons],
        )
        return Node(*values)

    # -- deadlines --------------------------------------------------------------------------------

    def deadline(self, ident: str) -> Deadline | None:
        rows = self._reader.all(f"SELECT {DEADLINE} FROM deadline WHERE id = ?", ident)  # noqa: S608
        return to_deadline(rows[0]) if rows else None

    def due(
        self,
        now: datetime,
        *,
        until: datetime | None = None,
        unit: str = "",
        overdue_only: bool = False,
        after: tuple[str, str] = ("", ""),
        limit: int = 100,
    ) -> list[Deadline]:
        """Open terms by their end, the earliest first; page with `after` (due_at, id). until: none that
        end later. What only lapses is not listed once it did, nor what was closed and confirmed."""
        last = stored(now) if overdue_only else stored(until) if until is not None else "9"
        chosen = "AND unit = ?" if unit else "AND ? = ''"
        rows = self._reader.all(
            f"SELECT {DEADLINE} FROM deadline WHERE state = 'open' AND due_at <= ?"  # noqa: S608
            f" AND (due_at, id) > (?, ?) {chosen} AND (is_lapsing = 0 OR due_at > ?) AND id NOT IN (SELECT item FROM act WHERE act = 'confirm')"
            " ORDER BY due_at, id LIMIT ?",
            last, *after, unit, stored(now),
            min(limit, MOST),
        )  # fmt: skip
        return [to_deadline(r) for r in rows]

    def paused(
        self, *, unit: str = "", after: tuple[str, str] = ("", ""), limit: int = 100
    ) -> list[Deadline]:
        """Terms that were paused and not resumed, the longest first; page with `after` (paused_at, id).
        They end at no time yet, so `due` does not know them. Not what was closed and confirmed."""
        rows = self._reader.all(
            f"SELECT {DEADLINE} FROM deadline WHERE state = 'paused' AND (paused_at, id) > (?, ?)"  # noqa: S608
            " AND (? = '' OR unit = ?) AND id NOT IN (SELECT item FROM act WHERE act = 'confirm')"
            " ORDER BY paused_at, id LIMIT ?",
            *after, unit, unit, min(limit, MOST),
        )  # fmt: skip
        return [to_deadline(r) for r in rows]

    def waiting(self, unit: str, *, limit: int = 100) -> list[tuple[str, str, str]]:
        """(MessageId, type, relayed at) of what was relayed to a unit and not delivered yet."""
        rows = self._reader.all(
            "SELECT m.message_id, m.type, m.relayed_at FROM recipient r JOIN message m ON m.id = r.message"
            " WHERE r.unit = ? AND r.delivered_at = '' AND r.failed_at = '' ORDER BY r.message LIMIT ?",
            unit, min(limit, MOST),
        )  # fmt: skip
        return [(str(a), str(b), str(c)) for a, b, c in rows]
