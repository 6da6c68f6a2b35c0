"""The last mile: what waits for a person, why, and what they may do about it."""

from __future__ import annotations

from frontgate.cases.times import moment, stored
from frontgate.console import approvals
from frontgate.console.access import Right, acts_on_transfer, sees_transfer
from frontgate.console.web import Answer, Endpoint, Go, Page, Visit, link
from frontgate.core.identifiers import is_uuid
from frontgate.errors import ConsoleError
from frontgate.journal import traffic, views
from frontgate.journal.traffic import Traffic
from frontgate.model.unit import account_of

KINDS = ("failed", "held", "waiting", "refused", "aside")
ROWS = 50
ACTS = {"replay": ("FAILED", "UNCONFIRMED"), "hold": ("QUEUED",), "release": ("HELD",)}
"""Act → the states in which it means anything."""


def listed(visit: Visit) -> Answer:
    """One list a kind, fifty rows a page."""
    kind = visit.word("kind") or "failed"
    if kind not in KINDS:
        raise ConsoleError("FG-CON-015", what="kind")
    wanted = visit.word("message")
    if wanted:
        return find(visit, wanted)
    before = visit.number("before", traffic.NEWEST)
    data: dict[str, object] = {
        "kind": kind,
        "kinds": KINDS,
        "rows": [],
        "more": "",
        "queues": [],
    }
    units, reader = visit.person.units, visit.desk.journal()
    if kind in ("failed", "held"):
        states = ("HELD",) if kind == "held" else ("FAILED", "UNCONFIRMED")
        rows = traffic.troubled(reader, units, states=states, before=before, limit=ROWS)
        data |= {"rows": rows, "more": _more(kind, rows)}
    elif kind == "refused":
        refused = traffic.refused(reader, units, before=before, limit=ROWS)
        data |= {"rows": refused, "more": _more(kind, refused)}
    elif kind == "aside":
        origins = None if units is None else {f"account:{account_of(u)}" for u in units}
        aside = traffic.set_aside(reader, origins, before=before, limit=ROWS)
        data |= {"rows": aside, "more": _more(kind, aside)}
    else:
        data |= _waiting(visit)
    return Page("failures.html", data)


def _more(kind: str, rows: list[Traffic] | list[traffic.Refused] | list[traffic.SetAside]) -> str:
    return link("/failures", kind=kind, before=rows[-1].id) if len(rows) == ROWS else ""


def destinations(visit: Visit) -> frozenset[str] | None:
    """The mailboxes that this person may look into."""
    units = visit.person.units
    if units is None:
        return None
    known = visit.desk.directory().units
    return frozenset(f"account:{known[u].account}" for u in units if u in known)


def _waiting(visit: Visit) -> dict[str, object]:
    """Queues by mailbox; the waiting transfers of one of them."""
    reader, theirs = visit.desk.journal(), destinations(visit)
    chosen = visit.word("to")
    found: dict[str, object] = {"queues": traffic.queues(reader, theirs), "to": chosen}
    if not chosen or (theirs is not None and chosen not in theirs):
        return found
    after = (visit.number("ms", 0), visit.number("id", 0)) if visit.word("id") else (-1, 0)
    pairs = traffic.waiting(reader, visit.person.units, chosen, after=after, limit=ROWS)
    found["rows"] = [row for row, _ in pairs]
    if len(pairs) == ROWS:
        last, changed_ms = pairs[-1]
        found["more"] = link("/failures", kind="waiting", to=chosen, ms=changed_ms, id=last.id)
    return found


def find(visit: Visit, message_id: str) -> Answer:
    """The transfers of a message, by its id."""
    rows, after = list[Traffic](), visit.number("after", 0) if is_uuid(message_id) else -1
    is_first = after == 0
    while not rows and after >= 0:
        page, onward = traffic.of_message(visit.desk.journal(), message_id, after=after)
        rows = [r for r in page if sees_transfer(visit.person, r.sender, r.ends)]
        after = onward or -1
    more = link("/failures", message=message_id, after=after) if after > 0 else ""
    if len(rows) == 1 and is_first and not more:
        return Go(f"/transfers/{rows[0].id}")
    data = {"kind": "message", "kinds": KINDS, "rows": rows, "more": more, "queues": []}
    return Page("failures.html", {**data, "message": message_id})


def transfer_of(visit: Visit) -> Traffic:
    """The transfer of the path, where it is theirs. Raises: ConsoleError FG-CON-010."""
    number = visit.path_number("transfer")
    found = traffic.transfer(visit.desk.journal(), number)
    if found is None or not sees_transfer(visit.person, found.sender, found.ends):
        raise ConsoleError("FG-CON-010", value=number)
    return found


def show(visit: Visit) -> Answer:
    """One transfer: its attempts, its receipts, and what may be done."""
    found = transfer_of(visit)
    reader = visit.desk.journal()
    attempts = traffic.attempts(reader, found)
    receipts = [
        r
        for r in views.receipts_of(reader, found.message_id, found.sender)
        if r["receiver"] in ("", *found.ends)
    ]
    acts = [
        act
        for act, states in ACTS.items()
        if found.state in states
        and (act != "replay" or found.is_newest)
        and acts_on_transfer(visit.person, act, found.sender, found.ends)
    ]
    visit.look("look-transfer", transfer=str(found.id), message=found.message_id)
    data = {"row": found, "attempts": attempts, "receipts": receipts, "acts": acts}
    return Page("transfer.html", {**data, "done": visit.word("done")})


def act(visit: Visit) -> Answer:
    """Replay, hold or release, by the hub; a reason is asked for and kept."""
    found, what = transfer_of(visit), visit.path["act"]
    if what not in ACTS or not acts_on_transfer(visit.person, what, found.sender, found.ends):
        raise ConsoleError("FG-CON-014")
    reason = visit.reason()
    if visit.form.get("sure") != "yes":
        raise ConsoleError("FG-CON-020")
    request = {"actor": f"console:{visit.person.login}", "reason": reason}
    if what == "replay":
        done = visit.desk.ask({"act": "replay", "ids": [str(found.id)], **request})["done"]
        new = done[0].get("new") if done else None
        return Go(f"/transfers/{new}?done=replay" if new else f"/transfers/{found.id}?done=nothing")
    visit.desk.ask({"act": "change", "id": str(found.id), "event": what, **request})
    return Go(f"/transfers/{found.id}?done={what}")


def ask_bulk(visit: Visit) -> Answer:
    """Replay of all that failed: asked for here, done when a second person approves."""
    reason = visit.reason()
    asked = {n: visit.form.get(n, "").strip() for n in ("since", "until", "kind")}
    params = {n: when(v, n) if n != "kind" else v[:60] for n, v in asked.items() if v}
    visit.act("ask", act="replay-failed", reason=reason, **params)
    approvals.ask(visit.desk.accounts.file, visit.person, "replay-failed", params, reason)
    return Go("/approvals?done=asked")


def when(text: str, name: str) -> str:
    """The stored form of a time in a form; a day is the legal one. Raises: ConsoleError FG-CON-015."""
    at = moment(text)
    if at is None:
        raise ConsoleError("FG-CON-015", what=name)
    return stored(at)


ENDPOINTS = (
    Endpoint("/failures", listed, Right.TRAFFIC),
    Endpoint("/failures/replay", ask_bulk, Right.BULK, "POST"),
    Endpoint("/transfers/{transfer}", show, Right.TRAFFIC),
    Endpoint("/transfers/{transfer}/{act}", act, Right.ACT, "POST"),
)
