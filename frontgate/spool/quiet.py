"""How long something has been quiet, on a machine whose wall clock may jump.

A file's own times are of the wall clock. They say how old it is only as far back as that clock has run
steadily, compared with the monotonic one: after a jump, or where nothing is known, nothing is older than that.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import stat

from frontgate import clock
from frontgate.spool.beneath import Folder
from frontgate.values import Struct

JUMP_S = 0.2
MOST_INNER = 5000
MOST_DEPTH = 16


class Moment(Struct, frozen=True):
    """One reading of both clocks, in seconds."""

    steady_s: float
    wall_s: float


class Noted(Struct, frozen=True):
    """What a start goes by: since when the wall clock is known not to have jumped, in monotonic seconds, and
    how far it was from the monotonic one then.
    """

    since: float
    apart_s: float


class Ages:
    """How long a file is surely unchanged."""

    def __init__(self, noted: Noted | None = None) -> None:
        self._steady = clock.Steady(JUMP_S)
        if noted is not None and abs(noted.apart_s - clock.offset_s()) <= JUMP_S:
            self._steady.since = noted.since

    def look(self) -> Moment:
        """The present moment; a jump since the last look is noticed."""
        self._steady.look()
        return Moment(clock.monotonic(), clock.now().timestamp())

    def age_of(self, wall_s: float, at: Moment) -> float:
        """Seconds for which a file with this newest time was surely unchanged at that moment."""
        return max(0.0, min(at.wall_s - wall_s, at.steady_s - self._steady.since))


class State(Struct, frozen=True):
    """What an entry was like: two whose marks differ were not quiet between. newest_s: the newest of all its
    times, POSIX.
    """

    mark: bytes
    newest_s: float


UNKNOWN = State(b"", 0.0)


def state_of(info: os.stat_result) -> State:
    """Of an entry alone."""
    return State(_mark(info), max(info.st_mtime_ns, info.st_ctime_ns) / 1e9)


def _mark(info: os.stat_result) -> bytes:
    """As text: a time may have more digits than a machine's integer, and be before 1970."""
    return b"%d %d %d %d" % (info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def state_of_folder(outbound: Folder, name: bytes, info: os.stat_result) -> State:
    """With all below it, as far as `MOST_INNER` entries: its mark has a digest in place of thousands of rows.
    Raises: OSError.
    """
    newest_ns, count, sha = max(info.st_mtime_ns, info.st_ctime_ns), 0, hashlib.sha256()
    pending: list[tuple[bytes, ...]] = [(name,)]
    while pending and count <= MOST_INNER:
        way = pending.pop()
        with outbound.inner(*way) as folder:
            for below in sorted(itertools.islice(folder.names(), MOST_INNER + 1)):
                i = folder.lstat(below)
                count += 1
                newest_ns = max(newest_ns, i.st_mtime_ns, i.st_ctime_ns)
                sha.update(b"%d %b %b\n" % (len(below), below, _mark(i)))
                if stat.S_ISDIR(i.st_mode) and len(way) < MOST_DEPTH:
                    pending.append((*way, below))
    return State(_mark(info) + sha.digest(), newest_ns / 1e9)
