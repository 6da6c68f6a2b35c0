"""The checker on the toy standard: every layer, every place a finding points to."""

from __future__ import annotations

import threading
from datetime import date
from pathlib import Path

import pytest
from lxml import etree, isoschematron
from toy_standard import CASE, COURT, DOCUMENT, GUEST, POLICE, message, write_standard

from frontgate import safexml
from frontgate.errors import CatalogueError, XmlError, all_codes
from frontgate.model.finding import Finding, Severity
from frontgate.standard import Checker, FileFact, Standards
from frontgate.standard.codecheck import CodeCheck, record_date
from frontgate.standard.quick import QuickSchema, Trust

POT = "<b:Pot><b:Kind>clay</b:Kind></b:Pot>"


def found(checker: Checker, data: bytes, **options: object) -> tuple[Finding, ...]:
    options.setdefault("files", None)
    return checker.check(data, **options).report.findings  # type: ignore[arg-type]


def rules(checker: Checker, data: bytes, **options: object) -> list[str]:
    return [f.rule for f in found(checker, data, **options)]


def guest(kind: str = "green", id_type: str = "990", id_no: str = "?") -> str:
    return (
        f"<b:Guest><b:Kind>{kind}</b:Kind><b:IdType>{id_type}</b:IdType>"
        f"<b:IdNo>{id_no}</b:IdNo></b:Guest>"
    )


def test_a_valid_message_has_no_findings_and_a_view(checker: Checker) -> None:
    checked = checker.check(message(), files=None)
    assert checked.report.findings == ()
    assert checked.view is not None
    assert checked.view.header.message_type == "tea-time.submit"
    assert checked.view.header.sender == POLICE
    assert checked.view.documents[0].file_name == "茶单.pdf"
    assert checked.view.documents[0].size_bytes == 1200
    assert checked.view.body_tag == "{urn:frontgate:tea-time:1}Submit"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (message(documents=""), "FG-XSD-001"),
        (message(pot=""), "FG-XSD-001"),
        (message(receiver=""), "FG-XSD-017"),
        (message(header="<Nothing/>"), "FG-XSD-002"),
        (message(pot=POT * 2), "FG-XSD-019"),
        (message(header="<SenderRef>a</SenderRef><FlowUid>x</FlowUid>"), "FG-XSD-018"),
        (message(time="2026-03-02T09:30:00"), "FG-XSD-003"),
        (message(header="<MessageId>X</MessageId>"), "FG-XSD-018"),
        (message(header="<FlowUid>X</FlowUid>"), "FG-XSD-003"),
        (message(documents=DOCUMENT.replace("<FileName>", "<Carrier>pigeon</Carrier><FileName>")), "FG-XSD-004"),
        (message(sender=""), "FG-XSD-005"),
        (message(sender="5" * 101), "FG-XSD-005"),
        (message(pot="<b:Pot><b:Kind>clay</b:Kind><b:Cups>many</b:Cups></b:Pot>"), "FG-XSD-006"),
        (message(pot="<b:Pot><b:Kind>clay</b:Kind><b:Cups>0</b:Cups></b:Pot>"), "FG-XSD-007"),
        (message(documents=DOCUMENT * 2), "FG-XSD-009"),
        (message(pot='<b:Pot lid="1"><b:Kind>clay</b:Kind></b:Pot>'), "FG-XSD-011"),
        (message().replace(b' standard="1.0"', b' standard="1.0" x="1"'), "FG-XSD-011"),
        (message(pot="<b:Pot>tea<b:Kind>clay</b:Kind></b:Pot>"), "FG-XSD-013"),
        (message(sender="<b/>"), "FG-XSD-013"),
        (message().replace(b"b:Submit>", b"b:Sup>"), "FG-XSD-014"),
    ],
)  # fmt: skip
def test_each_kind_of_schema_error_has_its_code(
    checker: Checker, data: bytes, expected: str
) -> None:
    findings = found(checker, data)
    assert expected in [f.rule for f in findings]
    for f in findings:
        assert f.line is not None
        assert f.file == "message.xml"
        assert "?" not in f.zh.replace("？", ""), f.zh
        assert "?" not in f.en, f.en
        if f.rule.startswith("FG-XSD"):
            assert f.advice_zh
            assert f.advice_en


def test_xsi_type_is_refused(checker: Checker) -> None:
    data = message().replace(
        b"<b:Pot>",
        b'<b:Pot xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="b:Guest">',
    )
    assert "FG-XSD-015" in rules(checker, data)


