"""The rules for all messages hold in every message where their groups stand, and are listed there.

A flow declares its groups (`Person`, `Charge`, …) in its own namespace. A rule that looks for them
by name in another namespace is silent, which no sample of another flow shows: so each rule is
broken here at every place of every message that can hold the group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lxml import etree

from frontgate import safexml
from frontgate.standard import Catalogue, Checker, Standards
from frontgate.standard.check import RULES
from frontgate.standard.declarations import Declaration
from frontgate.standard.samples import samples_of_flow

STANDARDS = Standards.load(Path(__file__).resolve().parents[3] / "standards")
CATALOGUE = STANDARDS.version(STANDARDS.newest)
CHECKER = Checker(STANDARDS)
MESSAGE_NS, TYPES_NS = "urn:frontgate:message:1", "urn:frontgate:types:1"
T = f"{{{TYPES_NS}}}"
CASE = "C2026520102110000000016"

Break = Callable[[etree._Element], None]


def put(group: etree._Element, **values: str | None) -> None:
    """Give the group these children, or take them away; order matters to the schema alone."""
    for name, value in values.items():
        for old in group.findall(f"{T}{name}"):
            group.remove(old)
        if value is not None:
            etree.SubElement(group, f"{T}{name}").text = value


def header(element: etree._Element, name: str, value: str) -> None:
    place = element.getroottree().getroot().find(f"{{{MESSAGE_NS}}}Header/{{{MESSAGE_NS}}}{name}")
    assert place is not None
    place.text = value


def identified(person: etree._Element, sex: str, born: str) -> None:
    put(person, IdType="111", IdNo="520102199003150014", Sex=sex, BirthDate=born)


def in_the_open(person: etree._Element) -> None:
    put(person, IsMinor="true", GuardianName="罗父")
    header(person, "Confidentiality", "2")


BREAKS: dict[str, dict[str, Break]] = {
    "Person": {
        "FG-common-005": lambda p: identified(p, "2", "1990-03-15"),
        "FG-common-006": lambda p: identified(p, "1", "1991-03-15"),
        "FG-common-007": lambda p: put(p, IdNo=None, IdUnknownReason=None),
        "FG-common-008": in_the_open,
        "FG-common-009": lambda p: put(p, IsMinor="true", GuardianName=None),
        "FG-common-010": lambda p: put(p, PersonUid=f"{CASE}-P777"),
    },
    "DeadlineInfo": {"FG-common-010": lambda d: put(d, PersonUid=f"{CASE}-P777")},
    "Charge": {
        "FG-common-011": lambda c: put(c, OccurredFrom="2026-10-02", OccurredTo="2026-10-01"),
    },
    "Custody": {
        "FG-common-012": lambda c: put(c, CustodyFrom="2026-10-02", CustodyDue="2026-10-01"),
    },
    "Sentence": {
        "FG-common-016": lambda s: put(s, TermFrom="2026-10-02", TermTo="2026-10-01"),
        "FG-common-017": lambda s: put(
            s, CombinedMonths="108", TermFrom="2026-10-02", TermTo="2028-06-01", CreditDays="90"
        ),
    },
    "Measure": {
        "FG-common-018": lambda m: put(m, StartAt="2026-10-02T09:00:00+08:00", EndOn="2026-10-01"),
    },
    "CaseRef": {
        "FG-common-015": lambda c: put(c, CaseUid="C2026520102110000000032"),
        "FG-common-019": lambda c: put(c, CaseStage="93"),
    },
}
"""By the type of the library whose elements a rule is about."""

EVERYWHERE = {f"FG-common-{n:03}" for n in (1, 2, 3, 4, 13, 14)}
"""About the header and the documents, which each message can have."""


def places(catalogue: Catalogue, message_type: str) -> dict[str, list[tuple[str, ...]]]:
    """Type of the library → paths below `Body` at which the message can hold one."""
    step = catalogue.step(message_type)
    declarations = catalogue.declarations(step.flow)
    body = declarations.root(f"{{{catalogue.flow(step.flow).namespace}}}{step.element}")
    assert body is not None
    found: dict[str, list[tuple[str, ...]]] = {}

    def walk(declaration: Declaration, above: tuple[str, ...]) -> None:
        path = (*above, declaration.name)
        assert len(path) < 12, path
        found.setdefault(declaration.type_name, []).append(path)
        for child in declarations.children(declaration):
            walk(child, path)

    walk(body, ())
    return found


def groups(message_type: str, path: tuple[str, ...]) -> Iterator[etree._Element]:
    """The first group at the path of each valid sample of the type, in a tree of its own; put there
    where the sample goes without."""
    for sample in samples_of_flow(CATALOGUE, message_type.partition(".")[0]):
        if sample.rule or sample.message_type != message_type:
            continue
        body = safexml.parse(sample.data).find(f"{{{MESSAGE_NS}}}Body")
        assert body is not None
        group = body.find("/".join(path))
        holder = body.find("/".join(path[:-1]))
        if group is not None:
            yield group
        elif holder is not None:
            yield etree.SubElement(holder, path[-1])


def broken(group: etree._Element) -> set[str]:
    data = etree.tostring(group.getroottree(), encoding="UTF-8", xml_declaration=True)
    report = CHECKER.check(data, files=None, layers=frozenset({RULES})).report
    return {f.rule for f in report.findings}


def test_every_common_rule_is_broken_here() -> None:
    common = {r.id for r in CATALOGUE.rule_sets(CATALOGUE.flow_names[0])[0].rules.values()}
    assert {rule for breaks in BREAKS.values() for rule in breaks} | EVERYWHERE == common


@pytest.mark.parametrize("message_type", CATALOGUE.message_types)
def test_a_common_rule_is_listed_where_its_group_can_stand_and_nowhere_else(
    message_type: str,
) -> None:
    kinds = places(CATALOGUE, message_type)
    expected = {rule for kind in BREAKS.keys() & kinds.keys() for rule in BREAKS[kind]}
    listed = {r.id for r in CATALOGUE.rules_of(message_type) if "-common-" in r.id}
    assert listed == expected | EVERYWHERE


@pytest.mark.parametrize("message_type", CATALOGUE.message_types)
def test_a_listed_common_rule_finds_its_breach_at_every_place(message_type: str) -> None:
    kinds = places(CATALOGUE, message_type)
    for kind in sorted(BREAKS.keys() & kinds.keys()):
        for path in kinds[kind]:
            shown = False
            for rule, make in BREAKS[kind].items():
                for group in groups(message_type, path):
                    make(group)
                    assert rule in broken(group), (rule, path)
                    shown = True
            assert shown, f"no valid sample of {message_type} has {path}"


def test_only_who_names_nobody_or_replies_leaves_the_case_to_the_gateway() -> None:
    """A number that is minted can be no part of the numbers that the message has already."""
    data = next(
        s.data
        for s in samples_of_flow(CATALOGUE, "arrest-request")
        if s.name == "withdraw" and not s.rule
    )

    def found(*without: str) -> set[str]:
        root = safexml.parse(data)
        for path in without:
            for element in root.findall(path):
                parent = element.getparent()
                assert parent is not None
                parent.remove(element)
        return {
            f.rule
            for f in CHECKER.check(
                etree.tostring(root, encoding="UTF-8"), files=None
            ).report.findings
        }

    header = f"{{{MESSAGE_NS}}}Header/{{{MESSAGE_NS}}}"
    case, persons, asked = f"{header}CaseUid", f"{header}PersonUid", f"{header}InReplyTo"
    inside = f".//{T}CaseUid"
    assert (
        found() == found(case) == found(case, inside) == set()
    )  # the gateway knows what is answered
    assert found(asked, case) == {"FG-common-013", "FG-common-015"}
    assert found(asked, case, inside) == {"FG-common-013"}
    assert found(asked, case, persons) == {"FG-common-015"}
    assert found(asked, case, persons, inside) == set()
