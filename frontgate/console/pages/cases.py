"""Cases and persons: search, the course of a case, of one person, receipts on demand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from frontgate import clock
from frontgate.cases.parts import PARTS
from frontgate.cases.records import Case, Node, Timeline
from frontgate.console.access import Person, Right, sees_case
from frontgate.console.desk import Desk
from frontgate.console.picture import LEGAL_TIME, Words, course, is_part, state_of
from frontgate.console.web import Answer, Endpoint, Page, Visit, link
from frontgate.core.identifiers import is_case_uid, is_person_uid, is_unit_code, is_uuid
from frontgate.errors import ConsoleError
from frontgate.journal import timestamp, views

ROWS = 50
STEPS = 100
"""Messages of a course on one page: more of them would be neither read nor light."""


def words_of(visit: Visit, names: Mapping[str, str]) -> Words:
    """How the picture of a case names things for this visitor. names: of persons, by PersonUid."""
    desk, language = visit.desk, visit.language
    return Words(
        lambda code: desk.unit_name(code, language),
        lambda kind: desk.step_name(kind, language),
        lambda rule, part: desk.rule_name(rule, part, language),
        lambda subject: names.get(subject, ""),
        visit.t,
    )


def own_unit(person: Person) -> str:
    """The unit that lists of cases are narrowed to; empty for who sees the province."""
    if person.units is None:
        return ""
    return person.unit or "-"  # a role of a unit without one sees nothing: no unit is called that


def day_edge(text: str, name: str, *, is_end: bool = False) -> str:
    """The stored instant at which a legal day begins, or the next one does. Raises: FG-CON-015."""
    if not text:
        return ""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ConsoleError("FG-CON-015", what=name) from None
    if not 1900 < day.year < 9000:  # before and after all that is stored
        return "9" if day.year > 1900 else "0"
    return timestamp(datetime.combine(day + timedelta(days=int(is_end)), time(0), LEGAL_TIME))


def find(visit: Visit) -> tuple[list[Case], tuple[str, str] | None]:
    """Cases that fit the query and are theirs. Returns: a page, and where the next begins."""
    after = visit.word("last"), visit.word("uid")
    before = after if all(after) else None
    chosen = visit.word("unit")
    if chosen and not is_unit_code(chosen):
        raise ConsoleError("FG-CON-015", what="unit")
    rows = visit.desk.cases().find(
        text=visit.word("q"),
        unit=own_unit(visit.person) or chosen,
        stage=visit.word("stage", most=10),
        since=day_edge(visit.word("since"), "since"),
        until=day_edge(visit.word("until"), "until", is_end=True),
        before=before,
        limit=ROWS,
    )
    return rows, (rows[-1].last_at, rows[-1].case_uid) if len(rows) == ROWS else None


def search(visit: Visit) -> Answer:
    """The search and its hits. What was searched for is in the chain."""
    rows, onward = find(visit)
    asked = {n: visit.word(n) for n in ("q", "unit", "stage", "since", "until")}
    visit.look("look-cases", **{k: v for k, v in asked.items() if v}, hits=str(len(rows)))
    more = link("/cases", **asked, last=onward[0], uid=onward[1]) if onward else ""
    stages = [
        (code, visit.desk.code_name("case-stage", code, visit.language))
        for code in visit.desk.catalogue.code_list("case-stage").codes
    ]
    data = {"rows": rows, "asked": asked, "more": more, "stages": stages}
    return Page("cases.html", {**data, "as_of": visit.desk.cases().as_of()[1]})


def theirs(visit: Visit, case_uid: str, asked: str = "") -> None:
    """Raises: ConsoleError FG-CON-010 unless there is such a case and it is theirs to see.

    asked: what they asked for, where that is not the case itself: the answer names nothing else.
    """
    cases = visit.desk.cases()
    parties = {p.unit for p in cases.parties(case_uid)} if is_case_uid(case_uid) else set()
    known = bool(parties) or (is_case_uid(case_uid) and cases.case(case_uid) is not None)
    if not known or not sees_case(visit.person, parties):
        raise ConsoleError("FG-CON-010", value=(asked or case_uid)[:40])


def timeline_of(
    visit: Visit, case_uid: str, person: str = "", *, first: int = 0, limit: int = STEPS
) -> Timeline:
    """A case's course, where it is theirs, without what their role must not see."""
    theirs(visit, case_uid)
    found = visit.desk.cases().timeline(
        case_uid, person=person, unit=own_unit(visit.person), first=first, limit=limit
    )
    if found is None:
        raise ConsoleError("FG-CON-010", value=case_uid[:40])
    if not visit.may(Right.DOCUMENTS):
        for node in found.nodes:
            node.documents.clear()
    return found


def part_of(
    visit: Visit, case_uid: str, name: str, person: str = "", *, first: int = 0, limit: int = STEPS
) -> tuple[list[Any], int]:
    """One list of a case, where it is theirs: a page of it, and how many rows it has. A tie to a case
    that is not theirs does not exist for them."""
    theirs(visit, case_uid)
    if name not in PARTS:
        raise ConsoleError("FG-CON-014")
    cases, unit = visit.desk.cases(), own_unit(visit.person)
    rows = cases.part(name, case_uid, person=person, unit=unit, first=first, limit=limit)
    return rows, cases.part_size(name, case_uid, person=person, unit=unit)


def show(visit: Visit) -> Answer:
    """The course of a case."""
    case_uid = visit.path["case"]
    found = timeline_of(visit, case_uid, first=visit.number("from", 0))
    visit.look("look-case", case=case_uid, **_part(found))
    return Page("case.html", frame(visit, found, f"/cases/{case_uid}"))


