"""Writing XML that is canonical as it stands, so that no canonicalisation engine is needed.

Everything that frontgate signs is written by these few functions: no prefix tricks, no comments,
no optional blanks. A reader takes the values out, writes the text again and compares bytes: what
is not in the one strict form is refused before any cryptography.
Source: Canonical XML 1.1, section 2.3; Exclusive XML Canonicalization 1.0.
"""

from __future__ import annotations

import base64
import binascii
import re

from lxml import etree

from frontgate.errors import SignatureError

DS = "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
INCLUSIVE_11 = "http://www.w3.org/2006/12/xml-c14n11"
ENVELOPED = DS + "enveloped-signature"
_PLAIN = re.compile(r"[A-Za-z0-9 .:/_+-]*")
"""Needs no escape anywhere: ids, digests, times, codes, which is nearly all that is written."""


def text(value: str) -> str:
    """Character data as Canonical XML writes it."""
    if _PLAIN.fullmatch(value):
        return value
    return (
        value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#xD;")
    )


def attribute(value: str) -> str:
    """An attribute value as Canonical XML writes it."""
    if _PLAIN.fullmatch(value):
        return value
    return (
        value.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace('"', "&quot;")
        .replace("\t", "&#x9;")
        .replace("\n", "&#xA;")
        .replace("\r", "&#xD;")
    )


def element(tag: str, value: str) -> str:
    """`<tag>value</tag>`."""
    return f"<{tag}>{text(value)}</{tag}>"


def optional(tag: str, value: str) -> str:
    """`element`, or nothing for an empty value."""
    return element(tag, value) if value else ""


QUICK_BYTES = 1 << 20
"""A larger document is always parsed: nothing here comes near a limit of the parser."""
_CLEAN = bytes(c for c in range(0x20, 0x100) if c not in b"&\x7f")
_LEAF = re.compile(r"<([A-Za-z]+)(?: [^<>]*)?>([^<]*)</")


def clean_text(data: bytes) -> str | None:
    """The text of a small document in which each character stands for itself: no reference, no line
    end or other control character, nothing that a parser refuses or changes. None for any other.

    Out of such a text values may be picked by their tags instead of parsing it, if the text is then
    written again and compared: a parser reads what we wrote as what we wrote.
    """
    if len(data) > QUICK_BYTES or data.translate(None, _CLEAN):
        return None
    try:
        found = data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\ufffe" in found or "\uffff" in found else found


def leaves(clean: str) -> list[tuple[str, str]]:
    """(tag, text) of the elements of a `clean_text` that hold no other, in order. Nothing is proven."""
    return _LEAF.findall(clean)


def between(clean: str, before: str, after: str) -> str:
    """What stands after the first `before`, up to `after`; empty where there is none. Proves nothing."""
    return clean.partition(before)[2].partition(after)[0]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def unb64(value: str, what: str) -> bytes:
    """Strict Base64 in its one form. Raises: SignatureError FG-SIG-020."""
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise SignatureError("FG-SIG-020", what=what) from None
    if b64(data) != value:
        raise SignatureError("FG-SIG-020", what=what)
    return data


def hex_of(value: str, what: str) -> str:
    """A Base64 digest as 64 hex digits."""
    data = unb64(value, what)
    if len(data) != 32:
        raise SignatureError("FG-SIG-020", what=what)
    return data.hex()


def child_text(parent: etree._Element, path: str, ns: dict[str, str], what: str) -> str:
    """The text of exactly one element at `path`. Raises: SignatureError FG-SIG-020."""
    found = parent.findall(path, ns)
    if len(found) != 1 or len(found[0]) or found[0].text is None:
        raise SignatureError("FG-SIG-020", what=what)
    return found[0].text
