"""Placing: what waits for an account goes into its `from-hub/` folder, as bundles."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from frontgate import clock
from frontgate.errors import FrontgateError
from frontgate.hub.mailboxes import ACCOUNT, Mailboxes
from frontgate.journal import Journal, Reader, bundles, receipts, transfers
from frontgate.pipeline import dispatch
from frontgate.pipeline.dispatch import Lane
from frontgate.pipeline.segments import SegmentStore

log = structlog.get_logger()


class Placer:
    """`turn` is the body of a loop."""

    def __init__(
        self,
        journal: Journal,
        store: SegmentStore,
        mailboxes: Mailboxes,
        *,
        members: int,
        is_stopping: Callable[[], bool],
        fail: Callable[[Sequence[transfers.Row], FrontgateError], None],
    ) -> None:
        self._journal = journal
        self._reader: Reader = journal.reader()
        self._store = store
        self._mailboxes = mailboxes
        self._lanes = (Lane(False, members), Lane(True))
        self._is_stopping = is_stopping
        self._fail = fail

    def turn(self) -> float | None:
        """Place one bundle per account and round until nothing waits: no account waits for
        another, and one whose folder is broken stops nobody else.
        """
        broken: set[str] = set()
        for destination in bundles.composed_destinations(self._reader):
            for outgoing in bundles.composed(self._reader, destination):
                if not self._try_place(outgoing):
                    broken.add(destination)
                    break
        while not self._is_stopping():
            placed = [self._one(d, broken) for d in self._waiting() if d not in broken]
            if not any(placed):
                break
        return 5.0 if broken else None

    def _waiting(self) -> list[str]:
        now_ms = self._journal.now_ms()
        found = set(receipts.waiting_destinations(self._reader))
        found.update(bundles.control_destinations(self._reader))
        for lane in self._lanes:
            found.update(transfers.destinations(self._reader, now_ms=now_ms, large=lane.large))
        return sorted(d for d in found if d.startswith(ACCOUNT))

    def _one(self, destination: str, broken: set[str]) -> bool:
        done = False
        for lane in self._lanes:
            outgoing = dispatch.compose(self._journal, destination, lane, clock.now())
            if outgoing is None:
                continue
            if not self._try_place(outgoing):
                broken.add(destination)
                return False
            done = True
        return done

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
