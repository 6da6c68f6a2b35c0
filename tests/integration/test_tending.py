"""What is looked after: all of it, however much waits, and by a clock that does not jump."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest
from by_hand import ByHand, failing
from province import POLICE, PROCURATORATE
from vmsteps import counted

from frontgate import clock
from frontgate.core.lifecycle import TransferEvent
from frontgate.errors import JournalError
from frontgate.journal import Journal, bundles, open_reader, packages, transfers
from frontgate.pipeline.take import take


@pytest.fixture
def by_hand(tmp_path: Path) -> Iterator[ByHand]:
    made = ByHand(tmp_path)
    yield made
    clock.use(None, None)
    made.close()


def segments(by_hand: ByHand, node: str) -> list[str]:
    root = by_hand.province.home / node / "state" / "segments"
    return sorted(str(p.relative_to(root.parent)) for p in root.rglob("*") if p.is_file())


def named(by_hand: ByHand, node: str) -> list[str]:
    return sorted(str(r[0]) for r in by_hand.rows(node, "SELECT path FROM segment"))


def sent_rows(journal: Journal, destination: str, bundles: list[str], begin: int = 10_001) -> None:
    """A transfer sent long ago for each of these bundles; 16 in each millisecond."""
    with journal.write() as tx:
        for n, bundle_id in enumerate(bundles, begin):
            tx.run(
                "INSERT INTO package (id, direction, state, sender, message_id, made_at)"
                " VALUES (?, 'in', 'ADMITTED', 's', ?, '')", n, f"m{n}",
            )  # fmt: skip
            tx.run(
                "INSERT INTO transfer (package_id, destination, state, bundle_id, made_at, made_ms,"
                " changed_at, changed_ms) VALUES (?, ?, 'SENT', ?, '', ?, '', ?)",
                n, destination, bundle_id, tx.now_ms, n // 16,
            )  # fmt: skip


def test_the_hub_looks_behind_a_thousand_that_still_lie_in_their_mailbox(by_hand: ByHand) -> None:
    account = f"u{PROCURATORATE.lower()}"
    lying = "1".rjust(16, "0") + "-" + "a" * 64
    sent_rows(by_hand.hub.journal, f"account:{account}", [lying] * 1200 + ["gone"] * 3)
    (by_hand.mailbox(PROCURATORATE) / "from-hub" / f"{lying}.bundle").touch()
    by_hand.turn("hub", "tend")
    states = [str(s) for s in by_hand.states("hub", "account:")]
    assert states == ["SENT"] * 1200 + ["QUEUED"] * 3


def test_the_gateway_looks_behind_a_thousand_that_still_lie_at_the_hub(by_hand: ByHand) -> None:
    lying = "1".rjust(16, "0") + "-" + "a" * 64
    sent_rows(by_hand.gateways[POLICE].journal, "hub", [lying] * 1200 + ["gone"] * 3)
    upload = by_hand.mailbox(POLICE) / "to-hub" / f"{lying}.bundle"
    upload.touch()
    by_hand.turn(POLICE, "fetch")
    by_hand.turn(POLICE, "tend")
    assert by_hand.states(POLICE, "hub") == ["SENT"] * 1200 + ["QUEUED"] * 3


def test_a_page_of_what_was_sent_costs_what_it_holds(tmp_path: Path) -> None:
    """Counted in steps of SQLite's machine: no page walks along those before it, nor sorts all."""
    with counted() as steps:
        journal = Journal.open(tmp_path / "journal.db", node="hub:52000090005")
        for unit in range(3):
            name = f"account:u{unit}"
            sent_rows(journal, name, [f"b{unit}-{n}" for n in range(400)], begin=1 + 400 * unit)
        reader = journal.reader()
        seen: list[tuple[str, int]] = []
        costs: list[int] = []
        after: transfers.Row | None = None
        steps.clear()
        while page := transfers.sent_page(reader, "account:", after=after, limit=50):
            after = page[-1]
            seen += [(row.destination, row.transfer_id) for row in page]
            costs.append(sum(steps.values()))
            steps.clear()
        assert seen == sorted(seen)
        assert len(set(seen)) == 1200
        assert max(costs) < 1.5 * min(costs), costs
        entries: list[int] = []
        costs.clear()
        place = (0, 0)
        while found := transfers.sent_entries(reader, "account:u1", place, limit=50):
            place = found[-1][:2]
            entries += [number for _, number, _ in found]
            costs.append(sum(steps.values()))
            steps.clear()
        assert entries == [number for unit, number in seen if unit == "account:u1"]
        assert max(costs) < 1.5 * min(costs), costs
        (row,) = transfers.of_ids(reader, [entries[7], 10**9])
        assert (row.transfer_id, row.destination) == (entries[7], "account:u1")
        journal.close()


