"""Acts of an operator on the journal: replay, hold, release, cancel. Each is audited with a reason.

The same functions serve the control socket of a running daemon and the command line when it is
down, so nothing can be done in one way that the other does not know. By id they act at once; by a
choice (`journal.bulk`) they begin a journaled walk that `pipeline.bulk` takes to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from frontgate.core.lifecycle import Transfer, TransferEvent
from frontgate.errors import FrontgateError, JournalError, RoutingError
from frontgate.journal import Journal, Reader, Tx, bulk, reconcile, transfers
from frontgate.journal.bulk import Choice, Group, Work
from frontgate.journal.reconcile import FoundGap
from frontgate.values import asdict

Cancelled = Callable[[Tx, Sequence[transfers.Row], FrontgateError], None]
"""Issues the signed `relay-failed` of cancelled transfers, in the transaction that cancels them."""
Again = Callable[[Tx, transfers.Row], None]
"""Lets the first outcome of an acknowledged transfer be told once more, to whom this node tells it."""

Heal = Callable[[Tx, FoundGap, str, str], int | None]
"""Closes a named gap by sending again what this side still has; None where it can do nothing."""


def find_transfers(source: Tx | Reader, ident: str) -> list[int]:
    """Transfers by their id, or all of a message by its MessageId, newest attempt last.

    Raises: JournalError FG-JRN-005.
    """
    if ident.isascii() and ident.isdigit() and len(ident) < 19:
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


def newest_transfers(source: Tx | Reader, ident: str) -> list[transfers.Row]:
    """The newest attempt of each transfer that `ident` names. Raises: JournalError FG-JRN-005."""
    found: dict[tuple[int, str, str], transfers.Row] = {}
    for transfer_id in find_transfers(source, ident):
        row = transfers.by_id(source, transfer_id)
        if row is not None:
            found[row.package_id, row.destination, row.receiver] = row
    return list(found.values())


def replay_ids(
    journal: Journal,
    idents: Sequence[str],
    *,
    actor: str,
    reason: str,
    again: Again = lambda _tx, _row: None,
    heal: Heal = lambda *_: None,
    only_gaps: bool = False,
) -> list[dict[str, Any]]:
    """Replay by id: a new attempt for what failed, or what closes a gap that reconciliation named.

    only_gaps: nothing but the latter; what this side can do nothing about is passed over.

    What was acknowledged yields its old receipt and one audit entry, nothing else; what is still
    under way stays so. Returns: per transfer `new` (id or None), `state`, `receipt` (kind, time, digest
    of the newest, or None) and `is_pruned`. Raises: JournalError FG-JRN-005.
    """
    done: list[dict[str, Any]] = []
    with journal.write() as tx:
        for ident in idents:
            healed = _healed(tx, ident, actor, reason, heal)
            done += healed
            for row in () if healed or only_gaps else newest_transfers(tx, ident):
                new = transfers.replay(tx, row.transfer_id, actor=actor, reason=reason)
                receipt = None
                if new is None and row.state is Transfer.ACKNOWLEDGED:
                    receipt = _newest_receipt(tx, row)
                    tx.event(
                        "replay-answered",
                        transfer=row.transfer_id,
                        receipt=receipt["digest"] if receipt else "",
                        actor=actor,
                        reason=reason,
                    )
                    again(tx, row)
                done.append(
                    {
                        "transfer": row.transfer_id,
                        "new": new,
                        "message": row.message_id,
                        "state": row.state.value,
                        "receipt": receipt,
                        "is_pruned": transfers.is_pruned(tx, row.package_id),
                    }
                )
    return done


def _healed(tx: Tx, ident: str, actor: str, reason: str, heal: Heal) -> list[dict[str, Any]]:
    """What was sent again because of open gaps of this message."""
    done: list[dict[str, Any]] = []
    for _, gap in reconcile.gaps(tx, message_id=ident) if not ident.isdigit() else ():
        new = heal(tx, gap, actor, reason)
        if new is None:
            continue
        tx.event("gap-answered", message=ident, gap=gap.kind.value, actor=actor, reason=reason)
        done.append(
            {
                "transfer": new or None,
                "new": new,
                "message": ident,
                "state": gap.kind.value,
                "receipt": None,
                "is_pruned": False,
            }
        )
    return done


def _newest_receipt(tx: Tx, row: transfers.Row) -> dict[str, str] | None:
    """The newest receipt that says what became of this transfer."""
    found = tx.one(
        "SELECT kind, event_time, digest FROM receipt WHERE message_id = ? AND sender = ?"
        " AND (? = '' OR receiver = ? OR receiver = '') ORDER BY id DESC LIMIT 1",
        row.message_id,
        row.sender,
        row.receiver,
        row.receiver,
    )
    return None if found is None else dict(zip(("kind", "time", "digest"), found, strict=True))


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
    with journal.write() as tx:
        transfer_id = find_transfers(tx, ident)[-1]
        state = apply_to(tx, [transfer_id], event, actor=actor, reason=reason, cancelled=cancelled)
    return [{"transfer": transfer_id, "state": state.value}]


def apply_to(
    tx: Tx,
    transfer_ids: Sequence[int],
    event: TransferEvent,
    *,
    actor: str,
    reason: str,
    cancelled: Cancelled | None,
) -> Transfer:
    """Hold, release or cancel these, in the caller's transaction; a cancel is told by signed receipts.

    Returns: the state of the last. Raises: IllegalTransition.
    """
    is_cancel = event is TransferEvent.CANCEL
    state = Transfer.QUEUED
    rows: list[transfers.Row] = []
    for transfer_id in transfer_ids:
        state = transfers.apply(tx, transfer_id, event, reason="FG-RTE-017" if is_cancel else "")
        tx.event("operator", act=event.value, transfer=transfer_id, actor=actor, reason=reason)
        row = transfers.by_id(tx, transfer_id)
        assert row is not None, "it was changed just now"
        rows.append(row)
    if is_cancel and cancelled is not None and rows:
        cancelled(tx, rows, RoutingError("FG-RTE-017", reason=reason))
    return state


def begin_bulk(
    journal: Journal, choice: Choice, *, per_s: float, actor: str, reason: str
) -> tuple[Work, bool]:
    """Journal an act on all transfers that `choice` means; `pipeline.bulk` carries it out.

    Returns: the work and whether it is new (the same act that still runs is not begun twice).
    """
    reader = journal.reader()
    try:
        planned = sum(group.count for group in bulk.plan(reader, choice))
    finally:
        reader.close()
    with journal.write() as tx:
        return bulk.begin(tx, choice, planned=planned, per_s=per_s, actor=actor, reason=reason)


def plan(source: Reader, choice: Choice) -> list[Group]:
    """What `begin_bulk` would act on; changes nothing."""
    return bulk.plan(source, choice)


def handlers(
    journal: Journal,
    wake: Callable[[], None],
    cancelled: Cancelled,
    again: Again = lambda _tx, _row: None,
    heal: Heal = lambda *_: None,
) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
    """The acts of this module for a daemon's control socket. wake: called after each.

    `replay` {ids, only_gaps}, `change` {id, event}, `bulk` {what, scope, to, kind, since, until, per_s},
    `bulk-status` {}, `bulk-stop` {job}; all but the status take actor and reason.
    """

    def woken(done: list[dict[str, Any]]) -> dict[str, Any]:
        wake()
        return {"done": done}

    def replay(r: dict[str, Any]) -> dict[str, Any]:
        return woken(
            replay_ids(
                journal,
                r["ids"],
                actor=r["actor"],
                reason=r["reason"],
                again=again,
                heal=heal,
                only_gaps=bool(r.get("only_gaps")),
            )
        )

    def change_one(r: dict[str, Any]) -> dict[str, Any]:
        event = TransferEvent(r["event"])
        return woken(
            change(
                journal, r["id"], event, actor=r["actor"], reason=r["reason"], cancelled=cancelled
            )
        )

    def begin(r: dict[str, Any]) -> dict[str, Any]:
        try:
            choice = Choice.of({**r, "act": r["what"]})
            per_s = max(0.0, float(r.get("per_s") or 0.0))
        except (KeyError, TypeError, ValueError) as error:
            raise JournalError("FG-JRN-008", detail=str(error)) from None
        work, is_new = begin_bulk(
            journal, choice, per_s=per_s, actor=r["actor"], reason=r["reason"]
        )
        wake()
        return {"job": work.as_dict(), "is_new": is_new}

    def status(_: dict[str, Any]) -> dict[str, Any]:
        reader = journal.reader()
        try:
            return {"jobs": [work.as_dict() for work in bulk.newest(reader)]}
        finally:
            reader.close()

    def stop(r: dict[str, Any]) -> dict[str, Any]:
        with journal.write() as tx:
            stopped = bulk.stop(tx, int(r["job"]), actor=r["actor"], reason=r["reason"])
        return {"stopped": stopped}

    return {
        "replay": replay,
        "change": change_one,
        "bulk": begin,
        "bulk-status": status,
        "bulk-stop": stop,
    }


def shown(groups: Sequence[Group]) -> dict[str, Any]:
    """A plan as the commands and the console tell it."""
    return {
        "plan": [asdict(group) for group in groups],
        "count": sum(group.count for group in groups),
        "bytes": sum(group.bytes for group in groups),
    }
