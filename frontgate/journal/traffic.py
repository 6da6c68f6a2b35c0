"""Reading the traffic of a hub for its console: queues, troubles, refusals, without content.

Every function takes `units`: the units whose traffic may be seen, None for all. Lists are paged by
key, newest first; each reads a page and no more, whatever the journal's size.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from frontgate.journal.states import OPEN, TROUBLED, either
from frontgate.journal.store import Reader
from frontgate.values import Struct

NEWEST = 1 << 62


class Traffic(Struct, frozen=True):
    """One transfer. recipients: every unit that the package is for. is_newest: no later attempt."""

    id: int
    message_id: str
    message_type: str
    sender: str
    recipients: tuple[str, ...]
    destination: str
    receiver: str
    attempt: int
    state: str
    reason: str
    made_at: str
    changed_at: str
    size_bytes: int
    is_newest: bool

    @property
    def ends(self) -> tuple[str, ...]:
        """The receiving units of this transfer."""
        return (self.receiver,) if self.receiver else self.recipients


_TRANSFER = (
    "SELECT t.id, p.message_id, p.message_type, p.sender, p.recipients, t.destination, t.receiver,"
    " t.attempt, t.state, t.reason, t.made_at, t.changed_at, p.size_bytes,"
    " NOT EXISTS (SELECT 1 FROM transfer n WHERE n.package_id = t.package_id"
    "  AND n.destination = t.destination AND n.receiver = t.receiver AND n.attempt > t.attempt)"
)
_THEIRS = (
    " AND (? IS NULL OR p.sender IN (SELECT value FROM json_each(?))"
    " OR t.receiver IN (SELECT value FROM json_each(?)))"
)


def _units(units: Collection[str] | None) -> tuple[str | None, str, str]:
    text = json.dumps(sorted(units or ()))
    return (None if units is None else text, text, text)


def _transfer(row: tuple[Any, ...]) -> Traffic:
    return Traffic(
        int(row[0]),
        str(row[1]),
        str(row[2]),
        str(row[3]),
        tuple(str(row[4]).split()),
        str(row[5]),
        str(row[6]),
        int(row[7]),
        str(row[8]),
        str(row[9]),
        str(row[10]),
        str(row[11]),
        int(row[12]),
        bool(row[13]),
    )


def troubled(
    reader: Reader,
    units: Collection[str] | None,
    *,
    states: Collection[str] = ("FAILED", "UNCONFIRMED", "HELD"),
    before: int = NEWEST,
    limit: int = 50,
) -> list[Traffic]:
    """Transfers that wait for a person: the newest attempt failed, is unconfirmed, or is held."""
    rows = reader.all(
        f"{_TRANSFER} FROM transfer t INDEXED BY transfer_troubled"  # noqa: S608
        " JOIN package p ON p.id = t.package_id"
        f" WHERE {either(TROUBLED, 't')} AND t.id < ?"
        " AND t.state IN (SELECT value FROM json_each(?))"
        " AND NOT EXISTS (SELECT 1 FROM transfer n WHERE n.package_id = t.package_id"
        "  AND n.destination = t.destination AND n.receiver = t.receiver AND n.attempt > t.attempt)"
        f"{_THEIRS} ORDER BY t.id DESC LIMIT ?",
        before,
        json.dumps(sorted(states)),
        *_units(units),
        limit,
    )
    return [_transfer(r) for r in rows]


def waiting(
    reader: Reader,
    units: Collection[str] | None,
    destination: str,
    *,
    after: tuple[int, int] = (-1, 0),
    limit: int = 50,
) -> list[tuple[Traffic, int]]:
    """Queued transfers to a destination, the longest unchanged first. after: the last (changed_ms,
    id) of the page before. Returns: each with its changed_ms."""
    rows = reader.all(
        f"{_TRANSFER}, t.changed_ms FROM transfer t INDEXED BY transfer_open"
        " JOIN package p ON p.id = t.package_id"
        " WHERE t.state = 'QUEUED' AND t.destination = ? AND (t.changed_ms, t.id) > (?, ?)"
        f"{_THEIRS} ORDER BY t.changed_ms, t.id LIMIT ?",
        destination,
        *after,
        *_units(units),
        limit,
    )
    return [(_transfer(r), int(r[14])) for r in rows]


MOST_OF_MESSAGE = 500


def of_message(
    reader: Reader, message_id: str, *, sender: str = "", after: int = 0
) -> tuple[list[Traffic], int]:
    """Transfers of a message, oldest first, `MOST_OF_MESSAGE` a page; whether they may be seen is the
    caller's to judge. sender: of its message alone, where several gave the same MessageId.

    Returns: the page, and the id to go on after (0 at the end).
    """
    rows = reader.all(
        f"{_TRANSFER} FROM package p JOIN transfer t ON t.package_id = p.id"
        " WHERE p.message_id = ? AND (? = '' OR p.sender = ?) AND t.id > ? ORDER BY t.id LIMIT ?",
        message_id,
        sender,
        sender,
        after,
        MOST_OF_MESSAGE,
    )
    found = [_transfer(r) for r in rows]
    return found, found[-1].id if len(found) == MOST_OF_MESSAGE else 0


def attempts(reader: Reader, of: Traffic) -> list[Traffic]:
    """Every transfer of the same package to the same place, oldest first, with this one."""
    rows = reader.all(
        f"{_TRANSFER} FROM package p JOIN transfer t ON t.package_id = p.id"
        " WHERE p.message_id = ? AND p.sender = ? AND t.destination = ? AND t.receiver = ?"
        " ORDER BY t.id",
        of.message_id,
        of.sender,
        of.destination,
        of.receiver,
    )
    return [_transfer(r) for r in rows]


def transfer(reader: Reader, transfer_id: int) -> Traffic | None:
    """One transfer; whether it may be seen is the caller's to judge."""
    rows = reader.all(
        f"{_TRANSFER} FROM transfer t JOIN package p ON p.id = t.package_id WHERE t.id = ?",
        transfer_id,
    )
    return _transfer(rows[0]) if rows else None


