"""Whether a life ended well: by what case software saw, and by the invariants of every node."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from province import POLICE, PROCURATORATE

from faults.scenes import History, ref_of
from faults.world import Ground
from frontgate.inspect import examine

_COURSE = ("submission-accepted", "relay-accepted", "delivered", "handed-over")


@dataclass(slots=True)
class Judgement:
    """lost, twice, silent: messages. broken: invariants and other rules, in words."""

    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.twice or self.silent or self.broken)

    def __str__(self) -> str:
        return f"lost={self.lost} twice={self.twice} silent={self.silent}\n  " + "\n  ".join(
            self.broken
        )


def judge(ground: Ground, history: History, *, rules: list[str] | None = None) -> Judgement:
    """Judge a province at rest. rules: what the driver saw broken."""
    found = Judgement(broken=list(rules or ()))
    # What stands there after the last pick-up would be picked up once more.
    left = [entry for entry in _left(ground) if not entry.name.endswith(".done")]
    standing = Counter(map(ref_of, left))
    for ref in history.accepted:
        times = history.picked[ref]
        if times == 0:
            found.lost.append(ref)
        elif times + standing[ref] > 1:
            found.twice.append(ref)
    found.twice += [ref for ref in history.picked if ref not in history.accepted]
    if history.unsettled:
        found.broken.append(f"INV-13: not settled ({history.unsettled} times)")
    _outcomes(ground, history, found)
    if ground.device is not None:
        found.broken += [*ground.device.let_go(), *ground.device.unrested()]
    homes = ground.inspected(settled=True)
    directories = {home.name: home.trust.directory.version for home in homes}
    if len(set(directories.values())) != 1:
        found.broken.append(f"the signed directory did not reach everybody: {directories}")
    try:
        for verdict in examine(homes).verdicts:
            found.broken += [
                f"INV-{verdict.number} {b.node} {b.ident}: {b.en}" for b in verdict.breaches
            ]
    finally:
        for home in homes:
            home.close()
    return found


def _outcomes(ground: Ground, history: History, found: Judgement) -> None:
    """Every drop has an outcome that its case software sees."""
    spool = ground.spool(POLICE)
    for entry in (spool / "outbound").iterdir():
        found.silent.append(f"still in outbound: {entry.name}")
    rejected = {p.name for p in (spool / "rejected").iterdir()}
    receipts = [p.name for p in (spool / "receipts").glob("*.xml")]
    for name in history.refused:
        lacking = {name, f"{name}.report.xml", f"{name}.report.txt"} - rejected
        if lacking:
            found.silent.append(f"refused without {sorted(lacking)}")
    told = sum("submission-rejected" in name for name in receipts)
    if told < len(history.refused):
        found.silent.append(f"{len(history.refused)} refused, {told} receipts")
    for kind in _COURSE:
        count = sum(f"-{kind}" in name for name in receipts)
        if count < len(history.accepted):
            found.silent.append(f"{len(history.accepted)} accepted, {count} of {kind}")
    if _left(ground):
        found.broken.append("inbound is not empty after pick-up")


def _left(ground: Ground) -> list[Path]:
    return list((ground.spool(PROCURATORATE) / "inbound").iterdir())
