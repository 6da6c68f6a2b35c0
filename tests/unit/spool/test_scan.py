"""A scan's windows: in order whatever times files have, and small."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from frontgate.spool.beneath import Folder
from frontgate.spool.layout import SpoolPaths, prepare
from frontgate.spool.quiet import Ages
from frontgate.spool.scan import Scan

SECOND = 10**9


@pytest.fixture
def outbound(tmp_path: Path) -> Path:
    paths = SpoolPaths(tmp_path / "spool")
    prepare(paths)
    return paths.outbound


def begun(outbound: Path) -> Scan:
    scan = Scan(outbound, Ages(), lambda _: False)
    scan.start(catch_up=True)
    return scan


def test_names_come_by_time_and_then_by_name(outbound: Path) -> None:
    times = (-(10**18), -SECOND, -1, 0, 1, 255, 256, 10**18, 2**62 * SECOND)
    for n, time_ns in reversed([*enumerate(times), (9, times[-1])]):
        name = outbound / f"d{n}.xml"
        name.touch()
        os.utime(name, ns=(0, time_ns))
    scan = begun(outbound)
    with Folder.at(outbound) as folder:
        names = [entry[0] for _ in range(10) if (entry := scan.next(folder)) is not None]
        assert names == [b"d%d.xml" % n for n in range(10)]
        assert scan.next(folder) is None
    assert not scan.is_running


def test_a_window_takes_little_for_each_entry(outbound: Path) -> None:
    entries = 20_000
    for n in range(entries):
        os.mknod(outbound / f"d{n:05}.xml", 0o100660)
    scan = begun(outbound)
    with Folder.at(outbound) as folder:
        tracemalloc.start()
        try:
            assert scan.next(folder) is not None
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak / entries < 110
