"""Throughput, latency and memory of three roles on this machine.

Usage: `python -m benchmarks.run [--quick] [--packages N] [--attachment BYTES]`. Prints one table and
writes `benchmarks/out/latest.json`. A hub (embedded server), a sender and a receiver run as processes;
messages of 20 KB are dropped as files; latency counts from the rename in `outbound/` to the
`delivered` event in the receiver's journal; memory is the peak resident size of each process tree;
`cpu_ms` is the processor's time of each role for one package, which other work disturbs least. Last, a gateway
is started with `--drops` waiting. `--only` runs one of the four.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import stat
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from forked import Spawned
from network.servers import SERVERS as SERVERS
from network.servers import Server as Server
from openssh import openssh_province
from province import POLICE, PROCURATORATE, Province, message, wait_for

PADDING = "　事实经过"


class Memory:
    """Watches the peak resident size of processes by name, in MiB, until it is closed."""

    def __init__(self, province: Province) -> None:
        self._province = province
        self.peaks: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            for name, process in list(self._province.processes.items()):
                total = sum(_resident(pid) for pid in _tree(process.pid))
                self.peaks[name] = max(self.peaks.get(name, 0.0), total / (1 << 20))

    def close(self) -> dict[str, float]:
        self._stop.set()
        self._thread.join()
        return {name: round(peak, 1) for name, peak in self.peaks.items()}


def _tree(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(int(child) for child in children)]


def _resident(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0


def processor_s(province: Province) -> dict[str, float]:
    """Seconds of the processor so far, by role: `hub`, its SFTP server, `sender`, `receiver`."""
    names = {POLICE: "sender", PROCURATORATE: "receiver"}
    found: dict[str, float] = {}
    for name, process in province.processes.items():
        role = names.get(name, name)
        for pid in _tree(process.pid):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
                words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            except OSError:
                continue
            key = "sftp" if "frontgate.hub.sftp_server" in words else role
            ticks = int(fields[11]) + int(fields[12])
            found[key] = found.get(key, 0.0) + ticks / os.sysconf("SC_CLK_TCK")
    return found


def spent_ms(before: dict[str, float], after: dict[str, float], packages: int) -> dict[str, float]:
    """Milliseconds of the processor for one package, by role, and their sum."""
    each = {k: round((after[k] - before.get(k, 0.0)) * 1000 / packages, 2) for k in after}
    return {**each, "sum": round(sum(each.values()), 2)}


def message_of(size_bytes: int, ref: str) -> bytes:
    """A valid message of about `size_bytes`, filled up in its reason."""
    text = message(ref=ref)
    missing = size_bytes - len(text.encode())
    # The reason holds at most 2000 characters; the rest stands in a comment, which is read as well.
    comment = "<!-- " + PADDING * (max(0, missing) // len(PADDING.encode())) + " -->"
    return text.replace("<m:Body>", f"{comment}\n  <m:Body>", 1).encode()


def _has_entries(folder: Path, count: int, timeout_s: float) -> bool:
    """Wait for so many. A look at a full folder takes the processor, and its lock from those who fill it: looks are
    twenty times as far apart as they take.
    """
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        began = time.monotonic()
        if len(os.listdir(folder)) >= count:
            return True
        time.sleep(max(0.1, 20 * (time.monotonic() - began)))
    return False


def throughput(packages: int, size_bytes: int) -> dict[str, object]:
    """Drop all at once; time until the last is delivered and all receipts are back."""
    with tempfile.TemporaryDirectory(prefix="frontgate-bench-") as folder:
        province = Province(Path(folder), rescan_s=30, daemon=Spawned)
        province.start()
        province.drop(POLICE, "warm.xml", message(ref="warm"))
        assert wait_for(lambda: province.entries(PROCURATORATE), 60), province.log(POLICE)
        texts = [message_of(size_bytes, f"b{n}") for n in range(packages)]
        memory = Memory(province)
        used = processor_s(province)
        began = time.time()
        for n, text in enumerate(texts):
            province.drop(POLICE, f"b{n:06d}.xml", text)
        done = _has_entries(
            province.spool(PROCURATORATE) / "inbound", packages + 1, packages / 10 + 60
        )
        delivered_s = time.time() - began
        wait_for(
            lambda: (
                province.query(POLICE, "SELECT count(*) FROM receipt WHERE kind = 'delivered'")[0][
                    0
                ]
                > packages
            ),
            60,  # type: ignore[operator]
            pause_s=0.1,
        )
        receipts_s = time.time() - began
        cpu = spent_ms(used, processor_s(province), packages)
        peaks = memory.close()
        province.stop()
        assert done, "not all were delivered"
        return {
            "packages": packages,
            "size_bytes": size_bytes,
            "per_second_delivered": round(packages / delivered_s, 1),
            "per_second_with_receipts": round(packages / receipts_s, 1),
            "cpu_ms": cpu,
            "peak_mib": peaks,
        }


@contextlib.contextmanager
def embedded(folder: Path) -> Iterator[Province]:
    """A province whose hub has the embedded server; not yet started."""
    yield Province(folder, rescan_s=30, daemon=Spawned)


@contextlib.contextmanager
def plain_openssh(folder: Path) -> Iterator[Province]:
    """A province whose hub has OpenSSH, without a bell of ours; not yet started. Needs root."""
    with openssh_province(folder, rescan_s=30, daemon=Spawned) as province:
        yield province


Front = Callable[[Path], contextlib.AbstractContextManager[Province]]


def stages(province: Province, dropped: dict[str, float]) -> dict[str, float]:
    """Medians of the milliseconds from a drop to the transactions on its way, each from where it began.

    dropped: POSIX seconds by MessageId.
    """
    admitted = "SELECT data ->> 'message', at FROM event WHERE kind = 'admitted'"
    composed = (
        "SELECT message_id, event.at FROM event JOIN transfer ON bundle_id = data ->> 'bundle'"
        " JOIN package ON package.id = package_id WHERE event.kind = 'bundle'"
    )
    delivered = "SELECT message_id, event_time FROM receipt WHERE kind = 'delivered'"
    steps = (
        ("sealed", POLICE, admitted),
        ("bundled", POLICE, composed),
        ("taken by the hub", "hub", admitted),
        ("bundled there", "hub", composed),
        ("taken by the receiver", PROCURATORATE, admitted),
        ("delivered", PROCURATORATE, delivered),
    )
    found: dict[str, float] = {}
    for name, node, sql in steps:
        waits = [
            (datetime.fromisoformat(str(at)).timestamp() - dropped[str(message)]) * 1000
            for message, at in province.query(node, sql)
            if str(message) in dropped
        ]
        found[name] = round(statistics.median(waits), 1)
    return found


def latency(
    packages: int, per_second: float, size_bytes: int, front: Front = embedded
) -> dict[str, object]:
    """Drops at a steady low rate."""
    with (
        tempfile.TemporaryDirectory(prefix="frontgate-bench-") as folder,
        front(Path(folder)) as province,
    ):
        province.start()
        province.drop(POLICE, "warm.xml", message(ref="warm"))
        assert wait_for(lambda: province.entries(PROCURATORATE), 60)
        time.sleep(1)
        used = processor_s(province)
        at: dict[str, float] = {}
        for n in range(packages):
            data = message_of(size_bytes, f"l{n}")
            at[f"l{n}"] = time.time()
            province.drop(POLICE, f"l{n}.xml", data)
            time.sleep(1 / per_second)
        assert wait_for(lambda: len(province.entries(PROCURATORATE)) > packages, 60)
        cpu = spent_ms(used, processor_s(province), packages)
        ids = {
            str(i): str(r)
            for i, r in province.query(
                POLICE, "SELECT message_id, sender_ref FROM package WHERE direction = 'out'"
            )
        }
        times = province.query(
            PROCURATORATE, "SELECT message_id, event_time FROM receipt WHERE kind = 'delivered'"
        )
        way = stages(province, {i: at[ref] for i, ref in ids.items() if ref in at})
        province.stop()
        waits = sorted(
            (datetime.fromisoformat(str(when)).timestamp() - at[ids[str(i)]]) * 1000
            for i, when in times
            if ids.get(str(i)) in at
        )
        return {
            "packages": len(waits),
            "per_second": per_second,
            "p50_ms": round(waits[len(waits) // 2], 1),
            "p99_ms": round(waits[int(len(waits) * 0.99)], 1),
            "stages_ms": way,
            "cpu_ms": cpu,
        }


REAL = 10
"""Of the drops that wait for a start, every tenth is a message; the others are empty, as unfinished files are."""


def started(drops: int) -> float:
    """Seconds from the start of a gateway, with so many drops waiting, to the transaction of its first batch."""
    admitted = "SELECT at FROM event WHERE kind = 'admitted' AND seq > ? ORDER BY seq LIMIT 1"
    with tempfile.TemporaryDirectory(prefix="frontgate-bench-") as folder:
        province = Province(Path(folder), rescan_s=30, daemon=Spawned)
        try:
            province.start()
            province.drop(POLICE, "warm.xml", message(ref="warm"))
            assert wait_for(lambda: province.entries(PROCURATORATE), 60)
            gateway = province.processes.pop(POLICE)
            gateway.terminate()
            gateway.wait(15)
            outbound = province.spool(POLICE) / "outbound"
            for n in range(drops):
                path = outbound / f"d{n:07d}.xml"
                if n % REAL:
                    os.mknod(path, stat.S_IFREG | 0o660)
                else:
                    path.write_text(message(ref=f"d{n}"), "utf-8")
            time.sleep(3)
            ((last,),) = province.query(POLICE, "SELECT max(seq) FROM event")
            began = time.time()
            province.start(POLICE)
            assert wait_for(lambda: province.query(POLICE, admitted, last), 120, pause_s=0.1)
            ((at,),) = province.query(POLICE, admitted, last)
            return datetime.fromisoformat(str(at)).timestamp() - began
        finally:
            province.stop()


def attachment(size_bytes: int) -> dict[str, object]:
    """One package with one large file."""
    with tempfile.TemporaryDirectory(prefix="frontgate-bench-") as folder:
        province = Province(Path(folder), rescan_s=30, daemon=Spawned)
        province.start()
        province.drop(POLICE, "warm.xml", message(ref="warm"))
        assert wait_for(lambda: province.entries(PROCURATORATE), 60)
        text = message("arrest-request/supplement").replace(
            "<m:Bytes>9000", f"<m:Bytes>{size_bytes}"
        )
        folder_ = province.spool(POLICE) / "outbound" / "big.tmp"
        (folder_ / "files").mkdir(parents=True)
        with (folder_ / "files" / "证据材料卷3.pdf").open("wb") as file:
            block = os.urandom(1 << 20)
            for _ in range(size_bytes >> 20):
                file.write(block)
            file.write(block[: size_bytes & ((1 << 20) - 1)])
        (folder_ / "message.xml").write_text(text, encoding="utf-8")
        memory = Memory(province)
        time.sleep(0.5)
        base = {name: round(peak, 1) for name, peak in memory.peaks.items()}
        began = time.time()
        folder_.rename(folder_.with_name("big"))
        arrived = wait_for(
            lambda: any("supplement" in n for n in province.entries(PROCURATORATE)), 1200
        )
        seconds = time.time() - began
        peaks = memory.close()
        province.stop()
        assert arrived, "the large package did not arrive"
        return {
            "size_bytes": size_bytes,
            "seconds": round(seconds, 1),
            "mb_per_second": round(size_bytes / 1e6 / seconds, 1),
            "base_mib": base,
            "peak_mib": peaks,
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.run")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--packages", type=int, default=0)
    parser.add_argument("--attachment", type=int, default=-1, metavar="BYTES")
    parser.add_argument("--only", choices=("throughput", "latency", "attachment", "started"))
    parser.add_argument("--drops", type=int, default=20_000)
    options = parser.parse_args()
    packages = options.packages or (300 if options.quick else 3000)
    size = (
        options.attachment if options.attachment >= 0 else (128 << 20 if options.quick else 2 << 30)
    )
    runs = {
        "throughput": lambda: throughput(packages, 20_000),
        "latency": lambda: latency(40 if options.quick else 150, 10, 20_000),
        "attachment": lambda: attachment(size),
        "started": lambda: {"drops": options.drops, "seconds": round(started(options.drops), 2)},
    }
    result = {name: run() for name, run in runs.items() if options.only in (None, name)}
    out = Path(__file__).parent / "out"
    out.mkdir(exist_ok=True)
    (out / "latest.json").write_text(json.dumps(result, indent=2))
    for name, row in result.items():
        print(f"{name}:")
        for key, value in row.items():
            print(f"  {key:<26} {value}")


if __name__ == "__main__":
    main()
