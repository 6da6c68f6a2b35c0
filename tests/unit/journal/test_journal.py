"""The journal: durable transactions, one writer, exactly-once identities, order, replay."""

import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from frontgate.core.lifecycle import IllegalTransition, Transfer, TransferEvent
from frontgate.core.lifecycle import Intake as State
from frontgate.errors import JournalError
from frontgate.journal import Journal, Tx, audit, open_reader, packages, queues, store, transfers
from frontgate.model.envelope import Envelope
from frontgate.model.message import Address, Header


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.open(tmp_path / "journal.db", node="gateway:x")


def add_package(tx: Tx, message_id: str, *, flow: str = "", urgency: str = "1") -> int:
    header = Header(
        "1.0",
        "a.b",
        "S",
        (Address("R"),),
        "t",
        message_id=message_id,
        flow_uid=flow,
        urgency=urgency,
    )
    return packages.add(
        tx, direction="out", state=State.ADMITTED, envelope=Envelope(header, ("R",)), sender="S",
        message_id=message_id, content_digest="c" + message_id,
    )  # fmt: skip


def queue(journal: Journal, *rows: tuple[str, str, str]) -> list[int]:
    made = []
    with journal.write() as tx:
        for message_id, flow, urgency in rows:
            package = add_package(tx, message_id, flow=flow, urgency=urgency)
            made.append(transfers.add(tx, package_id=package, destination="hub"))
    return made


def due(journal: Journal, **kwargs: bool) -> list[str]:
    reader = journal.reader()
    found = queues.due(reader, "hub", now_ms=1 << 60, large=False, limit=50, **kwargs)
    reader.close()
    return [row.message_id for row in found]


def test_the_settings_of_durability_are_in_force(journal: Journal) -> None:
    with journal.write() as tx:
        assert tx.one("PRAGMA synchronous") == (2,)
        assert tx.one("PRAGMA journal_mode") == ("wal",)
        assert tx.one("PRAGMA foreign_keys") == (1,)


def test_a_transaction_that_raises_leaves_nothing(journal: Journal) -> None:
    with pytest.raises(ZeroDivisionError), journal.write() as tx:
        tx.event("x")
        add_package(tx, "m")
        raise ZeroDivisionError
    reader = journal.reader()
    assert reader.one("SELECT count(*) FROM event") == (0,)
    assert audit.verify(reader) == (0, [])
    with journal.write() as tx:
        assert tx.event("y")[0] == 1
    assert audit.verify(reader) == (1, [])


def test_a_second_writer_is_refused(journal: Journal, tmp_path: Path) -> None:
    script = (
        "from frontgate.journal import Journal; from pathlib import Path; import sys\n"
        "try: Journal.open(Path(sys.argv[1]), node='gateway:x')\n"
        "except Exception as e: print(e.code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "journal.db")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "FG-JRN-002"
    with journal.write() as tx:
        tx.event("still mine")


def test_another_nodes_journal_is_refused(journal: Journal, tmp_path: Path) -> None:
    journal.close()
    with pytest.raises(JournalError) as caught:
        Journal.open(tmp_path / "journal.db", node="hub:x")
    assert caught.value.code == "FG-JRN-001"


def test_a_newer_journal_is_refused(journal: Journal, tmp_path: Path) -> None:
    journal.close()
    db = apsw.Connection(str(tmp_path / "journal.db"))
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(JournalError) as caught:
        Journal.open(tmp_path / "journal.db", node="gateway:x")
    assert caught.value.code == "FG-JRN-003"
    with pytest.raises(JournalError) as caught:
        open_reader(tmp_path / "journal.db")
    assert caught.value.code == "FG-JRN-003"


def test_an_older_journal_is_read_once_a_daemon_has_brought_it_up_to_date(
    journal: Journal, tmp_path: Path
) -> None:
    path = tmp_path / "journal.db"
    journal.close()
    db = apsw.Connection(str(path))
    db.execute("PRAGMA user_version = 2")
    db.close()
    with pytest.raises(JournalError) as caught:
        open_reader(path)
    assert (caught.value.code, caught.value.is_transient) == ("FG-JRN-011", True)
    read = open_reader(path, any_version=True)
    assert read.meta("node") == "gateway:x"
    read.close()
    Journal.open(path, node="gateway:x").close()
    open_reader(path).close()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (apsw.FullError, "FG-JRN-004"),
        (apsw.IOError, "FG-JRN-004"),
        (apsw.CorruptError, "FG-JRN-001"),
    ],
)
def test_a_full_disk_while_it_is_brought_up_to_date_is_no_damage(
    journal: Journal,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: type[apsw.Error],
    code: str,
) -> None:
    journal.close()

    def refused(*_: object) -> None:
        raise error("no")

    with monkeypatch.context() as patched, pytest.raises(JournalError) as caught:
        patched.setattr(store, "migrate", refused)
        Journal.open(tmp_path / "journal.db", node="gateway:x")
    assert caught.value.code == code
    Journal.open(tmp_path / "journal.db", node="gateway:x").close()


