"""Since when the wall clock is known to have run without a jump, kept from one start to the next.

A file's times say nothing of how long nobody has written to it where the clock may have jumped in between. While
a machine runs, its two clocks are as far apart as they were, until the wall clock is set; after a reboot the
distance is the new boot's time. So where a start finds the distance that was noted, nothing is taken to have
happened; a clock that was set and set back while no gateway ran is not noticed.
"""

from __future__ import annotations

from frontgate import clock
from frontgate.errors import JournalError
from frontgate.journal import Journal
from frontgate.journal.store import STEADY
from frontgate.spool.quiet import JUMP_S, Noted


class KnownClock:
    """noted: what holds now; of this start alone where nothing is known from before."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.noted = Noted(clock.monotonic(), clock.offset_s())
        self._is_kept = False
        known = journal.look.meta(STEADY)
        if known is not None:
            apart_s, since = (float(number) for number in known.split())
            if abs(apart_s - self.noted.apart_s) <= JUMP_S:
                self.noted = Noted(min(self.noted.since, since), apart_s)
                self._is_kept = True
        self.look()

    def look(self) -> None:
        """Note it anew where the clock has jumped; a journal that cannot write now is asked again."""
        apart_s = clock.offset_s()
        if abs(self.noted.apart_s - apart_s) > JUMP_S:
            self.noted, self._is_kept = Noted(clock.monotonic(), apart_s), False
        if self._is_kept:
            return
        try:
            with self._journal.write() as tx:
                tx.set_meta(STEADY, f"{self.noted.apart_s:.3f} {self.noted.since:.3f}")
        except JournalError as error:
            if not error.is_transient:
                raise
            return
        self._is_kept = True
