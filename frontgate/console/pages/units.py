"""Units: their gateways as the newest heartbeat tells, and the acts on their standing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from frontgate import clock
from frontgate.console import approvals
from frontgate.console.access import Right, sees_unit
from frontgate.console.web import Answer, Endpoint, Go, Page, Visit, link
from frontgate.errors import ConsoleError
from frontgate.journal import traffic
from frontgate.model.unit import Unit
from frontgate.pipeline.alarms import AWAY_AFTER, CERTIFICATE_DAYS, facts_of
from frontgate.values import Struct

ROWS = 50
STANDING = {"suspend": "suspended", "lift": "active", "revoke": "revoked"}
POSSIBLE = {"active": ("suspend", "revoke"), "suspended": ("lift", "revoke")}
"""Status → acts on it. A revoked unit comes back by a new enrolment alone."""


class State(Struct, frozen=True):
    """A unit and its gateway. health: good, warn, bad or none (never heard of). facts: of the
    heartbeat. open, oldest_at: what waits at the hub for its mailbox."""

    unit: Unit
    health: str
    seen_at: str
    facts: dict[str, str]
    waiting: int
    oldest_at: str

    @property
    def certificate_days(self) -> int | None:
        text = self.facts.get("certificate_days", "")
        return int(text) if text.lstrip("-").isdigit() and len(text) < 8 else None


def states(visit: Visit, units: list[Unit]) -> list[State]:
    """The state of each of these units."""
    reader, now = visit.desk.journal(), clock.now()
    beats = traffic.heartbeats(reader, {u.front_end or u.code for u in units})
    boxes = {f"account:{u.account}" for u in units}
    queues = {q.destination: q for q in traffic.queues(reader, boxes)}
    found = []
    for unit in units:
        beat = beats.get(unit.front_end or unit.code)
        facts = facts_of(beat.xml) if beat else {}
        queue = queues.get(f"account:{unit.account}")
        found.append(
            State(
                unit,
                health(beat.at if beat else "", facts, now),
                beat.at if beat else "",
                facts,
                sum(queue.counts.values()) if queue else 0,
                queue.oldest_at if queue else "",
            )
        )
    return found


def health(seen_at: str, facts: dict[str, str], now: datetime) -> str:
    """good, warn (troubles, or a certificate about to end), bad (silent), none (never heard of)."""
    if not seen_at:
        return "none"
    if datetime.fromisoformat(seen_at) < now.astimezone(UTC) - AWAY_AFTER:
        return "bad"
    days = facts.get("certificate_days", "")
    is_ending = days.lstrip("-").isdigit() and int(days[:7]) <= CERTIFICATE_DAYS
    return "warn" if is_ending or facts.get("troubles") else "good"


def listed(visit: Visit) -> Answer:
    """Units by code, fifty a page; found by a part of code or name."""
    words, after = visit.word("q").lower(), visit.word("after")
    units = [
        u
        for u in sorted(visit.desk.directory().units.values(), key=lambda u: u.code)
        if "hub" not in u.roles
        and sees_unit(visit.person, u.code)
        and (not words or words in f"{u.code} {u.name_zh} {u.name_en}".lower())
    ]
    shown = [u for u in units if u.code > after][: ROWS + 1]
    more = link("/units", q=words, after=shown[ROWS - 1].code) if len(shown) > ROWS else ""
    rows = states(visit, shown[:ROWS])
    return Page("units.html", {"rows": rows, "total": len(units), "more": more, "q": words})


def unit_of(visit: Visit) -> Unit:
    """The unit of the path, where it is theirs to see. Raises: ConsoleError FG-CON-010."""
    code = visit.path["unit"]
    unit = visit.desk.directory().units.get(code)
    if unit is None or not sees_unit(visit.person, code):
        raise ConsoleError("FG-CON-010", value=code[:20])
    return unit


def show(visit: Visit) -> Answer:
    unit = unit_of(visit)
    since = clock.now() - timedelta(days=1)
    flows = (
        traffic.flows_since(
            visit.desk.journal(), {unit.code}, since.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        )
        if visit.may(Right.TRAFFIC)
        else []
    )
    acts = POSSIBLE.get(unit.status, ())
    data = {"row": states(visit, [unit])[0], "flows": flows}
    return Page("unit.html", {**data, "acts": acts if visit.may(Right.DIRECTORY) else ()})


def ask(visit: Visit) -> Answer:
    """Suspension, its end, revocation: asked for here, done when a second person approves."""
    unit, what = unit_of(visit), visit.path["act"]
    if what not in STANDING:
        raise ConsoleError("FG-CON-014")
    reason = visit.reason()
    visit.act("ask", act=what, unit=unit.code, reason=reason)
    approvals.ask(visit.desk.accounts.file, visit.person, what, {"unit": unit.code}, reason)
    return Go("/approvals?done=asked")


ENDPOINTS = (
    Endpoint("/units", listed, Right.UNITS),
    Endpoint("/units/{unit}", show, Right.UNITS),
    Endpoint("/units/{unit}/{act}", ask, Right.DIRECTORY, "POST"),
)
