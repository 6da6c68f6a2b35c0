"""After an error of the disk nothing is believed that was not written anew."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import pytest
from faults.driver import SameProcess
from faults.scenes import SCENES, CaseSoftware
from faults.world import Ground, Node, fast_folder, make_ground, set_clock
from province import POLICE, message, wait_for

from frontgate import durable
from frontgate.errors import JournalError
from frontgate.hub.mailboxes import Mailbox, Mailboxes
from frontgate.journal import Journal, open_reader
from frontgate.model.unit import Directory
from frontgate.pipeline.segments import SegmentStore


class Fault:
    """`durable.probe`: fails the wanted step so often, and keeps what was done."""

    def __init__(self, step: str, part: str, *, times: int = 1, error: BaseException | None = None):
        self.step, self.part, self.left = step, part, times
        self.error = error or OSError(errno.EIO, "injected")
        self.done: list[str] = []

    def __call__(self, moment: str, step: str, places: tuple[Any, ...]) -> None:
        path = places[0]
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        name = os.fsdecode(path)
        if moment == "after":
            self.done.append(f"{step} {name}")
        elif step == self.step and self.part in name and self.left:
            self.left -= 1
            raise self.error


@pytest.fixture(autouse=True)
def no_probe() -> Iterator[None]:
    yield
    durable.probe = None


@pytest.fixture(scope="module")
def base() -> Iterator[Ground]:
    root = fast_folder()
    yield make_ground(root / "base")
    subprocess.run(["rm", "-rf", str(root)], check=True)


def test_a_segment_whose_sync_failed_is_gone(tmp_path: Path) -> None:
    store = SegmentStore(tmp_path)
    for step in ("write", "fsync", "rename", "fsync-dir"):
        durable.probe = Fault(step, "segments/20" if step == "fsync-dir" else "tmp/")
        segment = store.new(datetime(2026, 1, 1, tzinfo=UTC))
        segment.file.write(b"x")
        with pytest.raises(OSError, match="injected"):
            segment.publish()
        left = [p for p in tmp_path.rglob("*") if p.is_file()]
        assert not left, step


def test_what_cannot_be_removed_now_is_removed_by_the_next_segment(tmp_path: Path) -> None:
    store = SegmentStore(tmp_path)
    segment = store.new(datetime(2026, 1, 1, tzinfo=UTC))
    durable.probe = Fault("unlink", "tmp/")
    segment.abandon()
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    other = store.new(datetime(2026, 1, 1, tzinfo=UTC))
    assert len(list((tmp_path / "tmp").iterdir())) == 1, "the new one alone"
    other.abandon()


def test_a_segment_goes_with_its_transaction_unless_the_journal_itself_failed(
    tmp_path: Path,
) -> None:
    store = SegmentStore(tmp_path)
    journal = Journal.open(tmp_path / "journal.db", node="gateway:x")

    def publish() -> str:
        segment = store.new(datetime(2026, 1, 1, tzinfo=UTC))
        segment.file.write(b"x")
        path = segment.relative_path
        segment.publish()
        return path

    path = publish()
    durable.probe = Fault("commit", "journal.db", error=apsw.FullError("injected"))
    with pytest.raises(JournalError), store.named_by(journal, path), journal.write() as tx:
        tx.event("x")
    assert not (tmp_path / path).exists()
    path = publish()
    durable.probe = Fault("commit", "journal.db", error=apsw.IOError("injected"))
    with pytest.raises(JournalError), store.named_by(journal, path), journal.write() as tx:
        tx.event("x")
    assert (tmp_path / path).exists(), "whether the commit happened is not known yet"
    journal.close()


def test_a_full_disk_passes_and_an_io_error_ends_the_journal(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.db", node="gateway:x")
    told: list[int] = []
    journal.on_failure = lambda: told.append(1)
    for error in (apsw.FullError, apsw.ReadOnlyError, apsw.CantOpenError):
        durable.probe = Fault("commit", "journal.db", error=error("injected"))
        with pytest.raises(JournalError) as caught, journal.write() as tx:
            tx.event("x")
        assert caught.value.code == "FG-JRN-004"
        with journal.write() as tx:
            tx.event("y")
    durable.probe = Fault("commit", "journal.db", error=apsw.IOError("injected"))
    for _ in range(2):
        with pytest.raises(JournalError) as caught, journal.write() as tx:
            tx.event("x")
        assert caught.value.code == "FG-JRN-010"
        assert caught.value.is_transient
    assert told == [1]
    journal.close()


def test_too_many_open_files_is_no_damaged_journal(tmp_path: Path) -> None:
    Journal.open(tmp_path / "journal.db", node="gateway:x").close()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
        with pytest.raises(OSError, match="open files"):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        with pytest.raises(JournalError) as caught:
            open_reader(tmp_path / "journal.db")
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.code == "FG-JRN-004"
    assert caught.value.is_transient


def test_a_bundle_in_a_mailbox_is_put_there_anew_after_a_failed_sync(tmp_path: Path) -> None:
    box = Mailbox("u1", "1", tmp_path)
    box.from_hub.mkdir(parents=True)
    boxes = Mailboxes(tmp_path, tmp_path / ".staging", lambda: Directory(1, {}, "h"), None)
    for step, part in (("fsync", ".staging"), ("fsync-dir", "from-hub")):
        fault = Fault(step, part)
        durable.probe = fault
        with pytest.raises(OSError, match="injected"):
            boxes.place(box, "b.bundle", _source())
        assert not (box.from_hub / "b.bundle").exists()
        fault.done.clear()
        boxes.place(box, "b.bundle", _source())
        assert any(done.startswith("fsync ") for done in fault.done)
        fault.done.clear()
        boxes.place(box, "b.bundle", _source())
        assert fault.done == [f"fsync-dir {box.from_hub}"], "a crash may have come before"
        (box.from_hub / "b.bundle").unlink()
    boxes.close()


def _source() -> Any:
    import io

    return io.BytesIO(b"bundle")


def test_receipt_files_are_written_again_before_a_later_sync_counts(
    base: Ground, tmp_path: Path
) -> None:
    ground = base.copy(tmp_path / "g")
    world = SameProcess(ground)
    me = CaseSoftware(world)
    next(SCENES["plain"](me))
    world.settle(in_time=False)
    world.close()
    node = Node(ground, POLICE)
    folder = ground.spool(POLICE) / "receipts"
    assert wait_for(lambda: [node.turn(), any(folder.glob("*.xml"))][1], 20)
    receipts = sorted(p.name for p in folder.glob("*.xml"))
    fault = Fault("sync", "receipts")
    durable.probe = fault
    set_clock(60.0)
    node.turn()
    assert fault.left == 0
    assert _unflushed(ground) >= len(receipts)
    fault.done.clear()
    for offset_s in (120.0, 180.0):
        set_clock(offset_s)
        node.turn()
    written = {Path(d).name for d in fault.done if d.startswith("open ")}
    assert {f".{name}.tmp" for name in receipts} <= written
    assert _unflushed(ground) == 0
    node.close()
    set_clock(0.0)


def _unflushed(ground: Ground) -> int:
    reader = open_reader(ground.home(POLICE) / "state" / "journal.db")
    row = reader.one("SELECT count(*) FROM receipt_file WHERE flushed = 0")
    reader.close()
    assert row is not None
    return int(row[0])


DAEMON = """
import sys
import apsw
from frontgate import durable
left = [int(sys.argv[1])]
def probe(moment, step, places):
    if moment == "before" and step == "commit":
        left[0] -= 1
        if left[0] == 0:
            raise apsw.IOError("injected")