def test_a_missing_element_is_named_with_its_meaning_in_both_languages(checker: Checker) -> None:
    data = message().replace(f"<Sender>{POLICE}</Sender>".encode(), b"")
    (finding,) = found(checker, data)
    assert finding.rule == "FG-XSD-017"
    assert "Sender（发件单位）" in finding.zh
    assert "Sender (sending unit)" in finding.en
    assert finding.xpath == "/m:Message/m:Header/m:Receiver"
    assert finding.line == 6


@pytest.mark.parametrize(
    ("data", "zh", "en"),
    [
        (
            message(receiver=""),
            "缺少 m:Receiver，应在 BusinessTime之前",
            "Missing: m:Receiver, before BusinessTime",
        ),
        (
            message(header="<SenderRef>a</SenderRef><FlowUid>x</FlowUid>"),
            "顺序不对：FlowUid须在 SenderRef之前",
            "Wrong order: FlowUid must stand before SenderRef",
        ),
        (
            message(guests=POT + GUEST, pot=""),
            "顺序不对：Guest须在 Pot之前",
            "Wrong order: Guest must stand before Pot",
        ),
        (message(pot=POT * 2), "Pot出现次数过多：此处至多 1 次", "Pot stands too often: at most 1 here"),
        (message(pot="<b:Pot/>"), "Pot缺少下级元素；应有：b:Kind", "Pot lacks a child element; expected: b:Kind"),
    ],
)  # fmt: skip
def test_what_is_missing_or_out_of_order_is_said_as_such(
    checker: Checker, data: bytes, zh: str, en: str
) -> None:
    (finding,) = found(checker, data)
    assert (finding.zh, finding.en) == (zh, en)


def test_the_xpath_of_a_finding_leads_to_its_element(checker: Checker) -> None:
    data = message(guests=GUEST + guest("greem"))
    (finding,) = found(checker, data)
    names = {"m": "urn:frontgate:message:1", "b": "urn:frontgate:tea-time:1"}
    (element,) = etree.fromstring(data).xpath(finding.xpath, namespaces=names)
    assert element.text == "greem" == finding.value


def test_no_later_layer_runs_on_what_the_schema_refused(checker: Checker) -> None:
    data = message(guests=guest("nonsense"), pot="", documents="")
    assert {r[:6] for r in rules(checker, data)} == {"FG-XSD"}


def test_layers_can_be_chosen(checker: Checker) -> None:
    data = message(guests=guest("nonsense"))
    assert rules(checker, data, layers=frozenset({"xsd", "rules"})) == []
    assert rules(checker, data, layers=frozenset({"codes"})) == ["FG-COD-001"]


def test_an_unknown_code_names_the_nearest(checker: Checker) -> None:
    (finding,) = found(checker, message(guests=guest("greem")))
    assert finding.rule == "FG-COD-001"
    assert "绿茶" in finding.zh
    assert "green tea" in finding.en


def test_the_same_element_name_takes_the_list_of_its_place(checker: Checker) -> None:
    in_pot = message(pot="<b:Pot><b:Kind>green</b:Kind></b:Pot>")
    (finding,) = found(checker, in_pot)
    assert (finding.rule, "pot" in finding.en) == ("FG-COD-001", True)
    assert rules(checker, message(guests=guest("clay"))) == ["FG-COD-001"]


@pytest.mark.parametrize(
    ("kind", "time", "expected"),
    [
        ("black", "2025-12-31T23:59:59+08:00", []),
        ("black", "2025-12-31T15:59:59Z", []),
        ("black", "2025-12-31T16:00:00Z", ["FG-COD-003"]),  # already 2026 in China
        ("black", "2026-01-01T00:00:00+08:00", ["FG-COD-003"]),
        ("white", "2026-03-01T15:59:59Z", ["FG-COD-003"]),
        ("white", "2026-03-01T16:00:00Z", []),
        ("L77", "2026-03-02T00:00:00Z", ["FG-COD-004"]),
    ],
)
def test_codes_are_judged_at_the_legal_day(
    checker: Checker, kind: str, time: str, expected: list[str]
) -> None:
    assert rules(checker, message(guests=guest(kind), time=time)) == expected


def test_a_local_code_only_warns(checker: Checker) -> None:
    report = checker.check(message(guests=guest("L01")), files=None).report
    assert not report.is_refused
    assert report.findings[0].severity is Severity.WARNING


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-03-02T09:30:00+08:00", date(2026, 3, 2)),
        ("2026-03-01T24:00:00+08:00", date(2026, 3, 2)),
        ("2026-03-01T23:00:00.123456789-14:00", date(2026, 3, 2)),
    ],
)
def test_record_date(text: str, day: date) -> None:
    assert record_date(text) == day


