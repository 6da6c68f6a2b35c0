"""Reconciliation over real processes: every kind of gap is made by surgery, named, healed, closed."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from commands import frontgate
from province import POLICE, PROCURATORATE, Province, message, wait_for

RELAY = "retry_first_s = 0.1\nretry_max_s = 0.5\noverdue_s = 600\ntally_settle_s = 1\n"


@pytest.fixture
def province(tmp_path: Path) -> Iterator[Province]:
    made = Province(tmp_path, relay=RELAY)
    made.start()
    for name in ("hub", POLICE, PROCURATORATE):
        assert wait_for((made.home / name / "state" / "control.sock").exists), made.log(name)
    # What a new gateway asks of the hub, once: answered late, it would mend what a test breaks.
    closed = "SELECT 1 FROM resync WHERE side = 'asked' AND state = 'closed'"
    for name in (POLICE, PROCURATORATE):
        assert wait_for(lambda name=name: made.query(name, closed), 90), made.log(name)
    yield made
    made.stop()


def exchange(province: Province, count: int) -> list[str]:
    """Messages from police to procuratorate, delivered and told. Returns: their ids, sorted."""
    for n in range(count):
        province.drop(POLICE, f"d{n}.xml", message(ref=f"t{n}"))
    told = "SELECT count(*) FROM receipt WHERE kind = 'delivered'"
    assert wait_for(lambda: province.query(POLICE, told) == [(count,)], 60), province.log("hub")
    return sorted(str(r[0]) for r in province.query(POLICE, "SELECT message_id FROM package"))


def surgery(province: Province, name: str, *statements: str) -> None:
    """Change a journal behind its daemon's back, as a lost write or a hand would."""
    process = province.processes.pop(name)
    process.terminate()
    process.wait(20)
    db = apsw.Connection(str(province.home / name / "state" / "journal.db"))
    for statement in statements:
        db.execute(statement)
        assert db.changes() > 0, statement
    db.close()
    province.start(name)
    assert wait_for((province.home / name / "state" / "control.sock").exists)


def reconcile(province: Province, name: str, code: int) -> Any:
    time.sleep(1.5)  # receipts older than the settling time count
    command = ("hub", "reconcile") if name == "hub" else ("reconcile",)
    return frontgate(province, name, *command, "--now", "--wait", "300", code=code)


def gaps_at(province: Province, name: str) -> set[tuple[str, str]]:
    """What a gateway tells of its gaps. It learns of them by the hub's answer, some time after it."""
    for code in (1, 0, 1):
        with contextlib.suppress(AssertionError):  # the other exit code: it changed meanwhile
            return set(named(frontgate(province, name, "reconcile", code=code)))
    raise AssertionError("neither gaps nor none")


def named(found: Any) -> list[tuple[str, str]]:
    return sorted({(g["message_id"], g["kind"]) for g in found["gaps"]})


def of(table: str, ident: str) -> str:
    """A condition for the rows of one message."""
    if table == "package":
        return f"message_id = '{ident}'"
    return f"package_id IN (SELECT id FROM package WHERE message_id = '{ident}')"


def lose(ident: str, *, receipts: bool = True) -> list[str]:
    """All that a journal knows of one message."""
    rows = [f"DELETE FROM transfer WHERE {of('transfer', ident)}"]
    if receipts:
        rows.append(
            "DELETE FROM receipt_file WHERE receipt IN"
            f" (SELECT id FROM receipt WHERE message_id = '{ident}')"
        )
        rows.append(f"DELETE FROM receipt WHERE message_id = '{ident}'")
    return [*rows, f"DELETE FROM package WHERE {of('package', ident)}"]


@pytest.mark.timeout(600)
def test_a_clean_run_agrees_on_both_sides(province: Province) -> None:
    exchange(province, 3)
    found = reconcile(province, "hub", 0)
    assert found["gaps"] == []
    assert found["complete"]
    today = [d for d in found["days"] if d["count"]]
    assert sorted((d["peer"], d["direction"], d["count"], d["state"]) for d in today) == [
        ("account:u5201021100x", "up", 3, "agreed"),
        ("account:u52010221005", "down", 3, "agreed"),
    ]
    mine = frontgate(province, POLICE, "reconcile")
    assert [d["digest"] for d in mine["days"] if d["count"]] == [
        d["digest"] for d in today if d["direction"] == "up"
    ]


