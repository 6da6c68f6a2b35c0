"""Small readings of an lxml tree, in one place because lxml's types say too little of them."""

from __future__ import annotations

from typing import Any, cast

from lxml import etree

LINE_LIMIT = 65_535
"""libxml2 keeps lines in 16 bits; from there on it does not know them."""

_access: Any = etree.XSLTAccessControl  # its keywords are unknown to lxml-stubs
NO_ACCESS: etree.XSLTAccessControl = _access(
    read_file=False, write_file=False, create_dir=False, read_network=False, write_network=False
)
"""For every stylesheet: nothing outside the document is read or written."""


def line_of(element: etree._Element | None) -> int | None:
    """1-based line of the start tag; None where the parser does not know it."""
    line = cast("int | None", element.sourceline) if element is not None else None
    return line if line is not None and 0 < line < LINE_LIMIT else None


def text_of(element: etree._Element) -> str:
    """The element's own text, stripped. Comments split it; all pieces count, as for the schema."""
    text = element.text
    if not len(element):
        return text.strip() if text else ""
    pieces = [text or ""]
    pieces += [child.tail or "" for child in element]
    return "".join(pieces).strip()


def all_text(element: etree._Element) -> str:
    """The text of the element and all below it, white space run together."""
    return " ".join("".join(cast("Any", element.itertext())).split())


def select(element: etree._Element, path: str, names: dict[str, str]) -> list[Any]:
    """What an XPath finds, always as a list: elements, or strings, numbers and truths."""
    found = cast("Any", element.xpath(path, namespaces=names))
    return found if isinstance(found, list) else [found]
