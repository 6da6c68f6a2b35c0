"""HTML elements for the pages of the handbook: trees of elements and text, escaped by construction."""

from __future__ import annotations

from collections.abc import Iterable

from lxml import etree

Node = etree._Element | str


def el(tag: str, *content: Node | Iterable[Node], **attributes: str) -> etree._Element:
    """An HTML element with children and text. `cls` stands for `class`."""
    node = etree.Element(tag)
    for name, value in attributes.items():
        node.set("class" if name == "cls" else name, value)
    for item in content:
        for child in [item] if isinstance(item, str | etree._Element) else item:
            _append(node, child)
    return node


def _append(node: etree._Element, child: Node) -> None:
    if isinstance(child, etree._Element):
        node.append(child)
    elif len(node):
        node[-1].tail = (node[-1].tail or "") + child
    else:
        node.text = (node.text or "") + child


def both(zh: str, en: str) -> tuple[Node, ...]:
    """Chinese, then English in its own colour."""
    return (zh, " " if zh else "", el("span", en, cls="en")) if en else (zh,)


def table(head: Iterable[str], rows: Iterable[Iterable[Node | Iterable[Node]]]) -> etree._Element:
    """A table; the first cell of each row is a name in fixed width."""
    top = el("table", el("tr", *(el("th", h) for h in head)))
    for row in rows:
        cells = list(row)
        top.append(el("tr", *(el("td", c, cls="w" if i else "n") for i, c in enumerate(cells))))
    return top
