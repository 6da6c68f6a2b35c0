"""Due and overdue: the open terms by their end, and those that were paused and not resumed."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import quote

from frontgate import clock
from frontgate.cases.acts import OWN, REASONS
from frontgate.cases.records import Deadline
from frontgate.console.access import Right, sees_case
from frontgate.console.pages.cases import own_unit, theirs
from frontgate.console.picture import state_of
from frontgate.console.web import Answer, Endpoint, Go, Page, Visit, link
from frontgate.core.identifiers import is_unit_code
from frontgate.errors import ConsoleError
from frontgate.journal import timestamp

ROWS = 50
KINDS = ("overdue", "soon", "all", "paused")
SOON = timedelta(days=7)


def due(visit: Visit, kind: str, limit: int = ROWS) -> list[Deadline]:
    """A page of the open terms of a kind that are theirs; the next begins after `key_of` the last."""
    now = clock.now()
    chosen = visit.word("unit")
    if chosen and not is_unit_code(chosen):
        raise ConsoleError("FG-CON-015", what="unit")
    # Terms that run within a week begin where the overdue ones end.
    after = (visit.word("due"), visit.word("id")) if visit.word("id") else ("", "")
    if kind == "soon" and not after[1]:
        after = (timestamp(now), "\uffff")
    unit = own_unit(visit.person) or chosen
    if kind == "paused":
        return visit.desk.cases().paused(unit=unit, after=after, limit=limit)
    return visit.desk.cases().due(
        now,
        until=now + SOON if kind == "soon" else None,
        unit=unit,
        overdue_only=kind == "overdue",
        after=after,
        limit=limit,
    )


def key_of(deadline: Deadline, kind: str) -> tuple[str, str]:
    """Where a list of that kind goes on after a term."""
    return deadline.paused_at if kind == "paused" else deadline.due_at, deadline.id


def listed(visit: Visit) -> Answer:
    kind = visit.word("kind") or "overdue"
    if kind not in KINDS:
        raise ConsoleError("FG-CON-015", what="kind")
    rows = due(visit, kind)
    now = clock.now()
    unit = visit.word("unit")
    visit.look("look-deadlines", kind=kind, unit=unit, hits=str(len(rows)))
    more = ""
    if len(rows) == ROWS:
        at, ident = key_of(rows[-1], kind)
        more = link("/deadlines", kind=kind, unit=unit, due=at, id=ident)
    data = {
        "kind": kind,
        "kinds": KINDS,
        "rows": [
            (state_of(d, timestamp(now)), paused(d, now) if kind == "paused" else left(d, now), d)
            for d in rows
        ],
        "unit": unit,
        "more": more,
        "rule_name": lambda rule, part: visit.desk.rule_name(rule, part, visit.language),
        "rule_basis": visit.desk.rule_basis,
        "as_of": visit.desk.cases().as_of()[1],
    }
    return Page("deadlines.html", data)


def left(deadline: Deadline, now: datetime) -> int:
    """Whole days to the end of a term; negative once it is past."""
    seconds = (datetime.fromisoformat(deadline.due_at) - now).total_seconds()
    return int(seconds // 86400) if seconds < 0 else int(seconds / 86400)


def paused(deadline: Deadline, now: datetime) -> int:
    """Whole days since a term was paused; a pause may be said to begin later."""
    return max((now - datetime.fromisoformat(deadline.paused_at)).days, 0)


def deadline_of(visit: Visit) -> Deadline:
    """The term of the path, where it is theirs. Raises: ConsoleError FG-CON-010."""
    ident = visit.path["deadline"]
    found = visit.desk.cases().deadline(ident)
    if found is None:
        raise ConsoleError("FG-CON-010", value=ident[:40])
    if found.case_uid:
        theirs(visit, found.case_uid, ident)
    elif not sees_case(visit.person, {found.unit}):
        raise ConsoleError("FG-CON-010", value=ident[:40])
    return found


def speaks_as(visit: Visit) -> str:
    """The unit in whose name an act is recorded: one's own, or the committee's."""
    if visit.person.unit or visit.person.units is not None:
        return visit.person.unit
    units = visit.desk.directory().units.values()
    return next((u.code for u in units if "committee" in u.roles and not u.is_test), "")


def show(visit: Visit) -> Answer:
    """One term: what changed it, what was said of it, and what may be said."""
    found = deadline_of(visit)
    now = clock.now()
    cases, first = visit.desk.cases(), min(visit.number("from", 0), 10**9)
    acts = cases.acts(item=found.id, first=first, limit=ROWS + 1)
    unit = speaks_as(visit)
    is_closed = any(a.unit == found.unit for a in cases.acts(item=found.id, kind="close"))
    is_confirmed = bool(cases.acts(item=found.id, kind="confirm", limit=1))
    path = f"/deadlines/{quote(found.id)}"
    more = link(path, **{"from": first + ROWS}) if len(acts) > ROWS else ""
    reasons = visit.desk.catalogue.code_list(REASONS).codes
    visit.look("look-deadlines", term=found.id, case=found.case_uid)
    data = {
        "d": found,
        "state": state_of(found, timestamp(now)),
        "left": left(found, now),
        "acts": acts[:ROWS],
        "more": more,
        "own": unit == found.unit,
        "may_confirm": bool(unit) and unit != found.unit and is_closed and not is_confirmed,
        "reasons": [(c, visit.desk.code_name(REASONS, c, visit.language)) for c in reasons],
        "name": visit.desk.rule_name(found.rule, found.part, visit.language),
        "basis": visit.desk.rule_basis(found.rule),
        "done": visit.word("done"),
    }
    return Page("deadline.html", data)


def act(visit: Visit) -> Answer:
    """Explain, dispute, close or confirm: the hub judges whose word counts, and keeps it."""
    found, kind = deadline_of(visit), visit.path["act"]
    if kind not in (*OWN, "confirm"):
        raise ConsoleError("FG-CON-014")
    visit.desk.ask(
        {
            "act": "case-act",
            "kind": kind,
            "item": found.id,
            "unit": speaks_as(visit),
            "actor": f"console:{visit.person.login}",
            "code": visit.form.get("code", "")[:10],
            "text": visit.form.get("text", "")[:500],
        }
    )
    return Go(link(f"/deadlines/{found.id}", done="deadline"))


ENDPOINTS = (
    Endpoint("/deadlines", listed, Right.CASES),
    Endpoint("/deadlines/{deadline:path}/act/{act}", act, Right.CASES, "POST"),
    Endpoint("/deadlines/{deadline:path}", show, Right.CASES),
)