def test_a_segment_whose_transaction_failed_goes_without_a_restart(by_hand: ByHand) -> None:
    by_hand.admit()
    full = apsw.FullError("database or disk is full")
    with failing("before commit", times=3, error=full):
        by_hand.admit()  # waits in memory; its segment has no row
    assert segments(by_hand, POLICE) == named(by_hand, POLICE)
    by_hand.turn(POLICE, "intake")
    assert len(by_hand.states(POLICE, "hub")) == 2
    # The same for what is taken from the other side.
    by_hand.turn(POLICE, "send")
    with failing("before commit", error=full), pytest.raises(JournalError):
        by_hand.turn("hub", "intake")
    assert segments(by_hand, "hub") == named(by_hand, "hub") == []
    by_hand.turn("hub", "intake")
    assert segments(by_hand, "hub") == named(by_hand, "hub") != []


def test_a_bundle_that_comes_twice_leaves_one_segment(by_hand: ByHand) -> None:
    by_hand.admit()
    by_hand.turn(POLICE, "send")
    by_hand.turn("hub", "intake")
    by_hand.turn("hub", "place")
    (bundle,) = (by_hand.mailbox(PROCURATORATE) / "from-hub").glob("*.bundle")
    gateway = by_hand.gateways[PROCURATORATE]
    for times in (2, 1):
        taken = take(
            gateway.store, bundle.name, lambda sink: sink(bundle.read_bytes()), now=clock.now()
        )
        for _ in range(times):
            gateway._inbound.take(taken)
    by_hand.turn(PROCURATORATE, "fetch")
    assert segments(by_hand, PROCURATORATE) == named(by_hand, PROCURATORATE)


def test_orphans_of_any_day_go_at_the_start(by_hand: ByHand) -> None:
    by_hand.admit()
    root = by_hand.province.home / POLICE / "state" / "segments"
    for day in ("20200101", "20260101", "20260102", "20260103"):
        (root / day).mkdir()
        for n in range(3):
            (root / day / f"000000-{n:016x}.bundle").write_bytes(b"x")
    assert by_hand.gateways[POLICE].store.sweep_orphans(by_hand.gateways[POLICE]._reader) == 12
    assert segments(by_hand, POLICE) == named(by_hand, POLICE)


# -- the wall clock jumps ----------------------------------------------------------------------


def test_parts_beside_a_taken_upload_go_when_they_rest_others_stay(by_hand: ByHand) -> None:
    """A sender that missed the answer began again, was cut off, and then heard by a receipt."""
    account, box = f"u{POLICE.lower()}", by_hand.mailbox(POLICE) / "to-hub"
    taken, open_ = (f"{n:016d}-{'a' * 64}" for n in (1, 2))
    with by_hand.hub.journal.write() as tx:
        segment = packages.add_segment(tx, "segments/x", 1, "taken")
        bundles.add_taken(tx, f"account:{account}", taken, segment)

    def left(quiet_s: float) -> list[str]:
        for bundle in (taken, open_):
            part = box / f".{bundle}.bundle.part"
            part.write_bytes(b"PK")
            then = clock.now().timestamp() - quiet_s
            os.utime(part, (then, then))
        by_hand.restart_hub()  # a start looks at once, then every hour
        by_hand.turn("hub", "tend")
        return [p.name[1:].removesuffix(".bundle.part") for p in sorted(box.iterdir())]

    assert left(quiet_s=1800) == [taken, open_], "one that is written to now"
    assert left(quiet_s=2 * 3600) == [open_]
    assert left(quiet_s=-86400.0) == [open_], "written before the clock was set back"
    assert left(quiet_s=36 * 86400.0) == []


