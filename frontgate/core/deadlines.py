"""Counting statutory deadlines: when a term ends, and in what state a timer is. Pure.

Sources: Criminal Procedure Law art. 105 (hours, days, months; the opening hour or day is not
counted; a last day that is a holiday moves to the first day after it, but not while somebody is in
custody); SPC interpretation of the CPL art. 202 (months, and terms of sentence). A term ends at 24:00
of its last day in Beijing time, given here as 00:00 of the day after. Working hours and the hour
term counted from the very minute are this standard's own, on the safe side.
"""

from __future__ import annotations

import calendar as _months
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from enum import StrEnum

from frontgate.values import Struct, field

LEGAL_TIME = timezone(timedelta(hours=8))
"""Legal days are days of UTC+08:00."""
_FIXED = frozenset({(1, 1), (5, 1), (5, 2), (10, 1), (10, 2), (10, 3)})
"""Statutory holidays of fixed date, for years without an arrangement."""
_OPENS, _CLOSES = time(9), time(17)


class Unit(StrEnum):
    """What a limit is counted in."""

    MINUTE = "minute"
    HOUR = "hour"
    WORKING_HOUR = "working-hour"
    DAY = "day"
    WORKING_DAY = "working-day"
    MONTH = "month"


class Custody(StrEnum):
    """Whether a last day that is off moves: never for custody terms, by the person's state, always
    (`roll`), or never for other reasons (`none`)."""

    CUSTODY = "custody"
    BY_PERSON = "by-person"
    ROLL = "roll"
    NONE = "none"


class Limit(Struct, frozen=True):
    """How long. value: negative for "so long before" an event. plus_days: after the months, as in
    one and a half months."""

    value: int
    unit: Unit
    plus_days: int = 0


class Calendar(Struct, frozen=True):
    """Which days are off. days: every day of every year with a known arrangement → off or not."""

    days: Mapping[date, bool] = field(default_factory=dict)

    def is_off(self, day: date) -> bool:
        """Weekends and fixed statutory days where the year's arrangement is unknown."""
        known = self.days.get(day)
        return known if known is not None else day.weekday() >= 5 or (day.month, day.day) in _FIXED

    def knows(self, first: date, last: date) -> bool:
        """Whether the arrangements of all years between are known."""
        return all(date(year, 1, 1) in self.days for year in range(first.year, last.year + 1))


def add_months(day: date, months: int) -> date:
    """The same date so many months on, at once; from the last day of a month to the last day of
    the other; a date that does not exist becomes the last day (SPC interpretation art. 202(1)).
    """
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    last = _months.monthrange(year, month + 1)[1]
    is_last = day.day == _months.monthrange(day.year, day.month)[1]
    return date(year, month + 1, last if is_last else min(day.day, last))


def sentence_end(
    start: date, *, years: int = 0, months: int = 0, days: int = 0, credit_days: int = 0
) -> date:
    """The last day of a sentence that begins on `start` (SPC interpretation art. 202(2)).

    Years to the day before the same date; then months by their rule; then days; days in custody
    before are taken off.
    """
    day = start
    if years:
        last = _months.monthrange(day.year + years, day.month)[1]
        day = date(day.year + years, day.month, min(day.day, last))
    if months:
        day = add_months(day, months)
    return day + timedelta(days=days - 1 - credit_days)


def due(
    start: datetime, limit: Limit, calendar: Calendar, *, custody: Custody, in_custody: bool = False
) -> datetime:
    """When a term ends that `start` opens: an instant in legal time, the first that is too late.

    start: with offset. in_custody: whether the person is, for terms that depend on it.
    """
    begun = start.astimezone(LEGAL_TIME)
    if limit.unit is Unit.MINUTE:
        return begun + timedelta(minutes=limit.value)
    if limit.unit is Unit.HOUR:
        return begun + timedelta(hours=limit.value)
    if limit.unit is Unit.WORKING_HOUR:
        return _working_hours(begun, limit.value, calendar)
    day = begun.date()
    if limit.unit is Unit.WORKING_DAY:
        return _end_of(_working_days(day, limit.value, calendar))
    if limit.unit is Unit.MONTH:
        last = add_months(day, limit.value) + timedelta(days=limit.plus_days)
    else:
        last = day + timedelta(days=limit.value)
    if limit.value > 0 and rolls(custody, in_custody=in_custody):
        while calendar.is_off(last):
            last += timedelta(days=1)
    return _end_of(last)


def rolls(custody: Custody, *, in_custody: bool) -> bool:
    """Whether a last day that is off moves on (CPL art. 105(4))."""
    return custody is Custody.ROLL or (custody is Custody.BY_PERSON and not in_custody)


def _end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(0), LEGAL_TIME)


def _working_days(day: date, count: int, calendar: Calendar) -> date:
    while count > 0:
        day += timedelta(days=1)
        count -= not calendar.is_off(day)
    return day


