"""Since when the wall clock runs steadily is known over restarts, not over jumps and reboots."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from signing import signer

from frontgate import clock
from frontgate.errors import JournalError
from frontgate.gateway.known_clock import KnownClock
from frontgate.journal import Journal
from frontgate.pipeline import epochs


class Machine:
    """A journal and two clocks that tests set."""

    def __init__(self, home: Path) -> None:
        self.wall = datetime(2026, 11, 26, 12, tzinfo=UTC)
        self.steady = 100.0
        clock.use(lambda: self.wall, lambda: self.steady)
        self.journal = Journal.open(home / "journal.db", node="gateway:5201021100X")

    def passes(self, seconds: float, *, jump_s: float = 0.0) -> None:
        self.steady += seconds
        self.wall += timedelta(seconds=seconds + jump_s)

    def start(self) -> float:
        """A gateway starts: since when it knows the clock."""
        self.known = KnownClock(self.journal)
        return self.known.noted.since


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.journal.close()
    clock.use(None, None)


def test_a_restart_knows_what_was_known(machine: Machine) -> None:
    assert machine.start() == 100.0
    machine.passes(3600)
    assert machine.start() == 100.0


@pytest.mark.parametrize("jump_s", [-3600.0, -0.5, 0.5, 3600.0])
def test_after_a_jump_nothing_is_known(machine: Machine, jump_s: float) -> None:
    machine.start()
    machine.passes(3600, jump_s=jump_s)
    assert machine.start() == 3700.0
    machine.passes(60)
    assert machine.start() == 3700.0


def test_after_a_boot_nothing_is_known(machine: Machine) -> None:
    machine.start()
    machine.steady = 200.0
    machine.wall += timedelta(seconds=3600)
    assert machine.start() == 200.0


def test_a_machine_that_starts_at_the_same_wrong_time_knows_no_more_than_its_own(
    machine: Machine,
) -> None:
    machine.start()
    machine.passes(-70)  # started again: both clocks are where they were then
    assert machine.start() == 30.0


def test_a_jump_there_and_back_while_a_gateway_runs_is_not_forgotten(machine: Machine) -> None:
    machine.start()
    machine.passes(600, jump_s=-48 * 3600)
    machine.known.look()
    machine.passes(600, jump_s=48 * 3600)
    machine.known.look()
    machine.passes(60)
    assert machine.start() == 1300.0


def test_a_journal_that_cannot_write_now_is_asked_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.start()
    machine.passes(600, jump_s=3600)
    with monkeypatch.context() as patched:
        patched.setattr(machine.journal, "write", _refuse)
        machine.known.look()
    machine.passes(1)
    machine.known.look()
    machine.passes(60)
    assert machine.start() == 700.0


def test_a_restored_journal_knows_nothing_of_this_machine(machine: Machine) -> None:
    machine.start()
    machine.passes(600)
    with machine.journal.write() as tx:
        tx.set_meta(epochs.RESTORED, "{}")
    assert epochs.open_if_restored(machine.journal, signer())
    assert machine.start() == 700.0


def _refuse() -> None:
    raise JournalError("FG-JRN-004", reason="FullError", detail="")
