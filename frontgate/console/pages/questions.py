"""Supervision: the questions the law asks, each with its number, its list, its law."""

from __future__ import annotations

from frontgate import clock
from frontgate.cases.questions import Questions
from frontgate.console.access import Right
from frontgate.console.pages.cases import own_unit
from frontgate.console.web import Answer, Endpoint, Page, Visit, link
from frontgate.errors import CaseError, ConsoleError

ROWS = 100
COUNTED = 1000
"""Counting ends here and says so: the list behind it pages on."""


def questions_of(visit: Visit) -> Questions:
    return Questions(visit.desk.catalogue, visit.desk.cases().reader)


def listed(visit: Visit) -> Answer:
    """All questions, with how much each finds of what is theirs to see."""
    found, now, unit = questions_of(visit), clock.now(), own_unit(visit.person)
    rows = [(q, found.count(q.name, now, unit=unit, most=COUNTED)) for q in found.all]
    data = {"rows": rows, "counted": COUNTED}
    return Page("questions.html", {**data, "as_of": visit.desk.cases().as_of()[1]})


def show(visit: Visit) -> Answer:
    """One question's list."""
    found, name = questions_of(visit), visit.path["question"]
    try:
        question = found.question(name)
    except CaseError:
        raise ConsoleError("FG-CON-010", value=name[:40]) from None
    offset = min(visit.number("from", 0), 100_000)
    rows = found.rows(name, clock.now(), unit=own_unit(visit.person), offset=offset, limit=ROWS + 1)
    visit.look("look-question", question=name, hits=str(len(rows)))
    more = link(f"/questions/{name}", **{"from": offset + ROWS}) if len(rows) > ROWS else ""
    data = {
        "question": question,
        "rows": rows[:ROWS],
        "more": more,
        "rule_name": lambda rule: visit.desk.rule_name(rule, "", visit.language),
    }
    return Page("question.html", {**data, "as_of": visit.desk.cases().as_of()[1]})


ENDPOINTS = (
    Endpoint("/questions", listed, Right.CASES),
    Endpoint("/questions/{question}", show, Right.CASES),
)
