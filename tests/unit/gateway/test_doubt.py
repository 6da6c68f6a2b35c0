"""A bundle whose answer was lost: looked for at the hub and waited for, before all of it goes again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from frontgate import clock
from frontgate.core.routing import HUB
from frontgate.gateway.uplink import ASK_S, NO_LOOK_S, Sender
from frontgate.journal import Journal, bundles
from frontgate.pipeline.dispatch import GATHER_S, Lane
from frontgate.pipeline.segments import SegmentStore

WAIT_S = 2 * GATHER_S


def _bundle(number: int) -> str:
    return f"{number:016}-" + "0" * 64


class Gateway:
    """A sender with one bundle that an earlier process may have sent, and a hub that shows nothing of it."""

    def __init__(self, home: Path) -> None:
        self.at = 1_000.0
        clock.use(None, lambda: self.at)
        self.journal = Journal.open(home / "journal.db", node="gateway:5201021100X")
        self.compose(1)
        self.shown, self.looks = False, 0
        self.put: list[str] = []
        transport = SimpleNamespace(
            has=lambda _: self.shown, put=lambda name, *_: self.put.append(name), pending=list
        )
        link = SimpleNamespace(
            transport=lambda: transport, succeeded=lambda: None, failed=lambda error: 1.0
        )
        self.sender = Sender(
            self.journal, SegmentStore(home), link, Lane(False), lambda: False, lambda *_: None,
            looks=lambda: self.looks,
        )  # type: ignore[arg-type]  # fmt: skip

    def compose(self, number: int) -> None:
        xml = b"<c/>"
        member = bundles.OutMember("0001-heartbeat.ctl.xml", len(xml), "0" * 64, None, 0)
        with self.journal.write() as tx:
            made = bundles.Outgoing(_bundle(number), HUB, number, (member,), xml, 2048)
            bundles.add_out(tx, made)

    def answered(self, number: int) -> None:
        with self.journal.write() as tx:
            bundles.mark_sent(tx, _bundle(number))

    def turn(self, after_s: float, *, looks: int = 0) -> bool:
        """Returns: whether the bundle went."""
        self.at += after_s
        self.looks += looks
        wait_s = self.sender.turn()
        assert self.put or wait_s == ASK_S
        return bool(self.put)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway(tmp_path)
    yield made
    made.journal.close()
    clock.use(None, None)


def test_what_the_hub_shows_a_part_of_goes_on_at_once(gateway: Gateway) -> None:
    gateway.shown = True
    assert gateway.turn(0.0)


def test_the_answer_may_still_gather_at_the_hub_however_often_was_looked(gateway: Gateway) -> None:
    assert not gateway.turn(0.0)
    assert not gateway.turn(WAIT_S - 0.01, looks=9)
    assert gateway.turn(0.02)


def test_the_look_under_way_may_have_listed_too_early(gateway: Gateway) -> None:
    assert not gateway.turn(0.0)
    assert not gateway.turn(WAIT_S + 0.01, looks=1)
    assert gateway.turn(0.0, looks=1)


def test_where_nobody_can_look_it_goes_again_in_the_end(gateway: Gateway) -> None:
    assert not gateway.turn(0.0)
    assert not gateway.turn(WAIT_S + NO_LOOK_S - 0.01)
    assert gateway.turn(0.02)


def test_each_bundle_is_doubted_by_itself(gateway: Gateway) -> None:
    assert not gateway.turn(0.0)
    gateway.answered(1)
    gateway.compose(2)
    assert not gateway.turn(60.0, looks=9)
    assert not gateway.turn(WAIT_S - 0.01, looks=9)
    assert gateway.turn(0.02)
    assert gateway.put == [f"{_bundle(2)}.bundle"]
