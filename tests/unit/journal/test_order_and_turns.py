"""Which of the queue goes next: senders take turns, flows and replies keep their order (design 7.4)."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import apsw
import pytest

from frontgate.core.lifecycle import Intake, Transfer, TransferEvent
from frontgate.journal import Journal, packages, transfers
from frontgate.pipeline import dispatch
from frontgate.pipeline.dispatch import Lane

NOW = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
THERE = "account:u52010221005"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path / "journal.db", node="hub:52000090005")
    yield opened
    opened.close()


class Queue:
    """Fills one destination's queue, and empties it bundle by bundle."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.segment = 0
        self.count = 0

    def add(
        self,
        sender: str,
        *,
        count: int = 1,
        flow: str = "",
        urgency: int = 1,
        is_large: bool = False,
        is_bulk: bool = False,
        in_reply_to: str = "",
    ) -> str:
        """Returns: the MessageId of the last one."""
        message_id = ""
        with self.journal.write(NOW) as tx:
            if not self.segment:
                self.segment = packages.add_segment(tx, "segments/s", 1000, "taken")
            for _ in range(count):
                self.count += 1
                message_id = f"{sender}-{self.count}"
                package_id = packages.add(
                    tx,
                    direction="in",
                    state=Intake.ADMITTED,
                    envelope=None,
                    sender=sender,
                    message_id=message_id,
                    segment_id=self.segment,
                    size_bytes=10,
                    digest="0" * 64,
                )
                tx.run(
                    "UPDATE package SET flow_uid = ?, urgency = ?, in_reply_to = ? WHERE id = ?",
                    flow or message_id,
                    urgency,
                    in_reply_to,
                    package_id,
                )
                transfers.add(
                    tx,
                    package_id=package_id,
                    destination=THERE,
                    receiver="52010221005",
                    is_large=is_large,
                    is_bulk=is_bulk,
                )
        return message_id

    def next(self, lane: Lane) -> list[str]:
        """MessageIds of the next bundle of a lane, which is then under way; empty if none may go."""
        made = dispatch.compose(self.journal, THERE, lane, NOW)
        return [] if made is None else [m.name.removesuffix(".asice") for m in made.members]

    def answered(self, *message_ids: str) -> None:
        with self.journal.write(NOW) as tx:
            for message_id in message_ids:
                row = tx.one(
                    "SELECT t.id, t.state FROM transfer t JOIN package p ON p.id = t.package_id"
                    " WHERE p.message_id = ?",
                    message_id,
                )
                assert row is not None
                assert row[1] == Transfer.SENDING
                transfers.apply(tx, row[0], TransferEvent.RECEIPT_ACCEPTED)


@pytest.fixture
def queue(journal: Journal) -> Queue:
    return Queue(journal)


@pytest.mark.parametrize("urgency", [1, 3])
def test_a_flood_holds_up_nobody_but_itself(queue: Queue, urgency: int) -> None:
    queue.add("A", count=2000, urgency=urgency)
    late = [queue.add("B"), queue.add("C"), queue.add("C")]
    first = queue.next(Lane(False))
    assert set(late) <= set(first)
    assert len(first) == 64, "what the others do not need the flood has"


def test_large_packages_of_several_senders_take_turns(queue: Queue) -> None:
    queue.add("A", count=10, is_large=True)
    late = queue.add("B", is_large=True)
    lane = Lane(True)
    assert late in queue.next(lane) + queue.next(lane)


def test_more_senders_than_members_are_all_served_in_turn(queue: Queue) -> None:
    names = [f"S{n:03d}" for n in range(100)]
    for name in names:
        queue.add(name, count=5)
    lane = Lane(False)
    served = [m.partition("-")[0] for m in queue.next(lane) + queue.next(lane)]
    assert set(served) == set(names)


def test_what_is_sent_again_in_bulk_goes_behind_all(queue: Queue) -> None:
    queue.add("A", count=100, is_bulk=True)
    queue.add("B", count=80)
    queue.add("C", count=80)
    lane = Lane(False)
    seen = [m[0] for _ in range(5) for m in queue.next(lane)]
    assert seen[:160].count("A") == 0
    assert seen[160:] == ["A"] * 100


