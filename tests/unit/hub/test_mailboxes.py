"""What lies before the hub: listed once for many, one unit's flood costs the others nothing."""

import os
import stat
import time
from itertools import pairwise
from pathlib import Path

import pytest

from frontgate.hub import mailboxes
from frontgate.hub.mailboxes import LARGE_UPLOAD_BYTES, Ahead, Mailbox, Mailboxes, ring_file
from frontgate.model.unit import Directory, Unit


def name(n: int) -> str:
    return f"{n:016d}-{'a' * 64}.bundle"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "u1" / "to-hub"
    path.mkdir(parents=True)
    return path


def settled(folder: Path) -> None:
    """As if the folder's last change was a while ago."""
    past = time.time() - 60
    os.utime(folder, (past, past))


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every listing of a folder, as it is made."""
    seen: list[str] = []
    real = os.scandir

    def scandir(path: str) -> object:
        seen.append(str(path))
        return real(path)

    monkeypatch.setattr(mailboxes.os, "scandir", scandir)
    return seen


def test_uploads_come_in_order_of_their_sequence(folder: Path) -> None:
    for n in (5, 3, 9, 4):
        (folder / name(n)).write_bytes(b"x")
    (folder / f".{name(1)}.part").write_bytes(b"x")
    (folder / name(2)).mkdir()
    (folder / name(0)).symlink_to(folder / name(5))
    ahead = Ahead(folder)
    got = []
    while (found := ahead.next(())) is not None:
        got.append(found)
        (folder / found).unlink()
    assert got == [name(n) for n in (3, 4, 5, 9)]


def test_a_flood_is_listed_once_for_many(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(640):
        (folder / name(n)).touch()
    listings = counted(monkeypatch)
    ahead = Ahead(folder)
    for n in range(640):
        assert ahead.next(()) == name(n)
        (folder / name(n)).unlink()
    assert len(listings) == 10


def test_an_empty_folder_is_not_listed_again_until_it_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled(folder)
    listings = counted(monkeypatch)
    ahead = Ahead(folder)
    for _ in range(100):
        assert ahead.next(()) is None
    assert len(listings) == 1
    (folder / name(1)).touch()
    assert ahead.next(()) == name(1)


def test_a_change_in_the_same_instant_is_not_missed(folder: Path) -> None:
    ahead = Ahead(folder)
    for n in range(200):
        assert ahead.next(()) is None
        (folder / name(n)).touch()
        assert ahead.next(()) == name(n)
        (folder / name(n)).unlink()


def test_what_cannot_be_read_is_passed_over(folder: Path) -> None:
    for n in (1, 2):
        (folder / name(n)).touch()
    ahead = Ahead(folder)
    assert ahead.next(()) == name(1)
    assert ahead.next({name(1)}) == name(2)
    (folder / name(2)).unlink()
    assert ahead.next({name(1)}) is None
    assert ahead.next(()) == name(1)


def boxes(tmp_path: Path) -> Mailboxes:
    return Mailboxes(tmp_path, tmp_path / ".staging", lambda: Directory(1, {}), None)


def test_large_and_small_have_lanes_of_their_own(tmp_path: Path, folder: Path) -> None:
    (folder / name(1)).touch()
    os.truncate(folder / name(1), LARGE_UPLOAD_BYTES + 1)
    (folder / name(2)).write_bytes(b"x")
    assert Ahead(folder, is_large=False).next(()) == name(2)
    assert Ahead(folder, is_large=True).next(()) == name(1)


def test_only_so_much_is_put_before_a_gateway_that_takes_nothing(tmp_path: Path) -> None:
    mailbox = Mailbox("u1", "1", tmp_path)
    mailbox.from_hub.mkdir(parents=True)
    found = boxes(tmp_path)
    assert found.room(mailbox, is_large=False) == mailboxes.MOST_PLACED
    for n in range(mailboxes.MOST_PLACED + 3):
        (mailbox.from_hub / name(n)).touch()
    assert found.room(mailbox, is_large=False) == 0
    assert found.room(mailbox, is_large=True) == mailboxes.MOST_PLACED_LARGE
    (mailbox.from_hub / name(0)).unlink()
    found.close()


def _bell(folder: Path) -> tuple[int, int]:
    """What SFTP tells of it: its size, and its time in whole seconds."""
    info = (folder / ".bell").lstat()
    return info.st_size, int(info.st_mtime)


def test_every_ring_changes_the_bell(tmp_path: Path) -> None:
    seen = []
    for _ in range(5000):
        ring_file(tmp_path)
        seen.append(_bell(tmp_path))
    assert all(a != b for a, b in pairwise(seen))
    assert max(size for size, _ in seen) < 5000


@pytest.mark.parametrize("kind", ["link", "hard-link", "fifo", "folder"])
def test_what_an_account_puts_in_the_bells_place_is_not_written_to(
    tmp_path: Path, kind: str
) -> None:
    other, bell = tmp_path / "other", tmp_path / "box" / ".bell"
    bell.parent.mkdir()
    other.write_bytes(b"of somebody else")
    if kind == "link":
        bell.symlink_to(other)
    elif kind == "hard-link":
        bell.hardlink_to(other)
    elif kind == "fifo":
        os.mkfifo(bell)
    else:
        bell.mkdir()
    ring_file(bell.parent)
    assert other.read_bytes() == b"of somebody else"
    assert stat.S_ISREG(bell.lstat().st_mode)
    assert bell.lstat().st_size == 1


def test_a_mailbox_is_looked_up_once_for_each_directory(tmp_path: Path) -> None:
    def listed(version: int, *fronts: str) -> Directory:
        units = {f"{n}U": Unit(f"{n}U", "", front_end=f) for n, f in enumerate(fronts)}
        return Directory(version, units)

    now = [listed(1, "", "")]
    boxes = Mailboxes(tmp_path, tmp_path / ".staging", lambda: now[0], None)
    try:
        first = boxes.of_account("u0u")
        assert (first.unit, first.from_hub) == ("0U", tmp_path / "u0u" / "from-hub")
        assert boxes.of_account("u0u") is first
        assert boxes.of_account("u9u").unit == "9U", "one that nobody names any more is cleared too"
        now[0] = listed(2, "", "")
        assert boxes.of_account("u0u") == first
        assert boxes.of_account("u0u") is not first, "another directory"
    finally:
        boxes.close()
