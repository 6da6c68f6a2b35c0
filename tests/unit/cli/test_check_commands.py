"""`frontgate check`, `sample` and `standard` as a vendor calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from lxml import etree

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "standard"))

from toy_standard import message, write_standard

from frontgate.cli.main import cli
from frontgate.core.identifiers import unit_code


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_standard(tmp_path / "std")


def call(*arguments: object, lang: str = "en") -> Result:
    return CliRunner().invoke(cli, ["--lang", lang, *map(str, arguments)])


def good(toy: Path, tmp_path: Path) -> Path:
    made = call("sample", "tea-time.submit", "-o", tmp_path / "out", "--standards", toy)
    assert made.exit_code == 0, made.output
    return tmp_path / "out" / "tea-time.submit"


def test_a_good_drop_is_ok(toy: Path, tmp_path: Path) -> None:
    result = call("check", good(toy, tmp_path), "--standards", toy)
    assert result.exit_code == 0
    assert "ok" in result.output


def test_a_bad_drop_shows_place_rule_value_and_advice(toy: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.xml"
    path.write_bytes(message().replace(b">green<", b">greem<"))
    result = call("check", path, "--message-only", "--standards", toy)
    assert result.exit_code == 1
    for part in ("message.xml:9", "FG-COD-001", "error", "b:Guest/b:Kind", "greem", "→"):
        assert part in result.output
    zh = call("check", path, "--message-only", "--standards", toy, lang="zh")
    assert "代码表" in zh.output
    assert "将被拒收" in zh.output


def test_warnings_do_not_refuse(toy: Path, tmp_path: Path) -> None:
    path = tmp_path / "warned.xml"
    path.write_bytes(message().replace(b">green<", b">L77<"))
    result = call("check", path, "--message-only", "--standards", toy)
    assert result.exit_code == 0
    assert "FG-COD-004" in result.output


def test_a_bare_xml_is_judged_as_the_drop_it_would_be(toy: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(message())
    assert call("check", path, "--standards", toy).exit_code == 1
    assert call("check", path, "--message-only", "--standards", toy).exit_code == 0


def test_json_has_every_field(toy: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.xml"
    path.write_bytes(message().replace(b">green<", b">greem<"))
    by_format = call("check", path, "--format", "json", "--message-only", "--standards", toy)
    report = json.loads(by_format.output)
    assert (report["checked"], report["refused"]) == (1, 1)
    (finding,) = report["results"][0]["findings"]
    assert finding["rule"] == "FG-COD-001"
    assert finding["zh"]
    assert finding["en"]
    assert finding["line"] == 9
    result = CliRunner().invoke(
        cli, ["--json", "check", str(path), "--message-only", "--standards", str(toy)]
    )
    assert json.loads(result.output) == report


def test_junit_is_xml_whatever_the_input_holds(toy: Path, tmp_path: Path) -> None:
    good(toy, tmp_path)
    path = tmp_path / "out" / "bad\x1b[31m.xml"
    path.write_bytes(message().replace(b">green<", "> \u009b\u202egreem &lt;<".encode()))
    result = call("check", tmp_path / "out", "--format", "junit", "--standards", toy)
    assert result.exit_code == 1
    suite = etree.fromstring(result.output.encode())
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert len(suite.findall("testcase/failure")) == 1
    for sign in ("\x1b", "\u009b", "\u202e"):
        assert sign not in result.output


def test_hostile_names_and_values_cannot_drive_the_terminal(toy: Path, tmp_path: Path) -> None:
    path = tmp_path / "evil\x1b]0;x\x07\n.xml"
    path.write_bytes(message().replace(b">green<", ">\u009bgreem\u202e<".encode()))
    result = call("check", path, "--standards", toy)
    assert result.exit_code == 1
    for sign in ("\x1b", "\x07", "\u009b", "\u202e"):
        assert sign not in result.output


def test_usage(toy: Path, tmp_path: Path) -> None:
    assert call("check").exit_code == 2
    assert call("check", tmp_path / "nothing").exit_code == 2
    (tmp_path / "empty").mkdir()
    assert call("check", tmp_path / "empty", "--standards", toy).exit_code == 2
    assert call("sample", "--standards", toy).exit_code == 2
    wrong = call("sample", "tea-tme.submit", "--standards", toy)
    assert (wrong.exit_code, "tea-time.submit" in wrong.output) == (2, True)
    assert call("standard", "show", "x.y", "--standards", toy).exit_code == 2
    assert call("standard", "diff", "1.0", "9.9", "--standards", toy).exit_code == 2


def test_explain_adds_the_second_opinion(toy: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.xml"
    path.write_bytes(message(pot=""))
    plain = call("check", path, "--standards", toy)
    more = call("check", path, "--explain", "--standards", toy)
    assert "is not complete" not in plain.output
    assert "is not complete" in more.output


def test_sample_lists_and_breaks(toy: Path, tmp_path: Path) -> None:
    listed = call("sample", "--list", "--standards", toy)
    assert "FG-tea-time-001" in listed.output
    out = tmp_path / "broken"
    arguments = ("-o", out, "--standards", toy)
    assert (
        call("sample", "tea-time.submit", "--invalid", "FG-tea-time-001", *arguments).exit_code == 0
    )
    assert call("sample", "tea-time.submit", "--invalid", "FG-DOC-003", *arguments).exit_code == 0
    report = json.loads(call("check", out, "--format", "json", "--standards", toy).output)
    found = sorted(f["rule"] for r in report["results"] for f in r["findings"])
    assert found == ["FG-DOC-003", "FG-tea-time-001"]
    again = call("sample", "tea-time.submit", "--invalid", "FG-DOC-003", *arguments)
    assert again.exit_code == 2


def test_standard_list_show_docs_diff(toy: Path, tmp_path: Path) -> None:
    assert "tea-time.notify" in call("standard", "list", "--standards", toy).output
    shown = call("standard", "show", "tea-time.submit", "--standards", toy, lang="zh").output
    for part in ("请茶", "发件单位", "茶单", "FG-tea-time-001"):
        assert part in shown
    as_json = CliRunner().invoke(
        cli, ["--json", "standard", "show", "tea-time.submit", "--standards", str(toy)]
    )
    fields = {f["path"]: f for f in json.loads(as_json.output)["fields"]}
    assert fields["/Message/Body/Submit/Guest/Kind"]["codes"] == "tea"
    docs = call("standard", "docs", "-o", tmp_path / "book", "--standards", toy)
    assert (docs.exit_code, (tmp_path / "book/index.html").is_file()) == (0, True)
    same = call("standard", "diff", "1.0", toy / "1.0", "--standards", toy)
    assert same.exit_code == 0
    other = write_standard(tmp_path / "other")
    codes = other / "1.0/codes/tea.csv"
    codes.write_text(codes.read_text("utf-8") + "oolong,乌龙茶,oolong,,,,\n", "utf-8")
    changed = call("standard", "diff", toy / "1.0", other / "1.0")
    assert (changed.exit_code, "oolong" in changed.output) == (1, True)


BLOCKED = """
import sys
for name in ("fcntl", "pwd", "grp", "resource", "termios", "syslog", "apsw", "paramiko", "asyncssh", "watchdog"):
    sys.modules[name] = None
