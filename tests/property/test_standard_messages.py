"""Whatever a message looks like, the checker gives a verdict, and the same one as its parts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from second import second_schema

from frontgate import safexml
from frontgate.errors import FrontgateError
from frontgate.standard import Checker, Standards, complete
from frontgate.standard.samples import samples_of_flow
from frontgate.standard.schema import compile_schema
from frontgate.standard.view import read_view

STANDARDS = Standards.load(Path(__file__).resolve().parents[2] / "standards")
CATALOGUE = STANDARDS.version(STANDARDS.newest)
CHECKER = Checker(STANDARDS)
SAMPLES = [s for f in CATALOGUE.flow_names for s in samples_of_flow(CATALOGUE, f) if not s.rule]
SCHEMAS = {f: compile_schema(CATALOGUE, f) for f in CATALOGUE.flow_names}
VALUES = ("", "x", "0", "-1", "1.5", "true", "2026-02-30", "2026-03-02", "5201021100X", "264001", "国" * 300)  # fmt: skip
relaxed = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One to three changes of an element: gone, doubled, moved, renamed, another value."""
    root = safexml.parse(data)
    for _ in range(chance.randint(1, 3)):
        element = chance.choice([e for e in root.iter("*") if e is not root] or [root])
        parent = element.getparent()
        if parent is None:
            continue
        kind = chance.choice(("drop", "double", "move", "rename", "value", "attribute"))
        if kind == "drop":
            parent.remove(element)
        elif kind == "double":
            parent.insert(parent.index(element), etree.fromstring(etree.tostring(element)))
        elif kind == "move":
            parent.insert(0, element)
        elif kind == "rename":
            element.tag = f"{element.tag}x"
        elif kind == "value" and len(element) == 0:
            element.text = chance.choice(VALUES)
        else:
            element.set("odd", "1")
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)


@relaxed
@given(st.integers(0, 2**32))
def test_the_verdict_on_the_structure_is_the_schemas_and_the_second_processors(seed: int) -> None:
    chance = random.Random(seed)
    sample = chance.choice(SAMPLES)
    flow = sample.message_type.partition(".")[0]
    data = mutate(sample.data, chance)
    root = safexml.parse(data)
    findings = CHECKER.check(data, files={}).report.findings
    is_valid = SCHEMAS[flow].validate(root)
    refused = [
        f for f in findings if f.rule.startswith(("FG-XSD-", "FG-STD-")) and f.severity.refuses
    ]
    if not is_valid:
        assert refused
    assert second_schema(CATALOGUE, flow).is_valid(root) == is_valid
    for f in findings:
        assert f.zh
        assert f.en
        assert f.xpath or f.rule.startswith("FG-STD"), f
        if f.rule == "FG-XSD-099":
            raise AssertionError(f"no code of its own: {f}")


@relaxed
@given(st.integers(0, 2**32))
def test_no_bytes_make_the_checker_fail(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(chance.choice(SAMPLES).data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data))
        if chance.random() < 0.5:
            data[at] = chance.randrange(256)
        else:
            del data[at : at + chance.randint(1, 40)]
    report = CHECKER.check(bytes(data), files=None).report
    assert all(f.zh and f.en for f in report.findings)


space = st.sampled_from(["", " ", "\n    ", "\r\n\t", "<!-- <Header> > -->", "<?pi > ?>"])


@relaxed
@given(
    seed=st.integers(0, 2**32),
    gap=space,
    prefix=st.sampled_from(["", "f:", "消息:"]),
    keep=st.sets(st.sampled_from(["MessageId", "FlowUid", "CaseUid"])),
)
def test_completing_adds_the_missing_ids_and_nothing_else(
    seed: int, gap: str, prefix: str, keep: set[str]
) -> None:
    chance = random.Random(seed)
    view = read_view(safexml.parse(chance.choice(SAMPLES).data)).header
    values = {
        "MessageId": view.message_id or "0b5f2f0e-0000-5000-8000-000000000001",
        "FlowUid": view.flow_uid or "0b5f2f0e-0000-5000-8000-000000000002",
        "CaseUid": view.case_uid or "C20265201021100000000X",
    }
    fields = [
        ("MessageId", values["MessageId"]),
        ("MessageType", view.message_type),
        ("FlowUid", values["FlowUid"]),
        ("Sender", view.sender),
        ("Receiver", view.receivers[0].code),
        ("CaseUid", values["CaseUid"]),
        ("BusinessTime", view.business_time),
    ]

    def build(names: set[str]) -> str:
        inside = "".join(
            f"{gap}<{prefix}{n} >{v}</{prefix}{n}>"
            for n, v in fields
            if n not in values or n in names
        )
        declared = f"xmlns:{prefix[:-1]}" if prefix else "xmlns"
        return (
            f'<{prefix}Message {declared}="urn:frontgate:message:1" standard="1.0" x=\'>\'>{gap}'
            f"<{prefix}Header>{inside}{gap}</{prefix}Header></{prefix}Message>"
        )

    before = build(keep).encode()
    after = complete(before, ids=values)
    header = read_view(safexml.parse(after)).header
    assert {"MessageId": header.message_id, "FlowUid": header.flow_uid, "CaseUid": header.case_uid} == values  # fmt: skip
    order = [etree.QName(e).localname for e in safexml.parse(after)[0].iterchildren("*")] if not gap.startswith("<") else None  # fmt: skip
    assert order is None or order == [n for n, _ in fields]
    for name in values:
        if name not in keep:
            tag = f"<{prefix}{name}>{values[name]}</{prefix}{name}>".encode()
            assert after.count(tag) == 1
            after = after.replace(tag, b"")
    assert b"".join(after.split()) == b"".join(before.split())
    assert (complete(before, ids=values) is before) == (keep == set(values))


def test_junk_is_answered_with_an_error_of_the_table() -> None:
    for junk in (b"", b"\x00", b"<", b"\xff\xfe<\x00", b"<a>" * 300):
        with pytest.raises(FrontgateError) as caught:
            complete(junk, ids={"MessageId": "x"})
        assert caught.value.message("zh")
