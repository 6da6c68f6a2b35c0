"""Reconciliation over midnight: real hub and gateways turned by hand, on a clock of the test's own."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from by_hand import ByHand
from province import POLICE, PROCURATORATE

from frontgate import clock
from frontgate.core.reconcile import LOCAL

NODES = (POLICE, PROCURATORATE)


class Night:
    """A province and its time. midnight: the first moment of the second day, UTC+08:00."""

    def __init__(self, home: Path) -> None:
        self.by_hand = ByHand(home)
        real = datetime.now(LOCAL).replace(hour=0, minute=0, second=0, microsecond=0)
        self.midnight = real + timedelta(days=3)
        self.now = self.midnight - timedelta(hours=2)
        self.steps = 0.0
        clock.use(self.wall, self.steady)

    def wall(self) -> datetime:
        self.steps += 0.001  # no two moments are the same
        return (self.now + timedelta(seconds=self.steps)).astimezone(UTC)

    def steady(self) -> float:
        return self.wall().timestamp()

    def at(self, **after_midnight: float) -> None:
        self.now, self.steps = self.midnight + timedelta(**after_midnight), 0.0

    def turn(self, node: str, *loops: str) -> None:
        for loop in loops:
            self.by_hand.turn(node, loop)

    def settle(self, rounds: int = 12) -> None:
        """Everything moves until nothing does."""
        for _ in range(rounds):
            for node in NODES:
                self.turn(node, "reconcile", "send")
            self.turn("hub", "intake", "tend", "place")
            for _ in range(6):
                self.turn("hub", "reconcile")
            self.turn("hub", "place")
            for node in NODES:
                self.turn(node, "fetch", "deliver", "pick-up", "reconcile")

    def take(self) -> None:
        """The case software takes all that stands in its inbound folder."""
        folder = self.by_hand.province.spool(PROCURATORATE) / "inbound"
        for entry in folder.iterdir():
            shutil.rmtree(entry)

    def told(self) -> list[tuple[object, ...]]:
        """(node, day, direction, state, count) of every day that is not empty."""
        return sorted(
            (node, *row)
            for node in ("hub", *NODES)
            for row in self.by_hand.rows(
                node, "SELECT day, direction, state, count FROM tally_day WHERE count > 0"
            )
        )

    def gaps(self) -> list[tuple[object, ...]]:
        return [
            (node, *row)
            for node in ("hub", *NODES)
            for row in self.by_hand.rows(
                node, "SELECT kind, data FROM event WHERE kind IN ('gap-found', 'gap-closed')"
            )
        ]


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    made = Night(tmp_path)
    yield made
    clock.use(None, None)
    made.by_hand.close()


def test_traffic_over_midnight_gives_no_false_alarm(night: Night) -> None:
    night.settle(2)  # the first look only notes the day
    night.at(minutes=-20)
    night.by_hand.admit(ref="whole-before")
    night.settle(3)
    night.at(minutes=-10)
    night.by_hand.admit(ref="delivered-after")
    night.turn(POLICE, "send")
    night.turn("hub", "intake", "place")
    night.turn(PROCURATORATE, "fetch")
    night.at(seconds=-1)
    night.turn(PROCURATORATE, "deliver")  # delivered in the last second, told in the next day
    night.by_hand.admit(ref="fetched-before")  # and delivered after
    night.turn(POLICE, "send")
    night.turn("hub", "intake", "place")
    night.turn(PROCURATORATE, "fetch")
    night.by_hand.admit(ref="relayed-after")
    night.turn(POLICE, "send")
    night.by_hand.admit(ref="sent-after")
    night.at(seconds=1)
    night.turn("hub", "intake", "place")
    night.at(minutes=5)
    night.settle(3)
    night.by_hand.admit(ref="whole-after")
    night.settle(3)
    night.at(minutes=30)
    night.take()
    night.settle(3)
    assert night.told() == [], "not before the settling time"
    assert len(night.by_hand.rows("hub", "SELECT id FROM package")) == 6

    night.at(hours=2, minutes=31)
    night.settle()
    before, after = ((night.midnight + timedelta(days=n)).strftime("%Y-%m-%d") for n in (-1, 0))
    sides = ((POLICE, "up"), (PROCURATORATE, "down"), ("hub", "up"), ("hub", "down"))

    def expected(day: str, up: int, down: int) -> list[tuple[object, ...]]:
        return [(n, day, d, "agreed", up if d == "up" else down) for n, d in sides]

    # As of midnight two were delivered; what was on its way then counts at the sender only.
    assert night.told() == sorted(expected(before, up=3, down=2))
    assert night.gaps() == []

    night.at(days=1, hours=2, minutes=31)
    night.settle()
    assert night.told() == sorted([*expected(before, up=3, down=3), *expected(after, up=3, down=3)])
    assert night.gaps() == []


def test_receipts_that_come_late_are_no_gap_and_a_lost_one_is(night: Night) -> None:
    """The receiver's link is down over the night: what it delivered is told the next morning."""
    night.settle(2)
    night.at(minutes=-30)
    night.by_hand.admit(ref="a")
    night.by_hand.admit(ref="b")
    night.turn(POLICE, "send")
    night.turn("hub", "intake", "place")
    night.turn(PROCURATORATE, "fetch", "deliver")
    night.at(hours=2, minutes=31)
    for _ in range(8):  # the receiver is cut off; the others go on
        night.turn(POLICE, "reconcile", "send")
        night.turn("hub", "intake", "reconcile", "reconcile", "place")
        night.turn(POLICE, "fetch", "reconcile")
    assert night.gaps() == []
    night.at(hours=9)
    night.settle()
    assert night.gaps() == []
    assert {row[3] for row in night.told()} == {"agreed"}

    with night.by_hand.hub.journal.write() as tx:
        (ident,) = tx.one("SELECT message_id FROM package ORDER BY id LIMIT 1") or ("",)
        tx.run("DELETE FROM receipt_out")
        tx.run("DELETE FROM receipt WHERE message_id = ? AND kind = 'delivered'", ident)
    night.at(days=1, hours=2, minutes=31)
    night.settle()
    named = {
        (node, ident in str(data), "receipt-missing-at-hub" in str(data))
        for node, _, data in night.gaps()
    }
    assert named == {(node, True, True) for node in ("hub", *NODES)}
    # Both gateways hold it; the receiver sends it once more, and the next run closes the gap.
    reply = night.by_hand.gateways[PROCURATORATE].acts()["replay"](
        {"ids": [ident], "actor": "me", "reason": "named"}
    )
    assert [d["new"] for d in reply["done"]] == [0]
    night.settle(3)
    night.at(days=2, hours=2, minutes=31)
    night.settle()
    assert {str(kind) for _, kind, _ in night.gaps()} == {"gap-found", "gap-closed"}
    for node in ("hub", *NODES):
        assert night.by_hand.rows(node, "SELECT * FROM gap") == []