@pytest.mark.parametrize(
    "text", ["", "2026-03-02", "2026-03-02T09:30:00", "9999-12-31T23:59:59-14:00"]
)
def test_a_time_without_a_legal_day_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        record_date(text)


def test_a_time_beyond_the_calendar_is_a_finding(checker: Checker) -> None:
    assert rules(checker, message(time="12026-03-02T09:30:00Z")) == ["FG-XSD-006"]


def test_check_digits_depend_on_the_sibling(checker: Checker) -> None:
    assert rules(checker, message(guests=guest(id_type="111", id_no="520102199001010001"))) == [
        "FG-COD-002"
    ]
    assert rules(checker, message(guests=guest(id_type="414", id_no="520102199001010001"))) == []
    assert rules(checker, message(guests=guest(id_type="111", id_no="52010219900101000X"))) == []


def test_an_external_receiver_code_has_no_check_digit(checker: Checker) -> None:
    assert rules(checker, message(receiver=f"<Receiver>{COURT[:-1]}9</Receiver>")) == ["FG-COD-002"]
    external = '<Receiver scheme="court-word">黔0102</Receiver>'
    assert rules(checker, message(receiver=external)) == []


def test_a_comment_inside_a_value_does_not_hide_the_rest(checker: Checker) -> None:
    assert rules(checker, message(guests=guest("gre<!-- x -->en"))) == []
    assert rules(checker, message(guests=guest("green<!-- x -->ish"))) == ["FG-COD-001"]


def test_rules_tell_values_basis_and_severity(checker: Checker) -> None:
    pot = "<b:Pot><b:Kind>clay</b:Kind><b:Cups>2</b:Cups></b:Pot>"
    (finding, _document) = found(checker, message(guests=GUEST * 3, pot=pot))
    assert finding.rule == "FG-tea-time-001"
    assert finding.zh == "杯子只有2个，客人有3位"
    assert finding.en == "Fewer cups than guests."
    assert finding.basis == "茶法 第2条"
    assert finding.severity is Severity.ERROR
    warned = checker.check(message(pot=pot.replace(">2<", ">51<")), files=None).report
    assert [f.rule for f in warned.findings] == ["FG-tea-time-002"]
    assert not warned.is_refused


def test_required_documents_alternatives_and_variants(checker: Checker) -> None:
    wine = DOCUMENT.replace("9001", "9002")
    other = DOCUMENT.replace("9001", "9003")
    seats = DOCUMENT.replace("1111-", "2222-").replace("9001", "9004").replace("茶单.pdf", "b.pdf")
    assert rules(checker, message(documents=wine)) == []
    missing = found(checker, message(documents=other))
    assert [f.rule for f in missing] == ["FG-DOC-001"]
    assert "《茶单》或《酒单》" in missing[0].zh
    assert "tea list or wine list" in missing[0].en
    assert rules(checker, message(guests=GUEST * 3)) == ["FG-DOC-001"]
    assert rules(checker, message(guests=GUEST * 3, documents=DOCUMENT + seats)) == []
    assert rules(
        checker,
        message(documents=wine + DOCUMENT.replace("1111-", "3333-").replace("茶单.pdf", "c.pdf")),
    ) == ["FG-DOC-006"]


def test_a_disc_satisfies_a_document_and_brings_no_file(checker: Checker) -> None:
    disc = DOCUMENT.replace(
        "<FileName>茶单.pdf</FileName><Bytes>1200</Bytes>", "<Carrier>disc</Carrier>"
    )
    assert rules(checker, message(documents=disc), files={}) == []


def test_files_are_compared_by_name_size_and_digest(checker: Checker) -> None:
    good = FileFact(1200, "ab" * 32)
    with_digest = DOCUMENT.replace("</Bytes>", f"</Bytes><Digest>{'ab' * 32}</Digest>")
    data = message(documents=with_digest)
    assert rules(checker, data, files={"茶单.pdf": good}) == []
    assert rules(checker, data, files={}) == ["FG-DOC-002"]
    assert rules(checker, data, files={"茶单.pdf": FileFact(1199, "ab" * 32)}) == ["FG-DOC-003"]
    assert rules(checker, data, files={"茶单.pdf": FileFact(1200, "cd" * 32)}) == ["FG-DOC-004"]
    assert rules(checker, data, files={"茶单.pdf": good, "x": good}) == ["FG-DOC-005"]


