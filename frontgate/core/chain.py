"""The audit chain: every event carries the hash of all before it.

hash(n) = SHA-256( hash(n-1) || canonical JSON of {seq, at, kind, data} ), hash(0) = SHA-256 of the
node's name and epoch. Edit, removal, reorder and truncation behind an anchor are each detected;
an anchor is a (seq, head) that somebody else holds, such as a receipt.

A restore begins a new epoch: its `epoch` entry follows from hash(0) of that epoch, names the last
(epoch, seq, hash) before it and is signed. What the node had done after its backup is another branch,
which receipts in the hands of others still prove.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from frontgate.values import Struct

EPOCH = "epoch"
"""The kind of the entry that opens an epoch after a restore."""
NUMBERS_A_SECOND = 1_000_000
"""An epoch is the second in which it began; numbers that a peer counts begin at this times it."""


class Link(Struct, frozen=True):
    """One entry as stored. at: RFC 3339 UTC. data: canonical JSON text. head: 64 hex digits."""

    seq: int
    at: str
    kind: str
    data: str
    head: str


_JSON = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def canonical(data: Mapping[str, object]) -> str:
    """The one JSON text of `data`: sorted keys, no blanks, UTF-8 kept."""
    return _JSON.encode(data)


def genesis(node: str, epoch: int) -> str:
    """The head before the first event of an epoch."""
    return hashlib.sha256(f"frontgate audit\n{node}\n{epoch}\n".encode()).hexdigest()


def head_after(head: str, seq: int, at: str, kind: str, data: str) -> str:
    """The head after one more event."""
    body = f"{seq}\n{at}\n{kind}\n{data}".encode()
    return hashlib.sha256(bytes.fromhex(head) + body).hexdigest()


class Break(Struct, frozen=True):
    """Where a chain does not hold. seq: the first entry that is wrong or missing."""

    seq: int
    what: str


class Epoch(Struct, frozen=True):
    """A stretch of a chain between two restores. last_seq: 0 while it is the present one."""

    number: int
    first_seq: int
    last_seq: int = 0


Judge = Callable[[Link, Mapping[str, object]], str]
"""Says why the signed document of an `epoch` entry does not hold; empty if it does."""


@dataclass(slots=True)
class Walk:
    """The result of walking a chain: how far it came, what broke, which epochs it has."""

    seq: int
    head: str
    epochs: list[Epoch]
    walked: int = 0
    breaks: list[Break] = field(default_factory=list)

    def step(self, link: Link, node: str, judge: Judge | None) -> None:
        """Take the next entry. After a break the walk goes on from the stored head."""
        self.walked += 1
        if link.seq != self.seq + 1:
            self.breaks.append(Break(self.seq + 1, "missing or out of order"))
        before = self.head
        if link.kind == EPOCH:
            before = self._begin_epoch(link, node, judge)
        if head_after(before, link.seq, link.at, link.kind, link.data) != link.head and not (
            self.breaks and self.breaks[-1].seq == self.seq + 1
        ):
            self.breaks.append(Break(link.seq, "content does not match its hash"))
        self.head, self.seq = link.head, link.seq

    def _begin_epoch(self, link: Link, node: str, judge: Judge | None) -> str:
        """A restore: a new genesis, which names the last head before it. Returns: that genesis."""
        old = self.epochs[-1]
        try:
            data = json.loads(link.data)
            number = int(data["epoch"])
            named = (data["previous_epoch"], data["previous_seq"], data["previous_head"])
        except (ValueError, KeyError, TypeError):
            self.breaks.append(Break(link.seq, "an epoch that cannot be read"))
            return self.head
        if number <= old.number or named != (old.number, self.seq, self.head):
            self.breaks.append(Break(link.seq, "an epoch that does not follow the one before"))
        why = judge(link, data) if judge is not None else ""
        if why:
            self.breaks.append(Break(link.seq, why))
        self.epochs[-1] = Epoch(old.number, old.first_seq, link.seq - 1)
        self.epochs.append(Epoch(number, link.seq))
        return genesis(node, number)


def verify(
    links: Iterable[Link], start: str, anchors: Mapping[int, str]
) -> tuple[int, list[Break]]:
    """Walk a chain of one epoch in order of seq, from `start` (its genesis).

    anchors: seq → head as others hold it. Returns: the number of links walked and all breaks
    (the walk goes on from the stored head after a break, so that each break is named once).
    """
    walk = Walk(0, start, [Epoch(0, 1)])
    hold(walk, links, sorted(anchors.items()), "", None)
    return walk.walked, walk.breaks


def hold(
    walk: Walk,
    links: Iterable[Link],
    anchors: Iterable[tuple[int, str]],
    node: str,
    judge: Judge | None,
) -> None:
    """Walk on over `links` and hold them against anchors, both in order of seq.

    An anchor is a (seq, head) that somebody else holds. Memory is constant in both.
    """
    waiting = iter(anchors)
    anchor = next(waiting, None)
    for link in links:
        walk.step(link, node, judge)
        while anchor is not None and anchor[0] <= link.seq:
            if anchor[0] == link.seq and anchor[1] != link.head:
                walk.breaks.append(Break(link.seq, "differs from the head that a receipt holds"))
            anchor = next(waiting, None)
    while anchor is not None:
        walk.breaks.append(Break(anchor[0], "cut off: a receipt names this entry"))
        anchor = next(waiting, None)
