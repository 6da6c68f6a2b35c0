"""The sequence picture of a flow: one lane a role, one arrow a step, as inline SVG."""

from __future__ import annotations

from lxml import etree

from frontgate.standard.catalogue import Catalogue
from frontgate.standard.flows import Flow, Step

LANE, ROW, TOP = 150, 46, 56


def sequence(catalogue: Catalogue, flow: Flow) -> etree._Element:
    """SVG of the flow's steps in the order of its file; every text stands in the page as text.

    A step from several roles to several is one arrow from the first sender to the first receiver
    that is another, with the others' names under it.
    """
    lanes = _lanes(flow)
    width, height = LANE * len(lanes), TOP + ROW * len(flow.steps) + 20
    svg = etree.Element("svg", viewBox=f"0 0 {width} {height}", role="img")
    svg.set("aria-label", f"{flow.zh} {flow.en}")
    svg.set("width", str(width))
    for n, role in enumerate(lanes):
        x = LANE * n + LANE // 2
        known = catalogue.roles.get(role)
        _text(svg, x, 18, known.zh if known else role, "middle", bold=True)
        _text(svg, x, 34, known.en if known else role, "middle", size=10)
        _line(svg, x, 42, x, height - 8, "#99a", dashed=True)
    for n, step in enumerate(flow.steps.values()):
        _arrow(svg, lanes, step, TOP + ROW * n + 24)
    return svg


def _lanes(flow: Flow) -> list[str]:
    found: dict[str, None] = {}
    for step in flow.steps.values():
        sender, receiver = ends(step)
        found.setdefault(sender)
        found.setdefault(receiver)
    return list(found)


def ends(step: Step) -> tuple[str, str]:
    """The roles that stand for a step in the picture."""
    sender = step.from_roles[0]
    return sender, next((r for r in step.to_roles if r != sender), step.to_roles[0])


def _arrow(svg: etree._Element, lanes: list[str], step: Step, y: int) -> None:
    sender, receiver = ends(step)
    a, b = (LANE * lanes.index(r) + LANE // 2 for r in (sender, receiver))
    label = f"{step.name} {step.zh}"
    if a == b:  # between two units of one role
        _line(svg, a, y - 8, a + 36, y - 8, "#225")
        _line(svg, a + 36, y - 8, a + 36, y + 6, "#225")
        _line(svg, a + 36, y + 6, a + 6, y + 6, "#225")
        _head(svg, a + 2, y + 6, -1)
        _text(svg, a + 42, y + 2, label, "start")
        return
    way = 1 if b > a else -1
    _line(svg, a, y, b - way * 4, y, "#225")
    _head(svg, b, y, way)
    _text(svg, (a + b) // 2, y - 5, label, "middle")
    others = [r for r in (*step.from_roles, *step.to_roles) if r not in (sender, receiver)]
    if others:
        _text(svg, (a + b) // 2, y + 12, "/ " + " ".join(dict.fromkeys(others)), "middle", size=9)


def _head(svg: etree._Element, x: int, y: int, way: int) -> None:
    points = f"{x},{y} {x - way * 9},{y - 4} {x - way * 9},{y + 4}"
    etree.SubElement(svg, "polygon", points=points, fill="#225")


def _line(
    svg: etree._Element, x1: int, y1: int, x2: int, y2: int, colour: str, *, dashed: bool = False
) -> None:
    line = etree.SubElement(svg, "line", x1=str(x1), y1=str(y1), x2=str(x2), y2=str(y2))
    line.set("stroke", colour)
    if dashed:
        line.set("stroke-dasharray", "4 4")


def _text(
    svg: etree._Element,
    x: int,
    y: int,
    text: str,
    anchor: str,
    *,
    size: int = 12,
    bold: bool = False,
) -> None:
    node = etree.SubElement(svg, "text", x=str(x), y=str(y))
    node.set("text-anchor", anchor)
    node.set("font-size", str(size))
    if bold:
        node.set("font-weight", "bold")
    node.text = text
