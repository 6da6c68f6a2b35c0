"""Counting terms: the vectors of the law's own rules, and properties that hold for all."""

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontgate.core.deadlines import (
    LEGAL_TIME,
    Calendar,
    Change,
    Custody,
    Happened,
    Limit,
    State,
    Unit,
    add_months,
    due,
    follow,
    sentence_end,
)
from frontgate.standard.calendars import read_calendar

FOLDER = Path(__file__).parents[3] / "standards" / "1.0" / "calendars"
CALENDAR = Calendar(
    {d: off for path in FOLDER.glob("*.toml") for d, off in read_calendar(path).items()}
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=LEGAL_TIME)


def last_day(
    start: str, value: int, unit: str = "day", *, detained: bool = False, plus: int = 0
) -> str:
    end = due(
        at(start), Limit(value, Unit(unit), plus), CALENDAR,
        custody=Custody.BY_PERSON, in_custody=detained,
    )  # fmt: skip
    assert (end.hour, end.minute) == (0, 0)
    return (end.date() - timedelta(days=1)).isoformat()


@pytest.mark.parametrize(
    ("start", "value", "unit", "expected", "extra"),
    [
        ("2026-11-02", 7, "day", "2026-11-09", {}),
        ("2026-09-24", 3, "day", "2026-09-28", {}),
        ("2026-09-24", 3, "day", "2026-09-27", {"detained": True}),
        ("2026-09-25", 7, "day", "2026-10-08", {}),
        ("2026-09-15", 5, "day", "2026-09-20", {}),
        ("2026-01-15", 1, "month", "2026-02-15", {"detained": True}),
        ("2026-01-30", 1, "month", "2026-02-28", {"detained": True}),
        ("2026-01-31", 1, "month", "2026-02-28", {"detained": True}),
        ("2026-02-28", 1, "month", "2026-03-31", {}),
        ("2026-04-30", 1, "month", "2026-05-31", {"detained": True}),
        ("2026-12-31", 2, "month", "2027-02-28", {"detained": True}),
        ("2027-12-31", 2, "month", "2028-02-29", {}),
        ("2026-03-10", 1, "month", "2026-04-25", {"plus": 15, "detained": True}),
        ("2026-03-10", 1, "month", "2026-04-27", {"plus": 15}),
        ("2026-09-18", 10, "working-day", "2026-10-09", {}),
    ],
)  # fmt: skip
def test_vectors(start: str, value: int, unit: str, expected: str, extra: dict[str, bool]) -> None:
    assert last_day(start, value, unit, **extra) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("start", "terms", "expected"),
    [
        ("2026-03-10", {"years": 3}, "2029-03-09"),
        ("2026-08-31", {"months": 6}, "2027-02-27"),
        ("2024-02-29", {"years": 1}, "2025-02-27"),
        ("2026-10-29", {"years": 2, "months": 6}, "2029-04-28"),
        ("2026-03-10", {"years": 3, "credit_days": 90}, "2028-12-09"),
        ("2026-03-10", {"days": 15}, "2026-03-24"),
    ],
)
def test_terms_of_sentence(start: str, terms: dict[str, int], expected: str) -> None:
    assert sentence_end(date.fromisoformat(start), **terms).isoformat() == expected


def test_hours_run_on_and_working_hours_do_not() -> None:
    hours = due(at("2026-10-01T20:30"), Limit(24, Unit.HOUR), CALENDAR, custody=Custody.NONE)
    assert hours == at("2026-10-02T20:30")
    office = due(
        at("2026-09-30T16:00"), Limit(4, Unit.WORKING_HOUR), CALENDAR, custody=Custody.NONE
    )
    assert office == at("2026-10-08T12:00")


def test_so_long_before_an_event_never_moves() -> None:
    end = due(at("2026-10-10"), Limit(-7, Unit.DAY), CALENDAR, custody=Custody.ROLL)
    assert end.date() - timedelta(days=1) == date(2026, 10, 3)


