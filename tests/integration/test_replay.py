"""Replay, hold, release and cancel over real processes: what failed, what was lost, what was done."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import frontgate
from province import POLICE, PROCURATORATE, Province, message, wait_for

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def province(tmp_path: Path) -> Iterator[Province]:
    made = Province(tmp_path)
    made.start()
    yield made
    made.stop()


def delivered(province: Province, count: int) -> bool:
    return sum("-delivered-" in name for name in province.receipts(POLICE)) >= count


def hub_states(province: Province) -> list[tuple[object, ...]]:
    return province.query("hub", "SELECT attempt, state FROM transfer ORDER BY id")


def test_what_the_hub_refused_by_its_own_fault_is_reopened_by_replay(province: Province) -> None:
    province.kill("hub")
    province.administration.set_status(POLICE, "suspended")
    sender = "SELECT attempt, state, reason FROM transfer ORDER BY id"
    for n in range(3):
        province.drop(POLICE, f"d{n}.xml", message(ref=f"r{n}"))
    assert wait_for(lambda: len(province.receipts(POLICE)) >= 3), province.log(POLICE)
    province.start("hub")
    assert wait_for(lambda: [r[1] for r in province.query(POLICE, sender)] == ["FAILED"] * 3, 60), (
        province.log("hub")
    )
    text = frontgate(province, POLICE, "list", "--failed", code=1, as_json=False)
    assert text.count("FG-RTE-004") == 3
    assert "since " in text
    assert "→ " in text
    rows = frontgate(province, POLICE, "list", "--failed", code=1)["transfers"]
    assert all(r["zh"] and r["en"] and r["advice_zh"] and r["advice_en"] for r in rows)
    shown = frontgate(province, POLICE, "show", rows[0]["message"])
    assert shown["packages"][0]["transfers"][0]["advice_en"]

    province.kill("hub")
    province.administration.set_status(POLICE, "active")
    province.start("hub")
    plan = frontgate(province, POLICE, "replay", "--failed", "--dry-run")
    assert plan["count"] == 3
    assert plan["plan"][0]["reason"] == "FG-RTE-004"
    assert len(province.query(POLICE, sender)) == 3, "a plan changes nothing"
    done = frontgate(
        province, POLICE, "replay", "--failed", "--to", PROCURATORATE, "--rate", "50",
        "--reason", "suspended by mistake",
    )  # fmt: skip
    assert (done["job"]["state"], done["job"]["done"]) == ("done", 3)
    assert wait_for(lambda: delivered(province, 3)), province.log("hub")
    assert len(province.entries(PROCURATORATE)) == 3
    again = frontgate(province, POLICE, "replay", "--failed", "--reason", "twice", code=1)
    assert again["count"] == 0
    assert frontgate(province, POLICE, "list", "--failed")["transfers"] == []
    jobs = frontgate(province, POLICE, "replay", "--status")["jobs"]
    assert [j["reason"] for j in jobs] == ["suspended by mistake"]


def test_replaying_what_was_delivered_yields_the_old_receipt_and_nothing_else(
    province: Province,
) -> None:
    # A new gateway asks what it should know; asked too late, it gets the same package once more.
    closed = "SELECT 1 FROM resync WHERE side = 'asked' AND state = 'closed'"
    for name in (POLICE, PROCURATORATE):
        assert wait_for((province.home / name / "state" / "control.sock").exists, 60)
        assert wait_for(lambda name=name: province.query(name, closed), 60), province.log(name)
    province.drop(POLICE, "d.xml", message(ref="done"))
    assert wait_for(lambda: delivered(province, 1))
    ident = str(province.query(POLICE, "SELECT message_id FROM package")[0][0])
    before = province.receipts(POLICE)
    for name in (POLICE, "hub"):
        (answer,) = frontgate(province, name, "replay", ident, "--reason", "sure?", code=1)["done"]
        assert answer["new"] is None
        assert answer["receipt"]["kind"] in ("delivered", "relay-accepted")
        kinds = "SELECT count(*) FROM event WHERE kind = 'replay-answered'"
        assert province.query(name, kinds) == [(1,)]
        # Others may have come in the meantime: the hub warns of deadlines by messages of its own.
        rows = province.query(
            name,
            "SELECT t.state FROM transfer t JOIN package p ON p.id = t.package_id"
            " WHERE p.message_id = ?",
            ident,
        )
        assert rows == [("ACKNOWLEDGED",)]
    assert province.receipts(POLICE) == before
    assert len(province.entries(PROCURATORATE)) == 1


def test_a_unit_that_lost_its_disk_gets_everything_again_from_the_hub(province: Province) -> None:
    for n in range(4):
        province.drop(POLICE, f"d{n}.xml", message(ref=f"l{n}"))
    assert wait_for(lambda: delivered(province, 4))
    # A receipt may be on its way yet, and what is under way is not replayed.
    once = [(1, "ACKNOWLEDGED")] * 4
    assert wait_for(lambda: hub_states(province) == once, 60), hub_states(province)
    first = {name.rpartition("-arrest")[2] for name in province.entries(PROCURATORATE)}
    # Its gateway still has all: it repeats its receipts, and delivers nothing twice.
    arguments = ("replay", "--to", PROCURATORATE, "--reason", "they ask")
    assert frontgate(province, "hub", *arguments)["job"]["done"] == 4
    expected = once + [(2, "ACKNOWLEDGED")] * 4
    assert wait_for(lambda: hub_states(province) == expected, 60), hub_states(province)
    assert len(province.entries(PROCURATORATE)) == 4

    province.kill(PROCURATORATE)
    shutil.rmtree(province.home / PROCURATORATE / "state")
    for entry in (province.spool(PROCURATORATE) / "inbound").iterdir():
        shutil.rmtree(entry)
    (province.spool(PROCURATORATE) / ".frontgate" / "delivered.log").unlink()
    province.start(PROCURATORATE)  # it asks the hub by itself for what it has not handed over
    assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 4, 60), province.log(
        PROCURATORATE
    )
    assert {n.rpartition("-arrest")[2] for n in province.entries(PROCURATORATE)} == first
    assert wait_for(lambda: {s for _, s in hub_states(province)} == {"ACKNOWLEDGED"}, 60)
    assert frontgate(province, "hub", *arguments)["job"]["done"] == 4
    assert wait_for(lambda: {s for _, s in hub_states(province)} == {"ACKNOWLEDGED"}, 60)
    assert len(province.entries(PROCURATORATE)) == 4


def test_a_replay_cut_off_by_a_kill_goes_on_when_the_daemon_is_back(tmp_path: Path) -> None:
    province = Province(tmp_path)
    province.start(POLICE)
    for n in range(30):
        province.drop(POLICE, f"d{n}.xml", message(ref=f"k{n}"))
    assert wait_for(lambda: len(province.receipts(POLICE)) >= 30, 60)
    queued = "SELECT count(*) FROM transfer WHERE state = 'QUEUED'"
    held = "SELECT count(*) FROM transfer WHERE state = 'HELD'"
    frontgate(province, POLICE, "hold", "--all", "--reason", "wait")
    assert province.query(POLICE, held) == [(30,)]
    plan = frontgate(province, POLICE, "cancel", "--all", "--dry-run")
    assert plan["count"] == 30
    frontgate(province, POLICE, "cancel", "--all", "--reason", "wrong batch")
    failed = "SELECT count(*) FROM receipt WHERE kind = 'relay-failed'"
    assert province.query(POLICE, failed) == [(30,)], "each cancel is told by a signed receipt"
    frontgate(
        province, POLICE, "replay", "--failed", "--rate", "5", "--detach", "--reason", "right"
    )
    assert wait_for(lambda: 5 <= int(str(province.query(POLICE, queued)[0][0])) < 30)
    province.kill(POLICE)
    (job,) = [
        j for j in frontgate(province, POLICE, "replay", "--status")["jobs"]
        if j["state"] == "running"
    ]  # fmt: skip
    assert 5 <= job["done"] < 30
    # Without a daemon, Ctrl-C or not, the command line goes on with the same walk.
    frontgate(province, POLICE, "replay", "--failed", "--rate", "1000", "--reason", "right")
    assert province.query(POLICE, queued) == [(30,)]
    assert province.query(POLICE, "SELECT max(attempt) FROM transfer") == [(2,)]
    province.start()
    assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 30, 90), province.log(POLICE)
    assert set(province.stop().values()) == {0}
