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
_PREFIX = len(_M)


def read_view(root: etree._Element) -> MessageView:
    """The view of a parsed message. What is absent or repeated stays empty or the first.

    Raises: CatalogueError FG-STD-004 (not a Message), FG-STD-005 (no Header or MessageType).
    """
    if root.tag != MESSAGE:
        raise CatalogueError("FG-STD-004", value=str(root.tag)[:120])
    parts = _children(root)
    header = parts.get("Header")
    kind = _text(header, "MessageType") if header is not None else ""
    if header is None or not kind:
        raise CatalogueError("FG-STD-005")
    documents = parts.get("Documents")
    body = parts.get("Body")
    content = next(body.iterchildren("*"), None) if body is not None else None
    return MessageView(
        header=_header(header, kind, root.get("standard", "").strip()),
        documents=tuple(_document(d) for d in documents.iterchildren(f"{_M}Document"))
        if documents is not None
        else (),
        body_tag=str(content.tag) if content is not None else "",
    )


def body_of(root: etree._Element) -> etree._Element | None:
    """The element inside `Body`; None if there is none."""
    body = root.find(f"{_M}Body")
    return next(body.iterchildren("*"), None) if body is not None else None


def _header(header: etree._Element, kind: str, standard: str) -> Header:
    first: dict[str, str] = {}
    receivers: list[Address] = []
    persons: list[str] = []
    made_by: dict[str, str] | None = None
    for child in header.iterchildren(f"{_M}*"):
        name = child.tag[_PREFIX:]
        if name == "Receiver":
            receivers.append(Address(text_of(child), child.get("scheme", "")))
        elif name == "PersonUid":
            persons.append(text_of(child))
        elif name == "Software":
            made_by = made_by or _first(child)
        elif name not in first:
            first[name] = text_of(child)
    return Header(
        standard=standard,
        message_type=kind,
        sender=first.get("Sender", ""),
        receivers=tuple(receivers),
        business_time=first.get("BusinessTime", ""),
        message_id=first.get("MessageId", ""),
        flow_uid=first.get("FlowUid", ""),
        in_reply_to=first.get("InReplyTo", ""),
        replaces=first.get("Replaces", ""),
        sender_ref=first.get("SenderRef", ""),
        revision=first.get("Revision", ""),
        case_uid=first.get("CaseUid", ""),
        case_stage=first.get("CaseStage", ""),
        person_uids=tuple(persons),
        urgency=first.get("Urgency") or "1",
        reply_by=first.get("ReplyBy", ""),
        confidentiality=first.get("Confidentiality") or "2",
        software=Software(
            made_by.get("Vendor", ""), made_by.get("Product", ""), made_by.get("Version", "")
        )
        if made_by is not None
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
        found.setdefault(child.tag[_PREFIX:], text_of(child))
    return found


def _children(parent: etree._Element) -> dict[str, etree._Element]:
    """The first child of each name in the message's namespace."""
    found: dict[str, etree._Element] = {}
    for child in parent.iterchildren(f"{_M}*"):
        found.setdefault(child.tag[_PREFIX:], child)
    return found


def _text(parent: etree._Element, name: str) -> str:
    child = parent.find(_M + name)
    return text_of(child) if child is not None else ""
