"""Housekeeping of the hub: what is not fetched in time, what was sent and never answered, and the
directory for gateways that have an older one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from lxml import etree

from frontgate import clock, durable
from frontgate.core.lifecycle import TransferEvent
from frontgate.hub.mailboxes import ACCOUNT, Mailbox, Mailboxes
from frontgate.journal import Journal, Reader, Tx, bundles, receipts, transfers
from frontgate.log import get_logger
from frontgate.model.message import CONTROL_MAP, CONTROL_NS
from frontgate.model.receipt import Kind, Reason
from frontgate.pipeline import answers, issue
from frontgate.pipeline.issue import Draft, Issuer
from frontgate.pipeline.limits import Limits
from frontgate.trust.store import TrustStore

log = get_logger()

PART_RESTS_S = 35 * 86400.0
"""A part of an upload that rests longer than any relay limit is nobody's any more."""
TAKEN_PART_RESTS_S = 3600.0
"""So long a part rests beside an upload that was taken whole: its sender missed the answer, began again,
and was cut off once more before a receipt told it to stop.
"""
SETTLED_S = 3 * 86400.0
"""So long after its bundle was fetched, a receipt's row for that gateway is kept to send it again."""


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
        delayed_s: Sequence[float],
        overdue_s: float,
        wake_placer: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._reader: Reader = journal.reader()
        self._mailboxes = mailboxes
        self._issuer = issuer
        self._trust = trust
        self.limits = Limits(
            journal,
            ACCOUNT,
            self._tell,
            wake_placer,
            delayed_code="FG-RTE-020",
            delayed_s=delayed_s,
            limit_s=delivery_limit_s,
        )
        self._overdue_ms = int(overdue_s * 1000)
        self._wake_placer = wake_placer
        self._forget_at = 0.0

    def turn(self) -> float | None:
        now = clock.now()
        self.announce(self._trust())
        self._answer_bundles()
        self._overdue()
        self._forget_answered()
        is_more = self.limits.turn(now)
        return 0.0 if is_more else self.LOOK_S

    def _answer_bundles(self) -> None:
        """Bundles that carried receipts alone are answered together, one control message a peer."""
        owed = bundles.owed_answers(self._reader, answers.MOST_BUNDLES)
        if not owed:
            return
        with self._journal.write() as tx:
            for peer, rows in itertools.groupby(owed, key=lambda pair: pair[0]):
                names = [bundle_id for _, bundle_id in rows]
                answers.confirm_bundles(tx, peer, self._issuer, names)
                for name in names:
                    bundles.mark_answered(tx, peer, name)
        self._wake_placer()

    def _forget_answered(self) -> None:
        """A bundle that its gateway removed and did not complain of for days is settled."""
        if clock.monotonic() < self._forget_at:
            return
        self._forget_at = clock.monotonic() + 3600
        for mailbox in self._mailboxes.all():
            self._clear_parts(mailbox)
        before = self._journal.now_ms() - int(SETTLED_S * 1000)
        after = ""
        while page := bundles.unanswered(self._reader, sent_before_ms=before, after=after):
            after = page[-1][1]
            settled = [pair for pair in page if not self._lies_in_mailbox(*pair)]
            if settled:
                with self._journal.write() as tx:
                    for destination, bundle_id in settled:
                        receipts.answered(tx, destination, bundle_id)

    def _clear_parts(self, mailbox: Mailbox) -> None:
        now = clock.now().timestamp()
        peer = ACCOUNT + mailbox.account
        for part in mailbox.parts():
            if abs(now - part.written_s) < TAKEN_PART_RESTS_S:  # far ahead: the clock was set back
                continue
            is_old = part.written_s < now - PART_RESTS_S
            if is_old or bundles.is_taken(self._reader, peer, part.bundle_id):
                durable.unlink(part.path)

    def announce(self, trust: TrustStore) -> None:
        """A new directory goes to every gateway once, as a signed control message.

        It is queued before the hub itself goes by it, so that no gateway gets anything signed by a
        certificate that was registered later than the directory it has.
        """
        document, version = trust.directory_document, str(trust.directory.version)
        if self._reader.meta("directory-announced") == version:
            return
        with self._journal.write() as tx:
            if tx.meta("directory-announced") == version:
                return
            body = etree.Element(f"{{{CONTROL_NS}}}Directory", nsmap=CONTROL_MAP)
            body.text = document.decode()
            for mailbox in self._mailboxes.admitted():
                destination = ACCOUNT + mailbox.account
                bundles.drop_unsent_controls(tx, destination, "-directory.ctl.xml")
                answers.send_control(tx, destination, self._issuer, "directory", body)
            tx.set_meta("directory-announced", version)
            tx.event("directory", version=version)
        log.info("directory", version=version)
        self._wake_placer()

    def _overdue(self) -> None:
        """Placed, gone from the mailbox, and still not answered: the gateway lost it. Send again.

        Those that still lie there are passed over, however many they are.
        """
        before = self._journal.now_ms() - self._overdue_ms
        after: transfers.Row | None = None
        while page := transfers.sent_page(self._reader, ACCOUNT, before_ms=before, after=after):
            after = page[-1]
            lying: dict[tuple[str, str], bool] = {}
            for row in page:
                key = row.destination, row.bundle_id
                if key not in lying:
                    lying[key] = self._lies_in_mailbox(*key)
            lost = [row for row in page if not lying[row.destination, row.bundle_id]]
            if lost:
                with self._journal.write() as tx:
                    for row in lost:
                        transfers.apply(tx, row.transfer_id, TransferEvent.RECEIPT_OVERDUE)
                self._wake_placer()

    def _lies_in_mailbox(self, destination: str, bundle_id: str) -> bool:
        mailbox = self._mailboxes.of_account(destination.removeprefix(ACCOUNT))
        return (mailbox.from_hub / f"{bundle_id}.bundle").exists()

    def _tell(self, tx: Tx, rows: Sequence[transfers.Row], kind: Kind, reason: Reason) -> None:
        """Receipts of the hub, to the senders' gateways."""
        drafts = []
        for row in rows:
            sender = self._trust().directory.units.get(row.sender)
            drafts.append(
                Draft(
                    kind=kind,
                    sender=row.sender,
                    message_id=row.message_id,
                    message_type=row.message_type,
                    receiver=row.receiver,
                    attempt=row.attempt,
                    package_id=row.package_id,
                    destinations=(ACCOUNT + sender.account,) if sender else (),
                    reasons=(reason,),
                )
            )
        issue.issue(tx, self._issuer, drafts)
