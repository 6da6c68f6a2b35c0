"""A fault at every durable step of one message's life, at every node and in recovery itself.

The long form takes all points, a plain run a share, spread evenly and moved by FRONTGATE_SEED. A failing point prints the command that replays it.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos_table import ROWS, begin, is_long, table
from faults.disk import MODELS
from faults.points import ERRORS, Ended, Range
from faults.scenes import SCENES
from faults.world import ROLES

SEED = int(os.environ.get("FRONTGATE_SEED", "20261125"))
QUICK_KILLS, QUICK_FAILURES, QUICK_CUTS = 2, 2, 1
"""Points of each scene and role in the quick form; of the ferry, whose lives are long, one of each."""
PLACES = [
    (scene, role)
    for scene in SCENES
    for role in ROLES.values()
    if (scene, role) != ("ferry", "receiver")  # no device stands there
]


@pytest.fixture(scope="module")
def range_() -> Iterator[Range]:
    with Range() as made:
        yield made


def chosen(count: int, share: int, seed: str) -> list[int]:
    """Numbers from 1 to `count`: all in the long form, else `share` of them, evenly spread."""
    if is_long() or count <= share:
        return list(range(1, count + 1))
    share = 1 if "ferry" in seed else share
    start = random.Random(f"{SEED}{seed}").random()
    return sorted({1 + int((n + start) * count / share) % count for n in range(share)})


def run_for_sure(range_: Range, point: str) -> Ended:
    """Run a point; where its fault came too late for this life, an earlier one in its place: no two
    lives have quite as many steps.
    """
    ended = range_.run(point)
    for _ in range(4):
        if not ended.missed or not ended.is_good:
            break
        what, scene, role, where, *rest = point.split(":")
        first, plus, second = where.partition("+")
        earlier = f"{max(1, int(first) * 3 // 4)}{plus}{second}"
        point = ":".join((what, scene, role, earlier, *rest))
        ended = range_.run(point)
    return ended


def try_points(range_: Range, section: str, fault: str, points: list[str]) -> None:
    """Run the points, add their row, and tell every one that failed, or whose fault never happened."""
    row, began = begin(section, fault), time.monotonic()
    bad: list[Ended] = []
    for point in points:
        ended = run_for_sure(range_, point)
        if not ended.is_good or ended.missed:
            bad.append(ended)
    row.end(
        tried=len(points) - sum(e.missed > 0 for e in bad),
        lost=sum(len(e.judgement.lost) for e in bad), twice=sum(len(e.judgement.twice) for e in bad),
        silent=sum(len(e.judgement.silent) for e in bad), broken=sum(bool(e.judgement.broken or e.missed) for e in bad),
        seconds=time.monotonic() - began, replay=[f"./dev chaos-point {e.point}  # {' '.join(str(e.judgement).split())[:600]}" for e in bad],
    )  # fmt: skip
    assert not bad, f"{len(bad)} of {len(points)} failed\n" + "\n".join(map(str, bad[:5]))


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("scene", "role"), PLACES)
def test_killed_at_every_step(range_: Range, scene: str, role: str) -> None:
    count = range_.steps(scene, role)
    numbers = chosen(count, QUICK_KILLS, f"kill{scene}{role}")
    points = [f"kill:{scene}:{role}:{n}" for n in numbers]
    try_points(range_, "kill", f"kill -9 at a step of the {role}", points)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("scene", "role"), PLACES)
def test_killed_again_while_it_recovers(range_: Range, scene: str, role: str) -> None:
    """From points all over a life: killed, and killed again at the steps of the start that follows."""
    count = range_.steps(scene, role)
    luck = random.Random(f"{SEED}again{scene}{role}")
    firsts = sorted(luck.sample(range(1, count + 1), 12 if is_long() else 1))
    points = []
    for first in firsts:
        seconds = range(1, 25) if is_long() else luck.sample(range(1, 25), 1)
        points += [f"kill:{scene}:{role}:{first}+{second}" for second in seconds]
    try_points(range_, "kill", "kill -9 in recovery as well", points)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("scene", "role"), PLACES)
def test_every_call_fails_once_or_for_good(range_: Range, scene: str, role: str) -> None:
    count = range_.steps(scene, role, error="EIO")
    numbers = chosen(count, QUICK_FAILURES, f"fail{scene}{role}")
    luck = random.Random(f"{SEED}fail{scene}{role}")
    points = []
    for n in numbers:
        ways = ("once", luck.choice(("sticky", "restart")))
        for way in ways if is_long() else (luck.choice(ways),):
            points.append(f"fail:{scene}:{role}:{n}:{luck.choice(ERRORS)}:{way}")
    try_points(range_, "failing call", f"{', '.join(ERRORS)}, once or for good", points)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("scene", "role"), PLACES)
def test_the_power_goes_at_every_step(range_: Range, scene: str, role: str) -> None:
    count = range_.steps(scene, role)
    numbers = chosen(count, QUICK_CUTS, f"cut{scene}{role}")
    luck = random.Random(f"{SEED}cut{scene}{role}")
    points = [
        f"cut:{scene}:{role}:{n}:{luck.choice(MODELS[:3])}:{luck.randrange(1 << 30)}"
        for n in numbers
    ]
    try_points(range_, "power cut", "unsynced names and bytes lost or reordered", points)


def test_a_fault_that_never_happens_is_not_counted_as_tried(
    range_: Range, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(ROWS, str(tmp_path / "rows"))
    with pytest.raises(AssertionError, match="never happened"):
        try_points(range_, "kill", "none", ["kill:plain:hub:100000"])
    text, is_good = table(tmp_path / "rows")
    assert not is_good
    assert "0 faults tried: lost=0 twice=0 silent=0 broken=1" in text
