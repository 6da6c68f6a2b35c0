"""A broken rule shows what it compared: elements, values, lines."""

from __future__ import annotations

import pytest
from lxml import etree

from frontgate.standard import Checker, Standards
from frontgate.standard.compared import compared, paths_of
from frontgate.standard.samples import samples_of_flow

NAMES = {"b": "urn:b"}
TREE = etree.fromstring(
    b"<Top xmlns='urn:b'>\n<From>2027-03-09</From>\n<To>2027-01-05</To>\n"
    b"<Man>\n<Uid>1</Uid></Man><Man><Uid>2</Uid></Man></Top>"
)


@pytest.mark.parametrize(
    ("test", "paths"),
    [
        ("not(b:A and b:B)", ["b:A", "b:B"]),
        ("number(translate(substring(b:To,1,10),'-','')) > 3 and b:To != 'b:No'", ["b:To"]),
        ("../b:A/b:B = /b:Top/b:C", ["../b:A/b:B", "/b:Top/b:C"]),
        ("count(//b:A[b:K='1]']/b:B) = 1", ["//b:A[b:K='1]']/b:B"]),
        ("local-name(..) = 'x' or ancestor::b:A/@b:k", ["ancestor::b:A/@b:k"]),
        ("(b:A|b:B)[b:C]", ["b:A", "b:B"]),
        ("b:A[b:B[b:C]] div b:A[b:B[b:C]]", ["b:A[b:B[b:C]]"]),
        ("true()", []),
        ("b:A[", ["b:A["]),
    ],
)
def test_the_paths_of_a_test_are_read(test: str, paths: list[str]) -> None:
    assert [p.text for p in paths_of(test)] == paths


def test_values_and_lines_are_shown_and_what_is_absent() -> None:
    both = compared(TREE, "b:From or number(b:To) or b:Gone", NAMES)
    assert both.text == "From = 2027-03-09 [L2]; To = 2027-01-05 [L3]; Gone = –"
    assert both.element is None
    one = compared(TREE, "not(b:To='x') or b:Gone", NAMES)
    assert one.element is not None
    assert one.element.text == "2027-01-05"


def test_of_elements_chosen_by_a_predicate_it_shows_what_that_asks() -> None:
    seen = compared(TREE, "not(b:Man[b:Uid = '2'])", NAMES)
    assert seen.text == "Man [L5]; Uid = 2 [L5]"
    assert seen.element is TREE[3]


def test_a_path_that_only_a_stylesheet_knows_is_left_out() -> None:
    assert compared(TREE, "key('k', b:From)/b:To = current()/b:To", NAMES).text.startswith("From")


def test_every_rule_of_the_standard_shows_what_it_compared() -> None:
    standards = Standards.load()
    catalogue = standards.version(standards.newest)
    checker = Checker(standards)
    seen = set()
    for flow in catalogue.flow_names:
        for sample in samples_of_flow(catalogue, flow):
            for finding in checker.check(sample.data, files=None).report.findings:
                if finding.rule == sample.rule and finding.rule.split("-")[1].islower():
                    seen.add(finding.rule)
                    assert " = " in finding.value, finding
                    assert finding.advice_zh, finding
                    assert finding.advice_en, finding
    assert len(seen) > 150


def test_a_rule_about_one_element_points_at_it() -> None:
    standards = Standards.load()
    catalogue = standards.version(standards.newest)
    (sample,) = (s for s in samples_of_flow(catalogue, "appeal") if s.rule == "FG-appeal-002")
    report = Checker(standards).check(sample.data, files=None).report
    (finding,) = (f for f in report.findings if f.rule == "FG-appeal-002")
    assert finding.xpath == "/m:Message/m:Body/b:Submit/b:AppealKind"
    assert f"[L{finding.line}]" in finding.value
