"""Carrying out what an operator asked of many transfers at once.

A journaled act is a walk by transfer id in small transactions. Each transaction holds what was done
and how far the walk came, so that a crash or a stop at any moment goes on where it was and does
nothing twice. It never holds up live traffic: what it queues goes behind all else of its
destination, a rate may be set, and the walk gives the writer away at least half of the time.
"""

from __future__ import annotations

from collections.abc import Callable

from frontgate import clock
from frontgate.core.lifecycle import TransferEvent
from frontgate.journal import Journal, Reader, Tx, bulk, transfers
from frontgate.journal.bulk import Candidate, Work
from frontgate.pipeline.operate import Cancelled, apply_to

BATCH = 100
"""Transfers of one transaction: about 10 ms of a quiet writer's time."""


class BulkWorker:
    """Takes journaled acts to their end. `turn` is the body of a loop.

    cancelled: signs the ends of cancelled transfers; None where nobody here can, then an act that
    cancels stays as it is until a daemon runs.
    """

    def __init__(
        self, journal: Journal, cancelled: Cancelled | None, wake: Callable[[], None]
    ) -> None:
        self._journal = journal
        self._reader: Reader = journal.reader()
        self._cancelled = cancelled
        self._wake = wake
        self._not_before: dict[int, float] = {}

    def turn(self) -> float | None:
        """One transaction of each running act whose rate allows it. Returns: seconds to the next."""
        began = clock.monotonic()
        waits: list[float] = []
        for work in bulk.running(self._reader):
            if work.choice.act == "cancel" and self._cancelled is None:
                continue
            left = self._not_before.get(work.work_id, 0.0) - clock.monotonic()
            waits.append(left if left > 0 else self._one(work))
        spent = clock.monotonic() - began
        return max(min(waits), min(spent, 1.0)) if waits else None

    def _one(self, work: Work) -> float:
        """Returns: seconds that the rate wants between this transaction and the next."""
        most = BATCH if work.per_s <= 0 else max(1, min(BATCH, int(work.per_s)))
        with self._journal.write() as tx:
            # Asked again inside: an operator may have stopped it meanwhile.
            current = bulk.find(tx, work.work_id)
            if current is None or current.state != "running":
                return 0.0
            done = self._step(tx, current, most)
        if done:
            self._wake()
        if work.per_s <= 0:
            return 0.0
        wait = done / work.per_s
        self._not_before[work.work_id] = clock.monotonic() + wait
        return wait

    def _step(self, tx: Tx, work: Work, most: int) -> int:
        found, looked_at = bulk.page(tx, work.choice, after_id=work.at_id, end_id=work.end_id)
        meant: list[Candidate] = []
        for candidate in found:
            if not candidate.is_meant:
                continue
            if len(meant) == most:
                looked_at = meant[-1].transfer_id
                break
            meant.append(candidate)
        done, size = self._act(tx, work, meant)
        bulk.advance(tx, work, at_id=looked_at, done=done, size_bytes=size)
        return done

    def _act(self, tx: Tx, work: Work, meant: list[Candidate]) -> tuple[int, int]:
        """Returns: how many were changed, and their bytes."""
        if work.choice.act != "replay":
            apply_to(
                tx,
                [c.transfer_id for c in meant],
                TransferEvent(work.choice.act),
                actor=work.actor,
                reason=work.reason,
                cancelled=self._cancelled,
            )
            return len(meant), sum(c.size_bytes for c in meant)
        done = size = 0
        for candidate in meant:
            new = transfers.replay(
                tx,
                candidate.transfer_id,
                actor=work.actor,
                reason=work.reason,
                is_lost=work.choice.scope != bulk.FAILED,
                is_bulk=True,
            )
            if new is not None:
                done += 1
                size += candidate.size_bytes
        return done, size
