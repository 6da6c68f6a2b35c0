"""How fast large files may travel."""

from datetime import UTC, datetime

from frontgate.core.pacing import Bucket, RateWindow, rate_at

DAY = RateWindow(8 * 60, 18 * 60, 1000)
NIGHT = RateWindow(22 * 60, 6 * 60, 0)


def at(hour: int, minute: int = 0) -> datetime:
    """That time of day in the offices, as UTC."""
    return datetime(2026, 11, 25, (hour - 8) % 24, minute, tzinfo=UTC)


def test_a_window_counts_by_office_time_and_ends_before_its_end() -> None:
    assert rate_at([DAY], at(8)) == 1000
    assert rate_at([DAY], at(17, 59)) == 1000
    assert rate_at([DAY], at(18)) is None
    assert rate_at([DAY], at(7, 59)) is None


def test_a_window_over_midnight() -> None:
    assert rate_at([NIGHT], at(23)) == 0
    assert rate_at([NIGHT], at(5, 59)) == 0
    assert rate_at([NIGHT], at(6)) is None


def test_the_lowest_of_several_windows_counts() -> None:
    assert rate_at([DAY, RateWindow(0, 0, 500)], at(9)) == 500


def test_a_bucket_lets_through_the_rate_and_saves_at_most_one_second() -> None:
    bucket, now, waited = Bucket(0.0, 0.0), 3600.0, 0.0
    for _ in range(100):
        bucket, wait_s = bucket.spend(500, rate=1000, now=now)
        now += wait_s
        waited += wait_s
    assert 48.0 <= waited <= 50.0, "50 000 bytes at 1 000 a second, less the second saved up"
