"""Resynchronising in the journal: what was asked of a peer, what is being told it, and the pages of it.

Everything is journaled, so that a crash in the middle goes on where it was; everything that is told
twice is recognised by whoever gets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from frontgate.journal.store import Reader, Tx
from frontgate.values import Struct

PAGE = 200


class Row(Struct, frozen=True):
    """One resync. epoch: of the node that asked. since_epoch, since_seq, since_at: what it knew last."""

    peer: str
    side: str
    epoch: int
    state: str
    since_epoch: int
    since_seq: int
    since_at: str
    cursor: int
    receipts: int
    packages: int
    missing: int
    began_at: str
    ended_at: str


_COLUMNS = (
    "peer, side, epoch, state, since_epoch, since_seq, since_at, cursor, receipts, packages, missing, began_at,"
    " ended_at"
)


def _rows(source: Tx | Reader, where: str, *values: object) -> list[Row]:
    found = source.all(f"SELECT {_COLUMNS} FROM resync WHERE {where}", *values)  # noqa: S608
    return [Row(*r) for r in found]


def find(source: Tx | Reader, peer: str, side: str) -> Row | None:
    """side: `asked` or `served`."""
    rows = _rows(source, "peer = ? AND side = ?", peer, side)
    return rows[0] if rows else None


def of_side(source: Tx | Reader, side: str) -> list[Row]:
    return _rows(source, "side = ? ORDER BY peer", side)


def begin(
    tx: Tx, peer: str, side: str, *, epoch: int, since_epoch: int, since_seq: int, since_at: str
) -> None:
    """Open a resync; an earlier one with that peer is over."""
    tx.run(
        "INSERT OR REPLACE INTO resync (peer, side, epoch, state, since_epoch, since_seq, since_at,"
        " began_at) VALUES (?, ?, ?, 'open', ?, ?, ?, ?)",
        peer,
        side,
        epoch,
        since_epoch,
        since_seq,
        since_at,
        tx.now_at,
    )


def advance(
    tx: Tx, row: Row, *, cursor: int, receipts: int, packages: int, missing: int, drained: bool
) -> None:
    """One page was queued. drained: it was the last one."""
    tx.run(
        "UPDATE resync SET cursor = ?, receipts = receipts + ?, packages = packages + ?,"
        " missing = missing + ?, state = ? WHERE peer = ? AND side = 'served'",
        cursor,
        receipts,
        packages,
        missing,
        "draining" if drained else "open",
        row.peer,
    )


def answered(tx: Tx, peer: str) -> None:
    """The answer is queued; packages wait until it has left, so that it does not ride with one."""
    tx.run("UPDATE resync SET state = 'answered' WHERE peer = ? AND side = 'served'", peer)


def has_left(source: Tx | Reader, destination: str, suffix: str) -> bool:
    """Whether no control message of that kind waits for a bundle."""
    return (
        source.one(
            "SELECT 1 FROM control_out WHERE destination = ? AND bundle_id = ''"
            " AND substr(name, -length(?)) = ? LIMIT 1",
            destination,
            suffix,
            suffix,
        )
        is None
    )


def close(tx: Tx, peer: str, side: str, *, counts: tuple[int, int, int] | None = None) -> None:
    """The resync is over. counts: (receipts, packages, missing) as the peer told them."""
    tx.run(
        "UPDATE resync SET state = 'closed', ended_at = ? WHERE peer = ? AND side = ?",
        tx.now_at,
        peer,
        side,
    )
    if counts is not None:
        tx.run(
            "UPDATE resync SET receipts = ?, packages = ?, missing = ? WHERE peer = ? AND side = ?",
            *counts,
            peer,
            side,
        )


def holds_packages(source: Tx | Reader, destination: str) -> bool:
    """Whether packages for `destination` wait until all receipts it asked for have left."""
    return (
        source.one(
            "SELECT 1 FROM resync WHERE peer = ? AND side = 'served' AND state <> 'closed'",
            destination,
        )
        is not None
    )


def is_drained(source: Tx | Reader, destination: str, up_to_receipt: int) -> bool:
    """Whether all receipts up to a row have been put into bundles for `destination`."""
    return (
        source.one(
            "SELECT 1 FROM receipt_out WHERE destination = ? AND bundle_id = '' AND receipt <= ?"
            " LIMIT 1",
            destination,
            up_to_receipt,
        )
        is None
    )


def newest_receipt(source: Tx | Reader) -> int:
    row = source.one("SELECT max(id) FROM receipt")
    return int(row[0] or 0) if row else 0


def receipts_page(
    source: Tx | Reader, after: int, since_at: str, units: Sequence[str]
) -> list[tuple[Any, ...]]:
    """(id, kind, issuer, issuer_node, receipt_id, audit_seq, kept_at, package_id) of receipts after a
    row that the hub, or one of `units` since then, issued.
    """
    marks = ", ".join("?" for _ in units)
    return source.all(
        "SELECT id, kind, issuer, issuer_node, receipt_id, audit_seq, kept_at, package_id FROM receipt"  # noqa: S608
        f" WHERE id > ? AND ((issuer_node = 'gateway' AND issuer IN ({marks}) AND kept_at >= ?)"
        " OR issuer_node = 'hub') ORDER BY id LIMIT ?",
        after,
        *units,
        since_at,
        PAGE,
    )


def packages_page(
    source: Tx | Reader, after: int, since_at: str, units: Sequence[str], peer: str
) -> list[tuple[int, str]]:
    """(id, sender) of packages after a row that `units` sent, or that go to `peer`:
    those made since then, and older ones that the case software has not taken.
    """
    marks = ", ".join("?" for _ in units)
    rows = source.all(
        "SELECT p.id, p.sender FROM package p NOT INDEXED WHERE p.id > ?"  # noqa: S608
        f" AND p.direction = 'in' AND ((p.sender IN ({marks}) AND p.made_at >= ?)"
        "  OR EXISTS (SELECT 1 FROM transfer t WHERE t.package_id = p.id AND t.destination = ?"
        "   AND (p.made_at >= ? OR NOT EXISTS (SELECT 1 FROM receipt r WHERE r.package_id = p.id"
        "    AND r.receiver = t.receiver AND r.kind IN ('handed-over', 'relay-failed',"
        "    'delivery-failed'))))) ORDER BY p.id LIMIT ?",
        after,
        *units,
        since_at,
        peer,
        since_at,
        PAGE,
    )
    return [(int(r[0]), str(r[1])) for r in rows]


def receipts_of(source: Tx | Reader, package_id: int) -> list[tuple[int, str, str, str]]:
    """(row, kind, issuer_node, receiver) of a package's receipts, in order."""
    rows = source.all(
        "SELECT id, kind, issuer_node, receiver FROM receipt WHERE package_id = ? ORDER BY id",
        package_id,
    )
    return [(int(r[0]), str(r[1]), str(r[2]), str(r[3])) for r in rows]