def _part(found: Timeline) -> dict[str, str]:
    """Which messages of a course were looked at, where they are not its first."""
    return {"from": str(found.first)} if found.first else {}


SHOWN = ("persons", "deadlines", "acts", "alarms", "links")
"""Lists of a case that have pages of their own, as long as they are."""


def part(visit: Visit) -> Answer:
    """A page of one list of a case: what its own page leaves off is here."""
    case_uid, name = visit.path["case"], visit.path["list"]
    if name not in SHOWN:
        raise ConsoleError("FG-CON-014")
    person = visit.word("person")
    if person and not is_person_uid(person):
        raise ConsoleError("FG-CON-015", what="person")
    first = min(visit.number("from", 0), 10**9)
    rows, total = part_of(visit, case_uid, name, person, first=first)
    data = {"list": name, "from": str(first) if first else "", "person": person}
    visit.look("look-case", case=case_uid, **{k: v for k, v in data.items() if v})
    path, after = f"/cases/{case_uid}/list/{name}", first + len(rows)
    now = timestamp(clock.now())
    people = visit.desk.cases().named(
        case_uid, [d.subject for d in rows] if name == "deadlines" else ()
    )
    return Page(
        "part.html",
        {
            "case": visit.desk.cases().case(case_uid),
            "name": name,
            "rows": [(state_of(d, now), d) for d in rows] if name == "deadlines" else rows,
            "first": first,
            "total": total,
            "people": {p.person_uid: p for p in people},
            "earlier": link(path, person=person, **{"from": max(first - STEPS, 0) or ""})
            if first
            else "",
            "more": link(path, person=person, **{"from": after}) if rows and after < total else "",
            "rule_name": lambda rule, part: visit.desk.rule_name(rule, part, visit.language),
            "rule_basis": visit.desk.rule_basis,
            "as_of": visit.desk.cases().as_of()[1],
        },
    )


def frame(visit: Visit, found: Timeline, path: str) -> dict[str, object]:
    """What the templates of a case and of a person share. path: of this page."""
    last = (found.total - 1) // STEPS * STEPS
    pages = {
        "earlier": link(path, **{"from": max(found.first - STEPS, 0) or ""}) if found.first else "",
        "later": link(path, **{"from": found.after}) if found.after else "",
        "last": link(path, **{"from": last}) if found.after and found.after != last else "",
    }
    now = timestamp(clock.now())
    people = {p.person_uid: p for p in found.persons}
    if "persons" in found.left_off:  # who is spoken of here has a name all the same
        spoken = {p for n in found.nodes for p in n.persons} | {d.subject for d in found.deadlines}
        named = visit.desk.cases().named(found.case.case_uid, sorted(spoken - people.keys()))
        people |= {p.person_uid: p for p in named}
    rank = {"overdue": 0, "due-soon": 1, "open": 2, "paused": 3}
    terms = sorted(
        ((state_of(d, now), d) for d in found.deadlines),
        key=lambda pair: (rank.get(pair[0], 4), pair[1].due_at),
    )
    running = [pair for pair in terms if pair[0] in rank]
    return {
        "line": found,
        "case": found.case,
        "people": people,
        "picture": course(found, now, words_of(visit, {n: p.name for n, p in people.items()})),
        "person_uid": "" if path.startswith("/cases/") else path.rpartition("/")[2],
        "pages": pages,
        "is_part": is_part(found),
        "terms": running,
        "ended": terms[len(running) :],
        "rule_name": lambda rule, part: visit.desk.rule_name(rule, part, visit.language),
        "rule_basis": visit.desk.rule_basis,
        "as_of": visit.desk.cases().as_of()[1],
    }


def person(visit: Visit) -> Answer:
    """The course of one person through the case, and the other cases of theirs that may be seen."""
    person_uid = visit.path["person"]
    found = visit.desk.cases().person(person_uid) if is_person_uid(person_uid) else None
    if found is None:
        raise ConsoleError("FG-CON-010", value=person_uid[:40])
    theirs(visit, found.case_uid, person_uid)
    timeline = timeline_of(visit, found.case_uid, person_uid, first=visit.number("from", 0))
    visit.look("look-person", person=person_uid, case=found.case_uid, **_part(timeline))
    shared = frame(visit, timeline, f"/persons/{person_uid}")
    return Page("person.html", {**shared, "who": found})


def receipts(visit: Visit) -> Answer:
    """The receipts of one message of a case, as a page or as a part of the case's page."""
    case_uid, message_id = visit.path["case"], visit.path["message"]
    theirs(visit, case_uid)
    node = node_of(visit.desk, case_uid, message_id)
    rows = views.receipts_of(visit.desk.journal(), node.message_id, node.sender)
    visit.look("look-case", case=case_uid, receipts=node.message_id)
    return Page("receipts.html", {"rows": rows, "node": node, "case_uid": case_uid})


def node_of(desk: Desk, case_uid: str, message_id: str) -> Node:
    """The message, where it belongs to this case. Raises: ConsoleError FG-CON-010."""
    cases = desk.cases()
    if is_uuid(message_id):
        for node in cases.message(message_id, case_uid=case_uid):
            return node
    raise ConsoleError("FG-CON-010", value=message_id[:40])


ENDPOINTS = (
    Endpoint("/cases", search, Right.CASES),
    Endpoint("/cases/{case}", show, Right.CASES),
    Endpoint("/cases/{case}/list/{list}", part, Right.CASES),
    Endpoint("/cases/{case}/receipts/{message}", receipts, Right.CASES),
    Endpoint("/persons/{person}", person, Right.CASES),
)
