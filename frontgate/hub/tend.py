"""Housekeeping of the hub: what is not fetched in time, what was sent and never answered, and the
directory for gateways that have an older one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from lxml import etree

from frontgate.core.lifecycle import Transfer, TransferEvent
from frontgate.errors import RoutingError
from frontgate.hub.mailboxes import ACCOUNT, Mailboxes
from frontgate.journal import Journal, Reader, bundles, transfers
from frontgate.model.message import CONTROL_MAP, CONTROL_NS
from frontgate.model.receipt import Kind
from frontgate.pipeline import issue
from frontgate.pipeline.issue import Draft, Issuer
from frontgate.seal.control import write_control
from frontgate.trust.store import TrustStore

log = structlog.get_logger()


class HubTend:
    """`turn` is the body of a loop."""

    LOOK_S = 2.0

    def __init__(
        self,
        journal: Journal,
        mailboxes: Mailboxes,
        issuer: Issuer,
        trust: Callable[[], TrustStore],
        *,
        delivery_limit_s: float,
        overdue_s: float,
        wake_placer: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._reader: Reader = journal.reader()
        self._mailboxes = mailboxes
        self._issuer = issuer
        self._trust = trust
        self._limit_ms = int(delivery_limit_s * 1000)
        self._overdue_ms = int(overdue_s * 1000)
        self._wake_placer = wake_placer

    def turn(self) -> float | None:
        self._announce_directory()
        self._overdue()
        self._expire()
        return self.LOOK_S

    def _announce_directory(self) -> None:
        """A new directory goes to every gateway once, as a signed control message."""
        document = self._trust().directory_document
        version = str(self._trust().directory.version)
        if self._reader.meta("directory-announced") == version:
            return
        with self._journal.write() as tx:
            number = tx.next_number(f"control:{self._issuer.unit}")
            body = etree.Element(f"{{{CONTROL_NS}}}Directory", nsmap=CONTROL_MAP)
            body.text = document.decode()
            xml = write_control(
                "directory", number, self._issuer.unit, tx.now, body, self._issuer.signer
            )
            for mailbox in self._mailboxes.admitted():
                destination = ACCOUNT + mailbox.account
                bundles.drop_unsent_controls(tx, destination, "-directory.ctl.xml")
                bundles.add_control(tx, destination, f"{number:010d}-directory.ctl.xml", xml)
            tx.set_meta("directory-announced", version)
            tx.event("directory", version=version)
        log.info("directory", version=version)
        self._wake_placer()

    def _overdue(self) -> None:
        """Placed, gone from the mailbox, and still not answered: the gateway lost it. Send again."""
        before = int(datetime.now(UTC).timestamp() * 1000) - self._overdue_ms
        rows = [
            row
            for row in transfers.in_state(
                self._reader, Transfer.SENT, destination_prefix=ACCOUNT, changed_before_ms=before
            )
            if not self._is_waiting(row)
        ]
        if not rows:
            return
        with self._journal.write() as tx:
            for row in rows:
                transfers.apply(tx, row.transfer_id, TransferEvent.RECEIPT_OVERDUE)
        self._wake_placer()

    def _is_waiting(self, row: transfers.Row) -> bool:
        account = row.destination.removeprefix(ACCOUNT)
        mailbox = self._mailboxes.of_account(account)
        return (mailbox.from_hub / f"{row.bundle_id}.bundle").exists()

    def _expire(self) -> None:
        """Not delivered within the limit: a signed `relay-failed` for that receiver."""
        for state in (Transfer.QUEUED, Transfer.SENT):
            before = int(datetime.now(UTC).timestamp() * 1000) - self._limit_ms
            rows = transfers.in_state(
                self._reader, state, destination_prefix=ACCOUNT, changed_before_ms=before
            )
            if not rows:
                continue
            with self._journal.write() as tx:
                drafts: list[Draft] = []
                for row in rows:
                    code = "FG-RTE-016" if state is Transfer.SENT else "FG-RTE-015"
                    error = RoutingError(code, days=self._limit_ms // 86_400_000)
                    transfers.apply(tx, row.transfer_id, TransferEvent.EXPIRE, reason=code)
                    sender = self._trust().directory.units.get(row.sender)
                    drafts.append(
                        Draft(
                            kind=Kind.RELAY_FAILED,
                            sender=row.sender,
                            message_id=row.message_id,
                            message_type=row.message_type,
                            receiver=row.receiver,
                            attempt=row.attempt,
                            package_id=row.package_id,
                            destinations=(ACCOUNT + sender.account,) if sender else (),
                            reasons=(issue.reason_of(error),),
                        )
                    )
                issue.issue(tx, self._issuer, drafts)
            self._wake_placer()
