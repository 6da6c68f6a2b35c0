"""Hours of steady traffic: does the memory of any process grow, and is anything lost on the way?

Usage: `python -m benchmarks.soak [--minutes 60] [--per-second 5]`. A hub with its case process, a sender
and a receiver; case software at both ends takes what there is. Of fifty drops forty are new messages, five
repeats, four not valid, one has an attachment. Every half minute each node is asked for its status and a
connection of its own opens and closes at the hub. Memory is what a process has for itself (RssAnon),
every five seconds; the slope is that of the straight line through all samples after the first third.
Writes `benchmarks/out/soak.json`; exit 1 where a process grows by more than 1 MiB an hour for certain, or
something was lost. An hour tells steady growth; of growth in steps of a MiB, 2 MiB an hour, it misses one in
three (made series of such steps; over four hours none).
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.run import POLICE, PROCURATORATE, Province, Spawned, message, wait_for
from frontgate.pipeline.service import ask

SAMPLE_S = 5.0
ASK_S = 30.0
MOST_MIB_AN_HOUR = 1.0


@dataclass(frozen=True)
class Slope:
    """Growth of a process. mib_an_hour ± error (one standard error, samples five seconds apart taken for as
    alike as they are); first, last: MiB.
    """

    process: str
    samples: int
    first: float
    last: float
    mib_an_hour: float
    error: float

    @property
    def grows(self) -> bool:
        """Whether it grows by more than the limit, beyond what the scatter of its samples explains."""
        return self.mib_an_hour - 2 * self.error > MOST_MIB_AN_HOUR


def slope_of(process: str, at_s: Sequence[float], mib: Sequence[float]) -> Slope:
    """The straight line through the last two thirds. Needs nine samples at least."""
    skip = len(at_s) // 3
    x, y = [s / 3600 for s in at_s[skip:]], list(mib[skip:])
    line = statistics.linear_regression(x, y)
    rest = [b - (line.intercept + line.slope * a) for a, b in zip(x, y, strict=True)]
    middle = statistics.fmean(x)
    wide = sum((a - middle) ** 2 for a in x)
    squares = sum(r * r for r in rest)
    # What one sample is above the line, the next mostly is too: as if there were fewer of them.
    alike = sum(a * b for a, b in pairwise(rest)) / squares if squares else 0.0
    alike = min(max(alike, 0.0), 0.999)
    error = math.sqrt(squares / (len(x) - 2) / wide * (1 + alike) / (1 - alike))
    return Slope(process, len(x), round(y[0], 2), round(y[-1], 2), line.slope, error)


class Samples:
    """RssAnon of every process of a province, by role and module, until it is closed."""

    def __init__(self, province: Province, every_s: float) -> None:
        self._province = province
        self._every_s = every_s
        self.taken: dict[str, tuple[list[float], list[float]]] = {}
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            for name, process in list(self._province.processes.items()):
                role = {POLICE: "sender", PROCURATORATE: "receiver"}.get(name, name)
                for pid in _tree(process.pid):
                    mib, what = _own_mib(pid), _what(pid)
                    if mib:
                        times, values = self.taken.setdefault(f"{role}{what}", ([], []))
                        times.append(time.monotonic() - self._began)
                        values.append(mib)

    def close(self) -> list[Slope]:
        self._stop.set()
        self._thread.join()
        return [slope_of(name, *series) for name, series in sorted(self.taken.items())]


def _tree(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(p for child in children for p in _tree(int(child)))]


def _own_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(v.split()[1]) / 1024 for v in lines if v.startswith("RssAnon:")), 0.0)


def _what(pid: int) -> str:
    """What tells a child of the hub from the hub: ` sftp_server`, ` project`; empty for a daemon."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return ""
    for word in words:
        if word.startswith("frontgate."):
            return f" {word.rpartition('.')[2]}"
    last = [w for w in words if w][-1:]
    return "" if last == ["run"] else f" {last[0] if last else '?'}"


