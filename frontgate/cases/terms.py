"""Terms: what messages mark about them, and the timers that follow from all marks together.

Offers: `Terms` (marks of a message or a receipt, recomputing what they touch), `timers` (pure: the
timers of one term and subject from their marks). Guarantees: the order in which things became known
plays no part, so a late message counts as if it had come in time; `known_by` asks for the view of
then. Extensions move a term only by a message, and at most to the longest limit of the law.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from lxml import etree

from frontgate.cases.folding import Message
from frontgate.cases.reading import Said, subjects_of
from frontgate.cases.rules import Alters, CaseRules, Ending, Opening, Plan, TermRule
from frontgate.cases.times import moment, stored
from frontgate.core.deadlines import (
    LEGAL_TIME,
    Calendar,
    Change,
    Custody,
    Happened,
    Limit,
    State,
    Unit,
    due,
    follow,
)
from frontgate.journal import Reader
from frontgate.journal.files import File
from frontgate.standard.tree import text_of

Triple = tuple[str, str, str]
"""Term, scope, subject."""
IN_CUSTODY = frozenset({"02", "03", "04", "05"})
"""Codes of `custody-status` under which a term never rolls: domain, deadlines.md 3."""
START, STOP = "start", "stop"


@dataclass(frozen=True, slots=True)
class Mark:
    """What one message said of one term and subject. at: empty while its delivery is waited for.

    unit: who must act (start). due: as an extension states it. said_at: the message's own time.
    """

    message: int
    kind: str
    at: str
    known_at: str
    unit: str
    flow_uid: str
    due: str
    said_at: str


@dataclass(frozen=True, slots=True)
class Timed:
    """One timer as it stands by its marks. state: open, paused, met, met-late or cancelled."""

    start: Mark
    due: datetime
    safe_due: datetime
    state: str
    stop: Mark | None
    changes: tuple[Mark, ...]
    in_custody: bool
    is_estimated: bool
    is_beyond: bool


def timers(
    rule: TermRule,
    marks: Sequence[Mark],
    calendar: Calendar,
    status_at: Callable[[datetime], str],
    *,
    known_by: str = "9",
) -> list[Timed]:
    """The timers of one term and subject. status_at: the person's state of custody then, as a code.

    known_by: only what the hub knew by then counts.
    """
    known = [m for m in marks if m.at and m.known_at <= known_by]
    starts = sorted((m for m in known if m.kind == START), key=lambda m: (m.at, m.message))
    others = sorted((m for m in known if m.kind != START), key=lambda m: (m.at, m.message))
    bounds = [*starts, None]
    return [
        _timer(rule, start, following, others, calendar, status_at)
        for start, following in pairwise(bounds)
        if start is not None and _runs_for(rule, start, status_at)
    ]


def _runs_for(rule: TermRule, start: Mark, status_at: Callable[[datetime], str]) -> bool:
    wanted = rule.term.only_status
    return not wanted or status_at(datetime.fromisoformat(start.known_at)) in wanted


def _timer(
    rule: TermRule,
    start: Mark,
    following: Mark | None,
    others: Sequence[Mark],
    calendar: Calendar,
    status_at: Callable[[datetime], str],
) -> Timed:
    begun = datetime.fromisoformat(start.at)
    term = rule.term
    own = [m for m in others if _concerns(rule, start, m)]
    stop = next((m for m in own if m.kind == STOP), None)
    if following is not None and (stop is None or _belongs_later(start, following, stop)):
        # The same term was opened once more: from there the later one counts.
        stop = replace(following, kind="cancel")
    changes = tuple(
        m for m in own if m.kind != STOP and (stop is None or m.at <= stop.at) and m.at >= start.at
    )
    in_custody = False
    for _ in range(2):
        happened, is_beyond = _events(rule, begun, changes, stop, calendar, in_custody)
        last = max((h.at for h in happened), default=begun)
        found = follow(
            begun, term.limit, happened, calendar,
            now=max(last, begun), custody=term.custody, in_custody=in_custody,
        )  # fmt: skip
        if (
            term.custody is not Custody.BY_PERSON
            or in_custody
            or status_at(found.due) not in IN_CUSTODY
        ):
            break
        in_custody = True
    state = {
        State.MET: "met",
        State.MET_LATE: "met-late",
        State.PAUSED: "paused",
        State.CANCELLED: "cancelled",
    }
    return Timed(
        start, found.due, found.safe_due, state.get(found.state, "open"),
        stop, changes, in_custody, found.is_estimated, is_beyond,
    )  # fmt: skip


def _belongs_later(start: Mark, following: Mark, stop: Mark) -> bool:
    """Whether a stop ends the later of two timers: it came after both, and not in the first's instance."""
    return stop.at > following.at and stop.flow_uid != start.flow_uid


