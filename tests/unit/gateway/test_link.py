"""Waiting between tries: per destination, not to be hurried by wake-ups, reset by progress."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from frontgate import clock
from frontgate.errors import TransportError
from frontgate.gateway.link import Destination, Link


@dataclass
class Steady:
    """Virtual seconds."""

    at: float = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def steady() -> Iterator[Steady]:
    source = Steady()
    clock.use(None, source)
    yield source
    clock.use(None, None)


@dataclass
class Wire:
    """A hub that refuses while `error` is set; what it gives out counts what it moved."""

    error: TransportError | None = None
    tries: list[float] = field(default_factory=list)
    moved_bytes: int = 0

    def __call__(self) -> "Wire":
        self.tries.append(clock.monotonic())
        if self.error is not None:
            raise self.error
        return self

    def close(self) -> None:
        return None


def link_to(wire: Wire, destination: Destination | None = None) -> Link:
    destination = destination or Destination(first_s=1.0, most_s=600.0)
    return Link(wire, destination, first_s=1.0, most_s=600.0)  # type: ignore[arg-type]


def hurry(link: Link, steady: Steady, seconds: float, step: float = 0.05) -> None:
    """A loop that is woken all the time, for so many virtual seconds."""
    end = steady.at + seconds
    while steady.at < end:
        try:
            link.transport()
        except TransportError as error:
            link.failed(error)
        steady.at += step


def test_wake_ups_do_not_hurry_a_back_off(steady: Steady) -> None:
    wire = Wire(TransportError("FG-TRN-001", host="hub", port=22))
    hurry(link_to(wire), steady, 3600)
    assert 8 <= len(wire.tries) <= 22
    gaps = [b - a for a, b in zip(wire.tries, wire.tries[1:], strict=False)]
    assert max(gaps) <= 601
    assert gaps[0] <= 1.1


def test_a_permanent_refusal_is_tried_seldom_and_mends_by_itself(steady: Steady) -> None:
    wire = Wire(TransportError("FG-TRN-003", account="u1"))
    link = link_to(wire)
    hurry(link, steady, 3600, step=1.0)
    assert 5 <= len(wire.tries) <= 13
    assert link.trouble is not None
    assert link.trouble.code == "FG-TRN-003"
    wire.error = None
    hurry(link, steady, 700, step=1.0)
    assert link.connected_at is not None
    assert link.trouble is None


def test_all_connections_to_a_destination_wait_as_one(steady: Steady) -> None:
    wire = Wire(TransportError("FG-TRN-001", host="hub", port=22))
    destination = Destination(first_s=1.0, most_s=600.0)
    links = [link_to(wire, destination) for _ in range(4)]
    end = steady.at + 3600
    while steady.at < end:
        for link in links:
            hurry(link, steady, 0.05)
    assert len(wire.tries) <= 22, "four links ask no oftener than one"


def test_another_destination_is_not_held_up(steady: Steady) -> None:
    away, near = Wire(TransportError("FG-TRN-001", host="a", port=1)), Wire()
    hurry(link_to(away), steady, 60)
    assert link_to(near).transport() is near


def test_a_line_that_breaks_often_but_carries_something_is_not_punished(steady: Steady) -> None:
    wire = Wire()
    link = link_to(wire)
    for _ in range(50):
        assert link.transport() is wire
        wire.moved_bytes += 1 << 20
        wait_s = link.failed(TransportError("FG-TRN-005", what="put"))
        assert wait_s <= 1.0
        steady.at += wait_s
    wire.moved_bytes = 0
    waits = []
    for _ in range(12):
        link.transport()
        waits.append(link.failed(TransportError("FG-TRN-005", what="put")))
        steady.at += waits[-1]
    assert waits[-1] >= 300, "one that carries nothing waits longer and longer"


def test_many_gateways_do_not_come_back_in_one_wave(steady: Steady) -> None:
    """The hub was away for an hour and takes 4 connections a second: each try beyond is refused."""
    refused = TransportError("FG-TRN-005", what="handshake")
    wires = [Wire(refused) for _ in range(200)]
    links = [link_to(wire) for wire in wires]
    back_at = steady.at + 3600
    per_second: dict[int, int] = {}
    while steady.at < back_at + 1200:
        second = int(steady.at)
        for wire, link in zip(wires, links, strict=True):
            room = per_second.get(second, 0) < 4
            wire.error = None if steady.at >= back_at and room else refused
            tries = len(wire.tries)
            try:
                link.transport()
            except TransportError as error:
                link.failed(error)
            if steady.at >= back_at:
                per_second[second] = per_second.get(second, 0) + len(wire.tries) - tries
        steady.at += 1.0
    assert all(link.connected_at is not None for link in links), "all are back"
    assert max(per_second.values()) <= 10, "and never more than a few at once"
