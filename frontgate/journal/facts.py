"""Facts of admitted messages, and looking back at them: the ledger's side of context checks."""

from __future__ import annotations

from collections.abc import Iterable

from frontgate.journal.store import Reader, Tx
from frontgate.values import Struct


class Message(Struct, frozen=True):
    """An admitted package that came by bundle."""

    message_id: str
    message_type: str
    sender: str
    recipients: tuple[str, ...]
    in_reply_to: str


class Said(Struct, frozen=True):
    """One fact, and the message that said it."""

    name: str
    key: str
    value: str
    message_id: str
    flow_uid: str


def keep(tx: Tx, package_id: int, facts: Iterable[tuple[str, str, str]]) -> None:
    """Keep (name, key, value) of an admitted message."""
    for name, key, value in facts:
        tx.run("INSERT INTO fact VALUES (?, ?, ?, ?)", package_id, name, key, value)


_MESSAGE = "message_id, message_type, sender, recipients, in_reply_to"
MOST = 500
"""So many earlier messages or facts are looked at; more say nothing new."""


def message(source: Tx | Reader, message_id: str) -> Message | None:
    rows = source.all(
        f"SELECT {_MESSAGE} FROM package WHERE message_id = ? AND direction = 'in'"  # noqa: S608
        " AND state = 'ADMITTED' LIMIT 1",
        message_id,
    )
    return _message(rows[0]) if rows else None


def of_flow(source: Tx | Reader, flow_uid: str) -> list[Message]:
    """Messages of an instance in the order of arrival."""
    rows = source.all(
        f"SELECT {_MESSAGE} FROM package INDEXED BY package_flow WHERE flow_uid = ?"  # noqa: S608
        " AND state = 'ADMITTED' AND direction = 'in' ORDER BY id LIMIT ?",
        flow_uid,
        MOST,
    )
    return [_message(r) for r in rows]


def _message(row: tuple[object, ...]) -> Message:
    texts = [str(v) for v in row]
    return Message(texts[0], texts[1], texts[2], tuple(texts[3].split()), texts[4])


def said(source: Tx | Reader, name: str, key: str) -> list[Said]:
    """All that was said under a name of a key."""
    rows = source.all(
        "SELECT f.name, f.key, f.value, p.message_id, p.flow_uid FROM fact f"
        " JOIN package p ON p.id = f.package_id WHERE f.name = ? AND f.key = ?"
        " ORDER BY f.package_id LIMIT ?",
        name,
        key,
        MOST,
    )
    return [Said(*(str(v) for v in row)) for row in rows]


def said_by(source: Tx | Reader, message_id: str, name: str) -> list[Said]:
    """What one message said under a name."""
    rows = source.all(
        "SELECT f.name, f.key, f.value, p.message_id, p.flow_uid FROM package p"
        " JOIN fact f ON f.package_id = p.id AND f.name = ? WHERE p.message_id = ?"
        " AND p.direction = 'in' AND p.state = 'ADMITTED' LIMIT ?",
        name,
        message_id,
        MOST,
    )
    return [Said(*(str(v) for v in row)) for row in rows]