def _concerns(rule: TermRule, start: Mark, m: Mark) -> bool:
    """Whether a mark speaks of the timer that `start` opened.

    A message of the same flow must be of the same instance. What counts is not when the term began to
    run but when it was said: an answer may be older than the late delivery of what it answers, and
    what ends a term that counts back from a day lies before that day.
    """
    same_flow = rule.term.start.message.partition(".")[0]
    if m.message == start.message:
        return m.kind != STOP or rule.term.stops_itself or bool(rule.term.start.event)
    if m.flow_uid.startswith(same_flow + " ") and start.flow_uid != m.flow_uid:
        return False
    return m.at >= min(start.at, start.said_at)


def _events(
    rule: TermRule,
    begun: datetime,
    changes: Iterable[Mark],
    stop: Mark | None,
    calendar: Calendar,
    in_custody: bool,
) -> tuple[list[Happened], bool]:
    happened: list[Happened] = []
    is_beyond = False
    for m in changes:
        change = Change(m.kind)
        limit = None
        if change is Change.EXTEND:
            limit, beyond = _extended(rule, begun, m.due, calendar, in_custody)
            is_beyond = is_beyond or beyond
        happened.append(Happened(change, datetime.fromisoformat(m.at), limit))
    if stop is not None:
        kind = Change.STOP if stop.kind == STOP else Change.CANCEL
        # What stops a term before it counts (a day in the future) ends it at its very beginning.
        happened.append(Happened(kind, max(datetime.fromisoformat(stop.at), _least(rule, begun))))
    return happened, is_beyond


def _least(rule: TermRule, begun: datetime) -> datetime:
    """A stop takes effect from the start on; before it where the term counts back."""
    return begun if rule.term.limit.value > 0 else datetime.min.replace(tzinfo=LEGAL_TIME)


def _extended(
    rule: TermRule, begun: datetime, stated: str, calendar: Calendar, in_custody: bool
) -> tuple[Limit | None, bool]:
    """The limit that an extension to the stated day means, and whether that day is beyond the law.

    With variants: the shortest that reaches the day, else the longest. Without: the days as stated.
    """
    until = moment(stated)
    variants = sorted(
        (v.limit for v in rule.term.variants),
        key=lambda v: due(begun, v, calendar, custody=rule.term.custody, in_custody=in_custody),
    )
    if until is None:
        return (variants[0] if variants else None), False
    if not variants:
        days = (until.astimezone(LEGAL_TIME).date() - begun.astimezone(LEGAL_TIME).date()).days
        return (Limit(days, Unit.DAY), False) if 0 < days < 3660 else (None, False)
    for limit in variants:
        if due(begun, limit, calendar, custody=rule.term.custody, in_custody=in_custody) >= until:
            return limit, False
    return variants[-1], True


