"""Reading and proving the audit chain."""

from __future__ import annotations

from collections.abc import Iterator

from frontgate.core import chain
from frontgate.journal.store import Reader


def links(reader: Reader, *, after: int = 0, limit: int = -1) -> Iterator[chain.Link]:
    """Stream the chain's entries in order."""
    for row in reader.each(
        "SELECT seq, at, kind, data, head FROM event WHERE seq > ? ORDER BY seq LIMIT ?",
        after,
        limit,
    ):
        yield chain.Link(int(row[0]), str(row[1]), str(row[2]), str(row[3]), str(row[4]))


def verify(reader: Reader) -> tuple[int, list[chain.Break]]:
    """Walk the whole chain against its own hashes and against every receipt of this node's issue
    that the journal keeps. Returns: entries walked and all breaks.
    """
    node = reader.meta("node") or ""
    epoch = int(reader.meta("epoch") or "1")
    unit = node.partition(":")[2]
    role = node.partition(":")[0]
    anchors = {
        int(seq): str(head)
        for seq, head in reader.all(
            "SELECT audit_seq, audit_head FROM receipt WHERE issuer_node = ? AND (issuer = ? OR ? = '')",
            role,
            unit,
            unit,
        )
    }
    return chain.verify(links(reader), chain.genesis(node, epoch), anchors)
