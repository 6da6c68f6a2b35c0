"""Criminal Procedure Law 264: who serves a sentence in a prison and who in a detention centre."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from frontgate.standard import Checker, Standards

ROOT = Path(__file__).resolve().parents[3] / "standards"
SAMPLE = ROOT / "1.0/flows/sentence-delivery/samples/valid/submit.xml"
CHECKER = Checker(Standards.load(ROOT))
PRISON, CENTRE = "1", "2"
TOO_LONG, NO_PRISON, RESIDUE, NO_TERM, NO_END = (
    f"FG-sentence-delivery-{n}" for n in ("002", "006", "005", "011", "012")
)


def found(penalty: str, place: str, to: str, months: str) -> set[str]:
    """Errors for a term that ends on `to`, or has no end; the message is of 10 March 2027."""
    text = SAMPLE.read_text("utf-8")
    text = re.sub(r"(PrincipalPenalty>)\d", rf"\g<1>{penalty}", text)
    text = re.sub(r"(ExecutionPlaceKind>)\d", rf"\g<1>{place}", text)
    text = re.sub(r"(TermTo>)[\d-]+", rf"\g<1>{to}", text)
    if not to:
        text = re.sub(r"\s*<(\w:TermTo)>.*</\1>", "", text)
    left = f"<b:ResidualMonths>{months}</b:ResidualMonths>" if months else ""
    text = re.sub(r"<b:ResidualMonths>.*</b:ResidualMonths>", left, text)
    report = CHECKER.check(text.encode(), files=None).report
    return {f.rule for f in report.findings if f.severity.refuses}


@pytest.mark.parametrize(
    ("penalty", "place", "to", "months", "rules"),
    [
        ("2", CENTRE, "2027-08-09", "5", set()),
        ("2", CENTRE, "2027-08-09", "", set()),
        ("2", PRISON, "2027-08-09", "5", {NO_PRISON}),
        ("3", PRISON, "2027-08-09", "5", set()),
        ("3", CENTRE, "2027-08-09", "5", {TOO_LONG}),
        ("3", CENTRE, "2027-08-09", "", {TOO_LONG}),
        ("3", CENTRE, "2027-06-09", "3", set()),
        ("3", CENTRE, "2027-06-09", "", set()),
        ("3", CENTRE, "2027-06-11", "", {TOO_LONG}),
        ("3", CENTRE, "2027-03-20", "", set()),
        ("3", CENTRE, "2028-04-09", "2", {RESIDUE}),
        ("3", PRISON, "2028-04-09", "500", {RESIDUE}),
        ("4", CENTRE, "2027-04-09", "1", {TOO_LONG, NO_END}),
        ("1", PRISON, "", "", {NO_TERM}),
        ("2", CENTRE, "", "", {NO_TERM}),
        ("3", PRISON, "", "", {NO_TERM}),
        ("3", PRISON, "", "26", {NO_TERM, RESIDUE}),
        ("4", PRISON, "", "", set()),
        ("5", PRISON, "", "", set()),
        ("5", PRISON, "2047-03-08", "", {NO_END}),
    ],
)
def test_the_place_follows_the_penalty_and_the_months_left(
    penalty: str, place: str, to: str, months: str, rules: set[str]
) -> None:
    assert found(penalty, place, to, months) == rules