def _working_hours(at: datetime, hours: int, calendar: Calendar) -> datetime:
    left = timedelta(hours=hours)
    while True:
        opens = datetime.combine(at.date(), _OPENS, LEGAL_TIME)
        closes = datetime.combine(at.date(), _CLOSES, LEGAL_TIME)
        begins = max(at, opens)
        if not calendar.is_off(at.date()) and begins < closes:
            if begins + left <= closes:
                return begins + left
            left -= closes - begins
        at = datetime.combine(at.date() + timedelta(days=1), time(0), LEGAL_TIME)


class Change(StrEnum):
    """What can happen to a running term."""

    EXTEND = "extend"
    PAUSE = "pause"
    RESUME = "resume"
    RESTART = "restart"
    STOP = "stop"
    CANCEL = "cancel"


class Happened(Struct, frozen=True):
    """One change. limit: the whole new limit of an extension, counted from the term's start."""

    change: Change
    at: datetime
    limit: Limit | None = None


class State(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    DUE_SOON = "due-soon"
    OVERDUE = "overdue"
    MET = "met"
    MET_LATE = "met-late"
    CANCELLED = "cancelled"


class Timer(Struct, frozen=True):
    """A term as it stands. due: the first instant that is too late. safe_due: a day earlier for
    custody terms, for forms that print an inclusive span. warnings: the instants that have passed
    of those asked for. is_estimated: a year of the calendar is unknown. paused: when the pause began
    that nothing has ended.
    """

    start: datetime
    due: datetime
    safe_due: datetime
    state: State
    warnings: tuple[timedelta, ...] = ()
    is_estimated: bool = False
    paused: datetime | None = None


def follow(
    start: datetime,
    limit: Limit,
    happened: Iterable[Happened],
    calendar: Calendar,
    *,
    now: datetime,
    custody: Custody,
    in_custody: bool = False,
    warn: Sequence[timedelta] = (),
) -> Timer:
    """The timer at `now`, from all that happened, in whatever order it became known.

    An extension never shortens; a pause moves the end by its whole days; a restart counts the limit
    anew. What happened after a stop changes nothing.
    """
    begun, total = start, limit
    shift = timedelta(0)
    paused: datetime | None = None
    ended: tuple[Change, datetime] | None = None

    def end(pauses: timedelta) -> datetime:
        """The limit's own last day and the pauses, and only then on from a day off."""
        if not pauses:
            return due(begun, total, calendar, custody=custody, in_custody=in_custody)
        counted = due(begun, total, calendar, custody=Custody.CUSTODY, in_custody=True)
        if total.unit in (Unit.MINUTE, Unit.HOUR, Unit.WORKING_HOUR):
            return counted + pauses
        last = counted.date() - timedelta(days=1) + pauses
        moves = total.value > 0 and rolls(custody, in_custody=in_custody)
        while moves and calendar.is_off(last):
            last += timedelta(days=1)
        return _end_of(last)

    for event in sorted(happened, key=_order):
        if ended is not None or event.at > now:
            break
        if event.change is Change.EXTEND and event.limit is not None:
            longer = due(begun, event.limit, calendar, custody=custody, in_custody=in_custody)
            if longer > due(begun, total, calendar, custody=custody, in_custody=in_custody):
                total = event.limit
        elif event.change is Change.PAUSE and paused is None:
            paused = event.at
        elif event.change is Change.RESUME and paused is not None:
            shift += _whole_days(paused, event.at)
            paused = None
        elif event.change is Change.RESTART:
            begun, total, shift, paused = event.at, event.limit or limit, timedelta(0), None
        elif event.change in (Change.STOP, Change.CANCEL):
            ended = (event.change, event.at)
    if paused is not None:
        shift += _whole_days(paused, ended[1] if ended else now)
    until = end(shift)
    safe = until - timedelta(days=1) if custody is Custody.CUSTODY else until
    passed = tuple(w for w in sorted(warn, reverse=True) if now >= until - w)
    if ended is not None and ended[0] is Change.CANCEL:
        state = State.CANCELLED
    elif ended is not None:
        state = State.MET if ended[1] < until else State.MET_LATE
    elif paused is not None:
        state = State.PAUSED
    elif now >= until:
        state = State.OVERDUE
    else:
        state = State.DUE_SOON if passed else State.RUNNING
    estimated = not calendar.knows(begun.astimezone(LEGAL_TIME).date(), until.date())
    return Timer(
        begun, until, safe, state, passed, estimated, paused if state is State.PAUSED else None
    )


_CHANGES = tuple(Change)


def _order(event: Happened) -> tuple[datetime, int]:
    """By time; what falls on one instant in the order of `Change`, whatever became known first."""
    return event.at, _CHANGES.index(event.change)


def _whole_days(start: datetime, end: datetime) -> timedelta:
    return end.astimezone(LEGAL_TIME).date() - start.astimezone(LEGAL_TIME).date()
