"""The journal: one SQLite file, one writer, WAL with synchronous=FULL.

Offers: `Journal.open`, `write()` (one durable transaction), `reader()` (a read-only connection).
Guarantees: when `write()` ends without an error, all of it is on stable storage; when it raises,
nothing of it is. The file is opened by apsw only (its SQLite has the WAL-reset fix of 3.51.3),
and by one writing process: an exclusive lock on `<journal>.lock` is held while it is open.
Fails: `JournalError` FG-JRN-001 (damaged), 002 (another process), 003 (newer), 004 (disk full or
read-only), 010 (disk error: start again); to readers 011 (older: no daemon has brought it up to date).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from frontgate import clock, durable
from frontgate.core import chain
from frontgate.errors import JournalError
from frontgate.journal.versions import VERSION, migrate, wrong_version
from frontgate.undo import on_failure

OFFSET = "clock-offset-ms"
JUMP_S = 2.0
STEADY = "steady-clock"
"""How far the wall clock is from the monotonic one, and since when, of this machine: see `gateway.known_clock`."""
SEEN = "queue-time-ms"
SEEN_EVERY_MS = 900_000
AWAY_MOST_MS = 86_400_000
"""What a time without a process counts at most. How long it really was, only the wall clock says, and a
machine may start with that clock years ahead: then nothing that waits may come to an end for it.
"""


def _wall_ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def timestamp(at: datetime) -> str:
    """RFC 3339 UTC with milliseconds and `Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


class Tx:
    """One write transaction. It ends with its `with` block; never keep it."""

    __slots__ = ("_head", "_seq", "db", "epoch", "node", "now", "now_at", "now_ms")

    def __init__(
        self,
        db: apsw.Connection,
        node: str,
        now: datetime,
        now_ms: int,
        seq: int,
        head: str,
        epoch: int,
    ) -> None:
        self.db = db
        self.node = node
        self.now = now
        self.now_at = timestamp(now)
        self.now_ms = now_ms
        self.epoch = epoch
        self._seq = seq
        self._head = head

    @property
    def head(self) -> tuple[int, str]:
        """Sequence number and hash of the newest audit event."""
        return self._seq, self._head

    def event(self, kind: str, /, **data: object) -> tuple[int, str]:
        """Append one event to the audit chain. data: JSON values, ids only, never payload.

        Returns: its (seq, head).
        """
        text = chain.canonical(data)
        self._seq += 1
        self._head = chain.head_after(self._head, self._seq, self.now_at, kind, text)
        self.run(
            "INSERT INTO event (seq, at, kind, data, head) VALUES (?, ?, ?, ?, ?)",
            self._seq,
            self.now_at,
            kind,
            text,
            self._head,
        )
        return self._seq, self._head

    def begin_epoch(self, epoch: int, /, **data: object) -> tuple[int, str]:
        """Begin a new epoch of the chain with its `epoch` event. epoch: higher than the present one.

        Its head comes from the epoch's genesis; data names the last head of the epoch before, so
        that the fork which a restore makes shows for ever. Returns: its (seq, head).
        """
        assert epoch > self.epoch, "epochs only grow"
        self.epoch = epoch
        self._head = chain.genesis(self.node, epoch)
        self.set_meta("epoch", str(epoch))
        return self.event(chain.EPOCH, epoch=epoch, **data)

    def run(self, sql: str, *values: Any) -> int:
        """Execute one statement. Returns: the rows it changed."""
        self.db.execute(sql, values)
        return self.db.changes()

    def insert(self, sql: str, *values: Any) -> int:
        """Execute one INSERT. Returns: the new row's id."""
        self.db.execute(sql, values)
        return self.db.last_insert_rowid()

    def insert_new(self, sql: str, *values: Any) -> int | None:
        """Execute one INSERT that does nothing on a conflict. Returns: the new row's id; None for no row."""
        self.db.execute(sql, values)
        return self.db.last_insert_rowid() if self.db.changes() else None

    def all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return list(self.db.execute(sql, values))

    def one(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = next(iter(self.db.execute(sql, values)), None)
        return row

    def each(self, sql: str, *values: Any) -> Generator[tuple[Any, ...], None, None]:
        """Stream rows. Close it where it is not read to its end."""
        with closing(self.db.cursor()) as cursor:
            yield from cursor.execute(sql, values)

    @property
    def floor(self) -> int:
        """Below all numbers of this epoch and above those of earlier ones, for what a peer counts:
        a node that was restored or replaced cannot use a number twice.
        """
        return self.epoch * chain.NUMBERS_A_SECOND

    def meta(self, key: str) -> str | None:
        row = self.one("SELECT value FROM meta WHERE key = ?", key)
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        self.run("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", key, value)

    def next_number(self, key: str, floor: int = 0) -> int:
        """The next number of a counter that never goes back: at least `floor` + 1."""
        number = max(int(self.meta(key) or "0"), floor) + 1
        self.set_meta(key, str(number))
        return number


_DISK_REFUSES = (apsw.FullError, apsw.ReadOnlyError, apsw.CantOpenError, apsw.NoMemError)


def _refused(error: apsw.Error) -> JournalError:
    return JournalError("FG-JRN-004", reason=type(error).__name__, detail=str(error))


def _of_opening(error: apsw.Error, path: Path) -> JournalError:
    """Why a journal cannot be opened: a full disk or too many open files pass."""
    if isinstance(error, (apsw.IOError, *_DISK_REFUSES)) and path.is_file():
        return _refused(error)
    return JournalError("FG-JRN-001", path=path.name, detail=str(error))


def _is_over_quota(error: apsw.IOError, db: apsw.Connection) -> bool:
    """Whether a write was refused for want of room that is only this user's. SQLite knows ENOSPC alone;
    as with that nothing was written, and all is known. An fsync that says so is an error of the disk.
    """
    if getattr(error, "extendedresult", 0) != apsw.SQLITE_IOERR_WRITE:
        return False
    return db.system_errno == errno.EDQUOT


class Reader:
    """A read-only view; every call sees the newest committed state.

    Fails: JournalError FG-JRN-004 (transient) where the file cannot be read now.
    """

    __slots__ = ("_lock", "db")

    def __init__(self, db: apsw.Connection) -> None:
        self.db = db
        self._lock = threading.Lock()

    def all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        try:
            with self._lock:
                return list(self.db.execute(sql, values))
        except (apsw.IOError, *_DISK_REFUSES) as error:
            raise _refused(error) from error

    def one(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        rows = self.all(sql, *values)
        return rows[0] if rows else None

    def each(self, sql: str, *values: Any) -> Generator[tuple[Any, ...], None, None]:
        """Stream rows; not for two threads at once. Close it where it is not read to its end."""
        try:
            with closing(self.db.cursor()) as cursor:
                yield from cursor.execute(sql, values)
        except (apsw.IOError, *_DISK_REFUSES) as error:
            raise _refused(error) from error

    def meta(self, key: str) -> str | None:
        row = self.one("SELECT value FROM meta WHERE key = ?", key)
        return None if row is None else str(row[0])

    def close(self) -> None:
        self.db.close()


class Journal:
    """The one writer of a node's journal."""

    def __init__(self, path: Path, db: apsw.Connection, lock_fd: int, node: str) -> None:
        self.path = path
        self.node = node
        self._db = db
        self._lock_fd = lock_fd
        self._write_lock = threading.Lock()
        self._clock_lock = threading.Lock()
        self._look: Reader | None = None
        self._look_lock = threading.Lock()
        self.on_full: Callable[[], object] = lambda: None
        """Called when the disk refuses: it may make room for the next try."""
        self._seq, self._head = 0, ""
        self._epoch = 1
        self.failure: JournalError | None = None
        self.on_failure: Callable[[], None] = lambda: None
        self._is_unsure = False
        self._load_head()
        self._steady = clock.Steady(JUMP_S)
        self._seen_ms = self._meta_number(SEEN)
        self._offset_ms, self._noted_ms = self._load_offset()

    @classmethod
    def open(cls, path: Path, *, node: str) -> Journal:
        """Open or make the journal of `node` (`gateway:<unit>` or `hub:<unit>`).

        Raises: JournalError, see the module's header.
        """
        lock = path.with_name(path.name + ".lock")
        try:
            lock_fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            reason = errno.errorcode.get(error.errno or 0, "?")
            raise JournalError("FG-JRN-004", reason=reason, detail=str(error)) from error
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock_fd)
            raise JournalError("FG-JRN-002", detail=str(path)) from None
        with on_failure(partial(os.close, lock_fd)):
            try:
                db = _connect(path)
                migrate(db, node, path)
            except apsw.Error as error:
                raise _of_opening(error, path) from error
            durable.fsync_dir(path.parent)
            return cls(path, db, lock_fd, node)

    def _know_again(self) -> None:
        """A write failed: whether it was made all the same, only the file tells."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._load_head()

    def _load_head(self) -> None:
        row = next(
            iter(
                self._db.execute(
                    "SELECT seq, head FROM event UNION ALL SELECT event_to, event_head FROM archive"
                    " ORDER BY 1 DESC LIMIT 1"
                )
            ),
            None,
        )
        self._epoch = int(
            next(iter(self._db.execute("SELECT value FROM meta WHERE key = 'epoch'")))[0]
        )
        if row is None:
            self._seq, self._head = 0, chain.genesis(self.node, self._epoch)
        else:
            self._seq, self._head = int(row[0]), str(row[1])

    def _meta_number(self, key: str) -> int:
        row = next(iter(self._db.execute("SELECT value FROM meta WHERE key = ?", (key,))), None)
        return int(row[0]) if row else 0

    def _load_offset(self) -> tuple[int, int]:
        """(offset, as noted): what queue time lags behind the wall clock, and so that it never goes
        back behind what it was when the journal was last written, nor far ahead of that.
        """
        noted = self._meta_number(OFFSET)
        newest = next(
            iter(
                self._db.execute(
                    "SELECT max(changed_ms) FROM (SELECT changed_ms FROM transfer ORDER BY id DESC LIMIT 1000)"
                )
            )
        )[0]
        last = max(int(newest or 0), self._seen_ms)
        away = _wall_ms(clock.now()) - noted - last
        if away < 0:
            return noted + away, noted
        return (noted + max(0, away - AWAY_MOST_MS) if self._seen_ms else noted), noted

    def keep_time(self) -> None:
        """Note now and then what time it is, that the next start knows how long nobody was here."""
        if self.now_ms() - self._seen_ms >= SEEN_EVERY_MS:
            with self.write():
                pass

    def now_ms(self) -> int:
        """Queue time in milliseconds: the wall clock's, but for its jumps. All *_ms of the journal
        are of it, so that a clock that jumps expires, retries and orders nothing anew.
        """
        with self._clock_lock:
            self._offset_ms += round(self._steady.look() * 1000)
            return _wall_ms(clock.now()) - self._offset_ms

    @contextmanager
    def write(self, now: datetime | None = None) -> Iterator[Tx]:
        """One transaction, committed and fsynced when the block ends, undone when it raises.

        Raises: JournalError FG-JRN-004 where the disk refuses, FG-JRN-010 after an error of the disk
        itself: whether the last commit happened is then known only by reading the file anew, so this
        journal is over, `on_failure` is called, and the process has to start again.
        """
        with self._write_lock:
            if self.failure is not None:
                raise self.failure
            self.now_ms()  # notices a jump
            at, offset_ms = now or clock.now(), self._offset_ms
            now_ms = _wall_ms(at) - offset_ms
            try:
                if self._is_unsure:
                    self._know_again()
                self._is_unsure = True
                tx = Tx(self._db, self.node, at, now_ms, self._seq, self._head, self._epoch)
                self._db.execute("BEGIN IMMEDIATE")
                with on_failure(partial(roll_back, self._db)):
                    if offset_ms != self._noted_ms:
                        tx.set_meta(OFFSET, str(offset_ms))
                        tx.event("clock-jump", by_ms=offset_ms - self._noted_ms)
                    if is_seen := now_ms - self._seen_ms >= SEEN_EVERY_MS:
                        tx.set_meta(SEEN, str(now_ms))
                    yield tx
                    with durable.step("commit", self.path):
                        self._db.execute("COMMIT")
            except apsw.IOError as error:
                with contextlib.suppress(OSError):
                    self.on_full()
                if _is_over_quota(error, self._db):
                    raise _refused(error) from error
                self.failure = JournalError("FG-JRN-010", detail=str(error))
                self.on_failure()
                raise self.failure from error
            except _DISK_REFUSES as error:
                with contextlib.suppress(OSError):
                    self.on_full()
                raise _refused(error) from error
            self._seq, self._head = tx.head
            self._epoch = tx.epoch
            self._noted_ms = offset_ms
            if is_seen:
                self._seen_ms = now_ms
            self._is_unsure = False

    @property
    def epoch(self) -> int:
        """The present epoch: the second in which this journal was made or restored."""
        return self._epoch

    def reader(self) -> Reader:
        """A connection of the caller's own, to be closed by it."""
        return open_reader(self.path)

    @property
    def look(self) -> Reader:
        """The connection for short single reads of all threads: opening one costs more than they do."""
        with self._look_lock:
            if self._look is None:
                self._look = open_reader(self.path)
            return self._look

    def close(self) -> None:
        """Close the file and give the lock back."""
        with self._look_lock:
            if self._look is not None:
                self._look.close()
                self._look = None
        with self._write_lock:
            self._db.close()
            os.close(self._lock_fd)


def _is_open(path: Path) -> bool:
    """Whether a process has it open for writing."""
    try:
        fd = os.open(path.with_name(path.name + ".lock"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def open_reader(path: Path, *, any_version: bool = False) -> Reader:
    """A read-only connection to a journal that may be in use. any_version: for who reads packages alone.

    Raises: JournalError FG-JRN-001 where it is missing or damaged, 003 newer or 011 older than this program,
    004 where it cannot be read now.
    """
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        keep_plans(db)
        db.set_busy_timeout(5000)
        db.execute("PRAGMA query_only = ON")
        db.execute("PRAGMA cache_size = -500")  # some twenty of them in a process: see the writer's
        found = int(next(iter(db.execute("PRAGMA user_version")))[0])
        if found or not _is_open(path):  # else a daemon is making it at this moment
            next(iter(db.execute("SELECT count(*) FROM meta")))
    except apsw.Error as error:
        raise _of_opening(error, path) from error
    if found != VERSION and not (found and any_version):
        db.close()
        raise wrong_version(found, path)
    return Reader(db)


@contextmanager
def transaction(db: apsw.Connection, path: Path, what: str) -> Iterator[None]:
    """One transaction of a file beside the journal: committed when the block ends, undone when it raises.

    what: the name of its durable step. Raises: JournalError FG-JRN-004 where the disk or the lock refuses.
    """
    try:
        db.execute("BEGIN IMMEDIATE")
        with on_failure(partial(roll_back, db)):
            yield
            with durable.step(what, path):
                db.execute("COMMIT")
    except (*_DISK_REFUSES, apsw.IOError, apsw.BusyError) as error:
        raise _refused(error) from error


def roll_back(db: apsw.Connection) -> None:
    """Undo an open transaction; some errors have undone it already."""
    if db.in_transaction:
        db.execute("ROLLBACK")


def keep_plans(db: apsw.Connection) -> None:
    """Let a statement's plan hang on its text alone. Else each new value bound where a partial index
    could matter has the statement compiled anew: ten times its own cost.
    """
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)


def _connect(path: Path) -> apsw.Connection:
    old = os.umask(0o077)
    try:
        db = apsw.Connection(str(path))
        db.set_busy_timeout(5000)
        keep_plans(db)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA secure_delete = ON")
        # Checkpoints are cheap while short; 4 000 pages keep the WAL near 16 MiB.
        db.execute("PRAGMA wal_autocheckpoint = 4000")
        # Each loop has a connection: small caches fill within minutes, so that memory stays level.
        # What they lack, the system's page cache has.
        db.execute("PRAGMA cache_size = -2000")
    finally:
        os.umask(old)
    return db
