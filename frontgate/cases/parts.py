"""The lists that belong to one case: persons, terms, acts, alarms, flows, ties.

Offers: `CaseParts`, the part of `Cases` that reads them. Guarantees: a call gives at most `MOST` rows, in
an order that does not depend on the call, and goes on after `first` of them; `part_size` tells how many
there are, so that whoever shows a list can say what it leaves off.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from frontgate.cases.counting import DEADLINE
from frontgate.cases.records import PERSON, Act, Alarm, Deadline, Instance, Link, Person
from frontgate.cases.records import deadline as to_deadline
from frontgate.cases.records import person as to_person
from frontgate.journal import Reader

MOST = 500
"""The longest list that one call gives."""
PARTS = ("persons", "instances", "deadlines", "acts", "links", "alarms")
"""As `Timeline` calls them."""

_LINKS = """(
 SELECT other_uid AS other, CASE WHEN kind = 'persons-moved' AND substr(person_uid, 1, length(other_uid))
   = other_uid THEN ?3 ELSE kind END AS kind, person_uid, at
 FROM (SELECT other_uid, kind, person_uid, at FROM link WHERE case_uid = ?1
  UNION ALL SELECT case_uid, kind, person_uid, at FROM link WHERE other_uid = ?1)
 WHERE ?2 = '' OR EXISTS (SELECT 1 FROM party p WHERE p.case_uid = other_uid AND p.unit = ?2))"""


class CaseParts:
    """Queries for the lists of one case over one read-only connection."""

    def __init__(self, reader: Reader, ties: Sequence[tuple[str, str]]) -> None:
        self._reader = reader
        self._ties = ties

    def _count(self, table: str, condition: str, *values: str) -> int:
        row = self._reader.one(f"SELECT count(*) FROM {table} WHERE {condition}", *values)  # noqa: S608 (fixed texts)
        return int(row[0]) if row is not None else 0

    def part(
        self,
        name: str,
        case_uid: str,
        *,
        person: str = "",
        unit: str = "",
        first: int = 0,
        limit: int = MOST,
    ) -> list[Any]:
        """One of `PARTS`, without the `first` ones. person: persons and terms of theirs alone. unit: ties
        to cases that it is a party of alone. Raises: KeyError for another name."""
        match name:
            case "persons":
                return self.persons(case_uid, person=person, first=first, limit=limit)
            case "instances":
                return self.instances(case_uid, first=first, limit=limit)
            case "deadlines":
                return self.deadlines_of(case_uid, person=person, first=first, limit=limit)
            case "acts":
                return self.acts(case_uid=case_uid, first=first, limit=limit)
            case "links":
                return self.links(case_uid, unit=unit, first=first, limit=limit)
            case "alarms":
                return self.alarms(case_uid=case_uid, first=first, limit=limit)
        raise KeyError(name)

    def part_size(self, name: str, case_uid: str, *, person: str = "", unit: str = "") -> int:
        """How many rows `part` has in all. Raises: KeyError for another name."""
        if name == "links":
            row = self._reader.one(
                f"SELECT count(*) FROM (SELECT DISTINCT other, kind FROM {_LINKS})",  # noqa: S608
                case_uid, unit, self._moved(case_uid),
            )  # fmt: skip
            return int(row[0]) if row is not None else 0
        table, column = {
            "persons": ("person", "person_uid"),
            "instances": ("instance", ""),
            "deadlines": ("deadline", "subject"),
            "acts": ("act", ""),
            "alarms": ("alarm", ""),
        }[name]
        if not column:
            return self._count(table, "case_uid = ?", case_uid)
        return self._count(table, f"case_uid = ? AND (? = '' OR {column} = ?)", case_uid, person, person)  # fmt: skip

    def persons(
        self, case_uid: str, *, person: str = "", first: int = 0, limit: int = MOST
    ) -> list[Person]:
        rows = self._reader.all(
            f"SELECT {PERSON} FROM person WHERE case_uid = ? AND (? = '' OR person_uid = ?)"  # noqa: S608
            " ORDER BY person_uid LIMIT ? OFFSET ?",
            case_uid, person, person, min(limit, MOST), first,
        )  # fmt: skip
        return [to_person(r) for r in rows]

    def named(self, case_uid: str, persons: Sequence[str]) -> list[Person]:
        """Those persons of a case, whatever list they stand in."""
        rows = self._reader.all(
            f"SELECT {PERSON} FROM person WHERE case_uid = ?"  # noqa: S608
            " AND person_uid IN (SELECT value FROM json_each(?)) ORDER BY person_uid",
            case_uid, json.dumps(list(persons)),
        )  # fmt: skip
        return [to_person(r) for r in rows]

    def instances(self, case_uid: str, *, first: int = 0, limit: int = MOST) -> list[Instance]:
        rows = self._reader.all(
            "SELECT flow, flow_uid, opener, receiver, opened_at, last_step, last_at, returns, is_closed"
            " FROM instance WHERE case_uid = ? ORDER BY opened_at, opened_message LIMIT ? OFFSET ?",
            case_uid, min(limit, MOST), first,
        )  # fmt: skip
        latest = self._reader.all(
            "SELECT flow, max(opened_at) FROM instance WHERE case_uid = ? GROUP BY flow", case_uid
        )
        flows = [(str(r[0]), str(r[1])) for r in latest]
        return [_instance(r, self._ties, flows) for r in rows]

    def links(
        self, case_uid: str, *, unit: str = "", first: int = 0, limit: int = MOST
    ) -> list[Link]:
        """Cases that belong together, seen from either. Persons of another case handled here: a merge
        where the case has persons of its own, else a split. unit: those that it is a party of alone."""
        rows = self._reader.all(
            "SELECT other, kind, json_group_array(DISTINCT person_uid), min(at)"  # noqa: S608
            f" FROM {_LINKS} GROUP BY other, kind ORDER BY 4, other, kind LIMIT ?4 OFFSET ?5",
            case_uid, unit, self._moved(case_uid), min(limit, MOST), first,
        )  # fmt: skip
        return [
            Link(str(o), str(k), sorted(p for p in json.loads(ps) if p), str(at))
            for o, k, ps, at in rows
        ]

    def _moved(self, case_uid: str) -> str:
        own = self._reader.one("SELECT 1 FROM person WHERE case_uid = ? LIMIT 1", case_uid)
        return "merge" if own is not None else "split"

    def deadlines_of(
        self, case_uid: str, *, person: str = "", first: int = 0, limit: int = MOST
    ) -> list[Deadline]:
        rows = self._reader.all(
            f"SELECT {DEADLINE} FROM deadline WHERE case_uid = ? AND (? = '' OR subject = ?)"  # noqa: S608
            " ORDER BY start_at, id LIMIT ? OFFSET ?",
            case_uid, person, person, min(limit, MOST), first,
        )  # fmt: skip
        return [to_deadline(r) for r in rows]

    def acts(
        self,
        *,
        item: str = "",
        case_uid: str = "",
        kind: str = "",
        first: int = 0,
        limit: int = MOST,
    ) -> list[Act]:
        """What was done about a term (item) or a case, in order of time. kind: acts of that alone."""
        rows = self._reader.all(
            "SELECT seq, at, act, item, case_uid, unit, actor, code, text FROM act"
            " WHERE ((? <> '' AND item = ?) OR (? <> '' AND case_uid = ?)) AND (? = '' OR act = ?)"
            " ORDER BY seq LIMIT ? OFFSET ?",
            item, item, case_uid, case_uid, kind, kind, min(limit, MOST), first,
        )  # fmt: skip
        return [Act(*r) for r in rows]

    def alarms(
        self, *, case_uid: str = "", after: str = "", first: int = 0, limit: int = MOST
    ) -> list[Alarm]:
        """What a person must look at, in order of time, after a time and without the `first` ones."""
        # One case by its key: else a page of it would cost as much as the province has alarms.
        chosen, values = ("case_uid = ? AND", (case_uid,)) if case_uid else ("", ())
        rows = self._reader.all(
            f"SELECT case_uid, kind, unit, message, at, detail FROM alarm WHERE {chosen}"  # noqa: S608 (fixed texts)
            " at > ? ORDER BY at, case_uid, kind, unit, message LIMIT ? OFFSET ?",
            *values, after, min(limit, MOST), first,
        )  # fmt: skip
        return [Alarm(*r) for r in rows]


def _instance(
    r: tuple[Any, ...], ties: Sequence[tuple[str, str]], flows: Sequence[tuple[str, str]]
) -> Instance:
    """goes_on: the flows of the case that a tie names and that began no earlier."""
    goes_on = {b for a, b in ties if a == r[0] and any(f == b and t >= r[4] for f, t in flows)}
    values: tuple[Any, ...] = (*r[:8], bool(r[8]), sorted(goes_on))
    return Instance(*values)
