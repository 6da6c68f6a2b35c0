"""What comes from the hub: packages for our units, receipts for what they sent, control messages.

A taken bundle is judged member by member and everything about it becomes real in one transaction.
A bad member is set aside and answered; it never touches the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from frontgate.core.lifecycle import Intake as State
from frontgate.core.lifecycle import IntakeEvent, TransferEvent, admit
from frontgate.core.routing import HUB
from frontgate.errors import FrontgateError, RoutingError, SignatureError
from frontgate.gateway.receipt_files import ReceiptFiles
from frontgate.gateway.stations import Posts
from frontgate.journal import Journal, Tx, bundles, packages, receipts, transfers
from frontgate.model.receipt import Kind, Receipt
from frontgate.pipeline import issue
from frontgate.pipeline.dispatch import LARGE_BYTES
from frontgate.pipeline.issue import Draft, FilePlan, Issuer
from frontgate.pipeline.segments import SegmentStore
from frontgate.pipeline.take import Opened, Taken, open_member
from frontgate.seal.control import Control, read_control
from frontgate.seal.receipts import ReceiptGroup, read_list
from frontgate.trust.store import TrustStore

log = structlog.get_logger()

_TO_SENDER = {
    Kind.RELAY_ACCEPTED: TransferEvent.RECEIPT_ACCEPTED,
    Kind.RELAY_REJECTED: TransferEvent.RECEIPT_REFUSED,
    Kind.RELAY_FAILED: TransferEvent.RECEIPT_REFUSED,
}
MOST_LIST_BYTES = 64 << 20


@dataclass(slots=True)
class _Judged:
    """The members of one bundle, opened and verified, before anything is written."""

    packages: list[tuple[Opened, FrontgateError | None]]
    groups: list[ReceiptGroup]
    controls: list[tuple[Control, bytes]]
    faults: list[tuple[str, int, int, FrontgateError]]


class Inbound:
    """Takes bundles of the hub into the journal."""

    def __init__(
        self,
        journal: Journal,
        store: SegmentStore,
        posts: Posts,
        issuers: dict[str, Issuer],
        trust: Callable[[], TrustStore],
        files: ReceiptFiles,
        *,
        wake_delivery: Callable[[], None],
        wake_sender: Callable[[], None],
        on_control: Callable[[Control, bytes], None],
    ) -> None:
        self._journal = journal
        self._store = store
        self._posts = posts
        self._issuers = issuers
        self._trust = trust
        self._files = files
        self._wake_delivery = wake_delivery
        self._wake_sender = wake_sender
        self._on_control = on_control

    def take(self, taken: Taken) -> None:
        """Judge a durable bundle and write its outcome; safe to be called again after a crash."""
        judged = self._judge(taken)
        try:
            with self._journal.write() as tx:
                if bundles.is_taken(tx, HUB, taken.bundle_id):
                    return
                segment_id = packages.add_segment(tx, taken.path, taken.size_bytes, "taken")
                bundles.add_taken(tx, HUB, taken.bundle_id, segment_id)
                tx.event(
                    "bundle-taken", bundle=taken.bundle_id, peer=HUB, members=len(taken.members)
                )
                for group in judged.groups:
                    self._settle(tx, group)
                drafts: dict[str, list[Draft]] = {}
                for opened, error in judged.packages:
                    self._record(tx, taken, segment_id, opened, error, drafts)
                for name, offset, size, error in judged.faults:
                    packages.add_quarantine(
                        tx,
                        origin=HUB,
                        name=name,
                        segment_id=segment_id,
                        offset=offset,
                        size_bytes=size,
                        code=error.code,
                        detail=error.message("en"),
                    )
                    tx.event("quarantined", bundle=taken.bundle_id, member=name, code=error.code)
                fresh = [
                    pair
                    for pair in judged.controls
                    if bundles.take_control(
                        tx, pair[0].issuer, pair[0].kind, pair[0].number, pair[1]
                    )
                ]
                for unit, made in drafts.items():
                    issue.issue(tx, self._issuers[unit], made)
        finally:
            for opened, _ in judged.packages:
                if opened.package is not None:
                    opened.package.close()
        for control, xml in fresh:
            self._on_control(control, xml)
        self._files.wake()
        self._wake_delivery()
        self._wake_sender()

    def _judge(self, taken: Taken) -> _Judged:
        judged = _Judged([], [], [], [])
        if taken.error is not None:
            judged.faults.append((taken.bundle_id, 0, taken.size_bytes, taken.error))
        for member in taken.members:
            try:
                if member.name.endswith(".asice"):
                    judged.packages.append((open_member(self._store, taken.path, member), None))
                elif member.name.endswith("-receipts.xml"):
                    judged.groups.extend(
                        read_list(self._bytes(taken.path, member.offset, member.size_bytes))
                    )
                else:
                    data = self._bytes(taken.path, member.offset, member.size_bytes)
                    control = read_control(data)
                    self._trust().judge_hub(control.certificate, datetime.now(UTC))
                    judged.controls.append((control, data))
            except FrontgateError as error:
                judged.faults.append((member.name, member.offset, member.size_bytes, error))
        relayed = self._relayed(judged.groups)
        judged.packages = [
            (opened, opened.error or self._authenticate(opened, relayed))
            for opened, _ in judged.packages
        ]
        return judged

    def _bytes(self, path: str, offset: int, size_bytes: int) -> bytes:
        if size_bytes > MOST_LIST_BYTES:
            raise SignatureError("FG-BND-011", size=size_bytes, limit=MOST_LIST_BYTES)
        with self._store.open(path) as file:
            file.seek(offset)
            return file.read(size_bytes)

    def _relayed(self, groups: Sequence[ReceiptGroup]) -> dict[tuple[str, str], Receipt]:
        """The hub's relay-accepted of this bundle: (sender, MessageId) → receipt."""
        found: dict[tuple[str, str], Receipt] = {}
        for group in groups:
            if group.error is not None:
                continue
            for receipt, _, _ in group.items:
                if receipt.kind is Kind.RELAY_ACCEPTED:
                    found[receipt.sender, receipt.message_id] = receipt
        return found

    def _authenticate(
        self, opened: Opened, relayed: dict[tuple[str, str], Receipt]
    ) -> FrontgateError | None:
        """Whether the seal is the registered one of the sender, at the hub's relay time."""
        assert opened.package is not None
        header = opened.package.envelope.header
        receipt = relayed.get((header.sender, header.message_id))
        at = datetime.now(UTC)
        if receipt is not None:
            if receipt.content_digest != opened.package.content_digest:
                return RoutingError("FG-RTE-011", value=header.message_id)
            at = datetime.fromisoformat(receipt.event_time)
        try:
            self._trust().judge(opened.package.certificate, header.sender, at)
        except FrontgateError as error:
            return error
        if not set(opened.package.envelope.recipients) & set(self._posts.units):
            return RoutingError("FG-RTE-013")
        return None

    def _settle(self, tx: Tx, group: ReceiptGroup) -> None:
        """Keep the receipts of one signature and apply what they say of our own messages."""
        error = group.error or self._issuer_error(group)
        if error is not None:
            tx.event("receipts-refused", code=error.code)
            packages.add_quarantine(
                tx,
                origin=HUB,
                name="receipts",
                segment_id=None,
                offset=0,
                size_bytes=0,
                code=error.code,
                detail=error.message("en"),
            )
            return
        signature_id = receipts.keep_signature(tx, group.signature)
        for receipt, xml, digest in group.items:
            known = packages.find_admitted(tx, "out", receipt.sender, receipt.message_id)
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
            if package_id is None:
                continue
            event = _TO_SENDER.get(receipt.kind)
            if (
                event is not None
                and receipt.issuer_node == "hub"
                and not (receipt.kind is Kind.RELAY_FAILED and receipt.receiver)
            ):
                transfer = transfers.latest(
                    tx,
                    direction="out",
                    message_id=receipt.message_id,
                    sender=receipt.sender,
                    receiver="",
                    prefix=HUB,
                )
                if transfer is not None:
                    reason = receipt.reasons[0].code if receipt.reasons else ""
                    transfers.apply(tx, transfer.transfer_id, event, reason=reason)
            self._plan_file(tx, row, receipt, package_id)

    def _issuer_error(self, group: ReceiptGroup) -> FrontgateError | None:
        """Receipts count only if signed by who they say issued them."""
        for receipt, _, _ in group.items:
            at = datetime.fromisoformat(receipt.event_time)
            try:
                if receipt.issuer_node == "hub":
                    self._trust().judge_hub(group.certificate, at)
                else:
                    self._trust().judge(group.certificate, receipt.issuer, at)
            except FrontgateError as error:
                return error
        return None

    def _plan_file(self, tx: Tx, row: int, receipt: Receipt, package_id: int) -> None:
        owner = tx.one("SELECT unit, app FROM package WHERE id = ?", package_id)
        assert owner is not None
        key = f"{owner[0]}/{owner[1]}" if owner[1] else str(owner[0])
        post = self._posts.by_key.get(key)
        if post is None:
            return
        issuer = self._issuers[post.station.unit]
        issue.plan_file(
            tx,
            issuer,
            row,
            FilePlan(post.key, receipt.message_id),
            receipt.kind.value,
            receipt.receiver,
        )

    def _record(
        self,
        tx: Tx,
        taken: Taken,
        segment_id: int,
        opened: Opened,
        error: FrontgateError | None,
        drafts: dict[str, list[Draft]],
    ) -> None:
        member = opened.member
        if error is not None or opened.package is None:
            assert error is not None
            self._refuse(tx, taken, segment_id, opened, error, drafts)
            return
        package = opened.package
        envelope = package.envelope
        header = envelope.header
        known = packages.find_admitted(tx, "in", header.sender, header.message_id)
        if known is not None:
            if known.content_digest != package.content_digest:
                clash = RoutingError("FG-RTE-011", value=header.message_id)
                self._refuse(tx, taken, segment_id, opened, clash, drafts)
                return
            tx.event(
                "repeat", sender=header.sender, message=header.message_id, bundle=taken.bundle_id
            )
            receipts.send_again(tx, known.package_id, HUB, own_node="gateway")
            return
        package_id = packages.add(
            tx,
            direction="in",
            state=admit(State.CLAIMED, IntakeEvent.ACCEPT),
            envelope=envelope,
            sender=header.sender,
            message_id=header.message_id,
            content_digest=package.content_digest,
            seal_digest=package.seal_digest,
            segment_id=segment_id,
            offset=member.offset,
            size_bytes=member.size_bytes,
            digest=member.digest,
        )
        tx.event(
            "admitted",
            package=package_id,
            sender=header.sender,
            message=header.message_id,
            type=header.message_type,
            content=package.content_digest,
            bundle=taken.bundle_id,
        )
        for unit in envelope.recipients:
            app = packages.app_of(tx, unit, header.in_reply_to) if header.in_reply_to else ""
            post = self._posts.receiving(unit, header.flow, app)
            if post is not None:
                transfers.add(
                    tx,
                    package_id=package_id,
                    destination=post.destination,
                    receiver=unit,
                    is_large=member.size_bytes > LARGE_BYTES,
                )

    def _refuse(
        self,
        tx: Tx,
        taken: Taken,
        segment_id: int,
        opened: Opened,
        error: FrontgateError,
        drafts: dict[str, list[Draft]],
    ) -> None:
        """Set a bad package aside and answer for each of our units it was meant for."""
        member = opened.member
        envelope = opened.package.envelope if opened.package else None
        message_id = envelope.header.message_id if envelope else member.name.removesuffix(".asice")
        sender = envelope.header.sender if envelope else ""
        packages.add_quarantine(
            tx,
            origin=HUB,
            name=member.name,
            segment_id=segment_id,
            offset=member.offset,
            size_bytes=member.size_bytes,
            code=error.code,
            detail=error.message("en"),
        )
        tx.event("quarantined", bundle=taken.bundle_id, member=member.name, code=error.code)
        meant = [u for u in (envelope.recipients if envelope else ()) if u in self._posts.units]
        for unit in meant or self._posts.units[:1]:
            drafts.setdefault(unit, []).append(
                Draft(
                    kind=Kind.DELIVERY_FAILED,
                    sender=sender,
                    message_id=message_id,
                    message_type=envelope.header.message_type if envelope else "",
                    receiver=unit,
                    bundle_id=taken.bundle_id,
                    content_digest=opened.package.content_digest if opened.package else "",
                    destinations=(HUB,),
                    reasons=(issue.reason_of(error),),
                )
            )
