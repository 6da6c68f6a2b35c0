"""What wakes the hub's intakes: whole uploads, of their size class, and nothing else."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from frontgate import clock
from frontgate.hub.mailboxes import LARGE_UPLOAD_BYTES, Mailboxes
from frontgate.hub.uploads import FULL_LOOK_S, Uploads, UploadWatch
from frontgate.model.unit import Directory, Unit

ONE, TWO = "5201021100X", "52010221005"


def name(n: int) -> str:
    return f"{n:016d}-{'a' * 64}.bundle"


class Place:
    """Two mailboxes, watched."""

    def __init__(self, root: Path) -> None:
        self.units = {code: Unit(code, code, code) for code in (ONE, TWO)}
        self.directory = Directory(1, dict(self.units))
        self.boxes = Mailboxes(root, root / ".staging", lambda: self.directory, None)
        self.woken: list[bool] = []
        self.watch = UploadWatch(self.boxes, self.woken.append)
        self.small = Uploads(self.boxes, self.watch, is_large=False)
        self.large = Uploads(self.boxes, self.watch, is_large=True)
        for code in (ONE, TWO):
            for folder in ("to-hub", "from-hub"):
                (root / f"u{code.lower()}" / folder).mkdir(parents=True)
        self.to_hub = root / f"u{ONE.lower()}" / "to-hub"

    def waits(self, uploads: Uploads) -> list[str]:
        """Accounts that are looked at, and what is found there."""
        return [f"{box.unit} {box.next_upload() or '-'}" for box in uploads.all()]

    def part(self, n: int, size_bytes: int = 1) -> Path:
        path = self.to_hub / f".{name(n)}.part"
        path.touch()
        os.truncate(path, size_bytes)
        return path


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    made.watch.start()
    yield made
    made.watch.stop()


@pytest.fixture
def quiet(place: Place) -> Place:
    """Everything was looked at once and found empty."""
    assert place.waits(place.small) == place.waits(place.large) == [f"{ONE} -", f"{TWO} -"]
    assert place.waits(place.small) == place.waits(place.large) == []
    place.woken.clear()
    return place


def comes(test: Callable[[], object]) -> bool:
    end = time.monotonic() + 30
    while not test() and time.monotonic() < end:
        time.sleep(0.005)
    return bool(test())


def test_an_upload_that_became_whole_wakes_its_lane_and_shows_its_mailbox(quiet: Place) -> None:
    quiet.part(1).rename(quiet.to_hub / name(1))
    assert comes(lambda: quiet.woken)
    assert quiet.woken == [False]
    assert quiet.waits(quiet.small) == [f"{ONE} {name(1)}"]
    assert quiet.waits(quiet.large) == []


def test_a_name_made_by_a_link_counts_as_well(quiet: Place) -> None:
    os.link(quiet.part(1), quiet.to_hub / name(1))
    assert comes(lambda: quiet.woken)
    assert quiet.waits(quiet.small) == [f"{ONE} {name(1)}"]


def test_a_large_upload_wakes_the_other_lane_alone(quiet: Place) -> None:
    quiet.part(1, LARGE_UPLOAD_BYTES + 1).rename(quiet.to_hub / name(1))
    assert comes(lambda: quiet.woken)
    assert quiet.woken == [True]
    assert quiet.waits(quiet.small) == []
    assert quiet.waits(quiet.large) == [f"{ONE} {name(1)}"]


def test_parts_and_what_the_hub_places_wake_nobody(quiet: Place) -> None:
    quiet.part(1)
    (quiet.to_hub.parent / "from-hub" / name(7)).touch()
    (quiet.to_hub / name(2)).touch()
    assert comes(lambda: quiet.woken)
    assert quiet.woken == [False], "of three names only the whole upload's"


def test_a_mailbox_is_looked_at_until_it_is_empty(quiet: Place) -> None:
    for n in (1, 2):
        quiet.part(n).rename(quiet.to_hub / name(n))
    assert comes(lambda: len(quiet.woken) == 2)
    assert quiet.waits(quiet.small) == [f"{ONE} {name(1)}"]
    (quiet.to_hub / name(1)).unlink()
    assert quiet.waits(quiet.small) == [f"{ONE} {name(2)}"]
    (quiet.to_hub / name(2)).unlink()
    assert quiet.waits(quiet.small) == [f"{ONE} -"]
    assert quiet.waits(quiet.small) == []


def test_what_was_passed_over_is_looked_at_again(quiet: Place) -> None:
    quiet.part(1).rename(quiet.to_hub / name(1))
    assert comes(lambda: quiet.woken)
    assert [box.next_upload({name(1)}) for box in quiet.small.all()] == [None]
    assert quiet.waits(quiet.small) == [f"{ONE} {name(1)}"]


def test_lost_events_have_everything_looked_at(quiet: Place) -> None:
    quiet.watch.overflowed()
    assert quiet.woken == [False, True]
    assert quiet.waits(quiet.small) == quiet.waits(quiet.large) == [f"{ONE} -", f"{TWO} -"]


def test_everything_is_looked_at_now_and_then_whatever_was_told(quiet: Place) -> None:
    later = clock.monotonic() + FULL_LOOK_S + 1
    clock.use(clock.now, lambda: later)
    try:
        assert quiet.waits(quiet.small) == [f"{ONE} -", f"{TWO} -"]
    finally:
        clock.use(None, None)


def test_a_folder_that_is_replaced_is_watched_again(quiet: Place) -> None:
    quiet.to_hub.rename(quiet.to_hub.with_name("old"))
    os.rmdir(quiet.to_hub.with_name("old"))
    assert comes(lambda: not quiet.watch.is_watched(f"u{ONE.lower()}"))
    assert quiet.waits(quiet.small)[0].startswith(ONE), "unwatched: looked at each time"
    quiet.to_hub.mkdir()
    quiet.watch.turn()
    assert quiet.watch.is_watched(f"u{ONE.lower()}")
    quiet.woken.clear()
    quiet.part(1).rename(quiet.to_hub / name(1))
    assert comes(lambda: quiet.woken)
    assert f"{ONE} {name(1)}" in quiet.waits(quiet.small)


def test_without_a_watch_every_mailbox_is_looked_at_each_time(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for _ in range(3):
        assert place.waits(place.small) == [f"{ONE} -", f"{TWO} -"]
