"""One table: metric, frontgate, peer, ratio, limit. `./dev bench`; `./dev bench-quick` in two minutes.

Every ratio comes from rounds in which frontgate and the peer take turns on this machine; medians with
min..max. frontgate always runs with full durability, all checks, a seal a package and signed receipts;
what a peer leaves out stands in `benchmarks/README.md`. A run in which one of them loses a file
doesn't count: it raises.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from benchmarks import check, scan
from benchmarks.chain import chain
from benchmarks.crowd import crowd
from benchmarks.floor import floor
from benchmarks.peers import copies, sshd
from benchmarks.peers.shell import Pipeline
from benchmarks.run import (
    POLICE,
    PROCURATORATE,
    SERVERS,
    Server,
    attachment,
    latency,
    message_of,
    plain_openssh,
    started,
    throughput,
)
from frontgate.heap import keep_freed
from frontgate.transports.sftp import connect_sftp

OUT = Path(__file__).parent / "out"


@dataclass
class Row:
    """ours, theirs: one value a round, in `unit`; no theirs where the goal is a figure of its own.
    higher: whether more is better. limits: what this machine allows at all, one value a round.
    """

    metric: str
    peer: str
    unit: str
    goal: str
    higher: bool = True
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        if not self.theirs:
            return []
        return [a / b for a, b in zip(self.ours, self.theirs, strict=True)]


def spread(values: list[float]) -> str:
    if not values:
        return "–"
    return f"{statistics.median(values):.3g} ({min(values):.3g}..{max(values):.3g})"


def small_files(rounds: int, count: int, shell_count: int) -> list[Row]:
    """Drop to delivered with all receipts, against copies, the shell pipeline, and the cores by what one
    package takes of them. Limit: the cores by what libraries and the kernel take for a package.
    """
    rows = {
        "lftp": Row("20 KB, drop → delivered", "lftp mirror -P4, bare copy", "/s", "≥ 0.7x"),
        "rclone": Row("20 KB, drop → delivered", "rclone move, bare copy", "/s", "≥ 1.3x"),
        "sftp": Row("20 KB, drop → delivered", "sftp -b, put -f, one hop", "/s", ""),
        "shell": Row("20 KB, drop → delivered", "shell pipeline, same job", "/s", "≥ 20x"),
        "cores": Row("20 KB, drop → delivered", "the cores by its processor time", "/s", "≥ 0.75x"),
    }
    data = message_of(20_000, "peer")
    with tempfile.TemporaryDirectory(prefix="frontgate-bench-") as name:
        folder = Path(name)
        server = sshd.start(folder / "ssh")
        try:
            acts: dict[str, Callable[[Path, Path], float]] = {
                "lftp": lambda a, b: copies.lftp_mirror(server, a, b),
                "rclone": lambda a, b: copies.rclone_move(server, a, b),
                "sftp": lambda a, b: copies.sftp_batch(server, a, b),
            }
            for number in range(rounds):
                run = throughput(count, 20_000)
                ours = float(str(run["per_second_delivered"]))
                processor_ms = cast(dict[str, float], run["cpu_ms"])["sum"]
                cores_ms = (os.cpu_count() or 1) * 1000
                rows["cores"].ours.append(ours)
                rows["cores"].theirs.append(cores_ms / processor_ms)
                alone = cores_ms / sum(floor(count).values())
                for row in rows.values():
                    row.limits.append(alone)
                for key, act in acts.items():
                    source, target = folder / f"{key}-in", folder / f"{key}-out"
                    copies.fill(source, count, data)
                    seconds = act(source, target)
                    if sum(1 for _ in os.scandir(target)) != count:
                        raise RuntimeError(f"{key} lost files")
                    rows[key].ours.append(ours)
                    rows[key].theirs.append(count / seconds)
                pipeline = Pipeline(server, folder / f"shell-{number}")
                try:
                    seconds = pipeline.run(shell_count, data, 600)
                finally:
                    pipeline.close()
                rows["shell"].ours.append(ours)
                rows["shell"].theirs.append(shell_count / seconds)
        finally:
            server.stop()
    return list(rows.values())


def one_at_a_time(rounds: int, packages: int) -> list[Row]:
    """Latency from drop to delivered at ten a second; of the shell at one a second. Limit: what the way must wait
    for, disk and line.
    """
    p50 = Row("latency p50 at 10/s", "shell pipeline at 1/s", "ms", "≤ 15 ms", higher=False)
    p99 = Row("latency p99 at 10/s", "shell pipeline, slowest", "ms", "≤ 60 ms", higher=False)
    data = message_of(20_000, "peer")
    with tempfile.TemporaryDirectory(prefix="frontgate-bench-") as name:
        folder = Path(name)
        server = sshd.start(folder / "ssh")
        try:
            for number in range(rounds):
                found = latency(packages, 10, 20_000)
                pipeline = Pipeline(server, folder / f"shell-{number}")
                waits = []
                try:
                    for one in range(8):
                        path = pipeline.outbound / f"{one}.tmp"
                        path.write_bytes(data)
                        began = time.perf_counter()
                        path.rename(path.with_suffix(".xml"))
                        while not (pipeline.inbound / f"{one}.xml").exists():
                            if time.perf_counter() - began > 60:
                                raise RuntimeError("the shell pipeline did not deliver")
                            time.sleep(0.002)
                        waits.append((time.perf_counter() - began) * 1000)
                        time.sleep(0.3)
                finally:
                    pipeline.close()
                p50.ours.append(float(str(found["p50_ms"])))
                p50.theirs.append(statistics.median(waits))
                p99.ours.append(float(str(found["p99_ms"])))
                p99.theirs.append(max(waits))
                syncs = sorted(chain(packages, wire=True))
                p50.limits.append(statistics.median(syncs))
                p99.limits.append(syncs[int(len(syncs) * 0.99)])
        finally:
            server.stop()
    return [p50, p99]


def plain_server(rounds: int, packages: int) -> list[Row]:
    """Latency with OpenSSH at the hub, where gateways look for a bell file. Needs root."""
    row = Row("latency p50, plain OpenSSH", "", "ms", "≤ 300 ms", higher=False)
    for _ in range(rounds):
        row.ours.append(float(str(latency(packages, 10, 20_000, plain_openssh)["p50_ms"])))
    return [row]


def backlog(few: int, many: int) -> list[Row]:
    """A backlog drains at the same rate however long it is, in the same memory."""
    small, large = throughput(few, 20_000), throughput(many, 20_000)
    rate, again = (float(str(run["per_second_delivered"])) for run in (large, small))
    rows = [
        Row(f"rate, {many} waiting", f"{few} waiting", "/s", "≥ 0.95x", ours=[rate], theirs=[again])
    ]
    peaks = [cast(dict[str, float], run["peak_mib"]) for run in (large, small)]
    for node, ours in peaks[0].items():
        name = {POLICE: "sender", PROCURATORATE: "receiver"}.get(node, node)
        rows.append(
            Row(f"memory of the {name}, {many}", f"{few} waiting", "MiB", "+5 MiB", higher=False,
                ours=[ours], theirs=[peaks[1][node]])
        )  # fmt: skip
    return rows


def first_of(rounds: int, drops: int) -> list[Row]:
    """A start with very many drops: the first is under way, then all are looked at."""
    found, few = scan.run(drops, 0), drops // 10  # more windows than one cost a start nothing
    starts = [started(few) for _ in range(rounds)]
    return [
        Row(f"{few} drops: start to first", "", "s", "≤ 1 s", higher=False, ours=starts),
        Row(f"{drops} drops: all seen", "", "s", "≤ 60 s", higher=False, ours=[found["scan_s"]]),
        Row(f"{drops} drops: memory", "", "MB", "≤ 300 MB", higher=False, ours=[found["peak_mb"]]),
    ]  # fmt: skip


def idle_units(units: int) -> list[Row]:
    """Units that hold a connection and do nothing, and all of them after a restart of the hub."""
    found = crowd(units)
    goals = {
        "kb_a_unit": ("memory of each", "kB", "≤ 150 kB"),
        "idle_percent_of_a_core": ("share of a core", "%", "≤ 0.5 %"),
        "bell_p99_ms": ("bell p99", "ms", "≤ 10 ms"),
        "back_s": ("all back after a restart", "s", "≤ 5 s"),
    }
    return [
        Row(f"{units} units: {what}", "", unit, goal, higher=False, ours=[found[key]])
        for key, (what, unit, goal) in goals.items()
    ]


def bulk(rounds: int, size_bytes: int) -> list[Row]:
    """One large attachment: over both hops, from drop to delivered; and one hop by our transport alone. Limit:
    `sftp` with fsync and a digest beside it.
    """
    whole = "attachment, drop → delivered"
    hops = {
        name: Row(f"one hop, {name} server", "plain sftp", "MB/s", "≥ 0.8x") for name in SERVERS
    }
    both = Row(whole, "plain sftp, one hop", "MB/s", "≥ 0.8x a hop")
    careful = Row(whole, "sha256sum, then sftp", "MB/s", "≥ 1.8x a hop")
    hashed = Row("one hop, openssh server", "sha256sum, then sftp", "MB/s", "≥ 1.8x")
    with tempfile.TemporaryDirectory(prefix="frontgate-bench-") as name:
        folder = Path(name)
        server = sshd.start(folder / "ssh")
        try:
            file = folder / "large"
            with file.open("wb") as out:
                for _ in range(size_bytes >> 20):
                    out.write(os.urandom(1 << 20))
            for _ in range(rounds):
                ours = float(str(attachment(size_bytes)["mb_per_second"]))
                speed = {act: size_bytes / 1e6 / act(server, file, folder / "bulk-out")
                         for act in (copies.sftp_bulk, copies.hashed_bulk)}  # fmt: skip
                for front, row in hops.items():
                    row.ours.append(size_bytes / 1e6 / one_hop(file, SERVERS[front]))
                    row.theirs.append(speed[copies.sftp_bulk])
                least = size_bytes / 1e6 / copies.hashed_beside(server, file, folder / "bulk-out")
                for row in (hops["openssh"], hashed):
                    row.limits.append(least)
                hashed.ours.append(hops["openssh"].ours[-1])
                hashed.theirs.append(speed[copies.hashed_bulk])
                for row, peer in ((both, copies.sftp_bulk), (careful, copies.hashed_bulk)):
                    row.ours.append(ours)
                    row.theirs.append(speed[peer])
        finally:
            server.stop()
    return [*hops.values(), hashed, both, careful]


class Hashed:
    """A file whose digest is known when it has been read: hashing in the same pass."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def seek(self, offset: int) -> int:
        return self._file.seek(offset)

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        return data


