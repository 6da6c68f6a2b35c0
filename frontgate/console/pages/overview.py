"""The first page: what needs somebody, what flows now, what is due."""

from __future__ import annotations

from datetime import timedelta

from frontgate import clock
from frontgate.console.access import Right
from frontgate.console.charts import bars
from frontgate.console.pages.cases import own_unit
from frontgate.console.pages.deadlines import SOON
from frontgate.console.pages.failures import destinations
from frontgate.console.picture import state_of
from frontgate.console.web import Answer, Endpoint, Page, Visit
from frontgate.journal import timestamp, traffic
from frontgate.pipeline.alarms import Alarm, alarms
from frontgate.values import Struct

QUEUES = 20
COUNTED = 500
"""Figures count so far; beyond it they say 500+, and the page behind pages on."""
LINES = 8


def alarms_of(visit: Visit) -> list[Alarm]:
    """Alarms of the hub for who runs or audits it; of their own gateway for a unit's operator."""
    live = visit.desk.status()
    directory = visit.desk.directory()
    found = alarms("hub", visit.desk.journal(), live, clock.now(), directory)
    units = visit.person.units
    if units is None:
        return found
    known = directory.units
    fronts = {known[u].front_end or u for u in units if u in known}
    return [a for a in found if a.unit in fronts]


def show(visit: Visit) -> Answer:
    """What the person's role opens, and nothing else."""
    data: dict[str, object] = {
        "alarms": None,
        "queues": (),
        "more_queues": 0,
        "flows": (),
        "chart": "",
        "cases": None,
    }
    if visit.may(Right.CASES):
        data["cases"] = of_cases(visit)
        visit.look("look-overview")
    if visit.may(Right.TRAFFIC) or visit.may(Right.AUDIT):
        data["alarms"] = alarms_of(visit)
    if visit.may(Right.TRAFFIC):
        since = timestamp(clock.now() - timedelta(days=1))
        reader = visit.desk.journal()
        flows = traffic.flows_since(reader, visit.person.units, since)
        data["flows"] = flows
        data["chart"] = bars(
            [(visit.desk.flow_name(f, visit.language), done) for f, done, _ in flows[:12]],
            visit.t("overview.flows"),
        )
        queues = traffic.queues(reader, destinations(visit))
        data["queues"], data["more_queues"] = queues[:QUEUES], len(queues[QUEUES:])
    return Page("overview.html", data)


class Figure(Struct, frozen=True):
    """One number, its name, where it leads. mood: how it is coloured where it is not nought."""

    name: str
    count: int
    url: str
    mood: str
    is_more: bool


class Due(Struct, frozen=True):
    """One line of the next deadlines."""

    name: str
    unit: str
    case_uid: str
    state: str
    due_at: str


def of_cases(visit: Visit) -> dict[str, object]:
    """Figures, the next deadlines and the newest cases of who may see cases."""
    now, cases, unit = clock.now(), visit.desk.cases(), own_unit(visit.person)
    at = timestamp(now)
    late = cases.due(now, unit=unit, overdue_only=True, limit=COUNTED)
    soon = cases.due(now, until=now + SOON, unit=unit, after=(at, "\uffff"), limit=COUNTED)
    week = cases.find(unit=unit, since=timestamp(now - timedelta(days=7)), limit=COUNTED)
    figures = [
        Figure(visit.t(f"overview.{name}"), len(rows), url, mood, len(rows) >= COUNTED)
        for name, rows, url, mood in (
            ("overdue", late, "/deadlines?kind=overdue", "bad"),
            ("soon", soon, "/deadlines?kind=soon", "warn"),
            ("cases_week", week, "/cases", ""),
        )
    ]
    due = [
        Due(
            visit.desk.rule_name(d.rule, d.part, visit.language),
            d.unit,
            d.case_uid,
            state_of(d, at),
            d.due_at,
        )
        for d in [*late[-LINES:], *soon][:LINES]
    ]
    return {"figures": figures, "due": due, "recent": cases.find(unit=unit, limit=LINES)}


ENDPOINTS = (Endpoint("/", show, None),)
