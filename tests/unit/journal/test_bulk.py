"""Acts on many transfers: planned, walked in small steps, resumed, without a second effect."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))

from benchmarks import bulk as benchmark
from frontgate.core.lifecycle import Transfer, TransferEvent
from frontgate.journal import Journal, bulk, packages, receipts, transfers
from frontgate.journal.bulk import AGAIN, NEEDED, Choice
from frontgate.model.receipt import Kind, Receipt
from frontgate.pipeline import bulk as pipeline_bulk
from frontgate.pipeline import operate
from frontgate.pipeline.bulk import BulkWorker


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.open(tmp_path / "journal.db", node="hub:52000090005")


def begin(journal: Journal, choice: Choice, per_s: float = 0) -> bulk.Work:
    return operate.begin_bulk(journal, choice, per_s=per_s, actor="me", reason="why")[0]


def run_all(journal: Journal, cancelled: operate.Cancelled | None = None) -> int:
    """Returns: transactions that it took."""
    worker = BulkWorker(journal, cancelled, lambda: None)
    turns = 0
    while worker.turn() is not None:
        turns += 1
    return turns


def count(journal: Journal, sql: str) -> int:
    reader = journal.reader()
    row = reader.one(sql)
    reader.close()
    assert row is not None
    return int(row[0])


def test_two_thousand_in_linear_time_and_constant_memory(tmp_path: Path) -> None:
    figures = benchmark.run(tmp_path, 2000)
    assert figures["grown_mib"] < 20
    assert figures["live_count"] > 0


def test_a_plan_counts_by_destination_type_and_reason_and_changes_nothing(
    journal: Journal,
) -> None:
    benchmark.fill(journal, 30)
    before = count(journal, "SELECT count(*) FROM event")
    reader = journal.reader()
    plan = operate.plan(reader, Choice("replay"))
    assert [(g.destination, g.reason, g.count, g.bytes) for g in plan] == [
        ("account:u52010213005", "FG-JRN-006", 10, 200_000),
        ("account:u52010221005", "FG-RTE-016", 10, 200_000),
        ("account:u52010231000", "FG-RTE-004", 10, 200_000),
    ]
    only = Choice("replay", to="52010221005", kind="arrest-request")
    assert [g.count for g in operate.plan(reader, only)] == [10]
    assert operate.plan(reader, Choice("replay", kind="arrest")) == []
    assert operate.plan(reader, Choice("replay", until="2020-01-01T00:00:00.000Z")) == []
    assert count(journal, "SELECT count(*) FROM event") == before


def test_the_same_replay_twice_has_no_second_effect(journal: Journal) -> None:
    benchmark.fill(journal, 450)
    work = begin(journal, Choice("replay"))
    assert begin(journal, Choice("replay")).work_id == work.work_id, "it still runs"
    assert run_all(journal) >= 3
    assert count(journal, "SELECT count(*) FROM transfer WHERE state = 'QUEUED'") == 450
    begin(journal, Choice("replay"))
    run_all(journal)
    assert count(journal, "SELECT count(*) FROM transfer") == 900
    assert count(journal, "SELECT count(*) FROM event WHERE kind = 'replay'") == 450


def test_a_walk_that_was_cut_off_goes_on_where_it_was(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_bulk, "BATCH", 7)
    benchmark.fill(journal, 100)
    work = begin(journal, Choice("replay"))
    worker = BulkWorker(journal, None, lambda: None)
    for _ in range(5):
        worker.turn()
    journal.close()
    journal = Journal.open(tmp_path / "journal.db", node="hub:52000090005")
    reader = journal.reader()
    half = bulk.find(reader, work.work_id)
    assert half is not None
    assert half.done == 35
    assert half.state == "running"
    assert count(journal, "SELECT count(*) FROM transfer WHERE attempt = 2") == 35
    run_all(journal)
    over = bulk.find(reader, work.work_id)
    assert over is not None
    assert (over.done, over.bytes, over.state) == (100, 2_000_000, "done")
    assert count(journal, "SELECT count(*) FROM transfer WHERE attempt = 2") == 100


def test_a_transaction_that_dies_leaves_neither_rows_nor_progress(journal: Journal) -> None:
    benchmark.fill(journal, 10)
    work = begin(journal, Choice("replay"))
    with pytest.raises(ZeroDivisionError), journal.write() as tx:
        BulkWorker(journal, None, lambda: None)._step(tx, work, 5)
        raise ZeroDivisionError
    reader = journal.reader()
    assert bulk.find(reader, work.work_id) == work
    run_all(journal)
    assert count(journal, "SELECT count(*) FROM transfer WHERE attempt = 2") == 10


def test_a_stopped_one_stays_where_it_is(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_bulk, "BATCH", 3)
    benchmark.fill(journal, 10)
    work = begin(journal, Choice("replay"))
    worker = BulkWorker(journal, None, lambda: None)
    worker.turn()
    with journal.write() as tx:
        assert bulk.stop(tx, work.work_id, actor="me", reason="enough")
        assert not bulk.stop(tx, work.work_id, actor="me", reason="enough")
    assert worker.turn() is None
    assert count(journal, "SELECT count(*) FROM transfer WHERE attempt = 2") == 3


def test_a_rate_is_kept(journal: Journal) -> None:
    benchmark.fill(journal, 40)
    begin(journal, Choice("replay"), per_s=20)
    worker = BulkWorker(journal, None, lambda: None)
    pause = worker.turn()
    assert pause is not None
    assert 0.5 < pause <= 1.0, "20 at once, then the second they stand for"
    assert count(journal, "SELECT count(*) FROM transfer WHERE attempt = 2") == 20
    assert worker.turn() is not None
    assert count(journal, "SELECT count(*) FROM transfer WHERE attempt = 2") == 20, "not yet"


def test_hold_release_and_cancel_in_bulk(journal: Journal) -> None:
    benchmark.fill(journal, 60)
    begin(journal, Choice("replay"))
    run_all(journal)
    begin(journal, Choice("hold", to="52010221005"))
    run_all(journal)
    held = "SELECT count(*) FROM transfer WHERE state = 'HELD'"
    assert count(journal, held) == 20
    begin(journal, Choice("release", kind="arrest-request.submit"))
    run_all(journal)
    assert count(journal, held) == 0
    told: list[str] = []
    begin(journal, Choice("cancel", to="52010231000"))
    assert run_all(journal) == 0, "a cancel waits for who can sign it"
    run_all(journal, lambda _tx, rows, error: told.extend(r.message_id for r in rows))
    assert len(told) == 20
    assert count(journal, "SELECT count(*) FROM transfer WHERE state = 'CANCELLED'") == 20
    assert count(journal, "SELECT count(*) FROM transfer WHERE state = 'QUEUED'") == 40


def acknowledge(journal: Journal, handed_over: bool) -> None:
    """All that is queued is delivered; told by receipts of the receiver."""
    with journal.write() as tx:
        signature = receipts.keep_signature(tx, b"<s/>")
        for row in transfers.in_state(tx, Transfer.QUEUED, limit=10_000):
            kind = Kind.HANDED_OVER if handed_over else Kind.DELIVERED
            receipt = Receipt(
                f"r{row.transfer_id}", kind, tx.now_at, row.receiver, "gateway",
                row.message_id, row.sender, receiver=row.receiver,
            )  # fmt: skip
            receipts.keep(tx, receipt, b"<r/>", f"d{row.transfer_id}", signature, row.package_id)
            transfers.apply(tx, row.transfer_id, TransferEvent.RECEIPT_ACCEPTED)


def test_a_unit_that_lost_its_disk_gets_again_what_it_had_not_handed_over(
    journal: Journal,
) -> None:
    benchmark.fill(journal, 30)
    begin(journal, Choice("replay", to="52010221005"))
    run_all(journal)
    acknowledge(journal, handed_over=True)
    benchmark.fill(journal, 30, first=30)
    begin(journal, Choice("replay"))
    run_all(journal)
    acknowledge(journal, handed_over=False)
    reader = journal.reader()
    needed = Choice("replay", NEEDED, to="52010221005")
    assert sum(g.count for g in operate.plan(reader, needed)) == 10
    everything = Choice("replay", AGAIN, to="52010221005")
    assert sum(g.count for g in operate.plan(reader, everything)) == 20
    begin(journal, needed)
    run_all(journal)
    rows = reader.all(
        "SELECT DISTINCT receiver, attempt, is_bulk FROM transfer WHERE state = 'QUEUED'"
    )
    assert rows == [("52010221005", 3, 1)]


def test_replaying_what_was_acknowledged_yields_its_receipt_and_one_audit_entry(
    journal: Journal,
) -> None:
    benchmark.fill(journal, 1)
    begin(journal, Choice("replay"))
    run_all(journal)
    acknowledge(journal, handed_over=False)
    tables = ("transfer", "receipt", "receipt_out", "package", "bundle_out", "event")
    before = [count(journal, f"SELECT count(*) FROM {t}") for t in tables]
    ident = "00000000-0000-4000-8000-000000000000"
    (done,) = operate.replay_ids(journal, [ident], actor="me", reason="sure?")
    assert done["new"] is None
    assert done["receipt"]["kind"] == "delivered"
    after = [count(journal, f"SELECT count(*) FROM {t}") for t in tables]
    assert [b - a for a, b in zip(before, after, strict=True)] == [0, 0, 0, 0, 0, 1]


def test_a_positive_receipt_after_a_failure_is_a_new_attempt(journal: Journal) -> None:
    benchmark.fill(journal, 1)
    with journal.write() as tx:
        row = transfers.by_id(tx, 1)
        assert row is not None
        assert transfers.settle(tx, row, TransferEvent.RECEIPT_ACCEPTED) is Transfer.ACKNOWLEDGED
    reader = journal.reader()
    assert reader.all("SELECT attempt, state FROM transfer ORDER BY id") == [
        (1, "FAILED"),
        (2, "ACKNOWLEDGED"),
    ]


def test_what_was_pruned_is_neither_planned_nor_sent_again(journal: Journal) -> None:
    benchmark.fill(journal, 4)
    with journal.write() as tx:
        for n, state in ((1, "gone"), (2, "kept")):
            segment = packages.add_segment(tx, f"s{n}", 1, "taken")
            tx.run("UPDATE segment SET state = ? WHERE id = ?", state, segment)
            tx.run("UPDATE package SET segment_id = ? WHERE id = ?", segment, n)
        assert transfers.replay(tx, 1, actor="me", reason="x") is None
    reader = journal.reader()
    assert sum(g.count for g in operate.plan(reader, Choice("replay"))) == 3
    begin(journal, Choice("replay"))
    run_all(journal)
    rows = reader.all("SELECT DISTINCT package_id FROM transfer WHERE attempt = 2 ORDER BY 1")
    assert rows == [(2,), (3,), (4,)]
    (told,) = operate.replay_ids(journal, ["1"], actor="me", reason="x")
    assert (told["new"], told["is_pruned"]) == (None, True)
