"""The timers of one term and subject, from all its marks together. Pure.

Offers: `timers`, `Mark`, `Timed`. Guarantees: the order in which things became known plays no part, so
a late message counts as if it had come in time; `known_by` asks for the view of then. Extensions move
a term only by a message, and at most to the longest limit of the law.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import pairwise

from frontgate.cases.rules import TermRule
from frontgate.cases.times import moment
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
from frontgate.values import Struct, replace

IN_CUSTODY = frozenset({"02", "03", "04", "05"})
"""Codes of `custody-status` under which a term never rolls: domain, deadlines.md 3."""
START, STOP, PAUSE = "start", "stop", "pause"


class Mark(Struct, frozen=True):
    """What one message said of one term and subject. at: empty while its delivery is waited for.

    unit: who must act (start). due: the last day as an extension or a start states it. said_at: the
    message's own time. reason: why a pause began, as `list:code`, or the number of a document.
    """

    message: int
    kind: str
    at: str
    known_at: str
    unit: str
    flow_uid: str
    due: str
    said_at: str
    reason: str = ""


class Timed(Struct, frozen=True):
    """One timer as it stands by its marks. state: open, paused, met, met-late or cancelled.

    paused: the pause that nothing has ended.
    """

    start: Mark
    due: datetime
    safe_due: datetime
    state: str
    stop: Mark | None
    changes: tuple[Mark, ...]
    in_custody: bool
    is_estimated: bool
    is_beyond: bool
    paused: Mark | None


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
    starts = sorted((m for m in known if m.kind == START), key=_opened)
    others = sorted((m for m in known if m.kind != START), key=lambda m: (m.at, m.message))
    bounds = [*starts, None]
    return [
        _timer(rule, start, following, others, calendar, status_at)
        for start, following in pairwise(bounds)
        if start is not None and _runs_for(rule, start, status_at)
    ]


def _opened(start: Mark) -> tuple[str, str, int]:
    """Which start came later: of stated days that which was stated last, for a term of sentence is cut."""
    return min(start.at, start.said_at), start.at, start.message


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
    limit, custody = term.limit, term.custody
    if (last := moment(start.due)) is not None:
        limit = Limit(_days(begun, last), Unit.DAY)
        custody = custody if custody is Custody.CUSTODY else Custody.NONE
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
        latest = max((h.at for h in happened), default=begun)
        found = follow(
            begun, limit, happened, calendar,
            now=max(latest, begun), custody=custody, in_custody=in_custody,
        )  # fmt: skip
        if custody is not Custody.BY_PERSON or in_custody or status_at(found.due) not in IN_CUSTODY:
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
        stop, changes, in_custody, found.is_estimated, is_beyond, _pause(changes, found.paused),
    )  # fmt: skip


def _pause(changes: Sequence[Mark], since: datetime | None) -> Mark | None:
    return next(
        (m for m in changes if m.kind == PAUSE and datetime.fromisoformat(m.at) == since), None
    )


def _belongs_later(start: Mark, following: Mark, stop: Mark) -> bool:
    """Whether a stop ends the later of two timers: it came after both, and not in the first's instance."""
    return stop.at > _opened(following)[0] and stop.flow_uid != start.flow_uid


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


def _days(begun: datetime, until: datetime) -> int:
    return (until.astimezone(LEGAL_TIME).date() - begun.astimezone(LEGAL_TIME).date()).days


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
        days = _days(begun, until)
        return (Limit(days, Unit.DAY), False) if 0 < days < 3660 else (None, False)
    for limit in variants:
        if due(begun, limit, calendar, custody=rule.term.custody, in_custody=in_custody) >= until:
            return limit, False
    return variants[-1], True
