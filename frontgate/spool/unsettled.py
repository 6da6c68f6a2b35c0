"""Entries that have yet to settle: seen, and looked at again in the order in which they were seen so.

One look at all of them judges each as of the moment at which the look began, however long it takes: what is
looked at later has not settled sooner.
"""

from __future__ import annotations

import struct
from collections import OrderedDict, deque

from frontgate import clock
from frontgate.spool.quiet import Moment, State

MOST = 65_536
"""Four windows of a scan; of more, those that have been the same for longest are left to the next scan."""
_TIME = struct.Struct("d")


class Unsettled:
    """See the module. Used by one thread; `names` by any."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, bytes] = OrderedDict()
        """By name: since when, and the mark of the state, in one object. There may be a window of them."""
        self._look: deque[bytes] | None = None
        self._look_at = Moment(0.0, 0.0)
        self._next_s = 0.0
        self._awaited_until: float | None = None

    def __bool__(self) -> bool:
        return bool(self._seen)

    def names(self, most: int) -> list[bytes]:
        return list(self._seen)[:most]

    def see(self, name: bytes, state: State) -> float:
        """Note how an entry is. Returns: since when it is so, in monotonic seconds."""
        seen = self._seen.get(name)
        if seen is None or seen[_TIME.size :] != state.mark:
            if seen is None and len(self._seen) >= MOST:
                self._seen.popitem(last=False)
            seen = self._seen[name] = _TIME.pack(clock.monotonic()) + state.mark
            self._seen.move_to_end(name)
        return _since(seen)

    def forget(self, name: bytes) -> None:
        self._seen.pop(name, None)

    def clear(self) -> None:
        self._seen.clear()

    # -- looking again ----------------------------------------------------------------------

    def wait_for_all(self, settle_s: float) -> None:
        """What is here goes before anything else, as soon as it can have settled. Who writes on and on holds
        up nobody for longer.
        """
        newest = max(map(_since, self._seen.values()), default=None)
        self._awaited_until = None if newest is None else newest + settle_s

    @property
    def is_awaited(self) -> bool:
        return self._awaited_until is not None and bool(self._seen)

    @property
    def is_looking(self) -> bool:
        """Whether a look has begun that is not at its end."""
        return self._look is not None

    def next(self, at: Moment, pause_s: float) -> tuple[bytes, Moment] | None:
        """The next to look at, and as of when. at: now. pause_s: between two looks.

        Returns: None where a look is at its end, or its time has not come.
        """
        if self._look is None:
            if at.steady_s < self._next_s and not self._have_settled(at):
                return None
            self._look, self._look_at = deque(self._seen), at
        while self._look:
            name = self._look.popleft()
            if name in self._seen:
                return name, self._look_at
        self._look = None
        self._next_s = self._look_at.steady_s + pause_s
        if self._have_settled(self._look_at):
            self._awaited_until = None
        return None

    def _have_settled(self, at: Moment) -> bool:
        return self._awaited_until is not None and at.steady_s >= self._awaited_until


def _since(seen: bytes) -> float:
    since: float = _TIME.unpack_from(seen)[0]
    return since