def test_a_part_whose_name_is_no_text_stops_nothing(by_hand: ByHand) -> None:
    """At OpenSSH an account may give any bytes for a name."""
    box = by_hand.mailbox(POLICE) / "to-hub"
    then = clock.now().timestamp() - 2 * 3600
    odd = [os.fsencode(box) + b"/" + name for name in (b".\xff.bundle.part", b"..bundle.part")]
    for path in odd:
        Path(os.fsdecode(path)).write_bytes(b"PK")
        os.utime(path, (then, then))
    by_hand.restart_hub()
    by_hand.turn("hub", "tend")
    assert [os.path.exists(path) for path in odd] == [True, True]
    for path in odd:
        os.utime(path, (then - 36 * 86400, then - 36 * 86400))
    by_hand.restart_hub()
    by_hand.turn("hub", "tend")
    assert os.listdir(box) == []


class Jumping:
    """A wall clock that can be set, and a monotonic one that runs as it should."""

    def __init__(self) -> None:
        self.jump = timedelta()
        self.passed_s = 0.0
        self._monotonic = clock.monotonic
        clock.use(self.wall, self.steady)

    def steady(self) -> float:
        return self._monotonic() + self.passed_s

    def wall(self) -> datetime:
        return datetime.now(UTC) + self.jump + timedelta(seconds=self.passed_s)


YEARS = timedelta(days=3660)


@pytest.mark.parametrize("jump", [YEARS, -YEARS, timedelta(hours=1), -timedelta(hours=1)])
def test_a_jump_expires_nothing_retries_nothing_and_warns_of_nothing(
    tmp_path: Path, jump: timedelta
) -> None:
    jumping = Jumping()
    by_hand = ByHand(tmp_path)
    by_hand.admit()
    by_hand.turn(POLICE, "send")
    by_hand.admit()
    gateway = by_hand.gateways[POLICE]
    with gateway.journal.write() as tx:
        waits = int(str(by_hand.rows(POLICE, "SELECT max(id) FROM transfer")[0][0]))
        transfers.apply(tx, waits, TransferEvent.START)
        transfers.apply(tx, waits, TransferEvent.TRANSIENT, due_ms=tx.now_ms + 600_000)
    before = by_hand.states(POLICE, "hub")
    jumping.jump = jump
    for _ in range(2):
        by_hand.turn(POLICE, "fetch")
        by_hand.turn(POLICE, "tend")
        by_hand.turn(POLICE, "send")
    assert by_hand.states(POLICE, "hub") == before == ["SENT", "QUEUED"]
    kinds = {str(r[0]) for r in by_hand.rows(POLICE, "SELECT kind FROM receipt")}
    assert kinds == {"submission-accepted"}
    assert by_hand.rows(POLICE, "SELECT count(*) FROM event WHERE kind = 'clock-jump'") == [(1,)]
    # Time that passes by the monotonic clock still counts, also over a restart.
    by_hand.restart_gateway(POLICE)
    jumping.passed_s = 700
    by_hand.turn(POLICE, "send")
    by_hand.turn(POLICE, "fetch")
    by_hand.turn(POLICE, "tend")
    assert by_hand.states(POLICE, "hub") != before
    clock.use(None, None)
    by_hand.close()


def test_a_clock_set_back_while_the_node_was_down_makes_nothing_wait_for_years(
    tmp_path: Path,
) -> None:
    jumping = Jumping()
    jumping.jump = YEARS
    by_hand = ByHand(tmp_path)
    by_hand.admit()
    jumping.jump = timedelta()
    by_hand.gateways[POLICE].journal.close()
    by_hand.gateways[POLICE] = gateway = by_hand.open_gateway(POLICE)
    gateway._recover()
    row = by_hand.rows(POLICE, "SELECT made_ms FROM transfer")[0]
    assert 0 <= gateway.journal.now_ms() - int(str(row[0])) < 60_000
    clock.use(None, None)
    by_hand.close()


