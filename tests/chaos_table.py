"""The table of faults tried: tests add rows, one command prints them.

A test of any section calls `add_row` once for each kind of fault that it tried. Where the variable
FRONTGATE_CHAOS_ROWS names a file, the row goes there as one JSON line; `./dev chaos` and
`./dev chaos-quick` set it and print all rows at the end: `python tests/chaos_table.py FILE`.
`is_long()` says which of the two is asked for; a plain run of pytest is the quick one.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

ROWS = "FRONTGATE_CHAOS_ROWS"
LONG = "FRONTGATE_CHAOS"


def is_long() -> bool:
    """Whether the long form was asked for."""
    return os.environ.get(LONG) == "long"


def add_row(
    section: str,
    fault: str,
    *,
    tried: int,
    lost: int = 0,
    twice: int = 0,
    silent: int = 0,
    broken: int = 0,
    seconds: float = 0.0,
    replay: Sequence[str] = (),
) -> None:
    """One kind of fault and what came of it. section: `kill`, `network`, `simulation` … tried: how
    many faults. lost, twice, silent: messages. broken: other promises. replay: a command for each
    that failed.
    """
    row = {
        "section": section, "fault": fault, "tried": tried, "lost": lost, "twice": twice,
        "silent": silent, "broken": broken, "seconds": round(seconds, 1), "replay": list(replay),
    }  # fmt: skip
    path = os.environ.get(ROWS)
    if path:
        line = json.dumps(row, ensure_ascii=False) + "\n"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)


def table(path: Path) -> tuple[str, bool]:
    """(the text, whether nothing failed). Rows of the same section and fault are added up."""
    names = ("tried", "lost", "twice", "silent", "broken", "seconds")
    sums: dict[tuple[str, str], dict[str, float]] = {}
    replays: list[str] = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        row = json.loads(line)
        total = sums.setdefault((row["section"], row["fault"]), dict.fromkeys(names, 0))
        for name in names:
            total[name] += row[name]
        replays += row["replay"]
    widths = [max((_width(k[n]) for k in sums), default=8) for n in (0, 1)]
    head = f"{'section':<{widths[0]}}  {'fault':<{widths[1]}}" + "".join(f"{n:>9}" for n in names)
    lines = [head, "-" * len(head)]
    for (section, fault), total in sorted(sums.items()):
        numbers = "".join(
            f"{total[n]:>9.0f}" if n != "seconds" else f"{total[n]:>9.1f}" for n in names
        )
        lines.append(f"{_pad(section, widths[0])}  {_pad(fault, widths[1])}{numbers}")
    all_of = {n: sum(t[n] for t in sums.values()) for n in names}
    lines.append("-" * len(head))
    lines.append(
        f"{all_of['tried']:.0f} faults tried: lost={all_of['lost']:.0f} twice={all_of['twice']:.0f}"
        f" silent={all_of['silent']:.0f} broken={all_of['broken']:.0f}"
    )
    lines += [f"replay: {command}" for command in replays[:50]]
    good = bool(sums) and not any(all_of[n] for n in ("lost", "twice", "silent", "broken"))
    return "\n".join(lines), good


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


if __name__ == "__main__":
    shown, is_good = table(Path(sys.argv[1]))
    print(shown)
    sys.exit(0 if is_good else 1)
