"""Schema findings in plain words, on the real standard."""

from __future__ import annotations

import pytest

from frontgate.model.finding import Finding
from frontgate.standard import Checker, Standards
from frontgate.standard.plain_types import wanted
from frontgate.standard.samples import samples_of_flow

STANDARDS = Standards.load()
CATALOGUE = STANDARDS.version(STANDARDS.newest)
(SAMPLE,) = (
    s.data.decode("utf-8")
    for s in samples_of_flow(CATALOGUE, "arrest-request")
    if s.message_type == "arrest-request.withdraw" and s.name == "withdraw"
)
DAY = "<t:WithdrawnOn>2026-11-10</t:WithdrawnOn>"


def told(old: str, new: str) -> Finding:
    assert old in SAMPLE
    data = SAMPLE.replace(old, new, 1).encode("utf-8")
    (finding,) = Checker(STANDARDS).check(data, files=None).report.findings
    return finding


@pytest.mark.parametrize("value", ["2026/11/12", "2026-11-12Z", "昨天"])
def test_a_day_in_another_form_is_told_the_form(value: str) -> None:
    found = told(DAY, DAY.replace("2026-11-10", value))
    for text in (found.zh, found.en):
        assert "urn:" not in text
        assert "2026-03-02" in text or found.rule == "FG-XSD-003"


def test_a_day_that_no_calendar_has_is_told_as_that() -> None:
    found = told(DAY, DAY.replace("2026-11-10", "2028-02-30"))
    assert found.rule == "FG-XSD-006"
    assert "2028-02-30 这一天不存在" in found.zh
    assert "there is no 2028-02-30" in found.en


def test_a_form_is_told_in_the_words_of_its_type() -> None:
    found = told("<m:Sender>5201021100X", "<m:Sender>5201021100")
    assert (found.rule, "行政区划六位" in found.zh) == ("FG-XSD-003", True)
    assert "division 6, type 2, serial 2" in found.en


@pytest.mark.parametrize(
    ("builtin", "part"),
    [
        ("boolean", "true"),
        ("decimal", "1200.50"),
        ("int", "whole number"),
        ("dateTime", "+08:00"),
        ("token", "token"),
        ("", "declared type"),
    ],
)
def test_each_type_has_words(builtin: str, part: str) -> None:
    zh, en = wanted(builtin, "x")
    assert zh
    assert part in en


def test_a_required_element_that_was_left_out_is_named_before_the_next() -> None:
    found = told("    <m:Sender>5201021100X</m:Sender>\n", "")
    assert found.rule == "FG-XSD-017"
    assert found.en.startswith("Missing: m:Sender (Sender), before Receiver")
