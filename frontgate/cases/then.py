"""Terms of a case as they were known at an earlier time, beside the view of now.

Only marks and states of custody that the hub knew by then count. A term that a late message has
stopped in time is overdue in the view of then, and met in the view of now; both stay.
"""

from __future__ import annotations

from datetime import datetime

from frontgate.cases.counting import deadline_row, marks_of, status_of
from frontgate.cases.read import Cases
from frontgate.cases.records import Deadline, deadline
from frontgate.cases.rules import CaseRules
from frontgate.cases.timers import timers
from frontgate.cases.times import stored
from frontgate.standard import Standards


def as_known_then(
    source: Cases, standards: Standards, case_uid: str, at: datetime
) -> list[Deadline]:
    """The terms of a case as the hub knew them at `at`, in order of their start."""
    rules = CaseRules(standards.version(standards.newest))
    reader = source.reader
    then = stored(at)
    found: list[Deadline] = []
    for term, subject in reader.all(
        "SELECT DISTINCT term, subject FROM mark WHERE scope = ? ORDER BY term, subject",
        case_uid,
    ):
        rule = rules.terms.get(str(term))
        if rule is None:
            continue
        triple = (str(term), case_uid, str(subject))
        marks = marks_of(reader, triple)
        status = status_of(reader, triple[2], then)
        for timed in timers(rule, marks, rules.catalogue.calendar, status, known_by=then):
            found.append(
                deadline(deadline_row(triple, rule, timed, case_uid, rule.id in rules.lapsing))
            )
    return sorted(found, key=lambda d: (d.start_at, d.id))
