"""How many messages each unit sent in each hour, and which units are silent against their habit."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from frontgate.core.reconcile import hour_of
from frontgate.core.silence import Silence
from frontgate.journal.store import Reader, Tx, timestamp
from frontgate.values import Struct

PAGE = 2000
KEPT = timedelta(weeks=12)


class Sent(Struct, frozen=True):
    """A unit's history. counts: messages by local day and hour."""

    unit: str
    last: datetime
    counts: dict[tuple[date, int], int]


def count_more(tx: Tx) -> tuple[bool, set[str]]:
    """Count the next page of admitted messages, each once: the place is kept with the counts.

    Test traffic is no habit. Returns: whether there is more, and who sent in this page.
    """
    after = int(tx.meta("habits-counted") or "0")
    rows = tx.all(
        "SELECT id, sender, made_at, direction = 'in' AND state = 'ADMITTED' AND test_flag = 0"
        " FROM package WHERE id > ? ORDER BY id LIMIT ?",
        after,
        PAGE,
    )
    if not rows:
        return False, set()
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for _, sender, made_at, is_counted in rows:
        if not is_counted:
            continue
        hour = hour_of(datetime.fromisoformat(str(made_at)))
        count, last = found.get((str(sender), hour), (0, ""))
        found[str(sender), hour] = (count + 1, max(last, str(made_at)))
    for (sender, hour), (count, last) in found.items():
        tx.run(
            "INSERT INTO sent_hour (unit, hour, count, last_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (unit, hour) DO UPDATE SET count = count + excluded.count,"
            " last_at = max(last_at, excluded.last_at)",
            sender,
            hour,
            count,
            last,
        )
    tx.set_meta("habits-counted", str(rows[-1][0]))
    return len(rows) == PAGE, {sender for sender, _ in found}


def forget(tx: Tx, now: datetime) -> None:
    """Hours that teach no more."""
    tx.run("DELETE FROM sent_hour WHERE hour < ?", hour_of(now - KEPT))


def units(source: Tx | Reader) -> list[str]:
    return [str(r[0]) for r in source.all("SELECT DISTINCT unit FROM sent_hour ORDER BY unit")]


def history(source: Tx | Reader, unit: str) -> Sent:
    rows = source.all("SELECT hour, count, last_at FROM sent_hour WHERE unit = ?", unit)
    counts = {
        (date.fromisoformat(str(hour)[:10]), int(str(hour)[11:])): int(count)
        for hour, count, _ in rows
    }
    return Sent(unit, datetime.fromisoformat(max(str(r[2]) for r in rows)), counts)


def silent(source: Tx | Reader) -> list[tuple[str, str, float, float]]:
    """(unit, since, expected, usual) of silences that are open."""
    rows = source.all("SELECT unit, since, expected, usual FROM silence ORDER BY since, unit")
    return [(str(r[0]), str(r[1]), float(r[2]), float(r[3])) for r in rows]


def set_silent(tx: Tx, unit: str, found: Silence) -> None:
    """Open a silence, or bring its expected number up to date."""
    since = timestamp(found.since)
    known = tx.one("SELECT since FROM silence WHERE unit = ?", unit)
    tx.run(
        "INSERT OR REPLACE INTO silence (unit, since, expected, usual) VALUES (?, ?, ?, ?)",
        unit,
        since,
        round(found.expected, 1),
        round(found.usual, 1),
    )
    if known is None:
        tx.event("silence-found", unit=unit, since=since, expected=round(found.expected, 1))


def end_silence(tx: Tx, ended: Iterable[str]) -> None:
    for unit in sorted(ended):
        if tx.run("DELETE FROM silence WHERE unit = ?", unit):
            tx.event("silence-over", unit=unit)