class Queue(Struct, frozen=True):
    """Open transfers to a destination by state. oldest_at: when the oldest of them was made."""

    destination: str
    counts: dict[str, int]
    oldest_at: str


def queues(reader: Reader, destinations: Collection[str] | None) -> list[Queue]:
    """Open transfers by destination, the oldest first. Read from one index alone."""
    rows = reader.all(
        "SELECT destination, state, count(*), min(id) FROM transfer INDEXED BY transfer_open"  # noqa: S608
        f" WHERE {either(OPEN)}"
        " AND (? IS NULL OR destination IN (SELECT value FROM json_each(?)))"
        " GROUP BY destination, state",
        *_units(destinations)[:2],
    )
    found: dict[str, tuple[dict[str, int], list[int]]] = {}
    for destination, state, count, oldest in rows:
        counts, ids = found.setdefault(str(destination), ({}, []))
        counts[str(state)] = int(count)
        ids.append(int(oldest))
    queues = []
    for destination, (counts, ids) in found.items():
        row = reader.one("SELECT made_at FROM transfer WHERE id = ?", min(ids))
        queues.append(Queue(destination, counts, str(row[0]) if row else ""))
    return sorted(queues, key=lambda q: q.oldest_at)


class Refused(Struct, frozen=True):
    """A package that this node refused. rules: (rule, zh, en) of its report, without values."""

    id: int
    sender: str
    message_id: str
    message_type: str
    made_at: str
    rules: tuple[tuple[str, str, str], ...]


def refused(
    reader: Reader, units: Collection[str] | None, *, before: int = NEWEST, limit: int = 50
) -> list[Refused]:
    """Packages that were refused, newest first."""
    text = json.dumps(sorted(units or ()))
    rows = reader.all(
        "SELECT id, sender, message_id, message_type, made_at, report FROM package"
        " INDEXED BY package_refused WHERE state = 'REJECTED' AND id < ?"
        " AND (? IS NULL OR sender IN (SELECT value FROM json_each(?))) ORDER BY id DESC LIMIT ?",
        before,
        None if units is None else text,
        text,
        limit,
    )
    return [
        Refused(
            int(r[0]),
            str(r[1]),
            str(r[2]),
            str(r[3]),
            str(r[4]),
            tuple((str(f["rule"]), str(f["zh"]), str(f["en"])) for f in json.loads(r[5])),
        )
        for r in rows
    ]


