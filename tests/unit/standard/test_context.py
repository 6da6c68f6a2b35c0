"""Context checks of the standard: each one is shown to speak, and to be silent where all is well."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from lxml import etree

from frontgate import safexml
from frontgate.errors import CatalogueError
from frontgate.model.finding import Finding, Severity
from frontgate.standard import Standards
from frontgate.standard.context import PREDICATES, Earlier, Fact, Taken, read_context
from frontgate.standard.reading import prefixes
from frontgate.standard.view import read_view

ROOT = Path(__file__).resolve().parents[3] / "standards"
CATALOGUE = Standards.load(ROOT).version("1.0")
CONTEXT = read_context(CATALOGUE.context)
Change = Callable[[etree._Element], None]


def setting(expression: str, value: str) -> Change:
    def act(root: etree._Element) -> None:
        names = dict(prefixes(root.findtext(".//{*}MessageType").partition(".")[0]))
        hits = root.xpath(expression, namespaces=names)
        assert hits, expression
        for hit in hits:
            hit.text = value

    return act


def removing(expression: str) -> Change:
    def act(root: etree._Element) -> None:
        names = dict(prefixes(root.findtext(".//{*}MessageType").partition(".")[0]))
        hits = root.xpath(expression, namespaces=names)
        assert hits, expression
        for hit in hits:
            hit.getparent().remove(hit)

    return act


class Past:
    """A ledger in memory: what was admitted so far."""

    def __init__(self) -> None:
        self.messages: list[tuple[Taken, Earlier]] = []

    def message(self, message_id: str) -> Earlier | None:
        return next((e for _, e in self.messages if e.message_id == message_id), None)

    def flow(self, flow_uid: str) -> Sequence[Earlier]:
        return [e for t, e in self.messages if t.header.flow_uid == flow_uid]

    def facts(self, name: str, key: str) -> Sequence[Fact]:
        return [f for t, _ in self.messages for f in self._of(t) if (f.name, f.key) == (name, key)]

    def facts_of(self, message_id: str, name: str) -> Sequence[Fact]:
        return [
            f for t, e in self.messages if e.message_id == message_id
            for f in self._of(t) if f.name == name
        ]  # fmt: skip

    def _of(self, taken: Taken) -> list[Fact]:
        header = taken.header
        return [
            Fact(f.name, f.key, f.value, header.message_id, header.flow_uid) for f in taken.facts
        ]

    def admit(self, sample: str, *changes: Change) -> list[Finding]:
        """Judge a sample against what came before, then keep it. Returns: what was said."""
        flow_name, _, name = sample.partition("/")
        path = ROOT / "1.0/flows" / flow_name / "samples/valid" / f"{name}.xml"
        root = copy.deepcopy(safexml.parse(path.read_bytes()))
        for change in changes:
            change(root)
        header = read_view(root).header
        flow, step = CATALOGUE.flow(flow_name), CATALOGUE.step(header.message_type)
        recipients = tuple(a.code for a in header.receivers)
        taken = Taken(
            CATALOGUE, flow, step, header, recipients, root,
            CONTEXT.facts_of(flow, step, root), lambda code: code[:6],
        )  # fmt: skip
        found = CONTEXT.judge(taken, self)
        self.messages.append(
            (taken, Earlier(header.message_id, header.message_type, header.sender, recipients, header.in_reply_to))
        )  # fmt: skip
        return found


def rules(found: list[Finding]) -> list[str]:
    return sorted(f.rule for f in found)


ID = "m:Header/m:MessageId"
OTHER = "99999999-9999-4999-8999-999999999999"
THIRD = "88888888-8888-4888-8888-888888888888"


@pytest.fixture
def past() -> Past:
    return Past()


def test_a_case_in_order_is_silent(past: Past) -> None:
    assert past.admit("prosecution-transfer/submit") == []
    assert past.admit("prosecution-transfer/accept") == []
    assert past.admit("prosecution-transfer/decide") == []
    assert past.admit("prosecution-transfer/execute") == []


def test_paper_that_runs_ahead_is_flagged_and_never_refused(past: Past) -> None:
    found = past.admit("prosecution-transfer/decide")
    assert rules(found) == ["FG-CTX-001", "FG-CTX-002"]
    assert {f.severity for f in found} == {Severity.SEQUENCE}
    assert not any(f.severity.refuses for f in found)


def test_a_step_before_its_predecessor(past: Past) -> None:
    past.admit("prosecution-transfer/submit")
    assert rules(past.admit("prosecution-transfer/execute")) == ["FG-CTX-001", "FG-CTX-003"]


def test_an_answer_to_the_wrong_step_and_from_a_stranger(past: Past) -> None:
    past.admit("prosecution-transfer/submit")
    past.admit("prosecution-transfer/accept")
    accepted = past.messages[-1][0].header.message_id
    found = past.admit(
        "prosecution-transfer/decide",
        setting("m:Header/m:InReplyTo", accepted),
        setting("m:Header/m:Sender", "52010321006"),
    )
    assert rules(found) == ["FG-CTX-004", "FG-CTX-005"]


def test_the_same_business_under_another_id(past: Past) -> None:
    past.admit("prosecution-transfer/submit")
    again = past.admit(
        "prosecution-transfer/submit", setting(ID, OTHER), setting("m:Header/m:FlowUid", OTHER)
    )
    assert rules(again) == ["FG-CTX-006"]
    assert "Duplicate?" in again[0].en


def test_a_closed_instance_takes_no_more(past: Past) -> None:
    past.admit("prosecution-transfer/submit")
    past.admit("prosecution-transfer/withdraw")
    found = past.admit("prosecution-transfer/decide")
    assert "FG-CTX-010" in rules(found)
    assert any(f.severity.refuses for f in found)


def test_flows_that_share_a_flow_uid_do_not_close_each_other(past: Past) -> None:
    past.admit("arrest-request/submit")
    past.admit("arrest-request/decide")
    shared = past.messages[0][0].header.flow_uid
    found = past.admit("custody-transfer/submit", setting("m:Header/m:FlowUid", shared))
    assert "FG-CTX-010" not in rules(found)


def test_an_answer_is_given_once(past: Past) -> None:
    past.admit("prosecution-transfer/submit")
    past.admit("prosecution-transfer/accept")
    second = past.admit("prosecution-transfer/accept", setting(ID, OTHER))
    assert "FG-CTX-011" in rules(second)


def test_each_of_several_receivers_answers(past: Past) -> None:
    """A release is told to the police and to the justice bureau; one may be of another place."""
    past.admit("offender-release/submit")
    assert past.admit("offender-release/return") == []
    police = setting("m:Header/m:Sender", "5201021100X")
    found = rules(past.admit("offender-release/accept", police))
    assert [r for r in found if r in ("FG-CTX-010", "FG-CTX-011")] == []
    assert "FG-CTX-011" in rules(past.admit("offender-release/accept", setting(ID, OTHER), police))


@pytest.mark.parametrize(
    ("receiver", "refused"),
    [("52010221005", False), ("52010021003", False), ("5200002100X", False), ("52230121006", True)],
)
def test_jurisdiction_is_of_the_place_or_above_it(past: Past, receiver: str, refused: bool) -> None:
    found = past.admit("prosecution-transfer/submit", setting("m:Header/m:Receiver", receiver))
    assert ("FG-CTX-012" in rules(found)) == refused


def test_a_third_round_of_supplementary_investigation_is_barred(past: Past) -> None:
    for n, ident in enumerate((OTHER, THIRD), 1):
        found = past.admit(
            "supplementary-investigation/submit",
            setting(ID, ident), setting("m:Header/m:FlowUid", ident), setting("//b:Round", str(n)),
        )  # fmt: skip
        assert "FG-CTX-013" not in rules(found)
    assert "FG-CTX-013" in rules(past.admit("supplementary-investigation/submit"))


def test_a_person_keeps_name_and_number(past: Past) -> None:
    past.admit("prosecution-transfer/submit")
    found = past.admit(
        "public-prosecution/submit",
        setting("(//t:Person)[1]/t:Name | (//b:Person)[1]/t:Name", "罗大某"),
    )
    assert "FG-CTX-020" in rules(found)
    assert "FG-CTX-020" not in rules(Past().admit("public-prosecution/submit"))


def replacing(root: etree._Element) -> None:
    """The message corrects another."""
    sender = root.find("{*}Header/{*}Sender")
    assert sender is not None
    sender.addprevious(etree.Element(etree.QName(sender.tag, "Replaces").text))
    root.find("{*}Header/{*}Replaces").text = OTHER  # type: ignore[union-attr]


def test_who_is_corrected_has_the_new_name_from_there(past: Past) -> None:
    name = "(//t:Person)[1]/t:Name | (//b:Person)[1]/t:Name"
    past.admit("prosecution-transfer/submit", setting(name, "罗大某"))
    corrected = past.admit(
        "prosecution-transfer/submit", replacing, setting(ID, OTHER), setting("m:Header/m:FlowUid", OTHER)
    )  # fmt: skip
    assert "FG-CTX-020" not in rules(corrected)
    assert "FG-CTX-020" not in rules(past.admit("public-prosecution/submit"))
    wrong = past.admit("public-prosecution/submit", setting(name, "罗大某"), setting(ID, THIRD))
    assert "FG-CTX-020" in rules(wrong)


def test_everybody_in_the_request_is_decided_on_and_nobody_else(past: Past) -> None:
    past.admit("prosecution-transfer/submit")
    found = past.admit("prosecution-transfer/decide", removing("(//b:Decided)[2]"))
    assert rules(found) == ["FG-CTX-021"]
    other = Past()
    other.admit("prosecution-transfer/submit")
    stranger = setting("(//b:Decided)[2]/b:PersonUid", "C2026520102110000000016-P007")
    assert rules(other.admit("prosecution-transfer/decide", stranger)) == [
        "FG-CTX-021",
        "FG-CTX-022",
    ]


def test_an_arrest_follows_its_approval(past: Past) -> None:
    past.admit("arrest-request/submit")
    past.admit("arrest-request/decide")
    early = setting("//b:Measure/t:StartAt", "2026-11-01T09:00:00+08:00")
    assert "FG-CTX-023" in rules(past.admit("arrest-request/execute", early))
    good = Past()
    good.admit("arrest-request/submit")
    good.admit("arrest-request/decide")
    assert "FG-CTX-023" not in rules(good.admit("arrest-request/execute"))


def test_property_moves_on_whole(past: Past) -> None:
    past.admit("case-property/submit")
    sent = past.messages[0][0].header.message_id
    other = "7d0a2f5e-52a7-5d0f-9f3d-6f6c5e3d1a02"
    found = past.admit(
        "case-property/supplement",
        setting("m:Header/m:InReplyTo", sent), setting("//b:Property/t:PropertyUid", other),
    )  # fmt: skip
    assert {"FG-CTX-024", "FG-CTX-025"} <= set(rules(found))


def test_a_slot_is_held_once(past: Past) -> None:
    past.admit("room-booking/submit")
    past.admit("room-booking/decide")
    shifted = [setting(ID, OTHER), setting("m:Header/m:FlowUid", OTHER)]
    taken = past.admit(
        "room-booking/submit", *shifted, setting("//b:WantedFrom", "2027-02-03T09:30:00+08:00"),
        setting("//b:WantedTo", "2027-02-03T10:30:00+08:00"),
    )  # fmt: skip
    assert rules(taken) == ["FG-CTX-026"]
    assert "FG-CTX-027" in rules(
        past.admit("room-booking/decide", setting(ID, THIRD), setting("m:Header/m:FlowUid", THIRD))
    )
    free = Past()
    free.admit("room-booking/submit")
    later = free.admit(
        "room-booking/submit", *shifted, setting("//b:WantedFrom", "2027-02-03T10:00:00+08:00"),
        setting("//b:WantedTo", "2027-02-03T11:00:00+08:00"),
    )  # fmt: skip
    assert rules(later) == []


@pytest.mark.parametrize(
    ("sample", "field", "good", "bad", "rule"),
    [
        ("custody-transfer/accept", "//b:CustodyDue", "", "2027-09-01", "FG-CTX-030"),
        (
            "arrest-request/execute",
            "//b:Custody/t:CustodyDue",
            "2027-01-15",
            "2027-03-15",
            "FG-CTX-032",
        ),
        ("correction-admission/submit", "//b:ReportDue", "2027-03-19", "2027-03-21", "FG-CTX-033"),
        ("judgment-service/submit", "//b:AppealDue", "2027-03-08", "2027-03-07", "FG-CTX-034"),
    ],
)
def test_stated_terms_are_those_of_the_law(
    sample: str, field: str, good: str, bad: str, rule: str
) -> None:
    assert rule in rules(Past().admit(sample, setting(field, bad)))
    assert rule not in rules(Past().admit(sample, *([setting(field, good)] if good else [])))


@pytest.mark.parametrize(
    ("stage", "good", "bad", "rule"),
    [
        (
            "30",
            ("2027-02-10", "2027-02-25", "2027-01-20", "2027-01-25"),
            "2027-02-12",
            "FG-CTX-030",
        ),
        ("31", ("2027-02-10", "2027-02-09"), "2027-02-25", "FG-CTX-036"),
        (
            "40",
            ("2027-03-10", "2027-01-30", "2027-02-25", "2027-01-20"),
            "2027-02-03",
            "FG-CTX-031",
        ),
        ("50", ("2027-03-10", "2027-05-10"), "2027-02-10", "FG-CTX-035"),
    ],
)
def test_the_custody_term_of_a_stage_is_that_of_one_of_its_procedures(
    stage: str, good: tuple[str, ...], bad: str, rule: str
) -> None:
    """One, one and a half months or ten, fifteen days; inclusive spans are a day shorter."""

    def said(due: str) -> list[str]:
        changes = (("NewStage", stage), ("CustodyFrom", "2027-01-10"), ("CustodyDue", due))
        return rules(
            Past().admit("custody-transfer/accept", *(setting(f"//b:{n}", v) for n, v in changes))
        )

    assert [due for due in good if rule in said(due)] == []
    assert rule in said(bad)


@pytest.mark.parametrize(
    ("sample", "served", "field", "right", "wrong", "rule"),
    [
        # The tenth day is a Saturday: stated as it stands, or as it moves on; nothing between.
        ("judgment-service/submit", "//b:ServedOn", "//b:AppealDue", ("2027-03-13", "2027-03-15"), "2027-03-14", "FG-CTX-034"),
        ("correction-admission/submit", "//b:EffectiveOn", "//b:ReportDue", ("2027-03-13", "2027-03-15"), "2027-03-14", "FG-CTX-033"),
    ],
)  # fmt: skip
def test_a_day_off_is_stated_as_it_stands_or_moved(
    sample: str, served: str, field: str, right: tuple[str, ...], wrong: str, rule: str
) -> None:
    def said(day: str) -> list[str]:
        return rules(Past().admit(sample, setting(served, "2027-03-03"), setting(field, day)))

    assert [day for day in right if rule in said(day)] == []
    assert rule in said(wrong)


def test_a_ruling_is_appealed_within_five_days() -> None:
    ruling = setting("//m:DocType[.='3110']", "3111")
    assert "FG-CTX-038" in rules(Past().admit("judgment-service/submit", ruling))
    good = setting("//b:AppealDue", "2027-03-03")
    assert rules(Past().admit("judgment-service/submit", ruling, good)) == []


def test_no_effect_before_the_term_of_appeal_is_over(past: Past) -> None:
    past.admit("judgment-service/submit")
    early = setting("//b:EffectiveOn", "2027-03-05")
    assert "FG-CTX-037" in rules(past.admit("judgment-service/notify", early))
    assert "FG-CTX-037" not in rules(past.admit("judgment-service/notify", setting(ID, OTHER)))
    appealed = setting("//b:HasAppeal", "true")
    found = past.admit("judgment-service/notify", setting(ID, THIRD), early, appealed)
    assert "FG-CTX-037" not in rules(found)


def test_every_check_is_tried_here_and_speaks_both_languages() -> None:
    text = Path(__file__).read_text("utf-8")
    for check in CONTEXT.checks:
        assert check.id in text, f"{check.id} is not tried"
        assert "{value}" in check.zh
        assert "{value}" in check.en
        assert not check.severity.refuses or check.id in (
            "FG-CTX-010", "FG-CTX-011", "FG-CTX-012", "FG-CTX-013",
        )  # fmt: skip
        for kind in check.types:
            assert CATALOGUE.has_message_type(kind), kind
    for rule in CONTEXT.facts:
        for kind in rule.types:
            assert CATALOGUE.has_message_type(kind), kind


def test_every_fact_is_found_in_a_sample() -> None:
    seen: set[str] = set()
    for name in CATALOGUE.flow_names:
        flow = CATALOGUE.flow(name)
        for path in (flow.folder / "samples/valid").glob("*.xml"):
            root = safexml.parse(path.read_bytes())
            step = CATALOGUE.step(read_view(root).header.message_type)
            seen |= {f.name for f in CONTEXT.facts_of(flow, step, root)}
    assert seen >= {rule.name for rule in CONTEXT.facts}


@pytest.mark.parametrize(
    "text",
    [
        "[[check]]\nid='x'",
        "[[check]]\nid='x'\npredicate='no_such'\nseverity='error'\nzh=''\nen=''",
        "[[fact]]\nname='x'\nselect='//q:Unknown['",
        "not toml",
    ],
)
def test_a_context_that_cannot_be_used_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "context.toml").write_text(text)
    with pytest.raises(CatalogueError) as caught:
        read_context(tmp_path / "context.toml")
    assert caught.value.code == "FG-STD-003"


def test_each_predicate_says_what_it_judges() -> None:
    assert all(p.__doc__ for p in PREDICATES.values())


def test_a_check_concerns_the_types_that_it_names_or_all(tmp_path: Path) -> None:
    text = "\n".join(
        f'[[check]]\nid = "{n}"\npredicate = "known_flow"\nseverity = "error"\nzh = ""\nen = ""\n{types}'
        for n, types in enumerate(("", 'types = ["a.b", "*.c"]', 'types = ["*.c", "*.d"]'))
    )
    (tmp_path / "context.toml").write_text(text)
    checks = read_context(tmp_path / "context.toml").checks
    asked = {t: [c.id for c in checks if c.concerns(t)] for t in ("a.b", "x.c", "x.d", "c", "a.bc")}
    assert asked == {
        "a.b": ["0", "1"], "x.c": ["0", "1", "2"], "x.d": ["0", "2"], "c": ["0"], "a.bc": ["0"],
    }  # fmt: skip
