"""A province in one process, driven step by step: real folders, real journals, no threads.

What SFTP would carry is carried by a transport over the mailbox folders themselves, so that a test
can stand between any two steps.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import apsw
from province import POLICE, PROCURATORATE, Province, message

from frontgate import durable
from frontgate.gateway.daemon import Gateway
from frontgate.hub import placer
from frontgate.hub.admin import lay_out_mailboxes
from frontgate.hub.daemon import Hub
from frontgate.pipeline.loop import Loop
from frontgate.settings import load_gateway, load_hub
from frontgate.transports import Entry, Source


class FolderTransport:
    """A gateway's view of its mailbox, by the same names and the same promises as SFTP."""

    def __init__(self, mailbox: Path) -> None:
        self._to, self._from = mailbox / "to-hub", mailbox / "from-hub"
        self.moved_bytes = 0

    def put(self, name: str, source: Source, size_bytes: int) -> None:
        final = self._to / name
        if not final.exists():
            part = self._to / f".{name}.part"
            part.unlink(missing_ok=True)
            source.seek(0)
            with durable.open_new(part) as file:
                file.write(source.read(size_bytes))
                durable.publish(part, final, file)

    def entries(self) -> list[Entry]:
        return self._complete(self._from)

    def has(self, name: str) -> bool:
        return any((self._to / path).exists() for path in (name, f".{name}.part"))

    def pending(self) -> list[Entry]:
        return self._complete(self._to)

    @staticmethod
    def _complete(folder: Path) -> list[Entry]:
        return [
            Entry(p.name, p.stat().st_size)
            for p in sorted(folder.iterdir())
            if not p.name.startswith(".")
        ]

    def get(self, name: str, sink: Callable[[bytes], object], offset: int = 0) -> int:
        data = (self._from / name).read_bytes()[offset:]
        sink(data)
        return len(data)

    def remove(self, name: str) -> None:
        (self._from / name).unlink(missing_ok=True)

    def wait(self, timeout_s: float) -> bool:
        return False

    def close(self) -> None:
        return None


class ByHand:
    """Hub and gateways of a `Province` as objects. `turn` takes one turn of a named loop; receipts wait
    for no others, since no time passes between turns.
    """

    def __init__(
        self, home: Path, units: tuple[str, ...] = (POLICE, PROCURATORATE), **options: object
    ) -> None:
        self.province = Province(home, units, **options)  # type: ignore[arg-type]
        self.units = units
        self._at_once = patch.object(placer, "GATHER_S", 0.0)
        self._at_once.start()
        settings = load_hub(home / "hub" / "hub.toml")
        lay_out_mailboxes(settings, Administrated(self).directory)
        self.hub = Hub(settings)
        self.gateways = {unit: self.open_gateway(unit) for unit in units}

    def open_gateway(self, unit: str) -> Gateway:
        return Gateway(
            load_gateway(self.province.home / unit / "gateway.toml"),
            connect=lambda: FolderTransport(self.mailbox(unit)),
        )

    def restart_gateway(self, unit: str) -> Gateway:
        """What a crash leaves is found by a new object; nothing of the old one runs on."""
        self.gateways[unit].journal.close()
        self.gateways[unit] = self.open_gateway(unit)
        self.gateways[unit]._recover()
        return self.gateways[unit]

    def restart_hub(self) -> Hub:
        self.hub.journal.close()
        self.hub.mailboxes.close()
        self.hub = Hub(load_hub(self.province.home / "hub" / "hub.toml"))
        return self.hub

    def mailbox(self, unit: str) -> Path:
        return self.province.home / "hub" / "sftp" / f"u{unit.lower()}"

    def turn(self, node: str, loop: str) -> float | None:
        """One turn of a loop of `hub` or a unit's gateway; what it raises goes up."""
        return self.loop(node, loop)._turn()

    def loop(self, node: str, name: str) -> Loop:
        crew = self.hub.crew if node == "hub" else self.gateways[node].crew
        return next(loop for loop in crew.loops if loop.name == name)

    def admit(self, unit: str = POLICE, **fields: str) -> None:
        """A drop of `unit`, taken into its journal."""
        ref = fields.setdefault("ref", os.urandom(6).hex())
        self.province.drop(unit, f"{ref}.xml", message(**fields))
        gateway = self.gateways[unit]
        (post,) = gateway.posts.posts
        found = post.sweeper.sweep([(f"{ref}.xml".encode(), True)])
        assert found
        gateway._intake.take_safely(post, found)

    def relay(self, sender: str = POLICE, receiver: str = PROCURATORATE) -> None:
        """What waits at `sender` goes through the hub into the journal of `receiver`."""
        self.turn(sender, "send")
        self.turn("hub", "intake")
        self.turn("hub", "place")
        self.turn(receiver, "fetch")

    def rows(self, node: str, sql: str, *values: object) -> list[tuple[object, ...]]:
        journal = self.hub.journal if node == "hub" else self.gateways[node].journal
        reader = journal.reader()
        try:
            return reader.all(sql, *values)
        finally:
            reader.close()

    def states(self, node: str, prefix: str) -> list[object]:
        """States of all transfers to destinations with this prefix, oldest first."""
        return [
            row[0]
            for row in self.rows(
                node,
                "SELECT state FROM transfer WHERE substr(destination, 1, ?) = ? ORDER BY id",
                len(prefix),
                prefix,
            )
        ]

    def close(self) -> None:
        for gateway in self.gateways.values():
            gateway.journal.close()
        self.hub.journal.close()
        self.hub.mailboxes.close()
        self._at_once.stop()


class Administrated:
    """The hub's directory as its administrator sees it."""

    def __init__(self, by_hand: ByHand) -> None:
        from frontgate.trust.store import load_trust

        self.directory = load_trust(by_hand.province.home / "hub" / "keys" / "trust").directory


@contextmanager
def failing(
    step: str,
    *,
    skip: int = 0,
    times: int = 1,
    once: Callable[[], bool] = lambda: True,
    error: Exception | None = None,
) -> Iterator[list[int]]:
    """Let a durable step fail where it is taken: `before commit`, `after rename`, ….

    skip: so many calls go well first. times: so many calls fail then. once: calls count from when
    this is true. Yields: the calls seen.
    """
    seen = [0]

    def probe(when: str, name: str, places: object) -> None:
        if f"{when} {name}" != step or not once():
            return
        seen[0] += 1
        if skip < seen[0] <= skip + times:
            raise error or apsw.FullError("database or disk is full")

    durable.probe = probe
    try:
        yield seen
    finally:
        durable.probe = None
