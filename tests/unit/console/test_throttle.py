"""Guesses are counted before their passwords are looked at, so that no number of them costs more."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import pytest
from starlette.requests import Request

from frontgate import clock
from frontgate.console import known, passwords, throttle
from frontgate.console.accounts import Accounts
from frontgate.console.login import origin
from frontgate.console.throttle import FREE
from frontgate.errors import ConsoleError

PASSWORD = "correct horse battery"
BEGIN = datetime(2026, 11, 10, 1, tzinfo=UTC)
AT = int(BEGIN.timestamp())


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not what():
        assert time.monotonic() < until
        time.sleep(0.005)


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
    accounts: Accounts,
    password: str,
    login: str = "auditor",
    address: str = "10.0.0.1",
    shown: str = "",
) -> str:
    try:
        accounts.log_in(login, password, address, shown)
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
        for n in range(passwords.PLACES):
            others.enter_context(passwords.place(f"network {n}", is_known=True))
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


NETWORKS = [f"10.{n // 250}.{n % 250}.9" for n in range(500)]


def test_a_flood_from_many_networks_keeps_no_owner_out_of_a_browser_that_is_known(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    Looking(monkeypatch, is_open=True)
    accounts.log_in("auditor", PASSWORD, "10.0.0.1")
    shown = accounts.know("auditor", "")
    told = [outcome(accounts, "guess", address=a) for a in NETWORKS]
    assert told.count("FG-CON-001") == FREE["name"], "together they guess no more than one might"
    assert outcome(accounts, PASSWORD, address="192.0.2.7") == "FG-CON-002", "a new browser waits"
    assert outcome(accounts, PASSWORD, shown=shown) == "in"
    accounts.verify("auditor", PASSWORD)
    assert outcome(accounts, PASSWORD, shown="x" * 43, address="192.0.2.7") == "FG-CON-002"


def test_what_a_browser_is_known_by_is_its_accounts_alone_and_ends_with_it(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    Looking(monkeypatch, is_open=True)
    accounts.add("other", "", "auditor", "", PASSWORD, must_change=False)
    shown, others = accounts.know("auditor", ""), accounts.know("other", "")
    for address in NETWORKS[: FREE["name"]]:
        outcome(accounts, "guess", address=address)
    assert outcome(accounts, PASSWORD, shown=others) == "FG-CON-002"
    again = accounts.know("auditor", shown)
    assert outcome(accounts, PASSWORD, shown=shown) == "FG-CON-002", "a login takes a new one"
    assert outcome(accounts, PASSWORD, shown=again) == "in"
    accounts.set_active("auditor", False)
    accounts.set_active("auditor", True)
    assert outcome(accounts, PASSWORD, shown=again) == "FG-CON-002"
    kept = [accounts.know("auditor", "") for _ in range(known.MOST + 5)]
    assert accounts.file.one("SELECT count(*) FROM known WHERE login = 'auditor'") == (known.MOST,)
    assert kept[0] not in accounts.file.path.read_bytes().decode("latin-1"), "digests alone"


def test_a_known_browser_guesses_no_more_than_a_stranger(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = Looking(monkeypatch, is_open=True)
    shown = accounts.know("auditor", "")
    for n in range(50):
        outcome(accounts, "guess", address=NETWORKS[n], shown=shown)
    assert looking.count == FREE["known"]


def test_a_session_that_gives_its_password_again_waits_for_nobody_elses_guesses(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = Looking(monkeypatch, is_open=True)
    accounts.add("other", "", "auditor", "", PASSWORD, must_change=False)
    for n in range(200):
        outcome(accounts, "guess", address=NETWORKS[n])
    for _ in range(60):
        with pytest.raises(ConsoleError):
            accounts.verify("other", "guess")
    accounts.verify("auditor", PASSWORD)
    assert looking.count == FREE["name"] + FREE["session"] + 1


def test_a_new_first_password_opens_the_way_from_a_new_browser_through_any_flood(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    Looking(monkeypatch, is_open=True)
    for n in range(200):
        outcome(accounts, "guess", address=NETWORKS[n])
    accounts.set_password("auditor", PASSWORD, must_change=True)
    for n in range(200, 400):
        outcome(accounts, "guess", address=NETWORKS[n])
    assert outcome(accounts, PASSWORD, address="192.0.2.7") == "in"


@pytest.mark.parametrize(
    ("address", "other"),
    [
        ("10.0.0.{}", "10.0.1.1"),
        ("2001:db8:7:{:x}::1", "2001:db8:8::1"),
        ("::ffff:10.0.0.{}", "10.0.1.1"),
    ],
)
def test_the_addresses_of_one_network_are_one(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch, address: str, other: str
) -> None:
    Looking(monkeypatch, is_open=True)
    told = [outcome(accounts, "guess", f"login-{n}", address.format(n + 1)) for n in range(200)]
    assert told.count("FG-CON-001") == FREE["from"]
    assert outcome(accounts, PASSWORD, address=other) == "in"


def test_no_flood_takes_every_place(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """While strangers hold all the places that they can get: whoever is known gets in, and so does a
    network that failed at nothing, against any number of tries of those that did."""
    looking = Looking(monkeypatch)
    shown = accounts.know("auditor", "")
    for n in range(30):
        with accounts.file.write():
            key = f"from {throttle.network(NETWORKS[n])}"
            accounts.file.run("INSERT INTO throttle VALUES (?, 1, 0, ?, 0)", key, AT)
    with ThreadPoolExecutor(60) as pool:
        flood = [
            pool.submit(outcome, accounts, "guess", f"login-{n}", NETWORKS[n % 30])
            for n in range(60)
        ]
        wait_for(lambda: sum(f.done() for f in flood) == 60 - passwords.OF_FAILED)
        clean = pool.submit(outcome, accounts, PASSWORD, "auditor", "192.0.2.7")
        wait_for(lambda: looking.count == passwords.OF_FAILED + 1)
        strangers = [
            pool.submit(outcome, accounts, "guess", f"login-{n}", f"198.51.{n}.7")
            for n in range(30)
        ]
        wait_for(lambda: looking.count == passwords.PLACES - passwords.FOR_KNOWN)
        owner = pool.submit(outcome, accounts, PASSWORD, "auditor", "192.0.2.8", shown)
        verified = pool.submit(accounts.verify, "auditor", PASSWORD)
        wait_for(lambda: looking.count == passwords.PLACES - passwords.FOR_KNOWN + 2)
        looking.open.set()
        assert clean.result() == owner.result() == "in"
        assert verified.result() is None
        assert [f.result() for f in strangers].count("FG-CON-002") > 0
    with passwords.place("one"):
        pass  # nothing stays taken


def test_one_network_takes_a_few_places_only(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = Looking(monkeypatch)
    with ThreadPoolExecutor(40) as pool:
        flood = [
            pool.submit(outcome, accounts, "guess", f"login-{n}", f"10.0.0.{n}") for n in range(30)
        ]
        wait_for(lambda: sum(f.done() for f in flood) == 30 - passwords.EACH)
        other = pool.submit(outcome, accounts, PASSWORD, "auditor", "10.0.1.1")
        wait_for(lambda: looking.count == passwords.EACH + 1)
        looking.open.set()
        assert other.result() == "in"


def test_what_is_kept_is_bounded_and_no_flood_pushes_an_accounts_count_out(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    Looking(monkeypatch, is_open=True)
    monkeypatch.setattr(throttle, "MOST", 50)
    monkeypatch.setattr(throttle, "NAMELESS", 20)
    for n in range(FREE["pair"]):
        assert outcome(accounts, f"guess {n}", address="203.0.113.5") == "FG-CON-001"
    for n in range(FREE["name"] - FREE["pair"]):
        outcome(accounts, "guess", address=NETWORKS[n])
    for n in range(40, 440):
        outcome(accounts, "guess", f"login-{n}", NETWORKS[n])
    kinds = dict(
        accounts.file.all(
            "SELECT substr(key, 1, instr(key, ' ') - 1), count(*) FROM throttle GROUP BY 1"
        )
    )
    assert kinds["pair"] <= 50
    assert kinds["from"] <= 50
    assert kinds["name"] <= 21
    row = accounts.file.one("SELECT failures FROM throttle WHERE key = 'name auditor'")
    assert row == (FREE["name"],), "its count stays, and holds"
    assert outcome(accounts, PASSWORD, address="192.0.2.7") == "FG-CON-002"
    key = "pair 203.0.113.5 auditor"
    row = accounts.file.one("SELECT failures FROM throttle WHERE key = ?", key)
    assert row == (FREE["pair"],), "who has to wait is not let off by others"


def test_a_name_of_no_account_is_throttled_like_one(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    Looking(monkeypatch, is_open=True)
    told = {
        login: [outcome(accounts, "guess", login, a) for a in NETWORKS[:100]]
        for login in ("auditor", "nobody-at-all")
    }
    assert told["auditor"] == told["nobody-at-all"]


def test_a_flood_on_one_account_is_told_of_once(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    Looking(monkeypatch, is_open=True)
    told = 0
    for address in NETWORKS[:200]:
        if outcome(accounts, "guess", address=address) == "FG-CON-002":
            told += accounts.tell_once("auditor", address)
    assert told == 1


@pytest.mark.parametrize(
    ("client", "headers", "expected"),
    [
        ("10.0.0.1", [], "10.0.0.1"),
        ("203.0.113.5", ["198.51.100.7"], "203.0.113.5"),
        ("10.0.0.1", ["192.0.2.1, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7", "192.0.2.9"], "192.0.2.9"),
        ("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", ["198.51.100.7, unknown"], "10.0.0.1"),
    ],
)
def test_only_a_proxys_own_word_tells_where_a_browser_is(
    client: str, headers: list[str], expected: str
) -> None:
    """Else whoever guesses would name another address at every try; and without it one guesser behind a
    proxy would use up what is free for all."""
    scope = {
        "type": "http",
        "client": (client, 1),
        "headers": [(b"x-forwarded-for", h.encode()) for h in headers],
    }
    assert origin(Request(scope), {"10.0.0.1"}) == expected
