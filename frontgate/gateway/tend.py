"""Housekeeping of a gateway: limits, overdue receipts, heartbeat."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from lxml import etree

from frontgate import __version__, clock
from frontgate.core.lifecycle import TransferEvent
from frontgate.core.routing import HUB
from frontgate.gateway.stations import Posts
from frontgate.journal import Journal, Reader, Tx, bundles, receipts, transfers
from frontgate.log import get_logger
from frontgate.model.message import CONTROL_MAP, CONTROL_NS
from frontgate.model.receipt import Kind, Reason
from frontgate.pipeline import answers, issue
from frontgate.pipeline.issue import Draft, FilePlan, Issuer
from frontgate.pipeline.limits import Limits

log = get_logger()


class Tend:
    """Looks after what takes too long. `turn` is the body of a loop."""

    LOOK_S = 5.0

    def __init__(
        self,
        journal: Journal,
        posts: Posts,
        issuers: dict[str, Issuer],
        *,
        overdue_s: float,
        relay_limit_s: float,
        delayed_s: Sequence[float],
        heartbeat_s: float,
        facts: Callable[[], dict[str, str]],
        wake_sender: Callable[[], None],
        wake_files: Callable[[], None],
        pending: Callable[[], Collection[str] | None],
    ) -> None:
        """pending: bundles that lie at the hub untaken, by file name; None while unknown."""
        self._journal = journal
        self._reader: Reader = journal.reader()
        self._posts = posts
        self._pending = pending
        self._issuers = issuers
        self._overdue_ms = int(overdue_s * 1000)
        self.limits = Limits(
            journal,
            HUB,
            self._tell,
            wake_files,
            delayed_code="FG-RTE-019",
            delayed_s=delayed_s,
            limit_s=relay_limit_s,
        )
        self._heartbeat_s = heartbeat_s
        self._facts = facts
        self._wake_sender = wake_sender
        self._beat_at = 0.0

    def turn(self) -> float | None:
        now = clock.now()
        self._overdue()
        is_more = self.limits.turn(now)
        if clock.monotonic() >= self._beat_at:
            self._beat_at = clock.monotonic() + self._heartbeat_s
            self._heartbeat(now)
        return 0.0 if is_more else min(self.LOOK_S, self._heartbeat_s)

    def _overdue(self) -> None:
        """Sent and not answered: send again; the hub recognises what it has. What still lies there
        untaken is waited for, and so is a hub that cannot be asked.
        """
        pending = self._pending()
        if pending is None:
            return
        lying = frozenset(name.removesuffix(".bundle") for name in pending)
        before = self._journal.now_ms() - self._overdue_ms
        count = self._again_rows(before, lying) + self._again_bundles(before, lying)
        if count:
            log.warning("receipt-overdue", count=count, lying=len(lying))
            self._wake_sender()

    def _again_rows(self, before_ms: int, lying: frozenset[str]) -> int:
        count = 0
        after: transfers.Row | None = None
        while page := transfers.sent_page(self._reader, HUB, before_ms=before_ms, after=after):
            after = page[-1]
            lost = [row for row in page if row.bundle_id not in lying]
            if lost:
                with self._journal.write() as tx:
                    for row in lost:
                        transfers.apply(tx, row.transfer_id, TransferEvent.RECEIPT_OVERDUE)
            count += len(lost)
        return count

    def _again_bundles(self, before_ms: int, lying: frozenset[str]) -> int:
        count = 0
        after = ""
        while page := bundles.unanswered(self._reader, sent_before_ms=before_ms, after=after):
            after = page[-1][1]
            lost = [pair for pair in page if pair[1] not in lying]
            if lost:
                with self._journal.write() as tx:
                    for destination, bundle_id in lost:
                        receipts.travel_again(tx, destination, bundle_id)
                        tx.event("bundle-overdue", bundle=bundle_id)
            count += len(lost)
        return count

    def _tell(self, tx: Tx, rows: Sequence[transfers.Row], kind: Kind, reason: Reason) -> None:
        """Receipts of the sender's own gateway, for its case software."""
        drafts: dict[str, list[Draft]] = {}
        for row in rows:
            drafts.setdefault(row.sender, []).append(own_draft(tx, row, kind, reason))
        for unit, made in drafts.items():
            issue.issue(tx, self._issuers[unit], made)

    def _heartbeat(self, now: datetime) -> None:
        """Tell the hub how we are: one signed control message, replacing an unsent older one."""
        unit = self._posts.units[0]
        body = etree.Element(f"{{{CONTROL_NS}}}Heartbeat", nsmap=CONTROL_MAP)
        for name, value in sorted({**self._facts(), "version": __version__}.items()):
            fact = etree.SubElement(body, f"{{{CONTROL_NS}}}Fact", name=name)
            fact.text = value
        with self._journal.write(now) as tx:
            bundles.drop_unsent_controls(tx, HUB, "-heartbeat.ctl.xml")
            answers.send_control(tx, HUB, self._issuers[unit], "heartbeat", body)
        self._wake_sender()


def own_draft(tx: Tx, row: transfers.Row, kind: Kind, reason: Reason) -> Draft:
    """`relay-failed` or `relay-delayed` of the sender's own gateway, for its case software."""
    known = tx.one(
        "SELECT flow_uid, case_uid, content_digest, seal_digest, unit, app, sender_ref, drop_name"
        " FROM package WHERE id = ?",
        row.package_id,
    )
    assert known is not None
    key = f"{known[4]}/{known[5]}" if known[5] else str(known[4])
    return Draft(
        kind=kind,
        sender=row.sender,
        message_id=row.message_id,
        message_type=row.message_type,
        flow_uid=str(known[0]),
        case_uid=str(known[1]),
        sender_ref=str(known[6]),
        drop_name=str(known[7]),
        content_digest=str(known[2]),
        seal_digest=str(known[3]),
        attempt=row.attempt,
        package_id=row.package_id,
        file=FilePlan(key, row.message_id),
        reasons=(reason,),
    )
