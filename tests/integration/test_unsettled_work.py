"""A journal write that fails leaves nothing behind that only a restart would mend."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from by_hand import ByHand, failing
from msgspec.structs import force_setattr
from province import POLICE, PROCURATORATE, message

from frontgate import durable
from frontgate.errors import JournalError
from frontgate.journal import receipts


@pytest.fixture
def by_hand(tmp_path: Path):
    made = ByHand(tmp_path)
    yield made
    made.close()


def test_deliveries_whose_settling_failed_are_settled_by_the_next_turn(by_hand: ByHand) -> None:
    for _ in range(3):
        by_hand.admit()
    by_hand.relay()
    with failing("before commit", skip=1), pytest.raises(JournalError):
        by_hand.turn(PROCURATORATE, "deliver")
    assert by_hand.states(PROCURATORATE, "spool:") == ["SENDING"] * 3
    by_hand.turn(PROCURATORATE, "deliver")
    assert by_hand.states(PROCURATORATE, "spool:") == ["SENT"] * 3
    assert len(by_hand.province.entries(PROCURATORATE)) == 3


def test_a_bundle_whose_placing_was_not_settled_is_settled_by_the_next_turn(
    by_hand: ByHand,
) -> None:
    by_hand.admit()
    by_hand.turn(POLICE, "send")
    by_hand.turn("hub", "intake")
    # The package is placed before the answer to its sender.
    with failing("before commit", skip=1), pytest.raises(JournalError):
        by_hand.turn("hub", "place")
    assert by_hand.states("hub", "account:") == ["SENDING"]
    by_hand.turn("hub", "place")
    assert by_hand.states("hub", "account:") == ["SENT"]
    by_hand.turn(PROCURATORATE, "fetch")
    assert by_hand.states(PROCURATORATE, "spool:") == ["QUEUED"]


def test_a_bundle_whose_sending_was_not_settled_is_settled_by_the_next_turn(
    by_hand: ByHand,
) -> None:
    by_hand.admit()
    with failing("before commit", skip=1), pytest.raises(JournalError):
        by_hand.turn(POLICE, "send")
    assert by_hand.states(POLICE, "hub") == ["SENDING"]
    by_hand.turn(POLICE, "send")
    assert by_hand.states(POLICE, "hub") == ["SENT"]


def test_a_mark_that_could_not_be_removed_goes_with_the_next_turn(by_hand: ByHand) -> None:
    """Found by trying every failing call: it stayed beside the spool until the next start."""
    by_hand.admit()
    by_hand.relay()
    staging = by_hand.province.spool(PROCURATORATE) / ".frontgate" / "staging"
    broken = OSError(errno.EIO, "injected")
    with failing("before unlink", skip=1, times=2, error=broken):  # the first looks for a torn copy
        by_hand.turn(PROCURATORATE, "deliver")
    assert by_hand.states(PROCURATORATE, "spool:") == ["SENT"]
    assert [p.suffix for p in staging.iterdir()] == [".intent"]
    by_hand.turn(PROCURATORATE, "deliver")
    assert not os.listdir(staging)


def test_receipt_files_asked_for_again_while_they_are_flushed_are_written_again(
    by_hand: ByHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the sync and its note the software took them and dropped the same once more."""
    by_hand.admit()
    by_hand.turn(POLICE, "receipt-files")
    folder = by_hand.province.spool(POLICE) / "receipts"
    names = sorted(os.listdir(folder))
    assert names
    gateway = by_hand.gateways[POLICE]
    real = durable.sync_file_system

    def meanwhile(path: Path) -> None:
        real(path)
        for name in names:
            (folder / name).unlink()
        with gateway.journal.write() as tx:
            for (package_id,) in tx.all("SELECT id FROM package"):
                receipts.write_again(tx, package_id)
        gateway._files.write_again()

    with monkeypatch.context() as patch:
        patch.setattr(durable, "sync_file_system", meanwhile)
        patch.setattr(gateway._files, "_flush_at", 0.0)
        by_hand.turn(POLICE, "receipt-files")
    assert os.listdir(folder) == []
    by_hand.turn(POLICE, "receipt-files")
    assert sorted(os.listdir(folder)) == names


