"""The disk, before and when it is full: a gate that closes early, and a reserve to work on.

The gate pauses what brings more in; what is under way goes on and ends. Should the disk fill up all the
same, the reserve is given back to it, so that the journal and the clean-up can work; it is made anew when
there is room again.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from frontgate import clock, durable
from frontgate.errors import JournalError
from frontgate.journal import Journal
from frontgate.log import get_logger
from frontgate.values import Struct

log = get_logger()

FEWEST_INODES = 1000
REOPEN = 0.02
"""A closed gate opens when the disk is this share of its size below the mark: no flutter."""


class Limits(Struct, frozen=True):
    """high_water: used share of 0..1 above which intake pauses. reserve_bytes: likewise free bytes."""

    high_water: float
    reserve_bytes: int


class DiskGate:
    """Whether there is room for more on the file systems of some paths. For any thread."""

    def __init__(self, paths: tuple[Path, ...], limits: Limits) -> None:
        self._paths = paths
        self._limits = limits
        self._is_open = True

    def is_open(self) -> bool:
        """Look. Raises: OSError where a path cannot be reached."""
        slack = 0.0 if self._is_open else REOPEN
        is_open = all(self._has_room(path, slack) for path in self._paths)
        if is_open != self._is_open:
            log.warning("disk-gate", open=is_open, paths=[str(p) for p in self._paths])
        self._is_open = is_open
        return is_open

    def is_read_only(self) -> bool:
        """Whether one of the paths cannot be written to at all, however much room it has."""
        return any(os.statvfs(path).f_flag & os.ST_RDONLY for path in self._paths)

    def _has_room(self, path: Path, slack: float) -> bool:
        state = os.statvfs(path)
        if state.f_flag & os.ST_RDONLY:
            return False
        free = state.f_bavail * state.f_frsize
        # As df(1) counts: what is kept back for root or lies on a shared disk is neither.
        used = (state.f_blocks - state.f_bfree) * state.f_frsize
        if free < self._limits.reserve_bytes * (1 + slack):
            return False
        if used and used / (used + free) > self._limits.high_water - slack:
            return False
        if not state.f_files:
            return True  # a file system without a fixed number of inodes
        fewest = min(FEWEST_INODES, state.f_files // 10)
        return state.f_favail >= fewest * (1 + slack)


class Reserve:
    """A file whose only use is to be given up. For any thread.

    size_bytes: as much as a journal and its clean-up need; less where the disk is small.
    """

    AGAIN_S = 30.0

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes
        self._again_at = 0.0

    @property
    def is_held(self) -> bool:
        try:
            return os.stat(self._path).st_size == self._size_bytes
        except FileNotFoundError:
            return False

    def give_up(self) -> bool:
        """Give its bytes back to the disk. Returns: whether there were any."""
        self._again_at = clock.monotonic() + self.AGAIN_S
        try:
            # Not unlinked: on a disk without inodes its own is needed again.
            fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            had = os.fstat(fd).st_size > 0
            os.ftruncate(fd, 0)
        finally:
            os.close(fd)
        if had:
            log.warning("reserve-given-up", size_bytes=self._size_bytes)
        return had

    def hold(self) -> bool:
        """Make it anew where there is room for twice as much. Returns: whether it is held."""
        if self.is_held:
            return True
        state = os.statvfs(self._path.parent)
        if clock.monotonic() < self._again_at:
            return False
        if state.f_bavail * state.f_frsize < 2 * self._size_bytes:
            return False
        durable.unlink(self._path)
        try:
            with durable.open_new(self._path) as file:
                # Allocated, not sparse: only real blocks can be given up.
                os.posix_fallocate(file.fileno(), 0, self._size_bytes)
                durable.fsync_file(file)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            durable.unlink(self._path)
            return False
        log.info("reserve-held", size_bytes=self._size_bytes)
        return True


def open_journal(path: Path, node: str, reserve: Reserve) -> Journal:
    """Open a node's journal, on a full disk by giving the reserve up. Raises: JournalError."""
    try:
        journal = Journal.open(path, node=node)
    except JournalError:
        try:
            has_room = reserve.give_up()
        except OSError:  # it is not for want of room
            has_room = False
        if not has_room:
            raise
        journal = Journal.open(path, node=node)
    journal.on_full = reserve.give_up
    return journal