def test_a_moment_of_another_zone_counts_by_its_legal_day() -> None:
    start = datetime.fromisoformat("2026-11-01T20:00:00+00:00")  # 2 November in Beijing
    assert due(start, Limit(7, Unit.DAY), CALENDAR, custody=Custody.CUSTODY) == at("2026-11-10")


DAYS = st.dates(date(2025, 1, 1), date(2030, 12, 31))
LIMITS = st.builds(
    Limit, st.integers(1, 24), st.sampled_from([Unit.DAY, Unit.WORKING_DAY, Unit.MONTH])
)
CUSTODY = st.sampled_from(Custody)


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=LEGAL_TIME)


@given(DAYS, LIMITS, CUSTODY, st.booleans())
def test_a_longer_limit_never_ends_earlier(
    day: date, limit: Limit, custody: Custody, held: bool
) -> None:
    longer = Limit(limit.value + 1, limit.unit)
    ends = [due(noon(day), x, CALENDAR, custody=custody, in_custody=held) for x in (limit, longer)]
    assert noon(day) < ends[0] <= ends[1]


@given(DAYS, LIMITS, CUSTODY, st.booleans())
def test_a_later_start_never_ends_earlier(
    day: date, limit: Limit, custody: Custody, held: bool
) -> None:
    first, second = (
        due(noon(d), limit, CALENDAR, custody=custody, in_custody=held)
        for d in (day, day + timedelta(days=1))
    )
    # From the last day of a short month a month runs to the last day of the next (art. 202(1)).
    slack = timedelta(days=3 if limit.unit is Unit.MONTH else 0)
    holidays = timedelta(days=9 if slack else 0)
    assert second >= first - slack - holidays


@given(DAYS, LIMITS)
def test_custody_terms_never_roll_and_others_end_on_a_working_day(day: date, limit: Limit) -> None:
    held = due(noon(day), limit, CALENDAR, custody=Custody.CUSTODY, in_custody=True)
    free = due(noon(day), limit, CALENDAR, custody=Custody.ROLL)
    assert held <= free
    assert not CALENDAR.is_off(free.date() - timedelta(days=1))
    if limit.unit is Unit.DAY:
        assert held.date() - day == timedelta(days=limit.value + 1)


@given(DAYS, st.integers(-30, 30))
def test_adding_months_lands_in_the_right_month(day: date, months: int) -> None:
    moved = add_months(day, months)
    assert (moved.year * 12 + moved.month) - (day.year * 12 + day.month) == months


EVENTS = st.lists(
    st.builds(
        Happened,
        st.sampled_from([Change.EXTEND, Change.PAUSE, Change.RESUME]),
        st.datetimes(datetime(2026, 1, 1), datetime(2026, 6, 1)).map(lambda d: d.replace(tzinfo=LEGAL_TIME)),
        LIMITS,
    ),
    max_size=6,
)  # fmt: skip


@given(EVENTS, LIMITS, CUSTODY)
def test_extensions_and_pauses_never_shorten_and_order_of_news_is_no_matter(
    events: list[Happened], limit: Limit, custody: Custody
) -> None:
    start, now = at("2025-12-15"), at("2026-06-01")
    kinds = {"custody": custody, "now": now}
    plain = follow(start, limit, [], CALENDAR, **kinds)  # type: ignore[arg-type]
    changed = follow(start, limit, events, CALENDAR, **kinds)  # type: ignore[arg-type]
    assert changed.due >= plain.due
    assert follow(start, limit, events[::-1], CALENDAR, **kinds) == changed  # type: ignore[arg-type]


def timer(now: str, *events: Happened, custody: Custody = Custody.CUSTODY) -> tuple[str, State]:
    made = follow(
        at("2026-11-02"), Limit(7, Unit.DAY), events, CALENDAR, now=at(now), custody=custody,
        warn=(timedelta(days=3), timedelta(days=1)),
    )  # fmt: skip
    return (made.due.date() - timedelta(days=1)).isoformat(), made.state