def unbound(
    source: Tx | Reader, sender: str, message_id: str
) -> list[tuple[int, str, str, str, str, bytes]]:
    """(row, kind, issuer, issuer_node, receiver, xml) of kept receipts without a package."""
    rows = source.all(
        # Of one message there are few; without a package, or in order of id, there may be very many.
        "SELECT id, kind, issuer, issuer_node, receiver, xml FROM receipt INDEXED BY receipt_message"
        " WHERE message_id = ? AND sender = ? AND package_id IS NULL ORDER BY id",
        message_id,
        sender,
    )
    return [(int(r[0]), str(r[1]), str(r[2]), str(r[3]), str(r[4]), bytes(r[5])) for r in rows]


def without_package(source: Tx | Reader, limit: int) -> list[str]:
    """MessageIds that this hub had accepted and whose packages are not here (any more, or yet)."""
    rows = source.all(
        "SELECT DISTINCT message_id FROM receipt INDEXED BY receipt_package WHERE package_id IS NULL"
        " AND issuer_node = 'hub' AND kind = 'relay-accepted' ORDER BY id LIMIT ?",
        limit,
    )
    return [str(r[0]) for r in rows]


def attach(
    tx: Tx,
    package_id: int,
    recipients: Sequence[str],
    segment_id: int,
    offset: int,
    size_bytes: int,
    digest: str,
) -> None:
    """Give the row of a known message the bytes that came for it."""
    tx.run(
        "UPDATE package SET recipients = ?, segment_id = ?, offset_bytes = ?, size_bytes = ?,"
        " digest = ? WHERE id = ? AND segment_id IS NULL",
        " ".join(recipients),
        segment_id,
        offset,
        size_bytes,
        digest,
        package_id,
    )


def add_known(
    tx: Tx,
    *,
    direction: str,
    sender: str,
    message_id: str,
    message_type: str,
    flow_uid: str,
    case_uid: str,
    sender_ref: str,
    content_digest: str,
    seal_digest: str,
    unit: str,
    app: str,
    drop_name: str,
) -> int:
    """Bind (sender, MessageId) again by what its receipts say, without its bytes."""
    return tx.insert(
        "INSERT INTO package (direction, state, sender, message_id, message_type, flow_uid, case_uid,"
        " sender_ref, content_digest, seal_digest, unit, app, drop_name, is_adopted, made_at)"
        " VALUES (?, 'ADMITTED', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)",
        direction,
        sender,
        message_id,
        message_type,
        flow_uid,
        case_uid,
        sender_ref,
        content_digest,
        seal_digest,
        unit,
        app,
        drop_name,
        tx.now_at,
    )


def add_receiver(tx: Tx, package_id: int, receiver: str) -> None:
    """An adopted message went to this unit of ours as well."""
    tx.run(
        "UPDATE package SET recipients = trim(recipients || ' ' || ?) WHERE id = ?"
        " AND is_adopted = 1 AND instr(' ' || recipients || ' ', ' ' || ? || ' ') = 0",
        receiver,
        package_id,
        receiver,
    )


def bind(tx: Tx, receipt_row: int, package_id: int) -> None:
    """A kept receipt belongs to a package from now on."""
    tx.run("UPDATE receipt SET package_id = ? WHERE id = ?", package_id, receipt_row)


def open_deliveries(source: Tx | Reader, after: int) -> list[tuple[int, str, str, str, str]]:
    """(transfer, state, destination, entry, MessageId) of last hops that are not ended, by id."""
    rows = source.all(
        "SELECT t.id, t.state, t.destination, t.entry, p.message_id FROM transfer t"
        " JOIN package p ON p.id = t.package_id WHERE t.id > ? AND t.state IN"
        " ('QUEUED', 'SENDING', 'SENT', 'HELD') AND substr(t.destination, 1, 6) = 'spool:'"
        " ORDER BY t.id LIMIT ?",
        after,
        PAGE,
    )
    return [(int(r[0]), str(r[1]), str(r[2]), str(r[3]), str(r[4])) for r in rows]


def set_entry(tx: Tx, transfer_id: int, entry: str) -> None:
    """Under which name a last hop's message stands in the spool, or stood until it was taken."""
    tx.run("UPDATE transfer SET entry = ? WHERE id = ?", entry, transfer_id)
