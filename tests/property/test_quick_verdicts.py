"""The quick ways of checking give the verdicts of the plain ones, on messages bent at random.

FRONTGATE_MUTANTS sets how many; `./dev mutants` uses 100 000.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

from lxml import etree

from frontgate import safexml
from frontgate.model.finding import Finding
from frontgate.standard import Standards
from frontgate.standard.codecheck import CodeCheck, record_date
from frontgate.standard.places import Places
from frontgate.standard.reading import prefixes
from frontgate.standard.rules import Rules
from frontgate.standard.samples import samples_of_flow

MUTANTS = int(os.environ.get("FRONTGATE_MUTANTS", "1500"))
SEED = int(os.environ.get("FRONTGATE_SEED", "20261125"))
CATALOGUE = Standards.load(Path(__file__).resolve().parents[2] / "standards").version("1.0")
SAMPLES = [s for f in CATALOGUE.flow_names for s in samples_of_flow(CATALOGUE, f)]
VALUES = ("", "x", "0", "01", "06", "true", "2026-02-30", "2026-03-02", "5201021100X", "L9", "999")


def bend(root: etree._Element, luck: random.Random) -> None:
    """One to three changes: an element gone, doubled, moved elsewhere, or with another's value."""
    for _ in range(luck.randint(1, 3)):
        elements = [e for e in root.iter("*") if e.getparent() is not None]
        if not elements:
            return
        element = luck.choice(elements)
        parent = element.getparent()
        kind = luck.choice(("gone", "doubled", "moved", "value", "value", "value"))
        if kind == "gone":
            parent.remove(element)
        elif kind == "doubled":
            parent.insert(parent.index(element), etree.fromstring(etree.tostring(element)))
        elif kind == "moved":
            target = luck.choice(elements)
            if element not in (target, *target.iterancestors()):
                target.append(element)
        elif len(element) == 0:
            other = luck.choice([e for e in elements if len(e) == 0])  # at least this one
            element.text = luck.choice((*VALUES, other.text or "", other.text or ""))


def test_the_one_question_never_hides_a_broken_rule_and_what_is_remembered_changes_no_verdict() -> (
    None
):
    luck = random.Random(SEED)
    tools: dict[str, tuple[Places, Rules, Rules, CodeCheck]] = {}
    quiet = broken = 0
    for number in range(MUTANTS):
        sample = luck.choice(SAMPLES)
        flow = sample.message_type.partition(".")[0]
        if flow not in tools:
            plain = Rules(CATALOGUE.rule_sets(flow))
            plain._is_suspect = None
            places = Places(CATALOGUE.declarations(flow), prefixes(flow))
            tools[flow] = (
                places,
                Rules(CATALOGUE.rule_sets(flow)),
                plain,
                CodeCheck(CATALOGUE, flow),
            )
        places, quick_rules, plain_rules, remembering = tools[flow]
        root = safexml.parse(sample.data)
        bend(root, luck)
        quick = list(quick_rules.check(root, places))
        expected = list(plain_rules.check(root, places))
        assert quick == expected, f"FRONTGATE_SEED={SEED}, mutant {number} of {sample.message_type}"
        quiet += not expected
        broken += bool(expected)
        on = record_date("2026-03-02T09:00:00+08:00")
        fresh: list[Finding] = list(CodeCheck(CATALOGUE, flow).check(root, on, places))
        assert list(remembering.check(root, on, places)) == fresh, f"mutant {number}"
    assert min(quiet, broken) > MUTANTS / 50, "the mutants must show both verdicts"


def test_every_flows_rules_can_be_asked_in_one_question() -> None:
    slow = [f for f in CATALOGUE.flow_names if Rules(CATALOGUE.rule_sets(f))._is_suspect is None]
    assert not slow
