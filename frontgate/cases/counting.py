"""Timers as rows: counted anew where marks have changed, written only where they came out otherwise.

Offers: `Counting` (`touch`, `settle`, `forget`), `deadline_row`, and the readers `marks_of` and
`status_of`. On-time rates are summed by triggers of the table (`tally_term`), so whoever writes a
row need not know of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from frontgate.cases.rules import CaseRules, TermRule
from frontgate.cases.timers import Mark, Timed, timers
from frontgate.cases.times import stored
from frontgate.core.deadlines import Custody
from frontgate.journal import Reader
from frontgate.journal.files import File

Triple = tuple[str, str, str]
"""Term, scope, subject."""
DEADLINE = (
    "id, rule, part, case_uid, subject, flow, flow_uid, unit, start_message, start_at, start_known_at,"
    " due_at, safe_due_at, yellow_at, red_at, state, stop_message, stop_at, stop_known_at, changes,"
    " in_custody, is_custody, is_estimated, is_beyond, is_lapsing, paused_at, pause_reason"
)
"""Columns of a term, in the order of `deadline_row`."""


class Counting:
    """The terms of one projection file that wait to be counted anew."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._touched: dict[Triple, CaseRules] = {}

    def touch(self, triple: Triple, rules: CaseRules) -> None:
        """Something was marked, or a state of custody told, that these timers depend on."""
        self._touched[triple] = rules

    def settle(self) -> None:
        """Count anew whatever was touched since the last time."""
        for triple in sorted(self._touched):
            self._count(triple, self._touched[triple])
        self._touched.clear()

    def forget(self, scope: str) -> None:
        """All marks and timers of a case go; its messages are about to be folded again."""
        self._file.run("DELETE FROM mark WHERE scope = ?", scope)
        self._file.run("DELETE FROM deadline WHERE case_uid = ?", scope)
        self._touched = {t: r for t, r in self._touched.items() if t[1] != scope}

    def _count(self, triple: Triple, rules: CaseRules) -> None:
        rule = rules.terms.get(triple[0])
        fresh = {} if rule is None else self._rows(triple, rule, rules)
        for old in self._file.all(
            f"SELECT {DEADLINE} FROM deadline WHERE term = ? AND scope = ? AND subject = ?",  # noqa: S608
            *triple,
        ):
            if fresh.get(str(old[0])) == old:
                del fresh[str(old[0])]  # most marks change nothing: a row costs ten times a look
            else:
                self._file.run("DELETE FROM deadline WHERE id = ?", old[0])
        for row in fresh.values():
            self._file.run(
                f"INSERT INTO deadline ({DEADLINE}, term, scope) VALUES (?{',?' * (len(row) + 1)})",  # noqa: S608
                *row,
                *triple[:2],
            )

    def _rows(self, triple: Triple, rule: TermRule, rules: CaseRules) -> dict[str, tuple[Any, ...]]:
        depends = rule.term.custody is Custody.BY_PERSON or rule.term.only_status
        status = status_of(self._file, triple[2]) if depends else _unknown
        found = {}
        for timed in timers(rule, marks_of(self._file, triple), rules.catalogue.calendar, status):
            case = self._file.one("SELECT case_uid FROM message WHERE id = ?", timed.start.message)
            case_uid = str(case[0]) if case else ""
            row = deadline_row(triple, rule, timed, case_uid, rule.id in rules.lapsing)
            found[str(row[0])] = row
        return found


def deadline_row(
    triple: Triple, rule: TermRule, t: Timed, case_uid: str, lapses: bool
) -> tuple[Any, ...]:
    """A timer in the order of `DEADLINE`."""
    warn = sorted(rule.rule.warn, reverse=True)
    yellow = t.safe_due - (warn[0] if warn else timedelta(0))
    red = t.safe_due - (warn[-1] if warn else timedelta(0))
    flow, _, flow_uid = t.start.flow_uid.partition(" ")
    ident = "D" + hashlib.sha256(f"{triple}{t.start.message}".encode()).hexdigest()[:15]
    changes = json.dumps([[m.kind, m.at, m.known_at, m.message, m.due] for m in t.changes])
    return (
        ident, rule.rule.id, rule.term.part, case_uid, triple[2], flow, flow_uid, t.start.unit,
        t.start.message, t.start.at, t.start.known_at, stored(t.due), stored(t.safe_due), stored(yellow),
        stored(red), t.state, t.stop.message if t.stop else 0, t.stop.at if t.stop else "",
        t.stop.known_at if t.stop else "", changes, int(t.in_custody),
        int(rule.term.custody is Custody.CUSTODY), int(t.is_estimated), int(t.is_beyond), int(lapses),
        t.paused.at if t.paused else "", t.paused.reason if t.paused else "",
    )  # fmt: skip


def _unknown(_: datetime) -> str:
    return ""


def status_of(
    source: File | Reader, person_uid: str, known_by: str = "9"
) -> Callable[[datetime], str]:
    """The person's state of custody at a time, by what was known by then; empty where nothing was."""
    rows = source.all(
        "SELECT at, status FROM custody WHERE person_uid = ? AND known_at <= ? ORDER BY at, message",
        person_uid,
        known_by,
    )

    def status(at: datetime) -> str:
        then = stored(at)
        return next((str(s) for t, s in reversed(rows) if str(t) <= then), "")

    return status


def marks_of(source: File | Reader, triple: Triple) -> list[Mark]:
    rows = source.all(
        "SELECT message, kind, at, known_at, unit, flow_uid, due, said_at, reason FROM mark"
        " WHERE term = ? AND scope = ? AND subject = ? ORDER BY message, kind",
        *triple,
    )
    return [Mark(int(r[0]), *(str(v) for v in r[1:])) for r in rows]
