"""Housekeeping of a gateway: limits, overdue receipts, heartbeat, disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from lxml import etree

from frontgate import __version__
from frontgate.core.lifecycle import OPEN, Transfer, TransferEvent
from frontgate.core.routing import HUB
from frontgate.errors import FrontgateError, RoutingError
from frontgate.gateway.stations import Posts
from frontgate.journal import Journal, Reader, Tx, bundles, receipts, transfers
from frontgate.model.message import CONTROL_MAP, CONTROL_NS
from frontgate.model.receipt import Kind, Reason
from frontgate.pipeline import answers, issue
from frontgate.pipeline.issue import Draft, FilePlan, Issuer

log = structlog.get_logger()

MOST_AT_ONCE = 64
"""Receipts of one signature: each carries the digests of all, so a batch stays small."""


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
        delayed_s: Sequence[float],
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
        self._delayed_s = tuple(delayed_s)
        self._heartbeat_s = heartbeat_s
        self._facts = facts
        self._wake_sender = wake_sender
        self._wake_files = wake_files
        self._beat_at = 0.0

    def turn(self) -> float | None:
        now = datetime.now(UTC)
        self._overdue(now)
        is_more = self._warn(now) | self._expire(now)
        if now.timestamp() >= self._beat_at:
            self._beat_at = now.timestamp() + self._heartbeat_s
            self._heartbeat(now)
        return 0.0 if is_more else min(self.LOOK_S, self._heartbeat_s)

    def _overdue(self, now: datetime) -> None:
        """Sent and not answered: send again; the hub recognises what it has."""
        before = int(now.timestamp() * 1000) - self._overdue_ms
        rows = transfers.in_state(
            self._reader, Transfer.SENT, destination_prefix=HUB, changed_before_ms=before
        )
        lost = bundles.unanswered(self._reader, sent_before_ms=before)
        if not rows and not lost:
            return
        with self._journal.write(now) as tx:
            for row in rows:
                transfers.apply(tx, row.transfer_id, TransferEvent.RECEIPT_OVERDUE)
            for destination, bundle_id in lost:
                receipts.travel_again(tx, destination, bundle_id)
                tx.event("bundle-overdue", bundle=bundle_id)
        log.warning("receipt-overdue", packages=len(rows), bundles=len(lost))
        self._wake_sender()

    def _warn(self, now: datetime) -> bool:
        """`relay-delayed` for what waits too long: told once a limit, ends nothing."""
        is_more = False
        for times, limit_s in enumerate(self._delayed_s):
            rows = transfers.older_than(
                self._reader,
                tuple(OPEN),
                made_before_ms=int((now.timestamp() - limit_s) * 1000),
                destination_prefix=HUB,
                warned=(times,),
                limit=MOST_AT_ONCE,
            )
            error = RoutingError("FG-RTE-019", minutes=int(limit_s // 60))
            self._answer(now, rows, Kind.RELAY_DELAYED, error, warned=times + 1)
            is_more |= len(rows) == MOST_AT_ONCE
        return is_more

    def _expire(self, now: datetime) -> bool:
        """What waited longer than the limit ends with a signed reason."""
        is_more = False
        for state, code in ((Transfer.QUEUED, "FG-RTE-015"), (Transfer.SENT, "FG-RTE-016")):
            rows = transfers.older_than(
                self._reader,
                (state,),
                made_before_ms=int(now.timestamp() * 1000) - self._limit_ms,
                destination_prefix=HUB,
                limit=MOST_AT_ONCE,
            )
            error = RoutingError(code, days=self._limit_ms // 86_400_000)
            self._answer(now, rows, Kind.RELAY_FAILED, error, event=TransferEvent.EXPIRE)
            is_more |= len(rows) == MOST_AT_ONCE
        return is_more

    def cancelled(self, tx: Tx, row: transfers.Row, error: FrontgateError) -> None:
        """The signed end of a transfer that an operator cancelled, for its case software."""
        issuer = self._issuers.get(row.sender)
        if issuer is not None and row.destination == HUB:
            draft = own_draft(tx, row, Kind.RELAY_FAILED, issue.reason_of(error))
            issue.issue(tx, issuer, [draft])
            self._wake_files()

    def fail(self, rows: Sequence[transfers.Row], error: FrontgateError) -> None:
        """End transfers that cannot go on, with a signed reason."""
        now = datetime.now(UTC)
        self._answer(now, rows, Kind.RELAY_FAILED, error, event=TransferEvent.PERMANENT)

    def _answer(
        self,
        now: datetime,
        rows: Sequence[transfers.Row],
        kind: Kind,
        error: FrontgateError,
        *,
        event: TransferEvent | None = None,
        warned: int = 0,
    ) -> None:
        """One transaction: what becomes of the rows, and the receipts that say so."""
        if not rows:
            return
        with self._journal.write(now) as tx:
            drafts: dict[str, list[Draft]] = {}
            for row in rows:
                if event is not None:
                    transfers.apply(tx, row.transfer_id, event, reason=error.code)
                else:
                    transfers.mark_warned(tx, row.transfer_id, warned)
                drafts.setdefault(row.sender, []).append(
                    own_draft(tx, row, kind, issue.reason_of(error))
                )
            for unit, made in drafts.items():
                issue.issue(tx, self._issuers[unit], made)
        self._wake_files()

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
