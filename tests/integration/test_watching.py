"""Watching that cannot miss: lost events, other folders under the same name, mounts, many at once,
and entries that cannot be taken away."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from by_hand import ByHand
from chaos_table import is_long
from province import POLICE, message, wait_for

from frontgate.gateway.daemon import Gateway
from frontgate.spool import scan, watch
from frontgate.spool.claiming import Claim, Refused
from frontgate.spool.layout import SpoolPaths, filesystem_kind, kind_of_type, prepare
from frontgate.spool.sweep import Sweeper
from frontgate.spool.watch import Watcher

QUEUED_EVENTS = Path("/proc/sys/fs/inotify/max_queued_events")
MESSAGE = message(ref="x")


@pytest.fixture
def by_hand(tmp_path: Path) -> Iterator[ByHand]:
    made = ByHand(tmp_path)
    with contextlib.suppress(Exception):
        made.gateways[POLICE].prepare()
    yield made
    made.close()


def outbound(by_hand: ByHand) -> Path:
    return by_hand.province.spool(POLICE) / "outbound"


def is_empty(by_hand: ByHand) -> bool:
    return not [n for n in os.listdir(outbound(by_hand)) if not n.startswith(".")]


def turns_until(by_hand: ByHand, test: object, seconds: float = 30.0) -> bool:
    def look() -> object:
        by_hand.turn(POLICE, "intake")
        return test()  # type: ignore[operator]

    return wait_for(look, seconds)


@contextlib.contextmanager
def watched(gateway: Gateway) -> Iterator[None]:
    gateway.watcher.start()
    try:
        yield
    finally:
        gateway.watcher.stop()


@pytest.mark.needs_root
def test_an_overflowing_event_queue_loses_no_drop(by_hand: ByHand) -> None:
    """The queue is made short for this one watcher, and its reader is held while drops pour in."""
    gateway = by_hand.gateways[POLICE]
    usual = QUEUED_EVENTS.read_text()
    QUEUED_EVENTS.write_text("16")
    try:
        gateway.watcher.start()
    finally:
        QUEUED_EVENTS.write_text(usual)
    try:
        assert turns_until(by_hand, lambda: not gateway.watcher.take_behind(outbound(by_hand)))
        with gateway.watcher._lock:
            for n in range(60):
                by_hand.province.drop(POLICE, f"{n:02d}.xml", message(ref=f"o{n}"))
        assert wait_for(lambda: outbound(by_hand) in gateway.watcher._behind, 10)
        assert turns_until(by_hand, lambda: is_empty(by_hand))
        assert len(by_hand.states(POLICE, "hub")) == 60
    finally:
        gateway.watcher.stop()


def test_a_swapped_outbound_is_seen_and_watched_again(by_hand: ByHand) -> None:
    gateway = by_hand.gateways[POLICE]
    with watched(gateway):
        by_hand.turn(POLICE, "intake")
        folder = outbound(by_hand)
        folder.rename(folder.with_name("old"))
        shutil.copytree(folder.with_name("old"), folder)
        by_hand.province.drop(POLICE, "a.xml", message(ref="a"))
        assert turns_until(by_hand, lambda: is_empty(by_hand))
        # And what comes now is noticed by an event, not by the next scan.
        by_hand.turn(POLICE, "intake")
        by_hand.province.drop(POLICE, "b.xml", message(ref="b"))
        assert wait_for(lambda: gateway.watcher.has_hints(folder), 10)
        assert turns_until(by_hand, lambda: is_empty(by_hand))
    assert by_hand.states(POLICE, "hub") == ["QUEUED", "QUEUED"]


@pytest.mark.needs_root
def test_a_mount_on_outbound_that_goes_freezes_intake_until_it_is_back(by_hand: ByHand) -> None:
    gateway = by_hand.gateways[POLICE]
    folder = outbound(by_hand)
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "frontgate-test", str(folder)]
    by_hand.turn(POLICE, "intake")
    subprocess.run(mount, check=True)
    try:
        by_hand.turn(POLICE, "intake")
        by_hand.province.drop(POLICE, "a.xml", message(ref="a"))
        # Another file system: claimed by copy.
        assert turns_until(by_hand, lambda: is_empty(by_hand))
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    by_hand.province.drop(POLICE, "below.xml", message(ref="below"))
    for _ in range(3):
        by_hand.turn(POLICE, "intake")
    assert gateway.report.troubles()[f"intake {POLICE}"].code == "FG-SPL-031"
    assert not is_empty(by_hand), "nothing is taken from below a mount point"
    by_hand.restart_gateway(POLICE)
    by_hand.turn(POLICE, "intake")
    assert f"intake {POLICE}" in by_hand.gateways[POLICE].report.troubles(), (
        "after a restart neither"
    )
    subprocess.run(mount, check=True)
    try:
        by_hand.province.drop(POLICE, "b.xml", message(ref="b"))
        assert turns_until(by_hand, lambda: is_empty(by_hand))
        assert by_hand.gateways[POLICE].report.troubles() == {}
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    assert by_hand.states(POLICE, "hub") == ["QUEUED", "QUEUED"]


@pytest.mark.needs_root
@pytest.mark.needs_fuse
def test_a_fuse_mount_is_polled_and_says_so(by_hand: ByHand, tmp_path: Path) -> None:
    gateway = by_hand.gateways[POLICE]
    folder = outbound(by_hand)
    behind = tmp_path / "share"
    behind.mkdir()
    by_hand.turn(POLICE, "intake")
    subprocess.run(["bindfs", str(behind), str(folder)], check=True)
    try:
        assert filesystem_kind(folder) == "fuse"
        with watched(gateway):
            assert gateway.report.status({})["polled"] == {str(folder): "fuse"}
            object.__setattr__(gateway.posts.posts[0].sweeper, "_network", _quick())
            # Dropped on the other side of the mount, as another machine would: no event comes.
            (behind / "a.xml.tmp").write_text(message(ref="a"))
            (behind / "a.xml.tmp").rename(behind / "a.xml")
            assert turns_until(by_hand, lambda: not os.listdir(behind), 60)
        assert by_hand.states(POLICE, "hub") == ["QUEUED"]
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_network_mount_is_polled_and_says_so(
    by_hand: ByHand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On any machine: the kernel's table names the folder as NFS; a watch would hear of its drops."""
    gateway = by_hand.gateways[POLICE]
    folder = outbound(by_hand)
    by_hand.turn(POLICE, "intake")
    table = tmp_path / "mountinfo"
    table.write_text(
        f"21 1 8:1 / / rw - ext4 /dev/sda1 rw\n99 21 0:44 / {folder} rw - nfs4 server:/drops rw\n"
    )
    monkeypatch.setattr(watch, "filesystem_kind", partial(filesystem_kind, mountinfo=table))
    with watched(gateway):
        assert gateway.report.status({})["polled"] == {str(folder): "nfs"}
        by_hand.province.drop(POLICE, "a.xml", message(ref="a"))
        time.sleep(0.3)
        assert not gateway.watcher.has_hints(folder), "it is not watched as well"
        assert turns_until(by_hand, lambda: is_empty(by_hand), 60)
    assert by_hand.states(POLICE, "hub") == ["QUEUED"]


