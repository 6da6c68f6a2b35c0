"""Receipts as kept: their chain per message and receiver, where they still have to go."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from frontgate.journal.store import Reader, Tx
from frontgate.model.receipt import Kind, Receipt
from frontgate.values import Struct


class Kept(Struct, frozen=True):
    """A stored receipt: its canonical XML and the signature it verifies with."""

    row_id: int
    kind: str
    message_id: str
    receiver: str
    xml: bytes
    signature_id: int
    signature: bytes


def keep_signature(tx: Tx, xml: bytes) -> int:
    """Store a signature once. Returns: its id."""
    digest = hashlib.sha256(xml).hexdigest()
    row = tx.one("SELECT id FROM signature WHERE digest = ?", digest)
    if row is not None:
        return int(row[0])
    return tx.insert("INSERT INTO signature (digest, xml) VALUES (?, ?)", digest, xml)


def keep(
    tx: Tx, receipt: Receipt, xml: bytes, digest: str, signature_id: int, package_id: int | None
) -> int | None:
    """Store a receipt. Returns: its row id, or None if it was known already."""
    return tx.insert_new(
        "INSERT INTO receipt (receipt_id, kind, sender, message_id, receiver, issuer, issuer_node,"
        " event_time, attempt, audit_seq, audit_head, digest, xml, signature_id, package_id, kept_at)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (receipt_id) DO NOTHING",
        receipt.receipt_id,
        receipt.kind.value,
        receipt.sender,
        receipt.message_id,
        receipt.receiver,
        receipt.issuer,
        receipt.issuer_node,
        receipt.event_time,
        receipt.attempt,
        receipt.audit_seq,
        receipt.audit_head,
        digest,
        xml,
        signature_id,
        package_id,
        tx.now_at,
    )


def previous_digest(source: Tx | Reader, message_id: str, receiver: str) -> str:
    """The digest of the newest receipt before a new one for (message, receiver); empty if none.

    A receipt that holds for all receivers stands in the chain of each.
    """
    if not message_id:
        return ""
    row = source.one(
        "SELECT digest FROM receipt WHERE message_id = ? AND (receiver = ? OR receiver = '')"
        " ORDER BY id DESC LIMIT 1",
        message_id,
        receiver,
    )
    return "" if row is None else str(row[0])


def is_last_outcome(source: Tx | Reader, receipt: Receipt) -> bool:
    """Whether nothing was kept after this receipt that says how the message ended at the same receiver."""
    row = source.one(
        "SELECT receipt_id FROM receipt INDEXED BY receipt_message WHERE message_id = ? AND receiver = ?"
        " AND sender = ? AND kind IN (?, ?) ORDER BY id DESC LIMIT 1",
        receipt.message_id,
        receipt.receiver,
        receipt.sender,
        Kind.DELIVERED.value,
        Kind.DELIVERY_FAILED.value,
    )
    return row is not None and row[0] == receipt.receipt_id


def send(tx: Tx, receipt_row: int, destination: str) -> None:
    """Queue a receipt for a destination; a repeat travels again."""
    tx.run(
        "INSERT INTO receipt_out (receipt, destination) VALUES (?, ?)"
        " ON CONFLICT (destination, receipt) DO UPDATE SET bundle_id = ''",
        receipt_row,
        destination,
    )


def waiting(source: Tx | Reader, destination: str, limit: int) -> list[Kept]:
    """Receipts that no bundle to `destination` has taken yet, oldest first."""
    rows = source.all(
        "SELECT r.id, r.kind, r.message_id, r.receiver, r.xml, r.signature_id, s.xml"
        " FROM receipt_out o INDEXED BY receipt_out_waiting JOIN receipt r ON r.id = o.receipt"
        " JOIN signature s ON s.id = r.signature_id"
        " WHERE o.destination = ? AND o.bundle_id = '' ORDER BY o.receipt LIMIT ?",
        destination,
        limit,
    )
    return [Kept(int(r[0]), r[1], r[2], r[3], bytes(r[4]), int(r[5]), bytes(r[6])) for r in rows]


def waiting_with(
    source: Tx | Reader, destination: str, message_ids: Sequence[str], limit: int
) -> list[Kept]:
    """Waiting receipts for a destination: those of the given messages, then others up to `limit`.

    A package's own receipts ride with it, so that whoever gets it can judge it by their times.
    """
    found: dict[int, Kept] = {}
    for message_id in dict.fromkeys(message_ids):
        for r in source.all(
            "SELECT r.id, r.kind, r.message_id, r.receiver, r.xml, r.signature_id, s.xml"
            " FROM receipt r INDEXED BY receipt_message"
            " CROSS JOIN receipt_out o ON o.receipt = r.id AND o.destination = ?"
            " JOIN signature s ON s.id = r.signature_id WHERE r.message_id = ? AND o.bundle_id = ''",
            destination,
            message_id,
        ):
            found[int(r[0])] = Kept(
                int(r[0]), r[1], r[2], r[3], bytes(r[4]), int(r[5]), bytes(r[6])
            )
    for kept in waiting(source, destination, limit) if limit else []:
        found.setdefault(kept.row_id, kept)
    return [found[key] for key in sorted(found)]


def are_waiting(source: Tx | Reader, destination: str, number: int) -> bool:
    """Whether at least `number` receipts wait for a destination."""
    row = source.one(
        "SELECT 1 FROM receipt_out INDEXED BY receipt_out_waiting"
        " WHERE destination = ? AND bundle_id = '' LIMIT 1 OFFSET ?",
        destination,
        number - 1,
    )
    return row is not None


def waiting_destinations(source: Tx | Reader) -> list[str]:
    """Destinations that receipts wait for, found one after another by the index."""
    rows = source.all(
        "WITH RECURSIVE d(destination) AS ("
        "  SELECT min(destination) FROM receipt_out INDEXED BY receipt_out_waiting"
        "    WHERE bundle_id = ''"
        "  UNION ALL"
        "  SELECT (SELECT min(destination) FROM receipt_out INDEXED BY receipt_out_waiting"
        "    WHERE bundle_id = '' AND destination > d.destination)"
        "  FROM d WHERE d.destination IS NOT NULL)"
        " SELECT destination FROM d WHERE destination IS NOT NULL"
    )
    return [str(r[0]) for r in rows]


def of_message(source: Tx | Reader, message_id: str) -> list[Kept]:
    """All receipts of a message in the order they were kept."""
    rows = source.all(
        "SELECT r.id, r.kind, r.message_id, r.receiver, r.xml, r.signature_id, s.xml FROM receipt r"
        " JOIN signature s ON s.id = r.signature_id WHERE r.message_id = ? ORDER BY r.id",
        message_id,
    )
    return [Kept(int(r[0]), r[1], r[2], r[3], bytes(r[4]), int(r[5]), bytes(r[6])) for r in rows]


def assign(tx: Tx, destination: str, rows: Iterable[int], bundle_id: str) -> None:
    """These receipts ride in this bundle."""
    for row in rows:
        tx.run(
            "UPDATE receipt_out SET bundle_id = ? WHERE destination = ? AND receipt = ?",
            bundle_id,
            destination,
            row,
        )


def travel_again(tx: Tx, destination: str, bundle_id: str) -> None:
    """The bundle did not arrive: its receipts wait for a new one."""
    tx.run(
        "UPDATE receipt_out INDEXED BY receipt_out_bundle SET bundle_id = ''"
        " WHERE destination = ? AND bundle_id = ? AND bundle_id <> ''",
        destination,
        bundle_id,
    )


def answered(tx: Tx, destination: str, bundle_id: str) -> None:
    """The other side has the bundle for good: its receipts are done."""
    tx.run(
        "DELETE FROM receipt_out INDEXED BY receipt_out_bundle"
        " WHERE destination = ? AND bundle_id = ? AND bundle_id <> ''",
        destination,
        bundle_id,
    )


def file_number(tx: Tx, spool: str, stem: str) -> int:
    """The number of the next receipt file with this stem in this spool, beginning with 1."""
    row = tx.one("SELECT count(*) FROM receipt_file WHERE spool = ? AND stem = ?", spool, stem)
    assert row is not None
    return int(row[0]) + 1


def add_file(tx: Tx, receipt_row: int, spool: str, stem: str, name: str) -> None:
    """A receipt file is to stand in a spool; it is written after the commit."""
    tx.run(
        "INSERT INTO receipt_file (receipt, spool, stem, name) VALUES (?, ?, ?, ?)",
        receipt_row,
        spool,
        stem,
        name,
    )


class FileToWrite(Struct, frozen=True):
    """A receipt file that is planned. receipt: row id of the receipt, grows with time. asked: which
    asking this writing answers."""

    receipt: int
    spool: str
    name: str
    asked: int
    xml: bytes
    signature: bytes


def unflushed_files(source: Tx | Reader, spool: str, after: int, limit: int) -> list[FileToWrite]:
    """Receipt files of a spool whose durability is not proven, of receipts with a row id above `after`.

    A receipt has one file at most, so paging by the receipt's id misses none.
    """
    rows = source.all(
        "SELECT f.receipt, f.spool, f.name, f.asked, r.xml, s.xml"
        " FROM receipt_file f INDEXED BY receipt_file_unflushed"
        " JOIN receipt r ON r.id = f.receipt JOIN signature s ON s.id = r.signature_id"
        " WHERE f.flushed = 0 AND f.spool = ? AND f.receipt > ? ORDER BY f.receipt LIMIT ?",
        spool,
        after,
        limit,
    )
    return [
        FileToWrite(int(r[0]), str(r[1]), str(r[2]), int(r[3]), bytes(r[4]), bytes(r[5]))
        for r in rows
    ]


def mark_flushed(tx: Tx, spool: str, files: Iterable[tuple[str, int]]) -> None:
    """These (name, asked) are on stable storage; one that was asked for again meanwhile is not."""
    for name, asked in files:
        tx.run(
            "UPDATE receipt_file SET flushed = 1 WHERE spool = ? AND name = ? AND asked = ?",
            spool,
            name,
            asked,
        )


def write_again(tx: Tx, package_id: int) -> None:
    """The receipt files of a package are to be written once more, byte for byte."""
    tx.run(
        "UPDATE receipt_file SET flushed = 0, asked = asked + 1 WHERE receipt IN"
        " (SELECT id FROM receipt WHERE package_id = ?)",
        package_id,
    )


def send_again(tx: Tx, package_id: int, destination: str, *, own_node: str) -> None:
    """Let this node's own receipts of a package travel once more: the first outcome, unchanged."""
    for row in tx.all(
        "SELECT id FROM receipt WHERE package_id = ? AND issuer_node = ? ORDER BY id",
        package_id,
        own_node,
    ):
        send(tx, int(row[0]), destination)


def claim_for(tx: Tx, sender: str, message_id: str, package_id: int) -> None:
    """Receipts that came before or with their package belong to it from now on."""
    tx.run(
        "UPDATE receipt SET package_id = ? WHERE message_id = ? AND sender = ? AND package_id IS NULL",
        package_id,
        message_id,
        sender,
    )


def copy_to(
    tx: Tx, sender: str, message_id: str, destinations: Sequence[str], *, kind: str
) -> None:
    """Let the kept receipts of one kind travel to whoever gets the package."""
    for row in tx.all(
        "SELECT id FROM receipt WHERE message_id = ? AND sender = ? AND kind = ?",
        message_id,
        sender,
        kind,
    ):
        for destination in destinations:
            send(tx, int(row[0]), destination)
