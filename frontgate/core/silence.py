"""Has a unit that usually sends fallen silent? Learned from its own history alone.

The method, in words. Time is measured not in hours but in messages to be expected: for each weekday
and hour (days off apart, by the work calendar) the unit's usual number is the mean over the last
eight weeks, the highest tenth of days left out. Nights, weekends and holidays on which it never
sends cost nothing on this scale. On the same scale its past pauses are measured; a silence is an
alarm when it is worth at least `FLOOR` messages and twice the second longest pause of those weeks
(the longest may have been an outage). A unit without such a history gives no alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta

from frontgate.core.reconcile import LOCAL
from frontgate.values import Struct

WEEKS = 8
FLOOR = 5.0
"""By chance a steady sender misses five expected messages less than once in 148 such spans."""
FACTOR = 2.0
FEWEST_MESSAGES = 20
FEWEST_DAYS = 8
FEWEST_OF_A_WEEKDAY = 4

History = Mapping[tuple[date, int], int]
"""Messages by local day and hour (UTC+08:00); hours without any may be left out."""


class Silence(Struct, frozen=True):
    """since: the last message, or the end of a suspension. expected: messages that usually come in
    such a time. usual: what its second longest pause was worth.
    """

    since: datetime
    expected: float
    usual: float


class Rhythm(Struct, frozen=True):
    """Expected messages by hour: of each weekday, of working days at large, and of days off."""

    by_weekday: Mapping[tuple[int, int], float]
    working: Mapping[int, float]
    off: Mapping[int, float]
    is_off: Callable[[date], bool]

    def rate(self, day: date, hour: int) -> float:
        if self.is_off(day):
            return self.off.get(hour, 0.0)
        known = self.by_weekday.get((day.weekday(), hour))
        return self.working.get(hour, 0.0) if known is None or day.weekday() >= 5 else known

    def expected(self, start: datetime, end: datetime) -> float:
        """Messages to be expected between two moments."""
        total = 0.0
        for begin, share in _hours(start, end):
            total += self.rate(begin.date(), begin.hour) * share
        return total


def _hours(start: datetime, end: datetime) -> Iterator[tuple[datetime, float]]:
    """Local hours that a span touches, each with the share of it that lies in the span."""
    at = start.astimezone(LOCAL)
    end = end.astimezone(LOCAL)
    while at < end:
        begin = at.replace(minute=0, second=0, microsecond=0)
        until = min(begin + timedelta(hours=1), end)
        yield begin, (until - at).total_seconds() / 3600
        at = until


def _trimmed(counts: list[int]) -> float:
    """The mean without the highest tenth (at least one, where there are four)."""
    kept = sorted(counts)
    if len(kept) >= FEWEST_OF_A_WEEKDAY:
        kept = kept[: len(kept) - max(1, len(kept) // 10)]
    return sum(kept) / len(kept) if kept else 0.0


def learn(
    history: History, *, first: date, last: date, is_off: Callable[[date], bool]
) -> Rhythm | None:
    """The rhythm of the days from `first` to the day before `last`, at most `WEEKS` weeks of them.

    Returns: None where they are too few to tell.
    """
    start = max(first, last - timedelta(weeks=WEEKS))
    days = [start + timedelta(days=n) for n in range((last - start).days)]
    sums = {day: sum(history.get((day, hour), 0) for hour in range(24)) for day in days}
    if sum(sums.values()) < FEWEST_MESSAGES or sum(1 for n in sums.values() if n) < FEWEST_DAYS:
        return None
    working = [day for day in days if not is_off(day)]
    resting = [day for day in days if is_off(day)]
    by_weekday: dict[tuple[int, int], float] = {}
    for weekday in range(7):
        of_weekday = [day for day in working if day.weekday() == weekday]
        if len(of_weekday) < FEWEST_OF_A_WEEKDAY:
            continue
        for hour in range(24):
            by_weekday[weekday, hour] = _trimmed([history.get((d, hour), 0) for d in of_weekday])
    return Rhythm(
        by_weekday,
        {hour: _trimmed([history.get((d, hour), 0) for d in working]) for hour in range(24)},
        {hour: _trimmed([history.get((d, hour), 0) for d in resting]) for hour in range(24)},
        is_off,
    )


def usual_pause(rhythm: Rhythm, history: History, *, first: date, last: date) -> float:
    """What the second longest pause between two messages of those weeks was worth."""
    start = max(first, last - timedelta(weeks=WEEKS))
    longest = second = pause = 0.0
    has_begun = False
    for n in range((last - start).days):
        day = start + timedelta(days=n)
        for hour in range(24):
            if history.get((day, hour), 0):
                if has_begun and pause > second:
                    longest, second = max(longest, pause), min(longest, pause)
                has_begun, pause = True, 0.0
            else:
                pause += rhythm.rate(day, hour)
    return second


def judge(
    history: History,
    *,
    last: datetime,
    now: datetime,
    is_off: Callable[[date], bool],
    active_since: datetime | None = None,
) -> Silence | None:
    """Whether a unit is silent against its own habit.

    last: its newest message. active_since: the end of its newest suspension, if there was one.
    Only days before the last message teach: a silence is not learned as a habit.
    """
    if not history:
        return None
    since = max(last, active_since) if active_since is not None else last
    if now <= since:
        return None
    end = last.astimezone(LOCAL).date()
    first = min(day for day, _ in history)
    rhythm = learn(history, first=first, last=end, is_off=is_off)
    if rhythm is None:
        return None
    expected = rhythm.expected(since, now)
    usual = usual_pause(rhythm, history, first=first, last=end)
    if expected < max(FLOOR, FACTOR * usual):
        return None
    return Silence(since, expected, usual)