durable.probe = probe
from frontgate.cli.main import main
main(sys.argv[2:])
"""


@pytest.mark.parametrize("name", [POLICE, "hub"])
def test_the_daemon_ends_with_four_and_the_next_one_goes_on(
    base: Ground, tmp_path: Path, name: str
) -> None:
    """At its fourth commit SQLite reports an I/O error: in a loop, not while it starts."""
    ground = base.copy(tmp_path / "g")
    text = message(ref="x1")
    (ground.spool(POLICE) / "outbound" / "x.xml").write_text(text, encoding="utf-8")
    settings = ground.home(name) / ("hub.toml" if name == "hub" else "gateway.toml")
    command = ["hub", "run"] if name == "hub" else ["run"]
    if name == "hub":
        box = ground.home("hub") / "sftp" / f"u{POLICE.lower()}" / "to-hub"
        (box / f"{1:016d}-{'0' * 64}.bundle").write_bytes(b"damaged")
    done = subprocess.run(
        [sys.executable, "-c", DAEMON, "4" if name != "hub" else "2", "-c", str(settings), *command],
        timeout=60, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr.decode()[-2000:]
    world = SameProcess(ground)
    me = CaseSoftware(world)
    me.settle()
    me.pick_up()
    world.close()
    assert me.history.picked == {"x1": 1}
