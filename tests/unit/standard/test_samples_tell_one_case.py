"""The samples tell one case: each at the stage of its step, after what it tells, on its own term."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from frontgate.standard import Standards

ROOT = Path(__file__).resolve().parents[3] / "standards"
CATALOGUE = Standards.load(ROOT).version("1.0")
SAMPLES = sorted((ROOT / "1.0/flows").glob("*/samples/valid/*.xml"))
NAMES = [f"{s.parts[-4]}/{s.stem}" for s in SAMPLES]
# Taken in for a retrial, which is another stage than that of most protests.
AT_ANOTHER_STAGE = {"protest/accept-retrial"}
DONE = "PronouncedOn|ServedOn|DecidedOn"


def values(sample: Path, names: str) -> list[str]:
    return re.findall(rf"<\w:(?:{names})>([^<]*)", sample.read_text("utf-8"))


@pytest.mark.parametrize("sample", SAMPLES, ids=NAMES)
def test_a_sample_is_at_the_stage_of_its_step_and_after_what_it_tells(sample: Path) -> None:
    (message_type,) = values(sample, "MessageType")
    stage = CATALOGUE.step(message_type).stage
    name = f"{sample.parts[-4]}/{sample.stem}"
    if stage and name not in AT_ANOTHER_STAGE:
        assert set(values(sample, "CaseStage")) == {stage}
    (told,) = values(sample, "BusinessTime")
    assert all(day <= told[:10] for day in values(sample, DONE))


def test_a_sample_changes_a_term_of_its_own_flow() -> None:
    changed = [(s, rule) for s in SAMPLES if values(s, "Change") for rule in values(s, "RuleId")]
    assert len(changed) >= 3
    for sample, rule in changed:
        text = (ROOT / "1.0/deadlines.toml").read_text("utf-8")
        stated = text.partition(f'\nid = "{rule}"\n')[2].partition("[[rule]]")[0]
        starts = re.findall(r'^start = \{ message = "([^".]*)', stated, re.MULTILINE)
        assert sample.parts[-4] in starts, (sample, rule)
