"""Pruning: files of segments and old audit entries that an archive holds and whose term is over.

Every step is small and may be cut off: segments are first marked in the journal (`going`), then their
files are unlinked, then marked `gone`; a run that died in between is finished by the next. Rows of
packages, receipts and transfers stay: the same message can never come twice, whatever was pruned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from frontgate import durable
from frontgate.journal import Journal, keeping, timestamp
from frontgate.journal.keeping import Terms
from frontgate.log import get_logger

log = get_logger()

AT_ONCE = 100
EVENTS_AT_ONCE = 1000
LEAST_AUDIT_DAYS = 180


@dataclass(slots=True)
class Pruned:
    """What a run removed."""

    segments: int = 0
    size_bytes: int = 0
    events: int = 0


def terms(now: datetime, *, payload_days: float, sent_days: float, audit_days: float) -> Terms:
    """The times before which things may go. audit_days: never below 180, whatever is set."""
    return Terms(
        payload=timestamp(now - timedelta(days=payload_days)),
        sent=timestamp(now - timedelta(days=sent_days)),
        audit=timestamp(now - timedelta(days=max(LEAST_AUDIT_DAYS, audit_days))),
    )


def prune(
    journal: Journal,
    state: Path,
    over: Terms,
    *,
    now: datetime,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Pruned:
    """Remove what is archived and past its term. Raises: JournalError, OSError."""
    done = Pruned()
    reader = journal.reader()
    try:
        while not is_stopping() and (rows := keeping.going(reader, AT_ONCE)):
            _remove(journal, state, rows, done, now)
        after = 0
        while not is_stopping():
            with journal.write(now) as tx:
                rows = keeping.segments_to_go(
                    tx, keeping.border(tx), over, after=after, limit=AT_ONCE
                )
                if rows:
                    keeping.mark(tx, [r[0] for r in rows], "going")
                    tx.event("pruned", segments=len(rows), first=rows[0][0], last=rows[-1][0])
            if not rows:
                break
            after = rows[-1][0]
            _remove(journal, state, rows, done, now)
        to = keeping.events_to_go(reader, over.audit)
        while to and not is_stopping():
            with journal.write(now) as tx:
                removed = keeping.remove_events(tx, to, EVENTS_AT_ONCE)
            done.events += removed
            if removed < EVENTS_AT_ONCE:
                break
    finally:
        reader.close()
    if done.segments or done.events:
        log.info("pruned", segments=done.segments, size_bytes=done.size_bytes, events=done.events)
    return done


def _remove(
    journal: Journal, state: Path, rows: list[tuple[int, str]], done: Pruned, now: datetime
) -> None:
    folders: set[Path] = set()
    for _, path in rows:
        file = state / path
        try:
            done.size_bytes += file.stat().st_size
        except FileNotFoundError:
            continue
        durable.unlink(file)
        folders.add(file.parent)
    for folder in sorted(folders):
        durable.fsync_dir(folder)
    with journal.write(now) as tx:
        keeping.mark(tx, [r[0] for r in rows], "gone")
    done.segments += len(rows)
    _remove_empty(folders, now)


def _remove_empty(folders: set[Path], now: datetime) -> None:
    """Folders of days long gone; today's may be about to be used."""
    recent = {(now + timedelta(days=d)).strftime("%Y%m%d") for d in (-1, 0, 1)}
    for folder in folders:
        if folder.name in recent:
            continue
        try:
            folder.rmdir()
        except OSError:
            continue
        durable.fsync_dir(folder.parent)
