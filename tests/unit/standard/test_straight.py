"""Ways straight to elements, and what makes them safe: nothing stands where no declaration puts it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from lxml import etree
from toy_standard import POLICE, message, write_standard

from frontgate import safexml
from frontgate.model.message import MESSAGE_NS
from frontgate.standard import Checker, Standards
from frontgate.standard.check import QUICK_BYTES
from frontgate.standard.codecheck import record_date
from frontgate.standard.quick import QuickSchema, Trust
from frontgate.standard.rules import Rules
from frontgate.standard.samples import samples_of_flow
from frontgate.standard.schema import compile_schema
from frontgate.standard.straight import Straight

TEA = "urn:frontgate:tea-time:1"
SUBMIT = f"{{{TEA}}}Submit"
NAMES = {"m": MESSAGE_NS, "b": TEA}
ON = record_date("2026-03-02T09:30:00+08:00")
STANDARD = Standards.load(Path(__file__).resolve().parents[3] / "standards").version("1.0")


@pytest.fixture
def straight(standards: Standards) -> Straight:
    found = standards.version("1.0").quick("tea-time").straight(SUBMIT)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("//b:Pot", "/fg-0:Message/fg-0:Body/fg-1:Submit/fg-1:Pot"),
        ("//b:Pot[b:Cups]/b:Kind", "/fg-0:Message/fg-0:Body/fg-1:Submit/fg-1:Pot[b:Cups]/b:Kind"),
        ("//b:Nothing", ""),
        ("//b:Notify", ""),
        ("//*[b:Kind]", "//*[b:Kind]"),
        ("//b:*", "//b:*"),
        ("/m:Message/m:Body/b:Submit/b:Pot", "/m:Message/m:Body/b:Submit/b:Pot"),
        ("/m:Message/m:Body/b:Notify/b:Pot", ""),
        ("/m:Message/m:Body/b:Submit/b:Kind", ""),
        ("/m:Message/m:Body/*/b:Pot", "/m:Message/m:Body/*/b:Pot"),
        ("/m:Message/m:Body", "/m:Message/m:Body"),
        ("/m:Message//b:Pot", "/m:Message//b:Pot"),
        ("/m:Message/m:Header[1]/m:Nothing", "/m:Message/m:Header[1]/m:Nothing"),
        ("/m:Message/m:Nothing", ""),
        ("/", "/"),
    ],
)
def test_a_context_leads_to_the_places_that_are_declared(
    straight: Straight, part: str, expected: str
) -> None:
    assert straight.context([part], NAMES) == ([expected] if expected else [])


def test_a_body_that_is_not_declared_has_no_straight_ways(standards: Standards) -> None:
    texts = standards.version("1.0").quick("tea-time")
    for body in ("", f"{{{TEA}}}Pot", f"{{{MESSAGE_NS}}}Message", "{urn:x}Submit"):
        assert texts.straight(body) is None


def test_a_message_that_names_a_type_itself_goes_the_plain_way(tmp_path: Path) -> None:
    root = write_standard(tmp_path)
    path = root / "1.0/flows/tea-time/tea-time.xsd"
    more = """<xs:complexType name="Host"><xs:complexContent><xs:extension base="Guest"><xs:sequence>
      <xs:element name="Pot" type="Pot"/></xs:sequence></xs:extension></xs:complexContent></xs:complexType>"""
    path.write_text(path.read_text("utf-8").replace("</xs:schema>", f"{more}</xs:schema>"), "utf-8")
    catalogue = Standards.load(root).version("1.0")
    host = (
        '<b:Guest xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="b:Host">'
        "<b:Kind>green</b:Kind><b:IdType>990</b:IdType><b:IdNo>?</b:IdNo>"
        "<b:Pot><b:Kind>clay</b:Kind></b:Pot></b:Guest>"  # good codes: only the type is in doubt
    )
    message_ = safexml.parse(message(guests=host))
    assert compile_schema(catalogue, "tea-time").validate(message_)
    quick = QuickSchema(catalogue.quick("tea-time"))
    assert quick.judge(safexml.parse(message()), ON, SUBMIT) is Trust.CODES
    for body in ("", SUBMIT):
        assert quick.judge(message_, ON, body) is Trust.NOTHING
    bad = host.replace("clay", "brick")
    report = Checker(Standards.load(root)).check(message(guests=bad), files=None).report
    assert [f.rule for f in report.findings] == ["FG-COD-001"]


def test_an_open_place_is_noticed_with_and_without_straight_ways(standards: Standards) -> None:
    quick = QuickSchema(standards.version("1.0").quick("tea-time"))
    data = message(sender=POLICE).replace(
        b"</Message>", b"<Extension><b:Pot><b:Kind>brick</b:Kind></b:Pot></Extension></Message>"
    )
    for body in ("", SUBMIT):
        assert quick.judge(safexml.parse(data), ON, body) is Trust.SCHEMA


@pytest.mark.parametrize("flow", STANDARD.flow_names)
def test_the_straight_question_answers_as_the_plain_one_on_every_sample(flow: str) -> None:
    ways = STANDARD.quick(flow)
    rules = Rules(STANDARD.rule_sets(flow), ways)
    quick = QuickSchema(ways)
    judged = 0
    for sample in samples_of_flow(STANDARD, flow):
        root = safexml.parse(sample.data)
        step = STANDARD.step(sample.message_type)
        body = f"{{{STANDARD.flow(flow).namespace}}}{step.element}"
        if quick.judge(root, record_date("2026-11-10T09:30:00+08:00"), body) is Trust.CODES:
            judged += 1
            assert rules._straight(body) is not None
            assert rules._may_be_broken(root, body) == rules._may_be_broken(root, ""), sample
    assert judged >= len(STANDARD.flow(flow).steps)


def test_large_messages_go_the_plain_way(
    standards: Standards, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    judge = QuickSchema.judge

    def count(self: QuickSchema, root: etree._Element, on: date | None, body: str = "") -> Trust:
        asked.append(1)
        return judge(self, root, on, body)

    monkeypatch.setattr(QuickSchema, "judge", count)
    checker = Checker(standards)
    small = message()
    large = small.replace(b"</Message>", b"<!--" + b"x" * QUICK_BYTES + b"--></Message>")
    assert checker.check(small, files=None).report == checker.check(large, files=None).report
    assert asked == [1]
