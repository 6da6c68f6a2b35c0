"""Noticing that the case software took an entry out of `inbound/`: receipt `handed-over`.

A unit may leave a hundred thousand entries standing, so a look costs what changed: a folder whose
time is the same as at a look well after it is not read again, except now and then, because the
clocks of network file systems are not ours. What is read is one list of names, not every entry.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from frontgate import clock
from frontgate.core.lifecycle import Transfer, TransferEvent
from frontgate.errors import SpoolError
from frontgate.gateway.delivery import draft_for
from frontgate.gateway.stations import SPOOL, Post, Posts
from frontgate.journal import Journal, Reader, transfers
from frontgate.model.receipt import Kind, Reason
from frontgate.pipeline import issue
from frontgate.pipeline.issue import Draft, Issuer
from frontgate.spool.inbound import Standing, is_collected, standing, untaken

TOGETHER = 256
"""So many are told of in one transaction, so that others who wait to write do not wait long: 23 ms here."""
COSTS = 10.0
"""A look is at least this many times as far from the last one as that one took."""


class PickUp:
    """Notices what the case software has taken. `turn` is the body of a loop."""

    LOOK_S = 0.5
    ANYWAY_S = 15.0
    """A folder that seems unchanged is read all the same after so long."""
    LATE_S = 60.0
    """Between looks for entries that nobody takes."""

    def __init__(
        self,
        journal: Journal,
        posts: Posts,
        issuers: dict[str, Issuer],
        *,
        limit_s: float,
        wake_sender: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._reader: Reader = journal.reader()
        self._posts = posts
        self._issuers = issuers
        self._limit_ms = int(limit_s * 1000)
        self._wake_sender = wake_sender
        self._seen: dict[str, tuple[Standing, float]] = {}
        self._late_at = clock.monotonic()

    def turn(self) -> float | None:
        """Look at the entries that were delivered and not yet taken.

        While many stand there and the folder changes, looks are as far apart as they cost.
        """
        began = clock.monotonic()
        for key, post in self._posts.by_key.items():
            post.attempt("pick-up", partial(self._look, post, SPOOL + key))
        if clock.monotonic() >= self._late_at:
            self._late_at = clock.monotonic() + self.LATE_S
            self._tell_late()
        return max(self.LOOK_S, COSTS * (clock.monotonic() - began))

    def _look(self, post: Post, destination: str) -> None:
        seen = standing(post.paths)
        if seen is None:
            return  # unmounted or moved away: that is no pick-up
        before, at = self._seen.get(destination, (None, 0.0))
        if before is not None and before.is_same(seen) and clock.monotonic() - at < self.ANYWAY_S:
            return
        began, is_settled = clock.monotonic(), seen.is_settled(time.time())
        with untaken(post.paths) as is_untaken:
            self._look_at_all(post, destination, is_untaken)
        if is_settled:
            self._seen[destination] = (seen, began)
        else:
            self._seen.pop(destination, None)

    def _look_at_all(self, post: Post, destination: str, is_untaken: Callable[[str], bool]) -> None:
        fault: OSError | None = None
        after = (0, 0)
        gone: list[int] = []
        while entries := transfers.sent_entries(self._reader, destination, after):
            after = entries[-1][:2]
            for _, transfer_id, entry in entries:
                try:
                    if not is_untaken(entry) and is_collected(post.paths, entry):
                        gone.append(transfer_id)
                except OSError as error:
                    fault = error  # of this one entry: the others are looked at all the same
                if len(gone) >= TOGETHER:
                    self._settle(gone, Kind.HANDED_OVER)
                    gone = []
        if gone:
            self._settle(gone, Kind.HANDED_OVER)
        if fault is not None:
            raise fault

    def _tell_late(self) -> None:
        """Entries that stand longer than the limit: said once, the transfer stays as it is."""
        after: transfers.Row | None = None
        before_ms = self._journal.now_ms() - self._limit_ms
        while rows := transfers.sent_page(self._reader, SPOOL, before_ms=before_ms, after=after):
            after = rows[-1]
            late = [row.transfer_id for row in rows if not self._is_told(row)]
            if late:
                self._settle(late, Kind.HANDOVER_FAILED)

    def _is_told(self, row: transfers.Row) -> bool:
        known = self._reader.one(
            "SELECT 1 FROM receipt WHERE package_id = ? AND receiver = ? AND kind = ?",
            row.package_id,
            row.receiver,
            Kind.HANDOVER_FAILED.value,
        )
        return known is not None

    def _settle(self, ids: list[int], kind: Kind) -> None:
        """Receipts for transfers that are still sent: a hub that was asked may have told of one meanwhile."""
        reasons: tuple[Reason, ...] = ()
        if kind is Kind.HANDOVER_FAILED:
            reasons = (
                issue.reason_of(SpoolError("FG-RTE-018", days=self._limit_ms // 86_400_000)),
            )
        with self._journal.write() as tx:
            drafts: dict[str, list[Draft]] = {}
            for row in transfers.of_ids(tx, ids):
                if row.state is not Transfer.SENT:
                    continue
                if kind is Kind.HANDED_OVER:
                    transfers.apply(tx, row.transfer_id, TransferEvent.RECEIPT_ACCEPTED)
                drafts.setdefault(row.receiver, []).append(draft_for(tx, row, kind, reasons))
            for unit, made in drafts.items():
                issue.issue(tx, self._issuers[unit], made)
        self._wake_sender()