def test_a_receipt_file_that_failed_when_written_again_leaves_nothing_behind(
    by_hand: ByHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by seed 179: its first copy counted as the second, whose rest stayed."""
    by_hand.admit()
    by_hand.turn(POLICE, "receipt-files")
    files = by_hand.gateways[POLICE]._files
    files.write_again()
    monkeypatch.setattr(files, "_flush_at", 0.0)
    with failing("before rename", error=OSError(errno.EROFS, "injected")):
        by_hand.turn(POLICE, "receipt-files")
    for _ in range(2):
        monkeypatch.setattr(files, "_flush_at", 0.0)
        by_hand.turn(POLICE, "receipt-files")
    names = os.listdir(by_hand.province.spool(POLICE) / "receipts")
    assert names
    assert not [name for name in names if name.endswith(".tmp")]


@pytest.mark.parametrize("step", ["before rmdir", "before unlink", "before rename"])
def test_a_refusal_cut_off_while_it_is_cleared_up_is_reported_once(
    by_hand: ByHand, step: str
) -> None:
    """Found by seed 1539: the note of its name was gone, its folder not, and it was reported anew."""
    bad = message(ref="bad").replace(' standard="1.0"', ' standard="9.9"')
    by_hand.province.drop(POLICE, "bad.xml", bad)
    gateway = by_hand.gateways[POLICE]
    (post,) = gateway.posts.posts
    found = post.sweeper.sweep([(b"bad.xml", True)])
    with failing(step, error=OSError(errno.EROFS, "injected")):
        gateway._intake.take_safely(post, found)
    for _ in range(3):
        by_hand.turn(POLICE, "intake")
    spool = by_hand.province.spool(POLICE)
    names = sorted(os.listdir(spool / "rejected"))
    assert names == ["bad.xml", "bad.xml.report.txt", "bad.xml.report.xml"]
    assert not os.listdir(spool / ".frontgate" / "claims")


def _taken_before_the_commit(by_hand: ByHand) -> None:
    """Delivered, then the journal fails, and the case software is quick."""
    by_hand.admit()
    by_hand.relay()
    with failing("before commit", skip=1), pytest.raises(JournalError):
        by_hand.turn(PROCURATORATE, "deliver")
    (entry,) = by_hand.province.entries(PROCURATORATE)
    shutil.rmtree(by_hand.province.spool(PROCURATORATE) / "inbound" / entry)


def test_an_entry_taken_before_the_commit_is_not_delivered_again_after_a_crash(
    by_hand: ByHand,
) -> None:
    _taken_before_the_commit(by_hand)
    by_hand.restart_gateway(PROCURATORATE)
    by_hand.turn(PROCURATORATE, "deliver")
    assert by_hand.province.entries(PROCURATORATE) == []
    by_hand.turn(PROCURATORATE, "pick-up")
    assert by_hand.states(PROCURATORATE, "spool:") == ["ACKNOWLEDGED"]
    kinds = by_hand.rows(PROCURATORATE, "SELECT kind FROM receipt WHERE issuer = ?", PROCURATORATE)
    assert [k for (k,) in kinds] == ["delivered", "handed-over"]
    assert not list((by_hand.province.spool(PROCURATORATE) / ".frontgate" / "staging").iterdir())


def test_nor_by_the_next_turn_without_a_crash(by_hand: ByHand) -> None:
    _taken_before_the_commit(by_hand)
    by_hand.turn(PROCURATORATE, "deliver")
    assert by_hand.province.entries(PROCURATORATE) == []
    by_hand.turn(PROCURATORATE, "pick-up")
    assert by_hand.states(PROCURATORATE, "spool:") == ["ACKNOWLEDGED"]


@pytest.mark.slow
@pytest.mark.parametrize(("form", "entries"), [("folder", 1), ("sealed", 1), ("zip", 5)])
def test_a_crash_at_any_step_of_a_delivery_delivers_each_once(
    by_hand: ByHand, form: str, entries: int
) -> None:
    """The process dies at the n-th durable step; each entry that appeared is taken at once."""

    class Died(BaseException):
        pass

    for _ in range(entries):
        by_hand.admit()
    by_hand.relay()
    inbound = by_hand.province.spool(PROCURATORATE) / "inbound"
    taken: list[str] = []

    def collect() -> None:
        for path in inbound.iterdir():
            taken.append(path.name[:85])
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    n = seen = 0

    def probe(when: str, name: str, places: object) -> None:
        nonlocal seen
        seen += 1
        if seen >= n:  # and once dead it does nothing more, nor does what would undo the rest
            raise Died(name)

    while True:
        force_setattr(by_hand.gateways[PROCURATORATE].posts.posts[0], "form", form)
        n, seen = n + 1, 0
        durable.probe = probe
        try:
            by_hand.turn(PROCURATORATE, "deliver")
        except Died:
            pass
        finally:
            durable.probe = None
        collect()
        if seen < n:
            break
        by_hand.restart_gateway(PROCURATORATE)
    by_hand.turn(PROCURATORATE, "pick-up")
    assert by_hand.states(PROCURATORATE, "spool:") == ["ACKNOWLEDGED"] * entries
    assert len(taken) == len(set(taken)) == entries, taken
    assert n > 8
    assert not os.listdir(by_hand.province.spool(PROCURATORATE) / ".frontgate" / "staging")
