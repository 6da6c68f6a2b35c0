"""A disk that is full to its last byte: what may go goes, there is room again, and intake goes on."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from by_hand import ByHand
from province import POLICE, PROCURATORATE, message, wait_for
from smalldisk import fill, small_disk

from frontgate import clock
from frontgate.errors import JournalError
from frontgate.pipeline import archive

DISK = "[disk]\nhigh_water_percent = 97\nreserve_bytes = 2000000\nemergency_bytes = 1000000\n"
COUNT, LARGE = 4, 1_500_000


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ByHand]:
    monkeypatch.setattr(archive, "FLOOR_BYTES", 4 << 20)
    with small_disk(tmp_path / "disk", "size=96m") as disk:
        by_hand = ByHand(disk, extra=DISK)
        settings = disk / "hub" / "hub.toml"
        settings.write_text(settings.read_text() + DISK)
        by_hand.restart_hub()
        yield by_hand
        clock.use(None, None)
        by_hand.close()


def exchange(by_hand: ByHand, ref: str) -> None:
    """One message with a large file, until its last receipt is home."""
    text = message("arrest-request/submit", ref=ref)
    pairs = re.findall(r"<m:FileName>([^<]*)</m:FileName>.*?<m:Bytes>(\d+)", text, re.DOTALL)
    files = {name: b"x" * int(size) for name, size in pairs}
    name, size = pairs[0]
    files[name] = random.Random(ref).randbytes(LARGE)
    text = text.replace(f"<m:Bytes>{size}", f"<m:Bytes>{LARGE}", 1)
    by_hand.province.drop_folder(POLICE, ref, text, files)

    def is_done() -> bool:
        for node, loops in (
            (POLICE, ("intake", "intake-large", "send", "send-large")),
            ("hub", ("intake", "intake-large", "place", "place-large")),
            (PROCURATORATE, ("fetch", "fetch-large", "deliver", "deliver-large")),
        ):
            for loop in loops:
                by_hand.turn(node, loop)
        for entry in by_hand.province.entries(PROCURATORATE):
            shutil.rmtree(by_hand.province.spool(PROCURATORATE) / "inbound" / entry)
        for node, loop in (
            (PROCURATORATE, "pick-up"), (PROCURATORATE, "send"), ("hub", "intake"), ("hub", "place"),
            (POLICE, "fetch"), (POLICE, "send"),
        ):  # fmt: skip
            by_hand.turn(node, loop)
        done = "SELECT count(*) FROM receipt WHERE kind = 'handed-over'"
        return by_hand.rows(POLICE, done) == [(int(ref[1:]) + 1,)]

    assert wait_for(is_done, 30)


def segments(by_hand: ByHand, name: str) -> list[Path]:
    return sorted((by_hand.province.home / name / "state" / "segments").rglob("*.bundle"))


def is_full(disk: Path) -> bool:
    try:
        (disk / "probe").write_bytes(b"x")
    except OSError as error:
        return error.errno == errno.ENOSPC
    finally:
        (disk / "probe").unlink(missing_ok=True)
    return False


@pytest.mark.needs_root
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", [POLICE, "hub"])
def test_the_schedule_makes_room_on_a_disk_without_a_byte(full: ByHand, name: str) -> None:
    """No hand is needed: the reserve carries the first steps of it."""
    disk = full.province.home
    for n in range(COUNT):
        exchange(full, f"m{n}")
    node = full.hub if name == "hub" else full.gateways[name]
    keep = full.loop(name, "keep")
    keep.step()  # a new node's first run comes after an interval
    now = clock.now()
    assert sum(a.packages for a in node._keeper.archive(now, now)) >= COUNT
    assert node.reserve.hold()
    full.province.drop(POLICE, "waits.xml", message(ref="waits"))
    if name == "hub":
        assert wait_for(
            lambda: [full.turn(POLICE, "intake"), full.states(POLICE, "hub")[-1:] == ["QUEUED"]][1]
        )
        full.turn(POLICE, "send")
    before = segments(full, name)
    assert sum(p.stat().st_size for p in before) > 3 * LARGE
    for number in range(3):
        fill(disk / f"filler{number}", 0)
    assert is_full(disk)
    assert full.turn(name, "intake") == 5.0
    assert full.rows(name, "SELECT count(*) FROM package WHERE sender_ref = 'waits'") == [(0,)]

    ahead, start = timedelta(days=31), clock.now()
    clock.use(lambda: start + ahead, None)
    codes = []
    for _ in range(4):
        keep.step()
        if keep.trouble is None:
            break
        codes.append(keep.trouble.code)
    assert keep.trouble is None, codes
    assert set(codes) <= {"FG-JRN-004"}
    assert len(segments(full, name)) < len(before)
    assert not is_full(disk)
    state = os.statvfs(disk)
    assert state.f_bavail * state.f_frsize > 3 * LARGE

    assert full.turn(name, "intake") != 5.0
    taken = "SELECT count(*) FROM package WHERE sender_ref = 'waits' AND state = 'ADMITTED'"
    assert wait_for(lambda: [full.turn(name, "intake"), full.rows(name, taken) == [(1,)]][1])


@pytest.mark.needs_root
def test_the_trash_of_a_spool_is_cleared_on_a_full_disk(full: ByHand) -> None:
    from frontgate.spool import trash

    disk = full.province.home
    (post,) = full.gateways[POLICE].posts.posts
    trash.empty(post.paths)
    (post.paths.trash / "left").mkdir()
    (post.paths.trash / "left" / "file").write_bytes(b"x" * 3_000_000)
    for number in range(3):
        fill(disk / f"filler{number}", 0)
    assert is_full(disk)
    assert trash.empty(post.paths) == 0
    assert not is_full(disk)


def test_a_run_that_could_not_prune_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a full disk would stay full until the next night."""
    by_hand = ByHand(tmp_path)
    keeper = by_hand.gateways[POLICE]._keeper
    keeper.turn()
    start = clock.now()
    clock.use(lambda: start + timedelta(days=2), None)
    tries = []

    def refuse(now: object) -> dict[str, int]:
        tries.append(now)
        if len(tries) < 3:
            raise JournalError("FG-JRN-004", reason="FullError")
        return {}

    monkeypatch.setattr(keeper, "prune", refuse)
    try:
        for _ in range(2):
            with pytest.raises(JournalError):
                keeper.turn()
        assert keeper.turn() == 24 * 3600
        assert len(tries) == 4
    finally:
        clock.use(None, None)
        by_hand.close()
