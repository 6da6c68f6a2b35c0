"""How long to wait before the next try."""

from __future__ import annotations


def delay_s(failures: int, *, first_s: float, most_s: float, luck: float) -> float:
    """Exponential back-off with jitter.

    failures: 1 or more in a row. luck: 0.0 ≤ luck < 1.0, drawn by the caller, spreads the wait
    over the upper half so that many gateways do not come back in one wave.
    """
    full = min(most_s, first_s * 2.0 ** min(failures - 1, 32))
    return full * (0.5 + luck / 2)
