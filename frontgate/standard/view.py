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
    read = _header(header, root.get("standard", "").strip()) if header is not None else None
    if read is None or not read.message_type:
        raise CatalogueError("FG-STD-005")
    documents = parts.get("Documents")
    body = parts.get("Body")
    content = next(body.iterchildren("*"), None) if body is not None else None
    return MessageView(
        header=read,
        documents=tuple(_document(d) for d in documents.iterchildren(f"{_M}Document"))
        if documents is not None
        else (),
        body_tag=str(content.tag) if content is not None else "",
    )


def body_of(root: etree._Element) -> etree._Element | None:
    """The element inside `Body`; None if there is none."""
    body = root.find(f"{_M}Body")
    return next(body.iterchildren("*"), None) if body is not None else None


def _header(header: etree._Element, standard: str) -> Header:
    first: dict[str, str] = {}
    receivers: list[Address] = []
    persons: list[str] = []
    made_by: dict[str, str] | None = None
    for child in header:
        tag = child.tag
        if type(tag) is not str or not tag.startswith(_M):
            continue
        name = tag[_PREFIX:]
        if name == "Receiver":
            receivers.append(Address(text_of(child), child.get("scheme", "")))
        elif name == "PersonUid":
            persons.append(text_of(child))
        elif name == "Software":
            made_by = made_by or _first(child)
        elif name not in first:
            first[name] = text_of(child)
    get = first.get
    return Header(
        standard=standard,
        message_type=get("MessageType", ""),
        sender=get("Sender", ""),
        receivers=tuple(receivers),
        business_time=get("BusinessTime", ""),
        message_id=get("MessageId", ""),
        flow_uid=get("FlowUid", ""),
        in_reply_to=get("InReplyTo", ""),
        replaces=get("Replaces", ""),
        sender_ref=get("SenderRef", ""),
        revision=get("Revision", ""),
        case_uid=get("CaseUid", ""),
        case_stage=get("CaseStage", ""),
        person_uids=tuple(persons),
        urgency=get("Urgency") or "1",
        reply_by=get("ReplyBy", ""),
        confidentiality=get("Confidentiality") or "2",
        software=Software(
            made_by.get("Vendor", ""), made_by.get("Product", ""), made_by.get("Version", "")
        )
        if made_by is not None
        else None,
        test_flag=get("TestFlag", "") in ("true", "1"),
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
    for child in parent:
        tag = child.tag
        if type(tag) is str and tag.startswith(_M) and (name := tag[_PREFIX:]) not in found:
            found[name] = text_of(child)
    return found


def _children(parent: etree._Element) -> dict[str, etree._Element]:
    """The first child of each name in the message's namespace."""
    found: dict[str, etree._Element] = {}
    for child in parent:
        tag = child.tag
        if type(tag) is str and tag.startswith(_M):
            found.setdefault(tag[_PREFIX:], child)
    return found
