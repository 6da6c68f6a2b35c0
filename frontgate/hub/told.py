"""What gateways say of messages: their receipts, kept, applied to our transfers, passed on.

Offers: `Told.settle`, inside the transaction of a bundle. Whose receipts they are was judged before;
here, whether that unit may say this of that message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from frontgate.core.lifecycle import Transfer, TransferEvent
from frontgate.errors import FrontgateError, RoutingError
from frontgate.hub.mailboxes import ACCOUNT
from frontgate.hub.resync import HubResync
from frontgate.journal import Tx, packages, receipts, transfers
from frontgate.model.receipt import Kind, Receipt
from frontgate.pipeline.members import keep_receipts
from frontgate.seal.receipts import ReceiptGroup
from frontgate.trust.store import TrustStore

_BY_SENDER = frozenset({Kind.SUBMISSION_ACCEPTED, Kind.RELAY_FAILED, Kind.RELAY_DELAYED})
_BY_RECEIVER = frozenset(
    {Kind.DELIVERED, Kind.DELIVERY_FAILED, Kind.HANDED_OVER, Kind.HANDOVER_FAILED}
)
_TO_RECEIVER = {
    Kind.DELIVERED: TransferEvent.RECEIPT_ACCEPTED,
    Kind.DELIVERY_FAILED: TransferEvent.RECEIPT_REFUSED,
}
_ACCEPTED = TransferEvent.RECEIPT_ACCEPTED
_AWAITING = (Transfer.SENDING, Transfer.SENT)


class Told:
    """For the intake's thread alone."""

    def __init__(self, trust: Callable[[], TrustStore], resync: HubResync) -> None:
        self._trust = trust
        self._resync = resync

    def settle(self, tx: Tx, peer: str, group: ReceiptGroup) -> None:
        """Keep a gateway's receipts, apply them to our transfers, pass them on to the sender.

        Most packages get two receipts in one list: what is known of one is looked up once.
        """
        found: dict[tuple[str, str], packages.Bound | None] = {}
        going: dict[int, list[transfers.Row]] = {}

        def bound(receipt: Receipt) -> packages.Bound | None:
            key = receipt.sender, receipt.message_id
            if key not in found:
                found[key] = packages.bound(tx, "in", *key)
            return found[key]

        def package_of(receipt: Receipt) -> int | None:
            known = bound(receipt)
            return known.package_id if known else None

        def rows_of(package_id: int) -> list[transfers.Row]:
            if package_id not in going:
                going[package_id] = transfers.of_package(tx, package_id)
            return going[package_id]

        def refuse(receipt: Receipt, package_id: int | None) -> FrontgateError | None:
            rows = rows_of(package_id) if package_id is not None else []
            return self._may_not_say(peer, receipt, rows, is_known=package_id is not None)

        def apply(receipt: Receipt, package_id: int, *, is_repeat: bool) -> None:
            if self._apply(tx, peer, receipt, rows_of(package_id), is_repeat=is_repeat):
                del going[package_id]

        def known(receipt: Receipt, package_id: int | None) -> None:
            if package_id is not None:
                apply(receipt, package_id, is_repeat=True)

        for row, receipt, package_id in keep_receipts(tx, group, package_of, refuse, known):
            if receipt.issuer_node == "hub":
                self._resync.adopted(tx, receipt, package_id)
                going.clear()
                continue
            if receipt.kind is Kind.SUBMISSION_ACCEPTED or package_id is None:
                continue
            apply(receipt, package_id, is_repeat=False)
            of = bound(receipt)
            sender = self._trust().directory.units.get(of.sender) if of is not None else None
            if sender is not None:
                receipts.send(tx, row, ACCOUNT + sender.account)

    def _may_not_say(
        self, peer: str, receipt: Receipt, rows: Sequence[transfers.Row], *, is_known: bool
    ) -> FrontgateError | None:
        """A sender speaks of its own messages, a receiver of what its gateway was given; no more.

        rows: transfers of the package; is_known: it is here.
        """
        if receipt.issuer_node == "hub":
            return None  # our own, come back after a restore: held to be ours before
        if receipt.kind in _BY_SENDER:
            allowed = receipt.sender == receipt.issuer
        elif receipt.kind in _BY_RECEIVER and is_known:
            allowed = any(row.destination == peer for row in rows)
        else:
            allowed = receipt.kind in _BY_RECEIVER and self._resync.may_be_early()
        if allowed:
            return None
        return RoutingError("FG-RTE-021", value=receipt.issuer, kind=receipt.kind.value)

    def _apply(
        self,
        tx: Tx,
        peer: str,
        receipt: Receipt,
        rows: Sequence[transfers.Row],
        *,
        is_repeat: bool = False,
    ) -> bool:
        """What a receiver's gateway says ends the newest transfer to it. Where it could not even
        read whose package it was, it speaks for all that went to its account.

        rows: transfers of its package. is_repeat: the receipt was kept before; it ends an attempt that
        waits for its answer, and says nothing new of one that has it: a gateway answers what it has with its
        first outcome, a bad one too if nothing better came after it. Returns: whether any changed.
        """
        event = _TO_RECEIVER.get(receipt.kind)
        if event is None:
            return False
        reason = receipt.reasons[0].code if receipt.reasons else ""
        told: set[str] = set()
        has_changed = False
        for row in reversed(rows):
            meant = row.receiver == receipt.receiver or not receipt.sender
            if row.destination == peer and meant and row.receiver not in told:
                told.add(row.receiver)
                if is_repeat and not self._ends(tx, row, receipt, event):
                    continue
                transfers.settle(tx, row, event, reason=reason)
                has_changed = True
        return has_changed

    @staticmethod
    def _ends(tx: Tx, row: transfers.Row, receipt: Receipt, event: TransferEvent) -> bool:
        """Whether a receipt that was kept before answers an attempt."""
        if event is _ACCEPTED:
            return row.state in _AWAITING
        return row.state is Transfer.SENT and receipts.is_last_outcome(tx, receipt)
