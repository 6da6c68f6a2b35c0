"""Nodes that lost what they had done: restored from an old backup, or replaced by an empty machine.

Each test ends the same way: every message was given to the case software exactly once, and its sender
has every receipt of it.
"""

import json
import re
import shutil
import time
from pathlib import Path

import pytest
from by_hand import ByHand
from keeping import CaseSoftware, counts, frontgate
from province import COURT, POLICE, PROCURATORATE, Province, message, wait_for

from frontgate.errors import FrontgateError
from frontgate.gateway.setup import make_home, take_bundle
from frontgate.hub.admin import Administration
from frontgate.settings import load_hub
from frontgate.trust.unit_bundle import read_unit_bundle

KINDS = ("submission-accepted", "relay-accepted", "delivered", "handed-over")


class Drill:
    """A province under traffic, and the case software on both ends of it."""

    def __init__(self, home: Path, units: tuple[str, ...] = (POLICE, PROCURATORATE)) -> None:
        self.province = Province(home, units)
        self.province.start()
        self.software = CaseSoftware(self.province.spool(PROCURATORATE))
        self.refs: list[str] = []

    def send(self, count: int, prefix: str) -> None:
        for n in range(count):
            self.refs.append(f"{prefix}{n}")
            self.drop(f"{prefix}{n}")

    def drop(self, ref: str) -> None:
        self.province.drop(POLICE, f"{ref}.xml", message(ref=ref))

    def ids(self) -> dict[str, str]:
        """SenderRef → MessageId of all that was accepted."""
        rows = self.province.query(
            POLICE,
            "SELECT sender_ref, message_id FROM package WHERE direction = 'out' AND state = 'ADMITTED'",
        )
        return {str(ref): str(ident) for ref, ident in rows}

    def has_all(self, count: int, kind: str = "handed-over") -> bool:
        sql = "SELECT count(DISTINCT message_id) FROM receipt WHERE kind = ?"
        return counts(self.province, POLICE, sql, kind) >= count

    def settle(self, count: int, kind: str = "handed-over") -> None:
        assert wait_for(lambda: self.has_all(count, kind), 90), "\n".join(
            self.province.log(n) for n in ("hub", POLICE, PROCURATORATE)
        )

    def end(self) -> None:
        """Exactly once to the case software; all receipts of all messages; nothing left open."""
        province = self.province
        self.settle(len(self.refs))
        open_ones = "SELECT count(*) FROM transfer WHERE state IN ('QUEUED', 'SENDING', 'SENT', 'UNCONFIRMED')"
        for name in ("hub", POLICE, PROCURATORATE):
            assert wait_for(lambda name=name: counts(province, name, open_ones) == 0, 60), (
                name,
                province.query(name, "SELECT * FROM transfer WHERE state NOT IN ('ACKNOWLEDGED')"),
            )
        time.sleep(1.5)
        self.software.stop()
        taken = self.software.taken
        ids = self.ids()
        assert sorted(taken) == sorted(set(taken)), "given twice"
        assert set(taken) == {ids[ref] for ref in self.refs}
        for ref in self.refs:
            kinds = {
                str(kind)
                for (kind,) in province.query(
                    POLICE, "SELECT kind FROM receipt WHERE message_id = ?", ids[ref]
                )
            }
            assert kinds >= set(KINDS), (ref, kinds)
            stem = str(province.spool(POLICE) / "receipts" / ids[ref])
            names = list(Path(stem).parent.glob(f"{ids[ref]}.*"))
            assert len(names) >= len(KINDS), names
        for name in ("hub", POLICE, PROCURATORATE):
            judged = frontgate(province, name, "audit", "verify")
            assert judged.returncode == 0, (name, judged.stdout)
            assert json.loads(judged.stdout)["breaks"] == [], name
            bad = province.query(name, "SELECT name, code, detail FROM quarantine")
            assert bad == [], (name, bad)
        province.stop()

    def backup(self, name: str) -> Path:
        target = self.province.home / f"backup-{name}"
        done = frontgate(self.province, name, "backup", "-o", str(target))
        assert done.returncode == 0, done.stderr
        return target

    def restore(self, name: str, source: Path, *, with_spool: bool = True) -> None:
        """The node is gone, its keys are at hand; the spool survives, or not."""
        home = self.province.home / name
        shutil.rmtree(home / "state")
        if not with_spool:
            shutil.rmtree(home / "spool")
        done = frontgate(self.province, name, "restore", str(source), str(home))
        assert done.returncode == 0, done.stderr
        self.province.start(name)

    def is_closed(self, name: str) -> bool:
        sql = "SELECT count(*) FROM resync WHERE side = 'asked' AND state = 'closed'"
        return counts(self.province, name, sql) > 0


