"""A backlog of seven days drains at one pace and in one memory: FRONTGATE_BACKLOG=350000 in the long form.

The rows are made by the journal's own code with a clock that stands a week back; each bundle is
composed, read from its segment, hashed like a taker would, and settled.
"""

from __future__ import annotations

import hashlib
import os
import resource
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from chaos_table import begin, is_long
from vmsteps import counted

from frontgate import bundle, clock
from frontgate.core.lifecycle import Intake, Transfer, TransferEvent
from frontgate.core.routing import HUB
from frontgate.journal import Journal, packages, transfers
from frontgate.pipeline import dispatch
from frontgate.pipeline.dispatch import Lane
from frontgate.pipeline.segments import Composite, SegmentStore

COUNT = int(os.environ.get("FRONTGATE_BACKLOG", "350000" if is_long() else "4000"))
GROWTH_MIB = 16.0
"""However many wait: caches of SQLite that fill, and what the allocator does with them."""
BACK = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
DATA = b"sealed package " * 100
DIGEST = hashlib.sha256(DATA).hexdigest()


def week_of_messages(journal: Journal, store: SegmentStore) -> None:
    """What came in while the hub was away: spread over seven days, one in fifty urgent."""
    for start in range(0, COUNT, 1000):
        at = BACK + timedelta(days=7) * (start / COUNT)
        clock.use(lambda at=at: at, None)  # type: ignore[misc]
        segment = store.new(at)
        size = min(1000, COUNT - start)
        for _ in range(size):
            segment.file.write(DATA)
        path = segment.relative_path
        total = segment.publish()
        with journal.write() as tx:
            segment_id = packages.add_segment(tx, path, total, "sealed")
            for n in range(start, start + size):
                package_id = packages.add(
                    tx,
                    direction="out",
                    state=Intake.ADMITTED,
                    envelope=None,
                    sender="5201021100X",
                    message_id=f"message-{n}",
                    segment_id=segment_id,
                    offset=(n - start) * len(DATA),
                    size_bytes=len(DATA),
                    digest=DIGEST,
                )
                urgency = 2 if n % 50 == 48 else 1
                tx.run("UPDATE package SET urgency = ?, flow_uid = ? WHERE id = ?", urgency, f"flow-{n // 2}", package_id)  # fmt: skip
                transfers.add(tx, package_id=package_id, destination=HUB)
    clock.use(None, None)


def resident_mib() -> float:
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * resource.getpagesize() / (1 << 20)


@pytest.mark.timeout(300 + COUNT // 10)
def test_a_week_of_backlog_drains_at_one_pace_and_in_one_memory(tmp_path: Path) -> None:
    row = begin("outage", "packages of a week's backlog")
    store = SegmentStore(tmp_path)
    try:
        journal = Journal.open(tmp_path / "journal.db", node="gateway:test")
        week_of_messages(journal, store)
        journal.close()
    finally:
        clock.use(None, None)
    with counted() as steps:
        _drain(tmp_path, store, steps)
    row.end(tried=COUNT)


def _drain(folder: Path, store: SegmentStore, steps: Counter[str]) -> None:
    journal = Journal.open(folder / "journal.db", node="gateway:test")
    taken = bytearray(COUNT)
    times: list[float] = []
    costs: list[float] = []
    """Of a package: seconds, and steps of SQLite's machine."""
    memory: list[float] = []
    first_urgent: list[bool] = []

    def put(name: str, source: Composite) -> None:
        taker = bundle.BundleTaker(_Nowhere())  # type: ignore[arg-type]
        while chunk := source.read(1 << 20):
            taker.write(chunk)
        members = taker.finish()
        assert bundle.check_id(name.removesuffix(".bundle"), members)
        for member in members:
            number = int(member.name[8:-6])
            assert not taken[number], "twice"
            taken[number] = 1

    while True:
        began = time.perf_counter()
        steps.clear()
        outgoing = dispatch.compose(journal, HUB, Lane(False), clock.now())
        if outgoing is None:
            break
        assert dispatch.ship(journal, store, outgoing, put, _must_not_fail)
        with journal.write() as tx:
            for row in transfers.of_bundle(tx, outgoing.bundle_id):
                transfers.apply(tx, row.transfer_id, TransferEvent.RECEIPT_ACCEPTED)
        times.append((time.perf_counter() - began) / len(outgoing.members))
        costs.append(steps.total() / len(outgoing.members))
        memory.append(resident_mib())
        if len(first_urgent) < 64:
            numbers = (int(m.name[8:-6]) for m in outgoing.members)
            first_urgent += [n % 50 == 48 for n in numbers]
    assert sum(taken) == COUNT, "all of it went"
    reader = journal.reader()
    assert reader.one("SELECT count(*) FROM transfer WHERE state <> ?", Transfer.ACKNOWLEDGED.value) == (0,)  # fmt: skip
    reader.close()
    journal.close()
    share = max(1, len(times) // 10)
    early, late = (sorted(part)[share // 2] * 1000 for part in (times[:share], times[-share:]))
    few, many = (sum(part) / share for part in (costs[:share], costs[-share:]))
    print(
        f"{COUNT} waiting: {early:.2f} ms and {few:.0f} steps a package at first,"
        f" {late:.2f} ms and {many:.0f} steps at last,"
        f" {memory[share]:.0f} MiB at first, {max(memory):.0f} MiB at most"
    )
    assert all(first_urgent[: min(64, COUNT // 50)]), "urgent ones first"
    assert few / many >= 0.8, (
        f"the pace fell: {few:.0f} steps a package at first, {many:.0f} at last"
    )
    assert max(memory) - memory[share] < GROWTH_MIB


class _Nowhere:
    def write(self, data: bytes) -> int:
        return len(data)


def _must_not_fail(rows: object, error: object) -> None:
    raise AssertionError(f"{error}: {rows}")