@pytest.mark.parametrize("days", [1, 40, 3660])
def test_a_clock_that_is_ahead_at_a_start_ends_nothing(tmp_path: Path, days: int) -> None:
    jumping = Jumping()
    by_hand = ByHand(tmp_path)
    by_hand.admit()
    by_hand.turn(POLICE, "send")
    by_hand.admit()
    by_hand.turn(POLICE, "tend")
    before = by_hand.states(POLICE, "hub")
    made = by_hand.rows(POLICE, "SELECT min(made_ms) FROM transfer")[0][0]
    jumping.jump = timedelta(days=days)
    for _ in range(3):
        by_hand.restart_gateway(POLICE)
        by_hand.turn(POLICE, "tend")
        by_hand.turn(POLICE, "tend")
        age_ms = by_hand.gateways[POLICE].journal.now_ms() - int(str(made))
        assert 86_000_000 <= age_ms <= 86_400_000 + 60_000
    assert by_hand.states(POLICE, "hub") == before == ["SENT", "QUEUED"]
    kinds = {str(r[0]) for r in by_hand.rows(POLICE, "SELECT kind FROM receipt")}
    assert kinds == {"submission-accepted", "relay-delayed"}
    clock.use(None, None)
    by_hand.close()


def test_time_goes_on_over_restarts_of_an_idle_node(tmp_path: Path) -> None:
    """Ten days without traffic, and a start each day: all ten count."""
    jumping = Jumping()
    by_hand = ByHand(tmp_path)
    by_hand.admit()
    made = by_hand.rows(POLICE, "SELECT made_ms FROM transfer")[0][0]
    for day in range(1, 11):
        for quarter in range(4):
            jumping.passed_s = (day - 1) * 86_400 + quarter * 21_600
            by_hand.turn(POLICE, "tend")
        by_hand.restart_gateway(POLICE)
    age_ms = by_hand.gateways[POLICE].journal.now_ms() - int(str(made))
    assert 9.7 * 86_400_000 <= age_ms <= 10 * 86_400_000
    clock.use(None, None)
    by_hand.close()


@pytest.mark.parametrize("hours", [48, -48])
def test_a_jump_makes_no_drop_look_quiet_or_late(tmp_path: Path, hours: int) -> None:
    """A writer at work must not be refused as incomplete because the clock was set."""
    from frontgate.spool.layout import SpoolPaths, prepare
    from frontgate.spool.sweep import Sweeper

    paths = SpoolPaths(tmp_path / "spool")
    prepare(paths)
    jumping = Jumping()
    sweeper = Sweeper(paths, settle_s=2.0, incomplete_after_s=60.0)
    jumping.passed_s = 300.0
    sweeper.sweep([])
    (paths.outbound / "half.xml").write_text("<Message>")
    at = clock.now().timestamp()
    os.utime(paths.outbound / "half.xml", (at, at))
    jumping.jump = timedelta(hours=hours)
    for _ in range(20):
        sweeper.start_scan()
        assert sweeper.sweep([]) == []
        jumping.passed_s += 2.5
    jumping.passed_s += 60.0
    sweeper.start_scan()
    assert len(sweeper.sweep([])) == 1
    clock.use(None, None)


def test_alarms_count_the_time_that_waiting_took_not_the_clocks(tmp_path: Path) -> None:
    from frontgate.pipeline.alarms import alarms

    jumping = Jumping()
    by_hand = ByHand(tmp_path)
    by_hand.admit()
    jumping.jump = YEARS
    with by_hand.gateways[POLICE].journal.write() as tx:
        tx.event("anything")
    reader = open_reader(tmp_path / POLICE / "state" / "journal.db")
    assert [a.code for a in alarms("gateway", reader, None, clock.now())] == ["FG-ALM-001"]
    reader.close()
    clock.use(None, None)
    by_hand.close()
