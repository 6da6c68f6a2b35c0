"""Receipts: the signed answer of every hop.

Source: exchange standard 1.0, `standards/1.0/xsd/receipt.xsd`; events after ETSI EN 319 522-3.
"""

from __future__ import annotations

from enum import StrEnum

from frontgate.values import Struct


class Kind(StrEnum):
    """What happened. The value is the word in file names and XML."""

    SUBMISSION_ACCEPTED = "submission-accepted"
    SUBMISSION_REJECTED = "submission-rejected"
    RELAY_ACCEPTED = "relay-accepted"
    RELAY_REJECTED = "relay-rejected"
    RELAY_FAILED = "relay-failed"
    RELAY_DELAYED = "relay-delayed"
    DELIVERED = "delivered"
    DELIVERY_FAILED = "delivery-failed"
    HANDED_OVER = "handed-over"
    HANDOVER_FAILED = "handover-failed"

    @property
    def is_negative(self) -> bool:
        """Negative kinds must carry reasons."""
        return self in _NEGATIVE


_NEGATIVE = frozenset(
    {
        Kind.SUBMISSION_REJECTED,
        Kind.RELAY_REJECTED,
        Kind.RELAY_FAILED,
        Kind.DELIVERY_FAILED,
        Kind.HANDOVER_FAILED,
    }
)


class Reason(Struct, frozen=True):
    """Why: a stable code, both texts, and the place where there is one."""

    code: str
    zh: str
    en: str
    file: str = ""
    line: int | None = None
    xpath: str = ""
    value: str = ""
    severity: str = "error"


class Receipt(Struct, frozen=True):
    """One receipt, unsigned; its signature stands beside it (`seal.receipts`).

    receipt_id: UUID. event_time: RFC 3339 UTC with `Z`. issuer: unit code of the signer;
    issuer_node: name of the machine's role there (`gateway`, `hub`). receiver: unit code, empty
    where the event holds for all receivers. content_digest: SHA-256 of envelope.xml, or of the
    drop's bytes for a refused drop. seal_digest: SHA-256 of META-INF/signatures.xml (relay-accepted).
    previous: digest of the receipt before this one for (message_id, receiver), empty for the first.
    attempt: 1-based. audit_seq, audit_head: place and hash in the issuer's audit chain.
    """

    receipt_id: str
    kind: Kind
    event_time: str
    issuer: str
    issuer_node: str
    message_id: str
    sender: str
    message_type: str = ""
    flow_uid: str = ""
    receiver: str = ""
    sender_ref: str = ""
    drop_name: str = ""
    bundle_id: str = ""
    content_digest: str = ""
    seal_digest: str = ""
    crl_number: str = ""
    previous: str = ""
    attempt: int = 1
    audit_seq: int = 0
    audit_head: str = ""
    case_uid: str = ""
    dialect: str = ""
    reasons: tuple[Reason, ...] = ()
