"""A request lapses with its time, and with the account or the right of who asked."""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from frontgate import clock
from frontgate.console import approvals, passwords
from frontgate.console.access import HUB_OPERATOR, Person
from frontgate.console.accounts import Accounts
from frontgate.errors import ConsoleError

UNIT = "5201021100X"
ONE, TWO = (Person(login, login, HUB_OPERATOR) for login in ("hub-one", "hub-two"))


class Moment:
    at = datetime(2026, 11, 10, 1, tzinfo=UTC)


@pytest.fixture
def accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    monkeypatch.setattr(Moment, "at", Moment.at)
    monkeypatch.setattr(passwords, "conceal", lambda password: "x")
    clock.use(lambda: Moment.at, lambda: Moment.at.timestamp())
    made = Accounts(tmp_path)
    for person in (ONE, TWO):
        made.add(person.login, "", person.role, "", "correct horse battery", must_change=False)
    yield made
    clock.use(None, None)
    made.close()


def ask(accounts: Accounts, act: str = "suspend", **params: str) -> int:
    return approvals.ask(accounts.file, ONE, act, params or {"unit": UNIT}, "证书疑似泄露")


def state(accounts: Accounts, number: int) -> tuple[str, str]:
    request = approvals.get(accounts.file, number)
    return request.state, request.lapsed_by


def approve(accounts: Accounts, number: int) -> approvals.Request:
    return approvals.decide(accounts.file, TWO, number, approve=True)


def test_what_a_disabled_account_asked_for_lapses_and_does_not_come_back_with_it(
    accounts: Accounts,
) -> None:
    waiting, approved = ask(accounts), ask(accounts, "replay-failed", since="2026-11-01")
    approve(accounts, approved)
    assert accounts.set_active("hub-two", False) == []
    assert accounts.set_active("hub-one", False) == [waiting, approved]
    accounts.set_active("hub-one", True)
    for number in (waiting, approved):
        assert state(accounts, number) == ("lapsed", "asker")
        with pytest.raises(ConsoleError, match="FG-CON-013"):
            approve(accounts, number)
    assert approvals.waiting(accounts.file) == 0


def test_what_a_role_may_ask_for_no_more_lapses_and_what_it_still_may_stays(
    accounts: Accounts,
) -> None:
    number = ask(accounts)
    assert accounts.set_role("hub-one", "hub-operator", "") == []
    assert state(accounts, number) == ("waiting", "")
    assert accounts.set_role("hub-one", "auditor", "") == [number]
    assert state(accounts, number) == ("lapsed", "asker")


def test_an_account_that_lost_its_right_in_the_file_alone_is_seen_when_it_is_decided(
    accounts: Accounts,
) -> None:
    number = ask(accounts)
    with accounts.file.write():
        accounts.file.run("UPDATE account SET is_active = 0 WHERE login = 'hub-one'")
    with pytest.raises(ConsoleError, match="FG-CON-013"):
        approve(accounts, number)


def test_a_change_of_the_askers_own_role_is_done_all_the_same(accounts: Accounts) -> None:
    number = ask(accounts, "role", login="hub-one", role="auditor", unit="")
    other = ask(accounts)
    approve(accounts, number)
    assert accounts.set_role("hub-one", "auditor", "", by=number) == [other]
    approvals.finish(accounts.file, number, result={}, is_done=True)
    assert state(accounts, number) == ("done", "")


def test_what_waited_or_stayed_approved_for_three_days_lapses(accounts: Accounts) -> None:
    waiting, approved = ask(accounts), ask(accounts, "revoke", unit=UNIT)
    Moment.at += timedelta(days=2)
    approve(accounts, approved)
    Moment.at += timedelta(days=1, seconds=1)
    assert approvals.waiting(accounts.file) == 0, "it is counted for nobody to decide"
    with accounts.file.write():
        assert approvals.lapse(accounts.file) == []
    assert state(accounts, waiting) == ("lapsed", "time")
    assert state(accounts, approved)[0] == "approved", "from its approval"
    Moment.at += timedelta(days=2)
    with pytest.raises(ConsoleError, match="FG-CON-013"):
        approve(accounts, approved)
    with accounts.file.write():
        approvals.lapse(accounts.file)
    assert json.loads(approvals.get(accounts.file, approved).result) == {"lapsed": "time"}


class Chain:
    """In place of the hub: keeps entries, or does not answer."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Mapping[str, str]]] = []
        self.answers = True

    def record(self, entries: Sequence[tuple[str, Mapping[str, str]]]) -> None:
        if not self.answers:
            raise ConsoleError("FG-CON-004")
        self.entries += entries

    def told(self) -> list[tuple[str, str, str]]:
        return [(d["request"], d["was"], d["by"]) for _, d in self.entries]


def test_every_lapse_is_told_once_with_its_reason(accounts: Accounts) -> None:
    chain = Chain()
    waiting, approved = ask(accounts), ask(accounts, "revoke", unit=UNIT)
    approve(accounts, approved)
    assert approvals.tell_lapsed(accounts.file, chain.record) == []
    Moment.at += timedelta(days=3, seconds=1)
    later = ask(accounts, "replay-failed", since="2026-11-01")
    assert approvals.tell_lapsed(accounts.file, chain.record) == [waiting, approved]
    accounts.set_active("hub-one", False)
    assert approvals.tell_lapsed(accounts.file, chain.record) == [later]
    assert approvals.tell_lapsed(accounts.file, chain.record) == []
    assert chain.told() == [
        (str(waiting), "waiting", "time"),
        (str(approved), "approved", "time"),
        (str(later), "waiting", "asker"),
    ]
    kind, data = chain.entries[0]
    assert kind == "console-lapse"
    assert data["act"] == "suspend"
    assert data["asked_by"] == "hub-one"
    assert state(accounts, approved) == ("lapsed", "time"), "and it is shown with its reason"


def test_a_lapse_that_the_hub_did_not_hear_of_is_told_when_it_answers(accounts: Accounts) -> None:
    chain = Chain()
    number = ask(accounts)
    Moment.at += timedelta(days=4)
    chain.answers = False
    with pytest.raises(ConsoleError, match="FG-CON-004"):
        approvals.tell_lapsed(accounts.file, chain.record)
    assert state(accounts, number) == ("lapsed", "time"), "nobody can approve it meanwhile"
    chain.answers = True
    assert approvals.tell_lapsed(accounts.file, chain.record) == [number]
    assert chain.told() == [(str(number), "waiting", "time")]


def test_two_that_look_at_once_tell_a_lapse_once(accounts: Accounts, tmp_path: Path) -> None:
    """A page, the minute's look and the command line, each with a connection of its own."""
    chain = Chain()
    number = ask(accounts)
    Moment.at += timedelta(days=4)
    others = [Accounts(tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda a: approvals.tell_lapsed(a.file, chain.record), others))
    for other in others:
        other.close()
    assert sorted(told) == [[], [], [], [number]]
    assert len(chain.entries) == 1
