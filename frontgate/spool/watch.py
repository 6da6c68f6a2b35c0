"""Noticing drops: inotify through watchdog as a hint, the sweep as the truth.

A hint names an entry that appeared; it is ready at once if it was renamed in, from wherever, or
closed after writing. Hints may be lost (queue overflow, network file systems, a remount): then the
periodic sweep finds the entry.

watchdog's lower layer is used, not its observers: those hold back everything behind a rename out of
the folder for 0.5 s while they look for its other half, and every claim is such a rename (ADR 0007).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyFD

from frontgate.spool.layout import filesystem_kind

_READY = InotifyConstants.IN_MOVED_TO | InotifyConstants.IN_CLOSE_WRITE
_MASK = _READY | InotifyConstants.IN_CREATE | InotifyConstants.IN_ONLYDIR
MOST_HINTS = 100_000


class Watcher:
    """Watches folders and calls `wake` when something may be new in one of them."""

    def __init__(self, folders: Sequence[Path], wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._hints: dict[Path, dict[bytes, bool]] = {folder: {} for folder in folders}
        self._overflowed = True
        self.polled = {f: filesystem_kind(f) for f in folders if filesystem_kind(f) != "local"}
        self._inotify: Any = None

    def start(self) -> None:
        self._inotify = InotifyFD()
        for number, folder in enumerate(self._hints):
            if folder not in self.polled:
                callback = _Callback(self, folder)
                self._inotify.add_callback(bytes(folder), _MASK, callback, CallbackId(number))
        self._inotify.start()

    def stop(self) -> None:
        if self._inotify is not None:
            self._inotify.stop()
            self._inotify.join(5)
            self._inotify = None

    def hint(self, folder: Path, name: bytes, *, is_ready: bool) -> None:
        """An entry appeared. is_ready: it was renamed in or closed, so it may be taken at once."""
        with self._lock:
            hints = self._hints[folder]
            if len(hints) >= MOST_HINTS:
                self._overflowed = True
            else:
                hints[name] = is_ready or hints.pop(name, False)
        self._wake()

    def overflowed(self) -> None:
        """Events were lost: everything has to be looked at."""
        with self._lock:
            self._overflowed = True
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

    def take_overflow(self) -> bool:
        """Whether a full sweep is called for; True at first."""
        with self._lock:
            value, self._overflowed = self._overflowed, False
        return value


class _Callback:
    """What watchdog's inotify thread calls."""

    def __init__(self, watcher: Watcher, folder: Path) -> None:
        self._watcher = watcher
        self._folder = folder

    def on_event(self, event: Any) -> None:
        if event.name:
            self._watcher.hint(self._folder, event.name, is_ready=bool(event.mask & _READY))

    def on_watch_deleted(self, wd: int) -> None:
        """The folder was removed, swapped or unmounted: the sweep goes on without hints."""
        self._watcher.overflowed()

    def on_queue_overflow(self) -> None:
        self._watcher.overflowed()
