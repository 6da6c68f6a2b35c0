"""The hub takes bundles: verify, authorise, dedupe, route, answer.

Each upload is copied while hashed into a segment that only the hub owns; its members are judged
one by one; one transaction holds all outcomes with their signed receipts; only then is the upload
removed. A repeated bundle or package gets the first outcome again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from lxml import etree

from frontgate import durable
from frontgate.core import routing
from frontgate.core.lifecycle import Intake as State
from frontgate.core.lifecycle import IntakeEvent, TransferEvent, admit
from frontgate.errors import FrontgateError, RoutingError, SignatureError, TransportError
from frontgate.hub.mailboxes import ACCOUNT, Mailbox, Mailboxes
from frontgate.journal import Journal, Tx, bundles, packages, receipts, transfers
from frontgate.model.finding import Finding, Severity, finding, finding_of
from frontgate.model.message import CONTROL_MAP, CONTROL_NS
from frontgate.model.receipt import Kind, Receipt
from frontgate.pipeline import issue
from frontgate.pipeline.dispatch import LARGE_BYTES
from frontgate.pipeline.issue import Draft, Issuer
from frontgate.pipeline.segments import CHUNK, SegmentStore
from frontgate.pipeline.take import Opened, Taken, open_member, take
from frontgate.seal import Package
from frontgate.seal.control import Control, read_control, write_control
from frontgate.seal.receipts import ReceiptGroup, read_list
from frontgate.standard import Checker, Standards, step_of
from frontgate.trust.store import TrustStore

log = structlog.get_logger()

_TO_RECEIVER = {
    Kind.DELIVERED: TransferEvent.RECEIPT_ACCEPTED,
    Kind.DELIVERY_FAILED: TransferEvent.RECEIPT_REFUSED,
}
MOST_LIST_BYTES = 64 << 20


@dataclass(slots=True)
class _Judged:
    packages: list[tuple[Opened, list[Finding]]]
    groups: list[ReceiptGroup]
    controls: list[tuple[Control, bytes]]
    faults: list[tuple[str, int, int, FrontgateError]]


class HubIntake:
    """Takes what lies in the `to-hub/` folders into the ledger."""

    def __init__(
        self,
        journal: Journal,
        store: SegmentStore,
        mailboxes: Mailboxes,
        issuer: Issuer,
        trust: Callable[[], TrustStore],
        standards: Standards,
        checker: Checker,
        *,
        wake_placer: Callable[[], None],
        max_message_bytes: int = 32 << 20,
    ) -> None:
        self._journal = journal
        self._reader = journal.reader()
        self._store = store
        self._mailboxes = mailboxes
        self._issuer = issuer
        self._trust = trust
        self._standards = standards
        self._checker = checker
        self._wake_placer = wake_placer
        self._max_message_bytes = max_message_bytes

    def turn(self) -> float | None:
        """Take every complete upload, one per account and round, so that no unit waits for another."""
        busy = True
        while busy:
            busy = False
            for mailbox in self._mailboxes.all():
                name = mailbox.next_upload()
                if name is not None:
                    busy = True
                    self._take(mailbox, name)
        return None

    def _take(self, mailbox: Mailbox, name: str) -> None:
        path = mailbox.to_hub / name
        bundle_id = name.removesuffix(".bundle")
        peer = ACCOUNT + mailbox.account
        if not bundles.is_taken(self._reader, peer, bundle_id):
            try:
                taken = take(
                    self._store, name, lambda sink: _copy(path, sink), now=datetime.now(UTC)
                )
            except FileNotFoundError:
                return
            except OSError as error:
                raise TransportError(
                    "FG-TRN-030", detail=f"{mailbox.account}/{name}: {error}"
                ) from error
            self._settle_bundle(mailbox, taken)
        else:
            with self._journal.write() as tx:
                tx.event("bundle-repeat", bundle=bundle_id, peer=peer)
                self._answer_again(tx, peer, bundle_id)
        durable.unlink(path)
        durable.fsync_dir(mailbox.to_hub)
        self._wake_placer()

    def _answer_again(self, tx: Tx, peer: str, bundle_id: str) -> None:
        """A bundle that was taken already: its packages' receipts travel once more."""
        rows = tx.all(
            "SELECT p.id FROM package p JOIN bundle_in b ON b.segment_id = p.segment_id"
            " WHERE b.peer = ? AND b.bundle_id = ?",
            peer,
            bundle_id,
        )
        for (package_id,) in rows:
            receipts.send_again(tx, int(package_id), peer, own_node="hub")

    def _settle_bundle(self, mailbox: Mailbox, taken: Taken) -> None:
        judged = self._judge(mailbox, taken)
        peer = ACCOUNT + mailbox.account
        try:
            with self._journal.write() as tx:
                segment_id = packages.add_segment(tx, taken.path, taken.size_bytes, "taken")
                bundles.add_taken(tx, peer, taken.bundle_id, segment_id)
                tx.event(
                    "bundle-taken", bundle=taken.bundle_id, peer=peer, members=len(taken.members)
                )
                drafts: list[Draft] = []
                for group in judged.groups:
                    self._settle_receipts(tx, mailbox, group)
                for opened, findings in judged.packages:
                    self._record(tx, mailbox, taken, segment_id, opened, findings, drafts)
                for name, offset, size, error in judged.faults:
                    packages.add_quarantine(
                        tx,
                        origin=peer,
                        name=name,
                        segment_id=segment_id,
                        offset=offset,
                        size_bytes=size,
                        code=error.code,
                        detail=error.message("en"),
                    )
                    tx.event("quarantined", bundle=taken.bundle_id, member=name, code=error.code)
                for control, xml in judged.controls:
                    fresh = bundles.take_control(
                        tx, control.issuer, control.kind, control.number, xml
                    )
                    if fresh and control.kind == "ping":
                        self._echo(tx, peer, control)
                issue.issue(tx, self._issuer, drafts)
        finally:
            for opened, _ in judged.packages:
                if opened.package is not None:
                    opened.package.close()
        log.info(
            "bundle-taken",
            account=mailbox.account,
            bundle=taken.bundle_id,
            packages=len(judged.packages),
            faults=len(judged.faults),
        )

    def _echo(self, tx: Tx, peer: str, control: Control) -> None:
        """Answer a ping with its own number: the whole way there and back works."""
        number = tx.next_number(f"control:{self._issuer.unit}")
        body = etree.Element(f"{{{CONTROL_NS}}}Echo", nsmap=CONTROL_MAP)
        body.set("number", str(control.number))
        xml = write_control("ping", number, self._issuer.unit, tx.now, body, self._issuer.signer)
        bundles.add_control(tx, peer, f"{number:010d}-ping.ctl.xml", xml)

    # -- judging: no journal writes, may read files and the catalogue ------------------------

    def _judge(self, mailbox: Mailbox, taken: Taken) -> _Judged:
        judged = _Judged([], [], [], [])
        if taken.error is not None:
            judged.faults.append((taken.bundle_id, 0, taken.size_bytes, taken.error))
        for member in taken.members:
            try:
                if member.name.endswith(".asice"):
                    opened = open_member(self._store, taken.path, member)
                    findings = self._examine(mailbox, opened.package) if opened.package else []
                    judged.packages.append((opened, findings))
                    continue
                if member.size_bytes > MOST_LIST_BYTES:
                    raise SignatureError(
                        "FG-BND-011", size=member.size_bytes, limit=MOST_LIST_BYTES
                    )
                with self._store.open(taken.path) as file:
                    file.seek(member.offset)
                    data = file.read(member.size_bytes)
                if member.name.endswith("-receipts.xml"):
                    judged.groups.extend(read_list(data))
                else:
                    judged.controls.append((self._control(mailbox, data), data))
            except FrontgateError as error:
                judged.faults.append((member.name, member.offset, member.size_bytes, error))
        return judged

    def _control(self, mailbox: Mailbox, data: bytes) -> Control:
        control = read_control(data)
        self._trust().judge(control.certificate, control.issuer, datetime.now(UTC))
        self._carried(mailbox, control.issuer)
        return control

    def _carried(self, mailbox: Mailbox, unit: str) -> None:
        known = self._trust().directory.units.get(unit)
        if known is None or known.account != mailbox.account:
            raise RoutingError("FG-RTE-012", value=unit, account=mailbox.account)

    def _examine(self, mailbox: Mailbox, package: Package) -> list[Finding]:
        """Authenticity, XSD, roles, receivers, versions, test traffic: all that refuses at the hub."""
        trust = self._trust()
        envelope = package.envelope
        header = envelope.header
        try:
            self._carried(mailbox, header.sender)
            trust.judge(package.certificate, header.sender, datetime.now(UTC))
            message = package.read("message.xml", self._max_message_bytes)
            catalogue = self._standards.version(header.standard)
            step = step_of(catalogue, header.message_type)
        except FrontgateError as error:
            return [finding_of(error)]
        found = list(
            self._checker.check(
                message, files=None, layers=frozenset({"xsd"}), minted=True
            ).report.findings
        )
        view = self._checker.read(message)
        if (view.header.message_id, view.header.sender) != (header.message_id, header.sender):
            found.append(finding_of(SignatureError("FG-SIG-040", value=header.message_id)))
        found.extend(
            routing.judge(
                envelope, trust.directory, routing.StepRoles(step.from_roles, step.to_roles)
            )
            if not envelope.original_message_id
            else routing.judge(envelope, trust.directory, routing.StepRoles(step.from_roles, ()))
        )
        return found

    # -- recording: inside the one transaction ----------------------------------------------

    def _record(
        self,
        tx: Tx,
        mailbox: Mailbox,
        taken: Taken,
        segment_id: int,
        opened: Opened,
        findings: list[Finding],
        drafts: list[Draft],
    ) -> None:
        peer = ACCOUNT + mailbox.account
        member = opened.member
        if opened.package is None:
            assert opened.error is not None
            reason = issue.reason_of(opened.error)
            packages.add_quarantine(
                tx,
                origin=peer,
                name=member.name,
                segment_id=segment_id,
                offset=member.offset,
                size_bytes=member.size_bytes,
                code=opened.error.code,
                detail=opened.error.message("en"),
            )
            tx.event(
                "quarantined", bundle=taken.bundle_id, member=member.name, code=opened.error.code
            )
            drafts.append(
                Draft(
                    kind=Kind.RELAY_REJECTED,
                    sender=mailbox.unit,
                    message_id=member.name.removesuffix(".asice"),
                    bundle_id=taken.bundle_id,
                    destinations=(peer,),
                    reasons=(reason,),
                )
            )
            return
        package = opened.package
        envelope = package.envelope
        header = envelope.header
        known = packages.find_admitted(tx, "in", header.sender, header.message_id)
        refusing = [f for f in findings if f.severity.refuses]
        if known is not None:
            if known.content_digest == package.content_digest:
                tx.event("repeat", sender=header.sender, message=header.message_id, peer=peer)
                receipts.send_again(tx, known.package_id, peer, own_node="hub")
                return
            refusing = [finding("FG-RTE-011", value=header.message_id)]
        state = admit(State.CLAIMED, IntakeEvent.REFUSE if refusing else IntakeEvent.ACCEPT)
        package_id = packages.add(
            tx,
            direction="in",
            state=state,
            envelope=envelope,
            sender=header.sender,
            message_id=header.message_id,
            content_digest=package.content_digest,
            seal_digest=package.seal_digest,
            segment_id=segment_id,
            offset=member.offset,
            size_bytes=member.size_bytes,
            digest=member.digest,
            findings=findings,
        )
        receipts.claim_for(tx, header.sender, header.message_id, package_id)
        accounts: list[str] = []
        if refusing:
            tx.event(
                "refused",
                package=package_id,
                sender=header.sender,
                message=header.message_id,
                peer=peer,
                codes=[f.rule for f in refusing],
            )
        else:
            tx.event(
                "admitted",
                package=package_id,
                sender=header.sender,
                message=header.message_id,
                type=header.message_type,
                content=package.content_digest,
                peer=peer,
            )
            for code in envelope.recipients:
                unit = self._trust().directory.units[code]
                accounts.append(ACCOUNT + unit.account)
                transfers.add(
                    tx,
                    package_id=package_id,
                    destination=ACCOUNT + unit.account,
                    receiver=code,
                    is_large=member.size_bytes > LARGE_BYTES,
                )
        flagged = [f for f in findings if f.severity in (Severity.WARNING, Severity.SEQUENCE)]
        drafts.append(
            Draft(
                kind=Kind.RELAY_REJECTED if refusing else Kind.RELAY_ACCEPTED,
                sender=header.sender,
                message_id=header.message_id,
                message_type=header.message_type,
                flow_uid=header.flow_uid,
                case_uid=header.case_uid,
                sender_ref=header.sender_ref,
                bundle_id=taken.bundle_id,
                content_digest=package.content_digest,
                seal_digest=package.seal_digest,
                package_id=package_id,
                destinations=tuple(dict.fromkeys((peer, *accounts))),
                reasons=issue.notes_of(refusing or flagged),
            )
        )
        if not refusing:
            receipts.copy_to(
                tx,
                header.sender,
                header.message_id,
                tuple(dict.fromkeys(accounts)),
                kind=Kind.SUBMISSION_ACCEPTED.value,
            )

    def _settle_receipts(self, tx: Tx, mailbox: Mailbox, group: ReceiptGroup) -> None:
        """Keep a gateway's receipts, apply them to our transfers, pass them on to the sender."""
        peer = ACCOUNT + mailbox.account
        error = group.error or self._issuer_error(mailbox, group)
        if error is not None:
            packages.add_quarantine(
                tx,
                origin=peer,
                name="receipts",
                segment_id=None,
                offset=0,
                size_bytes=0,
                code=error.code,
                detail=error.message("en"),
            )
            tx.event("receipts-refused", peer=peer, code=error.code)
            return
        signature_id = receipts.keep_signature(tx, group.signature)
        for receipt, xml, digest in group.items:
            known = packages.find_admitted(tx, "in", receipt.sender, receipt.message_id)
            if known is None and not receipt.sender:
                known = packages.find_by_message(tx, "in", receipt.message_id)
            package_id = known.package_id if known else None
            row = receipts.keep(tx, receipt, xml, digest, signature_id, package_id)
            if row is None:
                continue
            tx.event(
                "receipt-got",
                kind=receipt.kind.value,
                message=receipt.message_id,
                receiver=receipt.receiver,
                issuer=receipt.issuer,
                digest=digest,
            )
            if receipt.kind is Kind.SUBMISSION_ACCEPTED or package_id is None:
                continue
            self._apply(tx, receipt, package_id)
            sender = self._trust().directory.units.get(packages.sender_of(tx, package_id))
            if sender is not None:
                receipts.send(tx, row, ACCOUNT + sender.account)

    def _apply(self, tx: Tx, receipt: Receipt, package_id: int) -> None:
        event = _TO_RECEIVER.get(receipt.kind)
        if event is None:
            return
        for row in reversed(transfers.of_package(tx, package_id)):
            if row.receiver == receipt.receiver:
                reason = receipt.reasons[0].code if receipt.reasons else ""
                transfers.apply(tx, row.transfer_id, event, reason=reason)
                return

    def _issuer_error(self, mailbox: Mailbox, group: ReceiptGroup) -> FrontgateError | None:
        for receipt, _, _ in group.items:
            try:
                if receipt.issuer_node != "gateway":
                    raise RoutingError("FG-RTE-012", value=receipt.issuer, account=mailbox.account)
                self._carried(mailbox, receipt.issuer)
                self._trust().judge(
                    group.certificate, receipt.issuer, datetime.fromisoformat(receipt.event_time)
                )
                if receipt.receiver and receipt.receiver != receipt.issuer:
                    self._carried(mailbox, receipt.receiver)
            except FrontgateError as error:
                return error
        return None


def _copy(path: Path, sink: Callable[[bytes], object]) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        while chunk := file.read(CHUNK):
            sink(chunk)
