"""The only file that builds an XML parser: no DTD, no entities, no network, fixed limits.

Offers: `parse`, `alone`, `canonical`, `escape`. Guarantees: what comes back was strict UTF-8 without a DOCTYPE,
within the limits below; nothing outside the given bytes was read.
Fails: `XmlError` with line and a code of FG-XML.
Source: reliability threat B3; XML 1.0 (5th ed.) 2.8, 4.3.3.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

from lxml import etree

from frontgate.errors import XmlError

MAX_DEPTH = 100
"""Deeper than any message of the standard (19); libxml2's own limit is 256."""
MAX_ELEMENTS = 2_000_000
"""A 32 MiB message has at most about 1.5 million of the shortest elements it can hold."""

_DECLARATION = re.compile(rb"^<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._\-]{1,40})[\"']")
_BOM = b"\xef\xbb\xbf"


def escape(text: str) -> str:
    """`text` as an element's content, as xml.sax.saxutils does it; that imports urllib and http."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def strip_bom(data: bytes) -> tuple[bytes, bool]:
    """`data` without a UTF-8 byte order mark, and whether there was one."""
    return (data[3:], True) if data.startswith(_BOM) else (data, False)


def check_encoding(data: bytes) -> None:
    """Refuse all that is not UTF-8 in truth and by declaration.

    Raises: XmlError FG-XML-002 (UTF-16 or UTF-32), FG-XML-003 (declared otherwise),
    FG-XML-004 (bytes that are not UTF-8; says the line).
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in data[:4]:
        raise XmlError("FG-XML-002", line=1)
    declared = _DECLARATION.match(data)
    if declared and declared.group(1).lower() not in (b"utf-8", b"utf8", b"us-ascii"):
        raise XmlError("FG-XML-003", line=1, value=declared.group(1).decode("ascii"))
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise XmlError(
            "FG-XML-004", line=line, value=data[error.start : error.start + 4].hex()
        ) from None


class _OfThread(threading.local):
    """A parser is made once a thread: to make one costs as much as to parse a small document."""

    parser: etree.XMLParser | None = None


_own = _OfThread()


def _parser() -> etree.XMLParser:
    if _own.parser is None:
        _own.parser = etree.XMLParser(
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=False,
            strip_cdata=False,
        )
    return _own.parser


def streaming(schema: etree.XMLSchema) -> etree.XMLPullParser:
    """A parser to be fed bytes that `parse` has taken before; it judges them by a schema as they come.

    Whoever feeds it drops what it has read: `drop_read`.
    """
    return etree.XMLPullParser(
        events=("end",), schema=schema, resolve_entities=False, no_network=True, load_dtd=False
    )


def drop_read(parser: etree.XMLPullParser) -> None:
    """Free the elements that have ended, so that memory does not grow with the document."""
    events: Any = parser.read_events()
    for _, element in events:
        element.clear()
        parent = element.getparent()
        while parent is not None and element.getprevious() is not None:
            del parent[0]


def parse(data: bytes, *, max_bytes: int = 32 << 20) -> etree._Element:
    """Parse a whole document and return its root.

    data: UTF-8 without BOM. Raises: XmlError FG-XML-001 (not well formed), FG-XML-002..004
    (encoding), FG-XML-005 (DOCTYPE), FG-XML-006 (too deep or too many), FG-XML-007 (too large).
    """
    if len(data) > max_bytes:
        raise XmlError("FG-XML-007", size=len(data), limit=max_bytes)
    check_encoding(data)
    try:
        root = etree.fromstring(data, _parser())
    except etree.XMLSyntaxError as error:
        raise XmlError("FG-XML-001", line=error.lineno or 1, reason=error.msg or "") from None
    docinfo: Any = root.getroottree().docinfo
    if docinfo.doctype or docinfo.internalDTD is not None:
        raise XmlError("FG-XML-005", line=1)
    _check_shape(root, len(data))
    return root


def parse_plain(data: bytes, *, max_bytes: int = 32 << 20) -> etree._Element:
    """`parse`, and no comment or processing instruction anywhere.

    For what is signed: canonical forms leave comments out, so one could be put into signed text
    unseen and split it in two for whoever reads the tree. Raises: XmlError, also FG-XML-008.
    """
    root = parse(data, max_bytes=max_bytes)
    tree = root.getroottree()
    for node in tree.iter(etree.Comment, etree.ProcessingInstruction):
        raise XmlError("FG-XML-008", line=node.sourceline or 1)
    for outside in (root.getprevious(), root.getnext()):
        if outside is not None:
            raise XmlError("FG-XML-008", line=outside.sourceline or 1)
    return root


class _Only(etree.Resolver):
    """Answers from the documents given; all other addresses lead to an empty document."""

    def __init__(self, documents: Mapping[str, bytes]) -> None:
        self._documents = documents

    def resolve(self, system_url: str, public_id: str, context: Any = None) -> Any:
        found = self._documents.get(system_url)
        resolver: Any = self
        if found is None:
            return resolver.resolve_empty(context)
        return resolver.resolve_string(found, context, base_url=system_url)


def alone(data: bytes, documents: Mapping[str, bytes]) -> etree._Element:
    """Parse the program's own `data`, whose references are answered from `documents` alone.

    documents: by absolute address. Nothing is read from disk or network, also where lxml loads
    what a schema imports.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    parser.resolvers.add(_Only(documents))
    return etree.fromstring(data, parser)


_TOO_DEEP = etree.XPath(f"boolean({'/*' * (MAX_DEPTH + 1)})")
_COUNT = etree.XPath("count(//*)")


def _check_shape(root: etree._Element, size_bytes: int) -> None:
    """Asked of libxml2: a walk from here costs as much as the parsing. The shortest element, `<a/>`,
    has four bytes: a small document cannot have too many.
    """
    has_many = size_bytes > 4 * MAX_ELEMENTS and float(str(_COUNT(root))) > MAX_ELEMENTS
    if has_many or _TOO_DEEP(root):
        raise XmlError("FG-XML-006", depth=MAX_DEPTH, elements=MAX_ELEMENTS)


def canonical(element: etree._Element, *, exclusive: bool = True) -> bytes:
    """Canonical form of an element and all below it, without comments.

    exclusive: Exclusive XML Canonicalization 1.0; else Canonical XML 1.1. Raises: XmlError FG-XML-009
    where it has none: a namespace's name is a relative address (Canonical XML 1.1, section 1.3).
    """
    # lxml's "c14n" without `exclusive` is Canonical XML 1.0; for a subtree that carries no
    # xml:* attributes above it, its bytes are those of 1.1 (C14N 1.1, section 2.4).
    try:
        return etree.tostring(element, method="c14n", exclusive=exclusive, with_comments=False)
    except etree.C14NError:
        raise XmlError("FG-XML-009", line=element.sourceline or 1) from None
