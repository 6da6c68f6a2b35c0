"""A hub after a restore, and a hub that a restored or replaced gateway asks.

The restored hub adopts its own signed receipts, which gateways give back: a message that it had accepted
is accepted by that very receipt, whatever it would say today, and what its receiver had confirmed is not
sent again. Packages wait in their uploads until the gateways have told what they hold of it, or for
`HOLD_S` at most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from frontgate.core.lifecycle import OPEN, Transfer, TransferEvent
from frontgate.errors import FrontgateError
from frontgate.hub.mailboxes import ACCOUNT, Mailboxes
from frontgate.journal import Journal, Tx, keeping, receipts, resync, transfers
from frontgate.log import get_logger
from frontgate.model.receipt import Kind, Receipt
from frontgate.model.unit import Directory
from frontgate.pipeline.issue import Issuer
from frontgate.pipeline.parcel import member_names
from frontgate.pipeline.resync import (
    ANSWER,
    REQUEST,
    Asking,
    Page,
    Telling,
    is_recent,
)
from frontgate.seal.control import Control
from frontgate.seal.receipts import ReceiptGroup
from frontgate.trust.store import TrustStore

log = get_logger()

ACTOR = "resync"
_ENDS = {
    Kind.DELIVERED.value: TransferEvent.RECEIPT_ACCEPTED,
    Kind.DELIVERY_FAILED.value: TransferEvent.RECEIPT_REFUSED,
}
_FOR_RECEIVER = frozenset({Kind.SUBMISSION_ACCEPTED.value, Kind.RELAY_ACCEPTED.value})


class HubResync:
    """`turn` is the body of a loop; the other verbs are called by the hub's intake."""

    def __init__(
        self,
        journal: Journal,
        mailboxes: Mailboxes,
        issuer: Issuer,
        trust: Callable[[], TrustStore],
        *,
        wake_placer: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._mailboxes = mailboxes
        self._issuer = issuer
        self._trust = trust
        self._wake_placer = wake_placer
        self.asking = Asking(journal, issuer, only_restored=True)
        self._telling = Telling(journal, issuer, self._page, wake_placer)
        self._was_restored = self.asking.is_restored and is_recent(journal.epoch)

    def turn(self) -> float | None:
        if self.asking.is_restored and self.asking.ask(
            [ACCOUNT + mailbox.account for mailbox in self._mailboxes.admitted()]
        ):
            self._wake_placer()
        return self._telling.turn() or 1.0

    def on_control(self, tx: Tx, peer: str, control: Control) -> None:
        """A gateway's control message, in the transaction that takes its bundle."""
        if control.kind == REQUEST:
            self._telling.take_request(tx, peer, control)
        elif control.kind == ANSWER:
            self.asking.take_answer(tx, peer, control)

    def holds(self, upload: Path) -> bool:
        """Whether an upload with packages waits until the gateways have told what they know."""
        if not self._was_restored or not self.asking.is_holding():
            return False
        try:
            with upload.open("rb") as file:
                return any(name.endswith(".asice") for name in member_names(file))
        except (OSError, FrontgateError):
            return False

    # -- adopting ----------------------------------------------------------------------------

    def is_own(self, group: ReceiptGroup) -> bool:
        """Whether a group holds receipts of this hub, come back after a restore."""
        return self._was_restored and all(
            receipt.issuer_node == "hub" and receipt.issuer == self._issuer.unit
            for receipt, _, _ in group.items
        )

    def error_of_own(self, group: ReceiptGroup) -> FrontgateError | None:
        """Why such a group was not signed by this hub."""
        try:
            for receipt, _, _ in group.items:
                at = datetime.fromisoformat(receipt.event_time)
                self._trust().judge_hub(group.certificate, at)
        except FrontgateError as error:
            return error
        return None

    def may_be_early(self) -> bool:
        """Whether a receiver may speak of a package that is not here: it was lost, and comes again."""
        return self._was_restored

    def adopted(self, tx: Tx, receipt: Receipt, package_id: int | None) -> None:
        """An own receipt came back that the journal did not know."""
        tx.event(
            "adopted",
            kind=receipt.kind.value,
            message=receipt.message_id,
            receiver=receipt.receiver,
            seq=receipt.audit_seq,
        )
        if receipt.kind is Kind.RELAY_FAILED and package_id is not None:
            self._end(tx, package_id, receipt.receiver, TransferEvent.RECEIPT_REFUSED)

    def _end(self, tx: Tx, package_id: int, receiver: str, event: TransferEvent) -> None:
        rows = [t for t in transfers.of_package(tx, package_id) if t.receiver == receiver]
        if rows and rows[-1].state in OPEN:
            transfers.apply(tx, rows[-1].transfer_id, event)

    def first_outcome(
        self, tx: Tx, peer: str, sender: str, message_id: str, content_digest: str
    ) -> bool:
        """Whether an adopted receipt of ours had accepted this very content, and its sender's own
        gateway brings it.
        """
        unit = self._trust().directory.units.get(sender)
        if unit is None or ACCOUNT + unit.account != peer:
            return False
        if not self._was_restored:
            return False
        wanted = f"<ContentDigest>{content_digest}</ContentDigest>".encode()
        return any(
            node == "hub" and kind == Kind.RELAY_ACCEPTED.value and wanted in xml
            for _, kind, _, node, _, xml in resync.unbound(tx, sender, message_id)
        )

    def admitted(
        self, tx: Tx, peer: str, sender: str, message_id: str, package_id: int, *, is_first: bool
    ) -> None:
        """A package was admitted: its kept receipts are bound to it and end its transfers.

        is_first: by an adopted receipt; that one travels again, instead of a new one, to the sender
        and to whoever still gets the package.
        """
        if not self._was_restored:
            return
        directory = self._trust().directory
        kept = resync.unbound(tx, sender, message_id)
        for row, kind, issuer, node, receiver, _ in kept:
            resync.bind(tx, row, package_id)
            event = _ENDS.get(kind)
            if node == "hub" and kind == Kind.RELAY_FAILED.value:
                event = TransferEvent.RECEIPT_REFUSED
            elif node == "gateway" and not _speaks_for(directory, issuer, receiver):
                event = None
            if event is not None and receiver:
                self._end(tx, package_id, receiver, event)
                receipts.send(tx, row, peer)
        if not is_first:
            return
        receipts.send_again(tx, package_id, peer, own_node="hub")
        waiting = {
            t.destination
            for t in transfers.of_package(tx, package_id)
            if t.state is Transfer.QUEUED
        }
        for row, kind, _, _, _, _ in kept:
            for destination in sorted(waiting) if kind in _FOR_RECEIVER else ():
                receipts.send(tx, row, destination)

    # -- telling a gateway -------------------------------------------------------------------

    def _page(self, tx: Tx, row: resync.Row) -> Page:
        """All receipts about its messages, and again what its case software has not taken."""
        account = row.peer.removeprefix(ACCOUNT)
        directory = self._trust().directory
        units = sorted(u.code for u in directory.units.values() if u.account == account)
        found = resync.packages_page(tx, row.cursor, row.since_at, units, row.peer)
        page = Page(row.cursor, is_last=len(found) < resync.PAGE)
        for package_id, sender in found:
            page.cursor = package_id
            for receipt, kind, _, receiver in resync.receipts_of(tx, package_id):
                if sender in units or receiver in units or kind in _FOR_RECEIVER:
                    receipts.send(tx, receipt, row.peer)
                    page.receipts += 1
            self._deliver_again(tx, row, package_id, page)
        return page

    def _deliver_again(self, tx: Tx, row: resync.Row, package_id: int, page: Page) -> None:
        newest: dict[str, transfers.Row] = {}
        for transfer in transfers.of_package(tx, package_id):
            if transfer.destination == row.peer:
                newest[transfer.receiver] = transfer
        handed = {
            receiver
            for _, kind, _, receiver in resync.receipts_of(tx, package_id)
            if kind == Kind.HANDED_OVER.value
        }
        for receiver, transfer in newest.items():
            if receiver in handed:
                continue
            if transfer.state is Transfer.SENT and not self._lies_there(row.peer, transfer):
                transfers.apply(tx, transfer.transfer_id, TransferEvent.RECEIPT_OVERDUE)
                page.packages += 1
            elif transfer.state is Transfer.ACKNOWLEDGED:
                if not keeping.is_kept(tx, package_id):
                    page.missing += 1
                    continue
                transfers.replay(
                    tx, transfer.transfer_id, actor=ACTOR, reason="resync", is_lost=True
                )
                page.packages += 1

    def _lies_there(self, peer: str, transfer: transfers.Row) -> bool:
        mailbox = self._mailboxes.of_account(peer.removeprefix(ACCOUNT))
        return (mailbox.from_hub / f"{transfer.bundle_id}.bundle").exists()


def _speaks_for(directory: Directory, issuer: str, receiver: str) -> bool:
    """Whether the gateway that signed carries the receiver it speaks of."""
    units: Sequence[str] = (issuer, receiver)
    known = [directory.units.get(code) for code in units]
    return all(u is not None for u in known) and len({u.account for u in known if u}) == 1
