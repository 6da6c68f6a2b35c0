"""Disks that are full, out of inodes or read-only, for real: small file systems of their own."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from by_hand import ByHand, failing
from province import POLICE, PROCURATORATE, message, wait_for
from smalldisk import DISK, fill, remount, small_disk

from frontgate import clock
from frontgate.errors import JournalError
from frontgate.journal import Journal
from frontgate.pipeline.alarms import alarms
from frontgate.pipeline.disk import DiskGate, Limits, Reserve

pytestmark = pytest.mark.needs_root


@pytest.fixture
def full(tmp_path: Path) -> Iterator[ByHand]:
    """A whole province on one small disk."""
    with small_disk(tmp_path / "disk", "size=64m") as disk:
        by_hand = ByHand(disk, extra=DISK)
        yield by_hand
        by_hand.close()


def outbound(by_hand: ByHand) -> list[str]:
    return sorted(p.name for p in (by_hand.province.spool(POLICE) / "outbound").iterdir())


def test_intake_pauses_before_the_disk_is_full_and_goes_on_by_itself(full: ByHand) -> None:
    gateway = full.gateways[POLICE]
    filler = full.province.home / "filler"
    fill(filler, 8 << 20)
    full.province.drop(POLICE, "a.xml", message(ref="a"))
    assert full.turn(POLICE, "intake") == 5.0
    assert outbound(full) == ["a.xml"]
    live = gateway.report.status({})
    assert live["intake_open"] is False
    assert "FG-ALM-002" in {a.code for a in alarms("gateway", gateway._reader, live, clock.now())}
    filler.unlink()
    assert wait_for(lambda: [full.turn(POLICE, "intake"), outbound(full) == []][1], 20)
    assert full.states(POLICE, "hub") == ["QUEUED"]
    assert gateway.report.status({})["intake_open"] is True


def test_a_large_drop_waits_as_well(full: ByHand) -> None:
    gateway = full.gateways[POLICE]
    size = 6 << 20
    full.province.drop(POLICE, "large.xml", message(ref="x") + " " * size)
    (post,) = gateway.posts.posts
    gateway._rounds._take(post, post.sweeper.sweep([(b"large.xml", True)]))
    filler = full.province.home / "filler"
    fill(filler, 8 << 20)
    assert full.turn(POLICE, "intake-large") == 5.0
    assert full.rows(POLICE, "SELECT count(*) FROM package") == [(0,)]
    filler.unlink()
    full.turn(POLICE, "intake-large")
    assert full.states(POLICE, "hub") == ["QUEUED"]


def test_a_hub_pauses_too_and_says_so(full: ByHand) -> None:
    settings = full.province.home / "hub" / "hub.toml"
    settings.write_text(settings.read_text() + DISK)
    full.restart_hub()
    full.admit()
    full.turn(POLICE, "send")
    filler = full.province.home / "filler"
    fill(filler, 8 << 20)
    assert full.turn("hub", "intake") == 5.0
    assert len(list((full.mailbox(POLICE) / "to-hub").glob("*.bundle"))) == 1
    live = full.hub.status({})
    assert live["intake_open"] is False
    found = alarms("hub", full.hub._reader, live, clock.now())
    assert "FG-ALM-002" in {a.code for a in found}
    filler.unlink()
    full.turn("hub", "intake")
    assert full.states("hub", "account:") == ["QUEUED"]


def test_what_is_in_flight_ends_on_a_full_disk_because_of_the_reserve(full: ByHand) -> None:
    """Not a byte is left: the first write is refused and gives the reserve up, the next goes."""
    full.admit()
    gateway = full.gateways[POLICE]
    assert gateway.reserve.hold()
    assert os.stat(full.province.home / POLICE / "state" / "reserve").st_blocks * 512 >= 2_000_000
    filler = full.province.home / "filler"
    fill(filler, 0)
    fill(full.province.home / "filler2", 0)
    tries = 0
    while full.states(POLICE, "hub") == ["QUEUED"]:
        tries += 1
        assert tries < 200
        try:
            with gateway.journal.write() as tx:
                tx.event("padding", text="x" * 4000)
        except JournalError:
            break
    assert not gateway.reserve.is_held
    with gateway.journal.write() as tx:
        tx.event("works-again")
    assert not gateway.reserve.hold(), "there is no room for it yet"
    filler.unlink()
    (full.province.home / "filler2").unlink()
    gateway.reserve._again_at = 0.0
    assert gateway.reserve.hold()


def test_a_delivery_that_finds_no_room_waits_leaves_nothing_and_goes_on(tmp_path: Path) -> None:
    by_hand = ByHand(tmp_path, extra=DISK)
    spool = by_hand.province.spool(PROCURATORATE)
    by_hand.gateways[PROCURATORATE].journal.close()
    subprocess.run(["rm", "-rf", str(spool)], check=True)
    with small_disk(spool, "size=1m"):
        by_hand.gateways[PROCURATORATE] = gateway = by_hand.open_gateway(PROCURATORATE)
        (spool / ".frontgate-adopt").touch()
        gateway.prepare()
        for _ in range(3):
            by_hand.admit()
        by_hand.relay()
        fill(spool / "filler", 0)
        by_hand.turn(PROCURATORATE, "deliver")
        assert by_hand.states(PROCURATORATE, "spool:") == ["QUEUED"] * 3
        reasons = {r[0] for r in by_hand.rows(PROCURATORATE, "SELECT reason FROM transfer")}
        assert reasons == {"FG-SPL-030"}
        left = [p for p in (spool / ".frontgate" / "staging").rglob("*") if p.suffix != ".intent"]
        assert left == []
        assert by_hand.province.entries(PROCURATORATE) == []
        (spool / "filler").unlink()
        with gateway.journal.write() as tx:
            tx.run("UPDATE transfer SET due_ms = 0")
        by_hand.turn(PROCURATORATE, "deliver")
        assert len(by_hand.province.entries(PROCURATORATE)) == 3
        by_hand.close()


def test_a_spool_that_becomes_read_only_waits_and_stops_no_other(tmp_path: Path) -> None:
    by_hand = ByHand(tmp_path, extra=DISK)
    spool = by_hand.province.spool(POLICE)
    by_hand.gateways[POLICE].journal.close()
    subprocess.run(["rm", "-rf", str(spool)], check=True)
    with small_disk(spool, "size=64m"):
        by_hand.gateways[POLICE] = gateway = by_hand.open_gateway(POLICE)
        (spool / ".frontgate-adopt").touch()
        gateway.prepare()
        by_hand.admit()
        by_hand.province.drop(POLICE, "a.xml", message(ref="a"))
        remount(spool, "ro")
        for _ in range(3):
            assert (by_hand.turn(POLICE, "intake") or 0) >= 0.05, "no busy loop"
        by_hand.turn(POLICE, "receipt-files")
        assert outbound(by_hand) == ["a.xml"]
        assert gateway.report.status({})["paused"] == [POLICE]
        assert f"receipts {POLICE}" in gateway.report.troubles()
        by_hand.turn(POLICE, "send")
        assert by_hand.states(POLICE, "hub") == ["SENT"]
        remount(spool, "rw")
        assert wait_for(lambda: [by_hand.turn(POLICE, "intake"), outbound(by_hand) == []][1], 20)
        by_hand.turn(POLICE, "receipt-files")
        assert len(by_hand.province.receipts(POLICE)) == 2
        assert gateway.report.troubles() == {}
        by_hand.close()


def test_the_gate_sees_inodes_and_does_not_flutter(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=16m,nr_inodes=400") as disk:
        gate = DiskGate((disk,), Limits(0.9, 0))
        assert gate.is_open()
        for n in range(370):
            (disk / f"f{n}").touch()
        assert not gate.is_open()
        for n in range(11):
            (disk / f"f{n}").unlink()
        assert not gate.is_open(), "40 are the fewest; a little more is asked before it opens again"
        for n in range(11, 40):
            (disk / f"f{n}").unlink()
        assert gate.is_open()


def test_intake_survives_a_disk_without_inodes(tmp_path: Path) -> None:
    """The gate is no promise: another program may take the last inode at any moment."""
    with small_disk(tmp_path / "disk", "size=64m,nr_inodes=4000") as disk:
        by_hand = ByHand(disk, extra=DISK)
        by_hand.province.drop(POLICE, "a.xml", message(ref="a"))
        fillers = []
        with contextlib.suppress(OSError):
            for n in range(4000):
                (disk / f"f{n}").touch()
                fillers.append(disk / f"f{n}")
        gateway = by_hand.gateways[POLICE]
        for gate in (gateway._gate, *gateway._gates.values()):
            gate.is_open = lambda: True  # type: ignore[method-assign]
        for _ in range(3):
            by_hand.turn(POLICE, "intake")
            clock_wait()
        assert by_hand.rows(POLICE, "SELECT count(*) FROM package") == [(0,)]
        assert any(w.startswith("intake") for w in gateway.report.troubles())
        for filler in fillers:
            filler.unlink()
        assert wait_for(lambda: [by_hand.turn(POLICE, "intake"), outbound(by_hand) == []][1], 20)
        assert by_hand.states(POLICE, "hub") == ["QUEUED"]
        assert gateway.report.troubles() == {}
        by_hand.close()


def clock_wait() -> None:
    """Long enough for an entry to settle."""
    end = clock.monotonic() + 0.4
    assert wait_for(lambda: clock.monotonic() > end, 5)


@pytest.mark.parametrize("number", [28, 122, 5, 30])
@pytest.mark.parametrize("step", ["before mkdir", "before rename", "before open", "before fsync"])
def test_no_error_of_a_disk_refuses_a_drop(tmp_path: Path, number: int, step: str) -> None:
    """ENOSPC, EDQUOT, EIO, EROFS at each step of intake: it waits, and is taken in the end."""
    by_hand = ByHand(tmp_path)
    by_hand.province.drop(POLICE, "a.xml", message(ref="a"))
    clock_wait()
    for skip in range(3):
        error = OSError(number, os.strerror(number))
        with failing(step, skip=skip, error=error), contextlib.suppress(Exception):
            by_hand.turn(POLICE, "intake")
    assert by_hand.province.rejected(POLICE) == []

    def is_taken() -> bool:
        with contextlib.suppress(Exception):
            by_hand.turn(POLICE, "intake")
        return by_hand.states(POLICE, "hub") == ["QUEUED"] and outbound(by_hand) == []

    assert wait_for(is_taken, 20)
    assert by_hand.province.rejected(POLICE) == []
    by_hand.close()


def test_the_journal_of_a_full_disk_works_on_the_reserve(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=12m") as disk:
        journal = Journal.open(disk / "journal.db", node="gateway:x")
        reserve = Reserve(disk / "reserve", 2_000_000)
        journal.on_full = reserve.give_up
        assert reserve.hold()
        fill(disk / "filler", 0)
        written, refused = 0, 0
        for _ in range(200):
            try:
                with journal.write() as tx:
                    tx.event("padding", text="x" * 2000)
                written += 1
            except JournalError as error:
                assert error.code == "FG-JRN-004"
                refused += 1
        assert refused >= 1
        assert written >= 150, "the reserve carried them"
        assert reserve.hold() is False
        journal.close()