@pytest.mark.timeout(900)
def test_every_kind_of_gap_is_named_by_its_message_on_both_sides_and_closes(
    province: Province,
) -> None:
    ids = exchange(province, 8)
    unseen, undelivered, untold, unheard, orphan, other, sound, unknown = ids
    hub_lost = [s for s in lose(unseen) if "receipt_file" not in s]
    surgery(
        province, "hub",
        *hub_lost,
        f"DELETE FROM receipt WHERE message_id = '{unheard}' AND kind = 'delivered'",
        f"UPDATE transfer SET state = 'SENT', changed_ms = unixepoch() * 1000 WHERE {of('transfer', unheard)}",
        f"DELETE FROM transfer WHERE {of('transfer', orphan)}",
        f"DELETE FROM package WHERE {of('package', orphan)}",
    )  # fmt: skip
    surgery(
        province, PROCURATORATE,
        *[s for s in lose(undelivered) if "receipt_file" not in s],
    )  # fmt: skip
    surgery(
        province, POLICE,
        f"DELETE FROM receipt_file WHERE receipt IN (SELECT id FROM receipt WHERE message_id = '{untold}' AND kind = 'delivered')",
        f"DELETE FROM receipt WHERE message_id = '{untold}' AND kind = 'delivered'",
        # The sender believes that the hub refused what the hub relayed.
        f"UPDATE receipt SET kind = 'relay-rejected' WHERE message_id = '{other}' AND kind = 'relay-accepted'",
        f"DELETE FROM receipt_file WHERE receipt IN (SELECT id FROM receipt WHERE message_id = '{other}' AND kind = 'delivered')",
        f"DELETE FROM receipt WHERE message_id = '{other}' AND kind = 'delivered'",
        *lose(unknown),
    )  # fmt: skip
    found = reconcile(province, "hub", 1)
    expected = {
        (POLICE, unseen, "hub-never-saw"),
        # Its receiver has a message that the hub no longer knows of.
        (PROCURATORATE, unseen, "no-message-at-hub"),
        (PROCURATORATE, undelivered, "never-delivered"),
        (POLICE, untold, "receipt-missing-at-sender"),
        # The sender was told before the hub lost the receipt; the receiver delivered.
        (POLICE, unheard, "receipt-missing-at-hub"),
        (PROCURATORATE, unheard, "receipt-missing-at-hub"),
        (POLICE, orphan, "no-message-at-hub"),
        (PROCURATORATE, orphan, "no-message-at-hub"),
        (POLICE, other, "different-outcome"),
        (POLICE, unknown, "no-message-at-unit"),
    }
    assert {
        (g["peer"].removeprefix("account:u").upper(), g["message_id"], g["kind"])
        for g in found["gaps"]
    } == expected
    assert sound not in {g["message_id"] for g in found["gaps"]}
    assert all(g["message_id"] in g["advice_en"] + g["en"] for g in found["gaps"])
    for name in (POLICE, PROCURATORATE):
        wanted = {(ident, kind) for peer, ident, kind in expected if peer == name}
        assert wait_for(lambda n=name, w=wanted: gaps_at(province, n) == w, 30), name

    # What can be sent again is, by whoever has it; the others recognise what they have.
    for name in (POLICE, PROCURATORATE, "hub"):
        frontgate(province, name, "replay", "--gaps", "--reason", "named by reconciliation")
    told = "SELECT count(*) FROM receipt WHERE kind = 'delivered' AND message_id = ?"
    assert wait_for(lambda: province.query(POLICE, told, untold) == [(1,)], 60)
    assert wait_for(lambda: province.query("hub", told, unheard) == [(1,)], 60)
    relayed = "SELECT count(*) FROM package WHERE state = 'ADMITTED' AND message_id IN (?, ?)"
    assert wait_for(lambda: province.query("hub", relayed, unseen, orphan) == [(2,)], 60)
    assert wait_for(lambda: province.query(PROCURATORATE, told, undelivered) == [(1,)], 60), (
        province.log(PROCURATORATE)
    )
    assert wait_for(
        lambda: (
            province.query("hub", "SELECT id FROM transfer WHERE state <> 'ACKNOWLEDGED'") == []
        ),
        60,
    )
    assert len(province.entries(PROCURATORATE)) == 9, "the one it lost stands there once more"
    found = reconcile(province, "hub", 1)
    left = {(other, "different-outcome"), (unknown, "no-message-at-unit")}
    assert set(named(found)) == left, found["gaps"]
    closed = province.query("hub", "SELECT count(*) FROM event WHERE kind = 'gap-closed'")
    assert closed == [(8,)]
    assert wait_for(lambda: gaps_at(province, POLICE) == left, 30)
    assert wait_for(lambda: gaps_at(province, PROCURATORATE) == set(), 30)
