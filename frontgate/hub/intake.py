"""The hub takes bundles: verify, authorise, dedupe, route, answer.

Each upload is copied while hashed into a segment that only the hub owns; its members are judged
one by one; one transaction holds all outcomes with their signed receipts; only then is the upload
removed. A repeated bundle or package gets the first outcome again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from frontgate import clock, durable
from frontgate.core.lifecycle import Intake as State
from frontgate.core.lifecycle import IntakeEvent, admit
from frontgate.errors import (
    InternalError,
    TransportError,
)
from frontgate.hub.context import InContext
from frontgate.hub.judging import Judging
from frontgate.hub.mailboxes import ACCOUNT, Boxes, Mailbox
from frontgate.hub.quota import Quotas
from frontgate.hub.resync import HubResync
from frontgate.hub.told import Told
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
from frontgate.model.finding import Finding, Severity, finding
from frontgate.model.receipt import Kind
from frontgate.model.unit import Directory
from frontgate.pipeline import answers, issue
from frontgate.pipeline.dispatch import LARGE_BYTES
from frontgate.pipeline.issue import Draft, Issuer
from frontgate.pipeline.loop import attempt
from frontgate.pipeline.members import Fault, open_members, set_aside
from frontgate.pipeline.reconcile import KIND as TALLY
from frontgate.pipeline.segments import CHUNK, SegmentStore
from frontgate.pipeline.take import Opened, Taken, take
from frontgate.standard import Checker, Standards
from frontgate.standard.extract import head_of
from frontgate.trust.store import TrustStore

log = get_logger()

PAUSED_LOOK_S = 5.0
HELD_LOOK_S = 0.5
"""An upload that waits for the end of a resync is looked at again after this long."""
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
        use_newest_directory: Callable[[], None] = lambda: None,
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
        self._resync = resync
        self._wake_placer = wake_placer
        self._use_newest_directory = use_newest_directory
        self._may_take = may_take
        self._judging = Judging(trust, directories, standards, checker, resync, max_message_bytes)
        self._told = Told(trust, resync)
        self._avoiding: set[tuple[str, str]] = set()
        self._quotas = quotas

    def turn(self) -> float | None:
        """Take every complete upload, one per account and round, so that no unit waits for another."""
        busy, is_held = True, False
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
                    is_held = True
                    self._avoiding.add((mailbox.account, name))
                elif not self._has_room(mailbox, name):
                    self._avoiding.add((mailbox.account, name))
                    self._refuse_too_much(mailbox)
                else:
                    self._take_safely(mailbox, name)
        if not self._avoiding:
            return None
        self._avoiding.clear()
        # The answer that ends the wait may have come in this very turn, after what it holds up.
        return HELD_LOOK_S if is_held else AVOID_S

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
            # A machine that was admitted a moment ago can log in already: what it signs is judged by
            # the directory that names its certificate. A directory that cannot be used is the
            # trouble of the loop that follows it.
            attempt("directory", self._use_newest_directory)
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
        members = open_members(self._store, taken, lambda c: self._judging.authorise(mailbox, c))
        refused = [
            group.error or self._judging.issuer_error(mailbox, group) for group in members.groups
        ]
        judged = [
            (
                opened,
                *(self._judging.examine(mailbox, opened.package) if opened.package else ([], None)),
            )
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
                        self._told.settle(tx, peer, group)
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


def _copy(path: Path, sink: Callable[[bytes], object]) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        while chunk := file.read(CHUNK):
            sink(chunk)
