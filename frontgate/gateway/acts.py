"""What an operator's acts on transfers mean at a gateway: who signs, and who is told again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from frontgate.core.reconcile import Direction, Gap
from frontgate.core.routing import HUB
from frontgate.errors import FrontgateError
from frontgate.gateway.delivery import draft_for
from frontgate.gateway.stations import SPOOL
from frontgate.journal import Tx, receipts, reconcile, transfers
from frontgate.journal.reconcile import FoundGap
from frontgate.model.receipt import Kind
from frontgate.pipeline import issue
from frontgate.pipeline.issue import Draft, Issuer
from frontgate.pipeline.operate import Cancelled


class Acts:
    """The hooks of `pipeline.operate` for a gateway."""

    def __init__(
        self,
        issuers: Mapping[str, Issuer],
        to_hub: Cancelled,
        wake_files: Callable[[], None],
    ) -> None:
        self._issuers = issuers
        self._to_hub = to_hub
        self._wake_files = wake_files

    def cancelled(self, tx: Tx, rows: Sequence[transfers.Row], error: FrontgateError) -> None:
        """`relay-failed` to our case software for what was to go out, `delivery-failed` to the
        sender for what was to come in.
        """
        self._to_hub(tx, rows, error)
        drafts: dict[str, list[Draft]] = {}
        for row in rows:
            if row.destination.startswith(SPOOL):
                reasons = (issue.reason_of(error),)
                draft = draft_for(tx, row, Kind.DELIVERY_FAILED, reasons)
                drafts.setdefault(row.receiver, []).append(draft)
        for unit, made in drafts.items():
            issue.issue(tx, self._issuers[unit], made)

    def heal(self, tx: Tx, gap: FoundGap, actor: str, reason: str) -> int | None:
        """The package once more to a hub that lost it, our receipts once more to a hub without them.

        Returns: the new transfer's id, 0 for receipts, None where this side can do nothing.
        """
        key = gap.key
        is_up = key.direction == Direction.UP
        held = reconcile.held(tx, "out" if is_up else "in", key.message_id, key.sender)
        if held is None:
            return None
        if is_up and gap.kind in (Gap.HUB_NEVER_SAW, Gap.NO_MESSAGE_AT_HUB):
            rows = [r for r in transfers.of_package(tx, held.package_id) if r.destination == HUB]
            if not rows:
                new_id = transfers.add(tx, package_id=held.package_id, destination=HUB)
                tx.event(
                    "replay", transfer=new_id, new=new_id, attempt=1, actor=actor, reason=reason
                )
                return new_id
            newest = max(rows, key=lambda r: r.attempt)
            return transfers.replay(
                tx, newest.transfer_id, actor=actor, reason=reason, is_lost=True
            )
        if not is_up and gap.kind in (Gap.MISSING_AT_HUB, Gap.NO_MESSAGE_AT_HUB):
            receipts.send_again(tx, held.package_id, HUB, own_node="gateway")
            return 0
        return None

    def tell_again(self, tx: Tx, row: transfers.Row) -> None:
        """The first outcome once more: the receipt files of what we sent are made again where they
        are gone; our own receipts about what came in travel to the hub again.
        """
        if row.destination == HUB:
            receipts.write_again(tx, row.package_id)
            self._wake_files()
        else:
            receipts.send_again(tx, row.package_id, HUB, own_node="gateway")
