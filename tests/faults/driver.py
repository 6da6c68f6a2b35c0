"""Nodes as processes that take turns on command, forked from this one, which is warm.

A node that dies is started again at once, as systemd would. What a fault does is decided by a `Plan`
inside the node's process: die or fail at the n-th durable step.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import pickle
import signal
import struct
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import apsw

from faults.disk import Disk
from faults.world import NAMES, Ground, Node, quiet, set_clock
from frontgate import durable

_COMMIT_ERRORS = {
    errno.EIO: apsw.IOError,
    errno.ENOSPC: apsw.FullError,
    errno.EMFILE: apsw.CantOpenError,
    errno.EROFS: apsw.ReadOnlyError,
    errno.EDQUOT: apsw.FullError,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """at: the step, counted from 1, where it happens; 0: never. error: raised there; 0: the process
    is killed. sticky: every later step fails too. disk: what a power cut would leave is followed, and
    told when the process dies.
    """

    at: int = 0
    error: int = 0
    sticky: bool = False
    disk: bool = False


@dataclass(slots=True)
class Count:
    """What a process has seen: its steps so far, commits, and files whose fsync failed."""

    steps: int = 0
    commits: int = 0
    fired: str = ""
    disk: Disk | None = None
    trace: list[str] = field(default_factory=list)
    broken_rules: list[str] = field(default_factory=list)


class Probe:
    """`durable.probe` of a node's process. last_words: tells the count before the process is killed."""

    def __init__(self, plan: Plan, count: Count, *, keep_trace: bool) -> None:
        self.plan = plan
        self.count = count
        self.last_words: Callable[[], None] = lambda: None
        self._keep_trace = keep_trace
        self._failed: set[tuple[int, int]] = set()

    def __call__(self, moment: str, name: str, places: tuple[Any, ...]) -> None:
        count, plan = self.count, self.plan
        if name == "commit" and moment == "after":
            count.commits += 1
        if name == "fsync":
            self._fsync_rule(moment, places)
        if count.disk is not None:
            count.disk.follow(moment, name, places)
        if moment == "after" and plan.error:
            return  # a call fails before it is made, or it does not
        count.steps += 1
        if self._keep_trace:
            count.trace.append(f"{moment} {name} {_shown(places)}")
        if not plan.at or count.steps < plan.at or (count.steps > plan.at and not plan.sticky):
            return
        count.fired = count.fired or f"{moment} {name} {_shown(places)}"
        if not plan.error:
            self.last_words()
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "fsync":
            info = os.fstat(places[0])
            self._failed.add((info.st_dev, info.st_ino))
        if name == "commit":
            raise _COMMIT_ERRORS[plan.error](f"injected {errno.errorcode[plan.error]}")
        raise OSError(plan.error, f"injected: {os.strerror(plan.error)}")

    def _fsync_rule(self, moment: str, places: tuple[Any, ...]) -> None:
        """An fsync error is final: no second one of that file may count as success."""
        if moment == "after" and self._failed:
            info = os.fstat(places[0])
            if (info.st_dev, info.st_ino) in self._failed:
                self.count.broken_rules.append(f"fsync again: {_shown(places)}")


def _shown(places: tuple[Any, ...]) -> str:
    words = []
    for place in places:
        if isinstance(place, int):
            with contextlib.suppress(OSError):
                place = os.readlink(f"/proc/self/fd/{place}")
        words.append("/".join(os.fsdecode(place).split("/")[-3:]))
    return " → ".join(words)


@dataclass(slots=True)
class Reply:
    """count: of the process. troubles: codes by loop. error: what ended it, if it ended itself.
    is_dying: it is killed right after this.
    """

    count: Count
    troubles: dict[str, str]
    error: str = ""
    is_dying: bool = False


