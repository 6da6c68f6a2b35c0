"""Grave acts wait for a second person: revoke and suspend, bulk replay, change of a role.

A request is asked for by one account with a reason and decided by another. The state `approved` is
on stable storage before the act is done, and `done` or `failed` after it: a crash in between leaves
`approved`, which whoever may decide can carry out again (every act here may be done twice).

A request lapses with its time, and with the right of who asked: what a person may not ask for any more
is not done in their name. Whoever disables an account or changes its role lets its requests lapse in the
same transaction, so that they do not come back with the account. That it lapsed, and why, goes into the
audit chain by `tell_lapsed`: once, as soon as the hub answers. A crash between the entry and the note
that it is there writes it a second time, with the same number of the request; it is never left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from frontgate import clock
from frontgate.console.access import Person, Right, decides
from frontgate.console.recorder import Entry
from frontgate.errors import ConsoleError
from frontgate.journal import timestamp
from frontgate.journal.sidefile import SideFile
from frontgate.values import Struct

ACTS = {
    "suspend": Right.DIRECTORY,
    "lift": Right.DIRECTORY,
    "revoke": Right.DIRECTORY,
    "replay-failed": Right.BULK,
    "role": Right.DIRECTORY,
}
"""What may be asked for, and the right that it takes as long as it waits."""
LAPSES = timedelta(days=3)
"""From the asking to the decision, and from the decision to what came of it."""
WAITING, APPROVED, DONE, FAILED, REFUSED = "waiting", "approved", "done", "failed", "refused"
OPEN = (WAITING, APPROVED)
BY_TIME, BY_ASKER = "time", "asker"
_COLUMNS = "id, act, params, reason, asked_by, asked_at, state, decided_by, decided_at, result"


class Request(Struct, frozen=True):
    """What somebody asked for. params: of the act, plain texts. result: what came of it, as JSON;
    `lapsed` in it: why nothing did."""

    id: int
    act: str
    params: Mapping[str, str]
    reason: str
    asked_by: str
    asked_at: str
    state: str
    decided_by: str
    decided_at: str
    result: str

    @property
    def lapsed_by(self) -> str:
        """`time`, or `asker` where who asked lost the account or the right; empty unless it lapsed."""
        return str(json.loads(self.result or "{}").get("lapsed", ""))


def ask(file: SideFile, person: Person, act: str, params: Mapping[str, str], reason: str) -> int:
    """Returns: the request's number. Raises: ConsoleError FG-CON-011 where the same waits already."""
    assert act in ACTS
    text = json.dumps(dict(params), ensure_ascii=False, sort_keys=True)
    with file.write():
        lapse(file)
        if file.one(
            "SELECT 1 FROM request WHERE act = ? AND params = ? AND state = 'waiting'", act, text
        ):
            raise ConsoleError("FG-CON-011")
        file.run(
            "INSERT INTO request (act, params, reason, asked_by, asked_at, state)"
            " VALUES (?, ?, ?, ?, ?, 'waiting')",
            act,
            text,
            reason,
            person.login,
            timestamp(clock.now()),
        )
        row = file.one("SELECT last_insert_rowid()")
    assert row is not None
    return int(row[0])


def lapse(file: SideFile, *, besides: int = 0) -> list[int]:
    """Within a transaction: what waited too long, or whose asker may not ask for it any more, waits no
    more. besides: the request that is being done. Returns: the requests that lapsed for their asker."""
    before = timestamp(clock.now() - LAPSES)
    rows = file.all(
        "SELECT r.id, r.act, coalesce(nullif(r.decided_at, ''), r.asked_at), a.role, a.unit, a.is_active"
        " FROM request r LEFT JOIN account a ON a.login = r.asked_by"
        " WHERE r.state IN ('waiting', 'approved') AND r.id <> ? ORDER BY r.id",
        besides,
    )
    lost = []
    for number, act, since, role, unit, is_active in rows:
        may = bool(is_active) and Person("", "", str(role), str(unit)).may(ACTS[str(act)])
        if may and str(since) >= before:
            continue
        if not may:
            lost.append(int(number))
        file.run(
            "UPDATE request SET state = 'lapsed', result = ? WHERE id = ?",
            json.dumps({"lapsed": BY_TIME if may else BY_ASKER}),
            number,
        )
    return lost


