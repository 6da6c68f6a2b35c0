"""`frontgate audit verify` over each node of a province: CPU seconds per 1 000 messages.

Usage: `python -m benchmarks.audit [--packages N] [--rounds N]`. N messages are exchanged by three daemons,
with receipts; then each node's whole examination (chain, signatures, stored packages, receipts,
invariants) runs as a command of its own. Goal: 2 s per 1 000 messages, on a quiet machine.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.run import message_of

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from forked import Spawned
from province import POLICE, PROCURATORATE, Province, wait_for


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--packages", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="frontgate-bench-") as folder:
        province = Province(Path(folder), rescan_s=30, daemon=Spawned)
        province.start()
        province.drop(POLICE, "first.xml", message_of(20_000, "first"))
        assert wait_for(lambda: province.entries(PROCURATORATE), 120), province.log(POLICE)
        for n in range(given.packages):
            province.drop(POLICE, f"a{n:06d}.xml", message_of(20_000, f"a{n}"))
        receipts = "SELECT count(*) FROM receipt WHERE kind = 'delivered'"
        wanted = given.packages
        done = wait_for(
            lambda: int(str(province.query(POLICE, receipts)[0][0])) >= wanted, 60 + wanted / 10
        )
        province.stop()
        assert done, "not all were delivered"
        for name in ("hub", POLICE, PROCURATORATE):
            seconds = [_verify(_config(province.home, name)) for _ in range(given.rounds)]
            per_1000 = statistics.median(seconds) * 1000 / wanted
            print(
                f"{name:12} {per_1000:6.2f} s of CPU per 1 000 ({min(seconds):.2f}..{max(seconds):.2f})"
            )
    return 0


def _config(home: Path, name: str) -> Path:
    return home / "hub" / "hub.toml" if name == "hub" else home / name / "gateway.toml"


def _verify(config: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "frontgate", "--config", str(config), "audit", "verify"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
