"""One seed: a province, an hour of trouble, then peace, then the judgement.

`play(seed)` is all there is to it. What the seed draws: how dangerous each thing is, what the programs
drop and when, what operators do, which machines die and whose clocks jump. Afterwards nothing fails
any more, and within a bounded virtual time everything has to be settled.
"""

from __future__ import annotations

import gc
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from faults.gap import Device

from frontgate.errors import FrontgateError

from . import judge
from .province import (
    COURT,
    DETENTION,
    POLICE,
    PROCURATORATE,
    Province,
    shared_memory,
    template,
    use_small_packages,
)
from .software import Book, Software
from .world import Crashed, Dangers, World

TROUBLE_S = 60.0
NIGHT_S = 2 * 3600.0
"""Longer than anything half done may rest."""
PEACE_S = 600.0
"""Once faults stop, all must be settled within this (INV-13): overdue, back-off and a rescan."""


@dataclass
class History:
    """What became of one seed. findings: what is wrong with it; none is as it should be."""

    seed: int
    findings: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    settled_s: float = 0.0
    turns: int = 0
    drops: int = 0
    taken: int = 0


def dangers_of(seed: int) -> Dangers:
    """How bad this seed is: each danger is absent, rare or dense."""
    luck = random.Random(f"dangers {seed}")

    def one(*chances: float) -> float:
        return luck.choice(chances)

    return Dangers(
        overtake=one(0.0, 0.05, 0.3),
        crash=one(0.0, 0.001, 0.004, 0.01),
        disk=one(0.0, 0.002, 0.01),
        wire=one(0.0, 0.01, 0.05, 0.15),
        hint_lost=one(0.0, 0.1, 0.5),
    )


def play(
    seed: int,
    *,
    dangers: Dangers | None = None,
    keep: Path | None = None,
    is_told_all: bool = False,
    peace_s: float = PEACE_S,
    before: Callable[[World, Province], None] = lambda world, province: None,
) -> History:
    """Live through one seed. keep: a folder to leave its files in. before: may spoil something."""
    home = keep or Path(tempfile.mkdtemp(prefix=f"frontgate-seed-{seed}-", dir=shared_memory()))
    history = History(seed)
    world = World(seed, dangers or dangers_of(seed), is_told_all=is_told_all)
    template()
    use_small_packages(True)
    # What a killed process had in its buffers is written when the collector comes across them: at no
    # moment of the seed's own.
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        with world:
            _live(world, home, history, before, peace_s)
    finally:
        if was_collecting:
            gc.enable()
        use_small_packages(False)
        if keep is None:
            shutil.rmtree(home, ignore_errors=True)
    history.trace, history.counts, history.turns = world.trace, world.counts, world.turns
    return history


def _live(
    world: World,
    home: Path,
    history: History,
    before: Callable[[World, Province], None],
    peace_s: float,
) -> None:
    province = Province(world, home)
    book = Book()
    programs = {
        code: Software(world, province, code, book)
        for code in (POLICE, PROCURATORATE, COURT, DETENTION)
    }
    before(world, province)
    province.start()
    _plan_drops(world, programs)
    _plan_taking(world, programs)
    _plan_fate(world, province)
    _plan_operators(world, province)
    if province.device is not None:
        _plan_carrying(world, province.device)
    world.run(TROUBLE_S)

    world.tell("peace")
    world.dangers = Dangers()
    for node in world.nodes.values():
        node.skew = timedelta()
        node.disk_until = -1.0
    for wire in province.wires.values():
        wire.down_until = -1.0
    if province.device is not None:
        province.device.be_honest()
    peace = world.time
    for program in programs.values():
        program.is_lazy = False
    world.run(world.time + 20.0)
    _release_all(world, province)

    def settled() -> bool:
        with world.as_node(None):
            for program in programs.values():
                program.take(all_of_it=True)
        return not judge.open_things(province)

    for again in (False, True):
        if not world.run(world.time + peace_s, settled):
            history.findings += [f"not settled: {what}" for what in judge.open_things(province)]
        if again:
            break
        history.settled_s = world.time - peace
        # Once more from the beginning, later: a start clears away what faults left, and changes nothing.
        for node in world.nodes.values():
            world.kill(node)
        world.time += NIGHT_S
    with world.as_node(None):
        history.findings += judge.judge(province, book)
    history.drops, history.taken = len(book.drops), len(book.taken)


