"""Small charts as SVG, drawn here: they need no script, print well and take their colours from the
stylesheet. Series over time are drawn by uPlot from the table that stands below them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from lxml import etree
from markupsafe import Markup

ROW, LABEL, WIDTH, TOP = 26, 220, 720, 4


def bars(rows: Sequence[tuple[str, int]], title: str) -> Markup:
    """Horizontal bars with their numbers as text; empty for no rows."""
    if not rows:
        return Markup("")
    most = max(max(value for _, value in rows), 1)
    height = TOP * 2 + ROW * len(rows)
    svg = etree.Element("svg", viewBox=f"0 0 {WIDTH} {height}", role="img")
    svg.set("class", "chart")
    svg.set("width", str(WIDTH))
    svg.set("aria-label", title)
    room = WIDTH - LABEL - 80
    for n, (name, value) in enumerate(rows):
        y = TOP + ROW * n
        label(svg, LABEL - 10, y + 17, shortened(name, 30), "end")
        wide = max(round(room * value / most), 1 if value else 0)
        box(svg, LABEL, y + 5, wide, ROW - 10, "bar")
        label(svg, LABEL + wide + 8, y + 17, f"{value:,}", "start", "number")
    return markup(svg)


def box(
    parent: etree._Element, x: float, y: float, width: float, height: float, cls: str
) -> etree._Element:
    node = etree.SubElement(
        parent, "rect", x=f"{x:g}", y=f"{y:g}", width=f"{width:g}", height=f"{height:g}"
    )
    node.set("class", cls)
    return node


def label(
    parent: etree._Element, x: float, y: float, text: str, anchor: str = "start", cls: str = ""
) -> etree._Element:
    node = etree.SubElement(parent, "text", x=f"{x:g}", y=f"{y:g}")
    node.set("text-anchor", anchor)
    if cls:
        node.set("class", cls)
    node.text = text
    return node


def markup(svg: etree._Element) -> Markup:
    """The picture for a template: built as a tree, so every text in it is escaped."""
    return Markup(etree.tostring(svg, method="html", encoding="unicode"))  # noqa: S704


def columns(text: str) -> int:
    """Width in half-width columns: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def shortened(text: str, most: int) -> str:
    """`text`, cut to `most` columns with an ellipsis."""
    if columns(text) <= most:
        return text
    kept, wide = "", 1
    for character in text:
        wide += columns(character)
        if wide > most:
            break
        kept += character
    return kept + "…"
