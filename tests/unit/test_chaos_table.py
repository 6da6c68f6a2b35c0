"""The table of faults shows what failed, not only what ended well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import chaos_table
import pytest


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "rows"
    monkeypatch.setenv(chaos_table.ROWS, str(path))
    return path


def printed(rows: Path) -> tuple[str, int]:
    done = subprocess.run(
        [sys.executable, chaos_table.__file__, str(rows)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout, done.returncode


def test_rows_of_one_kind_are_added_up(rows: Path) -> None:
    for tried in (3, 4):
        chaos_table.begin("network", "stall").end(tried=tried, seconds=0.5)
    text, code = printed(rows)
    assert "7 faults tried: lost=0 twice=0 silent=0 broken=0" in text
    assert code == 0


def test_what_began_and_did_not_end_is_broken(rows: Path) -> None:
    chaos_table.begin("network", "stall").end(tried=3)
    with pytest.raises(AssertionError):
        fails()
    text, code = printed(rows)
    assert "3 faults tried: lost=0 twice=0 silent=0 broken=1" in text
    assert "did not end: network, slow" in text
    assert code == 1


def fails() -> None:
    row = chaos_table.begin("network", "slow")
    assert chaos_table.is_long() is None, "a promise that is not kept"
    row.end(tried=1)


def test_what_was_lost_is_no_success(rows: Path) -> None:
    chaos_table.begin("kill", "hub").end(tried=1, lost=1, replay=["./dev chaos-point x"])
    text, code = printed(rows)
    assert "lost=1" in text
    assert "replay: ./dev chaos-point x" in text
    assert code == 1


def test_no_rows_are_no_success(rows: Path) -> None:
    assert printed(rows)[1] == 1
