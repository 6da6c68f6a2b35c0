"""What of the queues may go now, and in which order. States are written by `journal/transfers.py` alone."""

from __future__ import annotations

from frontgate.journal import transfers
from frontgate.journal.states import IN_ORDER, either
from frontgate.journal.store import Reader, Tx

_WAITS_FOR = (
    "(e.state = 'SENDING' OR (e.state = 'SENT' AND NOT ?4)"
    " OR (e.state = 'QUEUED' AND (e.is_large <> t.is_large OR e.due_ms > ?3"
    "  OR e.is_bulk > t.is_bulk OR (e.is_bulk = t.is_bulk AND e.urgency < t.urgency))))"
)
"""Whether an earlier one `e` is neither answered nor in the same list before `t`."""
_ANSWERED = (
    "FROM package q INDEXED BY package_message"
    " CROSS JOIN transfer e INDEXED BY transfer_package ON e.package_id = q.id"
    " WHERE q.message_id = p.in_reply_to AND q.sender = p.sender AND q.direction = p.direction"
    " AND e.destination = t.destination AND e.id < t.id"
)
"""The transfers `e` of what `t` replies to, where the same unit sent both."""
_EARLIER = (
    f"FROM transfer e INDEXED BY transfer_flow WHERE {either(IN_ORDER, 'e')}"
    " AND e.destination = t.destination AND e.flow_uid = t.flow_uid AND e.id < t.id"
    " AND e.package_id <> t.package_id"
)
"""The transfers `e` of the same flow that came before `t`."""
_DUE = (
    f"SELECT {transfers.COLUMNS},"  # noqa: S608
    f" CASE WHEN t.flow_uid <> '' THEN (SELECT max(e.id) {_EARLIER} AND e.state = 'QUEUED') END,"
    f" CASE WHEN p.in_reply_to <> '' THEN (SELECT max(e.id) {_ANSWERED} AND e.state = 'QUEUED') END"
    " FROM transfer t INDEXED BY %s CROSS JOIN package p ON p.id = t.package_id"
    " WHERE t.destination = ?1 AND t.state = 'QUEUED' AND t.is_large = ?2"
    " AND t.due_ms <= ?3%s"
    f" AND (t.flow_uid = '' OR NOT EXISTS (SELECT 1 {_EARLIER} AND ({_WAITS_FOR}%s)))"
    f" AND (p.in_reply_to = '' OR NOT EXISTS (SELECT 1 {_ANSWERED} AND {_WAITS_FOR}))"
    " ORDER BY t.is_bulk, t.urgency DESC, t.id"
)
_DUE_OF_ALL = _DUE % ("transfer_queue", "", "")
_DUE_OF_ONE = _DUE % (
    "transfer_sender",
    " AND t.is_bulk = 0 AND t.sender = ?5",
    " OR (e.state = 'QUEUED' AND e.sender <> t.sender)",
)


def due(
    source: Tx | Reader,
    destination: str,
    *,
    now_ms: int,
    large: bool,
    limit: int,
    sent_is_enough: bool = False,
    sender: str = "",
) -> list[transfers.Row]:
    """Queued transfers of one lane that may start now, urgent first, then in order.

    Order within a flow, and along InReplyTo within what one unit sends: one waits while an earlier
    one of the same FlowUid to the same destination, or the one that it replies to, is not yet
    answered, unless that one is in this very list before it; a held or failed one releases its
    followers. sent_is_enough: the last hop, where an entry that stands in the spool is in order
    whether or not it was taken yet. sender: of this unit alone, without bulk.
    """
    asked = (destination, int(large), now_ms, int(sent_is_enough))
    rows = source.each(_DUE_OF_ONE, *asked, sender) if sender else source.each(_DUE_OF_ALL, *asked)
    found: list[transfers.Row] = []
    known: set[int | None] = {None}
    for *values, earlier, answered in rows:
        # What one of them waits for may wait itself for something that is under way.
        if earlier in known and answered in known:
            known.add(values[0])
            found.append(transfers.row_of(values))
            if len(found) == limit:
                break
    rows.close()
    return found


