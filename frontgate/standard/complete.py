"""Completing a header: ids that the gateway mints, receivers that it resolved.

The message is changed as text, at the places concerned only, so that all else stays byte for byte
what the case software wrote. Well-formed XML without DOCTYPE can be cut into markup exactly by one
expression (XML 1.0, 5th ed., productions 1 to 43), which gives the offsets that a tree does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from frontgate import safexml
from frontgate.errors import CatalogueError
from frontgate.model.message import Header
from frontgate.safexml import escape
from frontgate.standard.view import read_view
from frontgate.values import Struct

ORDER: tuple[str, ...] = (
    "MessageId", "MessageType", "FlowUid", "InReplyTo", "Replaces", "SenderRef", "Revision",
    "Sender", "Receiver", "CaseUid", "CaseStage", "PersonUid", "BusinessTime", "Urgency",
    "ReplyBy", "Confidentiality", "Software", "TestFlag",
)  # fmt: skip
"""Children of `Header` in the order of `message.xsd`."""
MINTED = ("MessageId", "FlowUid", "CaseUid")

_MARKUP = re.compile(
    rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|<(?P<close>/?)(?P<name>[^\s/>]+)"
    rb"(?:[^>\"']|\"[^\"]*\"|'[^']*')*?(?P<empty>/?)>",
    re.DOTALL,
)


class _Child(Struct, frozen=True):
    """A child of Header in the text: offsets of its first byte and of the byte after it."""

    local: str
    prefix: bytes
    start: int
    end: int


def complete(data: bytes, *, ids: Mapping[str, str], header: Header | None = None) -> bytes:
    """Write what the header lacks: MessageId, FlowUid, CaseUid, and unit codes of receivers.

    data: a message, strict UTF-8, as `safexml.parse` accepts it. ids: `MessageId`, `FlowUid`,
    `CaseUid` → value, written only where the header has no such element; `<scheme>:<code>` → unit
    code, which takes the place of that external receiver. header: what was read of these very bytes.
    Returns: `data` itself where nothing changes.
    Raises: XmlError; CatalogueError FG-STD-004, 005 for what is not a message.
    """
    if header is None:
        header = read_view(safexml.parse(data)).header
    present = {
        "MessageId": header.message_id,
        "FlowUid": header.flow_uid,
        "CaseUid": header.case_uid,
    }
    missing = [name for name in MINTED if ids.get(name) and not present[name]]
    resolved = [ids.get(f"{a.scheme}:{a.code}") if a.scheme else None for a in header.receivers]
    if not missing and not any(resolved):
        return data
    children = tuple(_header_children(data))
    if any(c.local in missing for c in children):
        # An empty element stands where the id belongs: the schema will say so, we do not guess.
        missing = [n for n in missing if all(c.local != n for c in children)]
    edits: list[tuple[int, int, bytes]] = []
    receivers = [c for c in children if c.local == "Receiver"]
    for child, unit in zip(receivers, resolved, strict=True):
        if unit:
            edits.append((child.start, child.end, _element(child.prefix, "Receiver", unit)))
    for name in missing:
        place, lead = _place(data, children, name)
        edits.append((place, place, _element(children[0].prefix, name, ids[name]) + lead))
    out = data
    # From the end to the front, so that offsets stay true. Two ids that go to the same place keep
    # their order because the later one is inserted first.
    for start, end, new in sorted(edits, key=lambda e: e[0], reverse=True):
        out = out[:start] + new + out[end:]
    return out


def _element(prefix: bytes, name: str, value: str) -> bytes:
    tag = prefix + name.encode("ascii")
    return b"<" + tag + b">" + escape(value).encode("utf-8") + b"</" + tag + b">"


def _place(data: bytes, children: tuple[_Child, ...], name: str) -> tuple[int, bytes]:
    """Where `name` goes, and the white space that follows it there (that before the next one)."""
    later = set(ORDER[ORDER.index(name) + 1 :])
    following = next((c for c in children if c.local in later), None)
    if following is None:
        return children[-1].end, b""
    before = data[: following.start]
    return following.start, before[len(before.rstrip(b" \t\r\n")) :]


def _header_children(data: bytes) -> Iterator[_Child]:
    """The children of the first element `Header` below the root, in order."""
    depth = 0
    in_header = False
    start = 0
    for match in _MARKUP.finditer(data):
        name = match.group("name")
        if name is None:
            continue
        if not match.group("close"):
            depth += 1
            if depth == 2 and _local(name) == "Header":
                in_header = True
            elif depth == 3:
                start = match.start()
        if match.group("close") or match.group("empty"):
            if in_header and depth == 3:
                prefix, colon, local = name.rpartition(b":")
                yield _Child(local.decode("utf-8"), prefix + colon, start, match.end())
            depth -= 1
            if in_header and depth == 1:
                return
    raise CatalogueError("FG-STD-005")


def _local(name: bytes) -> str:
    return name.rpartition(b":")[2].decode("utf-8")