class Process:
    """One node's process. `ask` returns None where it died."""

    def __init__(
        self, ground: Ground, name: str, plan: Plan, *, offset_s: float, keep_trace: bool = False,
        stand_in: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        to_child, from_parent = os.pipe()
        to_parent, from_child = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            with contextlib.suppress(BaseException):
                os.close(from_parent)
                os.close(to_parent)
                _serve(
                    ground, name, Probe(plan, Count(), keep_trace=keep_trace), to_child, from_child,
                    offset_s, stand_in,
                )  # fmt: skip
            os._exit(0)
        os.close(to_child)
        os.close(from_child)
        self._in, self._out = from_parent, to_parent

    def ask(self, *command: object) -> Reply | None:
        try:
            _send(self._in, command)
        except BrokenPipeError:
            return None
        reply: Reply | None = _receive(self._out)
        return reply

    def end(self) -> None:
        """Kill it, if it lives, and clear it away."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._in)
        os.close(self._out)


def _send(fd: int, value: object) -> None:
    data = pickle.dumps(value)
    view = memoryview(struct.pack("<I", len(data)) + data)
    while view:
        view = view[os.write(fd, view) :]


def _receive(fd: int) -> Any:
    head = _read(fd, 4)
    if head is None:
        return None
    data = _read(fd, struct.unpack("<I", head)[0])
    return None if data is None else pickle.loads(data)


def _read(fd: int, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        chunk = os.read(fd, size - len(data))
        if not chunk:
            return None
        data += chunk
    return data


def _serve(
    ground: Ground, name: str, probe: Probe, commands: int, answers: int, offset_s: float,
    stand_in: Callable[[], None] | None,
) -> None:  # fmt: skip
    """A node's life: made at the first command, then one turn a command."""
    quiet()
    gc.disable()  # a short life, and what was inherited stays shared
    if stand_in is not None:
        stand_in()
    if probe.plan.disk:
        probe.count.disk = Disk(ground.home(name))
    probe.last_words = lambda: _send(answers, Reply(probe.count, {}, is_dying=True))
    node: Node | None = None
    while True:
        command = _receive(commands)
        if command is None:
            os._exit(0)
        error = ""
        try:
            durable.probe = probe
            if command[0] == "hint" and node is not None:
                node.hint(command[1])
            elif command[0] == "heal":
                probe.plan = Plan()
            elif command[0] == "turn":
                set_clock(offset_s if len(command) < 2 else command[1])
                if node is None:
                    node = Node(ground, name)
                node.turn()
        except BaseException:
            error = traceback.format_exc()
        durable.probe = None
        _send(answers, Reply(probe.count, node.troubles if node and not error else {}, error))
        if error:
            os._exit(1)


class World:
    """All nodes of a province, turned one after another.

    plans: what happens to a node's first process. again: to the one that is started after it.
    """

    SICK_ROUNDS = 4
    JUMP_S = 40.0
    """When nothing happens the clock is put forward by this: past every wait of the settings."""

    def __init__(
        self, ground: Ground, plans: dict[str, Plan], again: dict[str, Plan] | None = None, *,
        keep_trace: bool = False, stand_in: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self.ground = ground
        self._again = dict(again or {})
        self._keep_trace = keep_trace
        self._stand_in = stand_in
        self.offset_s = 0.0
        self.cut: Callable[[Disk], None] | None = None
        self.heals: tuple[str, bool] | None = None
        self._sick_rounds = 0
        self.deaths: list[str] = []
        self.counts: dict[str, list[Count]] = {name: [] for name in NAMES}
        self.broken_rules: list[str] = []
        self._processes = {name: self._start(name, plans.get(name, Plan())) for name in NAMES}

    def _start(self, name: str, plan: Plan) -> Process:
        self.counts[name].append(Count())
        return Process(
            self.ground, name, plan, offset_s=self.offset_s, keep_trace=self._keep_trace,
            stand_in=self._stand_in,
        )  # fmt: skip

    def turn(self, name: str) -> bool:
        """One turn of a node. Returns: whether it committed anything, met the fault, or died and was
        started again.
        """
        process = self._processes[name]
        before, was_sound = self.counts[name][-1].commits, not self.counts[name][-1].fired
        reply = process.ask("turn", self.offset_s)
        assert reply is not None, f"{name} vanished"
        self.counts[name][-1] = reply.count
        if reply.is_dying or reply.error:
            self.deaths.append(reply.error or reply.count.fired)
            self.restart(name)
            return True
        return reply.count.commits > before or (was_sound and bool(reply.count.fired))

    def restart(self, name: str) -> None:
        """Start a node anew, as after a kill; faults that were sticky are healed."""
        self.broken_rules += self.counts[name][-1].broken_rules
        self._processes[name].end()
        disk = self.counts[name][-1].disk
        if disk is not None and self.cut is not None:
            self.cut(disk)
        self._processes[name] = self._start(name, self._again.pop(name, Plan()))

    def drop_hint(self, name: str, entry: str) -> None:
        self._processes[name].ask("hint", entry)

    def settle(self, most_rounds: int = 60) -> bool:
        """Turn all nodes until nothing happens even as time goes by. Returns: whether that came."""
        idle = 0
        for _ in range(most_rounds):
            moved = [self.turn(name) for name in NAMES]
            moved.append(self.ground.device is not None and self.ground.device.carry())
            if self._heal_in_time():
                idle = 0
                continue
            if any(moved):
                idle = 0
                continue
            idle += 1
            if idle > 1:
                return True
            self.offset_s += self.JUMP_S
        return False

    def _heal_in_time(self) -> bool:
        """A fault that stays goes after some rounds: while the node runs, or with a restart."""
        if self.heals is None or not self.counts[self.heals[0]][-1].fired:
            return False
        self._sick_rounds += 1
        if self._sick_rounds < self.SICK_ROUNDS:
            self.offset_s += self.JUMP_S
            return True
        (name, by_restart), self.heals = self.heals, None
        if by_restart:
            self.restart(name)
        else:
            self._processes[name].ask("heal")
        return True

    def close(self) -> None:
        for name, process in self._processes.items():
            self.broken_rules += self.counts[name][-1].broken_rules
            process.end()


class SameProcess:
    """A playground in this very process, without faults: it loads and compiles what every node needs,
    so that the processes forked later find it.
    """

    def __init__(self, ground: Ground) -> None:
        quiet()
        set_clock(0.0)
        self.ground = ground
        self._nodes = {name: Node(ground, name) for name in NAMES}

    def settle(self, *, in_time: bool = True) -> bool:
        """Some rounds; in_time: then some more after every wait of the settings is over."""
        for offset_s in (0.0, World.JUMP_S, 2 * World.JUMP_S) if in_time else (0.0,):
            set_clock(offset_s)
            for _ in range(6):
                for node in self._nodes.values():
                    node.turn()
                if self.ground.device is not None:
                    self.ground.device.carry()
        return True

    def drop_hint(self, name: str, entry: str) -> None:
        self._nodes[name].hint(entry)

    def close(self) -> None:
        for node in self._nodes.values():
            node.close()
        set_clock(0.0)
