"""Times as projections keep them: RFC 3339 UTC with milliseconds and `Z`, so that text sorts as time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from frontgate.core.deadlines import LEGAL_TIME

OLDEST = timedelta(days=3650)
"""A message that states a time longer ago than this is not believed."""


def moment(text: str) -> datetime | None:
    """A stated moment or day, aware; a day is its first moment in legal time. None for anything else."""
    try:
        if len(text) == 10:
            found = datetime.combine(date.fromisoformat(text), time(0), LEGAL_TIME)
        else:
            found = datetime.fromisoformat(text)
            found = found if found.tzinfo is not None else found.replace(tzinfo=LEGAL_TIME)
        found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if 1900 < found.year < 9000 else None


def stored(at: datetime) -> str:
    """The stored form, as `journal.timestamp` writes it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def effective(business_time: str, relayed_at: str) -> str:
    """When a message holds: its own time, but never after the hub had it, nor long before."""
    known = datetime.fromisoformat(relayed_at)
    stated = moment(business_time)
    if stated is None or stated > known or known - stated > OLDEST:
        return relayed_at
    return stored(stated)


def legal_day(at: str) -> str:
    """The legal day (UTC+08:00) of a stored time, `YYYY-MM-DD`."""
    return datetime.fromisoformat(at).astimezone(LEGAL_TIME).date().isoformat()


def legal_month(at: str) -> str:
    return legal_day(at)[:7]


def last_of_term(due_at: str) -> str:
    """The last of a term for people, in legal time: its day, `YYYY-MM-DD`, or where it ends within one
    the minute. due_at: stored, the first instant that is too late."""
    end = datetime.fromisoformat(due_at).astimezone(LEGAL_TIME)
    if (end.hour, end.minute, end.second) == (0, 0, 0):
        return (end.date() - timedelta(days=1)).isoformat()
    return end.strftime("%Y-%m-%d %H:%M")


def month_begins(month: str) -> str:
    """The stored time of the first moment of a legal month, `YYYY-MM`."""
    return stored(datetime.combine(date.fromisoformat(f"{month}-01"), time(0), LEGAL_TIME))
