"""What an operator's acts on transfers mean at the hub: how a named gap is closed."""

from __future__ import annotations

from collections.abc import Callable

from frontgate.core.reconcile import Direction, Gap
from frontgate.hub.mailboxes import ACCOUNT
from frontgate.journal import Tx, receipts, reconcile, transfers
from frontgate.journal.reconcile import FoundGap
from frontgate.model.unit import Directory
from frontgate.pipeline.dispatch import LARGE_BYTES

_LOST_BY_UNIT = (Gap.NEVER_DELIVERED, Gap.NO_MESSAGE_AT_UNIT)


class HubActs:
    """The hook of `pipeline.operate` for the hub."""

    def __init__(self, directory: Callable[[], Directory]) -> None:
        self._directory = directory

    def heal(self, tx: Tx, gap: FoundGap, actor: str, reason: str) -> int | None:
        """The package once more to a unit that lost it, the receipts once more to their sender.

        Returns: the new transfer's id, 0 for receipts, None where this side can do nothing.
        """
        key = gap.key
        held = reconcile.held(tx, "in", key.message_id, key.sender)
        if held is None:
            return None
        if gap.kind in _LOST_BY_UNIT and key.direction == Direction.DOWN:
            return self._send_again(tx, held.package_id, key.receiver, actor, reason)
        sender = self._directory().units.get(key.sender)
        if gap.kind is Gap.MISSING_AT_SENDER and sender is not None:
            for row in tx.all(
                "SELECT id FROM receipt WHERE package_id = ? AND kind <> 'submission-accepted'"
                " AND receiver IN (?, '') ORDER BY id",
                held.package_id,
                key.receiver,
            ):
                receipts.send(tx, int(row[0]), ACCOUNT + sender.account)
            return 0
        return None

    def _send_again(
        self, tx: Tx, package_id: int, receiver: str, actor: str, reason: str
    ) -> int | None:
        rows = [r for r in transfers.of_package(tx, package_id) if r.receiver == receiver]
        if rows:
            newest = max(rows, key=lambda r: r.attempt)
            return transfers.replay(
                tx, newest.transfer_id, actor=actor, reason=reason, is_lost=True
            )
        unit = self._directory().units.get(receiver)
        if unit is None:
            return None
        size = tx.one("SELECT size_bytes FROM package WHERE id = ?", package_id)
        new_id = transfers.add(
            tx,
            package_id=package_id,
            destination=ACCOUNT + unit.account,
            receiver=receiver,
            is_large=bool(size and int(size[0]) > LARGE_BYTES),
        )
        tx.event("replay", transfer=new_id, new=new_id, attempt=1, actor=actor, reason=reason)
        return new_id
