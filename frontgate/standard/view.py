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
    software = header.find(f"{_M}Software")
    return Header(
        standard=standard,
        message_type=kind,
        sender=_text(header, "Sender"),
        receivers=tuple(
            Address(text_of(r), r.get("scheme", "")) for r in header.iterchildren(f"{_M}Receiver")
        ),
        business_time=_text(header, "BusinessTime"),
        message_id=_text(header, "MessageId"),
        flow_uid=_text(header, "FlowUid"),
        in_reply_to=_text(header, "InReplyTo"),
        replaces=_text(header, "Replaces"),
        sender_ref=_text(header, "SenderRef"),
        revision=_text(header, "Revision"),
        case_uid=_text(header, "CaseUid"),
        case_stage=_text(header, "CaseStage"),
        person_uids=tuple(text_of(p) for p in header.iterchildren(f"{_M}PersonUid")),
        urgency=_text(header, "Urgency") or "1",
        reply_by=_text(header, "ReplyBy"),
        confidentiality=_text(header, "Confidentiality") or "2",
        software=Software(
            _text(software, "Vendor"), _text(software, "Product"), _text(software, "Version")
        )
        if software is not None
        else None,
        test_flag=_text(header, "TestFlag") in ("true", "1"),
    )


def _document(node: etree._Element) -> DocumentRef:
    size = _text(node, "Bytes")
    return DocumentRef(
        doc_uid=_text(node, "DocUid"),
        doc_type=_text(node, "DocType"),
        title=_text(node, "Title"),
        carrier=_text(node, "Carrier") or Carrier.NETWORK,
        file_name=_text(node, "FileName"),
        size_bytes=int(size) if size.isascii() and size.isdigit() and len(size) < 19 else None,
        digest=_text(node, "Digest"),
        media_type=_text(node, "MediaType"),
        line=line_of(node),
    )


def _text(parent: etree._Element, name: str) -> str:
    child = parent.find(_M + name)
    return text_of(child) if child is not None else ""