from frontgate.cli.main import main
main(sys.argv[1:])
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_they_run_without_posix_only_modules(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = run("sample", "tea-time.submit", "-o", out, "--standards", toy)
    assert made.returncode == 0, made.stderr
    checked = run("check", out, "--standards", toy)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    explained = run("check", out, "--explain", "--format", "junit", "--standards", toy)
    assert explained.returncode == 0, explained.stderr
    for arguments in (("list",), ("show", "tea-time.submit"), ("docs", "-o", tmp_path / "b")):
        done = run("standard", *arguments, "--standards", toy)
        assert done.returncode == 0, done.stderr


IMPORTS = """
import sys
import frontgate.cli.check, frontgate.cli.standard
heavy = ["xmlschema", "cryptography", "paramiko", "asyncssh", "apsw", "structlog", "rich",
         "watchdog", "asyncio", "multiprocessing", "fcntl", "pwd", "grp", "resource"]
print([name for name in heavy if name in sys.modules])
"""


def test_a_check_imports_nothing_heavy() -> None:
    # Without the coverage tool in the child: what it imports is not ours.
    plain = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_PROCESS")}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=plain,
    )
    assert done.stdout.strip() == "[]"


def test_a_deadline_is_counted_for_people_and_programs() -> None:
    result = call("--json", "standard", "due", "DL-ARR-01", "--start", "2026-11-02")
    value = json.loads(result.output)
    assert value["basis"][0] == "刑事诉讼法 第九十一条第三款"
    assert [t["last_day"] for t in value["terms"]] == ["2026-11-09"]
    shown = call(
        "--lang", "en", "standard", "due", "DL-PRO-03", "--start", "2026-03-10", "--in-custody"
    )
    assert "2026-04-10" in shown.output
    assert "2026-04-25" in shown.output
    assert call("standard", "due", "DL-NO-01", "--start", "2026-11-02").exit_code == 2
    assert call("standard", "due", "DL-ARR-01", "--start", "gestern").exit_code == 2


