"""Noticing drops: inotify through watchdog as a hint, the sweep as the truth.

A hint names an entry that appeared; it is ready at once if it was renamed in, from wherever, or
closed after writing. Hints may be lost (queue overflow, network file systems, a remount): then the
periodic sweep finds the entry.

watchdog's lower layer is used, not its observers: those hold back everything behind a rename out of
the folder for 0.5 s while they look for its other half, and every claim is such a rename (ADR 0007).
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyFD

from frontgate.log import get_logger
from frontgate.spool.layout import filesystem_kind
from frontgate.spool.sweep import is_ignored

log = get_logger()

_READY = InotifyConstants.IN_MOVED_TO | InotifyConstants.IN_CLOSE_WRITE
_MASK = _READY | InotifyConstants.IN_CREATE | InotifyConstants.IN_ONLYDIR
MOST_HINTS = 8192
"""Of more a scan finds all, in windows twice as large: what is remembered of a backlog does not grow with it."""


class Watcher:
    """Watches folders and calls `wake` when something may be new in one of them.

    polled: folders that are not watched, and why: `nfs`, `cifs`, `fuse`, `network`, or `unwatched`
    where the system has no watch left. The caller's periodic scan serves them.
    """

    def __init__(self, folders: Sequence[Path], wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._hints: dict[Path, dict[bytes, bool]] = {folder: {} for folder in folders}
        self._behind = set(folders)
        self._watches: dict[Path, Any] = {}
        self._ids = itertools.count()
        self.polled: dict[Path, str] = {}
        self._inotify: Any = None

    def start(self) -> None:
        """Begin. A folder that cannot be watched is polled."""
        try:
            self._inotify = InotifyFD()
        except OSError as error:
            log.warning("no-inotify", detail=str(error))
        for folder in self._hints:
            self.watch_again(folder)
        if self._inotify is not None:
            self._inotify.start()

    def watch_again(self, folder: Path) -> None:
        """Watch what now stands under this name: at start, after a remount or a swap."""
        kind = filesystem_kind(folder)
        old = self._watches.pop(folder, None)
        if self._inotify is not None:
            if old is not None:
                with contextlib.suppress(OSError):
                    self._inotify.remove_callbacks([old])
            if kind == "local":
                kind = self._watch(folder)
        elif kind == "local":
            kind = "unwatched"
        if kind == "local":
            self.polled.pop(folder, None)
        else:
            self.polled[folder] = kind
            log.warning("polled", folder=str(folder), kind=kind)
        self._lose(folder)

    def _watch(self, folder: Path) -> str:
        number = CallbackId(next(self._ids))
        callback = _Callback(self, folder)
        try:
            wd = self._inotify.add_callback(bytes(folder), _MASK, callback, number)
        except OSError as error:
            log.warning("unwatched", folder=str(folder), detail=str(error))
            return "unwatched"
        if wd < 0:  # no right to read it
            return "unwatched"
        self._watches[folder] = (wd, number)
        return "local"

    def stop(self) -> None:
        if self._inotify is not None:
            self._inotify.stop()
            self._inotify.join(5)
            self._inotify = None

    def hint(self, folder: Path, name: bytes, *, is_ready: bool) -> None:
        """An entry appeared. is_ready: it was renamed in or closed, so it may be taken at once."""
        with self._lock:
            hints = self._hints[folder]
            hints.pop(name, None)  # its newest event is its place in the order
            if len(hints) < MOST_HINTS:
                hints[name] = is_ready
            else:
                hints.clear()  # a scan finds them all, in the order of their times
                self._behind.add(folder)
        self._wake()

    def _lose(self, folder: Path) -> None:
        with self._lock:
            self._behind.add(folder)
        self._wake()

    def overflowed(self) -> None:
        """Events were lost: everything has to be looked at."""
        with self._lock:
            self._behind.update(self._hints)
        self._wake()

    def take_hints(self, folder: Path, limit: int) -> list[tuple[bytes, bool]]:
        """(name, is ready) of the oldest hints, at most `limit`, in the order of events."""
        with self._lock:
            hints = self._hints[folder]
            names = list(itertools.islice(hints.items(), limit))
            for name, _ in names:
                del hints[name]
        return names

    def has_hints(self, folder: Path) -> bool:
        return bool(self._hints[folder])

    def take_behind(self, folder: Path) -> bool:
        """Whether hints of this folder were lost, so that a scan is called for; True at first."""
        with self._lock:
            if folder not in self._behind:
                return False
            self._behind.discard(folder)
            return True


class _Callback:
    """What watchdog's inotify thread calls."""

    def __init__(self, watcher: Watcher, folder: Path) -> None:
        self._watcher = watcher
        self._folder = folder

    def on_event(self, event: Any) -> None:
        if event.name and not is_ignored(event.name):
            self._watcher.hint(self._folder, event.name, is_ready=bool(event.mask & _READY))

    def on_watch_deleted(self, wd: int) -> None:
        """The folder was removed, swapped or unmounted: the sweep goes on without hints."""
        self._watcher._lose(self._folder)

    def on_queue_overflow(self) -> None:
        self._watcher.overflowed()
