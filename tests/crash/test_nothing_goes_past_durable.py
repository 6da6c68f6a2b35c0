"""Every name that a node makes, moves or removes goes through `frontgate.durable`: else the faults
would not reach it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from faults.driver import SameProcess
from faults.scenes import SCENES, CaseSoftware, prepared
from faults.world import Ground, fast_folder, make_ground

from frontgate import durable

NAMES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
HARMLESS = (".bell", "control.sock", "journal.db.lock", "delivered.log")
"""A bell without content, a socket, an empty lock: nothing that could be lost. And a list that is a
projection, appended to and never synced (spool/ledger.py)."""


class Watch:
    """Listens to the interpreter's audit events; a hook stays for ever, so it can be silenced."""

    def __init__(self) -> None:
        self.root = ""
        self.past: list[str] = []
        self.steps = 0
        self._inside = False

    def probe(self, moment: str, step: str, places: tuple[Any, ...]) -> None:
        self._inside = moment == "before"
        self.steps += 1

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.root or event not in NAMES | {"open"}:
            return
        if self._inside and sys._getframe(1).f_code.co_filename == durable.__file__:
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & os.O_CREAT):
            return
        if isinstance(arguments[0], int):
            return
        path = os.fsdecode(arguments[0])
        frame = sys._getframe(1)
        while frame is not None and "/frontgate/" not in frame.f_code.co_filename:
            if "/tests/" in frame.f_code.co_filename:
                return  # case software's own doing
            frame = frame.f_back  # type: ignore[assignment]
        if frame is not None and not path.endswith(HARMLESS):
            self.past.append(f"{event} {path} ({frame.f_code.co_filename}:{frame.f_lineno})")


@pytest.fixture(scope="module")
def watch() -> Watch:
    made = Watch()
    sys.addaudithook(made.hook)
    return made


@pytest.fixture
def ground() -> Iterator[Ground]:
    root = fast_folder()
    yield make_ground(root / "base")
    shutil.rmtree(root)


@pytest.mark.parametrize("scene", SCENES)
def test_no_name_changes_past_the_seam(watch: Watch, ground: Ground, scene: str) -> None:
    world = SameProcess(prepared(scene, ground))
    me = CaseSoftware(world)
    watch.past.clear()
    watch.steps = 0
    durable.probe = watch.probe
    try:
        watch.root = str(ground.root)
        for _ in SCENES[scene](me):
            me.settle()
    finally:
        watch.root = ""
        durable.probe = None
        world.close()
    assert watch.steps > 100
    assert watch.past == []


def test_what_goes_past_it_is_noticed(watch: Watch, ground: Ground) -> None:
    """The watch itself: a rename of the program's own, made past the seam."""
    from frontgate.spool import reference

    durable.probe = watch.probe
    watch.past.clear()
    real = durable.rename
    try:
        durable.rename = os.rename  # type: ignore[assignment]
        watch.root = str(ground.root)
        paths = ground.inspected(settled=False)[0].spools[0].paths
        reference.publish_reference(paths, {"x.csv": b"1"}, "another version")
    finally:
        durable.rename = real
        watch.root = ""
        durable.probe = None
    assert any(line.startswith("os.rename") for line in watch.past)
