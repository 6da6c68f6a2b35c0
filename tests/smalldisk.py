"""Small file systems of a test's own, to be full or read-only for real."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

DISK = "[disk]\nhigh_water_percent = 80\nreserve_bytes = 2000000\nemergency_bytes = 2000000\n"


@contextlib.contextmanager
def small_disk(at: Path, options: str) -> Iterator[Path]:
    """A tmpfs of its own, gone at the end."""
    at.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "frontgate-test", str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def remount(at: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(at)], check=True)


def fill(path: Path, leave_bytes: int) -> None:
    """Take the free space of a disk but so much."""
    with path.open("wb") as file:
        state = os.statvfs(path.parent)
        with contextlib.suppress(OSError):
            os.posix_fallocate(
                file.fileno(), 0, max(1, state.f_bavail * state.f_frsize - leave_bytes)
            )
