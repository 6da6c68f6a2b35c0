"""A gateway after a restore, or on a new machine; and a gateway that its restored hub asks.

Own receipts come back from the hub and are adopted: the messages they speak of are known again, without
their bytes, so that neither a repeated drop nor a repeated delivery has a second effect. What the hub
says was delivered and not taken comes again; the spool's own list (`spool.ledger`) tells what the case
software was given already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from frontgate.bundle import Located
from frontgate.core import minting
from frontgate.core.identifiers import is_case_uid
from frontgate.core.lifecycle import Transfer, TransferEvent
from frontgate.core.routing import HUB
from frontgate.gateway.stations import Post, Posts
from frontgate.journal import Journal, Tx, keeping, packages, receipts, resync, transfers
from frontgate.log import get_logger
from frontgate.model.receipt import Kind, Receipt
from frontgate.pipeline.issue import Issuer
from frontgate.pipeline.resync import ANSWER, REQUEST, Asking, Page, Telling, is_recent
from frontgate.seal.control import Control
from frontgate.spool import ledger
from frontgate.spool.inbound import stands, stands_or_stood
from frontgate.spool.receipts import receipt_name

log = get_logger()

ACTOR = "resync"
_RELAYED = frozenset({Kind.RELAY_ACCEPTED, Kind.RELAY_REJECTED})
_RECEIVED = {
    Kind.HANDED_OVER: TransferEvent.RECEIPT_ACCEPTED,
    Kind.DELIVERY_FAILED: TransferEvent.RECEIPT_REFUSED,
}
_OPEN = frozenset({Transfer.QUEUED, Transfer.SENDING, Transfer.SENT, Transfer.HELD})


class GatewayResync:
    """`turn` is the body of a loop; the other verbs are called by what takes bundles."""

    def __init__(
        self,
        journal: Journal,
        posts: Posts,
        issuer: Issuer,
        *,
        was_admitted_before: bool,
        wake_sender: Callable[[], None],
        write_files: Callable[[], None],
    ) -> None:
        """was_admitted_before: the directory knows earlier certificates of our units. write_files:
        receipt files of older receipts were planned.
        """
        self._journal = journal
        self._posts = posts
        self._write_files = write_files
        self._wake_sender = wake_sender
        self._given = {
            post.key: ledger.given_before(post.paths, journal.epoch)
            for post in posts.posts
            if is_recent(journal.epoch)
        }
        self.asking = Asking(
            journal,
            issuer,
            only_restored=False,
            was_before=was_admitted_before or any(self._given.values()),
        )
        self._telling = Telling(journal, issuer, self._page, wake_sender)

    def turn(self) -> float | None:
        if self.asking.ask([HUB]):
            self._wake_sender()
        return self._telling.turn() or 1.0

    def on_control(self, tx: Tx, control: Control) -> None:
        """A control message of the hub, in the transaction that takes its bundle."""
        if control.kind == REQUEST:
            self._telling.take_request(tx, HUB, control)
        elif control.kind == ANSWER:
            self.asking.take_answer(tx, HUB, control)

    # -- at the start ------------------------------------------------------------------------

    def recover(self) -> None:
        """After a restore, hold open deliveries against what really stands in the spools."""
        reader = self._journal.reader()
        mark = reader.meta("deliveries-compared")
        reader.close()
        if mark == str(self._journal.epoch) or not self.asking.is_restored:
            return
        given = {post.key: ledger.given(post.paths) for post in self._posts.posts}
        after = 0
        while True:
            with self._journal.write() as tx:
                rows = resync.open_deliveries(tx, after)
                for transfer_id, state, destination, entry, message_id in rows:
                    after = transfer_id
                    post = self._posts.of_destination(destination)
                    if post is not None:
                        self._compare(tx, transfer_id, state, post, entry, message_id, given)
                if not rows:
                    tx.set_meta("deliveries-compared", str(self._journal.epoch))
                    return

    def _compare(
        self,
        tx: Tx,
        transfer_id: int,
        state: str,
        post: Post,
        entry: str,
        message_id: str,
        given: dict[str, set[str]],
    ) -> None:
        if state == Transfer.SENT.value:
            if not stands(post.paths, entry) and entry not in given[post.key]:
                # Another spool than the one it was given to: nobody has taken it from here.
                transfers.apply(
                    tx, transfer_id, TransferEvent.TRANSIENT, reason="FG-KEP-010", due_ms=0
                )
            return
        self.place(tx, transfer_id, post, message_id)

    def place(self, tx: Tx, transfer_id: int, post: Post, message_id: str) -> None:
        """Let a queued delivery know the entry that an earlier journal made of it in this spool."""
        entry = self._given.get(post.key, {}).get(message_id)
        if entry is None:
            return
        stands_or_stood(post.paths, entry)
        resync.set_entry(tx, transfer_id, entry)
        tx.event("delivery-known", transfer=transfer_id, entry=entry)

    # -- adopting what the hub gives back ----------------------------------------------------

    def package_of(self, tx: Tx, receipt: Receipt) -> int | None:
        """The package a receipt from the hub speaks of, bound again where this journal lost it."""
        known = packages.find_admitted(tx, "out", receipt.sender, receipt.message_id)
        if known is not None:
            return known.package_id
        if self._is_own(receipt) and receipt.receiver:
            return self._incoming(tx, receipt)
        if (
            receipt.issuer_node == "hub"
            and receipt.kind in _RELAYED
            and receipt.sender in self._posts.units
            and resync.find(tx, HUB, "asked") is not None
        ):
            return self._outgoing(tx, receipt)
        return None

    def _is_own(self, receipt: Receipt) -> bool:
        return receipt.issuer_node == "gateway" and receipt.issuer in self._posts.units

    def _outgoing(self, tx: Tx, receipt: Receipt) -> int:
        """A message of ours that the hub has: it is bound, and its hop is done."""
        post = next(iter(self._posts.of_unit(receipt.sender)))
        package_id = self._add(tx, "out", receipt, post)
        transfers.add(tx, package_id=package_id, destination=HUB)
        for row, kind, _, _, receiver, _ in resync.unbound(tx, receipt.sender, receipt.message_id):
            resync.bind(tx, row, package_id)
            self._plan_file(tx, row, kind, receiver, post, receipt.message_id)
        self._write_files()
        return package_id

    def _incoming(self, tx: Tx, receipt: Receipt) -> int | None:
        known = packages.find_admitted(tx, "in", receipt.sender, receipt.message_id)
        if known is not None:
            return known.package_id
        post = self._post_for(receipt)
        if receipt.kind is not Kind.HANDED_OVER or post is None:
            return None
        return self._add(tx, "in", receipt, None)

    def _post_for(self, receipt: Receipt) -> Post | None:
        flow = receipt.message_type.partition(".")[0]
        return self._posts.receiving(receipt.receiver, flow, "")

    def _add(self, tx: Tx, direction: str, receipt: Receipt, post: Post | None) -> int:
        package_id = resync.add_known(
            tx,
            direction=direction,
            sender=receipt.sender,
            message_id=receipt.message_id,
            message_type=receipt.message_type,
            flow_uid=receipt.flow_uid,
            case_uid=receipt.case_uid,
            sender_ref=receipt.sender_ref,
            content_digest=receipt.content_digest,
            seal_digest=receipt.seal_digest,
            unit=post.station.unit if post else "",
            app=post.station.app if post else "",
            drop_name=receipt.drop_name,
        )
        tx.event(
            "adopted",
            package=package_id,
            sender=receipt.sender,
            message=receipt.message_id,
            content=receipt.content_digest,
            kind=receipt.kind.value,
        )
        return package_id

    def adopted(self, tx: Tx, receipt: Receipt, package_id: int | None) -> None:
        """A receipt of our own came back that this journal did not know."""
        if not self._is_own(receipt):
            return
        if receipt.kind is Kind.SUBMISSION_ACCEPTED:
            self._remember_case(tx, receipt)
            return
        event = _RECEIVED.get(receipt.kind)
        if package_id is None or event is None or not receipt.receiver:
            return
        found = [
            t
            for t in transfers.of_package(tx, package_id)
            if t.receiver == receipt.receiver and t.destination != HUB
        ]
        post = self._post_for(receipt)
        if not found and post is not None:
            new = transfers.add(
                tx,
                package_id=package_id,
                destination=post.destination,
                receiver=receipt.receiver,
            )
            transfers.apply(tx, new, event)
            resync.add_receiver(tx, package_id, receipt.receiver)
        elif found and found[-1].state in _OPEN:
            transfers.apply(tx, found[-1].transfer_id, event)

    def _remember_case(self, tx: Tx, receipt: Receipt) -> None:
        """A CaseUid that may have been minted here is never minted again for another case."""
        case = receipt.case_uid
        if not is_case_uid(case) or case[5:15] != receipt.sender[:10]:
            return
        key = f"case:{receipt.sender}:{case[1:5]}"
        tx.set_meta(key, str(max(int(tx.meta(key) or "0"), int(case[15:22]))))
        for post in self._posts.of_unit(receipt.sender):
            tx.run(
                "INSERT OR IGNORE INTO minted_case (key, case_uid) VALUES (?, ?)",
                minting.case_key(
                    receipt.sender, post.station.app, receipt.sender_ref, receipt.message_id
                ),
                case,
            )

    def _plan_file(
        self, tx: Tx, row: int, kind: str, receiver: str, post: Post, message_id: str
    ) -> None:
        """Let a receipt of an adopted message stand in its spool again."""
        number = receipts.file_number(tx, post.key, message_id)
        name = receipt_name(message_id, number, kind, receiver)
        receipts.add_file(tx, row, post.key, message_id, name)

    def attach(
        self,
        tx: Tx,
        package_id: int,
        recipients: Sequence[str],
        segment_id: int,
        member: Located,
    ) -> bool:
        """A known message comes with its bytes. Returns: whether they were missing here."""
        if packages.place(tx, package_id) is not None:
            return False
        resync.attach(
            tx,
            package_id,
            recipients,
            segment_id,
            member.offset,
            member.size_bytes,
            member.digest,
        )
        tx.event("bytes-back", package=package_id)
        return True

    def bind_own(self, tx: Tx, sender: str, message_id: str, package_id: int) -> None:
        """Own receipts that came back before their package belong to it."""
        for row, _, issuer, node, _, _ in resync.unbound(tx, sender, message_id):
            if node == "gateway" and issuer in self._posts.units and issuer != sender:
                resync.bind(tx, row, package_id)

    # -- telling a restored hub --------------------------------------------------------------

    def _page(self, tx: Tx, row: resync.Row) -> Page:
        """Its own receipts that it lost, ours since then; and packages it had accepted since."""
        rows = resync.receipts_page(tx, row.cursor, row.since_at, self._posts.units)
        page = Page(row.cursor, is_last=len(rows) < resync.PAGE)
        for ident, kind, issuer, node, receipt_id, seq, kept_at, package_id in rows:
            page.cursor = int(ident)
            is_hub = node == "hub"
            if is_hub and not _is_lost(row, str(issuer), str(receipt_id), int(seq), str(kept_at)):
                continue
            receipts.send(tx, int(ident), HUB)
            page.receipts += 1
            if is_hub and kind == Kind.RELAY_ACCEPTED.value and package_id is not None:
                self._send_again(tx, int(package_id), page)
        return page

    def _send_again(self, tx: Tx, package_id: int, page: Page) -> None:
        newest = [t for t in transfers.of_package(tx, package_id) if t.destination == HUB]
        if not newest or newest[-1].state is not Transfer.ACKNOWLEDGED:
            return
        if not keeping.is_kept(tx, package_id):
            page.missing += 1
            return
        transfers.replay(
            tx, newest[-1].transfer_id, actor=ACTOR, reason="resync", is_lost=True, is_bulk=True
        )
        page.packages += 1


def _is_lost(row: resync.Row, issuer: str, receipt_id: str, seq: int, kept_at: str) -> bool:
    """Whether the asking hub lost the act of this receipt; its id tells the epoch."""
    name = f"hub:{issuer}"
    if minting.receipt_id(name, seq, row.epoch) == receipt_id:
        return False
    if minting.receipt_id(name, seq, row.since_epoch) == receipt_id:
        return seq > row.since_seq
    return kept_at >= row.since_at
