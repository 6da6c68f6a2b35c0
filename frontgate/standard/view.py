"""Header and documents of a message as values, read without judging them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
_HEADER, _DOCUMENTS, _DOCUMENT, _BODY = (
    f"{_M}{n}" for n in ("Header", "Documents", "Document", "Body")
)
_RECEIVER, _PERSON, _SOFTWARE = (f"{_M}{n}" for n in ("Receiver", "PersonUid", "Software"))


def _fields(**names: str) -> Mapping[str, str]:
    """Tag → field, from field=local name."""
    return {f"{_M}{local}": field for field, local in names.items()}


_OF_HEADER = _fields(
    message_type="MessageType",
    sender="Sender",
    business_time="BusinessTime",
    message_id="MessageId",
    flow_uid="FlowUid",
    in_reply_to="InReplyTo",
    replaces="Replaces",
    sender_ref="SenderRef",
    revision="Revision",
    case_uid="CaseUid",
    case_stage="CaseStage",
    urgency="Urgency",
    reply_by="ReplyBy",
    confidentiality="Confidentiality",
    test_flag="TestFlag",
)
_OF_SOFTWARE = _fields(vendor="Vendor", product="Product", version="Version")
_OF_DOCUMENT = _fields(
    doc_uid="DocUid",
    doc_type="DocType",
    title="Title",
    carrier="Carrier",
    file_name="FileName",
    size_bytes="Bytes",
    digest="Digest",
    media_type="MediaType",
)


def read_view(root: etree._Element) -> MessageView:
    """The view of a parsed message. What is absent or repeated stays empty or the first.

    Raises: CatalogueError FG-STD-004 (not a Message), FG-STD-005 (no Header or MessageType).
    """
    if root.tag != MESSAGE:
        raise CatalogueError("FG-STD-004", value=str(root.tag)[:120])
    parts = _children(root)
    header = parts.get(_HEADER)
    read = _header(header, root.get("standard", "").strip()) if header is not None else None
    if read is None or not read.message_type:
        raise CatalogueError("FG-STD-005")
    documents = parts.get(_DOCUMENTS)
    body = parts.get(_BODY)
    content = next(body.iterchildren("*"), None) if body is not None else None
    return MessageView(
        header=read,
        documents=tuple(_document(d) for d in documents if d.tag == _DOCUMENT)
        if documents is not None
        else (),
        body_tag=str(content.tag) if content is not None else "",
    )


def body_of(root: etree._Element) -> etree._Element | None:
    """The element inside `Body`; None if there is none."""
    body = root.find(f"{_M}Body")
    return next(body.iterchildren("*"), None) if body is not None else None


def _header(header: etree._Element, standard: str) -> Header:
    found: dict[str, Any] = {"message_type": "", "sender": "", "business_time": ""}
    seen = set()
    receivers: list[Address] = []
    persons: list[str] = []
    software: Software | None = None
    for child in header:
        tag = child.tag
        field = _OF_HEADER.get(tag)
        if field is not None:
            if field not in seen:
                seen.add(field)
                found[field] = text_of(child)
        elif tag == _RECEIVER:
            receivers.append(Address(text_of(child), child.get("scheme", "")))
        elif tag == _PERSON:
            persons.append(text_of(child))
        elif tag == _SOFTWARE and software is None:
            software = Software(
                **{"vendor": "", "product": "", "version": ""} | _first(child, _OF_SOFTWARE)
            )
    for field in ("urgency", "confidentiality"):
        if not found.get(field):
            found.pop(field, None)  # as if it were absent: the default
    found["test_flag"] = found.get("test_flag") in ("true", "1")
    return Header(
        standard=standard,
        receivers=tuple(receivers),
        person_uids=tuple(persons),
        software=software,
        **found,
    )


def _document(node: etree._Element) -> DocumentRef:
    found: dict[str, Any] = {"doc_uid": "", "doc_type": "", "title": ""}
    found |= _first(node, _OF_DOCUMENT)
    size = found.get("size_bytes", "")
    found["size_bytes"] = (
        int(size) if size.isascii() and size.isdigit() and len(size) < 19 else None
    )
    found["carrier"] = found.get("carrier") or Carrier.NETWORK
    return DocumentRef(line=line_of(node), **found)


def _first(parent: etree._Element, fields: Mapping[str, str]) -> dict[str, str]:
    """Field → text of its first child, in one pass."""
    found: dict[str, str] = {}
    for child in parent:
        field = fields.get(child.tag)
        if field is not None and field not in found:
            found[field] = text_of(child)
    return found


def _children(parent: etree._Element) -> dict[str, etree._Element]:
    """The first child of each name."""
    found: dict[str, etree._Element] = {}
    for child in parent:
        found.setdefault(child.tag, child)
    return found
