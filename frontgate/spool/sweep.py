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
from collections import deque
from collections.abc import Callable, Iterator

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
from frontgate.spool.quiet import UNKNOWN, Ages, Moment, Noted, State, state_of, state_of_folder
from frontgate.spool.scan import Scan
from frontgate.spool.unsettled import Unsettled
from frontgate.values import Struct

__all__ = ["CLAIM_MARK", "LEFT", "Claim", "Refused", "Sweeper", "Timing", "is_ignored"]

_IGNORED_STARTS = (b".", b"~$")
_IGNORED_ENDS = (b".tmp", b".part", b".filepart", b".partial", b".crdownload")
_IGNORED_NAMES = frozenset({b"thumbs.db", b"desktop.ini", b"__macosx"})
TRIES = 5
"""How often an entry that cannot be claimed keeps its turn before the others."""
MOST_LATER = 65_536
LOOKED_AT = 4096
"""So many entries at most are looked at in one sweep: a folder full of unfinished ones blocks nobody."""
OLD_S = 24 * 3600.0

Hints = Callable[[int], list[tuple[bytes, bool]]]
"""Gives the oldest hints, at most that many: (name, is ready)."""


class Timing(Struct, frozen=True):
    """settle_s: quiet time before an entry is taken. incomplete_after_s: then it is refused."""

    settle_s: float = 2.0
    incomplete_after_s: float = 60.0


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
        clock_noted: Noted | None = None,
    ) -> None:
        """clock_noted: what is known of the clocks from before this start."""
        self._paths = paths
        self._local = Timing(settle_s, incomplete_after_s)
        self._network = network or self._local
        self._timing = self._local
        self.on_swapped: Callable[[], None] = lambda: None
        self._identity: tuple[int, int] | None = None
        self._claimer = Claimer(paths)
        self._ages = Ages(clock_noted)
        self._are_times_ours = True
        self._unsettled = Unsettled()
        self._scan = Scan(paths.outbound, self._ages, is_ignored)
        self._stuck: dict[bytes, bool] = {}
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
        self._stuck.clear()
        self._scan.start(catch_up=catch_up)

    @property
    def is_scanning(self) -> bool:
        return self._scan.is_running

    @property
    def has_more(self) -> bool:
        """Whether the next sweep has something to do at once."""
        return self._may_scan or self._unsettled.is_looking or self._is_behind or bool(self._first)

    @property
    def _may_scan(self) -> bool:
        """Between two windows what has to settle is awaited: mostly it was there before the next."""
        return self._scan.is_running and not (self._scan.is_between and self._unsettled.is_awaited)

    @property
    def is_holding(self) -> bool:
        """Whether hints have to wait for what was dropped before them."""
        return self._scan.is_running or self._unsettled.is_awaited

    def sweep(
        self, hints: Hints | list[tuple[bytes, bool]], limit: int = 64
    ) -> list[Claim | Refused]:
        """Claim what is ready, in the order of drop: what a scan finds, then what has settled, then
        what was hinted at.

        Returns: at most `limit`. Raises: SpoolError FG-SPL-030 where the spool cannot be used now;
        an entry that this happened with is the first the next time, after some tries the last.
        """
        found: list[Claim | Refused] = []
        at = self._ages.look()
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
                    self._consider(outbound, name, found, at, is_ready=self._first.pop(name))
                self._sweep_scan(outbound, found, limit)
                self._sweep_unsettled(outbound, found, at, limit)
                if callable(hints) and not self.is_holding and len(found) < limit:
                    self._given.extend(hints(limit - len(found)))
                while self._given and not self.is_holding and len(found) < limit:
                    name, is_ready = self._given.popleft()
                    self._consider(outbound, name, found, at, is_ready=is_ready)
                for name in list(self._later):
                    self._consider(outbound, name, found, at, is_ready=self._later.pop(name))
        except OSError as error:
            self._scan.end()
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
        self._are_times_ours = kind == "local"  # else they are of the server's clock
        self._timing = self._local if self._are_times_ours else self._network
        if not is_first:
            self._unsettled.clear()
            self._scan.end()
            self.start_scan(catch_up=True)
            self.on_swapped()

    def _sweep_scan(self, outbound: Folder, found: list[Claim | Refused], limit: int) -> None:
        left = LOOKED_AT
        while len(found) < limit and left and self._may_scan:
            entry = self._scan.next(outbound)
            if entry is None:
                continue
            left -= 1
            name, at = entry
            try:
                if name not in self._later:
                    self._consider(outbound, name, found, at, is_ready=False)
            finally:
                if self._scan.is_catching_up and self._scan.is_between:
                    self._unsettled.wait_for_all(self._timing.settle_s)

    def _sweep_unsettled(
        self, outbound: Folder, found: list[Claim | Refused], now: Moment, limit: int
    ) -> None:
        left = LOOKED_AT
        while len(found) < limit and left:
            entry = self._unsettled.next(now, self._pause_s)
            if entry is None:
                return
            left -= 1
            name, at = entry
            self._consider(outbound, name, found, at, is_ready=False)

    @property
    def _pause_s(self) -> float:
        return max(0.05, self._timing.settle_s / 4)

    def next_look(self) -> float | None:
        """Seconds until an unsettled entry may have settled; None if there is none."""
        return self._pause_s if self._unsettled else None

    def waiting(self) -> list[dict[str, object]]:
        """For `status`: entries that are not whole yet, those that had to stay, and old ignored ones."""
        rows: list[dict[str, object]] = [
            {"name": shown(name), "why": "incomplete"} for name in self._unsettled.names(100)
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
        self,
        outbound: Folder,
        name: bytes,
        found: list[Claim | Refused],
        at: Moment,
        *,
        is_ready: bool,
    ) -> None:
        """Claim an entry if its time has come. at: as of when it is to have settled."""
        if is_ignored(name):
            return
        try:
            info = outbound.lstat(name)
        except (FileNotFoundError, NotADirectoryError):
            self._unsettled.forget(name)
            return
        kind = kind_of(name, info.st_mode)
        try:
            is_folder = kind == "folder"
            state = state_of_folder(outbound, name, info) if is_folder else state_of(info)
            quiet_s = self._quiet_s(name, state, at)
            is_quiet = quiet_s >= self._timing.settle_s
            if not is_quiet and not is_ready:
                return
            may_look = kind == "folder" or info.st_nlink == 1
            lacking = missing(outbound, name, kind) if kind and may_look else ""
        except FileNotFoundError:
            self._unsettled.see(name, UNKNOWN)  # something in it was moved just now
            return
        except OSError as error:
            if error.errno in OF_THE_SPOOL:
                self._remember(name)
                return  # a fault of its own: shown, and looked at again by the next scan
            quiet_s = self._quiet_s(name, state_of(info), at)
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
        self._unsettled.forget(name)
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
            elif len(self._later) < MOST_LATER:
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

    def _quiet_s(self, name: bytes, state: State, at: Moment) -> float:
        """For how long the entry had not changed at that moment: as seen by us, or by its own times."""
        watched_s = at.steady_s - self._unsettled.see(name, state)
        if not self._are_times_ours:
            return watched_s
        return max(watched_s, self._ages.age_of(state.newest_s, at))
