"""What the hub's commands tell of cases: in legal time, bounded, and on record."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from crowd import crowded
from forked import command
from ledger import Ledger, longer, sample

from frontgate.cli.main import cli
from frontgate.core.visible import is_hidden
from frontgate.errors import ConsoleError
from frontgate.hub import desk
from frontgate.pipeline.service import ControlSocket

CASE = "C2026520102110000000016"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path)
    yield made
    made.close()


@pytest.fixture
def hub(ledger: Ledger) -> Iterator[Ledger]:
    """The hub's daemon answers."""
    socket = ControlSocket(
        ledger.state / "control.sock", desk.handlers(ledger.settings, ledger.journal)
    )
    socket.start()
    yield ledger
    socket.stop()


def run(ledger: Ledger, *arguments: str) -> Result:
    """A command of the hub in this process, in English."""
    config = str(ledger.home / "hub" / "hub.toml")
    return CliRunner().invoke(cli, ["-c", config, "--lang", "en", *arguments])


def told(ledger: Ledger, *arguments: str) -> Any:
    """Its JSON."""
    done = run(ledger, "--json", *arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return json.loads(done.stdout)


def test_a_day_that_cases_are_looked_for_by_is_a_legal_day(hub: Ledger) -> None:
    hub.at = datetime(2026, 11, 12, 17, 0, tzinfo=UTC)  # one in the morning of the thirteenth
    hub.exchange(sample("arrest-request/submit", hub.at))
    for span, hits in (
        (("--since", "2026-11-13"), 1),
        (("--since", "2026-11-14"), 0),
        (("--until", "2026-11-13"), 0),
        (("--until", "2026-11-14"), 1),
        (("--since", "2026-11-12T17:00:00Z", "--until", "2026-11-13T01:30:00+08:00"), 1),
    ):
        assert len(told(hub, "hub", "cases", *span)["cases"]) == hits, span
    assert run(hub, "hub", "cases", "--since", "yesterday").exit_code == 2


def looks(ledger: Ledger) -> list[tuple[str, dict[str, Any]]]:
    rows = ledger.query("SELECT kind, data FROM event WHERE kind LIKE 'cli-%' ORDER BY seq")
    return [(str(kind), json.loads(str(data))) for kind, data in rows]


def test_every_look_of_a_command_at_the_hubs_cases_is_in_the_chain_with_its_user(
    hub: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.exchange(sample("arrest-request/submit", hub.at))
    monkeypatch.setenv("LOGNAME", "nobody-else")
    monkeypatch.setenv("USER", "nobody-else")
    monkeypatch.setenv("SUDO_USER", "lijuan")
    message = str(hub.query("SELECT message_id FROM package LIMIT 1")[0][0])
    wanted = {
        ("trace", CASE): ("case", {"case": CASE}),
        ("trace", f"{CASE}-P001"): ("person", {"case": CASE, "person": f"{CASE}-P001"}),
        ("trace", message): ("transfer", {"message": message}),
        ("show", message): ("transfer", {"message": message}),
        ("list", "--case", CASE): ("transfer", {"case": CASE}),
        ("list", "--failed", "--case", CASE): ("transfer", {"case": CASE, "hits": "0"}),
        ("hub", "cases", "罗某"): ("cases", {"text": "罗某", "hits": "1"}),
        ("hub", "due"): ("deadlines", {}),
        ("hub", "due", "--case", CASE): ("deadlines", {"case": CASE}),
        ("hub", "ask", "detained-undecided"): ("question", {"question": "detained-undecided"}),
        ("hub", "stats", "--table", "on-time"): ("statistics", {"table": "on-time"}),
        ("volumes", CASE): ("volumes", {"about": CASE}),
        ("audit", "show"): ("audit", {}),
    }
    for as_json in (True, False):
        for number, (arguments, (what, data)) in enumerate(wanted.items()):
            done = run(hub, *(("--json",) if as_json else ()), *arguments)
            assert done.exit_code in (0, 1), (arguments, done.output, done.exception)
            assert done.stdout
            kept = looks(hub)[number + (0 if as_json else len(wanted)) :]
            assert [k for k, _ in kept] == [f"cli-look-{what}"], arguments
            assert data.items() <= kept[0][1].items()
            assert kept[0][1]["account"] == pwd.getpwuid(os.geteuid()).pw_name
            assert kept[0][1]["actor"] != "nobody-else"
    for arguments in (("list",), ("status",), ("hub", "due", "--rules")):  # of no case
        run(hub, *arguments)
    assert len(looks(hub)) == 2 * len(wanted)


def test_a_look_is_kept_by_the_command_itself_where_no_daemon_runs(ledger: Ledger) -> None:
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.project()
    ledger.journal.close()
    assert CASE in run(ledger, "trace", CASE).stdout
    assert [k for k, _ in looks(ledger)] == ["cli-look-case"]
    ledger.open()


def test_nothing_is_shown_where_the_look_cannot_be_kept(ledger: Ledger) -> None:
    """Another process has the journal, and answers nobody."""
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.project()
    for arguments in (
        ("trace", CASE),
        ("hub", "cases"),
        ("hub", "due"),
        ("hub", "ask", "custody-expiring"),
    ):
        done = run(ledger, *arguments)
        assert done.stdout == ""
        assert isinstance(done.exception, ConsoleError), done.exception
        assert done.exception.code == "FG-CON-004"
    assert looks(ledger) == []


def test_a_paused_term_is_listed_with_its_beginning_and_reason(hub: Ledger) -> None:
    request = hub.exchange(sample("arrest-request/submit", hub.at))
    decided = hub.exchange(sample("arrest-request/decide", hub.at), answers=request)
    hub.exchange(sample("arrest-request/execute", hub.at), answers=decided)
    hub.go_to(2026, 11, 20)
    text = sample("custody-term-change/submit", hub.at, ChangeReason="06")
    hub.exchange(
        text.replace(
            "<b:NewDue>2027-02-15</b:NewDue>", "<b:SuspendedFrom>2026-11-18</b:SuspendedFrom>"
        )
    )
    rows = told(hub, "hub", "due", "--paused")["deadlines"]
    assert [(r["rule"], r["state"], r["paused_at"]) for r in rows] == [
        ("DL-CUS-01", "paused", "2026-11-17T16:00:00.000Z")
    ]
    sentence = "paused since 2026-11-18 00:00: stopped or resumed for psychiatric examination"
    for arguments in (("hub", "due", "--paused"), ("trace", CASE)):
        assert sentence in run(hub, *arguments).stdout
    asked = run(hub, "hub", "ask", "paused-unresumed").stdout
    assert "2026-11-18 00:00" in asked
    assert "stopped or resumed" in asked


def test_a_course_that_is_long_says_what_follows_and_how_to_see_it(hub: Ledger) -> None:
    hub.exchange(sample("arrest-request/submit", hub.at))
    hub.project()
    with longer(hub.file, CASE, 1100):
        text = run(hub, "trace", CASE).stdout
        assert f"-- messages 1 to 500 of 1101; 601 more: frontgate trace {CASE} --from 501" in text
        last = run(hub, "trace", CASE, "--from", "1001").stdout
        assert "-- messages 1001 to 1101 of 1101\n" in last
        assert "more:" not in last
        seen = [
            n["message_id"]
            for begin in ("1", "501", "1001")
            for n in told(hub, "trace", CASE, "--from", begin)["nodes"]
        ]
        assert len(seen) == len(set(seen)) == 1101
        person = run(hub, "trace", f"{CASE}-P001", "--from", "501").stdout
        assert f"frontgate trace {CASE}-P001 --from 1001" in person
        assert "1 to 1 of 1" not in run(hub, "trace", f"{CASE}-P002").stdout, "all of it"
        assert len(told(hub, "trace", CASE, "--from", "5000")["nodes"]) == 1, "the last at least"
    assert looks(hub)[1][1]["from"] == "1001"


HOSTILE = "罗\u009b2J\u202e某\u2066盗\u0085窃案"
"""A sender's name for a case: C1 controls that terminals obey, marks that turn what is read."""


def test_no_command_hands_a_terminal_what_a_sender_hid_in_a_name(hub: Ledger) -> None:
    request = hub.exchange(
        sample("arrest-request/submit", hub.at, CaseName=HOSTILE, HandlerName=HOSTILE)
    )
    hub.project()
    for arguments in (
        ("trace", CASE), ("hub", "cases"), ("show", request), ("hub", "ask", "custody-expiring"),
        ("audit", "show"), ("hub", "cases", HOSTILE), ("hub", "stats"), ("hub", "due"),
        ("trace", HOSTILE),
    ):  # fmt: skip
        for flags in ((), ("--json",)):
            said = complete(hub, *flags, *arguments)
            assert not {c for c in said if c not in "\n\t" and is_hidden(c)}, arguments
    assert r"罗\u009b2J\u202e某" in complete(hub, "hub", "cases")
    assert told(hub, "hub", "cases")["cases"][0]["name"] == HOSTILE, "the JSON says the same"


def complete(ledger: Ledger, *arguments: str) -> str:
    """All that a process of its own writes, its complaints too."""
    config = str(ledger.home / "hub" / "hub.toml")
    done = command(["-c", config, "--lang", "zh", *arguments])
    return done.stdout + done.stderr


def test_lists_of_a_case_and_of_the_hub_say_what_they_leave_off(hub: Ledger) -> None:
    hub.exchange(sample("arrest-request/submit", hub.at))
    hub.project()
    with crowded(hub.file, CASE, 700):
        text = run(hub, "trace", CASE).stdout
        whole = told(hub, "trace", CASE)
        for name in ("persons", "deadlines", "acts", "links", "alarms"):
            left = whole["left_off"][name]
            assert f"({left} more: frontgate trace {CASE} --list {name} --from 501)" in text, name
            rest = told(hub, "trace", CASE, "--list", name, "--from", "501")
            assert (len(rest[name]), rest["total"]) == (left, left + 500), name
            assert looks(hub)[-1][1]["list"] == name
            assert (
                f"501 to {left + 500} of"
                in run(hub, "trace", CASE, "--list", name, "--from", "501").stdout
            )
        assert len(told(hub, "hub", "due", "--case", CASE)["deadlines"]) >= 700
        for arguments in (("due", "--days", "4000"),):
            found = told(hub, "hub", *arguments, "--limit", "600")
            assert len(found["deadlines"]) == 600
            assert found["more"] is True
            assert (
                "(the first 600; there are more"
                in run(hub, "hub", *arguments, "--limit", "600").stdout
            )
            assert told(hub, "hub", *arguments, "--limit", "5000")["more"] is False
    found = told(hub, "hub", "cases", "--limit", "1")
    assert found["more"] is False
    assert run(hub, "hub", "cases", "--limit", "0").exit_code == 2