def _quick() -> object:
    from frontgate.spool.sweep import Timing

    return Timing(0.5, 5.0)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("nfs", "nfs"), ("nfs4", "nfs"), ("cifs", "cifs"), ("smb3", "cifs"), ("fuse", "fuse"),
        ("fuse.sshfs", "fuse"), ("fuseblk", "fuse"), ("9p", "9p"), ("virtiofs", "network"),
        ("ceph", "network"), ("ext4", "local"), ("xfs", "local"), ("tmpfs", "local"),
        ("btrfs", "local"), ("overlay", "local"), ("", "local"),
    ],
)  # fmt: skip
def test_which_file_systems_are_watched(name: str, kind: str) -> None:
    assert kind_of_type(name) == kind


def test_no_watch_left_is_polled_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from watchdog.observers.inotify_c import InotifyFD

    def refuse(*_: object) -> int:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(InotifyFD, "add_callback", refuse)
    watcher = Watcher([tmp_path], lambda: None)
    watcher.start()
    assert watcher.polled == {tmp_path: "unwatched"}
    watcher.stop()


@pytest.mark.timeout(900)
def test_very_many_at_once_are_taken_once_each_in_order_with_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """9 000 in windows of 4 096 here, 100 000 in the long form; `python -m benchmarks.scan` for a million."""
    count, window = (100_000, scan.WINDOW) if is_long() else (9_000, 4_096)
    monkeypatch.setattr(scan, "WINDOW", window)
    fast = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=fast if fast.is_dir() else tmp_path) as folder:
        paths = SpoolPaths(Path(folder) / "spool")
        prepare(paths)
        for n in range(count):
            path = paths.outbound / f"{n:06d}.xml"
            path.write_bytes(b"<a/>")
            os.utime(path, ns=(n * 10**6, n * 10**6))
        sweeper = Sweeper(paths, settle_s=0.0)
        sweeper.start_scan(catch_up=True)
        seen = bytearray(count)
        breaks = taken = 0
        last = b""
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        while found := sweeper.sweep([], 64):
            for item in found:
                assert isinstance(item, Claim)
                seen[int(item.name[:6])] += 1
                breaks += item.name < last
                last = item.name
                taken += 1
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert taken == count
    assert set(seen) == {1}
    assert breaks <= (count - 1) // window, "in order within each window"
    assert peak - before < 3_000_000 + 400 * window, "a window of names and times, nothing more"


# -- what cannot be taken away ----------------------------------------------------------------


