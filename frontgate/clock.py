"""The clock, in one place: wall time for what people and receipts are told, monotonic for waits.

Durations and leases go by `monotonic`, so a wall clock that jumps moves no deadline of a wait.
`use` puts another source in place for a whole process: the simulator's virtual time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime


def _wall() -> datetime:
    return datetime.now(UTC)


now: Callable[[], datetime] = _wall
"""The present moment, aware UTC."""
monotonic: Callable[[], float] = time.monotonic
"""Seconds that never go back; only differences mean anything."""


def use(wall: Callable[[], datetime] | None, steady: Callable[[], float] | None) -> None:
    """Take time from other sources from now on; None puts the system's back."""
    global now, monotonic
    now = wall or _wall
    monotonic = steady or time.monotonic


def offset_s() -> float:
    """Seconds from the monotonic clock to the wall clock; the same until the wall clock jumps."""
    return now().timestamp() - monotonic()


class Steady:
    """Watches the wall clock against the monotonic one.

    jump_s: clocks that part by more than this between two looks have jumped; slewing is far slower.
    since: when the wall clock began to run steadily, in monotonic seconds.
    """

    def __init__(self, jump_s: float) -> None:
        self._jump_s = jump_s
        self.since = monotonic()
        self._offset_s = offset_s()

    def look(self) -> float:
        """Returns: seconds by which the wall clock has jumped since the last look, 0.0 for none."""
        apart_s = offset_s()
        jump = apart_s - self._offset_s
        self._offset_s = apart_s
        if abs(jump) <= self._jump_s:
            return 0.0
        self.since = monotonic()
        return jump
