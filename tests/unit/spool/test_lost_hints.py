"""After lost hints: what a scan finds was dropped before what is hinted at from now on, and goes before it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from frontgate import clock, durable
from frontgate.errors import SpoolError
from frontgate.spool import beneath, scan, sweep
from frontgate.spool.beneath import Folder
from frontgate.spool.layout import SpoolPaths, prepare
from frontgate.spool.quiet import Noted
from frontgate.spool.sweep import Claim, Sweeper

SETTLE_S = 1.0


class Spool:
    """A spool and its sweeper on a clock that tests set. ahead_s: of the times that files get."""

    def __init__(self, home: Path, ahead_s: float = 60.0) -> None:
        self.at, self.jump_s = 1_000.0, 0.0
        began = datetime.now(UTC) + timedelta(seconds=ahead_s - self.at)
        clock.use(lambda: began + timedelta(seconds=self.at + self.jump_s), lambda: self.at)
        self.paths = SpoolPaths(home / "spool")
        prepare(self.paths)
        self.sweeper = Sweeper(self.paths, settle_s=SETTLE_S)

    def drop(self, name: str) -> None:
        part = self.paths.outbound / f".{name}"
        part.write_text("<a></a>")
        part.rename(self.paths.outbound / name)

    def sweep(self, after_s: float, *hinted: str, limit: int = 64) -> list[str]:
        self.at += after_s
        hints = [(name.encode(), True) for name in hinted]
        found = self.sweeper.sweep(lambda most: hints[:most], limit)
        return [item.name.decode() for item in found if isinstance(item, Claim)]


Make = Callable[[float], Spool]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A spool whose files get times so many seconds before the clock's."""
    yield lambda ahead_s: Spool(tmp_path, ahead_s)
    clock.use(None, None)


@pytest.fixture
def spool(make: Make) -> Spool:
    return make(60.0)


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


