"""One account cannot fill the hub for all: its uploads wait, are refused, and go on by themselves."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from by_hand import ByHand
from province import DETENTION, POLICE, PROCURATORATE, Province, message, wait_for
from unit_at_hub import UnitAtHub

from frontgate import clock
from frontgate.errors import TransportError
from frontgate.pipeline.alarms import alarms
from frontgate.transports.sftp import connect_sftp


def limit_hub(home: Path, size_bytes: int) -> None:
    settings = home / "hub" / "hub.toml"
    settings.write_text(settings.read_text() + f"[limits]\naccount_waiting_bytes = {size_bytes}\n")


@pytest.fixture
def by_hand(tmp_path: Path) -> Iterator[ByHand]:
    made = ByHand(tmp_path, (POLICE, PROCURATORATE, DETENTION))
    limit_hub(tmp_path, 40_000)
    made.restart_hub()
    yield made
    made.close()


def lying(by_hand: ByHand, unit: str) -> int:
    return len(list((by_hand.mailbox(unit) / "to-hub").glob("*.bundle")))


def test_uploads_of_an_account_over_its_limit_wait_and_no_other_does(by_hand: ByHand) -> None:
    for _ in range(4):
        by_hand.admit()
        by_hand.turn(POLICE, "send")
        by_hand.turn("hub", "intake")
    taken = len(by_hand.states("hub", "account:"))
    assert 1 <= taken < 4
    assert lying(by_hand, POLICE) == 4 - taken
    live = by_hand.hub.status({})
    account = f"u{POLICE.lower()}"
    assert live["troubles"] == {f"account {account}": "FG-BND-013"}
    found = {a.code: a for a in alarms("hub", by_hand.hub._reader, live, clock.now())}
    assert account in found["FG-BND-013"].text("en")
    assert "40000" in found["FG-BND-013"].text("zh")
    # The other unit of the province sends as ever.
    by_hand.admit(PROCURATORATE, sample="arrest-request/notify")
    by_hand.turn(PROCURATORATE, "send")
    by_hand.turn("hub", "intake")
    assert lying(by_hand, PROCURATORATE) == 0
    # When the receivers have taken theirs, it goes on by itself.
    with by_hand.hub.journal.write() as tx:
        tx.run("UPDATE transfer SET state = 'ACKNOWLEDGED'")
    by_hand.hub.quotas._counted_at = -1e9
    by_hand.turn("hub", "intake")
    assert lying(by_hand, POLICE) == 0
    assert by_hand.hub.status({})["troubles"] == {}


def test_a_mailbox_that_outgrows_the_limit_is_refused_its_newest_and_they_come_again(
    by_hand: ByHand,
) -> None:
    for _ in range(8):
        by_hand.admit()
        by_hand.turn(POLICE, "send")
    assert lying(by_hand, POLICE) == 8
    by_hand.turn("hub", "intake")
    by_hand.turn("hub", "intake")
    taken = len(by_hand.states("hub", "account:"))
    left = lying(by_hand, POLICE)
    assert 0 < taken + left < 8
    by_hand.turn("hub", "place")
    by_hand.turn(POLICE, "fetch")
    reasons = [
        r[0] for r in by_hand.rows(POLICE, "SELECT reason FROM transfer WHERE state = 'QUEUED'")
    ]
    assert reasons == ["FG-BND-013"] * (8 - taken - left)
    # Nothing is lost: with room again all arrive, each once.
    for _ in range(10):
        with by_hand.hub.journal.write() as tx:
            tx.run("UPDATE transfer SET state = 'ACKNOWLEDGED'")
        by_hand.hub.quotas._counted_at = -1e9
        with by_hand.gateways[POLICE].journal.write() as tx:
            tx.run("UPDATE transfer SET due_ms = 0")
        for node, loop in (
            (POLICE, "send"),
            ("hub", "intake"),
            ("hub", "place"),
            (POLICE, "fetch"),
        ):
            by_hand.turn(node, loop)
    (count,) = by_hand.rows("hub", "SELECT count(*), count(DISTINCT message_id) FROM package")
    assert count == (8, 8)


def test_the_embedded_front_refuses_bytes_above_the_limit(tmp_path: Path) -> None:
    province = Province(tmp_path)
    limit_hub(tmp_path, 1 << 20)
    province.start("hub")
    try:
        assert wait_for((tmp_path / "hub" / "state" / "control.sock").exists)
        unit = UnitAtHub(province, POLICE)
        transport = connect_sftp(unit.peer)
        name = "9".rjust(16, "0") + "-" + "a" * 64 + ".bundle"
        with pytest.raises(TransportError):
            transport.put(name, io.BytesIO(bytes(3 << 20)), 3 << 20)
        transport.close()
        held = sum(
            p.stat().st_size for p in (tmp_path / "hub" / "sftp").rglob("to-hub/.*") if p.is_file()
        )
        assert held <= 1 << 20
        assert message()
    finally:
        province.destroy()
