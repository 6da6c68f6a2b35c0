"""Issuing receipts: one signature for all receipts of a transaction and unit.

A receipt is made inside the transaction whose outcome it tells: it names the audit entry written
there, is chained to the receipt before it, signed, kept, queued for where it must go, and its file
in the spool is planned. Nothing of it can exist without the outcome, nor the outcome without it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence

from frontgate.core import minting
from frontgate.errors import FrontgateError
from frontgate.journal import Tx, receipts
from frontgate.model.finding import Finding
from frontgate.model.receipt import Kind, Reason, Receipt
from frontgate.seal.receipts import receipt_digest, receipt_xml, sign_receipts
from frontgate.suites import Signer
from frontgate.values import Struct

GROUP = 8
"""Receipts of one signature. Each file carries the digests of all of its group, so that it verifies
alone: small groups keep the files small, large ones save signatures."""


class FilePlan(Struct, frozen=True):
    """A receipt file to stand in a spool. stem: MessageId, or `drop-` + 16 hex of the drop."""

    spool: str
    stem: str


class Draft(Struct, frozen=True):
    """A receipt before it has an id, a place in the audit chain and a signature.

    destinations: where it must travel (`hub`, `account:<name>`). file: where it shows.
    """

    kind: Kind
    sender: str
    message_id: str
    receiver: str = ""
    message_type: str = ""
    flow_uid: str = ""
    case_uid: str = ""
    sender_ref: str = ""
    drop_name: str = ""
    bundle_id: str = ""
    content_digest: str = ""
    seal_digest: str = ""
    attempt: int = 1
    reasons: tuple[Reason, ...] = ()
    package_id: int | None = None
    destinations: tuple[str, ...] = ()
    file: FilePlan | None = None
    dialect: str = ""


class Issuer(Struct, frozen=True):
    """Who signs. node: `gateway` or `hub`. name_file: how a receipt file is called, from
    (stem, number, kind, receiver); the spool room knows it.
    """

    signer: Signer
    node: str
    name_file: Callable[[str, int, str, str], str]

    @property
    def unit(self) -> str:
        return self.signer.unit


def issue(tx: Tx, issuer: Issuer, drafts: Sequence[Draft]) -> list[int]:
    """Make, sign and keep receipts in the caller's transaction. Returns: their row ids, in order."""
    if not drafts:
        return []
    made: list[Receipt] = []
    newest: dict[tuple[str, str], str] = {}
    several = {m for m, n in Counter(d.message_id for d in drafts).items() if m and n > 1}
    for draft in drafts:
        seq, head = tx.event(
            "receipt",
            kind=draft.kind.value,
            message=draft.message_id,
            sender=draft.sender,
            receiver=draft.receiver,
            content=draft.content_digest,
            attempt=draft.attempt,
            **({"reasons": [r.code for r in draft.reasons]} if draft.reasons else {}),
            **({"drop": draft.drop_name} if not draft.message_id else {}),
        )
        previous = newest.get((draft.message_id, draft.receiver)) or newest.get(
            (draft.message_id, "")
        )
        if previous is None:
            previous = receipts.previous_digest(tx, draft.message_id, draft.receiver)
        receipt = _receipt(tx, issuer, draft, seq, head, previous)
        made.append(receipt)
        if draft.message_id in several:
            newest[draft.message_id, draft.receiver] = receipt_digest(receipt_xml(receipt))
    rows: list[int] = []
    for start in range(0, len(made), GROUP):
        rows += _keep(tx, issuer, drafts[start : start + GROUP], made[start : start + GROUP])
    return rows


def _keep(tx: Tx, issuer: Issuer, drafts: Sequence[Draft], made: list[Receipt]) -> list[int]:
    """Sign a group and keep it with where each receipt must go."""
    signed = sign_receipts(made, issuer.signer)
    signature_id = receipts.keep_signature(tx, signed.signature)
    rows: list[int] = []
    for draft, (receipt, xml, digest) in zip(drafts, signed.items, strict=True):
        row = receipts.keep(tx, receipt, xml, digest, signature_id, draft.package_id)
        assert row is not None, "a receipt id is derived from its audit entry"
        rows.append(row)
        for destination in draft.destinations:
            receipts.send(tx, row, destination)
        if draft.file is not None:
            plan_file(tx, issuer, row, draft.file, draft.kind.value, draft.receiver)
    return rows


def plan_file(tx: Tx, issuer: Issuer, row: int, plan: FilePlan, kind: str, receiver: str) -> None:
    """Plan one receipt file; it is written after the commit."""
    number = receipts.file_number(tx, plan.spool, plan.stem)
    name = issuer.name_file(plan.stem, number, kind, receiver)
    receipts.add_file(tx, row, plan.spool, plan.stem, name)


def _receipt(tx: Tx, issuer: Issuer, draft: Draft, seq: int, head: str, previous: str) -> Receipt:
    return Receipt(
        receipt_id=minting.receipt_id(f"{issuer.node}:{issuer.unit}", seq, tx.epoch),
        kind=draft.kind,
        event_time=tx.now_at,
        issuer=issuer.unit,
        issuer_node=issuer.node,
        message_id=draft.message_id,
        sender=draft.sender,
        message_type=draft.message_type,
        flow_uid=draft.flow_uid,
        receiver=draft.receiver,
        sender_ref=draft.sender_ref,
        drop_name=draft.drop_name,
        bundle_id=draft.bundle_id,
        content_digest=draft.content_digest,
        seal_digest=draft.seal_digest,
        previous=previous,
        attempt=draft.attempt,
        audit_seq=seq,
        audit_head=head,
        case_uid=draft.case_uid,
        dialect=draft.dialect,
        reasons=draft.reasons,
    )


def reasons_of(findings: Sequence[Finding]) -> tuple[Reason, ...]:
    """The reasons that a negative receipt carries: what refused, at most 50 of it, in order."""
    return notes_of([f for f in findings if f.severity.refuses])


def notes_of(findings: Sequence[Finding]) -> tuple[Reason, ...]:
    """Findings as the reasons of a receipt, at most 50 of them, in order."""
    return tuple(
        Reason(
            code=f.rule,
            zh=f.zh,
            en=f.en,
            file=f.file,
            line=f.line,
            xpath=f.xpath,
            value=f.value,
            severity=f.severity.value,
        )
        for f in findings[:50]
    )


def reason_of(error: FrontgateError) -> Reason:
    """An error as the reason of a receipt."""
    return Reason(error.code, error.message("zh"), error.message("en"))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
