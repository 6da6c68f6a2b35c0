"""Silence against a unit's own habit: never without a history, never on days off, ends by sending."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontgate import clock
from frontgate.core.reconcile import LOCAL
from frontgate.core.silence import FLOOR, judge, learn
from frontgate.hub.habits import Habits
from frontgate.journal import Journal, habits
from frontgate.model.unit import Directory, Unit
from frontgate.standard.calendars import days_off

CALENDARS = Path(__file__).parents[2] / "standards" / "1.0" / "calendars"
IS_OFF = days_off(CALENDARS)
HOURS = range(9, 17)


def local(day: date, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=LOCAL)


def office(start: date, days: int, per_hour: int = 1) -> dict[tuple[date, int], int]:
    """A unit that sends in office hours on working days."""
    return {
        (start + timedelta(days=n), hour): per_hour
        for n in range(days)
        for hour in HOURS
        if not IS_OFF(start + timedelta(days=n))
    }


def last_of(history: dict[tuple[date, int], int]) -> datetime:
    day, hour = max(k for k, n in history.items() if n)
    return local(day, hour, 30)


def test_an_office_that_falls_silent_is_named_within_its_next_working_day() -> None:
    history = office(date(2026, 6, 1), 60)
    last = last_of(history)  # Thursday, July 30
    assert judge(history, last=last, now=local(date(2026, 7, 31), 8), is_off=IS_OFF) is None
    found = judge(history, last=last, now=local(date(2026, 7, 31), 17), is_off=IS_OFF)
    assert found is not None
    assert found.since == last
    assert 7.5 < found.expected < 9.5


def test_a_weekend_and_a_long_holiday_cost_nothing() -> None:
    history = office(date(2026, 7, 1), 92)  # to September 30; October 1 to 7 are off
    last = last_of(history)
    assert last.date() == date(2026, 9, 30)
    assert judge(history, last=last, now=local(date(2026, 10, 8), 9), is_off=IS_OFF) is None
    blind = judge(
        history, last=last, now=local(date(2026, 10, 8), 9), is_off=lambda day: day.weekday() >= 5
    )
    assert blind is not None, "without the calendar the holiday would look like silence"


def test_a_suspension_is_no_silence() -> None:
    history = office(date(2026, 6, 1), 60)
    now = local(date(2026, 8, 12), 10)
    back = local(date(2026, 8, 12), 8)
    assert judge(history, last=last_of(history), now=now, is_off=IS_OFF) is not None
    assert judge(history, last=last_of(history), now=now, is_off=IS_OFF, active_since=back) is None


def test_one_outage_in_the_past_does_not_hide_the_next() -> None:
    history = office(date(2026, 6, 1), 60)
    for n in range(7):
        for hour in HOURS:
            history.pop((date(2026, 7, 6) + timedelta(days=n), hour), None)
    found = judge(history, last=last_of(history), now=local(date(2026, 8, 3), 17), is_off=IS_OFF)
    assert found is not None
    assert found.usual < 2


def test_a_unit_with_long_pauses_of_its_own_is_left_in_peace() -> None:
    history = {
        (date(2026, 6, 1) + timedelta(days=n), hour): 1
        for n in range(0, 56, 2)
        for hour in (9, 10, 14)
    }
    last = last_of(history)
    assert judge(history, last=last, now=last + timedelta(days=2), is_off=lambda _: False) is None
    assert judge(history, last=last, now=last + timedelta(days=30), is_off=lambda _: False)


histories = st.dictionaries(
    st.tuples(
        st.integers(0, 80).map(lambda n: date(2026, 5, 4) + timedelta(days=n)), st.integers(0, 23)
    ),
    st.integers(0, 50),
    max_size=120,
)


@settings(max_examples=150, deadline=None)
@given(histories, st.integers(0, 3000), st.integers(0, 3000))
def test_silence_grows_with_time_and_ends_by_sending(
    history: dict[tuple[date, int], int], first: int, more: int
) -> None:
    sent = {k: n for k, n in history.items() if n}
    if not sent:
        return
    last = last_of(sent)
    early = judge(sent, last=last, now=last + timedelta(hours=first), is_off=IS_OFF)
    late = judge(sent, last=last, now=last + timedelta(hours=first + more), is_off=IS_OFF)
    if early is not None:
        assert late is not None, "waiting longer never ends a silence"
        assert late.expected >= early.expected >= FLOOR
    now = last + timedelta(hours=first + more)
    assert judge(sent, last=now, now=now, is_off=IS_OFF) is None, "it has just sent"


@settings(max_examples=100, deadline=None)
@given(histories, st.integers(0, 5000))
def test_few_messages_or_days_are_no_habit(
    history: dict[tuple[date, int], int], hours: int
) -> None:
    few = dict(list(dict.fromkeys(history, 1).items())[:19])
    if few:
        last = last_of(few)
        assert judge(few, last=last, now=last + timedelta(hours=hours), is_off=IS_OFF) is None
    assert (
        judge({}, last=local(date(2026, 1, 1)), now=local(date(2026, 9, 1)), is_off=IS_OFF) is None
    )


@settings(max_examples=100, deadline=None)
@given(histories)
def test_what_is_expected_is_never_more_than_what_came(
    history: dict[tuple[date, int], int],
) -> None:
    if not history:
        return
    first = min(day for day, _ in history)
    end = max(day for day, _ in history) + timedelta(days=1)
    rhythm = learn(history, first=first, last=end, is_off=IS_OFF)
    if rhythm is None:
        return
    start = max(first, end - timedelta(weeks=8))
    came = sum(n for (day, _), n in history.items() if start <= day < end)
    assert rhythm.expected(local(start), local(end)) <= came * 1.35 + 1


@pytest.fixture
def virtual() -> object:
    yield
    clock.use(None, None)


def test_the_hub_counts_its_journal_names_the_silent_and_ends_it(
    tmp_path: Path, virtual: object
) -> None:
    journal = Journal.open(tmp_path / "journal.db", node="hub:52000090005")
    units = {c: Unit(c, c, certificates=("c",)) for c in ("A", "B", "T", "N")}
    directory = Directory(1, units)
    n = 0

    def send(unit: str, at: datetime, test: int = 0) -> None:
        nonlocal n
        n += 1
        with journal.write(at.astimezone(UTC)) as tx:
            tx.run(
                "INSERT INTO package (direction, state, sender, message_id, test_flag, made_at)"
                " VALUES ('in', 'ADMITTED', ?, ?, ?, ?)",
                unit, f"m{n}", test, tx.now_at,
            )  # fmt: skip

    for day, hour in sorted(office(date(2026, 6, 1), 60)):
        if hour in (9, 12, 16):
            for unit, test in (("A", 0), ("B", 0), ("T", 1)):
                for minute in range(3):
                    send(unit, local(day, hour, minute), test)
    tests = n // 3
    send("N", local(date(2026, 7, 30), 9))
    now = local(date(2026, 7, 30), 18)
    clock.use(lambda: now.astimezone(UTC), lambda: now.timestamp())
    watch = Habits(journal, lambda: directory, IS_OFF, deaf_s=0)
    while watch.turn() == 0.01:
        pass
    reader = journal.reader()
    assert reader.one("SELECT sum(count) FROM sent_hour") == (n - tests,), "test traffic is none"
    assert habits.silent(reader) == []
    now = local(date(2026, 8, 3), 18)
    send("A", now - timedelta(hours=1))
    watch.turn()
    assert [(unit, since[:13]) for unit, since, *_ in habits.silent(reader)] == [
        ("B", "2026-07-30T08")
    ], "A has sent, T sends only tests, N has no habit"
    units["B"] = Unit("B", "B", certificates=("c",), status="suspended")
    now += timedelta(minutes=6)
    watch.turn()
    assert habits.silent(reader) == [], "it was told to be silent"
    units["B"] = Unit("B", "B", certificates=("c",))
    now += timedelta(minutes=6)
    watch.turn()
    assert habits.silent(reader) == [], "its time begins anew"
    now = local(date(2026, 8, 5), 18)
    watch.turn()
    assert {unit for unit, *_ in habits.silent(reader)} == {"A", "B"}
    send("B", now)
    watch.turn()
    assert {unit for unit, *_ in habits.silent(reader)} == {"A"}
    told = reader.all("SELECT kind, count(*) FROM event WHERE kind LIKE 'silence-%' GROUP BY 1")
    assert told == [("silence-found", 3), ("silence-over", 2)]
    # Counting again from the same place counts nothing twice.
    with journal.write() as tx:
        assert habits.count_more(tx) == (False, set())