def test_a_sample_explains_itself_and_is_still_accepted(tmp_path: Path) -> None:
    made = call("sample", "case-property.submit", "-o", tmp_path)
    assert made.exit_code == 0, made.output
    folder = tmp_path / "case-property.submit"
    text = (folder / "message.xml").read_text("utf-8")
    assert "<!-- 名称 Name · 1 · Text200 -->" in text
    assert "代码表 list: property-category" in text
    assert call("check", folder).exit_code == 0
    plain = call("sample", "case-property.submit", "-o", tmp_path / "p", "--plain")
    assert plain.exit_code == 0
    assert "代码表" not in (tmp_path / "p/case-property.submit/message.xml").read_text("utf-8")


def sample(tmp_path: Path, name: str = "sentence-delivery.submit") -> Path:
    made = call("sample", name, "-o", tmp_path / "s", "--plain")
    assert made.exit_code == 0, made.output
    return tmp_path / "s" / name


def edited(folder: Path, old: str, new: str) -> Path:
    path = folder / "message.xml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    return folder


UNITS = Path(__file__).resolve().parents[3] / "config/units.csv"
COURT = "52010231000"
RECEIVER = "<m:Receiver>"


def rules(result: Result) -> list[str]:
    report = json.loads(result.output)
    return [f["rule"] for r in report["results"] for f in r["findings"]]


@pytest.mark.parametrize(
    ("receiver", "rule"),
    [("52030213001", "FG-COD-002"), ("看守所", "FG-COD-005"), ("5203021300x", "FG-COD-005")],
)
def test_a_receivers_code_is_judged_without_a_directory(
    tmp_path: Path, receiver: str, rule: str
) -> None:
    folder = edited(sample(tmp_path), RECEIVER, f"{RECEIVER}{receiver}</m:Receiver>{RECEIVER}")
    result = call("check", folder, "--format", "json")
    assert (result.exit_code, rules(result)) == (1, [rule])
    scheme = edited(folder, f"{RECEIVER}{receiver}", f'<m:Receiver scheme="x">{receiver}')
    assert call("check", scheme).exit_code == 0


def test_a_report_says_that_no_directory_was_asked(tmp_path: Path) -> None:
    folder = sample(tmp_path)
    shown = call("check", folder)
    assert shown.exit_code == 0
    assert "not looked up" in " ".join(shown.output.split())
    assert "没有单位目录" in call("check", folder, lang="zh").output
    report = json.loads(call("check", folder, "--format", "json").output)
    assert report["directory"] is None
    assert "No unit directory" in report["results"][0]["notes"][0]["en"]
    assert "No unit directory" in call("check", folder, "--format", "junit").output


def test_with_a_table_of_units_sender_and_receivers_are_looked_up(tmp_path: Path) -> None:
    folder = sample(tmp_path)
    (tmp_path / "u.csv").write_bytes(UNITS.read_bytes())
    known = ("--units", tmp_path / "u.csv", "--format", "json")
    good = call("check", folder, *known, "--unit", COURT)
    assert (good.exit_code, rules(good)) == (0, [])
    assert json.loads(good.output)["results"][0]["notes"] == []
    foreign = call("check", folder, *known, "--unit", "52010331001")
    assert (foreign.exit_code, rules(foreign)) == (1, ["FG-RTE-010"])
    assert "own unit" in call("check", folder, *known[:2]).output
    unknown = unit_code("5203021300")
    wrong = edited(folder, RECEIVER, f"{RECEIVER}{unknown}</m:Receiver>{RECEIVER}")
    missed = json.loads(call("check", wrong, *known, "--unit", COURT).output)
    (found,) = missed["results"][0]["findings"]
    assert found["rule"] == "FG-RTE-001"
    assert found["xpath"] == "/m:Message/m:Header/m:Receiver[1]"
    assert found["line"] > 1


def test_with_a_table_rights_are_judged_as_at_the_gateway(tmp_path: Path) -> None:
    folder = edited(sample(tmp_path), f"<m:Sender>{COURT}", "<m:Sender>52010341007")
    result = call("check", folder, "--units", UNITS, "--format", "json")
    assert (result.exit_code, rules(result)) == (1, ["FG-STD-006", "FG-RTE-005"])


def test_a_directory_that_cannot_be_used_is_a_slip_in_the_call(tmp_path: Path) -> None:
    folder = sample(tmp_path)
    bad = tmp_path / "bad.csv"
    bad.write_text("code,name\n1,x\n", "utf-8")
    wrong = call("check", folder, "--units", bad)
    assert (wrong.exit_code, "FG-TRU-019" in wrong.output) == (2, True)
    assert call("check", folder, "--unit", COURT).exit_code == 2
    assert call("check", folder, "--units", UNITS, "--unit", "1").exit_code == 2


