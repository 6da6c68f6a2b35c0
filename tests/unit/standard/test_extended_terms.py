"""How far one extension of custody may reach: what one notice of change says of itself."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pytest

from frontgate.core.deadlines import LEGAL_TIME, Custody, Limit, Unit, due
from frontgate.standard import Checker, Standards

ROOT = Path(__file__).resolve().parents[3] / "standards"
STANDARDS = Standards.load(ROOT)
CALENDAR = STANDARDS.version("1.0").calendar
CHECKER = Checker(STANDARDS)
SAMPLE = ROOT / "1.0/flows/custody-term-change/samples/valid/submit.xml"
DETENTION, TERM, ANEW = "01", "02", "03"
OLD_DAYS = [date(2027, 1, 31) + timedelta(days=13 * n) for n in range(40)]


def is_flagged(reason: str, stage: str, old: date, new: date) -> bool:
    text = SAMPLE.read_text("utf-8")
    for name, value in (
        ("ChangeReason", reason),
        ("CaseStage", stage),
        ("OldDue", old.isoformat()),
        ("NewDue", new.isoformat()),
    ):
        text = re.sub(rf"(<\w:{name}>)[^<]*", rf"\g<1>{value}", text)
    found = CHECKER.check(text.encode(), files=None).report.findings
    assert {f.rule for f in found} <= {"FG-custody-term-change-006"}
    for finding in found:
        assert not finding.severity.refuses
        assert finding.xpath.endswith("/b:NewDue")
        assert "CPL 157" in finding.advice_en
    return bool(found)


def last_day(old: date, value: int, unit: str) -> date:
    """The last day of a term that runs on from `old`, as the engine counts it."""
    start = datetime.combine(old, time.min, LEGAL_TIME)
    end = due(start, Limit(value, Unit(unit)), CALENDAR, custody=Custody.CUSTODY, in_custody=True)
    return end.date() - timedelta(days=1)


@pytest.mark.parametrize(
    ("reason", "stage", "value", "unit"),
    [
        (DETENTION, "10", 27, "day"),
        (TERM, "25", 2, "month"),
        (TERM, "30", 15, "day"),
        (TERM, "40", 4, "month"),
        (TERM, "50", 3, "month"),
        (TERM, "60", 3, "month"),
    ],
)
def test_no_lawful_day_is_flagged_and_what_is_far_beyond_is(
    reason: str, stage: str, value: int, unit: str
) -> None:
    for old in OLD_DAYS:
        lawful = last_day(old, value, unit)
        for slack in (0, 1):
            assert not is_flagged(reason, stage, old, lawful + timedelta(days=slack)), old
        assert is_flagged(reason, stage, old, lawful + timedelta(days=8)), old


@pytest.mark.parametrize(("reason", "stage"), [(ANEW, "25"), (TERM, "31"), ("07", "40")])
def test_what_is_no_extension_is_not_measured(reason: str, stage: str) -> None:
    assert not is_flagged(reason, stage, date(2027, 1, 15), date(2027, 12, 31))
