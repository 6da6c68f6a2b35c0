"""Noticing drops: inotify through watchdog as a hint, the sweep as the truth.

A hint names an entry that was renamed in or closed after writing. Hints may be lost (queue
overflow, network file systems, a remount): then the periodic sweep finds the entry.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from frontgate.spool.layout import filesystem_kind

_EVENTS: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileMovedEvent,
    FileCreatedEvent,
    DirMovedEvent,
    DirCreatedEvent,
]
MOST_HINTS = 100_000


class Watcher:
    """Watches folders and calls `wake` when something may be new in one of them."""

    def __init__(self, folders: Sequence[Path], wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._hints: dict[Path, dict[bytes, bool]] = {folder: {} for folder in folders}
        self._overflowed = True
        self.polled = {f: filesystem_kind(f) for f in folders if filesystem_kind(f) != "local"}
        self._observer = Observer()
        for folder in folders:
            if folder not in self.polled:
                self._observer.schedule(
                    _Handler(self, folder), str(folder), recursive=False, event_filter=_EVENTS
                )
        self._overflow = _OverflowListener(self.overflowed)

    def start(self) -> None:
        logging.getLogger("watchdog").addHandler(self._overflow)
        self._observer.start()

    def stop(self) -> None:
        logging.getLogger("watchdog").removeHandler(self._overflow)
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join(5)

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

    def take_hints(self, folder: Path) -> list[tuple[bytes, bool]]:
        """(name, is ready) of what was hinted at since the last call, in the order of events."""
        with self._lock:
            names = list(self._hints[folder].items())
            self._hints[folder].clear()
        return names

    def take_overflow(self) -> bool:
        """Whether a full sweep is called for; True at first."""
        with self._lock:
            value, self._overflowed = self._overflowed, False
        return value


class _Handler(FileSystemEventHandler):
    def __init__(self, watcher: Watcher, folder: Path) -> None:
        self._watcher = watcher
        self._folder = folder

    def on_any_event(self, event: FileSystemEvent) -> None:
        if isinstance(event, (FileMovedEvent, DirMovedEvent)):
            self._hint(event.dest_path, is_ready=True)
        elif isinstance(event, FileClosedEvent):
            self._hint(event.src_path, is_ready=True)
        else:
            # Created by opening, or renamed in from elsewhere: the event does not tell which, so
            # the sweep's rest rule decides.
            self._hint(event.src_path, is_ready=False)

    def _hint(self, path: bytes | str, *, is_ready: bool) -> None:
        name = os.path.basename(os.fsencode(path))
        if name:
            self._watcher.hint(self._folder, name, is_ready=is_ready)


class _OverflowListener(logging.Handler):
    """watchdog tells of a lost event only in its log."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        if "overflow" in record.getMessage().lower():
            self._tell()
