"""What the journal knows for reconciliation: relayed messages by hour, receipts, days, gaps."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from frontgate.core.reconcile import Gap, Key, Said, Sum
from frontgate.journal.store import Reader, Tx
from frontgate.values import Struct, asdict

_OPEN = frozenset({"QUEUED", "SENDING", "SENT", "HELD"})


EVER = "9"
"""After every time: RFC 3339 begins with the year."""
Newest = tuple[str, str, bool]
"""(state, destination, is open) of an attempt."""
ALL_HOURS = (1 << 24) - 1
MOST_WAITING = 500
"""Tallies of one peer that wait; a run of a sound gateway has fewer."""


class Held(Struct, frozen=True):
    """An admitted package as reconciliation needs it."""

    package_id: int
    recipients: tuple[str, ...]
    made_at: str


class FoundGap(Struct, frozen=True):
    """A gap with its place. bucket: the hour, UTC+08:00. hub_says, unit_says: words of `View`."""

    key: Key
    bucket: str
    kind: Gap
    hub_says: str
    unit_says: str
    since: str = ""

    def as_dict(self) -> dict[str, str]:
        shown = {**asdict(self.key), **asdict(self)}
        shown.pop("key")
        return {name: str(value) for name, value in shown.items()}


def relayed(reader: Reader, start: str, end: str) -> Iterator[tuple[str, str]]:
    """(MessageId, sender) of receipts `relay-accepted` in a span, sorted, once each; streamed."""
    last: tuple[str, str] | None = None
    for message_id, sender in reader.each(
        "SELECT message_id, sender FROM receipt INDEXED BY receipt_relayed"
        " WHERE kind = 'relay-accepted' AND event_time >= ? AND event_time < ?"
        " ORDER BY message_id, sender",
        start,
        end,
    ):
        pair = (str(message_id), str(sender))
        if pair != last:
            last = pair
            yield pair


def untold(reader: Reader, direction: str, start: str, end: str) -> Iterator[tuple[str, str]]:
    """(MessageId, sender) of packages admitted in a span without a `relay-accepted`, sorted."""
    yield from (
        (str(m), str(s))
        for m, s in reader.each(
            "SELECT p.message_id, p.sender FROM package p INDEXED BY package_day"
            " WHERE p.direction = ? AND p.made_at >= ? AND p.made_at < ? AND p.state = 'ADMITTED'"
            " AND NOT EXISTS (SELECT 1 FROM receipt r WHERE r.message_id = p.message_id"
            "   AND r.sender = p.sender AND r.kind = 'relay-accepted')"
            " ORDER BY p.message_id, p.sender",
            direction,
            start,
            end,
        )
    )


def said(source: Tx | Reader, message_id: str, sender: str, as_of: str) -> list[Said]:
    """The receipts about a message up to a moment; those that could not name its sender too."""
    rows = source.all(
        "SELECT kind, issuer_node, receiver, event_time FROM receipt WHERE message_id = ?"
        " AND sender IN (?, '') AND event_time <= ?",
        message_id,
        sender,
        as_of,
    )
    return [Said(str(r[0]), r[1] == "hub", str(r[2]), str(r[3])) for r in rows]


def held(source: Tx | Reader, direction: str, message_id: str, sender: str) -> Held | None:
    """The admitted package, if this side holds it."""
    row = source.one(
        "SELECT id, recipients, made_at FROM package WHERE direction = ? AND sender = ?"
        " AND message_id = ? AND state = 'ADMITTED'",
        direction,
        sender,
        message_id,
    )
    return None if row is None else Held(int(row[0]), tuple(str(row[1]).split()), str(row[2]))


def newest_transfer(source: Tx | Reader, package_id: int, receiver: str) -> Newest | None:
    """The newest attempt towards a receiver."""
    row = source.one(
        "SELECT state, destination FROM transfer WHERE package_id = ? AND receiver = ?"
        " ORDER BY attempt DESC, id DESC LIMIT 1",
        package_id,
        receiver,
    )
    if row is None:
        return None
    return str(row[0]), str(row[1]), str(row[0]) in _OPEN


def has_waiting_receipts(source: Tx | Reader, destination: str, as_of: str) -> bool:
    """Whether receipts up to a moment have not been answered by `destination` yet."""
    return (
        source.one(
            "SELECT 1 FROM receipt_out o JOIN receipt r ON r.id = o.receipt"
            " WHERE o.destination = ? AND r.event_time <= ? LIMIT 1",
            destination,
            as_of,
        )
        is not None
    )


# -- the inbox -------------------------------------------------------------------------------


def enqueue(tx: Tx, peer: str, xml: bytes) -> None:
    """A verified `tally` waits for the loop that works on them; of each peer only so many."""
    row = tx.one("SELECT count(*) FROM tally_in WHERE peer = ?", peer)
    if row is not None and int(row[0]) >= MOST_WAITING:
        tx.event("tally-dropped", peer=peer)
        return
    tx.run("INSERT INTO tally_in (peer, xml) VALUES (?, ?)", peer, xml)


def waiting(source: Tx | Reader, but: Collection[str] = ()) -> tuple[int, str, bytes] | None:
    """(row, peer, xml) of the oldest tally that waits, of peers other than `but`."""
    marks = ", ".join("?" * len(but))
    row = source.one(
        f"SELECT id, peer, xml FROM tally_in WHERE peer NOT IN ({marks}) ORDER BY id LIMIT 1",  # noqa: S608
        *but,
    )
    return None if row is None else (int(row[0]), str(row[1]), bytes(row[2]))


def worked(tx: Tx, row: int) -> None:
    tx.run("DELETE FROM tally_in WHERE id = ?", row)


# -- days and gaps ---------------------------------------------------------------------------


def set_day(
    tx: Tx, peer: str, day: str, direction: str, *, total: Sum, as_of: str, run: str
) -> None:
    """A day is being compared."""
    tx.run(
        "INSERT OR REPLACE INTO tally_day"
        " (peer, day, direction, state, hours, count, digest, as_of, run, told_at)"
        " VALUES (?, ?, ?, 'comparing', ?, ?, ?, ?, ?, ?)",
        peer,
        day,
        direction,
        ALL_HOURS,
        total.count,
        total.digest,
        as_of,
        run,
        tx.now_at,
    )


def settle(tx: Tx, peer: str, bucket: str, direction: str) -> None:
    """A day, or an hour of one, has been compared. With its last hour a day is agreed or has gaps."""
    day = bucket[:10]
    row = tx.one(
        "SELECT hours FROM tally_day WHERE peer = ? AND day = ? AND direction = ?",
        peer,
        day,
        direction,
    )
    if row is None:
        return
    hours = int(row[0]) & ~(1 << int(bucket[11:])) if len(bucket) > 10 else 0
    is_open = tx.one(
        "SELECT 1 FROM gap WHERE peer = ? AND direction = ? AND bucket >= ? AND bucket < ? LIMIT 1",
        peer,
        direction,
        day,
        day + "U",
    )
    state = "comparing" if hours else "gaps" if is_open else "agreed"
    tx.run(
        "UPDATE tally_day SET state = ?, hours = ?, told_at = ?"
        " WHERE peer = ? AND day = ? AND direction = ?",
        state,
        hours,
        tx.now_at,
        peer,
        day,
        direction,
    )


def close_gaps(
    tx: Tx,
    peer: str,
    direction: str,
    bucket: str,
    *,
    after: str = "",
    last: str = "",
    but: frozenset[Key] = frozenset(),
) -> int:
    """Close the gaps of a day or hour (within a range of MessageIds) that were not named again.

    Returns: how many. Each is told in the audit chain.
    """
    rows = tx.all(
        "SELECT message_id, sender, receiver, kind FROM gap WHERE peer = ? AND direction = ?"
        " AND bucket >= ? AND bucket < ? AND message_id > ? AND (? = '' OR message_id <= ?)",
        peer,
        direction,
        bucket,
        bucket + "U",  # after every hour of this day, and after this hour, before the next
        after,
        last,
        last,
    )
    closed = 0
    for message_id, sender, receiver, kind in rows:
        key = Key(str(message_id), str(sender), direction, str(receiver))
        if key in but:
            continue
        _forget(tx, peer, key)
        tx.event("gap-closed", peer=peer, gap=str(kind), **asdict(key))
        closed += 1
    return closed


def _forget(tx: Tx, peer: str, key: Key) -> None:
    tx.run(
        "DELETE FROM gap WHERE peer = ? AND message_id = ? AND sender = ? AND receiver = ?"
        " AND direction = ?",
        peer,
        key.message_id,
        key.sender,
        key.receiver,
        key.direction,
    )


def name_gap(tx: Tx, peer: str, found: FoundGap) -> None:
    """Open a gap, or keep it open: its `since` stays while its kind does."""
    key = found.key
    known = tx.one(
        "SELECT kind, since FROM gap WHERE peer = ? AND message_id = ? AND sender = ?"
        " AND receiver = ? AND direction = ?",
        peer,
        key.message_id,
        key.sender,
        key.receiver,
        key.direction,
    )
    is_new = known is None or str(known[0]) != found.kind.value
    tx.run(
        "INSERT OR REPLACE INTO gap (peer, message_id, sender, receiver, direction, bucket, kind,"
        " hub_says, unit_says, since) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        peer,
        key.message_id,
        key.sender,
        key.receiver,
        key.direction,
        found.bucket,
        found.kind.value,
        found.hub_says,
        found.unit_says,
        tx.now_at if is_new or known is None else str(known[1]),
    )
    if is_new:
        tx.event(
            "gap-found",
            peer=peer,
            gap=found.kind.value,
            hub_says=found.hub_says,
            unit_says=found.unit_says,
            **asdict(key),
        )


def gaps(
    source: Tx | Reader, *, peer: str = "", message_id: str = "", limit: int = 1000
) -> list[tuple[str, FoundGap]]:
    """(peer, gap) of open gaps, oldest first."""
    rows = source.all(
        "SELECT peer, message_id, sender, direction, receiver, bucket, kind, hub_says, unit_says,"
        " since FROM gap WHERE (? = '' OR peer = ?) AND (? = '' OR message_id = ?)"
        " ORDER BY since, peer, message_id LIMIT ?",
        peer,
        peer,
        message_id,
        message_id,
        limit,
    )
    return [
        (
            str(r[0]),
            FoundGap(
                Key(str(r[1]), str(r[2]), str(r[3]), str(r[4])),
                str(r[5]),
                Gap(str(r[6])),
                str(r[7]),
                str(r[8]),
                str(r[9]),
            ),
        )
        for r in rows
    ]


def days(source: Tx | Reader, *, peer: str = "", day: str = "") -> list[dict[str, object]]:
    """The newest outcome of each day with each peer, newest day first."""
    rows = source.all(
        "SELECT peer, day, direction, state, count, digest, as_of, told_at FROM tally_day"
        " WHERE (? = '' OR peer = ?) AND (? = '' OR day = ?) ORDER BY day DESC, peer, direction"
        " LIMIT 5000",
        peer,
        peer,
        day,
        day,
    )
    names = ("peer", "day", "direction", "state", "count", "digest", "as_of", "told_at")
    return [dict(zip(names, row, strict=True)) for row in rows]


def unanswered(source: Tx | Reader, peer: str, before: str) -> list[str]:
    """Days whose comparison began before then and has not come out."""
    rows = source.all(
        "SELECT DISTINCT day FROM tally_day WHERE peer = ? AND state = 'comparing' AND told_at < ?"
        " ORDER BY day DESC LIMIT 40",
        peer,
        before,
    )
    return [str(r[0]) for r in rows]


def forget_days(tx: Tx, before: str) -> None:
    """Days that are agreed and long past need no row."""
    tx.run("DELETE FROM tally_day WHERE day < ? AND state = 'agreed'", before)


def run_of(source: Tx | Reader, peer: str, run: str) -> list[tuple[str, str, str]]:
    """(day, direction, state) of one run with a peer."""
    rows = source.all(
        "SELECT day, direction, state FROM tally_day WHERE peer = ? AND run = ?", peer, run
    )
    return [(str(r[0]), str(r[1]), str(r[2])) for r in rows]
