"""Bundles in both directions: journaled before the first byte, recognised when repeated."""

from __future__ import annotations

import json
from collections.abc import Sequence

from frontgate.journal.store import Reader, Tx
from frontgate.values import Struct


class OutMember(Struct, frozen=True):
    """One member of an outgoing bundle. package_id: None where its bytes are in `extra`."""

    name: str
    size_bytes: int
    digest: str
    package_id: int | None
    extra_offset: int = 0


class Outgoing(Struct, frozen=True):
    """A composed bundle. extra: the bytes of receipt lists and control messages, one after another."""

    bundle_id: str
    destination: str
    sequence: int
    members: tuple[OutMember, ...]
    extra: bytes
    size_bytes: int


def add_out(tx: Tx, bundle: Outgoing) -> None:
    members = json.dumps(
        [[m.name, m.size_bytes, m.digest, m.package_id, m.extra_offset] for m in bundle.members]
    )
    tx.run(
        "INSERT INTO bundle_out (bundle_id, destination, sequence, state, members, extra, size_bytes,"
        " made_at) VALUES (?, ?, ?, 'composed', ?, ?, ?, ?)",
        bundle.bundle_id,
        bundle.destination,
        bundle.sequence,
        members,
        bundle.extra,
        bundle.size_bytes,
        tx.now_at,
    )


def composed(source: Tx | Reader, destination: str) -> list[Outgoing]:
    """Bundles whose sending is not finished, in order of their sequence."""
    rows = source.all(
        "SELECT bundle_id, destination, sequence, members, extra, size_bytes FROM bundle_out"
        " WHERE destination = ? AND state = 'composed' ORDER BY sequence",
        destination,
    )
    return [
        Outgoing(
            str(r[0]),
            str(r[1]),
            int(r[2]),
            tuple(OutMember(m[0], m[1], m[2], m[3], m[4]) for m in json.loads(r[3])),
            bytes(r[4]),
            int(r[5]),
        )
        for r in rows
    ]


def composed_destinations(source: Tx | Reader) -> list[str]:
    rows = source.all("SELECT DISTINCT destination FROM bundle_out WHERE state = 'composed'")
    return [str(r[0]) for r in rows]


def is_composed(source: Tx | Reader, destination: str, bundle_id: str) -> bool:
    """Whether this bundle of ours to `destination` is not known to have arrived."""
    return (
        source.one(
            "SELECT 1 FROM bundle_out"
            " WHERE bundle_id = ? AND destination = ? AND state = 'composed'",
            bundle_id,
            destination,
        )
        is not None
    )


def mark_sent(tx: Tx, bundle_id: str) -> None:
    """The other side has it durably; the copy of the small members is dropped."""
    tx.run(
        "UPDATE bundle_out SET state = 'sent', sent_ms = ?, extra = x'' WHERE bundle_id = ?",
        tx.now_ms,
        bundle_id,
    )


def was_sent_to(source: Tx | Reader, destination: str, bundle_id: str) -> bool:
    """Whether this is a bundle that left here for `destination`."""
    return (
        source.one(
            "SELECT 1 FROM bundle_out WHERE bundle_id = ? AND destination = ? AND state = 'sent'",
            bundle_id,
            destination,
        )
        is not None
    )


def unanswered(
    source: Tx | Reader, *, sent_before_ms: int, after: str = "", limit: int = 500
) -> list[tuple[str, str]]:
    """(destination, BundleId) of bundles with receipts that were sent before then and not answered.

    By BundleId; page with the last one of the page before.
    """
    rows = source.all(
        "SELECT DISTINCT o.destination, o.bundle_id FROM receipt_out o INDEXED BY receipt_out_bundle"
        " CROSS JOIN bundle_out b ON b.bundle_id = o.bundle_id"
        " WHERE o.bundle_id <> '' AND o.bundle_id > ? AND b.state = 'sent' AND b.sent_ms < ?"
        " ORDER BY o.bundle_id LIMIT ?",
        after,
        sent_before_ms,
        limit,
    )
    return [(str(r[0]), str(r[1])) for r in rows]


def owed_answers(source: Tx | Reader, limit: int) -> list[tuple[str, str]]:
    """(peer, BundleId) of taken bundles that were not answered yet, grouped by peer."""
    rows = source.all(
        "SELECT peer, bundle_id FROM bundle_in INDEXED BY bundle_in_owed WHERE is_answered = 0"
        " ORDER BY peer, bundle_id LIMIT ?",
        limit,
    )
    return [(str(r[0]), str(r[1])) for r in rows]


