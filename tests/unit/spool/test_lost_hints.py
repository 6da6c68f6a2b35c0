"""After lost hints: what a scan finds was dropped before what is hinted at from now on, and goes before it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from frontgate import clock
from frontgate.spool.layout import SpoolPaths, prepare
from frontgate.spool.sweep import Claim, Sweeper

SETTLE_S = 1.0


class Spool:
    """A spool and its sweeper on a clock that tests set."""

    def __init__(self, home: Path) -> None:
        self.at = 1_000.0
        clock.use(None, lambda: self.at)
        self.paths = SpoolPaths(home / "spool")
        prepare(self.paths)
        self.sweeper = Sweeper(self.paths, settle_s=SETTLE_S)

    def drop(self, name: str) -> None:
        part = self.paths.outbound / f".{name}"
        part.write_text("<a></a>")
        part.rename(self.paths.outbound / name)

    def sweep(self, after_s: float, *hinted: str) -> list[str]:
        self.at += after_s
        found = self.sweeper.sweep(lambda limit: [(name.encode(), True) for name in hinted][:limit])
        return [item.name.decode() for item in found if isinstance(item, Claim)]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    yield Spool(tmp_path)
    clock.use(None, None)


@pytest.mark.parametrize("last_look_s", [0.76, 0.9, 0.99])
def test_what_settles_between_two_looks_still_goes_first(spool: Spool, last_look_s: float) -> None:
    spool.drop("d1.xml")
    spool.drop("d2.xml")
    spool.sweeper.start_scan(catch_up=True)
    assert spool.sweep(0.0, "d2.xml") == []
    assert spool.sweep(last_look_s) == []
    due_s = SETTLE_S - last_look_s + 0.001  # sooner than the next look would be
    assert spool.sweep(due_s, "d2.xml") == ["d1.xml", "d2.xml"]
    assert not spool.sweeper.is_holding


def test_nothing_is_held_where_the_scan_found_nothing(spool: Spool) -> None:
    spool.sweeper.start_scan(catch_up=True)
    assert spool.sweep(0.0) == []
    spool.drop("d1.xml")
    assert spool.sweep(0.1, "d1.xml") == ["d1.xml"]


def test_what_is_never_whole_holds_others_no_longer_than_its_time(spool: Spool) -> None:
    (spool.paths.outbound / "d1.xml").write_text("<a>")
    spool.sweeper.start_scan(catch_up=True)
    assert spool.sweep(0.0) == []
    spool.drop("d2.xml")
    assert spool.sweep(SETTLE_S / 2, "d2.xml") == []
    assert spool.sweep(SETTLE_S / 2, "d2.xml") == ["d2.xml"]


def test_what_is_being_written_holds_nothing_where_the_scan_found_nothing(spool: Spool) -> None:
    spool.sweeper.start_scan(catch_up=True)
    assert spool.sweep(0.0) == []
    (spool.paths.outbound / "d1.xml").write_text("<a>")
    spool.drop("d2.xml")
    spool.at += 0.1
    found = spool.sweeper.sweep(lambda limit: [(b"d1.xml", False), (b"d2.xml", True)])
    assert [item.name for item in found if isinstance(item, Claim)] == [b"d2.xml"]
