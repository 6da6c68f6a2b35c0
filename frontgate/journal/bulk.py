"""Acts on many transfers: which ones, how many they are, and how far such an act has come.

A `Choice` says which. `plan` counts them without changing anything; `page` walks them by transfer
id, so that neither needs more memory for more rows; the walk's place is a row of the journal.
"""

from __future__ import annotations

import json

from frontgate.journal.states import ENDED, OPEN, either
from frontgate.journal.store import Reader, Tx
from frontgate.values import Struct, asdict

FAILED = "failed"
NEEDED = "needed"
AGAIN = "again"
SCOPES = (FAILED, NEEDED, AGAIN)
"""Which transfers a replay means: those that failed; also what was delivered and not yet handed
over; also what was handed over. The last two are for a receiver that lost its disk."""

_STATES = {
    "hold": ("QUEUED",),
    "release": ("HELD",),
    "cancel": ("QUEUED", "HELD"),
}
PAGE = 500
WINDOW = 5000
"""Ids of one page where no index leads from one match to the next."""


class Choice(Struct, frozen=True):
    """Which transfers an act is about.

    act: replay, hold, release or cancel. scope: of a replay, see `SCOPES`. since, until: RFC 3339
    UTC, by the last change of state. to: unit code of a receiver. kind: a flow or message type.
    """

    act: str = "replay"
    scope: str = FAILED
    to: str = ""
    kind: str = ""
    since: str = ""
    until: str = ""

    def text(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def of(cls, values: dict[str, str]) -> Choice:
        """From the fields of a request. Raises: ValueError for an act or scope that is none."""
        names = ("act", "scope", "to", "kind", "since", "until")
        made = cls(**{n: str(values[n]) for n in names if values.get(n)})
        if made.act not in ("replay", *_STATES) or made.scope not in SCOPES:
            raise ValueError(f"act {made.act!r}, scope {made.scope!r}")
        return made


class Group(Struct, frozen=True):
    """One line of a plan. bytes: of the packages as sealed."""

    destination: str
    kind: str
    reason: str
    count: int
    bytes: int


class Candidate(Struct, frozen=True):
    """A transfer that the walk came by. is_meant: whether the choice means it."""

    transfer_id: int
    is_meant: bool
    size_bytes: int
    state: str


class Work(Struct, frozen=True):
    """A bulk act as journaled. at_id: the last transfer that was looked at."""

    work_id: int
    choice: Choice
    per_s: float
    actor: str
    reason: str
    state: str
    at_id: int
    end_id: int
    planned: int
    done: int
    bytes: int
    begun_at: str
    ended_at: str

    def as_dict(self) -> dict[str, object]:
        shown = asdict(self)
        return {"job": shown.pop("work_id"), **shown}


def _meant(choice: Choice) -> tuple[str, list[object]]:
    """The condition of a choice over transfer t and package p, and its values."""
    if choice.act != "replay":
        states = _STATES[choice.act]
    elif choice.scope == FAILED:
        states = ENDED
    else:
        states = (*ENDED, "ACKNOWLEDGED")
    sql = [either(states, "t")]
    values: list[object] = []
    if choice.since:
        sql.append("t.changed_at >= ?")
        values.append(choice.since)
    if choice.until:
        sql.append("t.changed_at < ?")
        values.append(choice.until)
    if choice.kind:
        sql.append("(p.message_type = ? OR substr(p.message_type, 1, length(?) + 1) = ? || '.')")
        values += [choice.kind] * 3
    if choice.to:
        sql.append(
            "(t.receiver = ? OR (t.receiver = '' AND instr(' ' || p.recipients || ' ', ?) > 0))"
        )
        values += [choice.to, f" {choice.to} "]
    if choice.act == "replay":
        sql.append(
            "NOT EXISTS (SELECT 1 FROM segment g WHERE g.id = p.segment_id AND g.state <> 'kept')"
        )
        sql.append(
            "t.attempt = (SELECT max(n.attempt) FROM transfer n WHERE n.package_id = t.package_id"
            " AND n.destination = t.destination AND n.receiver = t.receiver)"
        )
        if choice.scope == NEEDED:
            sql.append(
                "(t.state <> 'ACKNOWLEDGED' OR NOT EXISTS (SELECT 1 FROM receipt r"
                " WHERE r.message_id = p.message_id AND r.sender = p.sender"
                " AND r.receiver = t.receiver AND r.kind = 'handed-over'))"
            )
    return " AND ".join(sql), values


def _is_indexed(choice: Choice) -> bool:
    return choice.act == "replay" and choice.scope == FAILED


def plan(source: Tx | Reader, choice: Choice) -> list[Group]:
    """How many transfers are meant, by destination, type and reason, most first."""
    meant, values = _meant(choice)
    index = "INDEXED BY transfer_failed" if _is_indexed(choice) else ""
    if _is_indexed(choice):
        meant = f"{either(ENDED, 't')} AND {meant}"
    rows = source.all(
        "SELECT t.destination, p.message_type, t.reason, count(*), coalesce(sum(p.size_bytes), 0)"  # noqa: S608
        f" FROM transfer t {index} CROSS JOIN package p ON p.id = t.package_id WHERE {meant}"
        " GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3",
        *values,
    )
    return [Group(str(r[0]), str(r[1]), str(r[2]), int(r[3]), int(r[4])) for r in rows]


def page(
    source: Tx | Reader, choice: Choice, *, after_id: int, end_id: int, limit: int = PAGE
) -> tuple[list[Candidate], int]:
    """The next candidates by id, and the id up to which everything was looked at.

    Returns: ([], end_id) when the walk is over.
    """
    meant, values = _meant(choice)
    if _is_indexed(choice):
        inner = (
            "SELECT id FROM transfer INDEXED BY transfer_failed"  # noqa: S608
            f" WHERE {either(ENDED)} AND id > ? AND id <= ?"
            " ORDER BY id LIMIT ?"
        )
        rows = source.all(
            f"SELECT t.id, {meant}, p.size_bytes, t.state FROM ({inner}) c"  # noqa: S608
            " CROSS JOIN transfer t ON t.id = c.id CROSS JOIN package p ON p.id = t.package_id"
            " ORDER BY t.id",
            *values,
            after_id,
            end_id,
            limit,
        )
        found = [Candidate(int(r[0]), bool(r[1]), int(r[2]), str(r[3])) for r in rows]
        return found, found[-1].transfer_id if len(found) == limit else end_id
    last = min(end_id, after_id + WINDOW)
    rows = source.all(
        "SELECT t.id, p.size_bytes, t.state FROM transfer t CROSS JOIN package p"  # noqa: S608
        f" ON p.id = t.package_id WHERE t.id > ? AND t.id <= ? AND {meant} ORDER BY t.id LIMIT ?",
        after_id,
        last,
        *values,
        limit,
    )
    found = [Candidate(int(r[0]), True, int(r[1]), str(r[2])) for r in rows]
    return found, found[-1].transfer_id if len(found) == limit else last


def bounds(source: Tx | Reader, choice: Choice) -> tuple[int, int]:
    """(id before the first, id of the last) transfer that a walk has to look at."""
    newest = source.one("SELECT coalesce(max(id), 0) FROM transfer")
    states = _STATES.get(choice.act)
    first = None
    if states is not None:
        first = source.one(
            f"SELECT min(id) FROM transfer INDEXED BY transfer_open WHERE {either(states)}"  # noqa: S608
            f" AND {either(OPEN)}"
        )
    end_id = int(newest[0]) if newest else 0
    if states is None:
        return 0, end_id
    return (end_id if first is None or first[0] is None else int(first[0]) - 1), end_id


# -- the journaled work --------------------------------------------------------------------

_COLUMNS = "id, choice, per_s, actor, reason, state, at_id, end_id, planned, done, bytes, begun_at, ended_at"


def _work(r: tuple[object, ...]) -> Work:
    return Work(
        int(str(r[0])),
        Choice.of(json.loads(str(r[1]))),
        float(str(r[2])),
        str(r[3]),
        str(r[4]),
        str(r[5]),
        int(str(r[6])),
        int(str(r[7])),
        int(str(r[8])),
        int(str(r[9])),
        int(str(r[10])),
        str(r[11]),
        str(r[12]),
    )


def begin(
    tx: Tx, choice: Choice, *, planned: int, per_s: float, actor: str, reason: str
) -> tuple[Work, bool]:
    """Journal a bulk act; the same one that is still running is not begun twice.

    Returns: the work, and whether it is new.
    """
    for work in running(tx):
        if work.choice == choice:
            return work, False
    at_id, end_id = bounds(tx, choice)
    work_id = tx.insert(
        "INSERT INTO bulk (act, choice, per_s, actor, reason, state, at_id, end_id, planned, begun_at)"
        " VALUES (?, ?, ?, ?, ?, 'running', ?, ?, ?, ?)",
        choice.act,
        choice.text(),
        per_s,
        actor,
        reason,
        at_id,
        end_id,
        planned,
        tx.now_at,
    )
    tx.event(
        "bulk-begun",
        job=work_id,
        act=choice.act,
        choice=asdict(choice),
        planned=planned,
        per_s=per_s,
        actor=actor,
        reason=reason,
    )
    made = find(tx, work_id)
    assert made is not None
    return made, True


def find(source: Tx | Reader, work_id: int) -> Work | None:
    row = source.one(f"SELECT {_COLUMNS} FROM bulk WHERE id = ?", work_id)  # noqa: S608
    return None if row is None else _work(row)


def running(source: Tx | Reader) -> list[Work]:
    """Acts that are not at their end, oldest first."""
    rows = source.all(
        f"SELECT {_COLUMNS} FROM bulk INDEXED BY bulk_running WHERE state = 'running' ORDER BY id"  # noqa: S608
    )
    return [_work(r) for r in rows]


def newest(source: Tx | Reader, limit: int = 20) -> list[Work]:
    rows = source.all(f"SELECT {_COLUMNS} FROM bulk ORDER BY id DESC LIMIT ?", limit)  # noqa: S608
    return [_work(r) for r in rows]


def advance(tx: Tx, work: Work, *, at_id: int, done: int, size_bytes: int) -> None:
    """Keep how far an act has come; at its last id it is done."""
    is_over = at_id >= work.end_id
    tx.run(
        "UPDATE bulk SET at_id = ?, done = done + ?, bytes = bytes + ?,"
        " state = CASE WHEN ? THEN 'done' ELSE state END,"
        " ended_at = CASE WHEN ? THEN ? ELSE ended_at END WHERE id = ?",
        at_id,
        done,
        size_bytes,
        int(is_over),
        int(is_over),
        tx.now_at,
        work.work_id,
    )
    if is_over:
        tx.event("bulk-done", job=work.work_id, act=work.choice.act, done=work.done + done)


def stop(tx: Tx, work_id: int, *, actor: str, reason: str) -> bool:
    """End a running act where it is; what it did stays. Returns: whether it was running."""
    stopped = tx.run(
        "UPDATE bulk SET state = 'stopped', ended_at = ? WHERE id = ? AND state = 'running'",
        tx.now_at,
        work_id,
    )
    if stopped:
        tx.event("bulk-stopped", job=work_id, actor=actor, reason=reason)
    return bool(stopped)
