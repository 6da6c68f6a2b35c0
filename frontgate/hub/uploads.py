"""Noticing uploads: inotify on each `to-hub/`, as a hint; the listing is the truth.

Only a name that an upload gets when it is whole counts (by a rename, or by a link and an unlink): all
that happens before, and all in `from-hub/`, wakes nobody. A mailbox that cannot be watched is looked at
whenever anything is, and at least every `FULL_LOOK_S` seconds, as all are.

watchdog's lower layer is used, as in the spool (ADR 0007).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyFD

from frontgate import clock
from frontgate.hub.mailboxes import BUNDLE_NAME, LARGE_UPLOAD_BYTES, Ahead, Mailbox, Mailboxes
from frontgate.log import get_logger
from frontgate.model.unit import Directory

log = get_logger()

_MASK = InotifyConstants.IN_MOVED_TO | InotifyConstants.IN_CREATE | InotifyConstants.IN_ONLYDIR
FULL_LOOK_S = 30.0
"""Every mailbox is looked at so often, whatever was told."""


class Uploads:
    """Mailboxes with uploads of one size class: large ones are taken by a loop of their own, so that
    a unit's largest package holds up nobody's messages. What is told may come from any thread.
    """

    def __init__(self, mailboxes: Mailboxes, watch: UploadWatch, *, is_large: bool) -> None:
        self._mailboxes = mailboxes
        self._watch = watch
        self._is_large = is_large
        self._told: set[str] = set()
        self._lock = threading.Lock()
        self._full_at = 0.0
        self._of: Directory | None = None
        self._boxes: dict[str, Mailbox] = {}
        watch.tell(self.told, is_large=is_large)

    def told(self, account: str | None) -> None:
        """There may be something new in an account's mailbox; None for all of them."""
        with self._lock:
            if account is None:
                self._full_at = 0.0
            else:
                self._told.add(account)

    def all(self) -> Iterator[Mailbox]:
        """Those that may hold an upload, one per front end, in the order of account names."""
        with self._lock:
            told, self._told = self._told, set()
            is_full = clock.monotonic() >= self._full_at
            if is_full:
                self._full_at = clock.monotonic() + FULL_LOOK_S
        if self._mailboxes.directory is not self._of:
            self._of = self._mailboxes.directory
            self._boxes = {box.account: self._with_ahead(box) for box in self._mailboxes.all()}
            is_full = True
        for account, box in list(self._boxes.items()):
            assert box.ahead is not None
            if (
                is_full
                or account in told
                or not box.ahead.was_empty
                or not self._watch.is_watched(account)
            ):
                yield box

    def _with_ahead(self, box: Mailbox) -> Mailbox:
        known = self._boxes.get(box.account)
        ahead = known.ahead if known else None
        return replace(box, ahead=ahead or Ahead(box.to_hub, is_large=self._is_large))


class UploadWatch:
    """One inotify instance for all mailboxes. `turn` is the body of a loop."""

    LOOK_S = 5.0
    """A mailbox that was made meanwhile is watched after this long at most."""

    def __init__(self, mailboxes: Mailboxes, wake: Callable[[bool], None]) -> None:
        """wake: the loop that takes uploads of a size class, from whether it is the large one."""
        self._mailboxes = mailboxes
        self._wake = wake
        self._tells: dict[bool, Callable[[str | None], None]] = {}
        self._watched: dict[str, int] = {}
        self._ids = itertools.count()
        self._inotify: Any = None

    def tell(self, told: Callable[[str | None], None], *, is_large: bool) -> None:
        self._tells[is_large] = told

    def is_watched(self, account: str) -> bool:
        return account in self._watched

    def start(self) -> None:
        """Begin. Without inotify, or where it has no room left, mailboxes are looked at by time."""
        try:
            self._inotify = InotifyFD()
        except OSError as error:
            log.warning("no-inotify", detail=str(error))
            return
        self.turn()
        self._inotify.start()

    def stop(self) -> None:
        if self._inotify is not None:
            self._inotify.stop()
            self._inotify.join(5)
            self._inotify = None

    def turn(self) -> float | None:
        """Watch what is not watched yet."""
        if self._inotify is None:
            return None
        for box in self._mailboxes.all():
            if box.account not in self._watched and self._watch(box):
                self._news(box.account, None)
        return self.LOOK_S

    def _watch(self, box: Mailbox) -> bool:
        callback = _Callback(self, box)
        try:
            wd = self._inotify.add_callback(
                bytes(box.to_hub), _MASK, callback, CallbackId(next(self._ids))
            )
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                log.warning("unwatched", account=box.account, detail=str(error))
            return False
        if wd < 0:  # no right to read it
            return False
        self._watched[box.account] = wd
        return True

    def _news(self, account: str | None, is_large: bool | None) -> None:
        for kind, told in list(self._tells.items()):
            if is_large is None or kind == is_large:
                told(account)
                self._wake(kind)

    def came(self, box: Mailbox, name: bytes) -> None:
        """An entry appeared in a mailbox."""
        if not BUNDLE_NAME.fullmatch(os.fsdecode(name)):
            return
        is_large: bool | None = None
        with contextlib.suppress(OSError):
            is_large = os.lstat(bytes(box.to_hub) + b"/" + name).st_size > LARGE_UPLOAD_BYTES
        self._news(box.account, is_large)

    def lost(self, box: Mailbox, wd: int) -> None:
        """The folder was removed, swapped or unmounted."""
        if self._watched.get(box.account) == wd:
            del self._watched[box.account]
        self._news(box.account, None)

    def overflowed(self) -> None:
        """Events were lost: everything has to be looked at."""
        self._news(None, None)


class _Callback:
    """What watchdog's inotify thread calls."""

    def __init__(self, watch: UploadWatch, box: Mailbox) -> None:
        self._watch = watch
        self._box = box

    def on_event(self, event: Any) -> None:
        if event.name:
            self._watch.came(self._box, event.name)

    def on_watch_deleted(self, wd: int) -> None:
        self._watch.lost(self._box, wd)

    def on_queue_overflow(self) -> None:
        self._watch.overflowed()
