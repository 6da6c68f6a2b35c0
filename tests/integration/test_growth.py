"""What a message costs does not grow with those before it: counted in steps of SQLite's machine.

A statement whose plan walks along all packages, or all receipts without one, is right and quick in every
small test, and makes a day's backlog take a week.
"""

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from by_hand import ByHand
from faults.world import fast_folder
from province import POLICE, PROCURATORATE
from vmsteps import counted

from frontgate.cli.homes import home_of
from frontgate.gateway import receipt_files
from frontgate.inspect import examine, home
from frontgate.settings import load_gateway, load_hub

RELAY = (
    (POLICE, "send"),
    ("hub", "intake"),
    ("hub", "place"),
    (PROCURATORATE, "fetch"),
    (PROCURATORATE, "deliver"),
    (PROCURATORATE, "pick-up"),
    (PROCURATORATE, "send"),
    ("hub", "intake"),
    ("hub", "place"),
    (POLICE, "fetch"),
)
BESIDE = {
    "tend",
    "receipt-files",
    "discard",
    "resync",
    "bulk",
    "keep",
    "reconcile",
    "alarms",
    "habits",
}
"""Loops that look at everything now and then."""


@pytest.fixture
def steps() -> Iterator[Counter[str]]:
    with counted() as found:
        yield found


@pytest.fixture
def quick_path() -> Iterator[Path]:
    """Where nothing has to outlast a power cut."""
    folder = fast_folder()
    yield folder
    shutil.rmtree(folder)


def _live(hand: ByHand, count: int) -> None:
    """The whole lives of so many messages, until their senders know that they were handed over."""
    inbound = hand.province.spool(PROCURATORATE) / "inbound"
    for _ in range(count):
        hand.admit()
    for _ in range(2):
        for node, loop in RELAY:
            hand.turn(node, loop)
        for entry in inbound.iterdir():
            if not entry.name.startswith("."):
                shutil.rmtree(entry)
    crews = {"hub": hand.hub.crew, **{unit: g.crew for unit, g in hand.gateways.items()}}
    for node, crew in crews.items():
        for loop in crew.loops:
            if loop.name in BESIDE:
                hand.turn(node, loop.name)


def test_a_message_costs_the_same_however_many_went_before(
    tmp_path: Path, steps: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipt_files, "FLUSH_S", 0.0)  # else whose turn it falls in is chance
    hand = ByHand(tmp_path)
    try:
        _live(hand, 16)
        steps.clear()
        _live(hand, 8)
        few = dict(steps)
        for _ in range(3):
            _live(hand, 64)
        _live(hand, 8)  # what was left to answer of those before
        steps.clear()
        _live(hand, 8)
        many = dict(steps)
        handed = hand.rows(
            POLICE, "SELECT count(DISTINCT message_id) FROM receipt WHERE kind = 'handed-over'"
        )
    finally:
        hand.close()
    assert handed == [(16 + 8 + 3 * 64 + 8 + 8,)]
    # Nine times as many rows: what walks along them takes nine times as many steps.
    grown = {sql: (few.get(sql, 0), n) for sql, n in many.items() if n > 3 * few.get(sql, 0) + 1500}
    assert not grown, grown


def _stand(hand: ByHand, count: int) -> None:
    """So many messages that stand in the receiver's folder."""
    for _ in range(count):
        hand.admit()
    for _ in range(2):
        for node, loop in RELAY:
            hand.turn(node, loop)


def _examined(hand: ByHand, steps: Counter[str]) -> Counter[str]:
    """What it takes to look at every node and at all together, by statement, whatever rows it names."""
    steps.clear()
    root = hand.province.home
    of_units = [load_gateway(root / unit / "gateway.toml") for unit in hand.units]
    homes = [home_of(settings) for settings in (load_hub(root / "hub" / "hub.toml"), *of_units)]
    try:
        found = examine(homes)
    finally:
        for each in homes:
            each.close()
    assert found.holds, found.verdicts
    taken: Counter[str] = Counter()
    for sql, count in steps.items():
        taken[re.sub(r"\b\d+\b", "#", sql)] += count
    return taken


def test_an_examination_costs_the_same_for_each_message(
    quick_path: Path, steps: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "PAGE", 3)  # else all would be on the first
    hand = ByHand(quick_path)
    try:
        _stand(hand, 6)
        few = _examined(hand, steps)
        _stand(hand, 42)
        many = _examined(hand, steps)
        entries = len(hand.province.entries(PROCURATORATE))
    finally:
        hand.close()
    assert entries == 48
    # Eight times as many: what walks along all of them for each takes 64 times as many steps.
    grown = {sql: (few[sql], n) for sql, n in many.items() if n > 16 * few[sql] + 500}
    assert not grown, grown
