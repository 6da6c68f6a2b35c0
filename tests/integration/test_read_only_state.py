"""The file system of `state/` becomes read-only beneath a daemon: it says so, loses nothing, and goes on.

For real: ext4 on a loop device, told by the kernel that it is damaged. Open files stay open, and every
write fails from then on.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from by_hand import ByHand
from chaos_table import begin
from province import POLICE, PROCURATORATE, Province, message, wait_for
from smalldisk import DISK, remount, small_disk

from frontgate import clock
from frontgate.errors import JournalError
from frontgate.gateway.daemon import Gateway
from frontgate.hub.daemon import Hub
from frontgate.journal import Journal
from frontgate.pipeline import epochs
from frontgate.pipeline.alarms import alarms
from frontgate.pipeline.service import Stop, made_when_writable

pytestmark = pytest.mark.needs_root


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class Ext4:
    """A file system of its own at `at`, with what lay there."""

    def __init__(self, image: Path, at: Path) -> None:
        self.image, self.at = image, at
        with image.open("wb") as file:
            file.truncate(64 << 20)
        run("mkfs.ext4", "-q", str(image))
        before = at.with_name("before")
        shutil.move(at, before)
        at.mkdir(mode=0o700)
        self.mount()
        run("cp", "-a", f"{before}/.", str(at))

    def mount(self) -> None:
        run("mount", "-o", "loop,errors=remount-ro", str(self.image), str(self.at))

    def break_down(self) -> None:
        device = run("findmnt", "-n", "-o", "SOURCE", str(self.at)).rsplit("/", 1)[1]
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("a test")

    def repair(self) -> None:
        run("umount", str(self.at))
        done = subprocess.run(["fsck.ext4", "-fy", str(self.image)], capture_output=True)
        assert done.returncode in (0, 1)
        self.mount()

    def end(self) -> None:
        subprocess.run(["umount", "-l", str(self.at)], check=False)


def told(log: Path, event: str) -> list[dict[str, Any]]:
    found = []
    for line in log.read_text().splitlines():
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            if row.get("event") == event:
                found.append(row)
    return found


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", [POLICE, "hub"])
def test_a_state_folder_that_becomes_read_only(tmp_path: Path, name: str) -> None:
    row = begin("disk", "state folder read-only")
    province = Province(tmp_path, extra=DISK)
    with (tmp_path / "hub" / "hub.toml").open("a") as file:
        file.write(DISK)
    disk = Ext4(tmp_path / "image", tmp_path / name / "state")
    log = tmp_path / f"{name}.log"
    try:
        province.start()
        province.drop(POLICE, "a.xml", message(ref="a"))
        assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 1)
        disk.break_down()
        province.drop(POLICE, "b.xml", message(ref="b"))
        assert wait_for(lambda: province.processes[name].poll() is not None), log.read_text()
        assert province.processes[name].poll() == 4, log.read_text()
        assert "FG-JRN-010" in {line["code"] for line in told(log, "loop-trouble")}
        province.start(name)  # as systemd does
        assert wait_for(lambda: len(told(log, "start-waits")) >= 2), log.read_text()
        waits = told(log, "start-waits")
        assert {line["code"] for line in waits} == {"FG-JRN-004"}
        assert "EROFS" in waits[0]["text"]
        assert province.processes[name].poll() is None
        assert "Traceback" not in log.read_text()
        disk.repair()
        assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 2, 60), log.read_text()
        assert wait_for(lambda: os.listdir(province.spool(POLICE) / "outbound") == [])
        assert wait_for(lambda: len(province.receipts(POLICE)) >= 6)
        assert len(province.entries(PROCURATORATE)) == 2
        assert province.rejected(POLICE) == []
        assert set(province.stop().values()) == {0}
    finally:
        province.stop()
        disk.end()
    row.end(tried=1)


def test_a_start_that_waits_is_not_busy_and_can_be_stopped() -> None:
    stop = Stop()
    tries: list[float] = []

    def make() -> None:
        tries.append(clock.monotonic())
        raise JournalError("FG-JRN-004", reason="EROFS")

    threading.Timer(2.5, stop.event.set).start()
    assert made_when_writable(make, stop) is None
    assert 2 <= len(tries) <= 4
    assert stop.code == 0


@pytest.mark.parametrize(
    "error",
    [JournalError("FG-JRN-002"), JournalError("FG-JRN-004", reason="EACCES")],
    ids=["lock", "another user's"],
)
def test_a_start_waits_for_nothing_else(error: JournalError) -> None:
    def make() -> None:
        raise error

    with pytest.raises(JournalError):
        made_when_writable(make, Stop())


@pytest.mark.parametrize("name", [POLICE, "hub"])
def test_a_start_whose_first_write_is_refused_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The journal could be opened, and is let go."""
    by_hand = ByHand(tmp_path)
    by_hand.close()
    settings = by_hand.hub._settings if name == "hub" else by_hand.gateways[name]._settings
    real, tries = epochs.open_if_restored, []

    def full_at_first(*args: Any) -> bool:
        tries.append(1)
        if len(tries) == 1:
            raise JournalError("FG-JRN-004", reason="FullError")
        return real(*args)

    monkeypatch.setattr(epochs, "open_if_restored", full_at_first)
    daemon = made_when_writable(
        lambda: Hub(settings) if name == "hub" else Gateway(settings), Stop()
    )
    assert daemon is not None
    assert len(tries) == 2
    daemon.journal.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "size=64m") as disk:
        yield disk


def test_a_journal_on_a_read_only_disk_says_so_and_keeps_its_lock_free(small: Path) -> None:
    path = small / "journal.db"
    Journal.open(path, node="gateway:x").close()
    before = len(os.listdir("/proc/self/fd"))
    remount(small, "ro")
    for _ in range(3):
        with pytest.raises(JournalError) as caught:
            Journal.open(path, node="gateway:x")
        assert caught.value.code == "FG-JRN-004"
        assert caught.value.params["reason"] == errno.errorcode[errno.EROFS]
    assert len(os.listdir("/proc/self/fd")) == before
    remount(small, "rw")
    Journal.open(path, node="gateway:x").close()


@pytest.mark.parametrize("name", [POLICE, "hub"])
def test_a_read_only_state_folder_is_an_alarm_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Not want of room: more of it would not help."""
    by_hand = ByHand(tmp_path, extra=DISK)
    node = by_hand.hub if name == "hub" else by_hand.gateways[name]
    status = by_hand.hub.status if name == "hub" else by_hand.gateways[name].report.status
    role = "hub" if name == "hub" else "gateway"

    def codes() -> set[str]:
        found = alarms(role, node._reader, status({}), clock.now())
        return {a.code for a in found} & {"FG-ALM-002", "FG-ALM-027"}

    assert codes() == set()
    real = os.statvfs

    def read_only(path: Any) -> os.statvfs_result:
        found = real(path)
        return os.statvfs_result((*found[:8], found.f_flag | os.ST_RDONLY, found[9], found.f_fsid))

    monkeypatch.setattr(os, "statvfs", read_only)
    assert codes() == {"FG-ALM-027"}
    monkeypatch.undo()
    assert codes() == set()
    by_hand.close()
