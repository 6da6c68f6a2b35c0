"""One day of the hub's ledger summed for all gateways: time and memory.

Usage: `python -m benchmarks.reconcile [--messages 50000] [--gateways 500]`. A journal on this disk is
filled with relayed, delivered and handed-over messages by the journal's own functions; then the day's
digests of all gateways are made in one pass, and the hours of one gateway. Printed as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.peak import peak_mib
from frontgate.core.lifecycle import Intake, TransferEvent
from frontgate.core.reconcile import hours_of, span_of
from frontgate.hub.reconcile import HubSide
from frontgate.journal import Journal, Tx, packages, receipts, timestamp, transfers
from frontgate.model.envelope import Envelope
from frontgate.model.message import Address, Header
from frontgate.model.receipt import Kind, Receipt
from frontgate.model.unit import Directory, Unit
from frontgate.pipeline import reconcile as talk

DAY = "2026-11-24"


def fill(journal: Journal, messages: int, gateways: int) -> Directory:
    """Messages over one day, each delivered and taken."""
    start, _ = span_of(DAY)
    codes = [f"52{n:08d}" for n in range(gateways)]
    for begin in range(0, messages, 500):
        at = start + timedelta(seconds=86_000 * begin / messages)
        with journal.write(at.astimezone(UTC)) as tx:
            signature = receipts.keep_signature(tx, b"<s/>")
            for n in range(begin, min(begin + 500, messages)):
                _one(tx, n, codes[n % gateways], codes[(n * 7 + 1) % gateways], signature)
    return Directory(1, {c: Unit(c, c) for c in codes})


def _one(tx: Tx, n: int, sender: str, receiver: str, signature: int) -> None:
    message_id = f"00000000-0000-4000-8000-{n * 2_654_435_761 % 10**12:012d}"
    header = Header("1.0", "a.b", sender, (Address(receiver),), "t", message_id=message_id)
    package_id = packages.add(
        tx,
        direction="in",
        state=Intake.ADMITTED,
        envelope=Envelope(header, (receiver,)),
        sender=sender,
        message_id=message_id,
    )
    transfer_id = transfers.add(
        tx, package_id=package_id, destination=f"account:u{receiver}", receiver=receiver
    )
    transfers.apply(tx, transfer_id, TransferEvent.RECEIPT_ACCEPTED)
    for kind, issuer, node in (
        (Kind.RELAY_ACCEPTED, "52000090005", "hub"),
        (Kind.DELIVERED, receiver, "gateway"),
        (Kind.HANDED_OVER, receiver, "gateway"),
    ):
        receipt = Receipt(
            f"{n}-{kind}",
            kind,
            tx.now_at,
            issuer,
            node,
            message_id,
            sender,
            receiver="" if node == "hub" else receiver,
        )
        receipts.keep(tx, receipt, b"<r/>", f"{n}-{kind}", signature, package_id)


def run(folder: Path, messages: int, gateways: int) -> dict[str, Any]:
    """Returns: the figures."""
    journal = Journal.open(folder / "journal.db", node="hub:52000090005")
    directory = fill(journal, messages, gateways)
    side = HubSide(journal.reader(), lambda: directory)
    as_of = timestamp(datetime(2026, 11, 25, tzinfo=UTC))
    before = peak_mib()
    began = time.monotonic()
    found = talk.sums(side, DAY, as_of)
    day_s = time.monotonic() - began
    assert sum(total.count for total in found.values()) == 2 * messages
    began = time.monotonic()
    for hour in hours_of(DAY):
        talk.sums(side, hour, as_of)
    figures = {
        "messages": messages,
        "gateways": gateways,
        "day_s": round(day_s, 2),
        "us_per_message": round(day_s / messages * 1e6),
        "hours_s": round(time.monotonic() - began, 2),
        "grown_mib": round(peak_mib() - before, 1),
    }
    journal.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--gateways", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = run(Path(folder), arguments.messages, arguments.gateways)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