_UNTOLD = "state = 'lapsed' AND json_extract(result, '$.told') IS NULL"


def tell_lapsed(file: SideFile, record: Callable[[Sequence[Entry]], None]) -> list[int]:
    """Let lapse what must, and put every lapse that is not in the audit chain yet into it.

    record: returns once its entries are durable there. Returns: the requests that it was told of now.
    Raises: what `record` raises; what lapsed has lapsed then, and is told the next time.
    """
    with file.write():
        lapse(file)
    if file.one(f"SELECT 1 FROM request WHERE {_UNTOLD} LIMIT 1") is None:  # noqa: S608 (fixed text)
        return []
    with file.write():  # held meanwhile: nobody else tells the same ones
        rows = file.all(f"SELECT {_COLUMNS} FROM request WHERE {_UNTOLD} ORDER BY id LIMIT 200")  # noqa: S608
        found = [_request(r) for r in rows]
        if found:
            record([_entry(r) for r in found])
        for request in found:
            file.run(
                "UPDATE request SET result = json_set(result, '$.told', json('true')) WHERE id = ?",
                request.id,
            )
    return [r.id for r in found]


def _entry(request: Request) -> Entry:
    data = {
        "request": str(request.id),
        "act": request.act,
        "asked_by": request.asked_by,
        "asked_at": request.asked_at,
        "was": "approved" if request.decided_by else "waiting",
        "by": request.lapsed_by,
    }
    return "console-lapse", data


def listed(file: SideFile, before: int = 1 << 62, limit: int = 50) -> list[Request]:
    """Requests, newest first; those that wait come first on the first page."""
    rows = file.all(
        f"SELECT {_COLUMNS} FROM request WHERE id < ?"  # noqa: S608
        " ORDER BY state NOT IN ('waiting', 'approved'), id DESC LIMIT ?",
        before,
        limit,
    )
    return [_request(r) for r in rows]


def waiting(file: SideFile) -> int:
    before = timestamp(clock.now() - LAPSES)
    row = file.one("SELECT count(*) FROM request WHERE state = 'waiting' AND asked_at >= ?", before)
    return int(row[0]) if row else 0


def get(file: SideFile, request_id: int) -> Request:
    """Raises: ConsoleError FG-CON-010."""
    row = file.one(f"SELECT {_COLUMNS} FROM request WHERE id = ?", request_id)  # noqa: S608
    if row is None:
        raise ConsoleError("FG-CON-010", value=request_id)
    return _request(row)


def decide(file: SideFile, person: Person, request_id: int, *, approve: bool) -> Request:
    """Approve or refuse. Returns: the request as it stands now.

    Raises: ConsoleError FG-CON-010, 012 (own request, or no right to decide), 013 (decided before).
    """
    with file.write():
        lapse(file)
        request = get(file, request_id)
        if not decides(person, request.asked_by):
            raise ConsoleError("FG-CON-012")
        again = approve and request.state == APPROVED
        if request.state != WAITING and not again:
            raise ConsoleError("FG-CON-013", state=request.state)
        file.run(
            "UPDATE request SET state = ?, decided_by = ?, decided_at = ? WHERE id = ?",
            APPROVED if approve else REFUSED,
            person.login,
            timestamp(clock.now()),
            request_id,
        )
        return get(file, request_id)


def finish(file: SideFile, request_id: int, *, result: Mapping[str, Any], is_done: bool) -> None:
    """Keep what came of an approved act."""
    with file.write():
        file.run(
            "UPDATE request SET state = ?, result = ? WHERE id = ? AND state = 'approved'",
            DONE if is_done else FAILED,
            json.dumps(dict(result), ensure_ascii=False),
            request_id,
        )


def _request(row: tuple[Any, ...]) -> Request:
    return Request(int(row[0]), str(row[1]), json.loads(row[2]), *(str(v) for v in row[3:]))
