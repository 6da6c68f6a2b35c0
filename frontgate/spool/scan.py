"""A scan of `outbound/`: its entries in windows, each by time and name, and judged as of one moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from frontgate.spool.beneath import Folder
from frontgate.spool.quiet import Ages, Moment

WINDOW = 16_384
"""Entries are ordered by mtime and name within windows of this many."""
_TIME_BYTES = 12
_EPOCH = 1 << 95
"""Added to a time in nanoseconds, which has 94 bits and may lie before 1970: so it is never below zero."""


class Scan:
    """See the module. is_catching_up: what it finds was there before what is hinted at from now on."""

    def __init__(self, folder: Path, ages: Ages, is_ignored: Callable[[bytes], bool]) -> None:
        self._folder = folder
        self._ages = ages
        self._is_ignored = is_ignored
        self._names: Iterator[bytes] | None = None
        self._window: list[bytes] = []
        """Packed, the next one last."""
        self._at = ages.look()
        self._is_due = False
        self.is_catching_up = False
        self.is_fresh = False
        """Whether nothing of it was looked at yet."""

    def start(self, *, catch_up: bool) -> None:
        """From the beginning. One that catches up is gone through first: begun again and again, it would
        never come to its later windows.
        """
        if catch_up and self.is_catching_up and self.is_running:
            self._is_due = True
            return
        self.end()
        self.is_catching_up = catch_up
        self.is_fresh = True
        self._names = self._listed()

    def _listed(self) -> Iterator[bytes]:
        with Folder.at(self._folder) as outbound:
            yield from outbound.names()

    def end(self) -> None:
        self._names = None
        self._window.clear()
        self._is_due = self.is_catching_up = self.is_fresh = False

    @property
    def is_running(self) -> bool:
        return self._names is not None or bool(self._window) or self._is_due

    @property
    def is_between(self) -> bool:
        """Whether all of a window was looked at, and the next is not filled."""
        return not self._window and not self.is_fresh

    def next(self, outbound: Folder) -> tuple[bytes, Moment] | None:
        """The next entry, and as of when it is to be judged; None where there is none."""
        if not self._window and self._names is not None:
            self._fill(outbound, self._names)
        if self._window:
            return self._window.pop()[_TIME_BYTES:], self._at
        if self._is_due:
            self.end()
            self.start(catch_up=True)
        else:
            self.end()
        return None

    def _fill(self, outbound: Folder, names: Iterator[bytes]) -> None:
        self.is_fresh = False
        self._at = self._ages.look()
        rows: list[bytes] = []
        for name in names:
            if self._is_ignored(name):
                continue
            try:
                rows.append(_packed(outbound.lstat(name).st_mtime_ns, name))
            except FileNotFoundError:
                continue
            if len(rows) >= WINDOW:
                break
        else:
            self._names = None
        rows.sort(reverse=True)
        self._window = rows


def _packed(mtime_ns: int, name: bytes) -> bytes:
    """Time and name in one object that sorts by both: half the memory of a tuple with its number and name, and
    nothing for the collector to look at.
    """
    return (mtime_ns + _EPOCH).to_bytes(_TIME_BYTES, "big") + name