@pytest.mark.parametrize("look_s", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("ahead_s", [60.0, -3600.0], ids=["old", "of the future"])
@pytest.mark.parametrize("jump_at", [0.0, 1.5], ids=["steady", "jump"])
def test_a_scan_that_takes_longer_than_settling_claims_in_the_order_of_drop(
    make: Make, monkeypatch: pytest.MonkeyPatch, look_s: float, ahead_s: float, jump_at: float
) -> None:
    spool = make(ahead_s)
    monkeypatch.setattr(sweep, "LOOKED_AT", 4)
    dropped = [f"d{n:02}.xml" for n in range(40)]
    for name in dropped:
        spool.drop(name)
    spool.sweeper.start_scan(catch_up=True)
    claimed: list[str] = []
    for _ in range(100):
        claimed += spool.sweep(look_s, limit=3)
        if jump_at and spool.at >= 1_000.0 + jump_at:
            spool.jump_s, jump_at = 30.0, 0.0
    assert claimed == dropped


def test_a_look_judges_all_as_of_one_moment(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a look takes, what is looked at later has not settled sooner."""
    dropped = [f"d{n}.xml" for n in range(6)]
    for name in dropped:
        spool.drop(name)
    lstat = Folder.lstat

    def slow(self: Folder, name: bytes) -> os.stat_result:
        spool.at += 0.1
        return lstat(self, name)

    monkeypatch.setattr(Folder, "lstat", slow)
    spool.sweeper.start_scan()
    claimed: list[str] = []
    for _ in range(40):
        claimed += spool.sweep(0.15)
    assert claimed == dropped


@pytest.mark.parametrize("ahead_s", [60.0, -3600.0], ids=["old", "of the future"])
def test_who_writes_on_and_on_holds_up_others_no_longer_than_settling(
    make: Make, monkeypatch: pytest.MonkeyPatch, ahead_s: float
) -> None:
    spool = make(ahead_s)
    monkeypatch.setattr(scan, "WINDOW", 3)
    written = spool.paths.outbound / "d0.xml"
    written.write_text("<a>")
    os.utime(written, (0, 0))  # so that it is the first of its window
    for n in range(1, 7):
        spool.drop(f"d{n}.xml")
    spool.sweeper.start_scan(catch_up=True)
    claimed: list[str] = []
    began = spool.at
    while len(claimed) < 6 and spool.at < began + 20:
        claimed += spool.sweep(0.1)
        written.write_text("<a>" + "b" * round(spool.at * 10))
    windows = 3
    assert sorted(claimed) == [f"d{n}.xml" for n in range(1, 7)]
    assert spool.at - began <= windows * (SETTLE_S + 0.3)


@pytest.mark.parametrize("every_s", [0.3, 1.0, 2.0])
def test_a_scan_that_is_asked_for_again_and_again_comes_to_its_end(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, every_s: float
) -> None:
    """Whoever makes the kernel lose notices on purpose, and always writes, holds up nobody for ever."""
    monkeypatch.setattr(scan, "WINDOW", 3)
    written = [spool.paths.outbound / f"a{n}.xml" for n in range(12)]
    dropped = [f"d{n}.xml" for n in range(9)]
    for name in dropped:
        spool.drop(name)
    claimed: list[str] = []
    for turn in range(400):
        for path in written:
            path.write_text(f"<a>{turn}")
            os.utime(path, (0, 0))
        if turn % round(every_s / 0.1) == 0:
            spool.sweeper.start_scan(catch_up=True)
        claimed += spool.sweep(0.1)
    assert sorted(claimed) == dropped


def test_what_was_lost_while_a_scan_ran_goes_before_what_is_noticed_since(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "LOOKED_AT", 1)
    for name in ("d1.xml", "d2.xml"):
        spool.drop(name)
    spool.sweeper.start_scan(catch_up=True)
    claimed = spool.sweep(SETTLE_S)
    spool.at += 100.0
    spool.drop("lost.xml")
    spool.sweeper.start_scan(catch_up=True)
    spool.drop("noticed.xml")
    for _ in range(20):
        claimed += spool.sweep(SETTLE_S / 4, "noticed.xml")
    assert claimed[:4] == ["d1.xml", "d2.xml", "lost.xml", "noticed.xml"]


def test_a_fault_at_the_end_of_a_window_lets_no_hint_go_first(make: Make) -> None:
    spool = make(-3600.0)
    settled = spool.paths.outbound / "z.xml"
    settled.write_text("<a></a>")
    spool.sweeper.start_scan()
    spool.sweep(0.0)
    spool.at += SETTLE_S
    (spool.paths.outbound / "a.xml").write_text("<a></a>")
    os.utime(spool.paths.outbound / "a.xml", (0, 0))
    spool.sweeper.start_scan(catch_up=True)
    left = [1]

    def probe(moment: str, step: str, _: object) -> None:
        if moment == "before" and step == "rename" and left:
            left.pop()
            raise OSError(errno.EIO, "injected")

    durable.probe = probe
    try:
        with pytest.raises(SpoolError):
            spool.sweep(0.0)
    finally:
        durable.probe = None
    spool.drop("n.xml")
    claimed = spool.sweep(0.0, "n.xml") + spool.sweep(SETTLE_S, "n.xml")
    assert claimed == ["z.xml", "a.xml", "n.xml"]


def test_what_is_written_to_once_more_takes_its_turn_anew(make: Make) -> None:
    spool = make(-3600.0)
    first = spool.paths.outbound / "a.xml"
    first.write_text("<a>")
    spool.drop("b.xml")
    spool.sweeper.start_scan(catch_up=True)
    spool.sweep(0.0)
    first.write_text("<a></a>")
    spool.sweep(SETTLE_S / 4)
    assert spool.sweep(2 * SETTLE_S) == ["b.xml", "a.xml"]


def test_many_that_have_yet_to_settle_are_looked_at_in_parts(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "LOOKED_AT", 4)
    spool = make(-3600.0)
    for n in range(10):
        spool.drop(f"d{n}.xml")
    spool.sweeper.start_scan(catch_up=True)
    while spool.sweeper.is_scanning:
        spool.sweep(0.0)
    parts = [spool.sweep(SETTLE_S if not n else 0.0) for n in range(3)]
    assert [len(part) for part in parts] == [4, 4, 2]


def test_hints_wait_for_what_a_scan_found_and_has_not_settled_yet(make: Make) -> None:
    spool = make(-3600.0)  # so that it settles only while it is watched
    spool.drop("d1.xml")
    spool.sweeper.start_scan(catch_up=True)
    assert spool.sweep(0.0, "d2.xml") == []
    spool.drop("d2.xml")
    assert spool.sweep(SETTLE_S - 0.01, "d2.xml") == []
    assert spool.sweep(0.02, "d2.xml") == ["d1.xml", "d2.xml"]


def test_where_the_clock_is_known_what_is_old_goes_at_once(spool: Spool) -> None:
    spool.drop("d1.xml")
    noted = Noted(spool.at, clock.offset_s())
    spool.at += 2 * SETTLE_S
    spool.sweeper = Sweeper(spool.paths, settle_s=SETTLE_S, clock_noted=noted)
    spool.sweeper.start_scan(catch_up=True)
    assert spool.sweep(0.0) == ["d1.xml"]


def test_what_was_noted_before_a_jump_is_not_believed(spool: Spool) -> None:
    spool.drop("d1.xml")
    noted = Noted(spool.at, clock.offset_s())
    spool.at += 2 * SETTLE_S
    spool.jump_s = 3600.0
    spool.sweeper = Sweeper(spool.paths, settle_s=SETTLE_S, clock_noted=noted)
    spool.sweeper.start_scan(catch_up=True)
    assert spool.sweep(0.0) == []


def test_where_it_is_not_known_what_looks_old_has_to_settle(spool: Spool) -> None:
    spool.drop("d1.xml")
    spool.at += 2 * SETTLE_S
    spool.sweeper = Sweeper(spool.paths, settle_s=SETTLE_S)
    spool.sweeper.start_scan(catch_up=True)
    assert spool.sweep(0.0) == []
    assert spool.sweep(SETTLE_S) == ["d1.xml"]


def test_times_of_a_server_say_nothing(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "filesystem_kind", lambda _: "nfs")
    spool.drop("d1.xml")
    noted = Noted(spool.at, clock.offset_s())
    spool.at += 2 * SETTLE_S
    spool.sweeper = Sweeper(spool.paths, settle_s=SETTLE_S, clock_noted=noted)
    spool.sweeper.start_scan(catch_up=True)
    assert spool.sweep(0.0) == []
    assert spool.sweep(SETTLE_S) == ["d1.xml"]


def test_a_scan_does_not_wait_for_what_is_gone(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "WINDOW", 1)
    names = ("d1.xml", "d2.xml")
    for name in names:
        spool.drop(name)
    spool.sweeper.start_scan(catch_up=True)
    spool.sweep(0.0)
    assert not spool.sweeper.has_more
    for name in names:
        (spool.paths.outbound / name).unlink()
    spool.sweep(SETTLE_S / 2)
    assert spool.sweeper.has_more


def test_recovery_does_not_list_what_waits(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.drop("d1.xml")
    outbound = os.stat(spool.paths.outbound).st_ino
    names = Folder.names

    def seen(folder: Folder) -> Iterator[bytes]:
        assert os.fstat(folder.fd).st_ino != outbound, "a million may stand there"
        return names(folder)

    monkeypatch.setattr(Folder, "names", seen)
    assert list(spool.sweeper.recover()) == []


def test_a_copy_that_was_cut_off_is_made_again(spool: Spool) -> None:
    claim_id = "0000000000000001abcdef0123456789"
    claim = spool.paths.claims / claim_id
    claim.mkdir()
    (claim / ".frontgate-origin").write_bytes(b"d1.xml")
    (claim / ".frontgate-copy").write_bytes(b"<a>")
    mark = spool.paths.outbound / f".frontgate-claim-{claim_id}"
    mark.write_bytes(b"<a></a>")
    (found,) = spool.sweeper.recover()
    assert (found.claim_id, found.name) == (claim_id, b"d1.xml")
    assert found.path.read_bytes() == b"<a></a>"
    assert not mark.exists()


def test_a_copied_folder_is_not_copied_again(spool: Spool) -> None:
    claim_id = "0000000000000001abcdef0123456789"
    claim, mark = (
        spool.paths.claims / claim_id,
        spool.paths.outbound / f".frontgate-claim-{claim_id}",
    )
    for folder in (claim / "d1", mark):
        folder.mkdir(parents=True)
        (folder / "message.xml").write_bytes(b"<a></a>")
    (claim / ".frontgate-origin").write_bytes(b"d1")
    (found,) = spool.sweeper.recover()
    assert (found.claim_id, found.name) == (claim_id, b"d1")
    assert [path.name for path in claim.iterdir()] == ["d1"]
    assert not mark.exists()


def test_what_recovery_has_claimed_is_not_taken_back(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that failed and could not be given back, because its name was taken meanwhile."""
    spool.drop("d1.xml")
    move, copy = Folder.move, beneath.copy

    def elsewhere(source: Folder, name: bytes, target: Folder, new_name: bytes) -> None:
        if os.fstat(source.fd).st_ino != os.fstat(target.fd).st_ino:
            raise OSError(errno.EXDEV, "another mount")
        move(source, name, target, new_name)

    def failing(*_: object) -> None:
        spool.drop("d1.xml")
        raise OSError(errno.EIO, "disk")

    monkeypatch.setattr(Folder, "move", elsewhere)
    monkeypatch.setattr(beneath, "copy", failing)
    with pytest.raises(SpoolError):
        spool.sweep(0.0, "d1.xml")
    monkeypatch.setattr(beneath, "copy", copy)
    (found,) = spool.sweeper.recover()
    spool.sweep(0.0)
    assert found.path.read_bytes() == b"<a></a>"


def test_a_folder_of_somebody_among_the_claims_stops_no_recovery(spool: Spool) -> None:
    (spool.paths.claims / ("x" * 250)).mkdir()
    assert list(spool.sweeper.recover()) == []
