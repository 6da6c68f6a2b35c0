"""The synchronising of one drop alone: what its way from `outbound/` to `inbound/` must wait for on this disk.

Usage: `python -m benchmarks.chain [--rounds 40]`. As many files, folders and commits are synced, in the same
order, by one process that does nothing else: no checks, no seals, no line. With this durability no drop is there
sooner.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import apsw

CHAIN = (
    *("file", "folder", "commit", "commit"),  # sender: its segment, admitted, bundle composed
    *("file", "folder"),  # SFTP server: the upload
    *(
        "file",
        "folder",
        "commit",
        "commit",
        "file",
        "folder",
    ),  # hub: its segment, taken, composed, placed
    *("file", "folder", "commit"),  # receiver: its segment, taken
    *(
        "file",
        "folder",
        "folder",
        "folder",
        "commit",
    ),  # and the entry: file, itself, staged, renamed
)
"""The critical path: what follows a hand-over (`sent`, receipts) runs beside it."""


class Chain:
    """One folder and one journal for all four."""

    def __init__(self, home: Path, size_bytes: int) -> None:
        self._home = home
        self._data = os.urandom(size_bytes)
        self._fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
        self._db = apsw.Connection(str(home / "journal.db"))
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("CREATE TABLE step (id INTEGER PRIMARY KEY, data BLOB)")
        self._number = 0

    def once(self) -> float:
        """Milliseconds of one drop."""
        began = time.perf_counter()
        for step in CHAIN:
            getattr(self, f"_{step}")()
        return (time.perf_counter() - began) * 1000

    def _file(self) -> None:
        self._number += 1
        path = self._home / f"{self._number}.tmp"
        with path.open("xb") as file:
            file.write(self._data)
            file.flush()
            os.fsync(file.fileno())
        path.rename(path.with_suffix(".done"))

    def _folder(self) -> None:
        os.fsync(self._fd)

    def _commit(self) -> None:
        self._db.execute("INSERT INTO step (data) VALUES (zeroblob(1000))")

    def close(self) -> None:
        self._db.close()
        os.close(self._fd)


def chain(rounds: int, size_bytes: int = 20_000) -> list[float]:
    """Milliseconds of each round."""
    with tempfile.TemporaryDirectory(prefix="frontgate-bench-") as folder:
        made = Chain(Path(folder), size_bytes)
        try:
            made.once()
            return [made.once() for _ in range(rounds)]
        finally:
            made.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.chain")
    parser.add_argument("--rounds", type=int, default=40)
    found = chain(parser.parse_args().rounds)
    print(
        f"{len(CHAIN)} steps: median {statistics.median(found):.1f} ms"
        f" ({min(found):.1f} to {max(found):.1f})"
    )


if __name__ == "__main__":
    main()