def test_one_turn_costs_the_same_however_much_each_sender_has(queue: Queue) -> None:
    def work(lane: Lane) -> int:
        steps = [0]

        def progress() -> bool:
            steps[0] += 1
            return False

        with queue.journal.write(NOW) as tx:
            db = tx.db
        db.set_progress_handler(progress, 100)
        queue.next(lane)
        db.set_progress_handler(None)
        return steps[0]

    for n in range(20):
        queue.add(f"S{n:02d}", count=20)
    few = work(Lane(False))
    for n in range(20):
        queue.add(f"S{n:02d}", count=400)
    assert work(Lane(False)) < 1.5 * few


def test_a_reply_waits_for_what_it_answers_though_it_has_a_flow_of_its_own(queue: Queue) -> None:
    first = queue.add("A", is_large=True)
    reply = queue.add("A", in_reply_to=first)
    other = queue.add("A")
    foreign = queue.add("B", in_reply_to=first)
    small, large = Lane(False), Lane(True)
    assert set(queue.next(small)) == {other, foreign}
    assert queue.next(large) == [first]
    assert queue.next(small) == []
    queue.answered(first)
    assert queue.next(small) == [reply]


def test_an_urgent_reply_does_not_overtake_what_it_answers(queue: Queue) -> None:
    first = queue.add("A")
    reply = queue.add("A", in_reply_to=first, urgency=3)
    lane = Lane(False)
    assert queue.next(lane) == [first]
    queue.answered(first)
    assert queue.next(lane) == [reply]


@pytest.mark.parametrize("seed", range(25))
def test_turns_break_no_order(queue: Queue, seed: int) -> None:
    """Whatever waits: all of it goes, and within a flow and along replies in the order it came."""
    luck = random.Random(seed)
    flows = [f"F{n}" for n in range(luck.choice((2, 6, 40)))]
    came: list[tuple[str, str, str]] = []
    for _ in range(luck.choice((30, 150))):
        flow = luck.choice((*flows, ""))
        earlier = [m for m, _, _ in came]
        sender = luck.choice("ABCD")
        answers = luck.choice(earlier) if earlier and luck.random() < 0.3 else ""
        message_id = queue.add(
            sender,
            flow=flow,
            urgency=luck.choice((1, 1, 1, 2, 3)),
            is_large=luck.random() < 0.1,
            is_bulk=luck.random() < 0.05,
            in_reply_to=answers,
        )
        came.append((message_id, flow or message_id, answers if answers[:1] == sender else ""))
    lanes = [Lane(False, luck.choice((1, 4, 64))), Lane(True)]
    gone: list[str] = []
    under_way: list[list[str]] = []
    while len(gone) + sum(map(len, under_way)) < len(came) or under_way:
        bundle = queue.next(luck.choice(lanes))
        if bundle:
            under_way.append(bundle)
        if under_way and (not bundle or luck.random() < 0.5):
            answered = under_way.pop(luck.randrange(len(under_way)))
            queue.answered(*answered)
        gone += bundle
        assert len(gone) <= len(came)
        if len(gone) == len(came):
            break
    at = {message_id: n for n, message_id in enumerate(gone)}
    assert set(at) == {message_id for message_id, _, _ in came}
    for n, (message_id, flow, answers) in enumerate(came):
        before = [m for m, f, _ in came[:n] if f == flow]
        assert all(at[m] < at[message_id] for m in before)
        assert not answers or at[answers] < at[message_id]


def test_a_journal_of_version_1_learns_whose_its_transfers_are(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    old = apsw.Connection(str(path))
    old.execute("PRAGMA journal_mode = WAL")
    old.execute(resources.files("frontgate.journal").joinpath("schema_1.sql").read_text("utf-8"))
    old.execute(
        "INSERT INTO meta VALUES ('node', 'hub:52000090005'), ('epoch', '7'), ('first-epoch', '7');"
        "INSERT INTO package (id, direction, state, sender, message_id, made_at)"
        " VALUES (1, 'in', 'ADMITTED', 'A', 'm-1', ''), (2, 'in', 'ADMITTED', 'B', 'm-2', '');"
        "INSERT INTO transfer (package_id, destination, state, made_at, made_ms, changed_at)"
        f" VALUES (1, '{THERE}', 'QUEUED', '', 1, ''), (2, '{THERE}', 'QUEUED', '', 1, '');"
        "PRAGMA user_version = 1"
    )
    old.close()
    journal = Journal.open(path, node="hub:52000090005")
    reader = journal.reader()
    assert reader.all("SELECT package_id, sender FROM transfer ORDER BY id") == [(1, "A"), (2, "B")]
    assert journal.epoch == 7
    reader.close()
    journal.close()
