"""A consistent copy of a journal in use, by SQLite's online backup, and looking at such a copy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw

from frontgate import durable
from frontgate.errors import JournalError

PAGES = 2048
"""Pages copied in one step, 8 MiB: between steps somebody may ask to stop."""


def copy_journal(
    source: Path, target: Path, is_stopping: Callable[[], bool] = lambda: False
) -> bool:
    """Copy one committed state of `source` into the new file `target` and make it durable.

    Writers go on meanwhile: the copy reads one snapshot of the write-ahead log. Returns: False where
    it was stopped; then `target` is no journal. Raises: JournalError FG-JRN-001, 004.
    """
    durable.open_new(target).close()
    try:
        reading = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
        writing = apsw.Connection(str(target))
        try:
            reading.set_busy_timeout(5000)
            reading.execute("BEGIN")
            next(iter(reading.execute("SELECT count(*) FROM meta")))
            with writing.backup("main", reading, "main") as backup:
                while not backup.done:
                    if is_stopping():
                        return False
                    backup.step(PAGES)
            writing.execute("PRAGMA journal_mode = DELETE")
        finally:
            writing.close()
            reading.close()
    except (apsw.FullError, apsw.IOError, apsw.CantOpenError) as error:
        raise JournalError("FG-JRN-004", reason=type(error).__name__, detail=str(error)) from error
    except apsw.Error as error:
        raise JournalError("FG-JRN-001", path=source.name, detail=str(error)) from error
    with target.open("rb") as file:
        durable.fsync_file(file)
    durable.fsync_dir(target.parent)
    return True


def check_copy(path: Path) -> None:
    """Whether a copied journal is whole. Raises: JournalError FG-JRN-001."""
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            found = str(next(iter(db.execute("PRAGMA quick_check(1)")))[0])
        finally:
            db.close()
    except apsw.Error as error:
        raise JournalError("FG-JRN-001", path=path.name, detail=str(error)) from error
    if found != "ok":
        raise JournalError("FG-JRN-001", path=path.name, detail=found)


def mark(path: Path, node: str, key: str, value: str) -> None:
    """Set a meta value in a copied journal that no daemon has opened yet."""
    from frontgate.journal.store import Journal

    journal = Journal.open(path, node=node)
    try:
        with journal.write() as tx:
            tx.set_meta(key, value)
    finally:
        journal.close()
