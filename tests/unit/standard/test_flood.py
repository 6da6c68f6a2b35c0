"""A large message that is wrong in very many places is refused in linear time, with places and words."""

import re

import pytest
from province import message

from frontgate.standard import Checker, Standards
from frontgate.standard.check import FLOOD_BYTES
from frontgate.standard.schema import MAX_DISTINCT, MAX_FINDINGS

CHECKER = Checker(Standards.load())
PERSON = re.search(r"<m:PersonUid>[^<]*</m:PersonUid>", message("arrest-request/submit"))


def flooded_with(count: int, line: str) -> bytes:
    assert PERSON is not None
    text = message("arrest-request/submit", ref="flood")
    return text.replace(PERSON.group(0), PERSON.group(0) + line * count, 1).encode()


@pytest.mark.timeout(60)  # counted sibling by sibling it takes days
def test_a_million_wrong_elements_are_refused_with_the_first_of_each_kind() -> None:
    data = flooded_with(1_000_000, "\n<m:PersonUid>x</m:PersonUid>")
    assert len(data) < 32 << 20
    findings = CHECKER.check(data, files=None).report.findings
    assert [f.rule for f in findings] == ["FG-XSD-003", "FG-XSD-016"]
    assert findings[0].value == "x"
    assert findings[0].xpath == "/m:Message/m:Header/m:PersonUid[2]"
    assert (findings[0].line or 0) > 10
    assert findings[0].zh
    assert findings[0].en


@pytest.mark.timeout(60)
def test_each_kind_is_told_once_and_no_more_than_fit() -> None:
    lines = "".join(f"\n<m:PersonUid>x{n}</m:PersonUid>" for n in range(MAX_DISTINCT + 5))
    findings = CHECKER.check(flooded_with(4000, lines), files=None).report.findings
    assert [f.value for f in findings[:-1]] == [f"x{n}" for n in range(MAX_DISTINCT)]
    assert findings[-1].rule == "FG-XSD-016"


def test_a_large_message_with_few_faults_is_told_as_a_small_one() -> None:
    few = flooded_with(3, "\n<m:PersonUid>x</m:PersonUid>")
    padding = b"<!--" + b" " * (2 * FLOOD_BYTES) + b"-->\n</m:Message>"
    large = few.replace(b"</m:Message>", padding)
    assert len(large) > FLOOD_BYTES
    told = [
        [
            (f.rule, f.xpath, f.value, f.zh, f.en)
            for f in CHECKER.check(d, files=None).report.findings
        ]
        for d in (few, large)
    ]
    assert told[0] == told[1]
    assert 0 < len(told[0]) < MAX_FINDINGS


@pytest.mark.timeout(60)
def test_a_body_of_an_unknown_type_floods_no_more() -> None:
    data = flooded_with(300_000, "\n<m:PersonUid>x</m:PersonUid>").replace(
        b"arrest-request.submit", b"arrest-request.nonsense"
    )
    codes = [f.rule for f in CHECKER.check(data, files=None).report.findings]
    assert codes[0] == "FG-STD-002"
    assert codes[-1] == "FG-XSD-016"
