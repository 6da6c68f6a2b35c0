"""The rounds of intake over a backlog that nobody noticed: batch after batch, then what was noticed since."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from frontgate import clock
from frontgate.gateway.rounds import BATCH, Rounds
from frontgate.spool.claiming import Claim
from frontgate.spool.layout import SpoolPaths, prepare
from frontgate.spool.sweep import Sweeper
from frontgate.spool.watch import Watcher

SETTLE_S = 2.0


class Spool:
    """One spool with its rounds, on a clock that tests set; what is taken is only noted."""

    key = "a"
    troubles = ()

    def __init__(self, home: Path) -> None:
        self.at = 1_000.0
        clock.use(None, lambda: self.at)
        self.paths = SpoolPaths(home / "spool")
        prepare(self.paths)
        self.sweeper = Sweeper(self.paths, settle_s=SETTLE_S)
        self.watcher = Watcher([self.paths.outbound], lambda: None)
        self.taken: list[str] = []
        open_gate = SimpleNamespace(is_open=lambda: True)
        lane = SimpleNamespace(take_safely=self._take, retry=lambda: None)
        self.rounds = Rounds(
            SimpleNamespace(posts=[self]), self.watcher, open_gate, {"a": open_gate}, lane, lane,
            rescan_s=60.0, publish_reference=None, wake_large=lambda: None, is_stopping=lambda: False,
        )  # type: ignore[arg-type]  # fmt: skip

    def attempt(self, _: str, act: Callable[[], object]) -> bool:
        act()
        return True

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
