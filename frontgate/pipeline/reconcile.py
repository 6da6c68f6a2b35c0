"""The conversation that holds a gateway's ledger and the hub's against each other.

Control messages `tally`, each complete in itself: nothing is remembered between two of them but days
and gaps, so a lost one costs the rest of that run and the next run begins anew.

    gateway  days      digests of its days                      (or the hub asks for it: run)
    hub      hours     days that agree; its digests of the hours of those that do not
    gateway  entries   hours that agree; what it has in those that do not, sorted, in ranges
    hub      ask       ranges that agree; ids that look different in the others
    gateway  views     what it knows of each of those ids by now
    hub      result    the gaps of each range, named by message
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from lxml import etree

from frontgate.core.reconcile import (
    Direction,
    Gap,
    Key,
    Outcome,
    Sum,
    Summing,
    View,
    span_of,
)
from frontgate.errors import SignatureError
from frontgate.journal.store import timestamp
from frontgate.model.message import CONTROL_MAP, CONTROL_NS
from frontgate.values import Struct, field

KIND = "tally"
STEPS = ("run", "days", "hours", "entries", "ask", "views", "result")
RANGE = 2000
"""Most entries of one range: about 300 kB of XML."""
MOST_ROWS = 20_000
"""More rows than this are not read from one message."""
MOST_BUCKETS = 4000
MOST_RANGES = 64

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")
_BUCKET = re.compile(r"\d{4}-\d{2}-\d{2}(T([01]\d|2[0-3]))?")
_WORD = re.compile(r"[A-Za-z0-9._:-]{0,80}")
_RUN = re.compile(r"[0-9a-f]{8,32}")


class Side(Protocol):
    """One side's ledger."""

    def entries(self, start: str, end: str, as_of: str) -> Iterator[tuple[str, Key, View]]:
        """(peer, key, view) of what counts in a span of hub time, sorted by message and receiver."""

    def view(self, key: Key, as_of: str) -> View:
        """What this side knows of one key."""


class Row(Struct, frozen=True):
    """One entry, asked id, view or gap. here: the sender of the message's word for it."""

    key: Key
    word: str = ""
    view: View | None = None
    gap: Gap | None = None
    hub_says: str = ""


class Range(Struct, frozen=True):
    """Rows of one hour and direction with MessageIds in (after, last]; last empty: to the end."""

    bucket: str
    direction: str
    after: str = ""
    last: str = ""
    rows: tuple[Row, ...] = ()


class Tally(Struct, frozen=True):
    """One message. buckets: (day or hour, direction, sum). agreed: (day or hour, direction)."""

    step: str
    run: str
    as_of: str
    buckets: tuple[tuple[str, str, Sum], ...] = ()
    agreed: tuple[tuple[str, str], ...] = ()
    ranges: tuple[Range, ...] = field(default=())


def write_tally(tally: Tally) -> etree._Element:
    """The body of the control message."""
    body = etree.Element(f"{{{CONTROL_NS}}}Tally", nsmap=CONTROL_MAP)
    body.set("step", tally.step)
    body.set("run", tally.run)
    body.set("asOf", tally.as_of)
    for bucket, direction, total in tally.buckets:
        _add(body, "Bucket", key=bucket, direction=direction, count=str(total.count),
             digest=total.digest)  # fmt: skip
    for bucket, direction in tally.agreed:
        _add(body, "Agreed", key=bucket, direction=direction)
    for part in tally.ranges:
        node = _add(body, "Range", key=part.bucket, direction=part.direction, after=part.after,
                    last=part.last)  # fmt: skip
        for row in part.rows:
            _add_row(node, row)
    return body


def _add_row(node: etree._Element, row: Row) -> None:
    made = _add(node, "Row", m=row.key.message_id, s=row.key.sender, r=row.key.receiver)
    if row.word:
        made.set("o", row.word)
    if row.view is not None:
        made.set("o", row.view.outcome.value)
        for name, value in (
            ("held", row.view.has_message),
            ("open", row.view.is_open),
            ("ended", row.view.is_ended),
        ):
            made.set(name, "1" if value else "0")
    if row.gap is not None:
        made.set("gap", row.gap.value)
        made.set("hub", row.hub_says)


def _add(parent: etree._Element, name: str, **attributes: str) -> etree._Element:
    node = etree.SubElement(parent, f"{{{CONTROL_NS}}}{name}")
    for key, value in attributes.items():
        node.set(key, value)
    return node


