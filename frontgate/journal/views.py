"""Reading for people and programs: queues, transfers, one message's whole course."""

from __future__ import annotations

import json
from typing import Any

from frontgate.journal.states import ENDED, OPEN, either
from frontgate.journal.store import Reader


def queues(reader: Reader) -> list[dict[str, Any]]:
    """Open transfers by destination and state, with the oldest of each."""
    rows = reader.all(
        "SELECT destination, state, count(*), min(made_at) FROM transfer"  # noqa: S608
        f" WHERE {either(OPEN)}"
        " GROUP BY destination, state ORDER BY destination, state"
    )
    names = ("destination", "state", "count", "oldest")
    return [dict(zip(names, row, strict=True)) for row in rows]


def totals(reader: Reader) -> dict[str, int]:
    """Packages by direction and state since the journal began."""
    rows = reader.all("SELECT direction, state, count(*) FROM package GROUP BY direction, state")
    found = {f"{d}_{s.lower()}": int(n) for d, s, n in rows}
    failed = reader.one("SELECT count(*) FROM transfer WHERE state = 'FAILED'")
    quarantined = reader.one("SELECT count(*) FROM quarantine")
    return {
        **found,
        "failed_transfers": int(failed[0]) if failed else 0,
        "quarantined": int(quarantined[0]) if quarantined else 0,
    }


def list_transfers(
    reader: Reader,
    *,
    state: str = "",
    kind: str = "",
    case: str = "",
    limit: int = 50,
    before: int = 1 << 62,
) -> list[dict[str, Any]]:
    """Transfers, newest first; page with `before` (an id)."""
    rows = reader.all(
        "SELECT t.id, p.message_id, p.message_type, p.sender, t.destination, t.receiver, t.attempt,"
        " t.state, t.reason, t.made_at, t.changed_at, p.case_uid, p.drop_name FROM transfer t"
        " JOIN package p ON p.id = t.package_id WHERE t.id < ? AND (? = '' OR t.state = ?)"
        " AND (? = '' OR p.message_type = ? OR p.message_type LIKE ? || '.%')"
        " AND (? = '' OR p.case_uid = ?) ORDER BY t.id DESC LIMIT ?",
        before,
        state,
        state,
        kind,
        kind,
        kind,
        case,
        case,
        limit,
    )
    names = (
        "transfer",
        "message",
        "type",
        "sender",
        "destination",
        "receiver",
        "attempt",
        "state",
        "reason",
        "made_at",
        "changed_at",
        "case",
        "drop",
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def failed(
    reader: Reader, *, kind: str = "", case: str = "", limit: int = 50, after: int = 0
) -> list[dict[str, Any]]:
    """Newest attempts that failed, oldest first; page with `after` (an id)."""
    rows = reader.all(
        "SELECT t.id, p.message_id, p.message_type, p.sender, t.destination, t.receiver, t.attempt,"  # noqa: S608
        " t.state, t.reason, t.made_at, t.changed_at, p.case_uid, p.drop_name"
        " FROM transfer t INDEXED BY transfer_failed CROSS JOIN package p ON p.id = t.package_id"
        f" WHERE {either(ENDED, 't')} AND t.id > ?"
        " AND (? = '' OR p.message_type = ? OR substr(p.message_type, 1, length(?) + 1) = ? || '.')"
        " AND (? = '' OR p.case_uid = ?) AND NOT EXISTS (SELECT 1 FROM transfer n"
        "   WHERE n.package_id = t.package_id AND n.destination = t.destination"
        "   AND n.receiver = t.receiver AND n.attempt > t.attempt) ORDER BY t.id LIMIT ?",
        after,
        kind,
        kind,
        kind,
        kind,
        case,
        case,
        limit,
    )
    names = (
        "transfer",
        "message",
        "type",
        "sender",
        "destination",
        "receiver",
        "attempt",
        "state",
        "reason",
        "made_at",
        "changed_at",
        "case",
        "drop",
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


_PACKAGE = (
    "id",
    "direction",
    "state",
    "sender",
    "message_id",
    "message_type",
    "flow_uid",
    "in_reply_to",
    "case_uid",
    "sender_ref",
    "recipients",
    "content_digest",
    "seal_digest",
    "unit",
    "app",
    "drop_name",
    "size_bytes",
    "report",
    "made_at",
)


def find_packages(reader: Reader, ident: str) -> list[dict[str, Any]]:
    """Packages by MessageId, transfer id, SenderRef or name of the drop."""
    columns = ", ".join(_PACKAGE)
    rows = reader.all(
        f"SELECT {columns} FROM package WHERE message_id = ? OR sender_ref = ? OR drop_name = ?"  # noqa: S608
        " OR id = (SELECT package_id FROM transfer WHERE id = ?) ORDER BY id",
        ident,
        ident,
        ident,
        int(ident) if ident.isdigit() else -1,
    )
    found = [dict(zip(_PACKAGE, row, strict=True)) for row in rows]
    for row in found:
        row["report"] = json.loads(row["report"])
    return found


def receipts_of(reader: Reader, message_id: str, sender: str) -> list[dict[str, Any]]:
    """Receipts of a sender's message, in the order they came. Another unit may have given the same
    MessageId to one of its own."""
    rows = reader.all(
        "SELECT kind, issuer, issuer_node, receiver, event_time, attempt, digest FROM receipt"
        " WHERE message_id = ? AND sender = ? ORDER BY id",
        message_id,
        sender,
    )
    names = ("kind", "issuer", "node", "receiver", "time", "attempt", "digest")
    return [dict(zip(names, row, strict=True)) for row in rows]


def transfers_of(reader: Reader, package_id: int) -> list[dict[str, Any]]:
    rows = reader.all(
        "SELECT id, destination, receiver, attempt, state, reason, made_at, changed_at, entry"
        " FROM transfer WHERE package_id = ? ORDER BY id",
        package_id,
    )
    names = (
        "transfer",
        "destination",
        "receiver",
        "attempt",
        "state",
        "reason",
        "made_at",
        "changed_at",
        "entry",
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def course(reader: Reader, ident: str) -> list[dict[str, Any]]:
    """The course of a case, or of one message: packages and their receipts in order of time."""
    rows = reader.all(
        "SELECT message_id, message_type, sender, recipients, made_at, state, direction FROM package"
        " WHERE case_uid = ? OR message_id = ? OR flow_uid = ? ORDER BY id",
        ident,
        ident,
        ident,
    )
    steps: list[dict[str, Any]] = []
    seen: set[tuple[str, str]] = set()
    for message_id, kind, sender, recipients, made_at, state, _ in rows:
        if (message_id, sender) in seen:
            continue
        seen.add((message_id, sender))
        steps.append(
            {
                "time": made_at,
                "what": state.lower(),
                "type": kind,
                "message": message_id,
                "from": sender,
                "to": recipients,
            }
        )
        steps += [
            {
                "time": r["time"],
                "what": r["kind"],
                "type": kind,
                "message": message_id,
                "from": r["issuer"],
                "to": r["receiver"],
            }
            for r in receipts_of(reader, message_id, sender)
        ]
    return sorted(steps, key=lambda s: str(s["time"]))


def quarantined(reader: Reader, limit: int = 50) -> list[dict[str, Any]]:
    rows = reader.all(
        "SELECT at, origin, name, code, detail FROM quarantine ORDER BY id DESC LIMIT ?", limit
    )
    return [dict(zip(("at", "origin", "name", "code", "detail"), row, strict=True)) for row in rows]
