"""How long something has been quiet, on a machine whose wall clock may jump.

A file's own times are of the wall clock. They say how old it is only as far back as that clock has run
steadily, compared with the monotonic one: after a jump, or at start, nothing is older than that.
"""

from __future__ import annotations

from typing import Any

from frontgate import clock

JUMP_S = 0.2


class Ages:
    """How long a file is surely unchanged. `look` before each use."""

    def __init__(self) -> None:
        self._steady = clock.Steady(JUMP_S)

    def look(self) -> None:
        """Notice a jump since the last look."""
        self._steady.look()

    def age_of(self, wall_s: float) -> float:
        """Seconds for which a file with this newest time is surely unchanged."""
        steady_s = clock.monotonic() - self._steady.since
        return max(0.0, min(clock.now().timestamp() - wall_s, steady_s))


def newest_of(state: tuple[Any, ...]) -> float:
    """The newest time in an entry's state, in seconds."""
    own = state[0] if isinstance(state[0], tuple) else state
    newest = max(own[-2:]) if len(own) >= 3 else own[-1]
    if isinstance(state[0], tuple):
        newest = max([newest, *(max(row[3], row[4]) for row in state[1])])
    return float(newest) / 1e9
