"""A gap device between one gateway and the hub, moved by the world itself: one look after each round.

It takes everything that lies there, half written or not, carries in any order, and for its first
`HARMS` times in each direction, or until it is told to be honest, loses, repeats, cuts short, changes a
byte or holds back. Then it is honest, so that a life comes to rest.

It sees what nobody else does: a bundle that it was given and never brought must be kept by its sender.
Who lets it go breaks a promise, though the journal may send it again after hours.
"""

from __future__ import annotations

import hashlib
import os
import random
from dataclasses import dataclass, field
from pathlib import Path

from frontgate.transports.carried import TRAILER, NotWhole, Trailer

HARMS = 4
KINDS = ("lose", "repeat", "cut", "corrupt", "hold")
TUNING = "resend_s = 5.0\ngap_after_s = 30.0\n"


@dataclass(slots=True)
class _Way:
    """kept: the sender's own folder. first: what becomes of the next files, before luck decides; empty:
    nothing. given, brought: names of bundles, whole.
    """

    source: Path
    target: Path
    kept: Path
    luck: random.Random
    first: list[str]
    harms: int = 0
    held: list[tuple[str, bytes]] = field(default_factory=list)
    given: set[str] = field(default_factory=set)
    brought: set[str] = field(default_factory=set)


class Device:
    """Both directions. kept: the two folders whose files wait for their acknowledgement; first: what
    becomes of the first files in each direction, empty for nothing; most: harms in each direction.
    """

    def __init__(
        self,
        gateway: Path,
        hub: Path,
        kept: tuple[Path, Path],
        seed: int,
        *,
        first: tuple[str, ...] = (),
        most: float = HARMS,
    ) -> None:
        self._most = most
        self._let_go: list[str] = []
        self._ways = []
        for n, (one, other) in enumerate(((gateway, hub), (hub, gateway))):
            for folder in (one / "gap-out", other / "gap-in"):
                folder.mkdir()
            luck = random.Random(seed + n)
            way = _Way(one / "gap-out", other / "gap-in", kept[n], luck, list(first))
            self._ways.append(way)
        self.did: list[str] = []

    def be_honest(self) -> None:
        """From now on everything arrives as it is."""
        self._most = 0

    def carry(self) -> bool:
        """Returns: whether it moved anything."""
        moved = [self._carry(way) for way in self._ways]
        return any(moved)

    def _carry(self, way: _Way) -> bool:
        self._look_after(way)
        items = way.held
        way.held = []
        for name in sorted(os.listdir(way.source)):
            data = (way.source / name).read_bytes()
            (way.source / name).unlink()
            way.given |= _bundle(data)
            items += self._harmed(way, name, data)
        way.luck.shuffle(items)
        for name, data in items:
            (way.target / name).write_bytes(data)
            way.brought |= _bundle(data)
        return bool(items or way.held)

    def _harmed(self, way: _Way, name: str, data: bytes) -> list[tuple[str, bytes]]:
        """What becomes of a file."""
        if way.first:
            what = way.first.pop(0)
        elif way.harms >= self._most or way.luck.random() < 0.3 or not data:
            what = ""
        else:
            what = way.luck.choice(KINDS)
        if not what:
            return [(name, data)]
        way.harms += 1
        self.did.append(what)
        if what == "lose":
            return []
        if what == "repeat":
            way.held.append((name, data))
            return [(name, data)]
        if what == "hold":
            way.held.append((name, data))
            return []
        at = int(way.luck.random() * len(data))  # one draw, whatever the size
        if what == "cut":
            return [(name, data[:at])]
        return [(name, data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])]

    def _look_after(self, way: _Way) -> None:
        for name in sorted(way.given - way.brought):
            if not (way.kept / name).exists():
                self._let_go.append(f"let go and never brought: {name}")
                way.given.discard(name)

    def let_go(self) -> list[str]:
        """What a sender removed though the device had not brought it."""
        for way in self._ways:
            self._look_after(way)
        return self._let_go

    def unrested(self) -> list[str]:
        """What still waits for an acknowledgement in a province at rest."""
        return [
            f"carried and never acknowledged: {name}"
            for folder in (way.kept for way in self._ways)
            for name in sorted(os.listdir(folder) if folder.is_dir() else ())
            if name.endswith(".bundle")
        ]


def _bundle(data: bytes) -> set[str]:
    """The name of the bundle that a file carries, where it is whole; none of an acknowledgement."""
    try:
        trailer = Trailer.decoded(data[-TRAILER:])
    except NotWhole:
        return set()
    is_whole = hashlib.sha256(data[:-TRAILER]).hexdigest() == trailer.digest
    return {trailer.name} if trailer.name and is_whole else set()


def put_between(
    gateway: Path, hub: Path, code: str, seed: int, *,
    first: tuple[str, ...] = (), most: float = HARMS,
) -> Device:  # fmt: skip
    """A unit reaches the hub through a gap device from now on. gateway, hub: their homes, not running."""
    path = gateway / "gateway.toml"
    text = path.read_text().replace("[hub]\n", '[hub]\ntransport = "directory"\n', 1)
    path.write_text(f"{text}\n[hub.directory]\n{_settings(gateway)}")
    with (hub / "hub.toml").open("a") as file:
        file.write(f'\n[[directory]]\nunit = "{code}"\n{_settings(hub)}')
    mailbox = hub / "sftp" / f"u{code.lower()}"
    kept = (gateway / "state" / "carry" / "to-hub", mailbox / "from-hub")
    return Device(gateway, hub, kept, seed, first=first, most=most)


def _settings(folder: Path) -> str:
    """The lines of a node's settings."""
    return f'out = "{folder}/gap-out"\nin = "{folder}/gap-in"\n{TUNING}'
