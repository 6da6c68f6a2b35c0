"""A gap device between one gateway and the hub, moved by the world itself: one look after each round.

It takes everything that lies there, half written or not, carries in any order, and for its first
`HARMS` times in each direction, or until it is told to be honest, loses, repeats, cuts short, changes a
byte or holds back. Then it is honest, so that a life comes to rest.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path

HARMS = 4
KINDS = ("lose", "repeat", "cut", "corrupt", "hold")
TUNING = "resend_s = 5.0\ngap_after_s = 30.0\n"


@dataclass(slots=True)
class _Way:
    source: Path
    target: Path
    luck: random.Random
    harms: int = 0
    held: list[tuple[str, bytes]] = field(default_factory=list)


class Device:
    """Both directions. kept: the two folders whose files wait for their acknowledgement; most: harms
    in each direction.
    """

    def __init__(
        self,
        gateway: Path,
        hub: Path,
        kept: tuple[Path, Path],
        seed: int,
        *,
        most: float = HARMS,
    ) -> None:
        self._most = most
        self._ways = []
        for n, (one, other) in enumerate(((gateway, hub), (hub, gateway))):
            for folder in (one / "gap-out", other / "gap-in"):
                folder.mkdir()
            luck = random.Random(seed + n)
            self._ways.append(_Way(one / "gap-out", other / "gap-in", luck))
        self._kept = kept
        self.did: list[str] = []

    def be_honest(self) -> None:
        """From now on everything arrives as it is."""
        self._most = 0

    def carry(self) -> bool:
        """Returns: whether it moved anything."""
        moved = [self._carry(way) for way in self._ways]
        return any(moved)

    def _carry(self, way: _Way) -> bool:
        items = way.held
        way.held = []
        for name in sorted(os.listdir(way.source)):
            data = (way.source / name).read_bytes()
            (way.source / name).unlink()
            items += self._harmed(way, name, data)
        way.luck.shuffle(items)
        for name, data in items:
            (way.target / name).write_bytes(data)
        return bool(items or way.held)

    def _harmed(self, way: _Way, name: str, data: bytes) -> list[tuple[str, bytes]]:
        """What becomes of a file."""
        if way.harms >= self._most or way.luck.random() < 0.3 or not data:
            return [(name, data)]
        way.harms += 1
        what = way.luck.choice(KINDS)
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

    def unrested(self) -> list[str]:
        """What still waits for an acknowledgement in a province at rest."""
        return [
            f"carried and never acknowledged: {name}"
            for folder in self._kept
            for name in sorted(os.listdir(folder) if folder.is_dir() else ())
            if name.endswith(".bundle")
        ]


def put_between(gateway: Path, hub: Path, code: str, seed: int, *, most: float = HARMS) -> Device:
    """A unit reaches the hub through a gap device from now on. gateway, hub: their homes, not running."""
    path = gateway / "gateway.toml"
    text = path.read_text().replace("[hub]\n", '[hub]\ntransport = "directory"\n', 1)
    path.write_text(f"{text}\n[hub.directory]\n{_settings(gateway)}")
    with (hub / "hub.toml").open("a") as file:
        file.write(f'\n[[directory]]\nunit = "{code}"\n{_settings(hub)}')
    mailbox = hub / "sftp" / f"u{code.lower()}"
    kept = (gateway / "state" / "carry" / "to-hub", mailbox / "from-hub")
    return Device(gateway, hub, kept, seed, most=most)


def _settings(folder: Path) -> str:
    """The lines of a node's settings."""
    return f'out = "{folder}/gap-out"\nin = "{folder}/gap-in"\n{TUNING}'