@pytest.mark.timeout(400)
def test_a_hub_restored_from_an_old_backup_closes_the_gap(tmp_path: Path) -> None:
    drill = Drill(tmp_path)
    drill.send(4, "before")
    drill.settle(4)
    source = drill.backup("hub")
    drill.send(6, "lost")
    drill.settle(10)
    first = dict(drill.province.query(
        POLICE, "SELECT message_id, digest FROM receipt WHERE kind = 'relay-accepted'"))  # fmt: skip
    drill.province.kill("hub")
    drill.send(3, "away")
    shutil.rmtree(tmp_path / "hub/sftp")  # what lay in the mailboxes is gone as well
    for code in (POLICE, PROCURATORATE):
        for box in ("to-hub", "from-hub"):
            (tmp_path / "hub/sftp" / f"u{code.lower()}" / box).mkdir(parents=True)
    drill.restore("hub", source)
    drill.settle(13)
    assert wait_for(lambda: drill.is_closed("hub"), 60), drill.province.log("hub")
    # What it had said before it says again, with the very same receipts.
    at_hub = dict(drill.province.query(
        "hub", "SELECT message_id, digest FROM receipt WHERE kind = 'relay-accepted'"))  # fmt: skip
    assert {k: v for k, v in at_hub.items() if k in first} == first
    sql = "SELECT count(*) FROM package WHERE state = 'ADMITTED' AND segment_id IS NOT NULL"
    assert wait_for(lambda: counts(drill.province, "hub", sql) == 13, 60)
    assert drill.province.query(
        "hub", "SELECT count(*) FROM receipt WHERE kind = 'relay-accepted'") == [(13,)]  # fmt: skip
    shown = json.loads(frontgate(drill.province, "hub", "status").stdout)["live"]["resync"]
    assert shown["missing"] == []
    assert {row["state"] for row in shown["peers"]} == {"closed"}
    drill.end()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("spool", ["kept", "gone"])
def test_a_receiver_restored_from_an_old_backup_gets_nothing_twice(
    tmp_path: Path, spool: str
) -> None:
    """kept: some entries stand there untaken. gone: those come again; what was taken does not."""
    drill = Drill(tmp_path)
    drill.send(3, "before")
    drill.settle(3)
    source = drill.backup(PROCURATORATE)
    drill.send(4, "lost")
    drill.settle(7)
    drill.software.pause()
    drill.send(3, "standing")
    drill.settle(10, "delivered")
    drill.province.kill(PROCURATORATE)
    drill.software.go_on() if spool == "kept" else None
    if spool == "kept":
        assert wait_for(lambda: len(drill.software.taken) == 10)  # taken while nobody looked
    drill.send(2, "away")
    drill.restore(PROCURATORATE, source, with_spool=spool == "kept")
    drill.software.go_on()
    drill.settle(12)
    assert drill.is_closed(PROCURATORATE)
    drill.end()


@pytest.mark.timeout(400)
def test_a_sender_restored_from_an_old_backup_knows_what_it_sent(tmp_path: Path) -> None:
    drill = Drill(tmp_path)
    drill.send(3, "before")
    drill.settle(3)
    source = drill.backup(POLICE)
    drill.send(5, "lost")
    drill.settle(8)
    ids = drill.ids()
    first = drill.province.query(
        POLICE, "SELECT message_id, kind, digest FROM receipt ORDER BY message_id, kind")  # fmt: skip
    drill.province.kill(POLICE)
    drill.restore(POLICE, source)
    for ref in ("lost1", "before2", "lost4"):
        drill.drop(ref)  # the case software is not sure, and drops again
    drill.send(2, "after")
    drill.settle(10)
    repeats = "SELECT count(*) FROM package WHERE state = 'DUPLICATE'"
    assert wait_for(lambda: counts(drill.province, POLICE, repeats) == 3), drill.province.log(
        POLICE
    )
    assert drill.ids().items() >= ids.items()
    again = drill.province.query(
        POLICE, "SELECT message_id, kind, digest FROM receipt ORDER BY message_id, kind")  # fmt: skip
    assert set(again) >= set(first), "first receipts are kept, byte for byte"
    assert len([r for r in again if r[0] in ids.values()]) == len(first)
    clash = message(ref="lost1").replace("变更强制措施", "另一理由")
    drill.province.drop(POLICE, "clash.xml", clash)
    assert "FG-RTE-011" in drill.province.outcome(POLICE, "clash.xml")
    drill.end()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("unit", [POLICE, PROCURATORATE], ids=["sender", "receiver"])
def test_a_gateway_replaced_by_an_empty_machine_goes_on(tmp_path: Path, unit: str) -> None:
    """New disk, new keys, the spool gone too: the hub's knowledge is all there is."""
    drill = Drill(tmp_path)
    drill.send(4, "old")
    drill.settle(4)
    drill.software.pause()
    drill.send(3, "standing")
    drill.settle(7, "delivered")
    ids = drill.ids()
    drill.province.kill(unit)
    if unit == PROCURATORATE:
        drill.send(2, "away")
    _replace(drill.province, unit)
    drill.province.start(unit)
    drill.software.go_on()
    if unit == POLICE:
        assert wait_for(lambda: drill.is_closed(POLICE), 60), drill.province.log(POLICE)
        for ref in ("old2", "standing1"):
            drill.drop(ref)
        drill.send(2, "new")
    drill.settle(9)
    assert drill.is_closed(unit)
    assert drill.ids().items() >= ids.items()
    drill.end()