def one_hop(file: Path, front: Callable[[Path], AbstractContextManager[Server]]) -> float:
    """Seconds to put one file durably under its name: hashed, windowed, fsync of file and folder."""
    with (
        tempfile.TemporaryDirectory(prefix="frontgate-bench-") as name,
        front(Path(name)) as server,
        contextlib.closing(connect_sftp(server.peer)) as transport,
        file.open("rb") as data,
    ):
        began = time.perf_counter()
        transport.put(f"{1:016d}-{'0' * 64}.bundle", Hashed(data), file.stat().st_size)
        return time.perf_counter() - began


def checking(rounds: int) -> list[Row]:
    """A full check against parsing and bare libxml2 validation of the same file."""
    row = Row("full check of 20 KB", "parse + bare XSD", "ms", "≤ 1.6x", higher=False)
    found = check.pairs(rounds, 20_000)
    row.ours, row.theirs = found["full"], found["bare"]
    return [row]


def start_up(rounds: int) -> list[Row]:
    """`frontgate status --help`, against a bare interpreter."""
    row = Row("start of the command line", "python -c pass", "s", "≤ 0.25 s", higher=False)
    for _ in range(rounds):
        for values, command in (
            (row.ours, [sys.executable, "-m", "frontgate", "status", "--help"]),
            (row.theirs, [sys.executable, "-c", "pass"]),
        ):
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            values.append(time.perf_counter() - began)
    return [row]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.table", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", help="parts, by name, with commas")
    options = parser.parse_args()
    quick = options.quick
    parts: dict[str, Callable[[], list[Row]]] = {
        "checking": lambda: checking(9 if quick else 31),
        "start_up": lambda: start_up(3 if quick else 9),
        "small_files": lambda: small_files(*((1, 200, 60) if quick else (5, 1000, 256))),
        "one_at_a_time": lambda: one_at_a_time(*((1, 40) if quick else (5, 100))),
        "plain_server": lambda: plain_server(*((1, 20) if quick else (3, 100))),
        "backlog": lambda: backlog(*((200, 400) if quick else (1000, 10_000))),
        "first_of": lambda: first_of(*((1, 20_000) if quick else (5, 1_000_000))),
        "idle_units": lambda: idle_units(50 if quick else 500),
        "bulk": lambda: bulk(*((1, 128 << 20) if quick else (5, 1 << 30))),
    }
    wanted = [p for p in options.only.split(",") if p] or list(parts)
    keep_freed()  # as a gateway does, whose transport is measured
    rows: list[Row] = []
    OUT.mkdir(exist_ok=True)
    try:
        for name in wanted:
            began = time.monotonic()
            rows += parts[name]()
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    finally:
        show(rows)


def show(rows: list[Row]) -> None:
    """The table, and the same as JSON; what was measured before something failed is not lost."""
    (OUT / "table.json").write_text(
        json.dumps([{**asdict(row), "ratios": row.ratios} for row in rows], indent=1)
    )
    print(f"{'metric':<36}{'frontgate':<26}{'peer':<54}{'ratio':<24}{'limit':<24}goal")
    for row in rows:
        peer = f"{row.peer}: {spread(row.theirs)} {row.unit}" if row.peer else "–"
        ours = f"{spread(row.ours)} {row.unit}"
        print(
            f"{row.metric:<36}{ours:<26}{peer:<54}{spread(row.ratios):<24}{spread(row.limits):<24}{row.goal}"
        )


if __name__ == "__main__":
    main()
