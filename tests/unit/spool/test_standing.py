"""What a look at `inbound/` sees, and when a second look may be left out."""

import os
import time
from pathlib import Path

import pytest

from frontgate.spool import inbound
from frontgate.spool.inbound import standing
from frontgate.spool.layout import SpoolPaths


@pytest.fixture
def paths(tmp_path: Path) -> SpoolPaths:
    made = SpoolPaths(tmp_path)
    made.inbound.mkdir()
    return made


def seen(paths: SpoolPaths) -> inbound.Standing:
    found = standing(paths)
    assert found is not None
    found.read(paths)
    return found


def test_entries_in_every_form_stand_until_they_go_or_are_marked(paths: SpoolPaths) -> None:
    for name in ("a", "b.zip", "c.asice", "d", "d.done", "e.zip", "e.zip.done"):
        (paths.inbound / name).touch()
    look = seen(paths)
    assert [look.has_untaken(n) for n in "abcdef"] == [True, True, True, False, False, False]


def test_a_very_full_folder_is_asked_by_name(
    paths: SpoolPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbound, "MOST_NAMES", 3)
    for name in ("a", "b"):
        (paths.inbound / name).touch()
    assert seen(paths).has_untaken("a")
    (paths.inbound / "c").touch()
    assert not seen(paths).has_untaken("a")


def test_a_change_shows_and_a_recent_time_is_not_trusted(paths: SpoolPaths) -> None:
    (paths.inbound / "a").touch()
    old = time.time() - 60
    os.utime(paths.inbound, (old, old))
    first = seen(paths).without_names()
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
