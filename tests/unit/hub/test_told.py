"""What a gateway says once more: its first outcome answers an attempt that waits, a bad one too."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from frontgate.core.lifecycle import Intake, Transfer, TransferEvent
from frontgate.hub.told import Told
from frontgate.journal import Journal, packages, receipts, transfers
from frontgate.model.receipt import Kind, Receipt
from frontgate.seal.receipts import ReceiptGroup
from frontgate.values import replace

SENDER, RECEIVER, PEER = "5201021100X", "52010221005", "account:u52010221005"
MESSAGE = str(uuid.uuid4())
FAILED, DELIVERED = Kind.DELIVERY_FAILED, Kind.DELIVERED


class Hub:
    """A hub that has placed one message, and hears its receiver."""

    def __init__(self, home: Path) -> None:
        self.journal = Journal.open(home / "journal.db", node="hub:52000090005")
        nobody = SimpleNamespace(directory=SimpleNamespace(units={}))
        self.told = Told(lambda: nobody, SimpleNamespace())  # type: ignore[arg-type]
        self.number = itertools.count(1)
        with self.journal.write() as tx:
            self.package = packages.add(
                tx, direction="in", state=Intake.ADMITTED, envelope=None, sender=SENDER,
                message_id=MESSAGE,
            )  # fmt: skip

    def attempt(self, number: int, *, is_sent: bool = True) -> None:
        with self.journal.write() as tx:
            row = transfers.add(
                tx, package_id=self.package, destination=PEER, receiver=RECEIVER, attempt=number
            )
            if is_sent:
                transfers.apply(tx, row, TransferEvent.START)
                transfers.apply(tx, row, TransferEvent.DELIVERED)

    def receipt(self, kind: Kind) -> Receipt:
        return Receipt(
            str(uuid.uuid4()), kind, "2026-11-26T08:00:00.000Z", RECEIVER, "gateway", MESSAGE,
            SENDER, receiver=RECEIVER,
        )  # fmt: skip

    def hears(self, *said: Receipt) -> None:
        """A new bundle with these."""
        number = next(self.number)
        group = ReceiptGroup(
            b"<s%d/>" % number, b"", tuple((r, r.receipt_id.encode(), r.receipt_id) for r in said)
        )
        with self.journal.write() as tx:
            self.told.settle(tx, PEER, group)

    @property
    def states(self) -> list[Transfer]:
        return [row.state for row in transfers.of_package(self.journal.look, self.package)]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = Hub(tmp_path)
    yield made
    made.journal.close()


def test_the_first_outcome_answers_a_replay_though_it_was_a_bad_one(hub: Hub) -> None:
    """Its operator cancelled the delivery: else the hub would offer the package again for ever."""
    hub.attempt(1)
    failed = hub.receipt(FAILED)
    hub.hears(failed)
    hub.attempt(2)
    hub.hears(failed)
    assert hub.states == [Transfer.FAILED, Transfer.FAILED]


def test_it_says_nothing_of_an_attempt_that_has_not_gone_yet(hub: Hub) -> None:
    hub.attempt(1)
    failed = hub.receipt(FAILED)
    hub.hears(failed)
    hub.attempt(2, is_sent=False)
    hub.hears(failed)
    assert hub.states == [Transfer.FAILED, Transfer.QUEUED]


@pytest.mark.parametrize("together", [True, False])
def test_of_all_that_is_said_again_the_last_word_counts(hub: Hub, together: bool) -> None:
    hub.attempt(1)
    failed, delivered = hub.receipt(FAILED), hub.receipt(DELIVERED)
    hub.hears(failed)
    hub.hears(delivered)
    assert hub.states == [Transfer.FAILED, Transfer.ACKNOWLEDGED]
    hub.attempt(3)
    if together:
        hub.hears(failed, delivered)
    else:
        hub.hears(failed)
        assert hub.states[-1] is Transfer.SENT
        hub.hears(delivered)
    assert hub.states == [Transfer.FAILED, Transfer.ACKNOWLEDGED, Transfer.ACKNOWLEDGED]


def test_a_better_one_that_follows_is_not_lost(hub: Hub) -> None:
    hub.attempt(1)
    failed = hub.receipt(FAILED)
    hub.hears(failed)
    hub.attempt(2)
    hub.hears(failed, hub.receipt(DELIVERED))
    assert hub.states == [Transfer.FAILED, Transfer.FAILED, Transfer.ACKNOWLEDGED]


def test_what_is_said_of_anothers_message_with_that_id_changes_nothing(hub: Hub) -> None:
    hub.attempt(1)
    failed = hub.receipt(FAILED)
    hub.hears(failed)
    hub.attempt(2)
    with hub.journal.write() as tx:
        other = replace(hub.receipt(DELIVERED), sender="52010231000")
        signature = receipts.keep_signature(tx, b"<other/>")
        receipts.keep(tx, other, b"", other.receipt_id, signature, None)
    hub.hears(failed)
    assert hub.states == [Transfer.FAILED, Transfer.FAILED]
