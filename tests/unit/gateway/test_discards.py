"""Claims whose outcome the journal holds are removed beside the intake."""

from pathlib import Path
from typing import Any

import pytest

from frontgate.gateway import discards as discards_module
from frontgate.gateway.discards import MOST_WAITING, Discards
from frontgate.gateway.stations import TROUBLE_LOOK_S, Post, Posts
from frontgate.spool.claiming import Claim
from frontgate.spool.layout import SpoolPaths


class Guard:
    def check(self) -> None:
        return None


def post(key: str, folder: Path) -> Post:
    paths = SpoolPaths(folder / key)
    paths.claims.mkdir(parents=True)
    nothing: Any = None
    guard: Any = Guard()
    return Post(key, nothing, (), paths, nothing, guard)


def claim(spool: Post, name: str) -> Claim:
    path = spool.paths.claims / name / "a.xml"
    path.parent.mkdir()
    path.write_text("x")
    return Claim(name, path, b"a.xml", "xml", 0)


@pytest.fixture
def spools(tmp_path: Path) -> tuple[Post, Post]:
    return post("one", tmp_path), post("two", tmp_path)


def left(spool: Post) -> list[str]:
    return sorted(p.name for p in spool.paths.claims.iterdir())


def test_a_claim_stays_until_the_turn_and_is_gone_after_it(spools: tuple[Post, Post]) -> None:
    one, _ = spools
    woken: list[bool] = []
    discards = Discards(Posts(spools), lambda: woken.append(True))
    discards.discard(one, claim(one, "c1"))
    assert woken == [True]
    assert left(one) == ["c1"]
    assert discards.turn() is None
    assert left(one) == []


def test_a_spool_that_fails_is_tried_again_and_stops_no_other(
    spools: tuple[Post, Post], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = spools
    discards = Discards(Posts(spools), lambda: None)
    for spool in spools:
        for name in ("c1", "c2"):
            discards.discard(spool, claim(spool, name))
    real = discards_module.discard

    def failing(paths: SpoolPaths, taken: Claim) -> None:
        if paths == one.paths and taken.claim_id == "c2":
            raise OSError(5, "the disk")
        real(paths, taken)

    monkeypatch.setattr(discards_module, "discard", failing)
    assert discards.turn() == TROUBLE_LOOK_S
    assert left(one) == ["c2"]
    assert left(two) == []
    assert "discard" in one.troubles
    monkeypatch.setattr(discards_module, "discard", real)
    assert discards.turn() is None
    assert left(one) == []
    assert one.troubles == {}


def test_so_many_wait_and_no_more(spools: tuple[Post, Post]) -> None:
    one, _ = spools
    discards = Discards(Posts(spools), lambda: None)
    for n in range(MOST_WAITING):
        discards.discard(one, Claim(f"{n}", one.paths.claims / f"{n}" / "a.xml", b"a", "xml", 0))
    discards.discard(one, claim(one, "late"))
    assert left(one) == []