def test_file_names_match_in_nfc(checker: Checker) -> None:
    decomposed = DOCUMENT.replace("茶单.pdf", "e\u0301t\u00e9.pdf")
    facts = {"\u00e9t\u00e9.pdf": FileFact(1200, "")}
    assert rules(checker, message(documents=decomposed), files=facts) == []


@pytest.mark.parametrize(
    "name", ["../x.pdf", "a/b.pdf", "a\\b.pdf", "..", ". .", "a\u0085.pdf", "c\td.pdf", "茶" * 86]
)
def test_unsafe_file_names_are_refused(checker: Checker, name: str) -> None:
    assert "FG-DOC-007" in rules(checker, message(documents=DOCUMENT.replace("茶单.pdf", name)))


def test_two_documents_may_not_share_a_file_name(checker: Checker) -> None:
    twin = (
        DOCUMENT.replace("1111-", "2222-").replace("9001", "9003").replace("茶单.pdf", "茶单.PDF")
    )
    assert rules(checker, message(documents=DOCUMENT + twin)) == ["FG-DOC-008"]


def test_type_and_body_must_agree(checker: Checker) -> None:
    data = message().replace(b"tea-time.submit", b"tea-time.notify")
    (finding,) = found(checker, data)
    assert finding.rule == "FG-STD-007"
    assert "Notify" in finding.zh


def test_unknown_types_and_versions_are_named_with_what_there_is(checker: Checker) -> None:
    (kind,) = found(checker, message().replace(b"tea-time.submit", b"tea-tim.submit"))
    assert kind.rule == "FG-STD-002"
    assert "tea-time.submit" in kind.en
    checked = checker.check(message().replace(b'standard="1.0"', b'standard="../1.0"'), files=None)
    assert [f.rule for f in checked.report.findings] == ["FG-STD-001"]
    assert checked.view is not None


def test_an_unknown_type_still_has_its_frame_judged(checker: Checker) -> None:
    data = message(time="yesterday").replace(b"tea-time.submit", b"nothing.submit")
    assert [r[:6] for r in rules(checker, data)] == ["FG-STD", "FG-XSD"]


def test_what_is_no_message_has_a_finding_and_no_view(checker: Checker) -> None:
    for data, rule in (
        (b"<a/>", "FG-STD-004"),
        (b"<a", "FG-XML-001"),
        (b'<Message xmlns="urn:frontgate:message:1" standard="1.0"/>', "FG-STD-005"),
        (b'<!DOCTYPE a><Message xmlns="urn:frontgate:message:1"/>', "FG-XML-005"),
    ):
        checked = checker.check(data, files=None)
        assert checked.view is None
        assert [f.rule for f in checked.report.findings] == [rule]
        assert checked.report.is_refused


def test_minted_asks_for_the_ids(checker: Checker) -> None:
    assert rules(checker, message(), minted=True) == ["FG-STD-008", "FG-STD-008"]


def test_an_unusual_sender_is_a_warning(checker: Checker) -> None:
    report = checker.check(message(sender=COURT), files=None).report
    assert [f.rule for f in report.findings] == ["FG-STD-006"]
    assert not report.is_refused


def test_read_raises_where_check_reports(checker: Checker) -> None:
    assert (
        checker.read(message(pot="", header=f"<CaseUid>{CASE}</CaseUid>")).header.case_uid == CASE
    )
    with pytest.raises(XmlError):
        checker.read(b"<a")
    with pytest.raises(CatalogueError, match="FG-STD-002"):
        checker.read(message().replace(b"tea-time.submit", b"tea-time.burn"))
    with pytest.raises(CatalogueError, match="FG-STD-001"):
        checker.read(message().replace(b'standard="1.0"', b'standard="2"'))


def test_findings_are_bounded_and_the_bound_is_said(checker: Checker) -> None:
    many = rules(checker, message(guests=guest("nonsense") * 500))
    assert many.count("FG-COD-001") == 200
    assert "FG-XSD-016" in many
    documents = "".join(
        DOCUMENT.replace("11111111-", f"{n:08x}-").replace("1200", "x") for n in range(300)
    )
    schema = rules(checker, message(documents=documents))
    assert (schema.count("FG-XSD-006"), schema[-1]) == (200, "FG-XSD-016")


def test_every_code_of_the_room_is_in_the_table() -> None:
    texts = all_codes()
    for family in ("FG-STD", "FG-XSD", "FG-COD", "FG-DOC"):
        rows = [row for code, row in texts.items() if code.startswith(family)]
        assert rows
        for row in rows:
            assert row.zh
            assert row.en
            assert row.advice_zh
            assert row.advice_en
            assert any("\u4e00" <= c <= "\u9fff" for c in row.zh)
            assert not any("\u4e00" <= c <= "\u9fff" for c in row.en + row.advice_en)