def read_tally(body: etree._Element) -> Tally:
    """Read the body of a verified control message. Raises: SignatureError FG-SIG-032."""
    try:
        if body.tag != f"{{{CONTROL_NS}}}Tally":
            raise ValueError(body.tag)
        step = body.get("step", "")
        if step not in STEPS:
            raise ValueError(step)
        return Tally(
            step,
            _matched(_RUN, body.get("run")),
            _matched(_TIME, body.get("asOf")),
            tuple(_sums(body)),
            tuple(
                (_bucket(n), Direction(n.get("direction", "")).value)
                for n in _children(body, "Agreed", MOST_BUCKETS)
            ),
            tuple(_ranges(body)),
        )
    except ValueError as error:
        raise SignatureError("FG-SIG-032", what="Tally", detail=str(error)[:200]) from None


def _children(node: etree._Element, name: str, most: int) -> Iterator[etree._Element]:
    for count, child in enumerate(node.iterchildren(f"{{{CONTROL_NS}}}{name}")):
        if count >= most:
            raise ValueError(f"over {most} {name}")
        yield child


def _matched(pattern: re.Pattern[str], text: str | None) -> str:
    if text is None or not pattern.fullmatch(text):
        raise ValueError(text)
    return text


def _bucket(node: etree._Element) -> str:
    found = _matched(_BUCKET, node.get("key"))
    span_of(found)
    return found


def _sums(body: etree._Element) -> Iterator[tuple[str, str, Sum]]:
    for node in _children(body, "Bucket", MOST_BUCKETS):
        count = int(_matched(re.compile(r"\d{1,12}"), node.get("count")))
        digest = _matched(re.compile(r"[0-9a-f]{64}"), node.get("digest"))
        yield _bucket(node), Direction(node.get("direction", "")).value, Sum(count, digest)


def _ranges(body: etree._Element) -> Iterator[Range]:
    rows = 0
    for node in _children(body, "Range", MOST_RANGES):
        direction = Direction(node.get("direction", "")).value
        found = tuple(_row(n, direction) for n in _children(node, "Row", MOST_ROWS))
        rows += len(found)
        if rows > MOST_ROWS:
            raise ValueError(f"over {MOST_ROWS} rows")
        yield Range(
            _bucket(node),
            direction,
            _matched(_WORD, node.get("after", "")),
            _matched(_WORD, node.get("last", "")),
            found,
        )


def _row(node: etree._Element, direction: str) -> Row:
    key = Key(
        _matched(_WORD, node.get("m")),
        _matched(_WORD, node.get("s")),
        direction,
        _matched(_WORD, node.get("r")),
    )
    word = node.get("o", "")
    view = None
    if node.get("held") is not None:
        flags = [node.get(name) == "1" for name in ("held", "open", "ended")]
        view = View(Outcome(word), *flags)
    gap = Gap(node.get("gap", "")) if node.get("gap") is not None else None
    return Row(key, word[:40], view, gap, node.get("hub", "")[:40])


# -- counting --------------------------------------------------------------------------------


def sums(side: Side, bucket: str, as_of: str) -> dict[tuple[str, str], Sum]:
    """(peer, direction) → digest of a day or hour, of all peers in one pass; memory per peer only."""
    made: dict[tuple[str, str], Summing] = {}
    for peer, key, view in _counted(side, bucket, as_of):
        made.setdefault((peer, key.direction), Summing()).add(key, view.word)
    return {pair: summing.done() for pair, summing in made.items()}


def listed(
    side: Side, peer: str, bucket: str, direction: str, as_of: str
) -> Iterator[tuple[Key, str]]:
    """(key, word) of what one peer's bucket holds, sorted."""
    for of_peer, key, view in _counted(side, bucket, as_of):
        if of_peer == peer and key.direction == direction:
            yield key, view.word


def _counted(side: Side, bucket: str, as_of: str) -> Iterator[tuple[str, Key, View]]:
    start, end = (timestamp(at) for at in span_of(bucket))
    if start < as_of:
        yield from side.entries(start, min(end, as_of), as_of)


def in_ranges(
    bucket: str,
    direction: str,
    rows: Iterable[tuple[Key, str]],
    *,
    after: str = "",
    until: str = "",
) -> Iterator[Range]:
    """Cut sorted entries into ranges that cover (after, until] without a hole.

    A range ends between two messages, never between two receivers of one.
    """
    kept: list[Row] = []
    for key, word in rows:
        if len(kept) >= RANGE and kept[-1].key.message_id != key.message_id:
            last = kept[-1].key.message_id
            yield Range(bucket, direction, after, last, tuple(kept))
            after, kept = last, []
        kept.append(Row(key, word))
    yield Range(bucket, direction, after, until, tuple(kept))


def lies_in(part: Range, message_id: str) -> bool:
    return message_id > part.after and (not part.last or message_id <= part.last)
