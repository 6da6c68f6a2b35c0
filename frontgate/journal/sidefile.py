"""A SQLite file beside the journal, for what must not wait for the journal's one writer: accounts.

Offers: `SideFile`, with `write()` (one durable transaction) and reading by `all` and `one`.
Guarantees: WAL with synchronous=FULL as in the journal; several processes may write, each
transaction waits for the others' lock. Mode 0600.
Fails: `JournalError` FG-JRN-001 (unreadable), 003 (newer), 004 (the disk or the lock refuses).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from frontgate.errors import JournalError
from frontgate.journal.store import transaction

BUSY_MS = 10_000


class SideFile:
    """One connection, shared by the threads of a process. schema: SQL that makes version 1."""

    def __init__(self, path: Path, schema: str) -> None:
        self.path = path
        self._lock = threading.RLock()
        old = os.umask(0o077)
        try:
            self._db = apsw.Connection(str(path))
            self._db.set_busy_timeout(BUSY_MS)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._make(schema)
        except apsw.Error as error:
            raise JournalError("FG-JRN-001", path=path.name, detail=str(error)) from error
        finally:
            os.umask(old)

    def _make(self, schema: str) -> None:
        with self.write():
            found = self.one("PRAGMA user_version")
            version = int(found[0]) if found else 0
            if version > 1:
                raise JournalError("FG-JRN-003", found=version, known=1, detail=str(self.path))
            if version == 0:
                self._db.execute(schema)
                self._db.execute("PRAGMA user_version = 1")

    @contextmanager
    def write(self) -> Iterator[None]:
        """One transaction: all of it is on stable storage when the block ends, or nothing."""
        with self._lock, transaction(self._db, self.path, "accounts commit"):
            yield

    def run(self, sql: str, *values: Any) -> int:
        """Execute one statement within `write`. Returns: the rows it changed."""
        with self._lock:
            self._db.execute(sql, values)
            return self._db.changes()

    def all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return list(self._db.execute(sql, values))

    def one(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        rows = self.all(sql, *values)
        return rows[0] if rows else None

    def close(self) -> None:
        with self._lock:
            self._db.close()
