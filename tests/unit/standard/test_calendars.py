"""Work calendars against the State Council's arrangement."""

from datetime import date
from pathlib import Path

import pytest

from frontgate.errors import CatalogueError
from frontgate.standard.calendars import calendar_csv, read_calendar

FOLDER = Path(__file__).parents[3] / "standards" / "1.0" / "calendars"


def test_days_off_and_make_up_days() -> None:
    days = read_calendar(FOLDER / "2026.toml")
    assert len(days) == 365
    assert days[date(2026, 10, 7)]
    assert not days[date(2026, 10, 8)]
    assert not days[date(2026, 9, 20)], "a Sunday that is worked"
    assert days[date(2026, 9, 27)]
    assert days[date(2026, 11, 28)], "a plain Saturday"


def test_the_table_has_every_day_once() -> None:
    rows = calendar_csv(FOLDER).decode().split("\r\n")
    assert rows[0] == "date,off"
    assert len(rows) == 1 + 365 + 365 + 1
    assert "2025-01-26,0" in rows
    assert "2025-01-29,1" in rows


@pytest.mark.parametrize("text", ["", "year = 2026", 'year = 2026\noff = ["x"]\nwork = []'])
def test_a_broken_calendar_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "2026.toml").write_text(text)
    with pytest.raises(CatalogueError) as caught:
        read_calendar(tmp_path / "2026.toml")
    assert caught.value.code == "FG-STD-003"