class SetAside(Struct, frozen=True):
    """Damaged or unusable input. origin: the account that it came from."""

    id: int
    at: str
    origin: str
    name: str
    code: str


def set_aside(
    reader: Reader, origins: Collection[str] | None, *, before: int = NEWEST, limit: int = 50
) -> list[SetAside]:
    """What lies in quarantine, newest first."""
    text = json.dumps(sorted(origins or ()))
    rows = reader.all(
        "SELECT id, at, origin, name, code FROM quarantine WHERE id < ?"
        " AND (? IS NULL OR origin IN (SELECT value FROM json_each(?))) ORDER BY id DESC LIMIT ?",
        before,
        None if origins is None else text,
        text,
        limit,
    )
    return [SetAside(int(r[0]), *(str(v) for v in r[1:])) for r in rows]


def first_package_since(reader: Reader, at: str) -> int:
    """The id of the first package made at or after `at` (RFC 3339), by bisection over the ids."""
    row = reader.one("SELECT min(id), max(id) FROM package")
    if row is None or row[0] is None:
        return 0
    low, high = int(row[0]), int(row[1]) + 1
    while low < high:
        middle = (low + high) // 2
        found = reader.one(
            "SELECT id, made_at FROM package WHERE id >= ? ORDER BY id LIMIT 1", middle
        )
        if found is None or str(found[1]) >= at:
            high = middle
        else:
            low = int(found[0]) + 1
    return low


def flows_since(
    reader: Reader, units: Collection[str] | None, at: str
) -> list[tuple[str, int, int]]:
    """(flow, messages relayed, messages refused) since `at`, most first."""
    text = json.dumps(sorted(units or ()))
    rows = reader.all(
        "SELECT substr(message_type, 1, instr(message_type || '.', '.') - 1),"
        " sum(state = 'ADMITTED'), sum(state = 'REJECTED') FROM package"
        " WHERE id >= ? AND test_flag = 0 AND (? IS NULL OR sender IN (SELECT value FROM json_each(?)))"
        " GROUP BY 1 ORDER BY 2 DESC, 1",
        first_package_since(reader, at),
        None if units is None else text,
        text,
    )
    return [(str(r[0]), int(r[1]), int(r[2])) for r in rows]


class Heartbeat(Struct, frozen=True):
    """The newest heartbeat of a gateway. issuer: its unit. xml: as it came, verified then."""

    issuer: str
    at: str
    xml: bytes


def heartbeats(reader: Reader, issuers: Collection[str]) -> dict[str, Heartbeat]:
    """The newest heartbeat of each of these gateways that ever spoke."""
    rows = reader.all(
        "SELECT issuer, at, xml FROM control_in WHERE kind = 'heartbeat'"
        " AND issuer IN (SELECT value FROM json_each(?))",
        json.dumps(sorted(issuers)),
    )
    return {str(r[0]): Heartbeat(str(r[0]), str(r[1]), bytes(r[2])) for r in rows}


class Event(Struct, frozen=True):
    """An entry of the audit chain. data: its canonical JSON, read."""

    seq: int
    at: str
    kind: str
    data: dict[str, Any]
    head: str


SCANNED = 20_000
"""So many entries are looked at for a page; beyond them the page says where to go on."""


def events(
    reader: Reader, *, kind: str = "", before: int = NEWEST, limit: int = 50
) -> tuple[list[Event], int]:
    """Entries of the audit chain, newest first, of kinds that begin with `kind`.

    Returns: the entries, and the seq to go on before (0 at the end).
    """
    row = reader.one("SELECT max(seq) FROM event")
    newest = int(row[0] or 0) if row else 0
    top = min(before, newest + 1)
    floor = max(0, top - SCANNED)
    rows = reader.all(
        "SELECT seq, at, kind, data, head FROM event WHERE seq < ? AND seq >= ?"
        " AND substr(kind, 1, ?) = ? ORDER BY seq DESC LIMIT ?",
        top,
        floor,
        len(kind),
        kind,
        limit,
    )
    found = [Event(int(r[0]), str(r[1]), str(r[2]), json.loads(r[3]), str(r[4])) for r in rows]
    if len(found) == limit:
        return found, found[-1].seq
    return found, floor if floor > 1 else 0
