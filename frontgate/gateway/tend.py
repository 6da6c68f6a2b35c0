"""Housekeeping of a gateway: limits, overdue receipts, heartbeat, disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from lxml import etree

from frontgate import __version__
from frontgate.core.lifecycle import Transfer, TransferEvent
from frontgate.core.routing import HUB
from frontgate.errors import RoutingError
from frontgate.gateway.stations import Posts
from frontgate.journal import Journal, Reader, Tx, bundles, transfers
from frontgate.model.message import CONTROL_MAP, CONTROL_NS
from frontgate.model.receipt import Kind, Reason
from frontgate.pipeline import issue
from frontgate.pipeline.issue import Draft, FilePlan, Issuer
from frontgate.seal.control import write_control

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DiskGate:
    """Pauses intake before a disk is full. high_water: used share of 0..1; reserve in bytes."""

    paths: tuple[Path, ...]
    high_water: float
    reserve_bytes: int

    def is_open(self) -> bool:
        """Whether there is room for more."""
        for path in self.paths:
            state = os.statvfs(path)
            free = state.f_bavail * state.f_frsize
            total = state.f_blocks * state.f_frsize
            if free < self.reserve_bytes or (total and 1 - free / total > self.high_water):
                return False
            if state.f_files and state.f_favail < 1000:
                return False
        return True


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
        heartbeat_s: float,
        facts: Callable[[], dict[str, str]],
        wake_sender: Callable[[], None],
        wake_files: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._reader: Reader = journal.reader()
        self._posts = posts
        self._issuers = issuers
        self._overdue_ms = int(overdue_s * 1000)
        self._limit_ms = int(relay_limit_s * 1000)
        self._heartbeat_s = heartbeat_s
        self._facts = facts
        self._wake_sender = wake_sender
        self._wake_files = wake_files
        self._beat_at = 0.0

    def turn(self) -> float | None:
        now = datetime.now(UTC)
        self._overdue(now)
        self._expire(now)
        if now.timestamp() >= self._beat_at:
            self._beat_at = now.timestamp() + self._heartbeat_s
            self._heartbeat(now)
        return min(self.LOOK_S, self._heartbeat_s)

    def _overdue(self, now: datetime) -> None:
        """Sent and not answered: send again; the hub recognises what it has."""
        before = int(now.timestamp() * 1000) - self._overdue_ms
        rows = transfers.in_state(
            self._reader, Transfer.SENT, destination_prefix=HUB, changed_before_ms=before
        )
        if not rows:
            return
        with self._journal.write(now) as tx:
            for row in rows:
                transfers.apply(tx, row.transfer_id, TransferEvent.RECEIPT_OVERDUE)
        log.warning("receipt-overdue", count=len(rows))
        self._wake_sender()

    def _expire(self, now: datetime) -> None:
        """What waited longer than the limit ends with a signed reason."""
        made_before = now.timestamp() * 1000 - self._limit_ms
        for state in (Transfer.QUEUED, Transfer.SENT):
            rows = [
                row
                for row in transfers.in_state(self._reader, state, destination_prefix=HUB)
                if self._made_ms(row) < made_before
            ]
            if not rows:
                continue
            with self._journal.write(now) as tx:
                drafts: dict[str, list[Draft]] = {}
                for row in rows:
                    unconfirmed = state is Transfer.SENT
                    code = "FG-RTE-016" if unconfirmed else "FG-RTE-015"
                    error = RoutingError(code, days=self._limit_ms // 86_400_000)
                    transfers.apply(tx, row.transfer_id, TransferEvent.EXPIRE, reason=code)
                    drafts.setdefault(row.sender, []).append(
                        failed_draft(tx, row, issue.reason_of(error))
                    )
                for unit, made in drafts.items():
                    issue.issue(tx, self._issuers[unit], made)
            self._wake_files()

    def _made_ms(self, row: transfers.Row) -> float:
        known = self._reader.one("SELECT made_at FROM transfer WHERE id = ?", row.transfer_id)
        assert known is not None
        return datetime.fromisoformat(str(known[0])).timestamp() * 1000

    def _heartbeat(self, now: datetime) -> None:
        """Tell the hub how we are: one signed control message, replacing an unsent older one."""
        unit = self._posts.units[0]
        body = etree.Element(f"{{{CONTROL_NS}}}Heartbeat", nsmap=CONTROL_MAP)
        for name, value in sorted({**self._facts(), "version": __version__}.items()):
            fact = etree.SubElement(body, f"{{{CONTROL_NS}}}Fact", name=name)
            fact.text = value
        with self._journal.write(now) as tx:
            bundles.drop_unsent_controls(tx, HUB, "-heartbeat.ctl.xml")
            number = tx.next_number(f"control:{unit}")
            xml = write_control("heartbeat", number, unit, now, body, self._issuers[unit].signer)
            bundles.add_control(tx, HUB, f"{number:010d}-heartbeat.ctl.xml", xml)
        self._wake_sender()


def failed_draft(tx: Tx, row: transfers.Row, reason: Reason) -> Draft:
    """`relay-failed` of the sender's own gateway."""
    known = tx.one(
        "SELECT flow_uid, case_uid, content_digest, seal_digest, unit, app, sender_ref, drop_name"
        " FROM package WHERE id = ?",
        row.package_id,
    )
    assert known is not None
    key = f"{known[4]}/{known[5]}" if known[5] else str(known[4])
    return Draft(
        kind=Kind.RELAY_FAILED,
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