@contextlib.contextmanager
def immutable(path: Path) -> Iterator[None]:
    subprocess.run(["chattr", "+i", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", str(path)], check=True)


@pytest.mark.needs_root
def test_an_entry_that_cannot_be_moved_is_answered_once_and_shown(by_hand: ByHand) -> None:
    stone = outbound(by_hand) / "stone.xml"
    stone.write_text(message(ref="stone"))

    def reports() -> list[str]:
        return [n for n in by_hand.province.rejected(POLICE) if n.endswith(".report.txt")]

    with immutable(stone):
        assert turns_until(by_hand, lambda: reports() == ["stone.xml.report.txt"])
        by_hand.turn(POLICE, "receipt-files")
        (receipt,) = by_hand.province.receipts(POLICE)
        assert "submission-rejected" in receipt
        assert "FG-SPL-021" in by_hand.province.outcome(POLICE, "stone.xml")
        # The others go on, and neither a rescan nor a restart answers it again.
        by_hand.province.drop(POLICE, "other.xml", message(ref="other"))
        sweeper = by_hand.gateways[POLICE].posts.posts[0].sweeper
        for _ in range(3):
            sweeper.start_scan()
            by_hand.turn(POLICE, "intake")
        gateway = by_hand.restart_gateway(POLICE)
        assert turns_until(by_hand, lambda: by_hand.states(POLICE, "hub") == ["QUEUED"])
        for _ in range(3):
            gateway.posts.posts[0].sweeper.start_scan()
            by_hand.turn(POLICE, "intake")
        assert reports() == ["stone.xml.report.txt"]
        (waiting,) = gateway.report.status({})["waiting"].values()
        assert {"name": "stone.xml", "why": "stuck"} in waiting
        assert gateway.report.troubles() == {}
    # Made movable it is another state of it, and taken.
    gateway.posts.posts[0].sweeper.start_scan()
    assert turns_until(by_hand, lambda: is_empty(by_hand))
    assert by_hand.states(POLICE, "hub") == ["QUEUED", "QUEUED"]


@pytest.mark.needs_root
def test_a_drop_with_an_immutable_file_inside_is_taken_once_and_its_rest_is_out_of_the_way(
    by_hand: ByHand,
) -> None:
    folder = outbound(by_hand) / "case.tmp"
    folder.mkdir()
    (folder / "message.xml").write_text(message(ref="inner"))
    subprocess.run(["chattr", "+i", str(folder / "message.xml")], check=True)
    trash = by_hand.province.spool(POLICE) / ".frontgate" / "trash"
    try:
        folder.rename(outbound(by_hand) / "case")
        assert turns_until(by_hand, lambda: by_hand.states(POLICE, "hub") == ["QUEUED"])
        assert is_empty(by_hand)
        by_hand.turn(POLICE, "discard")
        assert len(list(trash.iterdir())) == 1
        gateway = by_hand.restart_gateway(POLICE)
        by_hand.turn(POLICE, "intake")
        assert by_hand.states(POLICE, "hub") == ["QUEUED"]
        assert gateway.report.status({})["trash"] == {POLICE: 1}
    finally:
        for path in trash.rglob("message.xml"):
            subprocess.run(["chattr", "-i", str(path)], check=True)
    by_hand.restart_gateway(POLICE)
    assert list(trash.iterdir()) == []


@pytest.mark.needs_root
def test_a_folder_that_may_not_be_written_stops_its_spool_and_refuses_nothing(
    by_hand: ByHand,
) -> None:
    folder = outbound(by_hand)
    by_hand.province.drop(POLICE, "a.xml", message(ref="a"))
    gateway = by_hand.gateways[POLICE]
    with immutable(folder):
        assert turns_until(by_hand, lambda: f"intake {POLICE}" in gateway.report.troubles())
        assert gateway.report.troubles()[f"intake {POLICE}"].code == "FG-SPL-030"
        assert by_hand.province.rejected(POLICE) == []
    assert turns_until(by_hand, lambda: is_empty(by_hand))
    assert gateway.report.troubles() == {}
    assert by_hand.states(POLICE, "hub") == ["QUEUED"]


def test_hints_of_a_name_keep_the_place_of_its_newest_event(tmp_path: Path) -> None:
    watcher = Watcher([tmp_path], lambda: None)
    watcher.hint(tmp_path, b"a", is_ready=False)
    watcher.hint(tmp_path, b"b", is_ready=True)
    watcher.hint(tmp_path, b"a", is_ready=True)
    assert watcher.take_hints(tmp_path, 9) == [(b"b", True), (b"a", True)]
    watcher.hint(tmp_path, b"a", is_ready=True)
    watcher.hint(tmp_path, b"a", is_ready=False)
    assert watcher.take_hints(tmp_path, 9) == [(b"a", False)], "a new file of that name began"


def test_waiting_may_be_asked_while_a_sweep_runs(tmp_path: Path) -> None:
    paths = SpoolPaths(tmp_path / "spool")
    prepare(paths)
    for n in range(300):
        (paths.outbound / f"{n}.xml").write_text("<half")
    sweeper = Sweeper(paths, settle_s=5.0)
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            for _ in range(50):
                sweeper.waiting()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in range(20):
        sweeper.start_scan()
        found: list[Claim | Refused] = sweeper.sweep([])
        assert found == []
    thread.join()
    assert errors == []
