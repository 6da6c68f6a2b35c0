"""What is remembered of entries that have yet to settle: since when each is as it is, and little more."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

from frontgate.spool.quiet import UNKNOWN, State, state_of
from frontgate.spool.unsettled import MOST, Unsettled


def test_an_entry_is_as_it_is_since_it_was_first_seen_so() -> None:
    unsettled = Unsettled()
    first = unsettled.see(b"a", State(b"1", 0.0))
    assert unsettled.see(b"a", State(b"1", 5.0)) == first
    changed = unsettled.see(b"a", State(b"2", 0.0))
    assert changed > first
    assert unsettled.see(b"a", UNKNOWN) > changed
    assert unsettled.see(b"b", UNKNOWN) > 0.0


def test_every_change_of_a_file_shows_whatever_times_it_has(tmp_path: Path) -> None:
    path = tmp_path / "a"
    marks: list[bytes] = []
    for size, seconds in ((0, 0), (1, 0), (1, -(2**31)), (1, 2**33), (1, 2**33 + 1)):
        path.write_bytes(b"x" * size)
        os.utime(path, (0, seconds))
        marks.append(state_of(path.stat()).mark)
    assert len(set(marks)) == len(marks)


def test_an_entry_takes_little(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    info = path.stat()
    unsettled = Unsettled()
    entries = MOST // 4
    tracemalloc.start()
    try:
        for n in range(entries):
            unsettled.see(b"d%07d.xml" % n, state_of(info))
        now, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(unsettled.names(entries + 1)) == entries
    assert now / entries < 330
