"""The header of a message and its list of documents, as values.

Source: the exchange standard 1.0, `standards/1.0/xsd/message.xsd`.
"""

from __future__ import annotations

from typing import Any, NewType

from frontgate.values import Struct

UnitCode = NewType("UnitCode", str)
MessageId = NewType("MessageId", str)
Digest = NewType("Digest", str)
"""SHA-256 as 64 lower-case hex digits."""

MESSAGE_NS = "urn:frontgate:message:1"
ENVELOPE_NS = "urn:frontgate:envelope:1"
RECEIPT_NS = "urn:frontgate:receipt:1"
CONTROL_NS = "urn:frontgate:control:1"
CONTROL_MAP: Any = {None: CONTROL_NS}
"""For building control messages: the default namespace."""


class Address(Struct, frozen=True):
    """A receiver as written: a unit code (`scheme` empty) or an external code with its scheme."""

    code: str
    scheme: str = ""


class Software(Struct, frozen=True):
    """The case software that wrote the message."""

    vendor: str
    product: str
    version: str


class Header(Struct, frozen=True):
    """`Message/Header`. Optional ids are empty until the gateway has minted them.

    business_time, reply_by: as written, RFC 3339 with offset. urgency: 1 normal, 2 urgent,
    3 most urgent. standard: `major.minor` of `Message/@standard`.
    """

    standard: str
    message_type: str
    sender: str
    receivers: tuple[Address, ...]
    business_time: str
    message_id: str = ""
    flow_uid: str = ""
    in_reply_to: str = ""
    replaces: str = ""
    sender_ref: str = ""
    revision: str = ""
    case_uid: str = ""
    case_stage: str = ""
    person_uids: tuple[str, ...] = ()
    urgency: str = "1"
    reply_by: str = ""
    confidentiality: str = "2"
    software: Software | None = None
    test_flag: bool = False

    @property
    def flow(self) -> str:
        return self.message_type.partition(".")[0]

    @property
    def step(self) -> str:
        return self.message_type.partition(".")[2]


class Carrier:
    """Values of `Document/Carrier`."""

    NETWORK = "network"
    DISC = "disc"
    PAPER = "paper"


class DocumentRef(Struct, frozen=True):
    """One `Documents/Document`. file_name, bytes: only where the carrier is the network."""

    doc_uid: str
    doc_type: str
    title: str
    carrier: str = Carrier.NETWORK
    file_name: str = ""
    size_bytes: int | None = None
    digest: str = ""
    media_type: str = ""
    line: int | None = None


class MessageView(Struct, frozen=True):
    """What the exchange needs of a message: header, documents, and the body's element name."""

    header: Header
    documents: tuple[DocumentRef, ...]
    body_tag: str
