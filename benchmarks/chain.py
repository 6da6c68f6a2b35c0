"""What the way of one drop from `outbound/` to `inbound/` must wait for on this machine: disk and line.

Usage: `python -m benchmarks.chain [--rounds 40] [--per-second 10]`. As many files, folders and commits are synced as on
that way, in the same order, by one process that does nothing else; with `--wire` it also uploads the bundle to
the embedded server, finds it there and downloads it, over connections that stand. No checks, no seals, no notice, no
hand-over from one thread or process to the next: with this durability, these libraries and this rate no drop is
there sooner.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from pathlib import Path

import apsw

from benchmarks.run import SERVERS, Server
from frontgate.heap import keep_freed
from frontgate.transports import Transport
from frontgate.transports.sftp import connect_sftp

SENDER = ("file", "folder", "commit", "commit")  # its segment, admitted, bundle composed
UPLOAD = ("file", "folder")  # what the SFTP server syncs
HUB = ("file", "folder", "commit", "commit", "file", "folder")  # segment, taken, composed, placed
RECEIVER = (
    *("file", "folder", "commit"),  # its segment, taken
    *("file", "folder", "folder", "folder", "commit"),  # the entry: file, itself, staged, renamed
)
SYNCS = SENDER + UPLOAD + HUB + RECEIVER
"""The critical path: what follows a hand-over (`sent`, receipts) runs beside it."""
WIRED = (*SENDER, "upload", *HUB, "download", *RECEIVER)


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

    def once(self, steps: tuple[str, ...] = SYNCS) -> float:
        """Milliseconds of one drop."""
        began = time.perf_counter()
        for step in steps:
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


class Wired(Chain):
    """With a line to the embedded server, which stands for both hops."""

    def __init__(self, home: Path, size_bytes: int, server: Server, line: Transport) -> None:
        super().__init__(home, size_bytes)
        self._server = server
        self._line = line

    @property
    def _name(self) -> str:
        return f"{self._number:016d}-{'0' * 64}.bundle"

    def _upload(self) -> None:
        path = self._home / f"{self._number}.done"
        with path.open("rb") as file:
            self._line.put(self._name, file, path.stat().st_size)

    def _download(self) -> None:
        self._server.place(self._name, self._data)
        got = bytearray()
        (entry,) = self._line.entries()
        self._line.get(entry.name, got.extend)
        if got != self._data:
            raise RuntimeError("other bytes came")

    def clear(self) -> None:
        """Off the way: a receiver removes what it has, and a hub what it took."""
        for name in self._line.entries():
            self._line.remove(name.name)
        for path in (self._server.home / "to-hub").iterdir():
            path.unlink()


def chain(
    rounds: int, size_bytes: int = 20_000, *, per_second: float = 10, wire: bool = False
) -> list[float]:
    """Milliseconds of each round, at that rate. wire: with the line."""
    with (
        tempfile.TemporaryDirectory(prefix="frontgate-bench-") as folder,
        contextlib.ExitStack() as stack,
    ):
        home = Path(folder) / "chain"
        home.mkdir()
        if wire:
            server = stack.enter_context(SERVERS["embedded"](Path(folder)))
            line = stack.enter_context(contextlib.closing(connect_sftp(server.peer)))
            made: Chain = Wired(home, size_bytes, server, line)
        else:
            made = Chain(home, size_bytes)
        stack.callback(made.close)
        found: list[float] = []
        for _ in range(rounds + 1):
            found.append(made.once(WIRED if wire else SYNCS))
            if isinstance(made, Wired):
                made.clear()
            time.sleep(1 / per_second)
        return found[1:]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.chain")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--per-second", type=float, default=10)
    parser.add_argument("--wire", action="store_true")
    options = parser.parse_args()
    keep_freed()
    found = chain(options.rounds, per_second=options.per_second, wire=options.wire)
    print(
        f"{len(SYNCS)} syncs: median {statistics.median(found):.1f} ms"
        f" ({min(found):.1f} to {max(found):.1f})"
    )


if __name__ == "__main__":
    main()
