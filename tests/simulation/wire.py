"""The simulated wire: the transport contract over the hub's mailbox folders, with faults by seed.

Connections are refused, break at any byte, stall until they time out; an answer is lost after the
deed was done; a bundle that arrived is delivered once more much later. What stands in the folders
obeys the same rules as with SFTP: a part file, a rename, resuming at what is there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO

from frontgate.errors import TransportError
from frontgate.transports import Entry, Source

from .world import Node, World

_CHUNK = 1 << 15
_RESUME_BLOCK = 1 << 13
"""Small, so that the small packages of the simulation resume too."""


class Wire:
    """One gateway's way to the hub. box: its mailbox; hub: whose intake hears of uploads."""

    def __init__(self, world: World, node: Node, hub: Node, box: Path) -> None:
        self.world = world
        self.node = node
        self.hub = hub
        self.to_hub = box / "to-hub"
        self.from_hub = box / "from-hub"
        self.down_until = -1.0
        self.generation = 0

    def connect(self) -> Link:
        self.point("connect")
        return Link(self, self.generation)

    def stamp(self, file: IO[bytes]) -> None:
        """The hub's disk goes by the hub's clock."""
        file.flush()
        with self.world.as_node(self.hub):
            now = self.world.wall().timestamp()
        os.utime(file.fileno(), (now, now))

    def cut(self, seconds: float) -> None:
        """All connections break, new ones are refused for a while."""
        self.generation += 1
        self.down_until = self.world.time + seconds

    def point(self, what: str) -> None:
        """A place where the wire may fail, and others overtake."""
        world = self.world
        world.time += world.luck.uniform(0.0, 0.02)
        if world.time < self.down_until:
            world.count("wire refused")
            raise TransportError("FG-TRN-001", host="hub", port=22, detail="simulated")
        if world.luck.random() >= world.dangers.wire:
            if world.luck.random() < world.dangers.overtake:
                world.overtake()
            return
        kind = world.luck.randrange(4)
        world.tell(f"WIRE {('broken', 'stalled', 'away', 'slow')[kind]} at {what}")
        world.count("wire")
        if kind == 0:
            self.generation += 1
            raise TransportError("FG-TRN-005", what=what, detail="simulated")
        if kind == 1:
            world.let_pass(world.luck.uniform(10.0, 60.0))
            raise TransportError("FG-TRN-004", what=what, detail="simulated")
        if kind == 2:
            self.cut(world.luck.uniform(1.0, 40.0))
            raise TransportError("FG-TRN-005", what=what, detail="simulated")
        world.let_pass(world.luck.uniform(0.5, 20.0))


class Link:
    """One connection: `frontgate.transports.Transport`."""

    def __init__(self, wire: Wire, generation: int) -> None:
        self._wire = wire
        self._generation = generation
        self.moved_bytes = 0

    def _point(self, what: str) -> None:
        if self._generation != self._wire.generation:
            raise TransportError("FG-TRN-005", what=what, detail="simulated: cut")
        self._wire.point(what)

    def put(self, name: str, source: Source, size_bytes: int) -> None:
        wire = self._wire
        self._point("put")
        final, part = wire.to_hub / name, wire.to_hub / f".{name}.part"
        have = part.stat().st_size if part.exists() else None
        if have is None and final.exists() and final.stat().st_size == size_bytes:
            return
        start = 0
        if have is not None and have <= size_bytes:
            start = max(0, have - _RESUME_BLOCK) // _RESUME_BLOCK * _RESUME_BLOCK
        source.seek(start)
        with open(part, "r+b" if have is not None else "x+b") as file:
            file.seek(start)
            file.truncate()
            while data := source.read(_CHUNK):
                # A cut at any byte: some of this block arrived, the rest never does.
                try:
                    self._point("put data")
                except TransportError:
                    file.write(data[: int(wire.world.luck.random() * len(data))])
                    wire.stamp(file)
                    raise
                file.write(data)
                wire.stamp(file)
                self.moved_bytes += len(data)
        self._point("put rename")
        os.rename(part, final)
        wire.world.tell(f"arrived {_short(name)}")
        if wire.world.luck.random() >= wire.world.dangers.hint_lost:
            wire.hub.wake("intake")
        if wire.world.luck.random() < wire.world.dangers.wire:
            self._send_again_later(final)
        self._point("rename")  # what was lost is the answer to it, as the real transport says

    def _send_again_later(self, final: Path) -> None:
        """An old upload comes once more, long after: a program that retried it, a restored disk."""
        world = self._wire.world
        world.count("upload copied")  # one upload may be so twice
        number = world.counts["upload copied"]
        copy = self._wire.to_hub.parent / f"again-{number}-{final.name}"
        shutil.copy(final, copy)

        def again() -> None:
            world.count("upload again")
            os.rename(copy, final)

        world.at(world.luck.uniform(1.0, 60.0), f"again {_short(final.name)}", again)

    def entries(self) -> list[Entry]:
        self._point("list")
        return self._complete(self._wire.from_hub)

    def pending(self) -> list[Entry]:
        self._point("list")
        return self._complete(self._wire.to_hub)

    def _complete(self, folder: Path) -> list[Entry]:
        with os.scandir(folder) as entries:
            found = [Entry(e.name, e.stat().st_size) for e in entries if e.name[0] != "."]
        return sorted(found, key=lambda e: e.name)

    def has(self, name: str) -> bool:
        self._point("has")
        return (self._wire.to_hub / name).exists() or (self._wire.to_hub / f".{name}.part").exists()

    def get(self, name: str, sink: Callable[[bytes], object], offset: int = 0) -> int:
        self._point("get")
        path = self._wire.from_hub / name
        count = 0
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise TransportError("FG-TRN-009", what=name) from None
        with file:
            file.seek(offset)
            while data := file.read(_CHUNK):
                try:
                    self._point("get data")
                except TransportError:
                    sink(data[: int(self._wire.world.luck.random() * len(data))])
                    raise
                sink(data)
                count += len(data)
                self.moved_bytes += len(data)
        return count

    def remove(self, name: str) -> None:
        self._point("remove")
        path = self._wire.from_hub / name
        if path.exists():
            path.unlink()
            self._wire.world.tell(f"removed {_short(name)}")
        self._point("remove answer")

    def wait(self, timeout_s: float) -> bool:
        """The loop sleeps: in virtual time that is said, not done."""
        self._point("wait")
        is_new = any(e.name[0] != "." for e in os.scandir(self._wire.from_hub))
        self._wire.node.slept = 0.05 if is_new else timeout_s
        return is_new

    def close(self) -> None:
        return


def _short(name: str) -> str:
    """The sequence of a bundle: the rest of its name hangs on keys."""
    return name[:16].lstrip("0") or "0"
