"""The hub takes bundles: verify, authorise, dedupe, route, answer.

Each upload is copied while hashed into a segment that only the hub owns; its members are judged
one by one; one transaction holds all outcomes with their signed receipts; only then is the upload
removed. A repeated bundle or package gets the first outcome again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from lxml import etree

from frontgate import clock, durable
from frontgate.core import routing
from frontgate.core.lifecycle import Intake as State
from frontgate.core.lifecycle import IntakeEvent, Transfer, TransferEvent, admit
from frontgate.errors import (
    FrontgateError,
    InternalError,
    RoutingError,
    SignatureError,
    TransportError,
)
from frontgate.hub.context import ContextChecks, InContext
from frontgate.hub.mailboxes import ACCOUNT, Boxes, Mailbox
from frontgate.hub.quota import Quotas
from frontgate.hub.resync import HubResync
from frontgate.journal import (
    Journal,
    Tx,
    bundles,
    extracts,
    packages,
    receipts,
    reconcile,
    transfers,
)
from frontgate.log import get_logger
from frontgate.model.envelope import Copy, Envelope
from frontgate.model.finding import Finding, Severity, finding, finding_of
from frontgate.model.message import Address, Header, MessageView
from frontgate.model.receipt import Kind, Receipt
from frontgate.model.unit import Directory
from frontgate.pipeline import answers, issue
from frontgate.pipeline.dispatch import LARGE_BYTES
from frontgate.pipeline.issue import Draft, Issuer
from frontgate.pipeline.members import Fault, keep_receipts, open_members, set_aside
from frontgate.pipeline.reconcile import KIND as TALLY
from frontgate.pipeline.segments import CHUNK, SegmentStore
from frontgate.pipeline.take import Opened, Taken, take
from frontgate.seal import Package
from frontgate.seal.control import Control
from frontgate.seal.receipts import ReceiptGroup
from frontgate.standard import Catalogue, Checker, Standards, copies, step_of
from frontgate.standard.extract import head_of
from frontgate.trust.store import TrustStore

log = get_logger()

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

_XSD = frozenset({"xsd"})
PAUSED_LOOK_S = 5.0
AVOID_S = 30.0
"""An upload that cannot be read is looked at again after this long."""


class HubIntake:
    """Takes what lies in the `to-hub/` folders into the ledger."""

    def __init__(
        self,
        journal: Journal,
        store: SegmentStore,
        mailboxes: Boxes,
        issuer: Issuer,
        trust: Callable[[], TrustStore],
        directories: Callable[[], Sequence[Directory]],
        standards: Standards,
        checker: Checker,
        *,
        resync: HubResync,
        wake_placer: Callable[[], None],
        may_take: Callable[[], bool] = lambda: True,
        max_message_bytes: int = 32 << 20,
        quotas: Quotas | None = None,
    ) -> None:
        self._journal = journal
        self._reader = journal.reader()
        self._store = store
        self._mailboxes = mailboxes
        self._issuer = issuer
        self._trust = trust
        self._directories = directories
        self._standards = standards
        self._checker = checker
        self._resync = resync
        self._wake_placer = wake_placer
        self._may_take = may_take
        self._max_message_bytes = max_message_bytes
        self._context = ContextChecks(self._division_of)
        self._avoiding: set[tuple[str, str]] = set()
        self._quotas = quotas

    def turn(self) -> float | None:
        """Take every complete upload, one per account and round, so that no unit waits for another."""
        busy = True
        while busy:
            busy = False
            if not self._may_take():
                return PAUSED_LOOK_S
            for mailbox in self._mailboxes.all():
                avoiding = {name for account, name in self._avoiding if account == mailbox.account}
                name = mailbox.next_upload(avoiding)
                if name is None:
                    continue
                busy = True
                if self._resync.holds(mailbox.to_hub / name):
                    self._avoiding.add((mailbox.account, name))
                elif not self._has_room(mailbox, name):
                    self._avoiding.add((mailbox.account, name))
                    self._refuse_too_much(mailbox)
                else:
                    self._take_safely(mailbox, name)
        if not self._avoiding:
            return None
        self._avoiding.clear()
        return 0.5 if self._resync.asking.is_holding() else AVOID_S

    def _has_room(self, mailbox: Mailbox, name: str) -> bool:
        """Whether the account may have this upload taken; a repeat costs nothing."""
        if self._quotas is None:
            return True
        peer = ACCOUNT + mailbox.account
        if bundles.is_taken(self._reader, peer, name.removesuffix(".bundle")):
            return True
        try:
            size = os.lstat(mailbox.to_hub / name).st_size
        except OSError:
            return True  # gone or unreadable: for `_take` to say
        return self._quotas.has_room(mailbox, size)

    def _refuse_too_much(self, mailbox: Mailbox) -> None:
        """Make room in a `to-hub/` that outgrows its limit: its newest uploads travel again later."""
        names, error = self._quotas.too_much(mailbox) if self._quotas else ([], None)
        if error is None or not names:
            return
        peer = ACCOUNT + mailbox.account
        log.warning("account-over-limit", account=mailbox.account, refused=len(names))
        with self._journal.write() as tx:
            for name in names:
                bundle_id = name.removesuffix(".bundle")
                tx.event("over-limit", bundle=bundle_id, peer=peer)
                answers.refuse_bundle(tx, peer, self._issuer, bundle_id, error)
        for name in names:
            durable.unlink(mailbox.to_hub / name)
        durable.fsync_dir(mailbox.to_hub)
        self._wake_placer()

    def _take_safely(self, mailbox: Mailbox, name: str) -> None:
        """One unit's entry that cannot be read holds up neither the other units nor its own next."""
        try:
            self._take(mailbox, name)
        except TransportError as error:
            log.warning("upload-unreadable", account=mailbox.account, detail=error.message("en"))
            self._avoiding.add((mailbox.account, name))

    def _take(self, mailbox: Mailbox, name: str) -> None:
        path = mailbox.to_hub / name
        bundle_id = name.removesuffix(".bundle")
        peer = ACCOUNT + mailbox.account
        if not bundles.is_taken(self._reader, peer, bundle_id):
            try:
                taken = take(self._store, name, lambda sink: _copy(path, sink), now=clock.now())
            except FileNotFoundError:
                return
            except OSError as error:
                raise TransportError(
                    "FG-TRN-030", detail=f"{mailbox.account}/{name}: {error}"
                ) from error
            with self._store.named_by(self._journal, taken.path):
                try:
                    self._settle_bundle(mailbox, taken)
                except (ArithmeticError, TypeError, ValueError) as error:
                    # Something in it that no form forbids and nothing here can use: it must not
                    # come again and again, and hold up every other unit.
                    self._set_bundle_aside(peer, taken, error)
        else:
            with self._journal.write() as tx:
                tx.event("bundle-repeat", bundle=bundle_id, peer=peer)
                bundles.owe_answer(tx, peer, bundle_id)
                self._answer_again(tx, peer, bundle_id)
        self._wake_placer()
        durable.unlink(path)
        durable.unlink(mailbox.part_of(name))  # a server that died while it renamed leaves it
        durable.fsync_dir(mailbox.to_hub)

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

    def _set_bundle_aside(self, peer: str, taken: Taken, error: Exception) -> None:
        log.error("bundle-set-aside", peer=peer, bundle=taken.bundle_id, error=repr(error))
        fault = Fault(taken.bundle_id, 0, taken.size_bytes, InternalError("FG-INT-001", what=peer))
        with self._journal.write() as tx:
            segment_id = packages.add_segment(tx, taken.path, taken.size_bytes, "taken")
            bundles.add_taken(tx, peer, taken.bundle_id, segment_id)
            set_aside(tx, peer, taken.bundle_id, segment_id, fault)
            answers.refuse_bundle(tx, peer, self._issuer, taken.bundle_id, fault.error)

    def _settle_bundle(self, mailbox: Mailbox, taken: Taken) -> None:
        members = open_members(self._store, taken, lambda c: self._authorise(mailbox, c))
        refused = [group.error or self._issuer_error(mailbox, group) for group in members.groups]
        judged = [
            (opened, *(self._examine(mailbox, opened.package) if opened.package else ([], None)))
            for opened in members.packages
        ]
        peer = ACCOUNT + mailbox.account
        try:
            with self._journal.write() as tx:
                segment_id = packages.add_segment(tx, taken.path, taken.size_bytes, "taken")
                # A package is answered by its receipt; receipts alone get an answer of their own.
                is_answered = bool(members.packages) or not members.groups
                bundles.add_taken(tx, peer, taken.bundle_id, segment_id, is_answered=is_answered)
                tx.event(
                    "bundle-taken", bundle=taken.bundle_id, peer=peer, members=len(taken.members)
                )
                drafts: list[Draft] = []
                for group, error in zip(members.groups, refused, strict=True):
                    if error is None:
                        self._settle_receipts(tx, peer, group)
                    else:
                        set_aside(tx, peer, taken.bundle_id, None, Fault("receipts", 0, 0, error))
                for opened, findings, placed in judged:
                    if placed is not None and not any(f.severity.refuses for f in findings):
                        findings.extend(placed.judge(tx))
                    self._record(tx, mailbox, taken, segment_id, opened, findings, placed, drafts)
                for fault in members.faults:
                    set_aside(tx, peer, taken.bundle_id, segment_id, fault)
                if taken.error is not None:
                    answers.refuse_bundle(tx, peer, self._issuer, taken.bundle_id, taken.error)
                for control, xml in members.controls:
                    if not bundles.take_control(
                        tx, control.issuer, control.kind, control.number, xml
                    ):
                        continue
                    answers.settle(tx, peer, control)
                    if control.kind == TALLY:
                        reconcile.enqueue(tx, peer, xml)
                    self._resync.on_control(tx, peer, control)
                    if control.kind == "ping":
                        answers.echo(tx, peer, self._issuer, control)
                issue.issue(tx, self._issuer, drafts)
        finally:
            members.close()
        log.info(
            "bundle-taken",
            account=mailbox.account,
            bundle=taken.bundle_id,
            packages=len(judged),
            faults=len(members.faults),
        )

    # -- judging: no journal writes, may read files and the catalogue ------------------------

    def _authorise(self, mailbox: Mailbox, control: Control) -> None:
        self._trust().judge(control.certificate, control.issuer, clock.now())
        self._carried(mailbox, control.issuer)

    def _division_of(self, code: str) -> str:
        unit = self._trust().directory.units.get(code)
        return (unit.division if unit else "") or code[:6]

    def _carried(self, mailbox: Mailbox, unit: str) -> None:
        known = self._trust().directory.units.get(unit)
        if known is None or known.account != mailbox.account:
            raise RoutingError("FG-RTE-012", value=unit, account=mailbox.account)

    def _examine(
        self, mailbox: Mailbox, package: Package
    ) -> tuple[list[Finding], InContext | None]:
        """Authenticity, XSD, roles, receivers, versions, test traffic, copies; and the message made
        ready for its context, which only the ledger inside the transaction can judge.
        """
        trust = self._trust()
        envelope = package.envelope
        header = envelope.header
        try:
            self._carried(mailbox, header.sender)
            trust.judge(package.certificate, header.sender, clock.now())
            message = package.read("message.xml", self._max_message_bytes)
            catalogue = self._standards.version(header.standard)
            step = step_of(catalogue, header.message_type)
        except FrontgateError as error:
            return [finding_of(error)], None
        checked = self._checker.check(message, files=None, layers=_XSD, minted=True)
        found = list(checked.report.findings)
        view, root = checked.view, checked.root
        if view is None or root is None:
            return found, None
        if _identity(view.header) != _identity(header):
            # Nothing may be asked by the envelope's type of a message of another.
            return [*found, finding_of(SignatureError("FG-SIG-040", value=header.message_id))], None
        if envelope.original_message_id:
            roles = routing.StepRoles(step.from_roles, ())
            expected: tuple[Copy, ...] | None = () if envelope.copies else None
        else:
            roles = routing.StepRoles(step.from_roles, step.to_roles)
            expected = self._expected_copies(catalogue, root, view, envelope)
        if expected is not None:
            found.append(
                finding("FG-RTE-014", value=_shown(envelope.copies), expected=_shown(expected))
            )
        found.extend(routing.judge(envelope, trust.directory, roles))
        # An extract says nothing of its own, and test traffic never comes into cases.
        if (
            any(f.severity.refuses for f in found)
            or envelope.original_message_id
            or header.test_flag
        ):
            return found, None
        flow = catalogue.flow(step.flow)
        return found, self._context.prepare(catalogue, flow, step, header, envelope, message, root)

    def _expected_copies(
        self, catalogue: Catalogue, message: etree._Element, view: MessageView, envelope: Envelope
    ) -> tuple[Copy, ...] | None:
        """The copies that the standard asks for, if the envelope's are others; None if they agree.

        The sender's gateway may have worked with a directory that was replaced since.
        """
        receivers = tuple(Address(code) for code in envelope.receivers)
        view = replace(view, header=replace(view.header, receivers=receivers))
        found = set(envelope.copies)
        first: tuple[Copy, ...] | None = None
        for directory in self._directories():
            expected, _ = copies(catalogue, message, view, directory)
            if set(expected) == found:
                return None
            first = expected if first is None else first
        return first

    # -- recording: inside the one transaction ----------------------------------------------

    def _record(
        self,
        tx: Tx,
        mailbox: Mailbox,
        taken: Taken,
        segment_id: int,
        opened: Opened,
        findings: list[Finding],
        placed: InContext | None,
        drafts: list[Draft],
    ) -> None:
        peer = ACCOUNT + mailbox.account
        member = opened.member
        if opened.package is None:
            assert opened.error is not None
            reason = issue.reason_of(opened.error)
            set_aside(
                tx,
                peer,
                taken.bundle_id,
                segment_id,
                Fault(member.name, member.offset, member.size_bytes, opened.error),
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
        is_first = known is None and self._resync.first_outcome(
            tx, peer, header.sender, header.message_id, package.content_digest
        )
        if is_first:
            refusing = []  # what this hub had accepted stays accepted
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
        if not header.test_flag:
            kept = placed.extract if placed is not None and not refusing else b""
            extracts.keep(tx, package_id, head_of(envelope), kept)
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
            if placed is not None:
                placed.keep(tx, package_id)
            for code in envelope.recipients:
                unit = self._trust().directory.units.get(code)
                if unit is None:
                    continue  # accepted once, under a directory that a restore took back
                accounts.append(ACCOUNT + unit.account)
                transfers.add(
                    tx,
                    package_id=package_id,
                    destination=ACCOUNT + unit.account,
                    receiver=code,
                    is_large=member.size_bytes > LARGE_BYTES,
                )
            self._resync.admitted(
                tx, peer, header.sender, header.message_id, package_id, is_first=is_first
            )
        receipts.claim_for(tx, header.sender, header.message_id, package_id)
        if is_first:
            return
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

    def _settle_receipts(self, tx: Tx, peer: str, group: ReceiptGroup) -> None:
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
        waits for its answer, and says nothing new of one that has it. Returns: whether any changed.
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
                if not is_repeat or (row.state in _AWAITING and event is _ACCEPTED):
                    transfers.settle(tx, row, event, reason=reason)
                    has_changed = True
        return has_changed

    def _issuer_error(self, mailbox: Mailbox, group: ReceiptGroup) -> FrontgateError | None:
        if self._resync.is_own(group):
            return self._resync.error_of_own(group)
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


def _identity(header: Header) -> tuple[str, str, str, str]:
    return header.message_id, header.sender, header.standard, header.message_type


def _shown(copied: Sequence[Copy]) -> str:
    return ", ".join(sorted(f"{c.unit} ({c.mode})" for c in copied)) or "-"


def _copy(path: Path, sink: Callable[[bytes], object]) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        while chunk := file.read(CHUNK):
            sink(chunk)
