"""One end of a ferry as its settings describe it, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from frontgate.values import Struct


class Way(Struct, frozen=True):
    """One end. side: `gateway` or `hub`. into: the device's folder for us, `out`: ours for it.

    resend_s: without acknowledgement it is written again. gap_after_s: a number that is missing
    for so long is reported, and what rests incomplete for so long is set aside. What was damaged or
    could not be is told for six times as long.
    """

    side: str
    account: str
    outgoing: Path
    incoming: Path
    out: Path
    into: Path
    state: Path
    resend_s: float = 120.0
    gap_after_s: float = 600.0
    poll_s: float = 1.0

    @property
    def remember_s(self) -> float:
        return 6 * self.gap_after_s


@dataclass(slots=True)
class Counts:
    """Since the start, for status."""

    sent: int = 0
    resent: int = 0
    taken: int = 0
    repeats: int = 0
    set_aside: int = 0
    foreign: int = 0
    astray: int = 0
