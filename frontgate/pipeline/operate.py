"""Acts of an operator on the journal: replay, hold, release, cancel. Each is audited with a reason.

The same functions serve the control socket of a running daemon and the command line when it is
down, so nothing can be done in one way that the other does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from frontgate.core.lifecycle import TransferEvent
from frontgate.errors import FrontgateError, JournalError, RoutingError
from frontgate.journal import Journal, Reader, Tx, transfers


def find_transfers(source: Tx | Reader, ident: str) -> list[int]:
    """Transfers by their id, or all of a message by its MessageId, newest attempt last.

    Raises: JournalError FG-JRN-005.
    """
    if ident.isdigit():
        rows = source.all("SELECT id FROM transfer WHERE id = ?", int(ident))
    else:
        rows = source.all(
            "SELECT t.id FROM transfer t JOIN package p ON p.id = t.package_id"
            " WHERE p.message_id = ? ORDER BY t.id",
            ident,
        )
    if not rows:
        raise JournalError("FG-JRN-005", value=ident)
    return [int(r[0]) for r in rows]


def replay_ids(
    journal: Journal, idents: Sequence[str], *, actor: str, reason: str
) -> list[dict[str, Any]]:
    """Replay by id. A second replay of the same has no second effect, and says so."""
    done: list[dict[str, Any]] = []
    with journal.write() as tx:
        for ident in idents:
            for transfer_id in find_transfers(tx, ident):
                new = transfers.replay(tx, transfer_id, actor=actor, reason=reason)
                done.append({"transfer": transfer_id, "new": new, "message": ident})
    return done


def replay_failed(
    journal: Journal, *, actor: str, reason: str, since: str = "", until: str = "", kind: str = ""
) -> list[dict[str, Any]]:
    """Replay every failed, cancelled or unconfirmed transfer whose newest attempt that is."""
    done: list[dict[str, Any]] = []
    with journal.write() as tx:
        for row in failed(tx, since=since, until=until, kind=kind):
            new = transfers.replay(tx, int(row["transfer"]), actor=actor, reason=reason)
            if new is not None:
                done.append({**row, "new": new})
    return done


def failed(
    source: Tx | Reader, *, since: str = "", until: str = "", kind: str = ""
) -> list[dict[str, Any]]:
    """What `replay_failed` would replay."""
    rows = source.all(
        "SELECT t.id, p.message_id, p.message_type, t.destination, t.receiver, t.state, t.reason,"
        " t.changed_at FROM transfer t JOIN package p ON p.id = t.package_id"
        " WHERE t.state IN ('FAILED', 'CANCELLED', 'UNCONFIRMED')"
        " AND t.changed_at >= ? AND (? = '' OR t.changed_at < ?)"
        " AND (? = '' OR p.message_type = ? OR p.message_type LIKE ? || '.%')"
        " AND t.attempt = (SELECT max(n.attempt) FROM transfer n WHERE n.package_id = t.package_id"
        "   AND n.destination = t.destination AND n.receiver = t.receiver) ORDER BY t.id",
        since,
        until,
        until,
        kind,
        kind,
        kind,
    )
    names = (
        "transfer",
        "message",
        "type",
        "destination",
        "receiver",
        "state",
        "reason",
        "changed_at",
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


Cancelled = Callable[[Tx, transfers.Row, FrontgateError], None]
"""Issues the signed `relay-failed` of a cancelled transfer, in the transaction that cancels it."""


def change(
    journal: Journal,
    ident: str,
    event: TransferEvent,
    *,
    actor: str,
    reason: str,
    cancelled: Cancelled | None = None,
) -> list[dict[str, Any]]:
    """Hold, release or cancel the newest attempt.

    Raises: IllegalTransition where its state does not allow that; JournalError FG-JRN-005 for an
    unknown one, FG-JRN-007 for a cancel that nobody here can sign.
    """
    if event is TransferEvent.CANCEL and cancelled is None:
        raise JournalError("FG-JRN-007")
    done: list[dict[str, Any]] = []
    with journal.write() as tx:
        transfer_id = find_transfers(tx, ident)[-1]
        state = transfers.apply(
            tx, transfer_id, event, reason="FG-RTE-017" if event is TransferEvent.CANCEL else ""
        )
        row = transfers.by_id(tx, transfer_id)
        if event is TransferEvent.CANCEL and cancelled is not None and row is not None:
            cancelled(tx, row, RoutingError("FG-RTE-017", reason=reason))
        tx.event("operator", act=event.value, transfer=transfer_id, actor=actor, reason=reason)
        done.append({"transfer": transfer_id, "state": state.value})
    return done


def handlers(
    journal: Journal, wake: Callable[[], None], cancelled: Cancelled
) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
    """The acts of this module for a daemon's control socket. wake: called after each."""

    def woken(done: list[dict[str, Any]]) -> dict[str, Any]:
        wake()
        return {"done": done}

    def replay(r: dict[str, Any]) -> dict[str, Any]:
        return woken(replay_ids(journal, r["ids"], actor=r["actor"], reason=r["reason"]))

    def replay_all(r: dict[str, Any]) -> dict[str, Any]:
        return woken(
            replay_failed(
                journal,
                actor=r["actor"],
                reason=r["reason"],
                since=r.get("since", ""),
                until=r.get("until", ""),
                kind=r.get("type", ""),
            )
        )

    def change_one(r: dict[str, Any]) -> dict[str, Any]:
        event = TransferEvent(r["event"])
        return woken(
            change(
                journal, r["id"], event, actor=r["actor"], reason=r["reason"], cancelled=cancelled
            )
        )

    return {"replay": replay, "replay-failed": replay_all, "change": change_one}
