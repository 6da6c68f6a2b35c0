"""One point: a fault at one step of one node in one scene, and how it ended.

A point is written as text, so that a failing one can be replayed:
  kill:<scene>:<role>:<n>             killed at the n-th moment (before and after steps count)
  kill:<scene>:<role>:<n>+<m>         and again at the m-th moment of its recovery
  fail:<scene>:<role>:<n>:<ERRNO>:once          the n-th step fails
  fail:<scene>:<role>:<n>:<ERRNO>:sticky        it and all later ones, until healed while it runs
  fail:<scene>:<role>:<n>:<ERRNO>:restart       the same, healed by a restart
  cut:<scene>:<role>:<n>:<model>:<seed>         the power goes at the n-th moment
"""

from __future__ import annotations

import errno
import gc
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from faults.disk import Disk
from faults.driver import Plan, SameProcess, World
from faults.judge import Judgement, judge
from faults.scenes import SCENES, CaseSoftware, prepared
from faults.world import ROLES, Ground, fast_folder, make_ground

ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EMFILE", "EROFS")
_NODES = {role: name for name, role in ROLES.items()}


@dataclass(slots=True)
class Ended:
    """How a point ended. fired: the step where the fault happened; empty if it never did. missed: how
    many of the point's faults never happened: it says nothing then, however well it ended.
    """

    point: str
    judgement: Judgement
    fired: str = ""
    missed: int = 0
    deaths: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return self.judgement.is_good

    def __str__(self) -> str:
        lines = [f"{self.point}  at: {self.fired}", f"  {self.judgement}"]
        if self.missed:
            lines.append(f"  {self.missed} of its faults never happened: it tried nothing")
        lines += [f"  died: {d}" for d in self.deaths]
        lines += [f"  the cut took: {what}" for what in self.lost]
        lines.append(f"  replay: ./dev chaos-point {self.point}")
        return "\n".join(lines)


class Range:
    """A warm province to copy for every point. Use as a context manager."""

    def __enter__(self) -> Range:
        self.root = fast_folder()
        self.base = make_ground(self.root / "base")
        warm = SameProcess(self.base.copy(self.root / "warm"))
        for name in ("plain", "folder"):
            me = CaseSoftware(warm)
            for _ in SCENES[name](me):
                me.settle()
        warm.close()
        gc.collect()
        gc.freeze()
        self._number = 0
        self._steps: dict[tuple[str, str], dict[str, list[int]]] = {}
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.root, ignore_errors=True)

    def fresh(self) -> Ground:
        self._number += 1
        return self.base.copy(self.root / f"g{self._number}")

    def count(self, scene: str, plans: dict[str, Plan] | None = None) -> dict[str, list[int]]:
        """Moments of each node's processes in a life with these plans: role → one per process."""
        world = World(prepared(scene, self.fresh()), plans or {})
        try:
            _play(scene, world)
            return {ROLES[name]: [c.steps for c in counts] for name, counts in world.counts.items()}
        finally:
            world.close()
            shutil.rmtree(world.ground.root, ignore_errors=True)

    def steps(self, scene: str, role: str, *, error: str = "") -> int:
        """How many moments (or, with an error, steps that can fail) a node's life has."""
        if (scene, error) not in self._steps:
            plan = Plan(error=getattr(errno, error)) if error else Plan()
            self._steps[scene, error] = self.count(scene, dict.fromkeys(ROLES, plan))
        return self._steps[scene, error][role][0]

    def trace(
        self, scene: str, role: str, *, stand_in: Callable[[], None] | None = None
    ) -> list[str]:
        """The steps of a node in words."""
        world = World(prepared(scene, self.fresh()), {}, keep_trace=True, stand_in=stand_in)
        try:
            _play(scene, world)
            return world.counts[_NODES[role]][0].trace
        finally:
            world.close()
            shutil.rmtree(world.ground.root, ignore_errors=True)

    def run(
        self, point: str, *, stand_in: Callable[[], None] | None = None, keep: bool = False
    ) -> Ended:
        """Live through one point and judge it."""
        what, scene, role, where, *rest = point.split(":")
        node = _NODES[role]
        first, _, second = where.partition("+")
        again: dict[str, Plan] = {}
        if what == "fail":
            plan = Plan(int(first), getattr(errno, rest[0]), sticky=rest[1] != "once")
        else:
            plan = Plan(int(first), disk=what == "cut")
            if second:
                again = {node: Plan(int(second))}
        world = World(prepared(scene, self.fresh()), {node: plan}, again, stand_in=stand_in)
        taken: list[str] = []
        if what == "cut":
            world.cut = _cutter(rest[0], int(rest[1]), taken)
        try:
            if plan.sticky:
                world.heals = (node, rest[1] == "restart")
            me = _play(scene, world)
            world.close()
            rules = list(world.broken_rules)
            rules += [
                f"a loop let through: {d}"
                for d in world.deaths
                if "in turn" in d and "Stopped" not in d
            ]
            fired = [c.fired for c in world.counts[node] if c.fired]
            return Ended(
                point, judge(world.ground, me.history, rules=rules), fired[0] if fired else "",
                1 + len(again) - len(fired), world.deaths, taken,
            )  # fmt: skip
        finally:
            if keep:
                print(f"kept: {world.ground.root}")
            else:
                shutil.rmtree(world.ground.root, ignore_errors=True)


def _play(scene: str, world: World) -> CaseSoftware:
    me = CaseSoftware(world)
    for _ in SCENES[scene](me):
        me.settle()
    return me


def _cutter(model: str, seed: int, taken: list[str]) -> Callable[[Disk], None]:
    def cut(disk: Disk) -> None:
        taken.extend(disk.cut(model, random.Random(seed)))

    return cut


def roots() -> list[Path]:
    """Left-over folders of ranges that were killed themselves."""
    return sorted(
        Path(os.environ.get("FRONTGATE_FAULTS_DIR", "/dev/shm")).glob("frontgate-faults-*")
    )
