"""Header and documents of a message as values, read without judging them."""

from __future__ import annotations

from lxml import etree

from frontgate.errors import CatalogueError
from frontgate.model.message import (
    MESSAGE_NS,
    Address,
    Carrier,
    DocumentRef,
    Header,
    MessageView,
    Software,
)
from frontgate.standard.tree import line_of, text_of

_M = f"{{{MESSAGE_NS}}}"
MESSAGE = f"{_M}Message"


def read_view(root: etree._Element) -> MessageView:
    """The view of a parsed message. What is absent or repeated stays empty or the first.

    Raises: CatalogueError FG-STD-004 (not a Message), FG-STD-005 (no Header or MessageType).
    """
    if root.tag != MESSAGE:
        raise CatalogueError("FG-STD-004", value=str(root.tag)[:120])
    header = root.find(f"{_M}Header")
    kind = _text(header, "MessageType") if header is not None else ""
    if header is None or not kind:
        raise CatalogueError("FG-STD-005")
    documents = root.find(f"{_M}Documents")
    return MessageView(
        header=_header(header, kind, root.get("standard", "").strip()),
        documents=tuple(_document(d) for d in documents.iterchildren(f"{_M}Document"))
        if documents is not None
        else (),
        body_tag=_body_tag(root),
    )


def body_of(root: etree._Element) -> etree._Element | None:
    """The element inside `Body`; None if there is none."""
    body = root.find(f"{_M}Body")
    return next(body.iterchildren("*"), None) if body is not None else None


def _body_tag(root: etree._Element) -> str:
    body = body_of(root)
    return str(body.tag) if body is not None else ""


def _header(header: etree._Element, kind: str, standard: str) -> Header:
    first = _first(header)
    software = header.find(f"{_M}Software")
    made_by = _first(software) if software is not None else {}
    return Header(
        standard=standard,
        message_type=kind,
        sender=first.get("Sender", ""),
        receivers=tuple(
            Address(text_of(r), r.get("scheme", "")) for r in header.iterchildren(f"{_M}Receiver")
        ),
        business_time=first.get("BusinessTime", ""),
        message_id=first.get("MessageId", ""),
        flow_uid=first.get("FlowUid", ""),
        in_reply_to=first.get("InReplyTo", ""),
        replaces=first.get("Replaces", ""),
        sender_ref=first.get("SenderRef", ""),
        revision=first.get("Revision", ""),
        case_uid=first.get("CaseUid", ""),
        case_stage=first.get("CaseStage", ""),
        person_uids=tuple(text_of(p) for p in header.iterchildren(f"{_M}PersonUid")),
        urgency=first.get("Urgency") or "1",
        reply_by=first.get("ReplyBy", ""),
        confidentiality=first.get("Confidentiality") or "2",
        software=Software(
            made_by.get("Vendor", ""), made_by.get("Product", ""), made_by.get("Version", "")
        )
        if software is not None
        else None,
        test_flag=first.get("TestFlag", "") in ("true", "1"),
    )


def _document(node: etree._Element) -> DocumentRef:
    first = _first(node)
    size = first.get("Bytes", "")
    return DocumentRef(
        doc_uid=first.get("DocUid", ""),
        doc_type=first.get("DocType", ""),
        title=first.get("Title", ""),
        carrier=first.get("Carrier") or Carrier.NETWORK,
        file_name=first.get("FileName", ""),
        size_bytes=int(size) if size.isascii() and size.isdigit() and len(size) < 19 else None,
        digest=first.get("Digest", ""),
        media_type=first.get("MediaType", ""),
        line=line_of(node),
    )


def _first(parent: etree._Element) -> dict[str, str]:
    """Text of the first child of each name in the message's namespace, in one pass."""
    found: dict[str, str] = {}
    for child in parent.iterchildren(f"{_M}*"):
        found.setdefault(child.tag[len(_M) :], text_of(child))
    return found


def _text(parent: etree._Element, name: str) -> str:
    child = parent.find(_M + name)
    return text_of(child) if child is not None else ""
