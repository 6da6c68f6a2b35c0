"""Bulk acts at a size: time, memory and what live traffic notices.

Usage: `python -m benchmarks.bulk [--rows 60000]`. A journal on this disk is filled with failed
transfers by the journal's own functions; they are planned, replayed by the daemon's worker while a
second thread queues live messages, and replayed once more (which must do nothing). Printed: seconds
of each step, transfers per second, the time per transfer of the first and last fifth (linear: about
equal), the peak resident size, and how long live transactions waited.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.peak import peak_mib
from frontgate.core.lifecycle import Intake, TransferEvent
from frontgate.journal import Journal, bulk, packages, queues, transfers
from frontgate.journal.bulk import Choice
from frontgate.model.envelope import Envelope
from frontgate.model.message import Address, Header
from frontgate.pipeline import operate
from frontgate.pipeline.bulk import BulkWorker

SENDER, RECEIVERS = "5201021100X", ("52010221005", "52010231000", "52010213005")
REASONS = ("FG-RTE-016", "FG-RTE-004", "FG-JRN-006")


def fill(journal: Journal, rows: int, *, first: int = 0) -> None:
    """`rows` transfers that failed, over three receivers and reasons."""
    for start in range(first, first + rows, 500):
        with journal.write() as tx:
            for n in range(start, min(start + 500, first + rows)):
                receiver = RECEIVERS[n % 3]
                header = Header(
                    "1.0",
                    "arrest-request.submit",
                    SENDER,
                    (Address(receiver),),
                    "2026-11-24T16:00:00+08:00",
                    message_id=f"00000000-0000-4000-8000-{n:012d}",
                    flow_uid=f"flow-{n}",
                )
                package_id = packages.add(
                    tx,
                    direction="in",
                    state=Intake.ADMITTED,
                    envelope=Envelope(header, (receiver,)),
                    sender=SENDER,
                    message_id=header.message_id,
                    content_digest=f"{n:064x}",
                    size_bytes=20_000,
                )
                transfer_id = transfers.add(
                    tx,
                    package_id=package_id,
                    destination="account:u" + receiver.lower(),
                    receiver=receiver,
                )
                transfers.apply(tx, transfer_id, TransferEvent.EXPIRE, reason=REASONS[n % 3])


class Live:
    """Queues one live message after another, and notes how long each transaction took."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._stop = threading.Event()
        self.took: list[float] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        n = 900_000_000
        while not self._stop.wait(0.01):
            began = time.monotonic()
            with self._journal.write() as tx:
                header = Header(
                    "1.0", "a.b", SENDER, (Address(RECEIVERS[0]),), "t", message_id=f"live-{n}"
                )
                package_id = packages.add(
                    tx,
                    direction="in",
                    state=Intake.ADMITTED,
                    envelope=Envelope(header, (RECEIVERS[0],)),
                    sender=SENDER,
                    message_id=header.message_id,
                )
                transfers.add(
                    tx,
                    package_id=package_id,
                    destination="account:u" + RECEIVERS[0].lower(),
                    receiver=RECEIVERS[0],
                )
            self.took.append(time.monotonic() - began)
            n += 1

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def run(folder: Path, rows: int) -> dict[str, Any]:
    """Returns: the figures."""
    journal = Journal.open(folder / "journal.db", node="hub:52000090005")
    began = time.monotonic()
    fill(journal, rows)
    figures: dict[str, Any] = {"rows": rows, "fill_s": round(time.monotonic() - began, 2)}
    before = peak_mib()
    reader = journal.reader()
    choice = Choice("replay")
    began = time.monotonic()
    plan = operate.shown(operate.plan(reader, choice))
    figures["plan_s"] = round(time.monotonic() - began, 3)
    assert plan["count"] == rows, plan
    live = Live(journal)
    work, _ = operate.begin_bulk(journal, choice, per_s=0, actor="benchmark", reason="measure")
    worker = BulkWorker(journal, None, lambda: None)
    began = time.monotonic()
    marks: list[tuple[int, float]] = []
    while (pause := worker.turn()) is not None:
        current = bulk.find(reader, work.work_id)
        assert current is not None
        marks.append((current.done, time.monotonic() - began))
        time.sleep(pause)
    took = time.monotonic() - began
    live.close()
    assert marks[-1][0] == rows, marks[-1]
    fifth = max(1, len(marks) // 5)
    first = marks[fifth - 1]
    last = (marks[-1][0] - marks[-fifth - 1][0], marks[-1][1] - marks[-fifth - 1][1])
    figures.update(
        {
            "replay_s": round(took, 2),
            "per_s": round(rows / took),
            "first_fifth_us": round(first[1] / first[0] * 1e6),
            "last_fifth_us": round(last[1] / last[0] * 1e6),
            "grown_mib": round(peak_mib() - before, 1),
            "live_count": len(live.took),
            "live_median_ms": round(statistics.median(live.took) * 1000, 1),
            "live_p99_ms": round(sorted(live.took)[int(len(live.took) * 0.99)] * 1000, 1),
        }
    )
    # What is live stands before every replayed one of the same destination.
    head = queues.due(
        reader,
        "account:u" + RECEIVERS[0].lower(),
        now_ms=1 << 60,
        large=False,
        limit=len(live.took),
    )
    assert all(row.message_id.startswith("live-") for row in head), "live traffic goes first"
    again = operate.shown(operate.plan(reader, choice))
    assert again["count"] == 0, "a second replay has nothing to do"
    reader.close()
    journal.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=60_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = run(Path(folder), arguments.rows)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
