"""Guesses are counted before their passwords are looked at, so that no number of them costs more."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import pytest

from frontgate import clock
from frontgate.console import passwords
from frontgate.console.accounts import Accounts
from frontgate.console.throttle import FREE
from frontgate.errors import ConsoleError

PASSWORD = "correct horse battery"
BEGIN = datetime(2026, 11, 10, 1, tzinfo=UTC)


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    made = Accounts(tmp_path)
    made.add("auditor", "审计", "auditor", "", PASSWORD, must_change=False)
    clock.use(lambda: BEGIN, lambda: BEGIN.timestamp())
    yield made
    clock.use(None, None)
    made.close()


class Looking:
    """In place of the derivation: counts who comes, and lets nobody on before `open`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, is_open: bool = False) -> None:
        self.count = 0
        self.open = Event()
        if is_open:
            self.open.set()
        monkeypatch.setattr(passwords, "matches", self._matches)

    def _matches(self, password: str, kept: str) -> bool:
        self.count += 1
        assert self.open.wait(30)
        return password == PASSWORD and bool(kept)


def outcome(
    accounts: Accounts, password: str, login: str = "auditor", address: str = "10.0.0.1"
) -> str:
    try:
        accounts.log_in(login, password, address)
    except ConsoleError as error:
        return error.code
    return "in"


def test_a_flood_of_guesses_at_once_costs_no_more_than_those_that_are_free(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = Looking(monkeypatch)
    with ThreadPoolExecutor(16) as pool:
        tries = [pool.submit(outcome, accounts, f"guess number {n}") for n in range(100)]
        threading.Timer(1, looking.open.set).start()
        told = [t.result() for t in tries]
    assert looking.count == told.count("FG-CON-001") == FREE["pair"]
    assert told.count("FG-CON-002") == 100 - FREE["pair"]


def test_where_all_places_are_taken_the_next_is_refused_at_once_and_not_counted(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = Looking(monkeypatch, is_open=True)
    with ExitStack() as others:
        for _ in range(passwords.PLACES):
            others.enter_context(passwords.place())
        assert {outcome(accounts, PASSWORD) for _ in range(50)} == {"FG-CON-002"}
        with pytest.raises(ConsoleError, match="FG-CON-002"):
            accounts.verify("auditor", PASSWORD)
    assert looking.count == 0
    assert outcome(accounts, PASSWORD) == "in"


def test_right_passwords_count_for_nobody(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An office behind one address, and whoever confirms a password often, are never made to wait."""
    Looking(monkeypatch, is_open=True)
    for _ in range(FREE["from"] + 10):
        assert outcome(accounts, PASSWORD) == "in"
        accounts.verify("auditor", PASSWORD)
    assert accounts.file.one("SELECT max(failures) FROM throttle WHERE key NOT LIKE 'pair%'") == (
        0,
    )


def test_what_was_guessed_wrong_stays_counted_when_a_right_password_comes(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = Looking(monkeypatch, is_open=True)
    guesses = FREE["from"] - 1
    for n in range(guesses):
        assert outcome(accounts, "guess", f"login-{n}") == "FG-CON-001"
    assert outcome(accounts, PASSWORD) == "in"
    assert outcome(accounts, "guess", "another") == "FG-CON-001"
    assert outcome(accounts, PASSWORD) == "FG-CON-002", "the address has used up what is free"
    assert looking.count == guesses + 2
