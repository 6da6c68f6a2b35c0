"""How long commands and daemons take to start, as a ratio to `python -c pass`.

`python -m benchmarks.starts [--rounds N]`: each is started N times, taking turns so that a noisy
machine is noisy for all; the median of the processor's seconds (user and system) and of the clock.
A test holds by name what they may load (`tests/unit/test_starts.py`).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median

from frontgate.journal import Journal

UNIT = "5201021100X"


def starts(home: str) -> dict[str, list[str]]:
    """What is started, by its name in the table: the arguments of Python."""
    command = ["-m", "frontgate", "-c", home]
    table = {"python -c pass": ["-c", "pass"]}
    for arguments in (["status"], ["list"], ["trace", "nothing"], ["--help"], ["--version"]):
        table["frontgate " + " ".join(arguments)] = [*command, *arguments]
    table["frontgate send"] = [*command, "send", os.devnull, "--wait", "0"]
    for module in (
        "frontgate.gateway.daemon",
        "frontgate.hub.daemon",
        "frontgate.hub.sftp_server",
        "frontgate.cases.process",
        "frontgate.console.server",
    ):
        table[f"import {module}"] = ["-c", f"import {module}"]
    return table


def once(arguments: list[str]) -> tuple[float, float]:
    """Start and end one process. Returns: seconds of the processor, seconds of the clock."""
    begun, at = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=False, timeout=60)
    took, ended = time.perf_counter() - at, getrusage(RUSAGE_CHILDREN)
    return ended.ru_utime - begun.ru_utime + ended.ru_stime - begun.ru_stime, took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as home:
        init = ["-m", "frontgate", "init", home, "--unit", UNIT]
        subprocess.run([sys.executable, *init], check=True, capture_output=True, timeout=60)
        journal = Path(home) / "state" / "journal.db"
        Journal.open(journal, node=f"gateway:{UNIT}").close()
        table = starts(home)
        for arguments in table.values():
            once(arguments)  # bytecode and the page cache are warm
        seen = {name: [] for name in table}
        for _ in range(rounds):
            for name, arguments in table.items():
                seen[name].append(once(arguments))
    bare = median(used for used, _ in seen["python -c pass"])
    print(f"{'':36} {'cpu s':>7} {'real s':>7} {'x pass':>7}")
    for name, figures in seen.items():
        used, took = (median(column) for column in zip(*figures, strict=True))
        print(f"{name:36} {used:7.3f} {took:7.3f} {used / bare:7.1f}")


if __name__ == "__main__":
    main()
