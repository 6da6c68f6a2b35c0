"""Hints: at once, in order, in measure, and never the only way."""

import os
import threading
import time
from pathlib import Path

from province import wait_for

from frontgate.spool.watch import MOST_HINTS, Watcher


def test_a_rename_out_of_the_folder_holds_back_no_hint(tmp_path: Path) -> None:
    """Every claim renames an entry out: the next drop must not wait for that."""
    outbound, claims = tmp_path / "outbound", tmp_path / "claims"
    outbound.mkdir()
    claims.mkdir()
    woken = threading.Event()
    watcher = Watcher([outbound], woken.set)
    watcher.start()
    try:
        slowest = 0.0
        for n in range(10):
            (tmp_path / "x").write_text("x")
            began = time.monotonic()
            os.rename(tmp_path / "x", outbound / f"{n}.xml")
            hints: list[tuple[bytes, bool]] = []
            while not hints and time.monotonic() - began < 5:
                hints = watcher.take_hints(outbound, 10)
            slowest = max(slowest, time.monotonic() - began)
            assert hints == [(f"{n}.xml".encode(), True)]
            os.rename(outbound / f"{n}.xml", claims / f"{n}.xml")
        # The observers of the library would take 0.5 s from the second one on.
        assert slowest < 0.4
    finally:
        watcher.stop()


def test_hints_are_ready_when_closed_or_renamed_and_not_when_merely_made(tmp_path: Path) -> None:
    watcher = Watcher([tmp_path], lambda: None)
    watcher.start()
    try:
        with (tmp_path / "slow.xml").open("w") as file:
            file.write("x")
            file.flush()
            assert wait_for(lambda: watcher.has_hints(tmp_path), 5)
            assert watcher.take_hints(tmp_path, 10) == [(b"slow.xml", False)]
        assert wait_for(lambda: watcher.has_hints(tmp_path), 5)
        assert watcher.take_hints(tmp_path, 10) == [(b"slow.xml", True)]
    finally:
        watcher.stop()


def test_hints_are_taken_in_measure_and_in_order(tmp_path: Path) -> None:
    watcher = Watcher([tmp_path], lambda: None)
    for n in range(150):
        watcher.hint(tmp_path, b"%d" % n, is_ready=True)
    assert [name for name, _ in watcher.take_hints(tmp_path, 64)] == [b"%d" % n for n in range(64)]
    assert len(watcher.take_hints(tmp_path, 64)) == 64
    assert watcher.has_hints(tmp_path)
    assert len(watcher.take_hints(tmp_path, 64)) == 22
    assert not watcher.has_hints(tmp_path)


def test_too_many_hints_call_for_a_full_sweep(tmp_path: Path) -> None:
    watcher = Watcher([tmp_path], lambda: None)
    assert watcher.take_behind(tmp_path), "the first look is at everything"
    assert not watcher.take_behind(tmp_path)
    for n in range(MOST_HINTS + 1):
        watcher.hint(tmp_path, b"%d" % n, is_ready=True)
    assert watcher.take_behind(tmp_path)


def test_a_swapped_folder_calls_for_a_full_sweep(tmp_path: Path) -> None:
    folder = tmp_path / "outbound"
    folder.mkdir()
    watcher = Watcher([folder], lambda: None)
    watcher.start()
    try:
        watcher.take_behind(folder)
        folder.rmdir()
        assert wait_for(lambda: watcher.take_behind(folder), 5)
    finally:
        watcher.stop()
