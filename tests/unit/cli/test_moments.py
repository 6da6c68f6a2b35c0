"""Every option that takes a day takes the legal one, whatever the command and the machine's own zone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from ledger import Ledger, sample

from frontgate.cli.main import cli
from frontgate.cli.moments import SPAN, moment_of
from frontgate.pipeline.keeper import Keeper
from frontgate.pipeline.service import ControlSocket

HALF_PAST_MIDNIGHT = datetime(2026, 11, 12, 16, 30, tzinfo=UTC)
"""00:30 of the thirteenth at UTC+08:00; in UTC it is the twelfth still."""


@pytest.fixture(params=["UTC", "Asia/Shanghai", "America/New_York"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def options() -> Iterator[tuple[str, click.Option]]:
    """(command, option) of the whole command line."""

    def walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Option]]:
        yield from ((name, p) for p in command.params if isinstance(p, click.Option))
        if isinstance(command, click.Group):
            context = click.Context(command)
            for child in command.list_commands(context):
                found = command.get_command(context, child)
                assert found is not None
                yield from walk(f"{name} {child}", found)

    return walk("frontgate", cli)


def test_every_option_with_a_time_reads_it_the_same_way_and_says_so() -> None:
    timed = {f"{name} {o.opts[0]}": o for name, o in options() if o.metavar == "TIME"}
    assert timed.keys() >= {
        "frontgate archive --until",
        "frontgate replay --since",
        "frontgate cancel --until",
        "frontgate standard due --start",
        "frontgate hub cases --since",
        "frontgate hub due --as-known",
        "frontgate hub due outage --until",
    }
    for name, option in timed.items():
        assert option.callback is moment_of, name
        assert SPAN in (option.help or ""), name
    for name, option in options():
        is_span = {"--since", "--until"} & set(option.opts)
        assert not is_span or option.metavar in ("TIME", "MONTH"), name


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("2026-11-13", "2026-11-12T16:00:00.000Z"),
        ("2026-11-13T00:30:00", "2026-11-12T16:30:00.000Z"),
        ("2026-11-13T00:30:00Z", "2026-11-13T00:30:00.000Z"),
        ("2026-11-13T00:30:00+08:00", "2026-11-12T16:30:00.000Z"),
        ("", ""),
    ],
)
def test_a_day_and_a_time_without_an_offset_are_legal_time(
    given: str, stored: str, zone: str
) -> None:
    assert moment_of(None, None, given) == stored


@pytest.mark.parametrize("given", ["yesterday", "2026-13-01", "0001-01-01", "9999-12-31", "٢٠٢٦"])
def test_what_is_no_time_is_refused_in_both_languages(given: str) -> None:
    with pytest.raises(click.BadParameter, match="或/or"):
        moment_of(None, None, given)


def test_an_archive_until_a_day_holds_nothing_of_that_legal_day(
    tmp_path: Path, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    until: list[datetime] = []
    monkeypatch.setattr(Keeper, "archive", lambda _, __, at: until.append(at) or [])
    ledger = Ledger(tmp_path)
    ledger.at = HALF_PAST_MIDNIGHT
    ledger.send(sample("arrest-request/submit", ledger.at))
    keeper = Keeper.__new__(Keeper)
    archive = keeper.handlers()["archive"]
    socket = ControlSocket(
        ledger.state / "control.sock",
        {"archive": lambda r: asked.append(r) or archive(r)},  # type: ignore[func-returns-value]
    )
    socket.start()
    config = str(ledger.home / "hub" / "hub.toml")
    for day in ("2026-11-13", "2026-11-14"):
        done = CliRunner().invoke(cli, ["-c", config, "archive", "--until", day])
        assert done.exit_code == 0, done.output
    rows = ledger.query("SELECT made_at FROM package")
    socket.stop()
    ledger.close()
    made = datetime.fromisoformat(str(rows[0][0]))
    assert [made < at for at in until] == [False, True]
    assert [r["until"] for r in asked] == ["2026-11-12T16:00:00.000Z", "2026-11-13T16:00:00.000Z"]
