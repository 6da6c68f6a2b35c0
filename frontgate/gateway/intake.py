"""Intake: from `outbound/` to the journal, a batch at a time.

Claim (rename) → read, check, seal into a segment → fsync → one transaction: packages, transfers,
receipts, audit → only then the claims are removed or moved to `rejected/`. A crash before the
transaction leaves the claims, which are taken again; a crash after it finds each claim known by its
id and finishes what the journal says.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from datetime import datetime

from frontgate import clock
from frontgate.core.lifecycle import Intake as State
from frontgate.core.lifecycle import IntakeEvent, admit
from frontgate.core.routing import HUB
from frontgate.errors import FrontgateError
from frontgate.gateway.receipt_files import ReceiptFiles
from frontgate.gateway.stations import Post
from frontgate.journal import Journal, Tx, packages, receipts, transfers
from frontgate.log import get_logger
from frontgate.model.finding import Finding, Report, Severity, finding
from frontgate.model.receipt import Kind, Reason
from frontgate.pipeline import issue
from frontgate.pipeline.dispatch import LARGE_BYTES
from frontgate.pipeline.issue import Draft, FilePlan, Issuer
from frontgate.pipeline.loop import attempt
from frontgate.pipeline.prepare import Kit, Prepared, Refusal, prepare
from frontgate.pipeline.segments import SegmentStore
from frontgate.spool.claiming import Claim, Refused
from frontgate.spool.rejected import reject
from frontgate.standard import Checker
from frontgate.undo import on_failure
from frontgate.values import Struct

log = get_logger()


class Batch(Struct, frozen=True):
    """What one turn of intake did."""

    accepted: int = 0
    refused: int = 0
    repeated: int = 0


class Intake:
    """Takes claims of one spool through checking and sealing into the journal."""

    def __init__(
        self,
        journal: Journal,
        store: SegmentStore,
        kit: Kit,
        checker: Checker,
        issuers: dict[str, Issuer],
        files: ReceiptFiles,
        *,
        discard: Callable[[Post, Claim], None],
        wake_senders: Callable[[], None],
    ) -> None:
        """discard: removes a claim whose outcome the journal holds, now or soon."""
        self._discard = discard
        self._wake_senders = wake_senders
        self._journal = journal
        self._store = store
        self.kit = kit
        self._checker = checker
        self._issuers = issuers
        self._files = files
        self.waiting: list[tuple[Post, Claim | Refused]] = []
        self.trouble: FrontgateError | None = None
        self._tries: dict[str, int] = {}

    def take_safely(self, post: Post, found: Sequence[Claim | Refused]) -> None:
        """`take`, so that one drop never holds up the others.

        A batch that fails is taken one by one; a single drop that fails for a passing reason waits
        in `waiting`, one that fails for another reason is refused at its third try.
        """
        error = attempt("intake", lambda: self.take(post, found))
        if error is None:
            return
        if error.is_transient:
            self.waiting.extend((post, item) for item in found)
            self.trouble = error
            return
        if len(found) > 1:
            self._take_each([(post, item) for item in found])
            return
        (item,) = found
        claim = _claim_of(item)
        self._tries[claim.claim_id] = self._tries.get(claim.claim_id, 0) + 1
        if self._tries[claim.claim_id] < 3:
            self.waiting.append((post, item))
            return
        del self._tries[claim.claim_id]
        log.error("drop-refused-after-tries", claim=claim.claim_id, code=error.code)
        refused = Refused(claim, finding("FG-INT-001", what=claim.claim_id))
        error = attempt("intake", lambda: self.take(post, [refused]))
        if error is not None:
            self.waiting.append((post, refused))
            self.trouble = error

    def retry(self) -> float | None:
        """Take again what is waiting. Returns: when to come again, None if nothing waits.

        Raises: FrontgateError, so that the trouble shows, while a passing fault lasts.
        """
        waiting, self.waiting = self.waiting, []
        self.trouble = None
        self._take_each(waiting)
        if self.trouble is not None:
            raise self.trouble
        return 1.0 if self.waiting else None

    def _take_each(self, todo: Sequence[tuple[Post, Claim | Refused]]) -> None:
        """One by one, in order: what a passing fault stops, the later ones of its spool wait behind."""
        stopped: set[str] = set()
        for post, item in todo:
            if post.key in stopped:
                self.waiting.append((post, item))
                continue
            before, self.trouble = self.trouble, None
            self.take_safely(post, [item])
            if self.trouble is not None:
                stopped.add(post.key)
            self.trouble = self.trouble or before

    def waits_before(self, post: Post, claim: Claim) -> bool:
        """Whether something of that spool that was claimed earlier still waits here."""
        return any(
            other is post and _claim_of(item).claim_id < claim.claim_id
            for other, item in list(self.waiting)
        )

    def take(self, post: Post, found: Sequence[Claim | Refused]) -> Batch:
        """Judge claims of one spool and make the outcome durable, in the given order."""
        now = clock.now()
        todo = [item for item in found if not self._finish_known(post, item, now)]
        if not todo:
            return Batch()
        segment = self._store.new(now)
        with on_failure(segment.abandon):
            results = [self._judge(post, item, segment.file, now) for item in todo]
            segment.file.seek(0, io.SEEK_END)
            for result in results:
                if isinstance(result, Prepared):
                    for extract in result.extracts:
                        segment.file.write(extract.data)
            used = segment.file.tell() > 0
        path = segment.relative_path
        if used:
            size = segment.publish()
        else:
            segment.abandon()
            size = 0
        with self._store.named_by(self._journal, path), self._journal.write() as tx:
            segment_id = packages.add_segment(tx, path, size, "sealed") if used else None
            drafts: list[Draft] = []
            outcomes = [self._record(tx, post, r, segment_id, drafts) for r in results]
            self._record_extracts(tx, post, results, segment_id, drafts)
            issue.issue(tx, self._issuers[post.station.unit], drafts)
        self._wake_senders()
        if any(state is State.DUPLICATE for state, _ in outcomes):
            self._files.write_again()
        self._files.wake()
        for result, (state, findings) in zip(results, outcomes, strict=True):
            self._finish(post, result.claim, state, findings, now)
            log.info(
                "drop",
                state=state.value,
                unit=post.station.unit,
                app=post.station.app,
                claim=result.claim.claim_id,
                codes=[f.rule for f in findings if f.severity.refuses],
            )
        states = [state for state, _ in outcomes]
        return Batch(
            states.count(State.ADMITTED),
            states.count(State.REJECTED),
            states.count(State.DUPLICATE),
        )

    def _judge(
        self, post: Post, item: Claim | Refused, target: object, now: datetime
    ) -> Prepared | Refusal:
        if isinstance(item, Refused):
            return Refusal(item.claim, (item.finding,))
        return prepare(item, post.station, self.kit, self._checker, target, now)  # type: ignore[arg-type]

    def _finish_known(self, post: Post, item: Claim | Refused, now: datetime) -> bool:
        """A claim that was judged before a crash: do what the journal says, judge nothing anew."""
        claim = _claim_of(item)
        known = packages.of_claim(self._journal.look, claim.claim_id)
        if known is None:
            return False
        findings = tuple(_finding(row) for row in json.loads(known[2]))
        self._finish(post, claim, State(known[1]), findings, now)
        self._files.wake()
        return True

    def _finish(
        self, post: Post, claim: Claim, state: State, findings: tuple[Finding, ...], now: datetime
    ) -> None:
        if state is State.REJECTED:
            reject(post.paths, claim, Report(findings), now=now)
        else:
            self._discard(post, claim)

    def _record(
        self,
        tx: Tx,
        post: Post,
        result: Prepared | Refusal,
        segment_id: int | None,
        drafts: list[Draft],
    ) -> tuple[State, tuple[Finding, ...]]:
        if isinstance(result, Refusal):
            return self._record_refusal(tx, post, result, drafts)
        header = result.header
        known = packages.find_admitted(tx, "out", header.sender, header.message_id)
        if known is not None:
            same = result.sealed.content_digest == known.content_digest
            is_same_drop = bool(result.drop_digest) and result.drop_digest == known.drop_digest
            if same or is_same_drop:
                return self._record_repeat(tx, post, result, known.package_id)
            clash = finding("FG-RTE-011", value=header.message_id)
            refusal = Refusal(result.claim, (*result.findings, clash), result.drop_digest, header)
            return self._record_refusal(tx, post, refusal, drafts)
        package_id = packages.add(
            tx,
            direction="out",
            state=admit(State.CLAIMED, IntakeEvent.ACCEPT),
            envelope=result.sealed.envelope,
            sender=header.sender,
            message_id=header.message_id,
            content_digest=result.sealed.content_digest,
            seal_digest=result.sealed.seal_digest,
            segment_id=segment_id,
            offset=result.offset,
            size_bytes=result.sealed.size_bytes,
            digest=result.digest,
            origin=_origin(post, result.claim, result.drop_digest),
            findings=result.findings,
        )
        transfers.add(
            tx,
            package_id=package_id,
            destination=HUB,
            is_large=result.sealed.size_bytes > LARGE_BYTES,
        )
        tx.event(
            "admitted",
            package=package_id,
            sender=header.sender,
            message=header.message_id,
            type=header.message_type,
            content=result.sealed.content_digest,
            claim=result.claim.claim_id,
        )
        drafts.append(
            Draft(
                kind=Kind.SUBMISSION_ACCEPTED,
                sender=header.sender,
                message_id=header.message_id,
                message_type=header.message_type,
                flow_uid=header.flow_uid,
                case_uid=header.case_uid,
                sender_ref=header.sender_ref,
                drop_name=_shown(result.claim.name),
                content_digest=result.sealed.content_digest,
                seal_digest=result.sealed.seal_digest,
                package_id=package_id,
                destinations=(HUB,),
                file=FilePlan(post.key, header.message_id),
                reasons=_warnings(result.findings),
            )
        )
        return State.ADMITTED, result.findings

    def _record_repeat(
        self, tx: Tx, post: Post, result: Prepared, package_id: int
    ) -> tuple[State, tuple[Finding, ...]]:
        """The same message again: the first receipts again, byte for byte, and no second effect."""
        header = result.header
        packages.add(
            tx,
            direction="out",
            state=admit(State.CLAIMED, IntakeEvent.REPEAT),
            envelope=result.sealed.envelope,
            sender=header.sender,
            message_id=header.message_id,
            content_digest=result.sealed.content_digest,
            origin=_origin(post, result.claim, result.drop_digest),
        )
        receipts.write_again(tx, package_id)
        tx.event(
            "repeat",
            package=package_id,
            sender=header.sender,
            message=header.message_id,
            claim=result.claim.claim_id,
        )
        return State.DUPLICATE, result.findings

    def _record_refusal(
        self, tx: Tx, post: Post, result: Refusal, drafts: list[Draft]
    ) -> tuple[State, tuple[Finding, ...]]:
        header = result.header
        unit = post.station.unit
        package_id = packages.add(
            tx,
            direction="out",
            state=admit(State.CLAIMED, IntakeEvent.REFUSE),
            envelope=None,
            sender=unit,
            message_id=header.message_id if header else "",
            origin=_origin(post, result.claim, result.drop_digest),
            findings=result.findings,
        )
        tx.event(
            "refused",
            package=package_id,
            sender=unit,
            message=header.message_id if header else "",
            claim=result.claim.claim_id,
            codes=[f.rule for f in result.findings if f.severity.refuses],
        )
        stem = (
            header.message_id if header else ""
        ) or f"drop-{(result.drop_digest or result.claim.claim_id)[:16]}"
        drafts.append(
            Draft(
                kind=Kind.SUBMISSION_REJECTED,
                sender=unit,
                message_id=header.message_id if header else "",
                message_type=header.message_type if header else "",
                flow_uid=header.flow_uid if header else "",
                case_uid=header.case_uid if header else "",
                sender_ref=header.sender_ref if header else "",
                drop_name=_shown(result.claim.name),
                content_digest=result.drop_digest,
                package_id=package_id,
                file=FilePlan(post.key, stem),
                reasons=issue.reasons_of(result.findings),
            )
        )
        return State.REJECTED, result.findings

    def _record_extracts(
        self,
        tx: Tx,
        post: Post,
        results: Sequence[Prepared | Refusal],
        segment_id: int | None,
        drafts: list[Draft],
    ) -> None:
        """Narrowed copies: packages of their own, after all originals in the segment."""
        accepted = {d.message_id for d in drafts if d.kind is Kind.SUBMISSION_ACCEPTED}
        if segment_id is None:
            return
        at = max(
            (r.offset + r.sealed.size_bytes for r in results if isinstance(r, Prepared)), default=0
        )
        for result in results:
            if not isinstance(result, Prepared):
                continue
            for extract in result.extracts:
                offset, at = at, at + len(extract.data)
                envelope = extract.sealed.envelope
                header = envelope.header
                if result.header.message_id not in accepted:
                    continue
                if packages.find_admitted(tx, "out", header.sender, header.message_id) is not None:
                    continue
                package_id = packages.add(
                    tx,
                    direction="out",
                    state=admit(State.CLAIMED, IntakeEvent.ACCEPT),
                    envelope=envelope,
                    sender=header.sender,
                    message_id=header.message_id,
                    content_digest=extract.sealed.content_digest,
                    seal_digest=extract.sealed.seal_digest,
                    segment_id=segment_id,
                    offset=offset,
                    size_bytes=len(extract.data),
                    digest=issue.sha256(extract.data),
                    origin=packages.Origin(unit=post.station.unit, app=post.station.app),
                )
                transfers.add(tx, package_id=package_id, destination=HUB)
                tx.event(
                    "admitted",
                    package=package_id,
                    sender=header.sender,
                    message=header.message_id,
                    type=header.message_type,
                    content=extract.sealed.content_digest,
                    original=envelope.original_message_id,
                )
                drafts.append(
                    Draft(
                        kind=Kind.SUBMISSION_ACCEPTED,
                        sender=header.sender,
                        message_id=header.message_id,
                        message_type=header.message_type,
                        flow_uid=header.flow_uid,
                        case_uid=header.case_uid,
                        content_digest=extract.sealed.content_digest,
                        seal_digest=extract.sealed.seal_digest,
                        package_id=package_id,
                        destinations=(HUB,),
                        file=FilePlan(post.key, header.message_id),
                    )
                )


def _origin(post: Post, claim: Claim, drop_digest: str) -> packages.Origin:
    return packages.Origin(
        unit=post.station.unit,
        app=post.station.app,
        drop_name=_shown(claim.name),
        drop_digest=drop_digest,
        claim_id=claim.claim_id,
    )


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _warnings(findings: Sequence[Finding]) -> tuple[Reason, ...]:
    return issue.notes_of([f for f in findings if not f.severity.refuses])


def _finding(row: dict[str, object]) -> Finding:
    known = {name: row[name] for name in Finding.__struct_fields__ if name in row}
    known["severity"] = Severity(str(known.get("severity", "error")))
    return Finding(**known)  # type: ignore[arg-type]


def _claim_of(item: Claim | Refused) -> Claim:
    return item.claim if isinstance(item, Refused) else item
