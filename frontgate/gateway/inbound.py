"""What comes from the hub: packages for our units, receipts for what they sent, control messages.

A taken bundle is judged member by member and everything about it becomes real in one transaction.
A bad member is set aside and answered; it never touches the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from frontgate import clock
from frontgate.core.lifecycle import Intake as State
from frontgate.core.lifecycle import IntakeEvent, Transfer, TransferEvent, admit
from frontgate.core.routing import HUB
from frontgate.errors import FrontgateError, RoutingError, SignatureError, TrustError
from frontgate.gateway.new_directory import KIND as DIRECTORY
from frontgate.gateway.receipt_files import ReceiptFiles
from frontgate.gateway.resync import GatewayResync
from frontgate.gateway.stations import Posts
from frontgate.journal import Journal, Tx, bundles, packages, receipts, reconcile, transfers
from frontgate.log import get_logger
from frontgate.model.envelope import Envelope
from frontgate.model.receipt import Kind, Receipt
from frontgate.pipeline import answers, dispatch, issue
from frontgate.pipeline.dispatch import LARGE_BYTES
from frontgate.pipeline.issue import Draft, FilePlan, Issuer
from frontgate.pipeline.members import Fault, Members, keep_receipts, open_members, set_aside
from frontgate.pipeline.reconcile import KIND as TALLY
from frontgate.pipeline.segments import SegmentStore
from frontgate.pipeline.take import Opened, Taken
from frontgate.seal.control import Control, read_control
from frontgate.seal.receipts import ReceiptGroup
from frontgate.trust.store import TrustStore

log = get_logger()

_TO_SENDER = {
    Kind.RELAY_ACCEPTED: TransferEvent.RECEIPT_ACCEPTED,
    Kind.RELAY_REJECTED: TransferEvent.RECEIPT_REFUSED,
    Kind.RELAY_FAILED: TransferEvent.RECEIPT_REFUSED,
}
_AWAITING = (Transfer.SENDING, Transfer.SENT)


def _is_unknown(error: FrontgateError | None) -> bool:
    """Whether a newer directory may tell otherwise: of a certificate or a unit."""
    return error is not None and error.code in ("FG-TRU-004", "FG-TRU-007")


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
        resync: GatewayResync,
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
        self._resync = resync

    def take(self, taken: Taken) -> None:
        """Judge a durable bundle and write its outcome; safe to be called again after a crash."""
        with self._store.named_by(self._journal, taken.path):
            self._take(taken)
        self._files.wake()
        self._wake_delivery()
        self._wake_sender()

    def _take(self, taken: Taken) -> None:
        members = open_members(self._store, taken, self._authorise)
        refused, judged = self._judge(members, self._trust())
        if any(_is_unknown(error) for error in (*refused, *(fault for _, fault in judged))):
            # A certificate that was registered a moment ago: the directory that has it comes
            # before what it signed, but may not be in use yet.
            refused, judged = self._judge(members, self._newest_trust(members))
        try:
            with self._journal.write() as tx:
                if bundles.is_taken(tx, HUB, taken.bundle_id):
                    if not packages.is_segment(tx, taken.path):
                        self._store.drop(taken.path)
                    return
                segment_id = packages.add_segment(tx, taken.path, taken.size_bytes, "taken")
                bundles.add_taken(tx, HUB, taken.bundle_id, segment_id)
                tx.event(
                    "bundle-taken", bundle=taken.bundle_id, peer=HUB, members=len(taken.members)
                )
                for group, error in zip(members.groups, refused, strict=True):
                    if error is None:
                        self._settle(tx, group)
                    else:
                        fault = Fault("receipts", 0, 0, error)
                        set_aside(tx, HUB, taken.bundle_id, None, fault)
                drafts: dict[str, list[Draft]] = {}
                for opened, fault_of in judged:
                    self._record(tx, taken, segment_id, opened, fault_of, drafts)
                for fault in members.faults:
                    set_aside(tx, HUB, taken.bundle_id, segment_id, fault)
                if taken.error is not None:
                    answers.refuse_bundle(
                        tx, HUB, self._issuers[self._posts.units[0]], taken.bundle_id, taken.error
                    )
                fresh = [
                    (control, xml)
                    for control, xml in members.controls
                    if bundles.take_control(tx, control.issuer, control.kind, control.number, xml)
                ]
                for control, xml in fresh:
                    answers.settle(tx, HUB, control)
                    if control.kind == TALLY:
                        reconcile.enqueue(tx, HUB, xml)
                    self._resync.on_control(tx, control)
                for unit, made in drafts.items():
                    issue.issue(tx, self._issuers[unit], made)
        finally:
            members.close()
        for control, xml in fresh:
            self._on_control(control, xml)

    def _judge(
        self, members: Members, trust: TrustStore
    ) -> tuple[list[FrontgateError | None], list[tuple[Opened, FrontgateError | None]]]:
        """What is wrong with each group of receipts, and with each package."""
        refused = [group.error or self._issuer_error(group, trust) for group in members.groups]
        relayed = self._relayed(
            group for group, error in zip(members.groups, refused, strict=True) if error is None
        )
        judged = [(o, o.error or self._authenticate(o, relayed, trust)) for o in members.packages]
        return refused, judged

    def _newest_trust(self, members: Members) -> TrustStore:
        """With the newest directory that the hub has sent, in this bundle or before it."""
        trust = self._trust()
        kept = bundles.last_control(self._journal.look, trust.directory.hub, DIRECTORY)
        controls = [control for control, _ in members.controls if control.kind == DIRECTORY]
        if kept is not None:
            controls.append(read_control(kept))
        for control in controls:
            try:
                trust = trust.with_directory((control.body.text or "").encode())
            except (SignatureError, TrustError):
                continue  # an older one, or none of the hub's: the loop that uses them says so
        return trust

    def _authorise(self, control: Control) -> None:
        self._trust().judge_hub(control.certificate, clock.now())

    def _relayed(self, groups: Iterable[ReceiptGroup]) -> dict[tuple[str, str], Receipt]:
        """The hub's relay-accepted of this bundle: (sender, MessageId) → receipt."""
        return {
            (receipt.sender, receipt.message_id): receipt
            for group in groups
            for receipt, _, _ in group.items
            if receipt.kind is Kind.RELAY_ACCEPTED and receipt.issuer_node == "hub"
        }

    def _authenticate(
        self, opened: Opened, relayed: dict[tuple[str, str], Receipt], trust: TrustStore
    ) -> FrontgateError | None:
        """Whether the seal is the registered one of the sender, at the hub's relay time."""
        assert opened.package is not None
        header = opened.package.envelope.header
        receipt = relayed.get((header.sender, header.message_id))
        at = clock.now()
        if receipt is not None:
            if receipt.content_digest != opened.package.content_digest:
                return RoutingError("FG-RTE-011", value=header.message_id)
            at = datetime.fromisoformat(receipt.event_time)
        try:
            trust.judge(opened.package.certificate, header.sender, at)
        except FrontgateError as error:
            return error
        if not set(opened.package.envelope.recipients) & set(self._posts.units):
            return RoutingError("FG-RTE-013")
        return None

    def _settle(self, tx: Tx, group: ReceiptGroup) -> None:
        """Keep the receipts of one signature and apply what they say of our own messages."""

        def package_of(receipt: Receipt) -> int | None:
            return self._resync.package_of(tx, receipt)

        def known(receipt: Receipt, package_id: int | None) -> None:
            if package_id is not None:
                self._apply(tx, receipt, is_repeat=True)

        for row, receipt, package_id in keep_receipts(tx, group, package_of, known=known):
            if receipt.issuer_node == "hub" and receipt.bundle_id:
                dispatch.was_there(tx, HUB, receipt.bundle_id)
                receipts.answered(tx, HUB, receipt.bundle_id)
            self._resync.adopted(tx, receipt, package_id)
            if package_id is None:
                continue
            self._apply(tx, receipt)
            self._plan_file(tx, row, receipt, package_id)

    def _apply(self, tx: Tx, receipt: Receipt, *, is_repeat: bool = False) -> None:
        """What the hub says of our message ends its newest transfer.

        is_repeat: the receipt was kept before; a positive one ends an attempt that waits for its
        answer, and says nothing new of one that has it.
        """
        event = _TO_SENDER.get(receipt.kind)
        if (
            event is None
            or receipt.issuer_node != "hub"
            or (receipt.kind is Kind.RELAY_FAILED and receipt.receiver)
        ):
            return
        transfer = transfers.latest(
            tx,
            direction="out",
            message_id=receipt.message_id,
            sender=receipt.sender,
            receiver="",
            prefix=HUB,
        )
        if transfer is None:
            return
        if is_repeat and not (
            transfer.state in _AWAITING and event is TransferEvent.RECEIPT_ACCEPTED
        ):
            return
        reason = receipt.reasons[0].code if receipt.reasons else ""
        transfers.settle(tx, transfer, event, reason=reason)

    @staticmethod
    def _issuer_error(group: ReceiptGroup, trust: TrustStore) -> FrontgateError | None:
        """Receipts count only if signed by who they say issued them."""
        for receipt, _, _ in group.items:
            at = datetime.fromisoformat(receipt.event_time)
            try:
                if receipt.issuer_node == "hub":
                    trust.judge_hub(group.certificate, at)
                else:
                    trust.judge(group.certificate, receipt.issuer, at)
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
        if opened.package is None:
            assert error is not None
            self._refuse(tx, taken, segment_id, opened, error, drafts)
            return
        package = opened.package
        envelope = package.envelope
        header = envelope.header
        # What was taken before gets its first answer, whatever has become of its certificate since.
        known = packages.find_admitted(tx, "in", header.sender, header.message_id)
        if known is None and error is not None:
            self._refuse(tx, taken, segment_id, opened, error, drafts)
            return
        if known is not None:
            if known.content_digest != package.content_digest:
                clash = RoutingError("FG-RTE-011", value=header.message_id)
                self._refuse(tx, taken, segment_id, opened, clash, drafts)
                return
            tx.event(
                "repeat", sender=header.sender, message=header.message_id, bundle=taken.bundle_id
            )
            receipts.send_again(tx, known.package_id, HUB, own_node="gateway")
            if self._resync.attach(tx, known.package_id, envelope.recipients, segment_id, member):
                self._queue(tx, known.package_id, envelope, member.size_bytes)
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
        self._resync.bind_own(tx, header.sender, header.message_id, package_id)
        self._queue(tx, package_id, envelope, member.size_bytes)

    def _queue(self, tx: Tx, package_id: int, envelope: Envelope, size_bytes: int) -> None:
        """A last hop to each of our units that it is meant for and that has none yet."""
        header = envelope.header
        there = {row.receiver for row in transfers.of_package(tx, package_id)}
        for unit in envelope.recipients:
            app = packages.app_of(tx, unit, header.in_reply_to) if header.in_reply_to else ""
            post = self._posts.receiving(unit, header.flow, app)
            if post is None or unit in there:
                continue
            transfer_id = transfers.add(
                tx,
                package_id=package_id,
                destination=post.destination,
                receiver=unit,
                is_large=size_bytes > LARGE_BYTES,
            )
            self._resync.place(tx, transfer_id, post, header.message_id)

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
        set_aside(
            tx,
            HUB,
            taken.bundle_id,
            segment_id,
            Fault(member.name, member.offset, member.size_bytes, error),
        )
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