class Traffic:
    """The sender's case software, and the receiver's: drops, and takes all that comes."""

    def __init__(self, province: Province) -> None:
        self._province = province
        self.new = self.refused = self.repeated = 0
        self.taken = 0

    def drop(self, number: int) -> None:
        kind, name = number % 50, f"s{number:08d}"
        if kind < 5 and number >= 50:
            self.repeated += 1
            self._province.drop(POLICE, f"{name}.xml", message(ref=f"s{number - 10:08d}"))
        elif kind < 9:
            self.refused += 1
            bad = message(ref=name).replace(' standard="1.0"', ' standard="9.9"')
            self._province.drop(POLICE, f"{name}.xml", bad)
        elif kind == 9:
            self.new += 1
            self._province.drop_folder(POLICE, name, message("arrest-request/supplement", ref=name))
        else:
            self.new += 1
            self._province.drop(POLICE, f"{name}.xml", message(ref=name))

    def take(self) -> None:
        """Everything out of `inbound/`, and what tells the sender of its drops."""
        inbound = self._province.spool(PROCURATORATE) / "inbound"
        for entry in inbound.iterdir():
            if not entry.name.startswith("."):
                shutil.rmtree(entry)
                self.taken += 1
        for folder in ("receipts", "rejected"):
            for path in (self._province.spool(POLICE) / folder).iterdir():
                if not path.name.startswith("."):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def soak(minutes: float, per_second: float, *, every_s: float = SAMPLE_S) -> dict[str, object]:
    """Run it. Returns: counts and the slopes of all processes. Raises: RuntimeError where something
    that was accepted did not arrive exactly once.
    """
    with tempfile.TemporaryDirectory(prefix="frontgate-soak-") as folder:
        province = Province(Path(folder), rescan_s=30, daemon=Spawned)
        settings = Path(folder) / "hub" / "hub.toml"
        settings.write_text(settings.read_text().replace("project = false", "project = true"))
        province.start()
        traffic = Traffic(province)
        try:
            province.drop(POLICE, "warm.xml", message(ref="warm"))
            if not wait_for(lambda: province.entries(PROCURATORATE), 60):
                raise RuntimeError(province.log(POLICE))
            traffic.take()
            traffic.taken = 0
            samples = Samples(province, every_s)
            _run(province, traffic, minutes * 60, per_second)

            def is_done() -> bool:
                traffic.take()
                return traffic.taken >= traffic.new

            wait_for(is_done, 120, pause_s=0.5)
            slopes = samples.close()
            time.sleep(2)
            traffic.take()
        finally:
            codes = province.stop()
        if traffic.taken != traffic.new:
            raise RuntimeError(f"{traffic.new} accepted, {traffic.taken} arrived")
        return {
            "minutes": minutes,
            "per_second": per_second,
            "new": traffic.new,
            "refused": traffic.refused,
            "repeated": traffic.repeated,
            "exit_codes": codes,
            "slopes": [{**asdict(s), "grows": s.grows} for s in slopes],
            "samples": samples.taken,
        }


def _run(province: Province, traffic: Traffic, seconds: float, per_second: float) -> None:
    began = asked = time.monotonic()
    number = 0
    while (now := time.monotonic()) - began < seconds:
        traffic.drop(number)
        number += 1
        if number % max(1, int(per_second)) == 0:
            traffic.take()
        if now - asked >= ASK_S:
            asked = now
            for name in province.processes:
                socket = province.home / name / "state" / "control.sock"
                if ask(socket, {"act": "status"}) is None:
                    raise RuntimeError(f"{name} does not answer")
        time.sleep(max(0.0, began + number / per_second - time.monotonic()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.soak")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--per-second", type=float, default=5.0)
    options = parser.parse_args()
    found = soak(options.minutes, options.per_second)
    out = Path(__file__).parent / "out"
    out.mkdir(exist_ok=True)
    (out / "soak.json").write_text(json.dumps(found, indent=1))
    print({key: value for key, value in found.items() if key not in ("slopes", "samples")})
    slopes = found["slopes"]
    assert isinstance(slopes, list)
    print(f"{'process':<24}{'samples':>8}{'first':>9}{'last':>9}{'MiB/h':>9}{'±':>7}")
    for s in slopes:
        mark = "  grows" if s["grows"] else ""
        print(
            f"{s['process']:<24}{s['samples']:>8}{s['first']:>9.1f}{s['last']:>9.1f}"
            f"{s['mib_an_hour']:>9.2f}{s['error']:>7.2f}{mark}"
        )
    return 1 if any(s["grows"] for s in slopes) else 0


if __name__ == "__main__":
    sys.exit(main())
