"""Whether a hot path has become dearer: its cost against that of its libraries alone, in one run.

Each ratio is held against the last accepted one (`accepted.json`). The least of many short rounds
of CPU time is taken on both sides, so that a busy machine changes little, and the limit is wide.
Run: python -m benchmarks.regress; after a change that is worth its price: --accept.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.check import alternate, pairs
from benchmarks.seal import acts

ACCEPTED = Path(__file__).with_name("accepted.json")
LIMIT = 1.75
"""A ratio above this many times the accepted one is a regression."""
ROUNDS = 25


def ratios() -> dict[str, float]:
    """Hot path → its CPU time over that of the bare libraries."""
    found = pairs(ROUNDS, 20_000)
    result = {"check": min(found["full"]) / min(found["bare"])}
    with acts() as all_acts:
        times = alternate(all_acts, ROUNDS, 12)
    for name in times:
        if not name.startswith("bare_"):
            result[name] = min(times[name]) / min(times[f"bare_{name}"])
    return {name: round(value, 2) for name, value in result.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accept", action="store_true", help="make this run's ratios the accepted")
    options = parser.parse_args()
    found = ratios()
    if options.accept:
        ACCEPTED.write_text(json.dumps(found, indent=1) + "\n")
    accepted: dict[str, float] = json.loads(ACCEPTED.read_text())
    bad = 0
    for name, value in found.items():
        is_dearer = value > LIMIT * accepted[name]
        bad += is_dearer
        mark = "✗" if is_dearer else "✓"
        print(f"{mark} {name:<18} {value:6.2f} x its libraries, accepted {accepted[name]:.2f}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
