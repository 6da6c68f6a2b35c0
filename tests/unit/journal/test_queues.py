"""Queue queries follow an index: what one package costs does not grow with the backlog."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from frontgate.core.lifecycle import Intake, Transfer
from frontgate.core.routing import HUB
from frontgate.journal import Journal, bundles, packages, queues, receipts, resync, transfers
from frontgate.pipeline import dispatch
from frontgate.pipeline.dispatch import Lane

NOW = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path / "journal.db", node="gateway:test")
    yield opened
    opened.close()


def fill(journal: Journal, count: int, *, start: int = 0, destination: str = HUB) -> None:
    """So many packages that wait, as the intake writes them."""
    for begin in range(start, start + count, 500):
        with journal.write(NOW) as tx:
            segment = packages.add_segment(tx, f"segments/{destination}-{begin}", 1000, "sealed")
            for n in range(begin, min(begin + 500, start + count)):
                package_id = packages.add(
                    tx,
                    direction="out",
                    state=Intake.ADMITTED,
                    envelope=None,
                    sender="5201021100X",
                    message_id=f"{destination}-{n}",
                    segment_id=segment,
                    size_bytes=1000,
                    digest="0" * 64,
                )
                tx.run("UPDATE package SET flow_uid = ? WHERE id = ?", f"flow-{n}", package_id)
                transfers.add(tx, package_id=package_id, destination=destination)


def fill_receipts(journal: Journal, count: int, destination: str = HUB) -> None:
    """So many receipts that wait for a destination: as after an outage of days."""
    with journal.write(NOW) as tx:
        known = tx.one("SELECT coalesce(max(id), 0) FROM receipt")
        assert known is not None
        first = int(known[0]) + 1
        tx.run("INSERT OR IGNORE INTO signature (id, digest, xml) VALUES (1, 'x', x'00')")
        for n in range(first, first + count):
            tx.run(
                "INSERT INTO receipt (id, receipt_id, kind, sender, message_id, receiver, issuer,"
                " issuer_node, event_time, attempt, audit_seq, audit_head, digest, xml, signature_id,"
                " kept_at) VALUES (?, ?, 'delivered', 's', ?, 'r', 'i', 'gateway', '', 1, 1, '', '',"
                " x'00', 1, '')",
                n,
                f"receipt-{n}",
                f"message-{n}",
            )
            receipts.send(tx, n, destination)


@contextmanager
def watched(journal: Journal) -> Iterator[tuple[list[tuple[str, object]], list[int]]]:
    """Every statement of the writer's connection, and the work it does: hundreds of SQLite's own
    instructions, which know no clock and no noise.
    """
    with journal.write(NOW) as tx:
        db = tx.db
    statements: list[tuple[str, object]] = []
    work = [0]

    def trace(cursor: object, sql: str, bindings: object) -> bool:
        statements.append((sql, bindings))
        return True

    def progress() -> bool:
        work[0] += 1
        return False

    db.exec_trace = trace
    db.set_progress_handler(progress, 100)
    try:
        yield statements, work
    finally:
        db.exec_trace = None
        db.set_progress_handler(None)


def work_of_one_turn(journal: Journal) -> tuple[list[tuple[str, object]], int]:
    """What a sender's or placer's turn asks and writes for one bundle."""
    with watched(journal) as (statements, work):
        with journal.write(NOW) as tx:
            queues.destinations(tx, now_ms=NOW_MS, large=False)
            receipts.waiting_destinations(tx)
            bundles.composed(tx, HUB)
            queues.due(tx, HUB, now_ms=NOW_MS, large=False, limit=1)
            queues.next_due(tx, HUB)
            transfers.sent_page(tx, HUB)
            transfers.oldest_open(tx)
            transfers.older_than(
                tx, [Transfer.QUEUED], made_before_ms=0, destination_prefix=HUB, warned=(0,)
            )
        outgoing = dispatch.compose(journal, HUB, Lane(False), NOW)
        assert outgoing is not None
        dispatch.sent(journal, outgoing, NOW)
        with journal.write(NOW) as tx:
            receipts.travel_again(tx, HUB, "none")
            receipts.answered(tx, HUB, outgoing.bundle_id)
    return statements, work[0]


def test_one_bundle_costs_the_same_whatever_waits(journal: Journal) -> None:
    fill(journal, 1000)
    fill_receipts(journal, 1000)
    _, few = work_of_one_turn(journal)
    fill(journal, 20_000, start=1000)
    fill_receipts(journal, 20_000)
    for n in range(20):
        fill(journal, 100, destination=f"account:{n}")
    _, many = work_of_one_turn(journal)
    assert many < few * 1.5, f"{few} with 1 000 waiting, {many} with 23 000"


def test_no_queue_query_walks_through_a_table_or_sorts_one(journal: Journal) -> None:
    fill(journal, 200)
    fill_receipts(journal, 200)
    statements, _ = work_of_one_turn(journal)
    reader = journal.reader()
    walks: list[str] = []
    asked = 0
    for sql, bindings in statements:
        if not re.match(r"\s*(SELECT|WITH|UPDATE|DELETE)", sql):
            continue
        asked += 1
        for row in reader.all("EXPLAIN QUERY PLAN " + sql, *(bindings or ())):  # type: ignore[misc]
            step = str(row[3])
            is_walk = step.startswith("SCAN ") and step not in ("SCAN d", "SCAN s")
            # Along a partial index that holds only what waits, ended by LIMIT, is no walk.
            along = re.search(
                r"USING (COVERING )?INDEX (transfer_\w+|receipt_out_\w+|bundle_\w+)", step
            )
            if (is_walk and not along) or "TEMP B-TREE" in step:
                walks.append(f"{step}: {sql}")
    reader.close()
    assert asked > 10
    assert walks == []


def test_a_destination_without_anything_due_is_left_out(journal: Journal) -> None:
    fill(journal, 3, destination="account:a")
    fill(journal, 3, destination="account:b")
    fill(journal, 3, destination="account:c")
    with journal.write(NOW) as tx:
        tx.run("UPDATE transfer SET due_ms = ? WHERE destination = 'account:b'", NOW_MS + 1)
        tx.run("UPDATE transfer SET is_large = 1 WHERE destination = 'account:c'")
        assert queues.destinations(tx, now_ms=NOW_MS, large=False) == ["account:a"]
        assert queues.destinations(tx, now_ms=NOW_MS, large=True) == ["account:c"]
        assert queues.next_due(tx, "account:b") == NOW_MS + 1


def test_the_oldest_open_one_is_found_whatever_was_told_of_it(journal: Journal) -> None:
    fill(journal, 5)
    with journal.write(NOW) as tx:
        assert transfers.oldest_open(tx) == tx.now_at
        tx.run("UPDATE transfer SET made_ms = 5, made_at = 'old', warned = 2 WHERE id = 3")
        assert transfers.oldest_open(tx) == "old"
        tx.run("UPDATE transfer SET state = 'ACKNOWLEDGED'")
        assert transfers.oldest_open(tx) == ""


def test_a_reply_finds_its_app_whatever_else_was_sent(journal: Journal) -> None:
    fill(journal, 3000)
    with watched(journal) as (_, work), journal.write(NOW) as tx:
        tx.run("UPDATE package SET unit = sender, app = 'docs' WHERE message_id = 'hub-2999'")
        before = work[0]
        assert packages.app_of(tx, "5201021100X", "hub-2999") == "docs"
    assert work[0] - before < 5


def test_what_is_told_again_page_by_page_is_walked_once(journal: Journal) -> None:
    def work_of_all() -> tuple[int, int]:
        with journal.write(NOW) as tx:
            tx.run("UPDATE package SET direction = 'in'")
        after, found = 0, 0
        with watched(journal) as (_, work), journal.write(NOW) as tx:
            while page := resync.packages_page(tx, after, "", ["5201021100X"], "account:x"):
                after, found = page[-1][0], found + len(page)
        return found, work[0]

    fill(journal, 500)
    found, few = work_of_all()
    assert found == 500
    fill(journal, 4000, start=500)
    found, many = work_of_all()
    assert found == 4500
    assert many < 12 * few
