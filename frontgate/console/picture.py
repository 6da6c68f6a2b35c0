"""The course of a case as a picture: a lane a unit, a mark a message, a bar a deadline.

Time runs from left to right. Marks stand in order with equal room, so that a busy day can be read
as well as a quiet month; what lies between them is placed in proportion. Shapes say what colours
say: ○ step, ◇ decision, △ flagged; a dashed line was not delivered yet; a bar's end is its term.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from lxml import etree
from markupsafe import Markup

from frontgate.cases.records import Deadline, Node, Timeline
from frontgate.cases.times import last_of_term
from frontgate.console.charts import box, columns, label, markup, shortened
from frontgate.values import Struct

GUTTER, LANE, HEAD, BAR = 190, 58, 44, 24
NARROWEST, WIDEST, WANTED = 62.0, 150.0, 1020.0
"""Room between two marks; the picture fills the page where it has few of them."""
MOST_NODES, MOST_BARS = 120, 24
LEGAL_TIME = timezone(timedelta(hours=8))


class Words(Struct, frozen=True):
    """How the picture names things, in one language."""

    unit: Callable[[str], str]
    step: Callable[[str], str]
    rule: Callable[[str, str], str]
    person: Callable[[str], str]
    text: Callable[[str], str]


class Scale:
    """Instants → x. anchors: instants with equal room between them, sorted and different."""

    def __init__(self, anchors: Sequence[str], begin: float, step: float) -> None:
        self._at = [_seconds(a) for a in anchors]
        self._begin, self._step = begin, step

    def x(self, stamp: str) -> float:
        at, known = _seconds(stamp), self._at
        n = bisect_right(known, at)
        if n == 0:
            return self._begin - self._step / 2
        if n == len(known):
            over = 0.0 if at == known[-1] else self._step / 2
            return self._begin + self._step * (n - 1) + over
        share = (at - known[n - 1]) / (known[n] - known[n - 1])
        return self._begin + self._step * (n - 1 + share)

    @property
    def end(self) -> float:
        return self._begin + self._step * max(len(self._at) - 1, 0)


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def state_of(deadline: Deadline, now: str) -> str:
    """The state of a term as people are told it: with `due-soon`, `overdue` and `lapsed`."""
    level = deadline.level(now)
    return {"": deadline.state, "red": "due-soon", "yellow": "due-soon"}.get(level, level)


def course(timeline: Timeline, now: str, words: Words) -> Markup:
    """The picture; empty for a case without messages."""
    nodes = timeline.nodes[-MOST_NODES:]
    if not nodes:
        return Markup("")
    bars = _bars(timeline.deadlines, nodes[0].effective_at, now)
    ahead = {d.due_at for d in bars if d.state == "open" and d.due_at > nodes[-1].effective_at}
    anchors = sorted({n.effective_at for n in nodes} | ahead | {now})
    room = min(max((WANTED - GUTTER) / (len(anchors) + 1), NARROWEST), WIDEST)
    scale = Scale(anchors, GUTTER + room * 0.8, room)
    lanes = _lanes(nodes)
    width = scale.end + room * 1.2
    height = HEAD + LANE * len(lanes) + (BAR * len(bars) + 34 if bars else 0) + 8
    svg = etree.Element("svg", viewBox=f"0 0 {width:g} {height:g}", width=f"{width:g}")
    svg.set("height", f"{height:g}")
    svg.set("role", "group")
    svg.set("aria-label", words.text("case.picture"))
    _draw_lanes(svg, lanes, width, words)
    _draw_days(svg, [n.effective_at for n in nodes], scale, height)
    _draw_now(svg, scale.x(now), height, words)
    for node in nodes:
        _draw_node(svg, node, lanes, scale, words)
    top = HEAD + LANE * len(lanes) + 26
    if bars:
        label(svg, 12, top - 8, words.text("case.terms"), "start", "lane-name")
    for n, deadline in enumerate(bars):
        _draw_bar(svg, deadline, top + BAR * n, scale, now, words)
    return markup(svg)


def is_part(timeline: Timeline) -> bool:
    """Whether the picture leaves out messages or terms that the tables below it have."""
    terms = sum(d.state != "cancelled" for d in timeline.deadlines)
    cut = timeline.left_off.keys() & {"deadlines", "instances"}
    return bool(cut) or timeline.total > min(len(timeline.nodes), MOST_NODES) or terms > MOST_BARS


def _bars(deadlines: Sequence[Deadline], since: str, now: str) -> list[Deadline]:
    """What runs comes first, the most urgent before the rest; then what ended last."""
    rank = {"overdue": 0, "due-soon": 1, "open": 2, "paused": 3}
    shown = [d for d in deadlines if d.state != "cancelled" and (d.stop_at or now) >= since]
    shown.sort(key=lambda d: (rank.get(state_of(d, now), 4), d.due_at))
    return sorted(shown[:MOST_BARS], key=lambda d: d.start_at)


def _lanes(nodes: Sequence[Node]) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in nodes:
        for unit in (node.sender, *(r.unit for r in node.receivers)):
            found.setdefault(unit, len(found))
    return found


def _draw_lanes(svg: Any, lanes: dict[str, int], width: float, words: Words) -> None:
    for unit, n in lanes.items():
        y = HEAD + LANE * n
        box(svg, 0, y, width, LANE, f"lane-ground{' odd' if n % 2 else ''}")
        line(svg, 0, y, width, y, "lane")
        label(svg, 12, y + LANE / 2 + 5, shortened(words.unit(unit), 24), "start", "lane-name")
    line(svg, 0, HEAD + LANE * len(lanes), width, HEAD + LANE * len(lanes), "lane")


def _draw_days(svg: Any, stamps: Sequence[str], scale: Scale, height: float) -> None:
    """A line and a date where a new day begins; the year where it changes."""
    last = ""
    free = 0.0
    for stamp in stamps:
        day = datetime.fromisoformat(stamp).astimezone(LEGAL_TIME).strftime("%Y-%m-%d")
        if day == last:
            continue
        x = scale.x(stamp)
        line(svg, x, HEAD - 8, x, height - 6, "grid-line")
        if x >= free:
            text = day if day[:4] != last[:4] else day[5:]
            label(svg, x, HEAD - 16, text, "middle", "small")
            free = x + (70 if len(text) > 5 else 44)
        last = day


def _draw_now(svg: Any, x: float, height: float, words: Words) -> None:
    line(svg, x, HEAD - 4, x, height - 6, "today")
    label(svg, x, 12, words.text("case.today"), "middle", "small")


def _draw_node(svg: Any, node: Node, lanes: dict[str, int], scale: Scale, words: Words) -> None:
    x = scale.x(node.effective_at)
    y = HEAD + LANE * lanes[node.sender] + LANE / 2 + 6
    for received in node.receivers:
        to = HEAD + LANE * lanes[received.unit] + LANE / 2 + 6
        if to == y:
            continue
        way = 1 if to > y else -1
        flow = line(svg, x, y, x, to - way * 6, "flowline")
        if not received.delivered_at:
            flow.set("stroke-dasharray", "4 4")
        head = etree.SubElement(svg, "polygon")
        head.set("points", f"{x:g},{to:g} {x - 5:g},{to - way * 9:g} {x + 5:g},{to - way * 9:g}")
        head.set("class", "flowhead")
    link = etree.SubElement(svg, "a", href=f"#m{node.id}")
    title = f"{words.step(node.type)} · {words.unit(node.sender)} · {_time(node.effective_at)}"
    link.set("aria-label", title)
    etree.SubElement(link, "title").text = title
    _mark(link, node, x, y)
    label(link, x, y - 13, shortened(words.step(node.type), 11), "middle", "small")


def _mark(parent: Any, node: Node, x: float, y: float) -> None:
    if node.is_outside or node.is_sequence or any(r.failed_at for r in node.receivers):
        shape = etree.SubElement(parent, "polygon")
        shape.set("points", f"{x:g},{y - 8:g} {x + 8:g},{y + 6:g} {x - 8:g},{y + 6:g}")
        failed = any(r.failed_at and not r.delivered_at for r in node.receivers)
        shape.set("class", "node failed" if failed else "node flagged")
    elif node.outcomes:
        shape = etree.SubElement(parent, "polygon")
        shape.set("points", f"{x:g},{y - 9:g} {x + 9:g},{y:g} {x:g},{y + 9:g} {x - 9:g},{y:g}")
        shape.set("class", "node decided")
    else:
        shape = etree.SubElement(parent, "circle", cx=f"{x:g}", cy=f"{y:g}", r="7")
        shape.set("class", "node")


BAR_CLASS = {"overdue": "late", "due-soon": "soon", "met": "met", "met-late": "late"}
BAR_SIGN = {"overdue": "■", "due-soon": "▲", "met": "●", "met-late": "▲", "paused": "‖"}


def _draw_bar(svg: Any, deadline: Deadline, y: float, scale: Scale, now: str, words: Words) -> None:
    state = state_of(deadline, now)
    name = words.rule(deadline.rule, deadline.part)
    who = words.person(deadline.subject)
    shown = f"{shortened(name, 27 - min(columns(who) + 2, 12))} {shortened(who, 10)}".rstrip()
    label(svg, GUTTER - 8, y + 15, shown, "end", "small")
    # A term may end before what it counts from: so many days ahead of a date.
    begin = scale.x(min(deadline.start_at, deadline.due_at))
    end = scale.x(
        deadline.stop_at or max(deadline.due_at, min(now, deadline.start_at), _late(deadline, now))
    )
    group = etree.SubElement(svg, "g")
    title = f"{name} {who} · {words.text('due.' + state)} · {last_of_term(deadline.due_at)}"
    etree.SubElement(group, "title").text = title
    cls = BAR_CLASS.get(state, "paused" if deadline.state == "paused" else "")
    box(group, begin, y + 5, max(end - begin, 3), 12, f"due-bar {cls}".strip()).set("rx", "3")
    due = scale.x(deadline.due_at)
    line(group, due, y + 2, due, y + 20, "due-mark")
    label(group, max(end, due) + 5, y + 15, BAR_SIGN.get(state, "○"), "start", "small")


def _late(deadline: Deadline, now: str) -> str:
    """An open term that is past runs on until today."""
    return now if deadline.state == "open" and now > deadline.due_at else ""


def line(parent: Any, x1: float, y1: float, x2: float, y2: float, cls: str) -> Any:
    node = etree.SubElement(parent, "line", x1=f"{x1:g}", y1=f"{y1:g}", x2=f"{x2:g}", y2=f"{y2:g}")
    node.set("class", cls)
    return node


def _time(stamp: str) -> str:
    return datetime.fromisoformat(stamp).astimezone(LEGAL_TIME).strftime("%Y-%m-%d %H:%M")
