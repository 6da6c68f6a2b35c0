"""Placing: what waits for an account goes into its `from-hub/` folder, as bundles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from frontgate import clock
from frontgate.errors import FrontgateError
from frontgate.hub.mailboxes import ACCOUNT, Mailboxes
from frontgate.journal import Journal, Reader, bundles, queues, receipts, transfers
from frontgate.log import get_logger
from frontgate.pipeline import dispatch
from frontgate.pipeline.dispatch import GATHER_S, MOST_RECEIPTS, Lane
from frontgate.pipeline.segments import SegmentStore

log = get_logger()

BROKEN_S = 5.0
FULL_S = 0.5
"""A gateway that takes what lies before it gets more after this long."""


class Placer:
    """One lane's placing. `turn` is the body of a loop."""

    def __init__(
        self,
        journal: Journal,
        store: SegmentStore,
        mailboxes: Mailboxes,
        lane: Lane,
        *,
        is_stopping: Callable[[], bool],
        fail: Callable[[Sequence[transfers.Row], FrontgateError], None],
    ) -> None:
        self._journal = journal
        self._reader: Reader = journal.reader()
        self._store = store
        self._mailboxes = mailboxes
        self._lane = lane
        self._is_stopping = is_stopping
        self._fail = fail
        # Where only receipts wait: until when. Past that they go as soon as they can.
        self._gathering: dict[str, float] = {}

    def turn(self) -> float | None:
        """Place one bundle per account and round until nothing waits: no account waits for
        another, one whose folder is broken stops nobody else, and one that takes nothing gets only
        so much put before it.
        """
        broken: set[str] = set()
        for destination in bundles.composed_destinations(self._reader):
            for outgoing in bundles.composed(self._reader, destination):
                if dispatch.is_large(outgoing) != self._lane.large:
                    continue
                if not self._try_place(outgoing):
                    broken.add(destination)
                    break
        room: dict[str, int] = {}
        placed = True
        while placed and not self._is_stopping():
            placed = False
            for destination in self._waiting():
                if destination not in broken and self._has_room(destination, room):
                    placed |= self._one(destination, broken, room)
        waits = [BROKEN_S] if broken else []
        waits += [
            left for until in self._gathering.values() if (left := until - clock.monotonic()) > 0
        ]
        if 0 in room.values():
            return min([FULL_S, *waits])
        now_ms = self._journal.now_ms()
        due_ms = queues.next_due_after(self._reader, now_ms)
        if due_ms is not None:
            waits.append((due_ms - now_ms) / 1000 + 0.01)
        return min(waits, default=None)

    def _waiting(self) -> list[str]:
        """Destinations that something waits for and may go to: those of packages before those of receipts
        alone, which gather a moment.
        """
        now_ms = self._journal.now_ms()
        large = self._lane.large
        first = set(queues.destinations(self._reader, now_ms=now_ms, large=large))
        then: set[str] = set()
        if not large:
            then.update(bundles.control_destinations(self._reader))
            told = set(receipts.waiting_destinations(self._reader)) - first - then
            then.update(self._gathered(d for d in told if d.startswith(ACCOUNT)))
        order = [*sorted(first), *sorted(then - first)]
        return [d for d in order if d.startswith(ACCOUNT)]

    def _gathered(self, told: Iterable[str]) -> list[str]:
        """Those of `told`, for which only receipts wait, that have waited long enough or have a bundle full."""
        now = clock.monotonic()
        self._gathering = {d: self._gathering.get(d, now + GATHER_S) for d in told}
        return [
            destination
            for destination, until in self._gathering.items()
            if until <= now or receipts.are_waiting(self._reader, destination, MOST_RECEIPTS)
        ]

    def _has_room(self, destination: str, room: dict[str, int]) -> bool:
        if destination not in room:
            mailbox = self._mailboxes.of_account(destination.removeprefix(ACCOUNT))
            room[destination] = self._mailboxes.room(mailbox, is_large=self._lane.large)
        return room[destination] > 0

    def _one(self, destination: str, broken: set[str], room: dict[str, int]) -> bool:
        outgoing = dispatch.compose(self._journal, destination, self._lane, clock.now())
        if outgoing is None:
            return False
        self._gathering.pop(destination, None)
        room[destination] -= 1
        if not self._try_place(outgoing):
            broken.add(destination)
            return False
        return True

    def _try_place(self, outgoing: bundles.Outgoing) -> bool:
        try:
            self._place(outgoing)
        except OSError as error:
            # Stays composed and is tried again; the account's own folder is at fault.
            log.warning("place-failed", destination=outgoing.destination, detail=str(error))
            return False
        return True

    def _place(self, outgoing: bundles.Outgoing) -> None:
        mailbox = self._mailboxes.of_account(outgoing.destination.removeprefix(ACCOUNT))
        went = dispatch.ship(
            self._journal,
            self._store,
            outgoing,
            lambda name, source: self._mailboxes.place(mailbox, name, source),
            self._fail,
        )
        if not went:
            return
        log.info(
            "bundle-placed",
            account=mailbox.account,
            bundle=outgoing.bundle_id,
            members=len(outgoing.members),
        )
