"""Two ferries with a test's hands between them; the fixture `ends` is imported by tests."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from frontgate import clock
from frontgate.transports.ferry import Ferry
from frontgate.transports.ferry_way import Way

RESEND_S, GAP_S = 100.0, 600.0


@dataclass
class Ends:
    """Two ends; `carry` is the device. Time stands still unless `later` is called."""

    near: Ferry
    far: Ferry
    steady: list[float]

    def later(self, seconds: float) -> None:
        self.steady[0] += seconds

    def turn(self) -> None:
        self.near.turn()
        self.far.turn()

    def carry(self, source: Ferry, target: Ferry, *, drop: str = "") -> list[str]:
        """Everything from one side's `out` to the other's `in`. drop: beginning of what is lost."""
        names = sorted(os.listdir(source.way.out))
        for name in names:
            if drop and name.startswith(drop):
                (source.way.out / name).unlink()
            else:
                shutil.move(source.way.out / name, target.way.into / name)
        return names

    def round(self) -> None:
        """Both ways once, without mischief."""
        self.turn()
        self.carry(self.near, self.far)
        self.carry(self.far, self.near)
        self.turn()
        self.carry(self.near, self.far)
        self.carry(self.far, self.near)
        self.turn()

    def epoch(self) -> str:
        """The near end's."""
        return str(json.loads((self.near.way.state / "carry.json").read_bytes())["epoch"])

    def put(self, name: str, data: bytes = b"data") -> None:
        (self.near.way.outgoing / name).write_bytes(data)

    def came(self) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in self.far.way.incoming.iterdir()}

    def waiting(self) -> list[str]:
        return sorted(p.name for p in self.near.way.outgoing.iterdir())

    def codes(self, ferry: Ferry) -> list[str]:
        return [error.code for error in ferry.troubles]


def ferry(base: Path, side: str, out: Path, into: Path, account: str = "u1") -> Ferry:
    return Ferry(
        Way(
            side=side,
            account=account,
            outgoing=base / side / "outgoing",
            incoming=base / side / "incoming",
            out=out,
            into=into,
            state=base / side,
            resend_s=RESEND_S,
            gap_after_s=GAP_S,
        )
    )


def again(old: Ferry) -> Ferry:
    """The same end after a restart."""
    return Ferry(old.way)


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    folders = [tmp_path / n for n in ("near-out", "near-in", "far-out", "far-in")]
    for folder in folders:
        folder.mkdir()
    steady = [1000.0]
    clock.use(None, lambda: steady[0])
    near = ferry(tmp_path, "gateway", folders[0], folders[1])
    far = ferry(tmp_path, "hub", folders[2], folders[3])
    found = Ends(near, far, steady)
    found.turn()
    yield found
    clock.use(None, None)
