"""Transfers that wait too long: told at two limits, ended at the last; and those ended otherwise.

The same for both roles; what differs is who signs and who is told, which `tell` knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from frontgate import clock
from frontgate.core.lifecycle import OPEN, Transfer, TransferEvent
from frontgate.errors import FrontgateError, RoutingError
from frontgate.journal import Journal, Tx, transfers
from frontgate.model.receipt import Kind, Reason
from frontgate.pipeline.issue import reason_of

MOST_AT_ONCE = 64
"""Transfers of one transaction."""

Tell = Callable[[Tx, Sequence[transfers.Row], Kind, Reason], None]
"""Issues the receipts of one kind for these transfers, in the caller's transaction."""


class Limits:
    """Warns of and ends what waits for `prefix` destinations."""

    def __init__(
        self,
        journal: Journal,
        prefix: str,
        tell: Tell,
        wake: Callable[[], None],
        *,
        delayed_code: str,
        delayed_s: Sequence[float],
        limit_s: float,
    ) -> None:
        self._journal = journal
        self._reader = journal.reader()
        self._prefix = prefix
        self._tell = tell
        self._wake = wake
        self._delayed_code = delayed_code
        self._delayed_s = tuple(delayed_s)
        self._limit_s = limit_s

    def turn(self, now: datetime) -> bool:
        """Look once. Returns: whether there is more than one look takes."""
        self._journal.keep_time()
        is_more = False
        for times, limit_s in enumerate(self._delayed_s):
            error = RoutingError(self._delayed_code, minutes=int(limit_s // 60))
            rows = self._older(limit_s, tuple(OPEN), warned=(times,))
            self._end(now, rows, Kind.RELAY_DELAYED, error, warned=times + 1)
            is_more |= len(rows) == MOST_AT_ONCE
        for state, code in ((Transfer.QUEUED, "FG-RTE-015"), (Transfer.SENT, "FG-RTE-016")):
            error = RoutingError(code, days=int(self._limit_s // 86_400))
            rows = self._older(self._limit_s, (state,), warned=(0, 1, 2))
            self._end(now, rows, Kind.RELAY_FAILED, error, event=TransferEvent.EXPIRE)
            is_more |= len(rows) == MOST_AT_ONCE
        return is_more

    def fail(self, rows: Sequence[transfers.Row], error: FrontgateError) -> None:
        """End transfers that cannot go on, with a signed reason."""
        now = clock.now()
        self._end(now, rows, Kind.RELAY_FAILED, error, event=TransferEvent.PERMANENT)

    def cancelled(self, tx: Tx, rows: Sequence[transfers.Row], error: FrontgateError) -> None:
        """The signed end of transfers that an operator cancels, in that transaction."""
        ours = [row for row in rows if row.destination.startswith(self._prefix)]
        if ours:
            self._tell(tx, ours, Kind.RELAY_FAILED, reason_of(error))
            self._wake()

    def _older(
        self, age_s: float, states: Sequence[Transfer], warned: Sequence[int]
    ) -> list[transfers.Row]:
        return transfers.older_than(
            self._reader,
            states,
            made_before_ms=self._journal.now_ms() - int(age_s * 1000),
            destination_prefix=self._prefix,
            warned=warned,
            limit=MOST_AT_ONCE,
        )

    def _end(
        self,
        now: datetime,
        rows: Sequence[transfers.Row],
        kind: Kind,
        error: FrontgateError,
        *,
        event: TransferEvent | None = None,
        warned: int = 0,
    ) -> None:
        """One transaction: what becomes of the transfers, and the receipts that say so."""
        if not rows:
            return
        with self._journal.write(now) as tx:
            for row in rows:
                if event is not None:
                    transfers.apply(tx, row.transfer_id, event, reason=error.code)
                else:
                    transfers.mark_warned(tx, row.transfer_id, warned)
            self._tell(tx, rows, kind, reason_of(error))
        self._wake()