def fair_due(
    source: Tx | Reader, destination: str, *, now_ms: int, large: bool, limit: int, after: str
) -> tuple[list[transfers.Row], str]:
    """`due`, but where more waits than `limit`, each sender has its share of it: one that floods a
    destination, urgently even, holds up nobody but itself. after: the sender that had the last turn.

    Returns: the transfers, and the sender that had the last turn now.
    """
    plain = due(source, destination, now_ms=now_ms, large=large, limit=limit)
    if len(plain) < limit:
        return plain, after
    senders = _senders(source, destination, large)
    if len(senders) < 2:
        return plain, after
    share = max(1, limit // len(senders))
    found: list[transfers.Row] = []
    for sender in sorted(senders, key=lambda s: (s <= after, s)):
        if len(found) == limit:
            break
        most = min(share, limit - len(found))
        theirs = due(source, destination, now_ms=now_ms, large=large, limit=most, sender=sender)
        if theirs:
            found += theirs
            after = sender
    known = {row.transfer_id for row in found}
    found += [row for row in plain if row.transfer_id not in known][: limit - len(found)]
    return found, after


def _senders(source: Tx | Reader, destination: str, large: bool) -> list[str]:
    """Who waits there, but for bulk: from one to the next by the index, however much each has."""
    rows = source.all(
        "WITH RECURSIVE s(sender) AS ("
        "  SELECT min(sender) FROM transfer INDEXED BY transfer_sender WHERE state = 'QUEUED'"
        "   AND destination = ?1 AND is_large = ?2 AND is_bulk = 0"
        "  UNION ALL"
        "  SELECT (SELECT min(sender) FROM transfer INDEXED BY transfer_sender WHERE state = 'QUEUED'"
        "   AND destination = ?1 AND is_large = ?2 AND is_bulk = 0 AND sender > s.sender)"
        "  FROM s WHERE s.sender IS NOT NULL)"
        " SELECT sender FROM s WHERE sender IS NOT NULL",
        destination,
        int(large),
    )
    return [str(r[0]) for r in rows]


def has_large(source: Tx | Reader) -> bool:
    """Whether any large package is queued, to whatever destination, due or not."""
    row = source.one(
        "SELECT 1 FROM transfer INDEXED BY transfer_large"
        " WHERE state = 'QUEUED' AND is_large = 1 LIMIT 1"
    )
    return row is not None


def next_due(source: Tx | Reader, destination: str) -> int | None:
    """When the next queued transfer to `destination` may start, in ms; None if none is queued."""
    row = source.one(
        "SELECT min(due_ms) FROM transfer WHERE destination = ? AND state = 'QUEUED' AND due_ms > 0",
        destination,
    )
    return None if row is None or row[0] is None else int(row[0])


def next_due_after(source: Tx | Reader, now_ms: int) -> int | None:
    """When the next transfer that waits for its time may start, to whatever destination, in ms."""
    row = source.one(
        "SELECT min(due_ms) FROM transfer INDEXED BY transfer_due"
        " WHERE state = 'QUEUED' AND due_ms > 0 AND due_ms > ?",
        now_ms,
    )
    return None if row is None or row[0] is None else int(row[0])


def destinations(source: Tx | Reader, *, now_ms: int, large: bool) -> list[str]:
    """Destinations with a queued transfer whose time has come.

    From one destination to the next by the index: it takes no longer for a longer queue.
    """
    rows = source.all(
        "WITH RECURSIVE d(destination) AS ("
        "  SELECT min(destination) FROM transfer INDEXED BY transfer_queue WHERE state = 'QUEUED'"
        "  UNION ALL"
        "  SELECT (SELECT min(destination) FROM transfer INDEXED BY transfer_queue"
        "    WHERE state = 'QUEUED' AND destination > d.destination)"
        "  FROM d WHERE d.destination IS NOT NULL)"
        " SELECT destination FROM d WHERE destination IS NOT NULL AND EXISTS ("
        "  SELECT 1 FROM transfer t INDEXED BY transfer_queue WHERE t.state = 'QUEUED'"
        "  AND t.destination = d.destination AND t.is_large = ? AND t.due_ms <= ?)",
        int(large),
        now_ms,
    )
    return [str(r[0]) for r in rows]
