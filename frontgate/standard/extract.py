"""The compact form of a message that outlives its package: read by projections alone.

Offers: `compact` and `expand` (the message), `head_of` (what the envelope adds).
Guarantees: `expand(compact(m))` has the elements, attributes and texts of `m`; only white space
between tags is gone. Above `MOST_BYTES` the longest texts are cut first, then the body is left out.
Cost: about 0.1 ms for 20 KB, mostly zlib's.
"""

from __future__ import annotations

import json
import re
import zlib

from lxml import etree

from frontgate import safexml
from frontgate.errors import XmlError
from frontgate.model.envelope import Envelope

MOST_BYTES = 256 << 10
"""A message that is longer without its white space is cut."""
MOST_TEXT = 300
"""So much of a text is left where a message is cut, in characters."""

_BETWEEN = re.compile(rb">\s+<")


def compact(message: bytes) -> bytes:
    """The compressed form of a message that passed its XSD; empty if even its cut form is too long."""
    plain = _BETWEEN.sub(b"><", message)
    if len(plain) > MOST_BYTES:
        plain = _cut(plain)
    return zlib.compress(plain, 1) if len(plain) <= MOST_BYTES else b""


def _cut(plain: bytes) -> bytes:
    root = safexml.parse(plain)
    for element in root.iter("*"):
        if element.text and len(element.text) > MOST_TEXT:
            element.text = element.text[:MOST_TEXT]
    return etree.tostring(root, encoding="utf-8")


def expand(body: bytes) -> etree._Element:
    """The message of a compact form. Raises: XmlError FG-XML-001 where it is damaged."""
    try:
        plain = zlib.decompressobj().decompress(body, MOST_BYTES + 1)
    except zlib.error as error:
        raise XmlError("FG-XML-001", line=1, reason=str(error)) from None
    return safexml.parse(plain, max_bytes=MOST_BYTES)


def head_of(envelope: Envelope) -> str:
    """JSON of what the journal's package row does not say. Keys: standard, stage, persons, replaces,
    conf, vendor, product, version, copies (unit → mode), original, files (path → SHA-256)."""
    header = envelope.header
    software = header.software
    head = {
        "standard": header.standard,
        "stage": header.case_stage,
        "persons": list(header.person_uids[:500]),
        "replaces": header.replaces,
        "conf": header.confidentiality,
        "vendor": software.vendor if software else "",
        "product": software.product if software else "",
        "version": software.version if software else "",
        "copies": {c.unit: c.mode for c in envelope.copies},
        "original": envelope.original_message_id,
        "files": {p.path: p.digest for p in envelope.parts[:500] if p.path.startswith("files/")},
    }
    return json.dumps(
        {k: v for k, v in head.items() if v}, ensure_ascii=False, separators=(",", ":")
    )
