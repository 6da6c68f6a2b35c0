"""Segments and packages: what this node holds, and who may never come twice."""

from __future__ import annotations

import json
from collections.abc import Sequence

from frontgate.core.lifecycle import Intake
from frontgate.journal.store import Reader, Tx
from frontgate.model.envelope import Envelope
from frontgate.model.finding import Finding
from frontgate.values import Struct


class Place(Struct, frozen=True):
    """Where a package's bytes are. path: the segment's file, relative to the node's state folder."""

    segment_id: int
    path: str
    offset: int
    size_bytes: int
    digest: str


class Known(Struct, frozen=True):
    """An admitted package as it is bound in the journal."""

    package_id: int
    content_digest: str
    drop_digest: str = ""


class Origin(Struct, frozen=True):
    """Where an outgoing package came from; empty for one that came by bundle."""

    unit: str = ""
    app: str = ""
    drop_name: str = ""
    drop_digest: str = ""
    claim_id: str = ""


NOWHERE = Origin()


def add_segment(tx: Tx, path: str, size_bytes: int, origin: str) -> int:
    """Register a segment file that is already durable. origin: `sealed` or `taken`."""
    return tx.insert(
        "INSERT INTO segment (path, size_bytes, origin, made_at) VALUES (?, ?, ?, ?)",
        path,
        size_bytes,
        origin,
        tx.now_at,
    )


def is_segment(source: Tx | Reader, path: str) -> bool:
    """Whether a segment of that path is registered."""
    return source.one("SELECT 1 FROM segment WHERE path = ?", path) is not None


def find_admitted(
    source: Tx | Reader, direction: str, sender: str, message_id: str
) -> Known | None:
    """The package bound to (sender, MessageId), if any."""
    row = source.one(
        "SELECT id, content_digest, drop_digest FROM package WHERE direction = ? AND sender = ? AND message_id = ?"
        " AND state = 'ADMITTED'",
        direction,
        sender,
        message_id,
    )
    return None if row is None else Known(int(row[0]), str(row[1]), str(row[2]))


def add(
    tx: Tx,
    *,
    direction: str,
    state: Intake,
    envelope: Envelope | None,
    sender: str,
    message_id: str,
    content_digest: str = "",
    seal_digest: str = "",
    segment_id: int | None = None,
    offset: int = 0,
    size_bytes: int = 0,
    digest: str = "",
    origin: Origin = NOWHERE,
    findings: Sequence[Finding] = (),
) -> int:
    """Bind a package, or keep a refused or repeated one. Returns: its row id."""
    header = envelope.header if envelope else None
    return tx.insert(
        "INSERT INTO package (direction, state, sender, message_id, message_type, flow_uid,"
        " in_reply_to, case_uid, sender_ref, urgency, test_flag, business_time, recipients,"
        " content_digest, seal_digest, unit, app, drop_name, drop_digest, claim_id, segment_id,"
        " offset_bytes, size_bytes, digest, report, made_at)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        direction,
        state.value,
        sender,
        message_id,
        header.message_type if header else "",
        header.flow_uid if header else "",
        header.in_reply_to if header else "",
        header.case_uid if header else "",
        header.sender_ref if header else "",
        int(header.urgency) if header and header.urgency.isdigit() else 1,
        int(header.test_flag) if header else 0,
        header.business_time if header else "",
        " ".join(envelope.recipients) if envelope else "",
        content_digest,
        seal_digest,
        origin.unit,
        origin.app,
        origin.drop_name,
        origin.drop_digest,
        origin.claim_id or None,
        segment_id,
        offset,
        size_bytes,
        digest,
        json.dumps([f.as_dict() for f in findings], ensure_ascii=False),
        tx.now_at,
    )


def place(source: Tx | Reader, package_id: int) -> Place | None:
    """Where the package's bytes are; None where only the row remains."""
    row = source.one(
        "SELECT s.id, s.path, p.offset_bytes, p.size_bytes, p.digest FROM package p"
        " JOIN segment s ON s.id = p.segment_id WHERE p.id = ?",
        package_id,
    )
    return (
        None
        if row is None
        else Place(int(row[0]), str(row[1]), int(row[2]), int(row[3]), str(row[4]))
    )


def app_of(source: Tx | Reader, unit: str, message_id: str) -> str:
    """The app of `unit` that sent `message_id`; empty if it is not ours."""
    row = source.one(
        # By the message: what went out from here may be nearly all that there is.
        "SELECT app FROM package INDEXED BY package_message"
        " WHERE direction = 'out' AND unit = ? AND message_id = ? AND state = 'ADMITTED'",
        unit,
        message_id,
    )
    return "" if row is None else str(row[0])


def flow_of(source: Tx | Reader, message_id: str, flow: str) -> str:
    """The FlowUid of a package of that flow with this MessageId; empty if unknown here."""
    row = source.one(
        "SELECT flow_uid FROM package WHERE message_id = ? AND state = 'ADMITTED'"
        " AND substr(message_type, 1, length(?) + 1) = ? || '.' LIMIT 1",
        message_id,
        flow,
        flow,
    )
    return "" if row is None else str(row[0])


def case_of(source: Tx | Reader, message_id: str) -> str:
    """The CaseUid of any package with this MessageId; empty if unknown here."""
    row = source.one(
        "SELECT case_uid FROM package WHERE message_id = ? AND state = 'ADMITTED' LIMIT 1",
        message_id,
    )
    return "" if row is None else str(row[0])


def add_quarantine(
    tx: Tx,
    *,
    origin: str,
    name: str,
    segment_id: int | None,
    offset: int,
    size_bytes: int,
    code: str,
    detail: str,
) -> None:
    """Remember a damaged thing that was set aside. Its bytes stay in the segment."""
    tx.run(
        "INSERT INTO quarantine (at, origin, name, segment_id, offset_bytes, size_bytes, code, detail)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        tx.now_at,
        origin,
        name,
        segment_id,
        offset,
        size_bytes,
        code,
        detail,
    )


def of_claim(source: Tx | Reader, claim_id: str) -> tuple[int, str, str] | None:
    """(row id, state, report JSON) of a claim that was judged before a crash."""
    row = source.one("SELECT id, state, report FROM package WHERE claim_id = ?", claim_id)
    return None if row is None else (int(row[0]), str(row[1]), str(row[2]))


class Bound(Struct, frozen=True):
    """Which admitted package somebody speaks of, and whose it is."""

    package_id: int
    sender: str


def bound(source: Tx | Reader, direction: str, sender: str, message_id: str) -> Bound | None:
    """The admitted package of a (sender, MessageId). sender: empty where it is not known; then the
    MessageId alone must tell.
    """
    known = find_admitted(source, direction, sender, message_id)
    if known is not None:
        return Bound(known.package_id, sender)
    if sender:
        return None
    rows = source.all(
        "SELECT id, sender FROM package WHERE direction = ? AND message_id = ? AND state = 'ADMITTED' LIMIT 2",
        direction,
        message_id,
    )
    return Bound(int(rows[0][0]), str(rows[0][1])) if len(rows) == 1 else None