def test_the_states_of_a_timer() -> None:
    assert timer("2026-11-03") == ("2026-11-09", State.RUNNING)
    assert timer("2026-11-07") == ("2026-11-09", State.DUE_SOON)
    assert timer("2026-11-09T23:59") == ("2026-11-09", State.DUE_SOON)
    assert timer("2026-11-10") == ("2026-11-09", State.OVERDUE)
    done = Happened(Change.STOP, at("2026-11-09T18:00"))
    late = Happened(Change.STOP, at("2026-11-10T08:00"))
    assert timer("2026-12-01", done)[1] is State.MET
    assert timer("2026-12-01", late)[1] is State.MET_LATE
    assert timer("2026-11-05", done)[1] is State.RUNNING, "it has not happened yet"
    assert timer("2026-12-01", Happened(Change.CANCEL, at("2026-11-04")))[1] is State.CANCELLED


def test_pause_resume_extend_and_restart() -> None:
    pause = Happened(Change.PAUSE, at("2026-11-04"))
    resume = Happened(Change.RESUME, at("2026-11-14"))
    assert timer("2026-11-20", pause)[1] is State.PAUSED
    assert timer("2026-11-16", pause, resume) == ("2026-11-19", State.RUNNING)
    longer = Happened(Change.EXTEND, at("2026-11-05"), Limit(30, Unit.DAY))
    assert timer("2026-11-10", longer) == ("2026-12-02", State.RUNNING)
    shorter = Happened(Change.EXTEND, at("2026-11-05"), Limit(3, Unit.DAY))
    assert timer("2026-11-06", shorter)[0] == "2026-11-09"
    again = Happened(Change.RESTART, at("2026-11-08"))
    assert timer("2026-11-09", again) == ("2026-11-15", State.RUNNING)
    assert timer("2026-11-16", resume, pause)[0] == timer("2026-11-16", pause, resume)[0]


@pytest.mark.parametrize(
    ("limit", "start", "until"),
    [
        # Five days end on Saturday the 7th; a day's pause makes it Sunday, and Monday is the last day.
        (Limit(5, Unit.DAY), "2026-11-02T15:00:00+08:00", "2026-11-10T00:00:00+08:00"),
        # Hours keep their hour.
        (Limit(48, Unit.HOUR), "2026-11-02T15:00:00+08:00", "2026-11-05T15:00:00+08:00"),
        (Limit(3, Unit.DAY), "2026-11-02T15:00:00+08:00", "2026-11-07T00:00:00+08:00"),
    ],
)
def test_a_pause_is_added_before_a_day_off_moves_the_end(
    limit: Limit, start: str, until: str
) -> None:
    happened = [Happened(Change.PAUSE, at("2026-11-03")), Happened(Change.RESUME, at("2026-11-04"))]
    found = follow(
        datetime.fromisoformat(start),
        limit,
        happened,
        CALENDAR,
        now=at("2026-11-04"),
        custody=Custody.ROLL,
    )
    assert found.due == datetime.fromisoformat(until)


def test_custody_terms_warn_a_day_early_and_unknown_years_are_said() -> None:
    kinds = {"custody": Custody.CUSTODY, "now": at("2026-11-03")}
    made = follow(at("2026-11-02"), Limit(2, Unit.MONTH), [], CALENDAR, **kinds)  # type: ignore[arg-type]
    assert made.due - made.safe_due == timedelta(days=1)
    assert made.is_estimated, "2027 has no calendar yet"
    assert not follow(at("2026-11-02"), Limit(7, Unit.DAY), [], CALENDAR, **kinds).is_estimated  # type: ignore[arg-type]
    assert Calendar().is_off(date(2027, 10, 1))
    assert not Calendar().is_off(date(2027, 10, 8))
