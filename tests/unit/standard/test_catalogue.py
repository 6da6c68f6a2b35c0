"""Reading the standard's data: lazily, strictly, with a reason that names the file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from toy_standard import message, write_standard

from frontgate.errors import CatalogueError
from frontgate.standard import Catalogue, Checker, Standards, explain_xml, step_of
from frontgate.standard.compare import compare
from frontgate.standard.fields import fields_of

Edit = Callable[[str], str]


def edit(path: Path, change: Edit) -> None:
    before = path.read_text("utf-8")
    after = change(before)
    assert after != before
    path.write_text(after, "utf-8")


def test_versions_are_sorted_as_numbers(tmp_path: Path) -> None:
    for version in ("1.10", "1.9", "2.0"):
        write_standard(tmp_path, version)
    standards = Standards.load(tmp_path)
    assert standards.versions == ("1.9", "1.10", "2.0")
    assert standards.newest == "2.0"


def test_two_versions_live_at_once(tmp_path: Path) -> None:
    write_standard(tmp_path, "1.0")
    write_standard(tmp_path, "1.1")
    edit(tmp_path / "1.1/codes/tea.csv", lambda t: t + "oolong,乌龙茶,oolong,,,,\n")
    checker = Checker(Standards.load(tmp_path))
    data = message().replace(b"green", b"oolong")
    assert [f.rule for f in checker.check(data, files=None).report.findings] == ["FG-COD-001"]
    newer = data.replace(b'standard="1.0"', b'standard="1.1"')
    assert checker.check(newer, files=None).report.findings == ()


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="FG-STD-013"):
        Standards.load(tmp_path / "nothing")
    with pytest.raises(CatalogueError, match="FG-STD-013"):
        Standards.load(tmp_path)


def test_a_broken_flow_does_not_touch_the_others(toy: Path) -> None:
    broken = toy / "1.0/flows/broken"
    broken.mkdir()
    (broken / "flow.toml").write_text("flow = [", "utf-8")
    standards = Standards.load(toy)
    assert Checker(standards).check(message(), files=None).report.findings == ()
    with pytest.raises(CatalogueError, match="FG-STD-003"):
        standards.version("1.0").flow("broken")


def test_what_the_step_says(standards: Standards) -> None:
    step = step_of(standards.version("1.0"), "tea-time.submit")
    assert step.from_roles == ("police",)
    assert step.opens
    assert step.documents[0].types == ("9001", "9002")
    assert [c.mode for c in step.cc] == ["narrowed", "full"]
    assert standards.version("1.0").step("tea-time.notify").answers == ("submit",)


def test_code_lists(standards: Standards) -> None:
    catalogue = standards.version("1.0")
    tea = catalogue.code_list("tea")
    assert tea.has("green", date(2026, 1, 1))
    assert not tea.has("black", date(2026, 1, 1))
    assert tea.has("black", date(2020, 1, 1))
    assert tea.text("green") == "绿茶"
    assert tea.text("green", "en") == "green tea"
    assert tea.text("nothing") == ""
    types = catalogue.code_list("message-type")
    assert set(types.codes) == set(catalogue.message_types)
    with pytest.raises(CatalogueError, match="FG-STD-009"):
        catalogue.code_list("../tea")


FLOW = "1.0/flows/tea-time/flow.toml"
SCHEMA = "1.0/flows/tea-time/tea-time.xsd"
RULES = "1.0/flows/tea-time/rules.sch"


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        (FLOW, 'element = "Submit"', 'elemant = "Submit"', "'element' is missing"),
        (FLOW, 'stage = "20"', 'stages = "20"', "did you mean 'stage'"),
        (FLOW, "opens = true", "opens = 1", "must be of type bool"),
        (FLOW, 'after = ["submit"]', 'after = ["submitt"]', "unknown step 'submitt'"),
        (FLOW, 'terminal = ["notify"]', 'terminal = ["x"]', "unknown step 'x'"),
        (FLOW, 'name = "notify"', 'name = "submit"', "named twice"),
        (FLOW, 'when = "count(//b:Guest) > 2"', 'when = "count("', "XPath"),
        (FLOW, 'mode = "narrowed"', 'mode = "small"', "neither full nor narrowed"),
        (FLOW, 'extract = "pot.xsl"', 'extract = "../../pot.xsl"', "must lie in the flow's folder"),
        (FLOW, 'extract = "pot.xsl"', "", "names its extract"),
        (FLOW, "max = 1", "max = -1", "do not agree"),
        (FLOW, 'flow = "tea-time"', 'flow = "tea"', "but the folder is"),
        (FLOW, 'law = ["茶法 第1条"]', "law = [1]", "list of strings"),
        (SCHEMA, 'type="Pot"', 'type="Kettle"', "Kettle"),
        (SCHEMA, "targetNamespace", "nameSpace", "targetNamespace"),
        (RULES, 'fg:en="More than 50 cups."', "", "needs id, text and fg:en"),
        (RULES, 'role="warning"', 'role="grave"', "none of the severities"),
        (RULES, 'id="FG-tea-time-002"', 'id="FG-tea-time-001"', "stands twice"),
        (RULES, "b:Cups &gt; 50", "b:Cups &gt;", "FG-STD-003"),
        (RULES, '<pattern id="pots">', '<pattern id="pots" abstract="true">', "not supported"),
        (RULES, 'queryBinding="xslt"', 'queryBinding="xslt2"', "is not xslt"),
        ("1.0/codes/tea.csv", "2025-12-31", "2025-13-31", "line 3"),
        ("1.0/codes/tea.csv", "code,zh,en", "kode,zh,en", "column code is missing"),
        ("1.0/codes/tea.csv", "green,", ",", "no code"),
    ],
)
def test_a_slip_in_the_data_is_named(toy: Path, file: str, old: str, new: str, reason: str) -> None:
    edit(toy / file, lambda text: text.replace(old, new, 1))
    with pytest.raises(CatalogueError) as caught:
        Checker(Standards.load(toy)).check(message(), files=None)
    assert caught.value.code == "FG-STD-003"
    assert reason in str(caught.value)


def test_one_path_may_not_name_two_lists(toy: Path) -> None:
    twice = '<xs:choice><xs:element name="Kind" type="xs:string" fg:list="pot"/><xs:element name="Kind" type="xs:string" fg:list="tea"/></xs:choice>'
    edit(
        toy / SCHEMA,
        lambda t: t.replace('<xs:element name="Kind" type="xs:string" fg:list="pot"/>', twice),
    )
    standards = Standards.load(toy)
    with pytest.raises(CatalogueError, match="two code lists"):
        standards.version("1.0").marks("tea-time")


def test_fields_follow_the_schema(standards: Standards) -> None:
    fields = {f.path: f for f in fields_of(standards.version("1.0"), "tea-time.submit")}
    sender = fields["/Message/Header/Sender"]
    assert (sender.zh, sender.en, sender.occurs) == ("发件单位。单位代码", "sending unit", "1")
    assert sender.check == "unit-code"
    assert fields["/Message/Body/Submit/Guest"].occurs == "1..*"
    assert fields["/Message/Body/Submit/Guest/Kind"].codes == "tea"
    assert fields["/Message/Body/Submit/Pot/Kind"].codes == "pot"
    assert fields["/Message/Header/Receiver/@scheme"].occurs == "0..1"
    assert "network | disc | paper" in fields["/Message/Documents/Document/Carrier"].limits
    assert "/Message/Body/Notify" not in fields


def test_comparison_names_what_changed(tmp_path: Path) -> None:
    write_standard(tmp_path, "1.0")
    write_standard(tmp_path, "1.1")
    old = Catalogue(tmp_path / "1.0")
    assert compare(old, Catalogue(tmp_path / "1.1")) == ()
    edit(tmp_path / "1.1/codes/tea.csv", lambda t: t + "oolong,乌龙茶,oolong,,,,\n")
    edit(
        tmp_path / "1.1/flows/tea-time/tea-time.xsd",
        lambda t: t.replace('name="Cups" minOccurs="0"', 'name="Cups"'),
    )
    edit(
        tmp_path / "1.1/flows/tea-time/flow.toml",
        lambda t: t.replace('type = "9004"', 'type = "9003"'),
    )
    edit(tmp_path / "1.1/flows/tea-time/rules.sch", lambda t: t.replace("50", "60"))
    found = {
        (c.kind, c.area, c.name.split()[-1]) for c in compare(old, Catalogue(tmp_path / "1.1"))
    }
    assert ("added", "code", "oolong") in found
    assert ("changed", "field", "/Message/Body/Submit/Pot/Cups") in found
    assert ("changed", "rule", "FG-tea-time-002") in found
    assert {kind for kind, area, _ in found if area == "document"} == {"added", "removed"}


def test_a_second_processor_explains(standards: Standards) -> None:
    catalogue = standards.version("1.0")
    assert explain_xml(catalogue, "tea-time", message()) == ()
    reasons = explain_xml(catalogue, "tea-time", message(pot="", time="late"))
    assert any("Pot" in r.text for r in reasons)
    assert all(r.line for r in reasons)
    big = message().replace(b"</Message>", b"<!--" + b" " * (1 << 20) + b"--></Message>")
    assert explain_xml(catalogue, "tea-time", big) == ()