def test_two_checkers_in_two_threads_never_mix_their_findings(standards: Standards) -> None:
    """One partner's data in another's report would be a leak, not only a wrong verdict."""
    problems: list[object] = []

    def work(mark: str) -> None:
        checker = Checker(standards)
        data = message(pot=f"<b:Pot><b:Kind>clay</b:Kind><b:Cups>{mark}</b:Cups></b:Pot>")
        for _ in range(150):
            values = [f.value for f in found(checker, data)]
            if values != [mark]:
                problems.append(values)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in ("aaa", "bbb", "ccc", "ddd")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_our_schematron_agrees_with_the_skeleton(toy: Path, checker: Checker) -> None:
    second = isoschematron.Schematron(
        etree.parse(str(toy / "1.0/flows/tea-time/rules.sch")), store_report=True
    )
    for cups in (1, 2, 3, 60):
        data = message(
            guests=GUEST * 2, pot=f"<b:Pot><b:Kind>clay</b:Kind><b:Cups>{cups}</b:Cups></b:Pot>"
        )
        second.validate(etree.fromstring(data))
        hits = second.validation_report.xpath(
            "//*[local-name()='failed-assert' or local-name()='successful-report']/@id"
        )
        assert rules(checker, data, layers=frozenset({"rules"})) == list(hits)


def test_a_second_flow_is_a_folder(tmp_path: Path) -> None:
    root = write_standard(tmp_path / "std")
    old = root / "1.0/flows/tea-time"
    new = root / "1.0/flows/late-supper"
    for source in old.rglob("*"):
        if source.is_file():
            target = new / str(source.relative_to(old)).replace("tea-time", "late-supper")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes().replace(b"tea-time", b"late-supper"))
    checker = Checker(Standards.load(root))
    data = message().replace(b"tea-time", b"late-supper")
    assert rules(checker, data) == []
    assert rules(checker, data.replace(b"green", b"blue")) == ["FG-COD-001"]
    assert "late-supper.submit" in Standards.load(root).version("1.0").message_types


def test_a_message_cannot_bring_its_own_schema(checker: Checker, tmp_path: Path) -> None:
    """xsi:schemaLocation would let a sender declare what the strict body may hold."""
    own = tmp_path / "own.xsd"
    own.write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:own">'
        '<xs:element name="Own" type="xs:string"/></xs:schema>',
        "utf-8",
    )
    body = (
        '<Own xmlns="urn:own" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="urn:own {own.as_uri()}">x</Own>'
    )
    text = message().decode()
    start, end = text.index("<Body>") + 6, text.index("</Body>")
    data = (text[:start] + body + text[end:]).encode()
    assert rules(checker, data) == ["FG-STD-007", "FG-XSD-014"]


def test_code_lists_of_any_base_are_judged_by_the_quick_schema(standards: Standards) -> None:
    catalogue = standards.version("1.0")
    texts = catalogue.quick("tea-time")
    quick = QuickSchema(texts)
    on = record_date("2026-03-02T09:30:00+08:00")
    assert texts.compile(on) is not None
    root = safexml.parse(message(guests=guest("green")))
    assert quick.judge(root, on) is Trust.CODES
    kind = next(root.iter("{urn:frontgate:tea-time:1}Kind"))
    kind.text = "clay"  # a code of the other element called Kind
    assert quick.judge(root, on) is Trust.NOTHING
    assert quick.judge(root, None) is Trust.SCHEMA
    assert not any("Kind" in name or "DocType" in name for name in CodeCheck(catalogue, "tea-time").left)  # fmt: skip


def test_a_rule_can_name_the_element_it_points_at_and_its_own_advice(tmp_path: Path) -> None:
    root = write_standard(tmp_path / "std")
    path = root / "1.0/flows/tea-time/rules.sch"
    own = 'fg:at="b:Kind" fg:advice-zh="添杯" fg:advice-en="Add cups." fg:en="Fewer cups'
    path.write_text(path.read_text("utf-8").replace('fg:en="Fewer cups', own), "utf-8")
    few = message(pot="<b:Pot><b:Kind>clay</b:Kind><b:Cups>1</b:Cups></b:Pot>", guests=GUEST * 2)
    (finding,) = found(Checker(Standards.load(root)), few)
    assert finding.xpath.endswith("/b:Pot/b:Kind")
    assert (finding.advice_zh, finding.advice_en) == ("添杯", "Add cups.")
    assert "Cups = 1 [L" in finding.value
