"""The rounds of intake over a backlog that nobody noticed: batch after batch, then what was noticed since."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from frontgate import clock, durable
from frontgate.gateway.rounds import BATCH, POLL_S, Rounds
from frontgate.spool import scan, sweep
from frontgate.spool.claiming import Claim
from frontgate.spool.layout import SpoolPaths, prepare
from frontgate.spool.sweep import Sweeper
from frontgate.spool.watch import Watcher

SETTLE_S = 2.0


class Spool:
    """One spool with its rounds, on a clock that tests set; what is taken is only noted."""

    key = "a"
    troubles = ()

    def __init__(self, home: Path, rescan_s: float = 60.0) -> None:
        self.at = 1_000.0
        began = datetime.now(UTC) + timedelta(seconds=60.0 - self.at)
        clock.use(lambda: began + timedelta(seconds=self.at), lambda: self.at)
        self.paths = SpoolPaths(home / "spool")
        prepare(self.paths)
        self.sweeper = Sweeper(self.paths, settle_s=SETTLE_S)
        self.watcher = Watcher([self.paths.outbound], lambda: None)
        self.taken: list[str] = []
        self.noted = 0
        open_gate = SimpleNamespace(is_open=lambda: True)
        lane = SimpleNamespace(take_safely=self._take, retry=lambda: None)
        self.rounds = Rounds(
            SimpleNamespace(posts=[self]), self.watcher, open_gate, {"a": open_gate}, lane, lane,
            rescan_s=rescan_s, publish_reference=None, wake_large=lambda: None, note_clock=self._note_clock,
            is_stopping=lambda: False,
        )  # type: ignore[arg-type]  # fmt: skip

    def _note_clock(self) -> None:
        self.noted += 1

    def attempt(self, _: str, act: Callable[[], object]) -> bool:
        act()
        return True

    def turns(self, seconds: float) -> list[float]:
        """As many turns as there are in so long. Returns: the pauses between them."""
        pauses: list[float] = []
        end = self.at + seconds
        while self.at < end and len(pauses) < 10_000:
            pauses.append(self.rounds.turn() or 0.0)
            self.at += max(pauses[-1], 0.001)
        return pauses

    def _take(self, _: object, found: list[Claim]) -> None:
        self.taken += [claim.name.decode() for claim in found]

    def drop(self, name: str) -> None:
        part = self.paths.outbound / f".{name}"
        part.write_text("<a></a>")
        part.rename(self.paths.outbound / name)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    yield Spool(tmp_path)
    clock.use(None, None)


def test_a_backlog_without_hints_is_taken_batch_after_batch_and_before_what_is_hinted_at(
    spool: Spool,
) -> None:
    count = 5 * BATCH + 3
    before = [f"d{n:04}.xml" for n in range(count)]
    for name in before:
        spool.drop(name)
    assert spool.rounds.turn() is not None
    spool.drop("later.xml")
    spool.watcher.hint(spool.paths.outbound, b"later.xml", is_ready=True)
    waited_s = 0.0
    for _ in range(40):
        pause = spool.rounds.turn() or 0.0
        if "later.xml" in spool.taken:
            break
        spool.at += pause
        waited_s += pause
    assert spool.taken == [*before, "later.xml"]
    assert waited_s == pytest.approx(SETTLE_S), "for the settling alone, not between batches"


def test_while_a_scan_waits_for_what_has_to_settle_nothing_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "WINDOW", 3)
    spool = Spool(tmp_path, rescan_s=SETTLE_S / 8)  # over long before the first window is done
    try:
        for n in range(7):
            spool.drop(f"d{n}.xml")
        pauses: list[float] = []
        while len(spool.taken) < 7 and len(pauses) < 60:
            pauses.append(spool.rounds.turn() or 0.0)
            spool.at += pauses[-1]
    finally:
        clock.use(None, None)
    assert len(spool.taken) == 7
    assert sum(pauses) <= SETTLE_S + 0.01, "a later window does not wait again"
    assert pauses.count(0.0) <= 6, "one for each window and batch"


def test_what_a_fault_leaves_lying_is_taken_by_the_next_turn(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    left = [1]

    def probe(moment: str, step: str, places: tuple[object, ...]) -> None:
        if moment == "before" and step == "rename" and str(places[0]).endswith("d5.xml") and left:
            left.pop()
            raise OSError(errno.EIO, "injected")

    try:
        for n in range(9):
            spool.drop(f"d{n}.xml")
        spool.rounds.turn()
        spool.at += SETTLE_S
        durable.probe = probe
        spool.turns(1.0)
    finally:
        durable.probe = None
        clock.use(None, None)
    assert spool.taken == [f"d{n}.xml" for n in range(9)]


def test_a_polled_folder_is_looked_at_while_something_has_yet_to_settle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle_s = 6 * POLL_S
    monkeypatch.setattr(sweep, "filesystem_kind", lambda _: "nfs")
    spool = Spool(tmp_path)
    spool.sweeper = Sweeper(spool.paths, settle_s=settle_s)
    spool.watcher.polled[spool.paths.outbound] = "nfs"
    try:
        spool.drop("d1.xml")
        spool.turns(1.0)
        spool.drop("d2.xml")
        spool.turns(settle_s + 2 * POLL_S + settle_s / 4)
    finally:
        clock.use(None, None)
    assert spool.taken == ["d1.xml", "d2.xml"]


def test_each_turn_looks_whether_the_clock_has_jumped(spool: Spool) -> None:
    """Else a jump there and back again would be forgotten by the next start."""
    for turns in (1, 2, 3):
        spool.rounds.turn()
        assert spool.noted == turns