class Terms:
    """Marks and timers in one projection file."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._touched: dict[Triple, CaseRules] = {}

    def mark(self, m: Message, said: Said, rules: CaseRules, plan: Plan) -> None:
        """Keep what an admitted message says of terms."""
        scope = m.case_uid or m.flow_uid
        for opening in plan.starts:
            self._start(m, said, rules, opening, scope)
        for ending in plan.stops:
            self._stop(m, said, rules, ending, scope)
        for alters in plan.alters:
            self._alter(m, said, rules, alters, scope)
        self._stated(m, said, rules, scope)
        for uid in m.persons:
            self._by_person(m, rules, scope, uid)

    # -- starts -----------------------------------------------------------------------------------

    def _start(
        self, m: Message, said: Said, rules: CaseRules, opening: Opening, scope: str
    ) -> None:
        rule = opening.term
        if not _valid(rule, m.effective_at):
            return
        subjects = self._subjects(m, said, opening.when, rule)
        if subjects is None:
            return
        unit = self._actor(m, rules, rule)
        if opening.field is not None:
            for subject, stated in self._field(m, said, opening.field, rule):
                if subject in subjects:
                    self._keep(
                        m, rules, rule, scope, subject, START, stored(stated), m.relayed_at, unit
                    )
            return
        at, known_at = m.effective_at, m.relayed_at
        if opening.at == "delivered":
            at, known_at = self._delivered(m, unit)
        for subject in subjects:
            self._keep(m, rules, rule, scope, subject, START, at, known_at, unit)

    def _subjects(
        self, m: Message, said: Said, when: etree.XPath | None, rule: TermRule
    ) -> list[str] | None:
        """Whose timer starts; None if none does. A condition on a part concerns whom that part names."""
        name = rule.subject
        everyone = {"": [""], "message": self._own(m, rule), "PersonUid": list(m.persons)}.get(
            name, list(said.items)
        )
        if when is None:
            return everyone
        found = when(said.root)
        if not isinstance(found, list):
            return everyone if found else None
        if not found:
            return None
        if name not in ("PersonUid", "PropertyUid"):
            return everyone
        named = dict.fromkeys(
            s for node in found if isinstance(node, etree._Element) for s in subjects_of(node, name)
        )
        return list(named) or everyone

    def _own(self, m: Message, rule: TermRule) -> list[str]:
        """The message that a message's own term is about: itself, or what it sent back."""
        if rule.term.start.event != "returned":
            return [str(m.id)]
        row = self._file.one(
            "SELECT id FROM message WHERE message_id = ? AND case_uid = ?",
            m.in_reply_to,
            m.case_uid,
        )
        return [str(row[0])] if row is not None else []

    @staticmethod
    def _field(
        m: Message, said: Said, path: etree.XPath, rule: TermRule
    ) -> list[tuple[str, datetime]]:
        """(subject, stated moment); the latest for a subject that several concern."""
        found = path(said.root)
        times: dict[str, datetime] = {}
        for node in found if isinstance(found, list) else ():
            if not isinstance(node, etree._Element):
                continue
            at = moment(text_of(node))
            if at is None:
                continue
            name = rule.subject
            named = (
                subjects_of(node, name) or list(m.persons)
                if name in ("PersonUid", "PropertyUid")
                else [str(m.id) if name == "message" else ""]
            )
            for subject in named:
                times[subject] = max(at, times.get(subject, at))
        return list(times.items())

    @staticmethod
    def _actor(m: Message, rules: CaseRules, rule: TermRule) -> str:
        """The unit that must act: a receiver of such a role, else the sender, else the first receiver."""
        wanted = set(rule.term.actor)
        if "any" not in wanted:
            sender_roles = rules.catalogue.roles_by_type(m.sender)
            if rule.term.start.at == "sent" and wanted & sender_roles:
                return m.sender
            for unit, mode in m.recipients:
                if mode == "to" and wanted & rules.catalogue.roles_by_type(unit):
                    return unit
            for unit, _ in m.recipients:
                if wanted & rules.catalogue.roles_by_type(unit):
                    return unit
            if wanted & sender_roles:
                return m.sender
        return m.receiver

    def _delivered(self, m: Message, unit: str) -> tuple[str, str]:
        row = self._file.one(
            "SELECT delivered_at, delivered_known_at FROM recipient WHERE message = ? AND unit = ?",
            m.id, unit if any(u == unit for u, _ in m.recipients) else m.receiver,
        )  # fmt: skip
        return (str(row[0]), str(row[1])) if row is not None else ("", "")

    def delivered(
        self, message: int, unit: str, receiver: str, at: str, known_at: str, rules: CaseRules
    ) -> None:
        """A receiver's gateway delivered: terms that run from receipt begin."""
        rows = self._file.all(
            "SELECT term, scope, subject FROM mark WHERE message = ? AND at = ''"
            " AND (unit = ? OR (? = ? AND unit NOT IN (SELECT unit FROM recipient WHERE message = ?)))",
            message, unit, unit, receiver, message,
        )  # fmt: skip
        for term, scope, subject in rows:
            self._file.run(
                "UPDATE mark SET at = ?, known_at = ? WHERE term = ? AND scope = ? AND subject = ?"
                " AND message = ? AND at = ''",
                at, known_at, term, scope, subject, message,
            )  # fmt: skip
            self._touched[str(term), str(scope), str(subject)] = rules

    # -- stops and changes ------------------------------------------------------------------------

    def _stop(self, m: Message, said: Said, rules: CaseRules, ending: Ending, scope: str) -> None:
        rule = ending.term
        if ending.field is not None:
            for subject, at in self._field(m, said, ending.field, rule):
                self._keep(m, rules, rule, scope, subject, STOP, stored(at), m.relayed_at)
            return
        for subject in self._stopped(m, said, ending, scope):
            self._keep(m, rules, rule, scope, subject, STOP, m.effective_at, m.relayed_at)

    def _stopped(self, m: Message, said: Said, ending: Ending, scope: str) -> list[str]:
        """Whose timers a message stops: those it names, else all of the case."""
        rule = ending.term
        if rule.subject == "":
            return [""]
        if rule.subject == "message":
            ident = m.replaces if ending.by == "replaces" else m.in_reply_to
            if not ident:
                return []
            row = self._file.one(
                "SELECT id FROM message WHERE message_id = ? AND case_uid = ?",
                ident,
                m.case_uid,
            )
            return [str(row[0])] if row is not None else []
        named = m.persons if rule.subject == "PersonUid" else said.items
        return list(named) or self._running(rule, scope)

    def _running(self, rule: TermRule, scope: str) -> list[str]:
        rows = self._file.all(
            "SELECT DISTINCT subject FROM mark WHERE term = ? AND scope = ? AND kind = 'start'"
            " ORDER BY subject",
            rule.id, scope,
        )  # fmt: skip
        return [str(r[0]) for r in rows]

    def _alter(self, m: Message, said: Said, rules: CaseRules, alters: Alters, scope: str) -> None:
        for rule in alters.terms:
            subjects = self._subjects(m, said, alters.when, rule)
            if subjects is None:
                continue
            dues = self._field(m, said, alters.due, rule) if alters.due is not None else []
            times = self._field(m, said, alters.field, rule) if alters.field is not None else []
            if (alters.due is not None and not dues) or (alters.field is not None and not times):
                continue
            until, at = dict(dues), dict(times)
            for subject in (
                list(dict.fromkeys((*until, *at))) or subjects or self._running(rule, scope)
            ):
                self._keep(
                    m, rules, rule, scope, subject, alters.change.value,
                    stored(at[subject]) if subject in at else m.effective_at, m.relayed_at,
                    due=stored(until[subject]) if subject in until else "",
                )  # fmt: skip

    def _stated(self, m: Message, said: Said, rules: CaseRules, scope: str) -> None:
        """`DeadlineInfo` of any message: the rule it names is changed as it says."""
        stated = {x.name: x.value for x in said.leaves if x.group == "DeadlineInfo"}
        codes = {"2": "extend", "3": "pause", "4": "resume", "5": "restart", "6": "stop"}
        change = stated.get("Change", "")
        change = codes.get(change, change)
        if change not in (*codes.values(),):
            return
        for rule in rules.of_rule(stated.get("RuleId", "")):
            named = [x.person for x in said.leaves if x.group == "DeadlineInfo" and x.person]
            subjects = list(dict.fromkeys(named)) if rule.subject == "PersonUid" else []
            for subject in subjects or self._running(rule, scope):
                due_at = moment(stated.get("DueAt", ""))
                self._keep(
                    m, rules, rule, scope, subject, change, m.effective_at, m.relayed_at,
                    due=stored(due_at) if due_at is not None else "",
                )  # fmt: skip

    def _by_person(self, m: Message, rules: CaseRules, scope: str, uid: str) -> None:
        """Where the message tells a state of custody, terms that depend on it are counted again."""
        if not self._file.one(
            "SELECT 1 FROM custody WHERE person_uid = ? AND at = ? AND message = ?",
            uid,
            m.effective_at,
            m.id,
        ):
            return
        for (term,) in self._file.all(
            "SELECT DISTINCT term FROM mark WHERE scope = ? AND subject = ? AND kind = 'start'",
            scope,
            uid,
        ):
            rule = rules.terms.get(str(term))
            if rule is not None and (
                rule.term.custody is Custody.BY_PERSON or rule.term.only_status
            ):
                self._touched[str(term), scope, uid] = rules

    def _keep(
        self, m: Message, rules: CaseRules, rule: TermRule, scope: str, subject: str, kind: str,
        at: str, known_at: str, unit: str = "", due: str = "",
    ) -> None:  # fmt: skip
        self._file.run(
            "INSERT OR IGNORE INTO mark VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            rule.id, scope, subject, m.id, kind, at, known_at, unit, f"{m.flow} {m.flow_uid}", due, m.effective_at,
        )  # fmt: skip
        if at:
            self._touched[rule.id, scope, subject] = rules

    # -- counting ---------------------------------------------------------------------------------

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
        self._file.run("DELETE FROM deadline WHERE term = ? AND scope = ? AND subject = ?", *triple)
        if rule is None:
            return
        depends = rule.term.custody is Custody.BY_PERSON or rule.term.only_status
        status = status_of(self._file, triple[2]) if depends else _unknown
        for timed in timers(rule, marks_of(self._file, triple), rules.catalogue.calendar, status):
            self._insert(triple, rule, timed, rule.id in rules.lapsing)

    def _insert(self, triple: Triple, rule: TermRule, t: Timed, lapses: bool) -> None:
        case = self._file.one("SELECT case_uid FROM message WHERE id = ?", t.start.message)
        row = deadline_row(triple, rule, t, str(case[0]) if case else "", lapses)
        self._file.run(
            "INSERT OR REPLACE INTO deadline (id, rule, part, case_uid, subject, flow, flow_uid, unit,"
            " start_message, start_at, start_known_at, due_at, safe_due_at, yellow_at, red_at, state,"
            " stop_message, stop_at, stop_known_at, changes, in_custody, is_custody, is_estimated,"
            " is_beyond, is_lapsing, term, scope)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            *row,
            *triple[:2],
        )


def deadline_row(
    triple: Triple, rule: TermRule, t: Timed, case_uid: str, lapses: bool
) -> tuple[Any, ...]:
    """A timer in the order of `read.DEADLINE`."""
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
    )  # fmt: skip


def _unknown(_: datetime) -> str:
    return ""


def _valid(rule: TermRule, at: str) -> bool:
    day = datetime.fromisoformat(at).astimezone(LEGAL_TIME).date()
    return rule.rule.valid_from <= day and (rule.rule.valid_to is None or day <= rule.rule.valid_to)


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
        "SELECT message, kind, at, known_at, unit, flow_uid, due, said_at FROM mark"
        " WHERE term = ? AND scope = ? AND subject = ? ORDER BY message, kind",
        *triple,
    )
    return [Mark(int(r[0]), *(str(v) for v in r[1:])) for r in rows]
