"""What is repeated is answered as the first time, and durably; a new directory survives any crash."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from by_hand import ByHand, failing
from province import HUB, POLICE, PROCURATORATE, ROLES

from frontgate import clock, durable
from frontgate.errors import JournalError
from frontgate.trust.store import load_trust


@pytest.fixture
def by_hand(tmp_path: Path) -> Iterator[ByHand]:
    made = ByHand(tmp_path)
    yield made
    clock.use(None, None)
    durable.probe = None
    made.close()


def new_directory(by_hand: ByHand) -> int:
    """The administrator changes the directory; the hub announces it. Returns: its version."""
    table = ["code,name_zh,name_en,roles"]
    table += [f"{code},{role}二,{role} two,{role}" for code, role in ROLES.items()]
    by_hand.province.administration.import_units("\n".join(table).encode(), "units.csv")
    by_hand.turn("hub", "trust")
    by_hand.turn("hub", "tend")
    by_hand.turn("hub", "place")
    return by_hand.hub.trust.directory.version


def test_a_crash_behind_the_commit_that_uses_up_its_number_loses_no_directory(
    by_hand: ByHand,
) -> None:
    version = new_directory(by_hand)
    old = by_hand.gateways[POLICE].trust.directory.version
    assert version > old

    class Died(BaseException):
        pass

    with failing("after commit", error=Died()), pytest.raises(Died):  # type: ignore[arg-type]
        by_hand.turn(POLICE, "fetch")
    assert by_hand.rows(
        POLICE, "SELECT 1 FROM control_in WHERE issuer = ? AND kind = ?", HUB, "directory"
    )
    gateway = by_hand.restart_gateway(POLICE)
    by_hand.turn(POLICE, "fetch")
    by_hand.turn(POLICE, "trust")
    assert gateway.trust.directory.version == version


def test_a_directory_that_cannot_be_written_is_used_when_it_can(by_hand: ByHand) -> None:
    version = new_directory(by_hand)
    by_hand.turn(POLICE, "fetch")
    full = OSError(28, "No space left on device")
    with failing("before rename", error=full), pytest.raises(OSError, match="No space"):
        by_hand.turn(POLICE, "trust")
    assert by_hand.gateways[POLICE].trust.directory.version < version
    by_hand.turn(POLICE, "trust")
    assert by_hand.gateways[POLICE].trust.directory.version == version
    trusted = load_trust(by_hand.province.home / POLICE / "keys" / "trust")
    assert trusted.directory.version == version


def test_placing_again_what_is_there_syncs_the_folder(by_hand: ByHand) -> None:
    """It stands there, but not yet in the journal: an earlier try may have ended before its sync."""
    by_hand.admit()
    by_hand.turn(POLICE, "send")
    by_hand.turn("hub", "intake")
    mailbox = by_hand.mailbox(PROCURATORATE) / "from-hub"

    def stands() -> bool:
        return any(p.suffix == ".bundle" for p in mailbox.iterdir())

    with failing("before commit", once=stands), pytest.raises(JournalError):
        by_hand.turn("hub", "place")
    assert stands()
    by_hand.restart_hub()
    steps: list[tuple[str, str]] = []
    durable.probe = lambda w, n, p: steps.append((f"{w} {n}", str(p[0])))
    by_hand.turn("hub", "place")
    sent = [i for i, (step, _) in enumerate(steps) if step == "before commit"]
    assert steps.index(("after fsync-dir", str(mailbox))) < sent[0]


def test_a_repeat_of_what_was_delivered_gets_its_first_answer_after_the_certificate_ended(
    by_hand: ByHand,
) -> None:
    by_hand.admit()
    by_hand.relay()
    by_hand.turn(PROCURATORATE, "deliver")
    gateway = by_hand.gateways[PROCURATORATE]
    with by_hand.hub.journal.write() as tx:
        # The hub lost what the gateway answered, and sends once more: in a bundle of its own.
        tx.run("UPDATE transfer SET state = 'QUEUED'")
        tx.run("DELETE FROM receipt_out")
    by_hand.turn("hub", "place")
    later = datetime.now(UTC) + timedelta(days=40 * 365)
    clock.use(lambda: later, None)
    by_hand.turn(PROCURATORATE, "fetch")
    kinds = by_hand.rows(
        PROCURATORATE, "SELECT kind FROM receipt WHERE issuer = ? ORDER BY id", PROCURATORATE
    )
    assert [k for (k,) in kinds] == ["delivered"]
    assert by_hand.rows(PROCURATORATE, "SELECT count(*) FROM quarantine") == [(0,)]
    # It is on its way again, byte for byte.
    waiting = by_hand.rows(
        PROCURATORATE,
        "SELECT r.kind FROM receipt_out o JOIN receipt r ON r.id = o.receipt WHERE o.bundle_id = ''",
    )
    assert waiting == [("delivered",)]
    assert len(by_hand.province.entries(PROCURATORATE)) == 1
    assert gateway.report.troubles() == {}
