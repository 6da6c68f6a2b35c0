"""What the case software took is told of once, in parts that hold up nobody for long."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from by_hand import ByHand
from province import PROCURATORATE

from frontgate.core.lifecycle import TransferEvent
from frontgate.gateway import pick_up
from frontgate.journal import transfers
from frontgate.model.receipt import Kind
from frontgate.spool import inbound
from frontgate.spool.beneath import Folder
from frontgate.spool.layout import SpoolPaths

HANDED_OVER = "SELECT message_id FROM receipt WHERE kind = 'handed-over'"


@pytest.fixture
def by_hand(tmp_path: Path) -> Iterator[ByHand]:
    """Five messages, delivered and taken."""
    made = ByHand(tmp_path)
    for _ in range(5):
        made.admit()
    made.relay()
    made.turn(PROCURATORATE, "deliver")
    for entry in made.province.entries(PROCURATORATE):
        shutil.rmtree(made.province.spool(PROCURATORATE) / "inbound" / entry)
    yield made
    made.close()


def test_many_are_told_of_in_parts(by_hand: ByHand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pick_up, "TOGETHER", 2)
    parts: list[int] = []
    real = pick_up.PickUp._settle

    def seen(self: pick_up.PickUp, ids: list[int], kind: Kind) -> None:
        parts.append(len(ids))
        real(self, ids, kind)

    monkeypatch.setattr(pick_up.PickUp, "_settle", seen)
    by_hand.turn(PROCURATORATE, "pick-up")
    assert by_hand.states(PROCURATORATE, "spool:") == ["ACKNOWLEDGED"] * 5
    told = by_hand.rows(PROCURATORATE, HANDED_OVER)
    assert len(told) == len(set(told)) == 5
    assert parts == [2, 2, 1]


def test_one_that_ended_while_the_folder_was_looked_at_is_not_told_of_again(
    by_hand: ByHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = by_hand.gateways[PROCURATORATE].journal
    ((first,),) = by_hand.rows(PROCURATORATE, "SELECT min(id) FROM transfer")
    real = pick_up.is_collected

    def told_meanwhile(paths: SpoolPaths, name: str) -> bool:
        with journal.write() as tx:
            if by_hand.states(PROCURATORATE, "spool:")[0] == "SENT":
                transfers.apply(tx, int(str(first)), TransferEvent.RECEIPT_ACCEPTED)
        return real(paths, name)

    monkeypatch.setattr(pick_up, "is_collected", told_meanwhile)
    by_hand.turn(PROCURATORATE, "pick-up")
    assert by_hand.states(PROCURATORATE, "spool:") == ["ACKNOWLEDGED"] * 5
    assert len(by_hand.rows(PROCURATORATE, HANDED_OVER)) == 4
    late = "SELECT count(*) FROM event WHERE kind = 'late-evidence'"
    assert by_hand.rows(PROCURATORATE, late) == [(0,)]


def test_one_that_cannot_be_read_holds_up_no_other(
    by_hand: ByHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder with so many names that each is looked for."""
    monkeypatch.setattr(inbound, "MOST_NAMES", 0)
    (name,) = by_hand.rows(
        PROCURATORATE,
        "SELECT entry FROM transfer WHERE state = 'SENT' ORDER BY id LIMIT 1 OFFSET 2",
    )[0]
    real = Folder.lstat

    def broken(self: Folder, asked: str | bytes) -> os.stat_result:
        if str(asked) == str(name):
            raise OSError(errno.EIO, "cannot be read")
        return real(self, asked)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "lstat", broken)
        by_hand.turn(PROCURATORATE, "pick-up")
    assert by_hand.states(PROCURATORATE, "spool:").count("ACKNOWLEDGED") == 4
    by_hand.turn(PROCURATORATE, "pick-up")
    assert by_hand.states(PROCURATORATE, "spool:").count("ACKNOWLEDGED") == 5
