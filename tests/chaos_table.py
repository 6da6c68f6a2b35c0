"""The table of faults tried: tests add rows, one command prints them.

A test of any section says with `begin` that it sets out to try a kind of fault, and with `end`, after
its last assertion, what came of it. One that failed or was killed in between never ends, and stands
in the table as broken. Where the variable FRONTGATE_CHAOS_ROWS names a file, both go there as JSON
lines; `./dev chaos` and `./dev chaos-quick` set it and print all rows at the end:
`python tests/chaos_table.py FILE`. `is_long()` says which of the two is asked for; a plain run of
pytest is the quick one.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROWS = "FRONTGATE_CHAOS_ROWS"
LONG = "FRONTGATE_CHAOS"


def is_long() -> bool:
    """Whether the long form was asked for."""
    return os.environ.get(LONG) == "long"


@dataclass(frozen=True, slots=True)
class Begun:
    """A kind of fault that is being tried. mark: tells it from all others."""

    section: str
    fault: str
    mark: str

    def end(
        self,
        *,
        tried: int,
        lost: int = 0,
        twice: int = 0,
        silent: int = 0,
        broken: int = 0,
        seconds: float = 0.0,
        replay: Sequence[str] = (),
    ) -> None:
        """What came of it. tried: how many faults. lost, twice, silent: messages. broken: other promises.
        replay: a command for each that failed.
        """
        _write(
            {
                "section": self.section, "fault": self.fault, "ended": self.mark, "tried": tried,
                "lost": lost, "twice": twice, "silent": silent, "broken": broken,
                "seconds": round(seconds, 1), "replay": list(replay),
            }
        )  # fmt: skip


def begin(section: str, fault: str) -> Begun:
    """Set out to try one kind of fault. section: `kill`, `network`, `simulation` …"""
    begun = Begun(section, fault, uuid.uuid4().hex)
    _write({"section": section, "fault": fault, "began": begun.mark})
    return begun


def _write(row: dict[str, object]) -> None:
    path = os.environ.get(ROWS)
    if not path:
        return
    line = json.dumps(row, ensure_ascii=False) + "\n"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def table(path: Path) -> tuple[str, bool]:
    """(the text, whether nothing failed). Rows of the same section and fault are added up; what began
    and did not end counts as broken.
    """
    names = ("tried", "lost", "twice", "silent", "broken", "seconds")
    sums: dict[tuple[str, str], dict[str, float]] = {}
    replays: list[str] = []
    open_: dict[str, tuple[str, str]] = {}
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        row = json.loads(line)
        kind = (row["section"], row["fault"])
        total = sums.setdefault(kind, dict.fromkeys(names, 0))
        if "began" in row:
            open_[row["began"]] = kind
            continue
        open_.pop(row["ended"])
        for name in names:
            total[name] += row[name]
        replays += row["replay"]
    for kind in open_.values():
        sums[kind]["broken"] += 1
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
    lines += [f"did not end: {section}, {fault}" for section, fault in sorted(open_.values())]
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