def test_a_message_without_its_files_hears_of_message_only(tmp_path: Path) -> None:
    path = sample(tmp_path) / "message.xml"
    alone = tmp_path / "alone.xml"
    alone.write_bytes(path.read_bytes())
    assert "--message-only" in call("check", alone).output
    assert "--message-only" not in call("check", alone, "--message-only").output
    assert "--message-only" not in call("check", path.parent).output


def test_wrong_structure_says_that_the_rest_comes_later(tmp_path: Path) -> None:
    folder = edited(sample(tmp_path), RECEIVER, f"<m:Nothing/>{RECEIVER}")
    assert "not judged yet" in call("check", folder).output


def test_a_path_that_is_not_there_is_said_in_both_languages(tmp_path: Path) -> None:
    for command in ("check", "send", "verify"):
        shown = call(command, tmp_path / "nosuch", lang="zh")
        assert (shown.exit_code, "nosuch 不存在。" in shown.output) == (2, True)
        assert "does not exist." in call(command, tmp_path / "nosuch").output


def test_a_rule_is_explained_with_its_place_and_what_it_looks_at() -> None:
    shown = call("explain", "FG-appeal-001")
    for part in ("appeal.submit", "b:AppealFiledOn", "appeal.html#rules"):
        assert part in shown.output
    assert "appeal.decide" not in shown.output
    row = json.loads(call("--json", "explain", "FG-common-005").output)
    assert row["messages"] == "*"
    assert "t:IdNo" in row["elements"]


def test_a_broken_rule_shows_both_values_and_an_advice(tmp_path: Path) -> None:
    made = call("sample", "appeal.submit", "--invalid", "FG-appeal-001", "-o", tmp_path)
    assert made.exit_code == 0, made.output
    shown = call("check", *tmp_path.iterdir()).output
    assert "JudgmentServedOn = 2027-02-26 [L" in shown
    assert "AppealFiledOn = 2027-02-01 [L" in shown
    assert "→ Compare" in shown


def test_the_codes_of_a_list_are_shown_and_searched() -> None:
    assert "crime" in call("standard", "codes").output
    found = call("standard", "codes", "crime", "保险诈骗", lang="zh").output.splitlines()
    assert [line.split()[0] for line in found] == ["198001"]
    rows = json.loads(call("--json", "standard", "codes", "unit-type").output)
    assert rows["list"] == "unit-type"
    assert rows["codes"][0]["code"] == "01"
    wrong = call("standard", "codes", "crimes")
    assert (wrong.exit_code, "(crime" in wrong.output) == (2, True)


def test_a_wrong_code_is_met_with_those_that_begin_alike(tmp_path: Path) -> None:
    folder = edited(sample(tmp_path), ">264001<", ">234999<")
    shown = call("check", folder, lang="zh").output
    assert "相近的有：234101 组织出卖人体器官罪、234001 故意伤害罪\n" in shown
    assert "frontgate standard codes" in shown
    assert "reference/codes" not in shown


def test_the_standard_as_json_says_as_much_as_one_message_type(tmp_path: Path) -> None:
    assert call("standard", "docs", "-o", tmp_path).exit_code == 0
    whole = json.loads((tmp_path / "standard.json").read_text("utf-8"))
    kind = "arrest-request.decide"
    (step,) = (s for f in whole["flows"] for s in f["steps"] if s["type"] == kind)
    alone = json.loads(call("--json", "standard", "show", kind).output)
    assert step["rules"] == [r["id"] for r in alone["rules"]]
    for name in alone.keys() - {"rules"}:
        assert step[name] == alone[name]
    assert {"role": "detention", "mode": "narrowed"} in step["cc"]
    assert step["namespaces"]["b"] == "urn:frontgate:arrest-request:1"
    fields = {f["path"]: f for f in step["fields"]}
    assert fields["/Message/Header/Sender"]["check"] == "unit-code"
    assert "[1-9]" in fields["/Message/Header/Sender"]["limits"]
    assert fields["/Message/Header/Sender"]["prefix"] == "m"
    assert set(whole["checks"]) > {"unit-code", "citizen-id", "person-uid"}


def test_a_message_type_is_shown_with_its_own_rules() -> None:
    submit = call("standard", "show", "sentence-delivery.submit").output
    execute = call("standard", "show", "sentence-delivery.execute").output
    assert "FG-sentence-delivery-004" not in submit
    assert "FG-sentence-delivery-004" in execute