def _plan_drops(world: World, programs: dict[str, Software]) -> None:
    luck = world.luck
    police = programs[POLICE]
    manners: list[tuple[float, str, Callable[[], None]]] = [
        (0.3, "single", lambda: police.single(urgency=luck.choice((1, 1, 2, 3)))),
        (0.2, "chain", lambda: police.chain(luck.randrange(2, 5))),
        (0.12, "several", police.several),
        (0.1, "request", police.request),
        (0.13, "bad", police.bad),
        (0.15, "again", police.again),
    ]
    for _ in range(luck.randrange(3, 9)):
        _, what, act = luck.choices(manners, [m[0] for m in manners])[0]
        world.at(luck.uniform(0.0, TROUBLE_S * 0.7), what, act)


def _plan_taking(world: World, programs: dict[str, Software]) -> None:
    for program in programs.values():
        program.is_lazy = world.luck.random() < 0.2

        def look(program: Software = program) -> None:
            program.take()
            world.at(
                world.luck.uniform(1.0, 8.0), f"look {program.unit[-4:]}", lambda: look(program)
            )

        world.at(world.luck.uniform(1.0, 8.0), f"look {program.unit[-4:]}", look)


def _plan_fate(world: World, province: Province) -> None:
    luck = world.luck
    nodes = list(world.nodes.values())
    for _ in range(luck.choice((0, 0, 1, 3))):
        node = luck.choice(nodes)
        world.at(luck.uniform(0, TROUBLE_S), f"kill {node.name}", lambda n=node: world.kill(n))
    for _ in range(luck.choice((0, 0, 1, 2))):
        wire = luck.choice(list(province.wires.values()))
        world.at(luck.uniform(0, TROUBLE_S), "cut", lambda w=wire: w.cut(luck.uniform(1.0, 30.0)))
    for _ in range(luck.choice((0, 0, 1, 3))):
        node = luck.choice(nodes)
        by = timedelta(seconds=luck.choice((-4000, -90, 90, 4000, 90_000, 7 * 86400, -90_000)))

        def jump(node=node, by=by) -> None:  # type: ignore[no-untyped-def]
            node.skew += by
            world.count("clock")
            world.tell(f"clock of {node.name} jumps by {by}")

        world.at(luck.uniform(0, TROUBLE_S), "clock", jump)


def _plan_carrying(world: World, device: Device) -> None:
    def carry() -> None:
        did = len(device.did)
        device.carry()
        for what in device.did[did:]:
            world.count(f"device {what}")
            world.tell(f"DEVICE {what}")
        world.at(world.luck.uniform(0.2, 4.0), "carry", carry)

    world.at(world.luck.uniform(0.2, 4.0), "carry", carry)


def _plan_operators(world: World, province: Province) -> None:
    luck = world.luck
    for _ in range(luck.choice((0, 0, 0, 2, 5))):
        world.at(luck.uniform(5.0, TROUBLE_S), "operator", lambda: _operate(world, province))


def _operate(world: World, province: Province) -> None:
    """An operator holds, releases, cancels or replays something, where the state allows it."""
    node = world.luck.choice([n for n in world.nodes.values() if n.is_up] or [province.hub])
    if not node.is_up or node.daemon is None:
        return
    if node.running:
        world.at(1.0, "operator", lambda: _operate(world, province))
        return
    event = world.luck.choice(("hold", "hold", "release", "cancel", "replay"))
    reader = node.daemon.journal.reader()
    rows = reader.all("SELECT id, state FROM transfer ORDER BY id")
    reader.close()
    wanted = {"hold": ("QUEUED",), "release": ("HELD",), "cancel": ("HELD", "QUEUED")}.get(
        event, ("FAILED", "CANCELLED", "UNCONFIRMED")
    )
    fitting = [int(i) for i, state in rows if state in wanted]
    if fitting:
        act(world, node.name, event, world.luck.choice(fitting))


def act(world: World, name: str, event: str, transfer: int) -> None:
    """One act of an operator, as by the control socket."""
    node = world.nodes[name]
    assert node.daemon is not None
    handlers = node.daemon.acts()
    told = {"actor": "sim", "reason": "simulated"}
    with world.as_node(node):
        try:
            if event == "replay":
                handlers["replay"]({"ids": [str(transfer)], **told})
            else:
                handlers["change"]({"id": str(transfer), "event": event, **told})
        except FrontgateError as error:
            world.tell(f"operator {event} {transfer}: {error.code}")
        except Crashed:
            node.is_dead = True
            world.revive(node)
        else:
            world.count("operator")
            world.tell(f"operator {event} {transfer}")


def _release_all(world: World, province: Province) -> None:
    for node in world.nodes.values():
        if not node.is_up or node.daemon is None:
            continue
        reader = node.daemon.journal.reader()
        rows = reader.all("SELECT id FROM transfer WHERE state = 'HELD'")
        reader.close()
        for (transfer,) in rows:
            act(world, node.name, "release", int(transfer))
