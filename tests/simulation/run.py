"""Run seeds from the command line: `./dev simulate --seeds 0-199`.

Prints a line for each failing seed with the command that replays it, then a table of the faults that
were tried. `--trace` prints every event of the seeds. Exit code 0: every seed kept every promise.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import os
import sys
import threading
import time
from collections import Counter

import structlog

from .history import History, play
from .province import forget_template

STUCK_S = 600.0
"""Seconds that one seed may take; the slowest takes a few."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./dev simulate")
    parser.add_argument("--seeds", default="0-199", help="FROM-TO, or numbers with commas")
    parser.add_argument("--trace", action="store_true", help="print every event")
    parser.add_argument("--most", type=int, default=20, help="stop after so many failing seeds")
    given = parser.parse_args(arguments)
    be_quiet()
    began = time.monotonic()
    total: Counter[str] = Counter()
    failed: list[int] = []
    seeds = _seeds(given.seeds)
    gc.disable()  # collected between seeds
    tried = 0
    slowest = 0.0
    for seed in seeds:
        watch = threading.Timer(STUCK_S, _give_up, (seed,))
        watch.daemon = True
        watch.start()
        history = play(seed, is_told_all=given.trace)
        watch.cancel()
        tried += 1
        total.update(history.counts)
        total.update(drops=history.drops, taken=history.taken, turns=history.turns)
        slowest = max(slowest, history.settled_s)
        if given.trace:
            print("\n".join(history.trace))
        if history.findings:
            failed.append(seed)
            print(report(history), flush=True)
            if len(failed) >= given.most:
                break
        if tried % 20 == 0:
            gc.collect()
    took = time.monotonic() - began
    for what in sorted(total):
        print(f"{what:20} {total[what]}")
    print(f"longest way to peace {slowest:.0f} s of virtual time")
    print(f"{tried} seeds in {took:.1f} s, {len(failed)} failed: {failed[:50]}")
    forget_template()
    return 1 if failed else 0


def _give_up(seed: int) -> None:
    """A seed that stands still is told like one that fails, with where it stands."""
    print(f"seed {seed}: stands still\n  replay: {replay(seed)}", flush=True)
    faulthandler.dump_traceback()
    os._exit(1)


def report(history: History) -> str:
    """What is wrong with a seed, and the one command that shows its every event."""
    lines = [f"seed {history.seed}:", *(f"  {text}" for text in history.findings[:12])]
    lines.append(f"  replay: {replay(history.seed)}")
    return "\n".join(lines)


def replay(seed: int) -> str:
    """The command that plays a seed again and prints its every event."""
    return f"./dev simulate --trace --seeds {seed}"


def be_quiet() -> None:
    """No logs: the trace tells what happened."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(50), cache_logger_on_first_use=False
    )


def _seeds(text: str) -> list[int]:
    found: list[int] = []
    for piece in text.split(","):
        first, _, last = piece.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


if __name__ == "__main__":
    sys.exit(main())
