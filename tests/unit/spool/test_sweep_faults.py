"""A disk that refuses in the middle of a sweep: what was claimed is not forgotten."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from frontgate import durable
from frontgate.errors import SpoolError
from frontgate.spool.layout import SpoolPaths, prepare
from frontgate.spool.sweep import TRIES, Claim, Sweeper


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[SpoolPaths]:
    made = SpoolPaths(tmp_path / "spool")
    prepare(made)
    for n in range(4):
        (made.outbound / f"d{n}.xml").write_text("<a></a>")
    yield made
    durable.probe = None


def refuse(paths: SpoolPaths, name: str, *, times: int) -> None:
    """The rename of one drop fails so often."""
    left = [times]

    def probe(moment: str, step: str, places: tuple[object, ...]) -> None:
        is_it = step == "rename" and os.fsdecode(places[0]).endswith(name)  # type: ignore[arg-type]
        if moment == "before" and is_it and left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "injected")

    durable.probe = probe


def names(found: list[object]) -> list[str]:
    return [item.name.decode() for item in found if isinstance(item, Claim)]


def test_what_was_claimed_before_the_fault_is_returned(paths: SpoolPaths) -> None:
    sweeper = Sweeper(paths, settle_s=0)
    refuse(paths, "d2.xml", times=1)
    hints = [(f"d{n}.xml".encode(), True) for n in range(4)]
    first = sweeper.sweep(hints)
    assert names(first) == ["d0.xml", "d1.xml"]
    assert names(sweeper.sweep([])) == ["d2.xml", "d3.xml"], "it keeps its turn"
    assert len(list(paths.claims.iterdir())) == 4
    assert not list(paths.outbound.iterdir())


def test_one_that_always_fails_holds_up_no_other(paths: SpoolPaths) -> None:
    sweeper = Sweeper(paths, settle_s=0)
    refuse(paths, "d0.xml", times=1000)
    sweeper.start_scan()
    for _ in range(TRIES):
        with pytest.raises(SpoolError):
            sweeper.sweep([])
    assert names(sweeper.sweep([])) == ["d1.xml", "d2.xml", "d3.xml"]
    with pytest.raises(SpoolError):
        sweeper.sweep([])
    assert len(list(paths.claims.iterdir())) == 3, "no empty claim is left"


def test_a_fault_of_the_whole_spool_costs_no_entry_its_turn(paths: SpoolPaths) -> None:
    """However long it lasts: the folder of a claim has nothing to do with what is to be claimed."""
    sick = True

    def probe(moment: str, step: str, places: tuple[object, ...]) -> None:
        if sick and moment == "before" and step == "mkdir":
            raise OSError(errno.EMFILE, "injected")

    durable.probe = probe
    sweeper = Sweeper(paths, settle_s=0)
    hints = [(f"d{n}.xml".encode(), True) for n in range(4)]
    for _ in range(2 * TRIES):
        with pytest.raises(SpoolError):
            sweeper.sweep(hints)
        hints = []
    sick = False
    assert names(sweeper.sweep([])) == ["d0.xml", "d1.xml", "d2.xml", "d3.xml"]


@pytest.mark.parametrize("moved", [True, False], ids=["renamed", "copied"])
def test_what_a_lasting_fault_leaves_goes_before_the_next_claim(
    paths: SpoolPaths, moved: bool
) -> None:
    """Neither an empty folder nor a drop under a name that nobody looks at."""
    for n in (1, 2, 3):
        (paths.outbound / f"d{n}.xml").unlink()
    sick = True

    def probe(moment: str, step: str, places: tuple[object, ...]) -> None:
        if moment != "before":
            return
        names_ = [os.fsdecode(p) for p in places if not isinstance(p, int)]  # type: ignore[arg-type]
        if step == "rename" and names_[0].endswith("outbound/d0.xml") and "claims" in names_[1]:
            if not moved:
                raise OSError(errno.EXDEV, "another mount")
            if sick:
                raise OSError(errno.EROFS, "injected")
        is_back = step == "rename" and names_[-1].endswith("outbound/d0.xml")
        is_origin = step == "unlink" and names_[-1].endswith("-origin")
        if sick and (step == "rmdir" or is_back or is_origin):
            raise OSError(errno.EROFS, "injected")

    durable.probe = probe
    sweeper = Sweeper(paths, settle_s=0)
    sweeper.start_scan()
    with pytest.raises(SpoolError):
        sweeper.sweep([])
    assert len(list(paths.claims.iterdir())) == 1
    sick = False
    found = names(sweeper.sweep([]))
    sweeper.start_scan()
    found += names(sweeper.sweep([]))
    assert found == ["d0.xml"]
    assert len(list(paths.claims.iterdir())) == 1, "the claim alone"
    assert not list(paths.outbound.iterdir())