def mark_answered(tx: Tx, peer: str, bundle_id: str) -> None:
    tx.run("UPDATE bundle_in SET is_answered = 1 WHERE peer = ? AND bundle_id = ?", peer, bundle_id)


def owe_answer(tx: Tx, peer: str, bundle_id: str) -> None:
    """It came again: whatever answered it the first time was lost."""
    tx.run("UPDATE bundle_in SET is_answered = 0 WHERE peer = ? AND bundle_id = ?", peer, bundle_id)


def drop(tx: Tx, bundle_id: str) -> None:
    """Give up a bundle that was never seen by the other side."""
    tx.run("DELETE FROM bundle_out WHERE bundle_id = ?", bundle_id)


def is_taken(source: Tx | Reader, peer: str, bundle_id: str) -> bool:
    """Whether this bundle of `peer` was taken before."""
    return (
        source.one("SELECT 1 FROM bundle_in WHERE peer = ? AND bundle_id = ?", peer, bundle_id)
        is not None
    )


def add_taken(
    tx: Tx, peer: str, bundle_id: str, segment_id: int, *, is_answered: bool = True
) -> None:
    """Keep that a bundle was taken. is_answered: False where nothing in it has a receipt."""
    tx.run(
        "INSERT INTO bundle_in (bundle_id, peer, segment_id, taken_at, is_answered)"
        " VALUES (?, ?, ?, ?, ?)",
        bundle_id,
        peer,
        segment_id,
        tx.now_at,
        int(is_answered),
    )


def add_control(tx: Tx, destination: str, name: str, xml: bytes) -> None:
    """Queue a signed control message."""
    tx.run(
        "INSERT INTO control_out (destination, name, xml) VALUES (?, ?, ?)", destination, name, xml
    )


def waiting_controls(source: Tx | Reader, destination: str) -> list[tuple[int, str, bytes]]:
    """(row, name, xml) of control messages that no bundle has taken yet."""
    rows = source.all(
        "SELECT id, name, xml FROM control_out WHERE destination = ? AND bundle_id = '' ORDER BY id",
        destination,
    )
    return [(int(r[0]), str(r[1]), bytes(r[2])) for r in rows]


def control_destinations(source: Tx | Reader) -> list[str]:
    rows = source.all("SELECT DISTINCT destination FROM control_out WHERE bundle_id = ''")
    return [str(r[0]) for r in rows]


def assign_controls(tx: Tx, rows: Sequence[int], bundle_id: str) -> None:
    for row in rows:
        tx.run("UPDATE control_out SET bundle_id = ? WHERE id = ?", bundle_id, row)


def release_controls(tx: Tx, bundle_id: str) -> None:
    """The bundle did not go: its control messages wait again."""
    tx.run(
        "UPDATE control_out SET bundle_id = '' WHERE bundle_id = ? AND bundle_id <> ''", bundle_id
    )


def controls_sent(tx: Tx, bundle_id: str) -> None:
    tx.run("DELETE FROM control_out WHERE bundle_id = ? AND bundle_id <> ''", bundle_id)


def last_control(source: Tx | Reader, issuer: str, kind: str) -> bytes | None:
    """The newest control message of a kind that an issuer sent."""
    row = source.one("SELECT xml FROM control_in WHERE issuer = ? AND kind = ?", issuer, kind)
    return None if row is None else bytes(row[0])


def take_control(tx: Tx, issuer: str, kind: str, number: int, xml: bytes) -> bool:
    """Keep a control message if its number is higher than any seen; False for an old one."""
    row = tx.one("SELECT number FROM control_in WHERE issuer = ? AND kind = ?", issuer, kind)
    if row is not None and int(row[0]) >= number:
        return False
    tx.run(
        "INSERT OR REPLACE INTO control_in (issuer, kind, number, at, xml) VALUES (?, ?, ?, ?, ?)",
        issuer,
        kind,
        number,
        tx.now_at,
        xml,
    )
    return True


def drop_unsent_controls(tx: Tx, destination: str, suffix: str) -> None:
    """Forget control messages of one kind that no bundle took: a newer one says it all."""
    tx.run(
        "DELETE FROM control_out WHERE destination = ? AND bundle_id = ''"
        " AND substr(name, -length(?)) = ?",
        destination,
        suffix,
        suffix,
    )
