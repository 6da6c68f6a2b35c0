"""The audit chain: every event carries the hash of all before it.

hash(n) = SHA-256( hash(n-1) || canonical JSON of {seq, at, kind, data} ), hash(0) = SHA-256 of the
node's name and epoch. Edit, removal, reorder and truncation behind an anchor are each detected;
an anchor is a (seq, head) that somebody else holds, such as a receipt.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Link:
    """One entry as stored. at: RFC 3339 UTC. data: canonical JSON text. head: 64 hex digits."""

    seq: int
    at: str
    kind: str
    data: str
    head: str


def canonical(data: Mapping[str, object]) -> str:
    """The one JSON text of `data`: sorted keys, no blanks, UTF-8 kept."""
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def genesis(node: str, epoch: int) -> str:
    """The head before the first event of an epoch."""
    return hashlib.sha256(f"frontgate audit\n{node}\n{epoch}\n".encode()).hexdigest()


def head_after(head: str, seq: int, at: str, kind: str, data: str) -> str:
    """The head after one more event."""
    body = f"{seq}\n{at}\n{kind}\n{data}".encode()
    return hashlib.sha256(bytes.fromhex(head) + body).hexdigest()


@dataclass(frozen=True, slots=True)
class Break:
    """Where a chain does not hold. seq: the first entry that is wrong or missing."""

    seq: int
    what: str


def verify(
    links: Iterable[Link], start: str, anchors: Mapping[int, str]
) -> tuple[int, list[Break]]:
    """Walk a chain in order of seq, from `start` (its genesis).

    anchors: seq → head as others hold it. Returns: the number of links walked and all breaks
    (the walk goes on from the stored head after a break, so that each break is named once).
    """
    head, expected, walked = start, 1, 0
    breaks: list[Break] = []
    open_anchors = dict(anchors)
    for link in links:
        walked += 1
        if link.seq != expected:
            breaks.append(Break(expected, "missing or out of order"))
        elif head_after(head, link.seq, link.at, link.kind, link.data) != link.head:
            breaks.append(Break(link.seq, "content does not match its hash"))
        anchor = open_anchors.pop(link.seq, None)
        if anchor is not None and anchor != link.head:
            breaks.append(Break(link.seq, "differs from the head that a receipt holds"))
        head, expected = link.head, link.seq + 1
    breaks.extend(Break(seq, "cut off: a receipt names this entry") for seq in sorted(open_anchors))
    return walked, breaks
