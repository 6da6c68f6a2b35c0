"""Reading and proving the audit chain: its epochs, its checkpoints, what others hold of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from frontgate.core import chain, minting
from frontgate.journal.store import Journal, Reader
from frontgate.values import Struct

UNITS = "units"
"""Meta key: all units that ever signed receipts on this node, separated by blanks."""


def remember_units(journal: Journal, units: Sequence[str]) -> None:
    """Note whose receipts are anchors of this chain."""
    reader = journal.reader()
    noted = (reader.meta(UNITS) or "").split()
    reader.close()
    if set(units) <= set(noted):
        return
    with journal.write() as tx:
        tx.set_meta(UNITS, " ".join(dict.fromkeys([*noted, *units])))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The signed border of an archive: the chain's head at `seq`. xml: the signed document."""

    number: int
    name: str
    seq: int
    head: str
    epoch: int
    digest: str
    xml: bytes = field(repr=False)


class Examination(Struct, frozen=True):
    """What walking a node's chain found.

    begins_at: first entry that is still in the journal; those before are in archives. lost: how many
    own receipts name entries that a restore cut off (no break: the epoch says so itself).
    """

    walked: int
    begins_at: int
    epochs: tuple[chain.Epoch, ...]
    lost: int
    breaks: tuple[chain.Break, ...]


def links(reader: Reader, *, after: int = 0, limit: int = -1) -> Iterator[chain.Link]:
    """Stream the chain's entries in order."""
    for row in reader.each(
        "SELECT seq, at, kind, data, head FROM event WHERE seq > ? ORDER BY seq LIMIT ?",
        after,
        limit,
    ):
        yield chain.Link(int(row[0]), str(row[1]), str(row[2]), str(row[3]), str(row[4]))


def checkpoints(reader: Reader) -> list[Checkpoint]:
    """The borders of all archives, oldest first."""
    rows = reader.all(
        "SELECT number, name, event_to, event_head, epoch, digest, xml FROM archive ORDER BY number"
    )
    return [
        Checkpoint(int(r[0]), str(r[1]), int(r[2]), str(r[3]), int(r[4]), str(r[5]), bytes(r[6]))
        for r in rows
    ]


def verify(reader: Reader) -> tuple[int, list[chain.Break]]:
    """Walk the whole chain against its own hashes and against every receipt of this node's issue
    that the journal keeps. Returns: entries walked and all breaks.
    """
    found = examine(reader)
    return found.walked, list(found.breaks)


def examine(
    reader: Reader,
    judge: chain.Judge | None = None,
    *,
    archived: Callable[[], Iterator[chain.Link]] | None = None,
) -> Examination:
    """Walk what the journal has of the chain, from its genesis or from the newest checkpoint whose
    entries were removed. judge: holds the signed document of an epoch to be its node's. archived:
    streams the entries of all archives; then the walk begins at the first one ever.
    """
    node = reader.meta("node") or ""
    walk = _start(reader, node, checkpoints(reader), from_first=archived is not None)
    begins_at = walk.seq + 1
    found = links(reader, after=walk.seq)
    known = _epoch_links(reader)
    if archived is not None:
        last = max((b.seq for b in checkpoints(reader)), default=0)
        found = itertools.chain(archived(), links(reader, after=last))
        known = [k for k in archived() if k.kind == chain.EPOCH] + [
            k for k in known if k.seq > last
        ]
    lost = _Lost()
    anchors = _sorted_anchors(reader, node, _epochs(known, walk.epochs[0]), begins_at, lost)
    # The anchors' statement begins first: entries that a daemon adds meanwhile do no harm.
    chain.hold(walk, found, anchors, node, judge)
    return Examination(walk.walked, begins_at, tuple(walk.epochs), lost.count, tuple(walk.breaks))


def _start(reader: Reader, node: str, borders: list[Checkpoint], *, from_first: bool) -> chain.Walk:
    first = reader.one("SELECT min(seq) FROM event")
    first_epoch = int(reader.meta("first-epoch") or reader.meta("epoch") or "1")
    seq = int(first[0] or 1) if first else 1
    # Entries go in small transactions: between two of them some behind a border are still there.
    for border in borders if seq > 1 and not from_first else ():
        if border.seq + 1 >= seq:
            return chain.Walk(border.seq, border.head, [chain.Epoch(border.epoch, 1)])
    return chain.Walk(0, chain.genesis(node, first_epoch), [chain.Epoch(first_epoch, 1)])


def _epoch_links(reader: Reader) -> list[chain.Link]:
    rows = reader.all(
        "SELECT seq, at, kind, data, head FROM event WHERE kind = ? ORDER BY seq", chain.EPOCH
    )
    return [chain.Link(int(r[0]), str(r[1]), str(r[2]), str(r[3]), str(r[4])) for r in rows]


def _epochs(opened: list[chain.Link], first: chain.Epoch) -> list[chain.Epoch]:
    """The epochs of a walk, with the entries that each covers."""
    found = [first]
    for link in opened:
        if link.seq <= first.first_seq:
            continue
        try:
            number = int(json.loads(link.data)["epoch"])
        except (ValueError, KeyError, TypeError):
            continue  # the walk itself names it
        found[-1] = chain.Epoch(found[-1].number, found[-1].first_seq, link.seq - 1)
        found.append(chain.Epoch(number, link.seq))
    return found


@dataclass(slots=True)
class _Lost:
    count: int = 0


def _sorted_anchors(
    reader: Reader, node: str, epochs: list[chain.Epoch], begins_at: int, lost: _Lost
) -> Iterator[tuple[int, str]]:
    """(seq, head) of this node's own receipts and checkpoints, in order of seq.

    A receipt's id tells its epoch. One whose entry was cut off by a restore is only counted.
    """
    role, _, unit = node.partition(":")
    own = {unit, *(reader.meta(UNITS) or "").split()}
    rows = reader.db.execute(
        "SELECT audit_seq, audit_head, receipt_id, issuer FROM receipt WHERE issuer_node = ?"
        " AND audit_seq >= ? UNION ALL SELECT event_to, event_head, '', '' FROM archive"
        " WHERE event_to >= ? ORDER BY 1",
        (role, begins_at, begins_at),
    )
    for seq, head, receipt_id, issuer in rows:
        seq = int(seq)
        if not receipt_id:
            yield seq, str(head)
            continue
        if unit and issuer not in own:
            continue  # another gateway's
        name = f"{role}:{issuer}"
        epoch = next(
            (e for e in epochs if minting.receipt_id(name, seq, e.number) == receipt_id), None
        )
        if epoch is None:
            continue  # of a journal that this one replaced, or of an epoch that is archived whole
        if epoch.last_seq and seq > epoch.last_seq:
            lost.count += 1
        else:
            yield seq, str(head)
