"""The start-up scan of an `outbound/` with very many drops: time and memory.

Usage: `python -m benchmarks.scan [--drops N] [--dir D]`. Drops are small files (empty where none is
claimed), made in D (default: a temporary folder). A process of its own then does what a gateway does at its start: it scans, takes the
first batch, and looks at everything; a second pass claims `--claim` of them. Targets: 1 000 000 drops
under 60 s and 300 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import cast

from benchmarks.peak import peak_mib
from frontgate.spool.layout import SpoolPaths, prepare
from frontgate.spool.sweep import Sweeper

TARGET_S, TARGET_MB = 60.0, 300.0


def make(paths: SpoolPaths, drops: int, *, are_empty: bool) -> None:
    """Lay out a spool with that many drops. are_empty: they are looked at alone, and never claimed."""
    prepare(paths)
    folder = os.open(paths.outbound, os.O_RDONLY | os.O_DIRECTORY)
    for n in range(drops):
        if are_empty:
            os.mknod(f"{n:07d}.xml", stat.S_IFREG | 0o660, dir_fd=folder)
            continue
        fd = os.open(f"{n:07d}.xml", os.O_WRONLY | os.O_CREAT, 0o660, dir_fd=folder)
        os.write(fd, b"<a/>")
        os.close(fd)
    os.close(folder)


def measure(paths: SpoolPaths, claim: int) -> dict[str, float]:
    """As at a start: the first batch is claimed, then everything is looked at and nothing is ready; then
    some is claimed. An empty drop is claimed too, to be refused.
    """
    base = peak_mib()
    began = time.monotonic()
    sweeper = Sweeper(paths, settle_s=0.0, incomplete_after_s=0.0)
    sweeper.start_scan(catch_up=True)
    if not sweeper.sweep([]):
        raise RuntimeError("nothing was claimed")
    first_s = time.monotonic() - began
    sweeper = Sweeper(paths, settle_s=3600.0, incomplete_after_s=3600.0)
    began = time.monotonic()
    sweeper.start_scan()
    while sweeper.is_scanning:
        sweeper.sweep([])
    scan_s = time.monotonic() - began
    claimed = 0
    sweeper = Sweeper(paths, settle_s=0.0)
    began = time.monotonic()
    sweeper.start_scan(catch_up=True)
    while claimed < claim and (found := sweeper.sweep([], 64)):
        claimed += len(found)
    claim_s = time.monotonic() - began
    peak = peak_mib()
    return {
        "first_s": first_s,
        "scan_s": scan_s,
        "claimed": claimed,
        "claim_s": claim_s,
        "base_mb": base,
        "peak_mb": peak,
    }


def run(drops: int, claim: int, folder: Path | None = None) -> dict[str, float]:
    """Lay out the drops below `folder` and measure in a process of its own. Seconds and megabytes."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        root = Path(name) / "spool"
        began = time.monotonic()
        make(SpoolPaths(root), drops, are_empty=claim == 0)
        made_s = time.monotonic() - began
        command = [sys.executable, "-m", "benchmarks.scan", "--measure", str(root)]
        done = subprocess.run(
            [*command, "--claim", str(claim)], check=True, capture_output=True, text=True
        )
    return {"made_s": made_s, **cast(dict[str, float], json.loads(done.stdout))}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scan")
    parser.add_argument("--drops", type=int, default=1_000_000)
    parser.add_argument("--claim", type=int, default=2_000)
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(SpoolPaths(arguments.measure), arguments.claim)))
        return 0
    found = run(arguments.drops, arguments.claim, arguments.dir)
    print(f"drops {arguments.drops}  made in {found['made_s']:.1f} s")
    print(f"first look {found['first_s']:.2f} s  whole scan {found['scan_s']:.1f} s")
    print(f"claimed {found['claimed']} in {found['claim_s']:.1f} s (with their first window)")
    print(f"memory {found['peak_mb']:.0f} MB at most, {found['base_mb']:.0f} MB before")
    is_good = found["scan_s"] < TARGET_S and found["peak_mb"] < TARGET_MB
    print("within the targets" if is_good else "NOT within the targets")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
