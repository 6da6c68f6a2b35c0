"""What the hub's commands tell of cases: in legal time, bounded, and on record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from ledger import Ledger, sample

from frontgate.cli.main import cli

CASE = "C2026520102110000000016"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path)
    yield made
    made.close()


def run(ledger: Ledger, *arguments: str) -> Result:
    """A command of the hub in this process, in English."""
    config = str(ledger.home / "hub" / "hub.toml")
    return CliRunner().invoke(cli, ["-c", config, "--lang", "en", *arguments])


def told(ledger: Ledger, *arguments: str) -> Any:
    """Its JSON."""
    return json.loads(run(ledger, "--json", *arguments).stdout)


def test_a_day_that_cases_are_looked_for_by_is_a_legal_day(ledger: Ledger) -> None:
    ledger.at = datetime(2026, 11, 12, 17, 0, tzinfo=UTC)  # one in the morning of the thirteenth
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.project()
    for span, hits in (
        (("--since", "2026-11-13"), 1),
        (("--since", "2026-11-14"), 0),
        (("--until", "2026-11-13"), 0),
        (("--until", "2026-11-14"), 1),
        (("--since", "2026-11-12T17:00:00Z", "--until", "2026-11-13T01:30:00+08:00"), 1),
    ):
        assert len(told(ledger, "hub", "cases", *span)["cases"]) == hits, span
    assert run(ledger, "hub", "cases", "--since", "yesterday").exit_code == 2
