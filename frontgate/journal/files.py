"""SQLite files beside the journal: projections, which may be thrown away and built anew.

Offers: `open_file` (the one writer of such a file), `publish_file`, `open_reading`. Guarantees: a transaction is
whole or not at all; readers never block the writer. `synchronous=NORMAL`: power loss may undo the last
transactions as a whole, and the cursor in the same file goes back with them.
Fails: `JournalError` FG-JRN-001 (unusable), FG-JRN-002 (another writer).
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw

from frontgate import durable
from frontgate.errors import JournalError
from frontgate.journal.store import Reader, keep_plans, transaction


class File:
    """One open projection file. For one thread at a time."""

    def __init__(self, path: Path, db: apsw.Connection, lock_fd: int) -> None:
        self.path = path
        self._db = db
        self._lock_fd = lock_fd
        self._lock = threading.Lock()

    @contextmanager
    def write(self) -> Iterator[None]:
        """One transaction. Raises: JournalError FG-JRN-004 where the disk or the lock refuses."""
        with self._lock, transaction(self._db, self.path, "projection commit"):
            yield

    def run(self, sql: str, *values: Any) -> int:
        self._db.execute(sql, values)
        return self._db.changes()

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._db.executemany(sql, rows)

    def all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return list(self._db.execute(sql, values))

    def one(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = next(iter(self._db.execute(sql, values)), None)
        return row

    def close(self) -> None:
        self._db.close()
        os.close(self._lock_fd)


def open_file(path: Path, schema: str, version: str, *, is_draft: bool = False) -> File:
    """Open or make a projection file. version: of schema and rules; another one empties the file.

    is_draft: a file that nobody reads before `publish_file`: written without log and fsync.
    Raises: JournalError FG-JRN-001, FG-JRN-002.
    """
    lock_fd = _lock(path)
    try:
        db = _connect(path, is_draft)
        if _version(db) != version:
            db.close()
            remove_file(path)
            db = _connect(path, is_draft)
            with db:
                db.execute(schema)
                db.execute("INSERT INTO meta VALUES ('version', ?)", (version,))
    except apsw.Error as error:
        os.close(lock_fd)
        raise JournalError("FG-JRN-001", path=path.name, detail=str(error)) from error
    return File(path, db, lock_fd)


def _lock(path: Path) -> int:
    fd = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise JournalError("FG-JRN-002", detail=str(path)) from None
    return fd


def take_lock(path: Path) -> Callable[[], None]:
    """Keep every writer away from a file. Returns: what gives the lock back. Raises: FG-JRN-002."""
    fd = _lock(path)
    return lambda: os.close(fd)


def open_reading(path: Path) -> Reader:
    """A read-only connection. Raises: JournalError FG-JRN-001 where there is no such file yet."""
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        keep_plans(db)
        db.set_busy_timeout(5000)
        db.execute("PRAGMA query_only = ON")
        next(iter(db.execute("SELECT count(*) FROM meta")))
    except apsw.Error as error:
        raise JournalError("FG-JRN-001", path=path.name, detail=str(error)) from error
    return Reader(db)


def remove_file(path: Path) -> None:
    """Throw a projection file away; its lock stays."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def publish_file(draft: Path, path: Path) -> None:
    """Put a closed draft in the place of a file. Readers that hold the old one keep it until they close.

    Raises: JournalError FG-JRN-001, OSError.
    """
    try:
        with closing(apsw.Connection(str(draft))) as db:
            db.execute("PRAGMA journal_mode = WAL")
    except apsw.Error as error:
        raise JournalError("FG-JRN-001", path=draft.name, detail=str(error)) from error
    fd = os.open(draft, os.O_RDWR | os.O_CLOEXEC)
    try:
        durable.fsync_file(fd)
    finally:
        os.close(fd)
    remove_file(path)
    durable.rename(draft, path)
    durable.fsync_dir(path.parent)


def _connect(path: Path, is_draft: bool) -> apsw.Connection:
    old = os.umask(0o077)
    try:
        db = apsw.Connection(str(path))
        db.set_busy_timeout(5000)
        keep_plans(db)
        db.execute(f"PRAGMA journal_mode = {'OFF' if is_draft else 'WAL'}")
        db.execute(f"PRAGMA synchronous = {'OFF' if is_draft else 'NORMAL'}")
        db.execute(f"PRAGMA cache_size = -{128_000 if is_draft else 8_000}")
        db.execute("PRAGMA wal_autocheckpoint = 8000")
    finally:
        os.umask(old)
    return db


def _version(db: apsw.Connection) -> str:
    table = "SELECT count(*) FROM sqlite_schema WHERE name = 'meta'"
    if not next(iter(db.execute(table)))[0]:
        return ""
    row = next(iter(db.execute("SELECT value FROM meta WHERE key = 'version'")), None)
    return "" if row is None else str(row[0])