def test_a_journal_that_is_being_made_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty one that no process has open is: its content is gone."""
    path = tmp_path / "journal.db"
    told: list[tuple[str, bool]] = []

    def look(*_: object) -> None:
        with pytest.raises(JournalError) as caught:
            open_reader(path, any_version=True)
        told.append((caught.value.code, caught.value.is_transient))
        raise apsw.FullError("no")

    monkeypatch.setattr(store, "migrate", look)
    with pytest.raises(JournalError):
        Journal.open(path, node="gateway:x")
    with pytest.raises(apsw.FullError):
        look()
    assert told == [("FG-JRN-011", True), ("FG-JRN-001", False)]


def test_audit_rows_cannot_be_changed_and_changes_by_other_means_are_found(
    journal: Journal, tmp_path: Path
) -> None:
    with journal.write() as tx:
        for n in range(20):
            tx.event("e", n=n)
    with pytest.raises(apsw.ConstraintError), journal.write() as tx:
        tx.run("UPDATE event SET kind = 'x' WHERE seq = 3")
    with pytest.raises(apsw.ConstraintError), journal.write() as tx:
        tx.run("DELETE FROM event WHERE seq = 3")
    journal.close()
    db = apsw.Connection(str(tmp_path / "journal.db"))
    db.execute("DROP TRIGGER event_no_update; UPDATE event SET data = '{}' WHERE seq = 7")
    db.close()
    reader = open_reader(tmp_path / "journal.db")
    _, breaks = audit.verify(reader)
    assert [b.seq for b in breaks] == [7]


def test_an_admitted_identity_is_bound_for_ever(journal: Journal) -> None:
    with journal.write() as tx:
        add_package(tx, "m1")
    with pytest.raises(apsw.ConstraintError), journal.write() as tx:
        add_package(tx, "m1")
    reader = journal.reader()
    known = packages.find_admitted(reader, "out", "S", "m1")
    assert known is not None
    assert known.content_digest == "cm1"


def test_urgent_ones_go_first_and_each_flow_keeps_its_order(journal: Journal) -> None:
    ids = queue(
        journal,
        ("a1", "A", "1"),
        ("b1", "B", "1"),
        ("a2", "A", "3"),
        ("c1", "C", "3"),
        ("a3", "A", "1"),
    )
    assert due(journal) == ["c1", "a1", "b1", "a3"] or due(journal)[0] == "c1"
    assert "a2" not in due(journal), "an urgent one does not overtake its own flow"
    with journal.write() as tx:
        transfers.apply(tx, ids[0], TransferEvent.START)
    assert "a2" not in due(journal)
    assert "a3" not in due(journal), "it waits for the answer of the one before"
    assert "b1" in due(journal)
    with journal.write() as tx:
        transfers.apply(tx, ids[0], TransferEvent.DELIVERED)
    assert "a2" not in due(journal)
    assert "a2" in due(journal, sent_is_enough=True)
    with journal.write() as tx:
        transfers.apply(tx, ids[0], TransferEvent.RECEIPT_ACCEPTED)
    assert "a2" in due(journal)


def test_a_failed_or_held_one_releases_its_followers(journal: Journal) -> None:
    first, second, _ = queue(journal, ("a1", "A", "1"), ("a2", "A", "1"), ("a3", "A", "1"))
    with journal.write() as tx:
        transfers.apply(tx, first, TransferEvent.START)
        transfers.apply(tx, first, TransferEvent.PERMANENT, reason="FG-X")
        transfers.apply(tx, second, TransferEvent.HOLD)
    assert due(journal) == ["a3"]


def test_an_illegal_event_changes_nothing(journal: Journal) -> None:
    (one,) = queue(journal, ("a1", "", "1"))
    before = journal.reader().one("SELECT count(*) FROM event")
    with pytest.raises(IllegalTransition), journal.write() as tx:
        transfers.apply(tx, one, TransferEvent.RELEASE)
    assert journal.reader().one("SELECT state FROM transfer") == ("QUEUED",)
    assert journal.reader().one("SELECT count(*) FROM event") == before


def test_late_evidence_is_journaled_and_ignored(journal: Journal) -> None:
    (one,) = queue(journal, ("a1", "", "1"))
    with journal.write() as tx:
        transfers.apply(tx, one, TransferEvent.RECEIPT_ACCEPTED)
        assert transfers.apply(tx, one, TransferEvent.RECEIPT_REFUSED) is Transfer.ACKNOWLEDGED
    assert journal.reader().one("SELECT count(*) FROM event WHERE kind = 'late-evidence'") == (1,)


def test_a_replay_is_a_new_attempt_and_a_second_replay_is_nothing(journal: Journal) -> None:
    (one,) = queue(journal, ("a1", "", "1"))
    with journal.write() as tx:
        assert transfers.replay(tx, one, actor="me", reason="x") is None, "it is still under way"
        transfers.apply(tx, one, TransferEvent.START)
        transfers.apply(tx, one, TransferEvent.PERMANENT, reason="FG-X")
        new = transfers.replay(tx, one, actor="me", reason="x")
        assert new is not None
        assert transfers.replay(tx, one, actor="me", reason="x") is None
    reader = journal.reader()
    assert reader.all("SELECT attempt, state FROM transfer ORDER BY id") == [
        (1, "FAILED"),
        (2, "QUEUED"),
    ]
    assert due(journal) == ["a1"]


def test_back_off_keeps_a_transfer_out_of_the_queue_until_its_time(journal: Journal) -> None:
    (one,) = queue(journal, ("a1", "", "1"))
    with journal.write() as tx:
        transfers.apply(tx, one, TransferEvent.START)
        transfers.apply(
            tx, one, TransferEvent.TRANSIENT, reason="FG-TRN-001", due_ms=tx.now_ms + 60_000
        )
        assert queues.due(tx, "hub", now_ms=tx.now_ms, large=False, limit=5) == []
        assert len(queues.due(tx, "hub", now_ms=tx.now_ms + 60_000, large=False, limit=5)) == 1
        assert queues.next_due(tx, "hub") == tx.now_ms + 60_000


def test_a_hundred_thousand_waiting_do_not_slow_the_queue(journal: Journal) -> None:
    """The queue is read by index: the plan never scans the table."""
    with journal.write() as tx:
        plan = tx.all(
            "EXPLAIN QUERY PLAN SELECT t.id FROM transfer t WHERE t.destination = 'hub' AND t.state = 'QUEUED'"
            " AND t.is_large = 0 AND t.due_ms <= 5 ORDER BY t.is_bulk, t.urgency DESC, t.id LIMIT 64"
        )
    text = " ".join(str(row[3]) for row in plan)
    assert "transfer_queue" in text
    assert "TEMP B-TREE" not in text
