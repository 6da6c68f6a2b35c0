"""Transfers: the only place that writes a state, and only as `core.lifecycle` says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from frontgate.core.lifecycle import FINAL, Transfer, TransferEvent, advance
from frontgate.errors import InternalError
from frontgate.journal import states
from frontgate.journal.store import Reader, Tx
from frontgate.values import Struct


class Row(Struct, frozen=True):
    """A transfer and what its way needs of the package."""

    transfer_id: int
    package_id: int
    destination: str
    receiver: str
    attempt: int
    state: Transfer
    failures: int
    sender: str
    message_id: str
    message_type: str
    size_bytes: int
    bundle_id: str
    entry: str
    test_flag: bool
    flow_uid: str = ""
    changed_ms: int = 0


COLUMNS = (
    "t.id, t.package_id, t.destination, t.receiver, t.attempt, t.state, t.failures, p.sender,"
    " p.message_id, p.message_type, p.size_bytes, t.bundle_id, t.entry, p.test_flag,"
    " t.flow_uid, t.changed_ms"
)


def row_of(values: Sequence[Any]) -> Row:
    """The tables are STRICT: each column has its type already."""
    v = values
    return Row(
        v[0], v[1], v[2], v[3], v[4], Transfer(v[5]), v[6], v[7], v[8], v[9], v[10], v[11], v[12],
        bool(v[13]), v[14], v[15],
    )  # fmt: skip


def add(
    tx: Tx,
    *,
    package_id: int,
    destination: str,
    receiver: str = "",
    is_large: bool = False,
    attempt: int = 1,
    is_bulk: bool = False,
) -> int:
    """Queue a package for a destination. Returns: the transfer's id.

    is_bulk: one of many that are sent again; it goes behind all others of its destination.
    """
    return tx.insert(
        "INSERT INTO transfer (package_id, destination, receiver, attempt, state, sender, urgency,"
        " flow_uid, is_large, is_bulk, made_at, made_ms, changed_at, changed_ms)"
        " SELECT id, ?, ?, ?, 'QUEUED', sender, urgency, flow_uid, ?, ?, ?, ?, ?, ?"
        " FROM package WHERE id = ?",
        destination,
        receiver,
        attempt,
        int(is_large),
        int(is_bulk),
        tx.now_at,
        tx.now_ms,
        tx.now_at,
        tx.now_ms,
        package_id,
    )


def apply(
    tx: Tx,
    transfer_id: int,
    event: TransferEvent,
    *,
    reason: str = "",
    due_ms: int | None = None,
    bundle_id: str | None = None,
    entry: str | None = None,
) -> Transfer:
    """Apply one event: state, audit event and details in the caller's transaction.

    reason: code of why, for refusals and retries. due_ms: when a queued transfer may start.
    Returns: the new state. Raises: IllegalTransition; InternalError if the row vanished.
    """
    row = tx.one("SELECT state, failures FROM transfer WHERE id = ?", transfer_id)
    if row is None:
        raise InternalError("FG-INT-001", what=f"transfer {transfer_id} is gone")
    old, failures = Transfer(row[0]), int(row[1])
    new = advance(old, event)
    if old in FINAL:
        tx.event("late-evidence", transfer=transfer_id, state=old.value, event=event.value)
        return old
    if event is TransferEvent.TRANSIENT:
        failures += 1
    changed = tx.run(
        "UPDATE transfer SET state = ?, failures = ?, changed_at = ?, changed_ms = ?,"
        " reason = CASE WHEN ? <> '' THEN ? WHEN ? THEN '' ELSE reason END,"
        " due_ms = coalesce(?, due_ms), bundle_id = coalesce(?, bundle_id), entry = coalesce(?, entry)"
        " WHERE id = ? AND state = ?",
        new.value,
        failures,
        tx.now_at,
        tx.now_ms,
        reason,
        reason,
        int(new in (Transfer.SENT, Transfer.ACKNOWLEDGED)),
        due_ms,
        bundle_id,
        entry,
        transfer_id,
        old.value,
    )
    if changed != 1:
        raise InternalError("FG-INT-001", what=f"transfer {transfer_id} changed under us")
    tx.event(
        "transfer",
        transfer=transfer_id,
        old=old.value,
        event=event.value,
        new=new.value,
        **({"reason": reason} if reason else {}),
    )
    return new


def oldest_open(source: Tx | Reader) -> str:
    """When the oldest transfer that is still to be brought to an end was made; empty without one."""
    found: list[tuple[int, str]] = []
    for warned in (0, 1, 2):
        row = source.one(
            "SELECT made_ms, made_at FROM transfer INDEXED BY transfer_age WHERE warned = ?"  # noqa: S608
            f" AND {states.either(states.AGING)} ORDER BY made_ms LIMIT 1",
            warned,
        )
        if row is not None:
            found.append((int(row[0]), str(row[1])))
    return min(found)[1] if found else ""


def in_state(
    source: Tx | Reader,
    state: Transfer,
    *,
    destination_prefix: str = "",
    limit: int = 1000,
    after_id: int = 0,
    changed_before_ms: int | None = None,
) -> list[Row]:
    """Transfers in one open state, by id; page with `after_id`."""
    rows = source.all(
        f"SELECT {COLUMNS} FROM transfer t JOIN package p ON p.id = t.package_id"  # noqa: S608
        " WHERE t.state = ? AND t.id > ? AND substr(t.destination, 1, ?) = ? AND t.changed_ms < ?"
        " ORDER BY t.id LIMIT ?",
        state.value,
        after_id,
        len(destination_prefix),
        destination_prefix,
        changed_before_ms if changed_before_ms is not None else 1 << 62,
        limit,
    )
    return [row_of(r) for r in rows]


def sent_page(
    source: Tx | Reader,
    prefix: str,
    *,
    before_ms: int = 1 << 62,
    after: Row | None = None,
    limit: int = 500,
) -> list[Row]:
    """Sent transfers to destinations with this prefix that last changed before then.

    Ordered by destination and change; page by giving the last row of the page before. Each page
    costs what it holds, however many there are.
    """
    columns = (
        f"SELECT {COLUMNS} FROM transfer t INDEXED BY transfer_open"  # noqa: S608
        " CROSS JOIN package p ON p.id = t.package_id WHERE t.state = 'SENT' AND t.changed_ms < ?"
    )
    rows: list[tuple[Any, ...]] = []
    if after is not None:
        # By itself: along two columns at once SQLite would begin at the destination's first row.
        rows = source.all(
            columns + " AND t.destination = ? AND (t.changed_ms, t.id) > (?, ?)"
            " ORDER BY t.changed_ms, t.id LIMIT ?",
            before_ms,
            after.destination,
            after.changed_ms,
            after.transfer_id,
            limit,
        )
    if len(rows) < limit:
        rows += source.all(
            columns + f" AND t.destination {'>' if after else '>='} ? AND t.destination < ?"
            " ORDER BY t.destination, t.changed_ms, t.id LIMIT ?",
            before_ms,
            after.destination if after else prefix,
            prefix + "\U0010ffff",
            limit - len(rows),
        )
    return [row_of(r) for r in rows]


def sent_entries(
    source: Tx | Reader, destination: str, after: tuple[int, int] = (0, 0), limit: int = 2000
) -> list[tuple[int, int, str]]:
    """(when it was sent, id, entry) of what was sent to one destination and has not ended, in that order; page
    by giving the first two of the last one. No more than that is read: most of them are as they were.
    """
    return source.all(
        "SELECT changed_ms, id, entry FROM transfer INDEXED BY transfer_open WHERE state = 'SENT'"
        " AND destination = ? AND (changed_ms, id) > (?, ?) ORDER BY changed_ms, id LIMIT ?",
        destination,
        *after,
        limit,
    )


def of_ids(source: Tx | Reader, ids: Iterable[int]) -> list[Row]:
    """Transfers by their ids, in that order; none for one that is gone."""
    statement = (
        f"SELECT {COLUMNS} FROM transfer t"  # noqa: S608
        " JOIN package p ON p.id = t.package_id WHERE t.id = ?"
    )
    rows = (source.one(statement, number) for number in ids)
    return [row_of(r) for r in rows if r is not None]


def under_way(source: Tx | Reader, destination: str, *, large: bool) -> list[Row]:
    """Transfers of one lane that were begun and not ended: a turn that failed left them."""
    rows = source.all(
        f"SELECT {COLUMNS} FROM transfer t INDEXED BY transfer_open"  # noqa: S608
        " CROSS JOIN package p ON p.id = t.package_id"
        " WHERE t.state = 'SENDING' AND t.destination = ? AND t.is_large = ?"
        " ORDER BY t.id LIMIT 500",
        destination,
        int(large),
    )
    return [row_of(r) for r in rows]


def is_entry_open(source: Tx | Reader, destination: str, entry: str) -> bool:
    """Whether the last hop still has an entry of that name to deliver there."""
    row = source.one(
        "SELECT 1 FROM transfer t INDEXED BY transfer_open WHERE t.state IN ('QUEUED', 'SENDING')"  # noqa: S608
        f" AND {states.either(states.OPEN, 't')} AND t.destination = ? AND t.entry = ? LIMIT 1",
        destination,
        entry,
    )
    return row is not None


def older_than(
    source: Tx | Reader,
    meant: Sequence[Transfer],
    *,
    made_before_ms: int,
    destination_prefix: str,
    warned: Sequence[int] = (0, 1, 2),
    limit: int = 64,
) -> list[Row]:
    """Open transfers that were queued before then, oldest first. warned: how often that was told."""
    times = ", ".join(str(int(n)) for n in warned)
    rows = source.all(
        f"SELECT {COLUMNS} FROM transfer t INDEXED BY transfer_age"  # noqa: S608
        f" JOIN package p ON p.id = t.package_id WHERE {states.either((s.value for s in meant), 't')}"
        f" AND {states.either(states.AGING, 't')}"
        f" AND t.warned IN ({times}) AND t.made_ms < ? AND substr(t.destination, 1, ?) = ?"
        " ORDER BY t.made_ms, t.id LIMIT ?",
        made_before_ms,
        len(destination_prefix),
        destination_prefix,
        limit,
    )
    return [row_of(r) for r in rows]


def mark_warned(tx: Tx, transfer_id: int, times: int) -> None:
    """A `relay-delayed` was issued for the `times`-th limit."""
    tx.run("UPDATE transfer SET warned = ? WHERE id = ?", times, transfer_id)


def of_bundle(source: Tx | Reader, bundle_id: str) -> list[Row]:
    """The transfers that ride in one outgoing bundle."""
    rows = source.all(
        f"SELECT {COLUMNS} FROM transfer t JOIN package p ON p.id = t.package_id"  # noqa: S608
        " WHERE t.bundle_id = ? AND t.bundle_id <> '' AND t.state IN ('SENDING', 'SENT') ORDER BY t.id",
        bundle_id,
    )
    return [row_of(r) for r in rows]


def by_id(source: Tx | Reader, transfer_id: int) -> Row | None:
    """One transfer."""
    rows = source.all(
        f"SELECT {COLUMNS} FROM transfer t JOIN package p ON p.id = t.package_id"  # noqa: S608
        " WHERE t.id = ?",
        transfer_id,
    )
    return row_of(rows[0]) if rows else None


def of_package(source: Tx | Reader, package_id: int) -> list[Row]:
    """All transfers of a package, oldest first."""
    rows = source.all(
        f"SELECT {COLUMNS} FROM transfer t JOIN package p ON p.id = t.package_id"  # noqa: S608
        " WHERE t.package_id = ? ORDER BY t.id",
        package_id,
    )
    return [row_of(r) for r in rows]


def latest(
    source: Tx | Reader,
    *,
    direction: str,
    message_id: str,
    sender: str = "",
    receiver: str | None,
    prefix: str = "",
) -> Row | None:
    """The newest transfer of a message (to one receiver, if given)."""
    rows = source.all(
        f"SELECT {COLUMNS} FROM package p INDEXED BY package_message"  # noqa: S608
        " CROSS JOIN transfer t ON t.package_id = p.id"
        " WHERE p.message_id = ? AND p.direction = ? AND (? = '' OR p.sender = ?)"
        " AND (? IS NULL OR t.receiver = ?) AND substr(t.destination, 1, ?) = ?"
        " ORDER BY t.id DESC LIMIT 1",
        message_id,
        direction,
        sender,
        sender,
        receiver,
        receiver,
        len(prefix),
        prefix,
    )
    return row_of(rows[0]) if rows else None


REPLAYABLE = (Transfer.FAILED, Transfer.CANCELLED, Transfer.UNCONFIRMED)
"""What ended without success: a replay of these is a new attempt."""


def is_pruned(source: Tx | Reader, package_id: int) -> bool:
    """Whether only the row of a package remains: its segment went when its term was over, or it is
    known by the receipts that came back after a restore.
    """
    return (
        source.one(
            "SELECT 1 FROM package p LEFT JOIN segment s ON s.id = p.segment_id"
            " WHERE p.id = ? AND (s.state <> 'kept' OR (p.is_adopted = 1 AND p.segment_id IS NULL))",
            package_id,
        )
        is not None
    )


def newest_attempt(source: Tx | Reader, package_id: int, destination: str, receiver: str) -> int:
    """The number of the newest attempt; 0 where there is none."""
    row = source.one(
        "SELECT max(attempt) FROM transfer WHERE package_id = ? AND destination = ? AND receiver = ?",
        package_id,
        destination,
        receiver,
    )
    return 0 if row is None or row[0] is None else int(row[0])


def replay(
    tx: Tx,
    transfer_id: int,
    *,
    actor: str,
    reason: str,
    is_lost: bool = False,
    is_bulk: bool = False,
) -> int | None:
    """A new row for a failed or cancelled transfer: Attempt + 1, same package.

    is_lost: the other side is known to have lost what it had acknowledged: that is sent again too.
    Returns: the new transfer's id, or None where there is nothing to do (it is still open, was
    acknowledged, was replayed already, or its content was pruned): a second replay has no second
    effect.
    """
    row = by_id(tx, transfer_id)
    if row is None:
        return None
    if row.state not in REPLAYABLE and not (is_lost and row.state is Transfer.ACKNOWLEDGED):
        return None
    if newest_attempt(tx, row.package_id, row.destination, row.receiver) != row.attempt:
        return None
    if is_pruned(tx, row.package_id):
        return None
    new_id = _another(tx, row, is_bulk=is_bulk)
    tx.event(
        "replay",
        transfer=transfer_id,
        new=new_id,
        attempt=row.attempt + 1,
        actor=actor,
        reason=reason,
    )
    return new_id


def settle(tx: Tx, row: Row, event: TransferEvent, *, reason: str = "") -> Transfer:
    """Apply what a receipt says to the newest attempt of a transfer.

    A positive receipt after an attempt that failed or was cancelled tells of a success on another
    way (the other side was repaired, or tried again by itself): it is a new attempt, acknowledged
    at once, and the failed one stays as it was.
    """
    if row.state in REPLAYABLE[:2] and event is TransferEvent.RECEIPT_ACCEPTED:
        new_id = _another(tx, row, is_bulk=False)
        tx.event("superseded", transfer=row.transfer_id, new=new_id, attempt=row.attempt + 1)
        return apply(tx, new_id, event, reason=reason)
    return apply(tx, row.transfer_id, event, reason=reason)


def _another(tx: Tx, row: Row, *, is_bulk: bool) -> int:
    large = tx.one("SELECT is_large FROM transfer WHERE id = ?", row.transfer_id)
    return add(
        tx,
        package_id=row.package_id,
        destination=row.destination,
        receiver=row.receiver,
        is_large=bool(large and large[0]),
        attempt=row.attempt + 1,
        is_bulk=is_bulk,
    )
