"""Sweeping `outbound/`: which entries are whole and quiet, and claiming them in the order of drop.

The sweep is the truth; hints only make it quick. Nothing is remembered of entries that are ready:
with a million of them memory stays constant. While a scan runs, hints wait: what it finds was dropped
before them.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from frontgate import clock
from frontgate.errors import SpoolError
from frontgate.model.finding import finding
from frontgate.spool.beneath import Folder
from frontgate.spool.claiming import (
    CLAIM_MARK,
    LEFT,
    OF_THE_SPOOL,
    Claim,
    Claimer,
    Refused,
    shown,
    spool_error,
)
from frontgate.spool.complete import kind_of, missing
from frontgate.spool.layout import SpoolPaths, filesystem_kind
from frontgate.spool.quiet import Ages, newest_of

__all__ = ["CLAIM_MARK", "LEFT", "WINDOW", "Claim", "Refused", "Sweeper", "Timing", "is_ignored"]

_IGNORED_STARTS = (b".", b"~$")
_IGNORED_ENDS = (b".tmp", b".part", b".filepart", b".partial", b".crdownload")
_IGNORED_NAMES = frozenset({b"thumbs.db", b"desktop.ini", b"__macosx"})
TRIES = 5
"""How often an entry that cannot be claimed keeps its turn before the others."""
WINDOW = 65_536
"""Entries found by a scan are ordered by mtime and name within windows of this many."""
MOST_UNSETTLED = WINDOW
MOST_INNER = 5000
LOOKED_AT = 4096
"""So many entries at most are looked at in one sweep: a folder full of unfinished ones blocks nobody."""
OLD_S = 24 * 3600.0

Hints = Callable[[int], list[tuple[bytes, bool]]]
"""Gives the oldest hints, at most that many: (name, is ready)."""


@dataclass(frozen=True, slots=True)
class Timing:
    """settle_s: quiet time before an entry is taken. incomplete_after_s: then it is refused."""

    settle_s: float = 2.0
    incomplete_after_s: float = 60.0


@dataclass(slots=True)
class _Seen:
    state: tuple[Any, ...]
    since: float


def is_ignored(name: bytes) -> bool:
    """Names of unfinished or foreign entries."""
    low = name.lower()
    return low.startswith(_IGNORED_STARTS) or low.endswith(_IGNORED_ENDS) or low in _IGNORED_NAMES


class Sweeper:
    """Looks at one `outbound/`. Used by one thread; `waiting` by any."""

    def __init__(
        self,
        paths: SpoolPaths,
        *,
        settle_s: float = 2.0,
        incomplete_after_s: float = 60.0,
        network: Timing | None = None,
    ) -> None:
        self._paths = paths
        self._local = Timing(settle_s, incomplete_after_s)
        self._network = network or self._local
        self._timing = self._local
        self.on_swapped: Callable[[], None] = lambda: None
        self._identity: tuple[int, int] | None = None
        self._claimer = Claimer(paths)
        self._ages = Ages()
        self._unsettled: OrderedDict[bytes, _Seen] = OrderedDict()
        self._stuck: dict[bytes, bool] = {}
        self._scan: Iterator[bytes] | None = None
        self._window: deque[bytes] = deque()
        self._is_catching_up = False
        self._is_settling = False
        self._hold_until = 0.0
        self._look_at = 0.0
        self._is_behind = False
        self._given: deque[tuple[bytes, bool]] = deque()
        self._first: dict[bytes, bool] = {}
        self._tries: dict[bytes, int] = {}
        self._later: dict[bytes, bool] = {}

    def recover(self) -> Iterator[Claim]:
        """Claims left from before, once each. Raises: OSError."""
        return self._claimer.recover()

    # -- sweeping ---------------------------------------------------------------------------

    def start_scan(self, *, catch_up: bool = False) -> None:
        """Look at everything again, from the beginning. catch_up: hints may have been lost, so that
        what is found was dropped before what is hinted at from now on.
        """
        self._end_scan()
        self._stuck.clear()
        self._is_catching_up = catch_up
        self._scan = self._names()

    def _names(self) -> Iterator[bytes]:
        with Folder.at(self._paths.outbound) as outbound:
            yield from outbound.names()

    def _end_scan(self) -> None:
        self._scan = None
        self._window.clear()

    @property
    def is_scanning(self) -> bool:
        return self._scan is not None or bool(self._window)

    @property
    def is_holding(self) -> bool:
        """Whether hints have to wait for what was dropped before them."""
        return self.is_scanning or (self._is_settling and bool(self._unsettled))

    def sweep(
        self, hints: Hints | list[tuple[bytes, bool]], limit: int = 64
    ) -> list[Claim | Refused]:
        """Claim what is ready, in the order of drop: what a scan finds, then what has settled, then
        what was hinted at.

        Returns: at most `limit`. Raises: SpoolError FG-SPL-030 where the spool cannot be used now;
        an entry that this happened with is the first the next time, after some tries the last.
        """
        found: list[Claim | Refused] = []
        self._ages.look()
        if self._is_behind:
            self._is_behind = False
            self.start_scan(catch_up=True)
        try:
            with Folder.at(self._paths.outbound) as outbound:
                self._know(outbound)
                self._claimer.take_back(outbound)
                if not callable(hints):
                    self._given.extend(hints)
                for name in list(self._first):
                    self._consider(outbound, name, found, is_ready=self._first.pop(name))
                self._sweep_scan(outbound, found, limit)
                self._sweep_unsettled(outbound, found, limit)
                if callable(hints) and not self.is_holding and len(found) < limit:
                    self._given.extend(hints(limit - len(found)))
                while self._given and not self.is_holding and len(found) < limit:
                    name, is_ready = self._given.popleft()
                    self._consider(outbound, name, found, is_ready=is_ready)
                for name in list(self._later):
                    self._consider(outbound, name, found, is_ready=self._later.pop(name))
        except OSError as error:
            self._end_scan()
            self._is_behind = True
            if not found:
                raise spool_error(error) from error
        except SpoolError:
            if not found:
                raise
        return found

    def _know(self, outbound: Folder) -> None:
        """Notice another folder under the same name: a remount, a swap."""
        info = os.fstat(outbound.fd)
        identity = info.st_dev, info.st_ino
        if identity == self._identity:
            return
        is_first = self._identity is None
        self._identity = identity
        kind = filesystem_kind(self._paths.outbound)
        self._timing = self._local if kind == "local" else self._network
        if not is_first:
            self._unsettled.clear()
            self.start_scan(catch_up=True)
            self.on_swapped()

    def _sweep_scan(self, outbound: Folder, found: list[Claim | Refused], limit: int) -> None:
        left = LOOKED_AT
        while len(found) < limit and left and self.is_scanning:
            if not self._window:
                self._fill_window(outbound)
                continue
            left -= 1
            name = self._window.popleft()
            if name not in self._later:
                self._consider(outbound, name, found, is_ready=False)
        if self._is_catching_up and not self.is_scanning:
            self._is_catching_up = False
            # They were there before any hint: let them settle first, and be looked at then.
            self._is_settling = bool(self._unsettled)
            self._hold_until = clock.monotonic() + self._timing.settle_s

    def _sweep_unsettled(self, outbound: Folder, found: list[Claim | Refused], limit: int) -> None:
        now = clock.monotonic()
        have_settled = self._is_settling and now >= self._hold_until
        if now < self._look_at and not have_settled:
            return
        for name in list(self._unsettled):
            if len(found) >= limit:
                return
            self._consider(outbound, name, found, is_ready=False)
        self._look_at = now + self._pause_s
        if have_settled:
            self._is_settling = False

    @property
    def _pause_s(self) -> float:
        return max(0.05, self._timing.settle_s / 4)

    def _fill_window(self, outbound: Folder) -> None:
        assert self._scan is not None
        rows: list[tuple[int, bytes]] = []
        for name in self._scan:
            if is_ignored(name):
                continue
            try:
                rows.append((outbound.lstat(name).st_mtime_ns, name))
            except FileNotFoundError:
                continue
            if len(rows) >= WINDOW:
                break
        else:
            self._scan = None
        self._window.extend(name for _, name in sorted(rows))

    def next_look(self) -> float | None:
        """Seconds until an unsettled entry may have settled; None if there is none."""
        return self._pause_s if self._unsettled else None

    def waiting(self) -> list[dict[str, object]]:
        """For `status`: entries that are not whole yet, those that had to stay, and old ignored ones."""
        rows: list[dict[str, object]] = [
            {"name": shown(name), "why": "incomplete"} for name in list(self._unsettled)[:100]
        ]
        rows += [{"name": shown(n), "why": "stuck"} for n in list(self._stuck)[:100]]
        now = clock.now().timestamp()
        try:
            with Folder.at(self._paths.outbound) as outbound:
                for name in itertools.islice(outbound.names(), 100_000):
                    if len(rows) >= 300:
                        break
                    if not is_ignored(name) or name.startswith(CLAIM_MARK):
                        continue
                    try:
                        age = now - outbound.lstat(name).st_mtime
                    except FileNotFoundError:
                        continue
                    if age > OLD_S:
                        rows.append({"name": shown(name), "why": "unfinished", "age_s": int(age)})
        except OSError as error:
            rows.append({"name": "", "why": "unreachable", "detail": str(error)})
        return rows

    def _consider(
        self, outbound: Folder, name: bytes, found: list[Claim | Refused], *, is_ready: bool
    ) -> None:
        if is_ignored(name):
            return
        try:
            info = outbound.lstat(name)
        except (FileNotFoundError, NotADirectoryError):
            self._unsettled.pop(name, None)
            return
        kind = kind_of(name, info.st_mode)
        try:
            state = self._state(outbound, name, info, kind)
            quiet_s = self._quiet(name, state, info)
            is_quiet = quiet_s >= self._timing.settle_s
            if not is_quiet and not is_ready:
                return
            may_look = kind == "folder" or info.st_nlink == 1
            lacking = missing(outbound, name, kind) if kind and may_look else ""
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno in OF_THE_SPOOL:
                self._remember(name)
                return  # a fault of its own: shown, and looked at again by the next scan
            quiet_s = self._quiet(name, (info.st_ino, info.st_ctime_ns), info)
            is_quiet, lacking = quiet_s >= self._timing.settle_s, ""
            kind = None if error.errno in (errno.ELOOP, errno.EACCES, errno.EPERM) else kind
        if not is_quiet and (kind is None or (kind == "folder" and lacking)):
            return
        if lacking and quiet_s < self._timing.incomplete_after_s:
            return
        problem = None
        if lacking:
            problem = finding("FG-SPL-011", value=shown(name), what=lacking)
        elif kind is None:
            code = "FG-SPL-010" if stat.S_ISREG(info.st_mode) else "FG-SPL-012"
            problem = finding(code, value=shown(name))
        self._unsettled.pop(name, None)
        if self._claimer.is_left(name, info):
            self._remember(name)
            return
        try:
            taken = self._claimer.take(outbound, name, info, kind or "other")
        except SpoolError:
            # Mostly the whole spool is at fault, and its turn stays; where it alone may be, it holds
            # up no other for longer than some tries.
            tries = self._tries.get(name, 0) + self._claimer.reached_entry
            if tries < TRIES:
                self._tries[name] = tries
                self._first = {name: True, **self._first}  # it had settled already
            elif len(self._later) < MOST_UNSETTLED:
                self._later[name] = True
            raise
        self._tries.pop(name, None)
        if isinstance(taken, Refused):
            self._remember(name)
            found.append(taken)
        elif taken is not None:
            found.append(taken if problem is None else Refused(taken, problem))

    def _remember(self, name: bytes) -> None:
        """It stays: shown in `status` until the next scan looks again."""
        if len(self._stuck) < 10_000:
            self._stuck[name] = True

    @staticmethod
    def _state(
        outbound: Folder, name: bytes, info: os.stat_result, kind: str | None
    ) -> tuple[Any, ...]:
        own = (info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        if kind != "folder":
            return own
        inner: list[Any] = []
        pending: list[tuple[bytes, ...]] = [(name,)]
        while pending and len(inner) <= MOST_INNER:
            way = pending.pop()
            with outbound.inner(*way) as folder:
                for below in sorted(itertools.islice(folder.names(), MOST_INNER + 1)):
                    i = folder.lstat(below)
                    inner.append((below, i.st_ino, i.st_size, i.st_mtime_ns, i.st_ctime_ns))
                    if stat.S_ISDIR(i.st_mode) and len(way) < 16:
                        pending.append((*way, below))
        return own, tuple(inner)

    def _quiet(self, name: bytes, state: tuple[Any, ...], info: os.stat_result) -> float:
        """Seconds for which the entry has not changed: as seen by us, or by its own times."""
        now = clock.monotonic()
        seen = self._unsettled.get(name)
        if seen is None or seen.state != state:
            if len(self._unsettled) >= MOST_UNSETTLED:
                self._unsettled.popitem(last=False)
            self._unsettled[name] = _Seen(state, now)
            watched = 0.0
        else:
            watched = now - seen.since
        return max(watched, self._ages.age_of(max(newest_of(state), info.st_ctime)))
