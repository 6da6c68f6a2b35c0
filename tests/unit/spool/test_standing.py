"""What a look at `inbound/` sees, and when a second look may be left out."""

import os
import time
import tracemalloc
from pathlib import Path

import pytest

from frontgate.spool import inbound
from frontgate.spool.inbound import Standing, standing, untaken
from frontgate.spool.layout import SpoolPaths


@pytest.fixture
def paths(tmp_path: Path) -> SpoolPaths:
    made = SpoolPaths(tmp_path)
    made.inbound.mkdir()
    return made


def seen(paths: SpoolPaths) -> Standing:
    found = standing(paths)
    assert found is not None
    return found


@pytest.mark.parametrize("most", [100, 3])
def test_entries_in_every_form_stand_until_they_go_or_are_marked(
    paths: SpoolPaths, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Whether the names are read, or there are too many of them."""
    monkeypatch.setattr(inbound, "MOST_NAMES", most)
    with untaken(paths) as is_untaken:
        assert not is_untaken("a")
    for name in ("a", "b.zip", "c.asice", "d", "d.done", "e.zip", "e.zip.done"):
        (paths.inbound / name).touch()
    with untaken(paths) as is_untaken:
        assert [is_untaken(n) for n in "abcdef"] == [True, True, True, False, False, False]


def test_names_cost_little_and_too_many_nothing(
    paths: SpoolPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 20_000
    for number in range(count):
        (paths.inbound / f"{number:060d}").touch()

    def peak() -> int:
        """Bytes for each name."""
        tracemalloc.start()
        try:
            with untaken(paths) as is_untaken:
                assert all(is_untaken(f"{number:060d}") for number in range(count))
                assert not is_untaken("not there")
            return tracemalloc.get_traced_memory()[1] // count
        finally:
            tracemalloc.stop()

    assert peak() < 50
    monkeypatch.setattr(inbound, "MOST_NAMES", 50)
    assert peak() < 3


def test_a_change_shows_and_a_recent_time_is_not_trusted(paths: SpoolPaths) -> None:
    (paths.inbound / "a").touch()
    old = time.time() - 60
    os.utime(paths.inbound, (old, old))
    first = seen(paths)
    assert first.is_settled(time.time())
    assert first.is_same(seen(paths))
    (paths.inbound / "a").unlink()
    now = seen(paths)
    assert not first.is_same(now)
    assert not now.is_settled(time.time())


def test_a_folder_put_in_its_place_is_another(paths: SpoolPaths, tmp_path: Path) -> None:
    old = time.time() - 60
    first = seen(paths)
    paths.inbound.rename(tmp_path / "away")
    assert standing(paths) is None
    paths.inbound.mkdir()
    os.utime(paths.inbound, (old, old))
    os.utime(tmp_path / "away", (old, old))
    assert not first.is_same(seen(paths))
