"""Drafts of every message type: valid but for the places that they list."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lxml import etree

from frontgate import safexml
from frontgate.model.message import MESSAGE_NS
from frontgate.standard import Checker, Standards
from frontgate.standard.check import CODES, XSD
from frontgate.standard.draft import Draft, write_draft
from frontgate.standard.known import read_known
from frontgate.standard.reading import prefixes
from frontgate.standard.samples import samples_of_flow

STANDARDS = Standards.load(Path(__file__).resolve().parents[3] / "standards")
CATALOGUE = STANDARDS.version("1.0")
CHECKER = Checker(STANDARDS)
CASE = "C2026520102110000000016"
NOW = datetime(2027, 3, 1, 1, 0, tzinfo=UTC)
TYPES = [s.message_type for f in CATALOGUE.flow_names for s in CATALOGUE.flow(f).steps.values()]
FILLING = {
    "Day": "2027-03-01",
    "Moment": "2027-03-01T09:00:00+08:00",
    "Count": "1",
    "Amount": "1.00",
    "boolean": "true",
    "UnitCode": "52010221005",
    "Uuid": "7d0a2f5e-52a7-5d0f-9f3d-6f6c5e3d1a01",
    "PersonUid": f"{CASE}-P001",
}


def sample(message_type: str) -> bytes:
    flow, _, step = message_type.partition(".")
    fit = [
        s for s in samples_of_flow(CATALOGUE, flow) if not s.rule and s.message_type == message_type
    ]
    return next((s for s in fit if s.name == step), fit[0]).data


def draft(message_type: str, *earlier: str, reply_to: str = "") -> Draft:
    known = read_known(STANDARDS, [safexml.parse(sample(name)) for name in earlier])
    sender = CHECKER.read(sample(message_type)).header.sender
    return write_draft(
        CATALOGUE, message_type, known, sender=sender, case_uid=CASE, now=NOW, reply_to=reply_to
    )


def history(message_type: str) -> list[str]:
    flow = CATALOGUE.flow(message_type.partition(".")[0])
    opening = [s.message_type for s in flow.steps.values() if s.opens and s.name == "submit"]
    return [
        "arrest-request.submit",
        "arrest-request.decide",
        "prosecution-transfer.submit",
        *opening,
    ]


def value_for(message_type: str, xpath: str, type_name: str, codes: str) -> str:
    """What the valid sample has there; else a value of that type."""
    flow = message_type.partition(".")[0]
    found = safexml.parse(sample(message_type)).xpath(xpath, namespaces=dict(prefixes(flow)))
    if found and found[0].text and found[0].text.strip():
        return str(found[0].text)
    if codes:
        return next(iter(CATALOGUE.code_list(codes).codes))
    return FILLING.get(type_name, "1")


@pytest.mark.parametrize("message_type", TYPES)
def test_a_draft_is_valid_but_for_what_it_lists_and_valid_once_that_is_filled(
    message_type: str,
) -> None:
    made = draft(message_type, *history(message_type))
    flow = message_type.partition(".")[0]
    listed = {o.xpath for o in made.to_fill}
    refused = [
        f
        for f in CHECKER.check(
            made.data, files=None, layers=frozenset({XSD, CODES})
        ).report.findings
        if f.severity.refuses
    ]
    assert {f.xpath for f in refused} <= listed
    assert (not listed) or refused
    root = safexml.parse(made.data)
    for one in made.to_fill:
        assert one.zh
        assert one.en
        place = root.xpath(one.xpath, namespaces=dict(prefixes(flow)))[0]
        place.text = value_for(message_type, one.xpath, one.type_name, one.codes)
    filled = etree.tostring(root, encoding="UTF-8", xml_declaration=True)
    again = CHECKER.check(filled, files=None, layers=frozenset({XSD, CODES})).report.findings
    assert not [f for f in again if f.severity.refuses]


def test_persons_charges_measures_and_numbers_are_there_already() -> None:
    made = draft("prosecution-transfer.submit", "arrest-request.submit", "arrest-request.decide")
    text = made.data.decode()
    for fact in (
        "罗某",
        "杨某",
        "520102199411020032",
        "A5201021200002026110001",
        "38600.00",
        "264001",
    ):
        assert fact in text
    assert text.count(f"<m:PersonUid>{CASE}-P00") == 2
    assert re.findall("<m:DocType>(1130|7107)<", text) == ["1130", "7107"]


def test_an_answer_names_what_it_answers_and_goes_to_who_may_have_it() -> None:
    made = draft("custody-transfer.accept", "arrest-request.submit", "custody-transfer.submit")
    view = CHECKER.read(made.data)
    asked = CHECKER.read(sample("custody-transfer.submit"))
    assert view.header.in_reply_to == asked.header.message_id == made.answers
    assert view.header.flow_uid == asked.header.flow_uid
    assert [a.code for a in view.header.receivers] == ["52010213005"]  # the detention centre
    back = CHECKER.read(draft("arrest-request.accept", "arrest-request.submit").data).header
    assert [a.code for a in back.receivers] == [
        CHECKER.read(sample("arrest-request.submit")).header.sender
    ]
    body = safexml.parse(made.data).find(f"{{{MESSAGE_NS}}}Body")
    assert body is not None
    assert "罗某" in etree.tostring(body, encoding="unicode")


def test_the_stage_of_the_case_is_that_of_the_header() -> None:
    for message_type, stage in (
        ("sentence-delivery.submit", "70"),
        ("custody-transfer.submit", "20"),
    ):
        made = draft(message_type, "arrest-request.submit")
        root = safexml.parse(made.data)
        stages = [e.text for e in root.iter() if str(e.tag).endswith("}CaseStage")]
        assert stages == [stage, stage]


def test_the_newest_word_counts() -> None:
    made = draft("prosecution-transfer.submit", "arrest-request.submit", "arrest-request.execute")
    # the arrest is newer than the detention that the request told of
    assert "<t:MeasureKind>07</t:MeasureKind>" in made.data.decode()


def test_without_any_message_everything_is_open() -> None:
    made = draft("custody-transfer.submit")
    assert not made.answers
    assert len(made.to_fill) > 6
