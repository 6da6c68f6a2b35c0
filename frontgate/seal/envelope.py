"""`envelope.xml`: written in one strict form, read back only if it is in that form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lxml import etree

from frontgate import safexml
from frontgate.errors import ContainerError
from frontgate.model.envelope import Copy, Envelope, Part
from frontgate.model.message import ENVELOPE_NS, Address, Header, Software
from frontgate.seal.xml import attribute, between, clean_text, element, leaves, optional

MAX_BYTES = 8 << 20
_E = f"{{{ENVELOPE_NS}}}"


def write_envelope(envelope: Envelope) -> bytes:
    """The bytes of `envelope.xml`. Their SHA-256 is the ContentDigest."""
    h = envelope.header
    out = [f'<Envelope xmlns="{ENVELOPE_NS}" standard="{attribute(h.standard)}">']
    out += [
        element("MessageId", h.message_id),
        element("MessageType", h.message_type),
        element("FlowUid", h.flow_uid),
        optional("InReplyTo", h.in_reply_to),
        optional("Replaces", h.replaces),
        optional("SenderRef", h.sender_ref),
        optional("Revision", h.revision),
        element("Sender", h.sender),
    ]
    out += [element("Receiver", code) for code in envelope.receivers]
    out += [f'<Cc mode="{attribute(c.mode)}">{attribute(c.unit)}</Cc>' for c in envelope.copies]
    out += [optional("CaseUid", h.case_uid), optional("CaseStage", h.case_stage)]
    out += [element("PersonUid", uid) for uid in h.person_uids]
    out += [
        element("BusinessTime", h.business_time),
        element("Urgency", h.urgency),
        optional("ReplyBy", h.reply_by),
        element("Confidentiality", h.confidentiality),
    ]
    if h.software is not None:
        s = h.software
        out.append(
            "<Software>"
            + element("Vendor", s.vendor)
            + element("Product", s.product)
            + element("Version", s.version)
            + "</Software>"
        )
    if h.test_flag:
        out.append("<TestFlag>true</TestFlag>")
    if envelope.original_message_id:
        out.append(
            "<Original>"
            + element("MessageId", envelope.original_message_id)
            + element("Digest", envelope.original_digest)
            + "</Original>"
        )
    out.append(optional("OnBehalfOf", envelope.on_behalf_of))
    out.append("<Manifest>")
    out += [
        f'<Part bytes="{p.size_bytes}" mediaType="{attribute(p.media_type)}"'
        f' path="{attribute(p.path)}" sha256="{p.digest}"></Part>'
        for p in envelope.parts
    ]
    out.append("</Manifest></Envelope>")
    return "".join(out).encode()


def read_envelope(data: bytes) -> Envelope:
    """Parse `envelope.xml`; its header's receivers are the envelope's, as addresses.

    Raises: ContainerError FG-CNT-044 for any other form; XmlError.
    """
    text = clean_text(data)
    envelope = None if text is None else _picked(text)
    if envelope is not None and write_envelope(envelope) == data:
        return envelope
    return read_any_envelope(data)


def read_any_envelope(data: bytes) -> Envelope:
    """`read_envelope` by the parser, which also says why not."""
    root = safexml.parse_plain(data, max_bytes=MAX_BYTES)
    envelope = _values(root)
    if envelope is None or write_envelope(envelope) != data:
        raise ContainerError("FG-CNT-044")
    return envelope


_PART = re.compile(
    '<Part bytes="([0-9]{1,18})" mediaType="([^"<]*)" path="([^"<]*)" sha256="([^"<]*)"></Part>'
)
_CC = re.compile('<Cc mode="([^"<]*)">([^<]*)</Cc>')


def _picked(text: str) -> Envelope:
    """What a `clean_text` seems to say. Whether it does shows when it is written again."""
    head, _, rest = text.partition("<Original>")
    stated, later = leaves(head), dict(leaves(rest))
    first = dict(stated)
    return _envelope(
        between(text, ' standard="', '"'),
        {"OnBehalfOf": later.get("OnBehalfOf", ""), **first},
        [value for tag, value in stated if tag == "Receiver"],
        [value for tag, value in stated if tag == "PersonUid"],
        [Copy(unit, mode) for mode, unit in _CC.findall(head)],
        [Part(path, int(size), media, sha) for size, media, path, sha in _PART.findall(text)],
        first if "<Software>" in head else None,
        later,
    )


def _values(root: etree._Element) -> Envelope | None:
    if root.tag != f"{_E}Envelope":
        return None
    first: dict[str, str] = {}
    many: dict[str, list[etree._Element]] = {"Receiver": [], "Cc": [], "PersonUid": [], "Part": []}
    groups: dict[str, dict[str, str]] = {}
    for node in root:
        name = str(node.tag).removeprefix(_E)
        if name in many:
            many[name].append(node)
        elif name == "Manifest":
            many["Part"] += node.findall(f"{_E}Part")
        elif name in ("Software", "Original"):
            groups.setdefault(name, {str(c.tag).removeprefix(_E): c.text or "" for c in node})
        else:
            first.setdefault(name, node.text or "")
    parts: list[Part] = []
    for node in many["Part"]:
        size = node.get("bytes", "")
        if not size.isascii() or not size.isdigit() or len(size) > 18:
            return None
        parts.append(
            Part(node.get("path", ""), int(size), node.get("mediaType", ""), node.get("sha256", ""))
        )
    return _envelope(
        root.get("standard", ""),
        first,
        [n.text or "" for n in many["Receiver"]],
        [n.text or "" for n in many["PersonUid"]],
        [Copy(n.text or "", n.get("mode", "")) for n in many["Cc"]],
        parts,
        groups.get("Software"),
        groups.get("Original", {}),
    )


def _envelope(
    standard: str,
    first: Mapping[str, str],
    receivers: Sequence[str],
    person_uids: Sequence[str],
    copies: Sequence[Copy],
    parts: Sequence[Part],
    software: Mapping[str, str] | None,
    original: Mapping[str, str],
) -> Envelope:
    """first: the text of elements that stand once, by name."""

    def one(name: str) -> str:
        return first.get(name, "")

    header = Header(
        standard=standard,
        message_type=one("MessageType"),
        sender=one("Sender"),
        receivers=tuple(map(Address, receivers)),
        business_time=one("BusinessTime"),
        message_id=one("MessageId"),
        flow_uid=one("FlowUid"),
        in_reply_to=one("InReplyTo"),
        replaces=one("Replaces"),
        sender_ref=one("SenderRef"),
        revision=one("Revision"),
        case_uid=one("CaseUid"),
        case_stage=one("CaseStage"),
        person_uids=tuple(person_uids),
        urgency=one("Urgency"),
        reply_by=one("ReplyBy"),
        confidentiality=one("Confidentiality"),
        software=None
        if software is None
        else Software(*(software.get(n, "") for n in ("Vendor", "Product", "Version"))),
        test_flag=one("TestFlag") == "true",
    )
    return Envelope(
        header=header,
        receivers=tuple(receivers),
        copies=tuple(copies),
        parts=tuple(parts),
        original_message_id=original.get("MessageId", ""),
        original_digest=original.get("Digest", ""),
        on_behalf_of=one("OnBehalfOf"),
    )
