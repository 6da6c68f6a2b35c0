"""The last hop: packages into `inbound/`.

A delivery is a transfer to `spool:<key>`: SENT when the entry stands in `inbound/`, whole and
fsynced (receipt `delivered`, which starts the terms that run "from receipt"); ACKNOWLEDGED when it
was taken (receipt `handed-over`, see `pick_up`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from frontgate import clock, durable
from frontgate.core.lifecycle import TransferEvent
from frontgate.core.routing import HUB
from frontgate.errors import CatalogueError, FrontgateError, XmlError
from frontgate.gateway.stations import TROUBLE_LOOK_S, Post, Posts
from frontgate.journal import Journal, Reader, Tx, packages, queues, transfers
from frontgate.log import get_logger
from frontgate.model.receipt import Kind, Reason
from frontgate.pipeline import issue
from frontgate.pipeline.issue import Draft, Issuer
from frontgate.pipeline.loop import attempt
from frontgate.pipeline.segments import SegmentStore, read_slice
from frontgate.seal import StoredPackage, open_stored
from frontgate.spool import ledger
from frontgate.spool.claiming import spool_error
from frontgate.spool.inbound import (
    DeliveryPart,
    entry_name,
    publish,
    settled,
    stage,
    tidy,
)
from frontgate.values import replace

log = get_logger()

BATCH = 64
SYNC_TOGETHER = 4
"""From so many entries on, one sync of the file system is cheaper than one of each file."""
MOST_MESSAGE_BYTES = 32 << 20


class Delivery:
    """Puts verified packages into the spools. `turn` is the body of a loop."""

    def __init__(
        self,
        journal: Journal,
        store: SegmentStore,
        posts: Posts,
        issuers: dict[str, Issuer],
        *,
        large: bool,
        wake_sender: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._reader: Reader = journal.reader()
        self._store = store
        self._posts = posts
        self._issuers = issuers
        self._large = large
        self._work = "deliver-large" if large else "deliver"
        self._wake_sender = wake_sender
        self._marks: dict[str, set[str]] = {}
        """By destination: entries whose outcome the journal knows and whose mark has to go."""

    def turn(self) -> float | None:
        """Deliver all that waits. Returns: when a failed one wants to be tried again."""
        next_due: float | None = None
        for post in self._posts.posts:
            if not post.attempt(self._work, partial(self._deliver_all, post)):
                next_due = min(next_due or TROUBLE_LOOK_S, TROUBLE_LOOK_S)
                continue
            if not self._clear_marks(post):
                next_due = min(next_due or TROUBLE_LOOK_S, TROUBLE_LOOK_S)
            due_ms = queues.next_due(self._reader, post.destination)
            if due_ms is not None:
                left = max(0.05, (due_ms - self._journal.now_ms()) / 1000)
                next_due = left if next_due is None else min(next_due, left)
        return next_due

    def _deliver_all(self, post: Post) -> None:
        self._take_up(post)
        while self._deliver_some(post):
            pass

    def _take_up(self, post: Post) -> None:
        """What an earlier turn began and could not note the end of waits again, entry name kept."""
        while rows := transfers.under_way(self._reader, post.destination, large=self._large):
            with self._journal.write() as tx:
                for row in rows:
                    transfers.apply(tx, row.transfer_id, TransferEvent.LEASE_LOST)
            log.warning("deliveries-taken-up", unit=post.station.unit, count=len(rows))

    def _deliver_some(self, post: Post) -> bool:
        now = clock.now()
        rows = queues.due(
            self._reader,
            post.destination,
            now_ms=self._journal.now_ms(),
            large=self._large,
            limit=1 if self._large else BATCH,
            sent_is_enough=True,
        )
        if not rows:
            return False
        names = {
            row.transfer_id: row.entry
            or entry_name(now, row.message_type, row.message_id, test=row.test_flag)
            for row in rows
        }
        with self._journal.write(now) as tx:
            for row in rows:
                transfers.apply(
                    tx, row.transfer_id, TransferEvent.START, entry=names[row.transfer_id]
                )
        failures: dict[int, FrontgateError] = {}
        notes: dict[int, FrontgateError] = {}
        together = len(rows) >= SYNC_TOGETHER
        staged = self._stage_all(post, rows, names, failures, notes, sync=not together)
        flows = [(names[row.transfer_id], row.flow_uid) for row in staged]
        try:
            if together:
                durable.sync_file_system(post.paths.staging)
            outcome = publish(post.paths, [n for n, _ in flows], form=post.form, flows=flows)
            wrong = {
                row.transfer_id: outcome[names[row.transfer_id]]
                for row in staged
                if names[row.transfer_id] in outcome
            }
        except OSError as error:
            wrong = {row.transfer_id: error for row in staged}
        failures.update({i: spool_error(e) for i, e in wrong.items() if e is not None})
        ended = [row for row in rows if row.transfer_id in failures or row.transfer_id in wrong]
        known = [names[row.transfer_id] for row in ended if row.transfer_id not in failures]
        attempt("ledger", lambda: ledger.note(post.paths, self._journal.epoch, known))
        self._settle(post, rows, ended, failures, notes)
        self._marks.setdefault(post.destination, set()).update(known)
        self._clear_marks(post)
        return True

    def _clear_marks(self, post: Post) -> bool:
        """Whether no mark is left; one that cannot be removed now is tried again."""
        names = self._marks.get(post.destination)
        if names and attempt("delivery-marks", lambda: settled(post.paths, names)) is None:
            names.clear()
        return not names

    def _stage_all(
        self,
        post: Post,
        rows: Sequence[transfers.Row],
        names: dict[int, str],
        failures: dict[int, FrontgateError],
        notes: dict[int, FrontgateError],
        *,
        sync: bool,
    ) -> list[transfers.Row]:
        """Build the entries. Returns: those that may appear, in order. Behind one that has to wait,
        those of its flow wait too and are in no list: nothing of them was tried.
        """
        staged: list[transfers.Row] = []
        stopped: set[str] = set()
        for row in rows:
            if row.flow_uid and row.flow_uid in stopped:
                continue
            try:
                note = self._stage(post, row, names[row.transfer_id], sync=sync)
                if note is not None:
                    notes[row.transfer_id] = note
                staged.append(row)
                continue
            except FrontgateError as error:
                failures[row.transfer_id] = error
            except OSError as error:
                failures[row.transfer_id] = spool_error(error)
            if failures[row.transfer_id].is_transient:
                stopped.add(row.flow_uid)
        return staged

    def tidy(self) -> None:
        """Remove what earlier deliveries left in the staging folders and nobody waits for."""
        for post in self._posts.posts:

            def is_open(entry: str, destination: str = post.destination) -> bool:
                return transfers.is_entry_open(self._reader, destination, entry)

            attempt("tidy", lambda post=post, is_open=is_open: tidy(post.paths, is_open))  # type: ignore[misc]

    def _stage(
        self, post: Post, row: transfers.Row, name: str, *, sync: bool
    ) -> FrontgateError | None:
        """Build one entry. Returns: why the unit's dialect could not be added to it, if so."""
        place = packages.place(self._reader, row.package_id)
        assert place is not None, "a queued delivery has its package"
        with self._store.open(place.path) as file:
            if post.form == "sealed":
                part = DeliveryPart(
                    f"{row.message_id}.asice",
                    lambda: read_slice(file, place.offset, place.size_bytes),
                    place.size_bytes,
                )
                stage(post.paths, name, [part], form="sealed", sync=sync)
                return None
            # Verified when it was taken; these are the very bytes of then.
            package = open_stored(
                file, offset=place.offset, length=place.size_bytes, digest=place.digest
            )
            parts = _parts(package)
            note: FrontgateError | None = None
            dialect = post.station.dialect
            if dialect is not None:
                try:
                    told = dialect.from_standard(package.read("message.xml", MOST_MESSAGE_BYTES))
                    parts.append(
                        DeliveryPart("dialect/message.xml", lambda: iter([told]), len(told))
                    )
                except (CatalogueError, XmlError) as error:
                    note = error  # the original is delivered all the same
            stage(post.paths, name, parts, form=post.form, sync=sync)
            return note

    def _settle(
        self,
        post: Post,
        rows: Sequence[transfers.Row],
        ended: Sequence[transfers.Row],
        failures: dict[int, FrontgateError],
        notes: dict[int, FrontgateError],
    ) -> None:
        """Note what became of them, in one transaction. rows that are not ended wait again."""
        is_told = post.station.dialect is not None and post.form != "sealed"
        dialect = post.station.dialect.label if post.station.dialect and is_told else ""
        have_ended = {row.transfer_id for row in ended}
        with self._journal.write() as tx:
            drafts: list[Draft] = []
            for row in rows:
                if row.transfer_id not in have_ended:
                    transfers.apply(tx, row.transfer_id, TransferEvent.LEASE_LOST)
            for row in ended:
                error = failures.get(row.transfer_id)
                if error is None:
                    transfers.apply(tx, row.transfer_id, TransferEvent.DELIVERED)
                    note = notes.get(row.transfer_id)
                    reasons = (issue.reason_of(note),) if note else ()
                    draft = draft_for(tx, row, Kind.DELIVERED, reasons)
                    drafts.append(replace(draft, dialect="" if note else dialect))
                elif error.is_transient:
                    wait_ms = min(600_000, 1000 << min(row.failures, 9))
                    transfers.apply(
                        tx,
                        row.transfer_id,
                        TransferEvent.TRANSIENT,
                        reason=error.code,
                        due_ms=tx.now_ms + wait_ms,
                    )
                else:
                    transfers.apply(tx, row.transfer_id, TransferEvent.PERMANENT, reason=error.code)
                    drafts.append(
                        draft_for(tx, row, Kind.DELIVERY_FAILED, (issue.reason_of(error),))
                    )
            issue.issue(tx, self._issuers[post.station.unit], drafts)
        for row in ended:
            error = failures.get(row.transfer_id)
            log.info(
                "delivery",
                message=row.message_id,
                unit=row.receiver,
                entry=row.entry,
                code=error.code if error else "",
                detail=error.detail if error else "",
            )
        self._wake_sender()


def _parts(package: StoredPackage) -> list[DeliveryPart]:
    """What the case software gets: the standard message and the files."""
    return [
        DeliveryPart(path, (lambda path=path: package.chunks(path)), size_bytes)  # type: ignore[misc]
        for path, size_bytes in package.parts
        if path == "message.xml" or path.startswith("files/")
    ]


def draft_for(tx: Tx, row: transfers.Row, kind: Kind, reasons: tuple[Reason, ...] = ()) -> Draft:
    """The receipt of a receiver's gateway about one package and one of its units."""
    known = tx.one(
        "SELECT flow_uid, case_uid, content_digest, seal_digest FROM package WHERE id = ?",
        row.package_id,
    )
    assert known is not None
    return Draft(
        kind=kind,
        sender=row.sender,
        message_id=row.message_id,
        message_type=row.message_type,
        flow_uid=str(known[0]),
        case_uid=str(known[1]),
        receiver=row.receiver,
        content_digest=str(known[2]),
        seal_digest=str(known[3]),
        attempt=row.attempt,
        package_id=row.package_id,
        destinations=(HUB,),
        reasons=reasons,
    )
