"""Work calendars: which days are off, as the standard's data says, and as a table for case software.

Source: yearly arrangement of the State Council; make-up working days count as working days.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from frontgate.errors import CatalogueError


def read_calendar(path: Path) -> dict[date, bool]:
    """Every day of a year → whether it is off (weekends, holidays; make-up days are not).

    path: `calendars/<year>.toml` with `year`, `off` (days or `from/to`) and `work`.
    Raises: CatalogueError FG-STD-003.
    """
    try:
        return dict(_read(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CatalogueError("FG-STD-003", file=path.name, reason=str(error)) from None


@functools.lru_cache(maxsize=32)
def _read(text: str) -> dict[date, bool]:
    table = tomllib.loads(text)
    year = int(table["year"])
    off = {day for span in table["off"] for day in _days(span)}
    work = {date.fromisoformat(day) for day in table["work"]}
    days: dict[date, bool] = {}
    day = date(year, 1, 1)
    while day.year == year:
        days[day] = day not in work and (day in off or day.weekday() >= 5)
        day += timedelta(days=1)
    return days


def days_off(folder: Path) -> Callable[[date], bool]:
    """Whether a day is off, by the calendars of a folder; in a year that none covers, by weekday."""
    known: dict[date, bool] = {}
    for path in sorted(folder.glob("*.toml")):
        known.update(read_calendar(path))
    return lambda day: known.get(day, day.weekday() >= 5)


def _days(span: str) -> list[date]:
    first, _, last = span.partition("/")
    start = date.fromisoformat(first)
    end = date.fromisoformat(last or first)
    return [start + timedelta(days=n) for n in range((end - start).days + 1)]


def calendar_csv(folder: Path) -> bytes:
    """`date,off` for every day of every year that the standard knows; UTF-8, CRLF."""
    rows = ["date,off"]
    for path in sorted(folder.glob("*.toml")):
        rows += [f"{day.isoformat()},{int(off)}" for day, off in read_calendar(path).items()]
    return ("\r\n".join(rows) + "\r\n").encode()
