"""The simulated world: virtual time, nodes that live and die, and who does what next.

The nodes are the real `Gateway` and `Hub`; only their threads are missing. The world takes the turns
of their loops itself, in an order drawn from the seed. Where a real thread could be overtaken (at
each durable step outside a transaction, at each step on the wire) another loop, of the same node or
another, may take a turn in between. All luck comes from the seed, so a seed is one history.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock as LockType
from typing import Any

import apsw

from frontgate import clock, durable
from frontgate.errors import FrontgateError
from frontgate.gateway.daemon import Gateway
from frontgate.hub.daemon import Hub
from frontgate.pipeline.loop import Loop

START = datetime(2010, 3, 1, 8, 0, tzinfo=UTC)
"""Long before the real date: the times of real files lie in the future of this world, so none is old."""
DEEPEST = 2
"""Turns taken in the middle of another one, at most."""


class Crashed(BaseException):
    """The node is dead from here on: nothing of it may do anything more."""


@dataclass(slots=True)
class Dangers:
    """Chances, per step where not said otherwise. All zero: nothing ever goes wrong."""

    overtake: float = 0.0
    crash: float = 0.0
    disk: float = 0.0
    wire: float = 0.0
    hint_lost: float = 0.0


@dataclass(eq=False)
class Node:
    """One machine. make: builds its daemon over its directories; they outlive every crash."""

    name: str
    home: Path
    make: Callable[[], Gateway | Hub]
    daemon: Gateway | Hub | None = None
    is_dead: bool = True
    skew: timedelta = timedelta()
    booted: float = -200.0
    disk_until: float = -1.0
    disk_error: int = 0
    slept: float = 0.0
    running: list[str] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    locks: list[LockType] = field(default_factory=list)
    due: dict[str, float] = field(default_factory=dict)
    connections: list[Any] = field(default_factory=list)
    crashes: int = 0
    told: int = 0

    @property
    def is_up(self) -> bool:
        return self.daemon is not None and not self.is_dead

    def loop(self, name: str) -> Loop | None:
        return next((each for each in self.loops if each.name == name), None)

    def wake(self, name: str) -> None:
        """Tell one loop that there may be something, if the node is alive to hear it."""
        loop = self.loop(name) if self.is_up else None
        if loop is not None:
            loop.wake()


class World:
    """Everything that happens, in one thread. Use as a context manager: it takes over the clock."""

    def __init__(self, seed: int, dangers: Dangers, *, is_told_all: bool = False) -> None:
        """is_told_all: the trace tells every turn that did something, with its journal events."""
        self.seed = seed
        self.is_told_all = is_told_all
        self.luck = random.Random(seed)
        self.dangers = dangers
        self.time = 0.0
        self.nodes: dict[str, Node] = {}
        self.current: Node | None = None
        self.trace: list[str] = []
        self.counts: dict[str, int] = {}
        self.turns = 0
        self.steps = 0
        self.plan: Callable[[Node, str], None] | None = None
        self._events: list[tuple[float, int, str, Callable[[], None]]] = []
        self._number = 0
        self._depth = 0

    # -- time -------------------------------------------------------------------------------

    def __enter__(self) -> World:
        clock.use(self.wall, self.steady)
        durable.probe = self._probe
        apsw.connection_hooks.append(self._connected)
        random.seed(self.seed)
        return self

    def __exit__(self, *_: object) -> None:
        durable.probe = None
        apsw.connection_hooks.remove(self._connected)
        for node in self.nodes.values():
            self._bury(node)
        clock.use(None, None)

    def wall(self) -> datetime:
        skew = self.current.skew if self.current is not None else timedelta()
        return START + timedelta(seconds=self.time) + skew

    def steady(self) -> float:
        return self.time - (self.current.booted if self.current is not None else 0.0)

    def _connected(self, connection: apsw.Connection) -> None:
        if self.current is not None:
            self.current.connections.append(connection)

    # -- what happens -----------------------------------------------------------------------

    def tell(self, text: str) -> None:
        """One line of the trace; normalised, so that two runs of a seed can be compared."""
        who = self.current.name if self.current is not None else "-"
        self.trace.append(f"{self.time:10.3f} {'  ' * self._depth}{who:12} {text}")

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def at(self, delay_s: float, what: str, act: Callable[[], None]) -> None:
        """Let something happen in `delay_s` of virtual time."""
        self._number += 1
        heapq.heappush(self._events, (self.time + delay_s, self._number, what, act))

    @contextlib.contextmanager
    def as_node(self, node: Node | None) -> Iterator[None]:
        before, self.current = self.current, node
        try:
            yield
        finally:
            self.current = before

    def run(self, until: float, is_over: Callable[[], bool] = lambda: False) -> bool:
        """Let the world go on till then. Returns: whether `is_over` came true."""
        look = self.time
        while self.time < until:
            if self.time >= look:
                if is_over():
                    return True
                look = self.time + 4.0
            if not self._one():
                following = min(self._next(), until, max(look, self.time))
                self.time = max(self.time, following)
        return is_over()

    def let_pass(self, seconds: float) -> None:
        """Time passes in the middle of somebody's step; the others go on meanwhile."""
        until = self.time + seconds
        if self._depth < DEEPEST:
            self._depth += 1
            try:
                for _ in range(40):
                    if self.time >= until or not (self._one() or self._skip(until)):
                        break
            finally:
                self._depth -= 1
        # Never past something that is due: whoever writes a file goes on writing it.
        self.time = max(self.time, min(until, self._next()))
        self._check_alive()

    def _skip(self, until: float) -> bool:
        self.time = max(self.time, min(self._next(), until))
        return self.time < until

    def _check_alive(self) -> None:
        if self.current is not None and self.current.is_dead:
            raise Crashed

    def _is_stuck(self, node: Node) -> bool:
        """Whether no loop of a node can take a turn now: it is down, or one of its locks is held.

        A thread that waits for a lock does nothing meanwhile.
        """
        return node.daemon is None or node.is_dead or any(lock.locked() for lock in node.locks)

    def _due(self) -> list[tuple[Node, Loop]]:
        found: list[tuple[Node, Loop]] = []
        now = self.time
        for node in self.nodes.values():
            if self._is_stuck(node):
                continue
            due = node.due
            for each in node.loops:
                if (due[each.name] <= now or each.is_woken) and each.name not in node.running:
                    found.append((node, each))
        return found

    def _next(self) -> float:
        times = [
            node.due[each.name]
            for node in self.nodes.values()
            if not self._is_stuck(node)
            for each in node.loops
            if each.name not in node.running
        ]
        if self._events:
            times.append(self._events[0][0])
        return min(times, default=float("inf"))

    def _one(self) -> bool:
        """One thing that is due happens. Returns: whether there was one."""
        event = bool(self._events) and self._events[0][0] <= self.time
        loops = self._due()
        if event and (not loops or self.luck.random() < 0.3):
            _, _, what, act = heapq.heappop(self._events)
            with self.as_node(None):
                self.tell(f"event {what}")
                act()
            return True
        if not loops:
            return False
        node, loop = loops[self.luck.randrange(len(loops))]
        self._turn(node, loop)
        return True

    def _turn(self, node: Node, loop: Loop) -> None:
        node.running.append(loop.name)
        self.turns += 1
        before, steps = loop.trouble, self.steps
        pause = 0.0
        with self.as_node(node):
            try:
                pause = loop.step()
            except Crashed:
                node.is_dead = True
            finally:
                node.running.remove(loop.name)
            if self.is_told_all and self.steps > steps and not node.is_dead:
                self.tell(f"turn {loop.name} {self._news(node)}")
            if loop.trouble is not None and loop.trouble is not before:
                self.tell(f"trouble {loop.name} {loop.trouble.code} {loop.trouble.detail[:160]}")
                if loop.trouble.code.startswith("FG-INT"):
                    self.count("internal error")
        if node.daemon is not None and node.daemon.journal.failure is not None:
            # After an error of the disk the process ends by itself, to read its journal anew.
            self.count("ended by disk")
            node.is_dead = True
        slept, node.slept = node.slept, 0.0
        self.time += self.luck.uniform(0.0, 0.01)
        # A machine is never on time: what only polls may come late.
        late = self.luck.uniform(0.0, 1.5) if pause >= 0.4 else 0.0
        node.due[loop.name] = self.time + pause + slept + late
        if node.is_dead and not node.running:
            self.revive(node)

    def _news(self, node: Node) -> str:
        """What the node's journal gained since it was last asked, without what hangs on keys."""
        assert node.daemon is not None
        reader = node.daemon.journal.reader()
        rows = reader.all("SELECT seq, kind, data FROM event WHERE seq > ? ORDER BY seq", node.told)
        reader.close()
        node.told = int(rows[-1][0]) if rows else node.told
        return "; ".join(f"{kind} {_plain(data)}".strip() for _, kind, data in rows)

    # -- life and death ---------------------------------------------------------------------

    def start(self, node: Node) -> None:
        """Start a node's process; it may die on the way, then its supervisor tries again."""
        if node.is_up:
            return
        node.is_dead = False
        # A reboot since the last start: never at the same moment, or the clocks would say that there was none,
        # and the files here have times of the world's clock.
        up_s = self.luck.uniform(0.0, 100.0)
        node.booted = self.time - min(up_s, (self.time - node.booted) / 2)
        with self.as_node(node):
            try:
                daemon = node.make()
                daemon.prepare()
            except Crashed:
                node.is_dead = True
            except (FrontgateError, OSError, apsw.Error) as error:
                self.tell(f"start failed: {_shown(error)}")
                self.count("start failed")
                node.is_dead = True
            else:
                node.daemon, node.loops = daemon, daemon.crew.loops
                node.locks = _locks(daemon)
                node.due = {each.name: self.time for each in node.loops}
                self.tell("up")
        if node.is_dead:
            self.revive(node)

    def kill(self, node: Node) -> None:
        """Kill -9 between two turns of this node."""
        if node.is_up and node.running:
            self.at(0.5, f"kill {node.name}", lambda: self.kill(node))
        elif node.is_up:
            node.is_dead = True
            node.crashes += 1
            self.count("kill")
            self.tell(f"killed {node.name}")
            self.revive(node)

    def revive(self, node: Node) -> None:
        """Bury a dead process; its supervisor starts it again a little later."""
        self._bury(node)
        self.at(self.luck.uniform(0.2, 15.0), f"start {node.name}", lambda: self.start(node))

    def _bury(self, node: Node) -> None:
        """What a dead process leaves: nothing in memory, no lock, no descriptor."""
        node.is_dead = True
        node.daemon, node.loops = None, []
        node.disk_until = -1.0
        for connection in node.connections:
            connection.close(True)
        node.connections.clear()
        lock = os.fsencode(node.home / "state" / "journal.db.lock")
        for entry in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(b"/proc/self/fd/" + os.fsencode(entry)) == lock:
                    os.close(int(entry))

    # -- steps that can go wrong --------------------------------------------------------------

    def _probe(self, when: str, name: str, places: tuple[object, ...]) -> None:
        """Called before and after each durable step and each commit."""
        step = f"{when} {name}"
        node = self.current
        if node is None:
            return
        self._check_alive()
        self.steps += 1
        self.time += 0.0005
        if self.plan is not None:
            self.plan(node, step)
        if self.luck.random() < self.dangers.crash:
            self._die(node, step)
        if step.startswith("before"):
            self._disk(node, step)
        if self.luck.random() < self.dangers.overtake:
            self.overtake()

    def _die(self, node: Node, step: str) -> None:
        self.count("crash")
        node.crashes += 1
        node.is_dead = True
        self.tell(f"CRASH {step} in {'>'.join(node.running) or 'start'}")
        raise Crashed

    def crash_here(self) -> None:
        """For plans: the current node dies at this step."""
        assert self.current is not None
        self._die(self.current, "by plan")

    def _disk(self, node: Node, step: str) -> None:
        if self.time < node.disk_until:
            fails = self.luck.random() < 0.7
        else:
            fails = self.luck.random() < self.dangers.disk
            if fails:
                node.disk_error = self.luck.choice(
                    (errno.EIO, errno.ENOSPC, errno.EMFILE, errno.EROFS, errno.EDQUOT)
                )
                if self.luck.random() < 0.3:
                    node.disk_until = self.time + self.luck.uniform(0.1, 20.0)
        if not fails:
            return
        name = errno.errorcode[node.disk_error]
        self.count("disk")
        self.tell(f"DISK {name} {step} in {'>'.join(node.running) or 'start'}")
        if step.endswith("commit"):
            full = node.disk_error in (errno.ENOSPC, errno.EDQUOT)
            raise (apsw.FullError if full else apsw.IOError)(f"simulated {name}")
        raise OSError(node.disk_error, f"simulated {os.strerror(node.disk_error)}")

    def overtake(self) -> None:
        """Somebody else's turn comes in the middle of this one."""
        if self._depth >= DEEPEST:
            return
        self._depth += 1
        try:
            self.count("overtaken")
            self._one()
        finally:
            self._depth -= 1
        self._check_alive()


def _locks(daemon: Gateway | Hub) -> list[LockType]:
    """The locks that are held across durable steps."""
    if isinstance(daemon, Hub):
        return [daemon.journal._write_lock, daemon._trust_lock]
    return [daemon.journal._write_lock, *(post.guard._lock for post in daemon.posts.posts)]


def _plain(data: str) -> str:
    """The telling part of an audit event; two runs of a seed have other keys, so no digests."""
    told = (
        "message",
        "transfer",
        "old",
        "event",
        "new",
        "kind",
        "receiver",
        "code",
        "codes",
        "act",
    )
    found = json.loads(data)
    return " ".join(str(found[name]) for name in told if name in found)


def _shown(error: BaseException) -> str:
    code = getattr(error, "code", "")
    return f"{type(error).__name__} {code} {getattr(error, 'detail', '') or error}"[:200]