def _replace(province: Province, unit: str) -> None:
    home = province.home / unit
    settings = (home / "gateway.toml").read_text()
    shutil.rmtree(home)
    request = make_home(home, [unit])
    administration = Administration(load_hub(province.home / "hub" / "hub.toml"))
    (result,) = administration.admit([request], province.home / "bundles")
    assert result.error is None
    bundle = read_unit_bundle((province.home / "bundles" / f"{unit}.bundle").read_bytes())
    (home / "gateway.toml").write_text(settings)
    take_bundle(home, home / "gateway.toml", bundle)


def test_what_a_machine_signs_as_soon_as_it_is_admitted_is_understood(tmp_path: Path) -> None:
    """Its key opens the account before the hub's loop has looked at the directory again."""
    hand = ByHand(tmp_path)
    try:
        hand.gateways[PROCURATORATE].journal.close()
        _replace(hand.province, PROCURATORATE)
        hand.gateways[PROCURATORATE] = hand.open_gateway(PROCURATORATE)
        hand.turn(PROCURATORATE, "resync")
        hand.turn(PROCURATORATE, "send")
        hand.turn("hub", "intake")
        assert hand.rows("hub", "SELECT name, code FROM quarantine") == []
        asked = hand.rows("hub", "SELECT count(*) FROM event WHERE kind = 'resync-requested'")
        assert asked == [(1,)]
    finally:
        hand.close()


@pytest.mark.timeout(400)
def test_a_case_number_that_was_told_is_never_minted_again(tmp_path: Path) -> None:
    """Messages that open a case, before and after the sender's machine was replaced."""
    drill = Drill(tmp_path, (POLICE, PROCURATORATE, COURT))
    province = drill.province
    opening = "SELECT case_uid FROM package WHERE direction = 'out' AND state = 'ADMITTED'"
    for n in range(3):
        province.drop(POLICE, f"open{n}.xml", _opening(f"open{n}"))
    assert wait_for(lambda: counts(province, POLICE, f"SELECT count(*) FROM ({opening})") == 3), (
        province.log(POLICE)
    )
    relayed = "SELECT count(DISTINCT message_id) FROM receipt WHERE kind = 'relay-accepted'"
    assert wait_for(lambda: counts(province, POLICE, relayed) == 3), province.log(POLICE)
    old = {str(c) for (c,) in province.query(POLICE, opening)}
    assert len(old) == 3
    province.kill(POLICE)
    _replace(province, POLICE)
    province.start(POLICE)
    assert wait_for(lambda: drill.is_closed(POLICE), 60), province.log(POLICE)
    province.drop(POLICE, "open1.xml", _opening("open1"))  # the same again: the same number
    for n in range(3, 6):
        province.drop(POLICE, f"open{n}.xml", _opening(f"open{n}"))
    assert wait_for(lambda: counts(province, POLICE, relayed) == 6), province.log(POLICE)
    new = {str(c) for (c,) in province.query(POLICE, opening)}
    assert len(new) == 6
    assert new >= old
    assert province.query(POLICE, "SELECT count(*) FROM package WHERE state = 'DUPLICATE'") == [
        (1,)
    ]
    province.stop()


def _opening(ref: str) -> str:
    text = message("measure-execution/notify", ref=ref)
    return re.sub(r"\s*<(m:CaseUid|m:PersonUid|t:CaseUid)>[^<]*</\1>", "", text)


def test_a_receipt_that_is_not_the_hubs_own_is_not_adopted(tmp_path: Path) -> None:
    """Only after a restore, only what this hub signed; else a gateway could speak for the hub."""
    from frontgate.hub.resync import HubResync
    from frontgate.journal import Journal
    from frontgate.model.receipt import Kind, Receipt
    from frontgate.pipeline.issue import Issuer
    from frontgate.seal.receipts import read_list, sign_receipts, write_list
    from frontgate.suites import load_signer
    from frontgate.trust.store import load_trust

    province = Province(tmp_path)
    keys = tmp_path / "hub/keys"
    trust = load_trust(keys / "trust")
    unit = trust.directory.hub
    receipt = Receipt(
        "00000001-1111-4111-8111-111111111111", Kind.RELAY_ACCEPTED, "2026-11-25T00:00:00.000Z",
        unit, "hub", "m", POLICE,
    )  # fmt: skip
    forger = load_signer(
        tmp_path / POLICE / f"keys/{POLICE}.key", tmp_path / POLICE / f"keys/{POLICE}.pem", POLICE
    )
    signed = sign_receipts([receipt], forger)
    (group,) = read_list(write_list([(signed.signature, [signed.items[0][1]])]))
    journal = Journal.open(tmp_path / "journal.db", node=f"hub:{unit}")
    issuer = Issuer(load_signer(keys / "hub.key", keys / "hub.pem", unit), "hub", lambda *_: "")
    resync = HubResync(journal, None, issuer, lambda: trust, wake_placer=lambda: None)  # type: ignore[arg-type]
    assert not resync.is_own(group), "no restore, no adoption"
    resync._was_restored = True
    assert resync.is_own(group)
    assert isinstance(resync.error_of_own(group), FrontgateError)
    journal.close()
    province.destroy()
