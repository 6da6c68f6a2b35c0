"""Accounts, sessions and tokens, in `state/accounts.db`.

Guarantees: passwords, session and token secrets are kept as digests only; a login makes a new
session and never takes one over; failures slow the next try down, over restarts too.
Fails: `ConsoleError`: FG-CON-001 login refused, 002 too many tries, 005 password, 006 no such
account, 007 account exists, 008 role and unit do not fit.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from frontgate import clock
from frontgate.console import approvals, known, passwords, throttle
from frontgate.console.access import ROLES, ROLES_OF_A_UNIT, TOKEN, Person
from frontgate.core.identifiers import is_unit_code
from frontgate.errors import ConsoleError
from frontgate.journal import timestamp
from frontgate.journal.sidefile import SideFile
from frontgate.values import Struct

IDLE_S = 30 * 60
LONGEST_S = 12 * 3600
_LOGIN = re.compile(r"[a-z0-9][a-z0-9._-]{1,39}")


class Account(Struct, frozen=True):
    """One account as lists show it; without its password."""

    login: str
    name: str
    role: str
    unit: str
    is_active: bool
    must_change: bool
    made_at: str
    seen_at: str

    @property
    def person(self) -> Person:
        return Person(self.login, self.name, self.role, self.unit)


class Session(Struct, frozen=True):
    """A live session. csrf: what every form of it carries. must_change: the password is not theirs."""

    digest: str
    csrf: str
    person: Person
    must_change: bool


class Token(Struct, frozen=True):
    """A token of a unit for the API, as lists show it."""

    id: int
    unit: str
    label: str
    made_by: str
    made_at: str
    revoked_at: str


_ACCOUNT = "login, name, role, unit, is_active, must_change, made_at, seen_at"
_TOKEN = "id, unit, label, made_by, made_at, revoked_at"  # noqa: S105 (names of columns)


_THEIRS = "(? IS NULL OR unit IN (SELECT value FROM json_each(?)))"


class Accounts:
    """The file of accounts. Safe for threads, and for the command line beside a running console."""

    def __init__(self, state: Path) -> None:
        schema = resources.files("frontgate.console").joinpath("accounts.sql").read_text("utf-8")
        self.file = SideFile(state / "accounts.db", schema)
        with self.file.write():
            self.file.run(known.SCHEMA)

    def close(self) -> None:
        self.file.close()

    # -- accounts -------------------------------------------------------------------------------

    def add(
        self, login: str, name: str, role: str, unit: str, password: str, *, must_change: bool
    ) -> None:
        """Make an account. Raises: ConsoleError FG-CON-005, 007, 008."""
        if not _LOGIN.fullmatch(login):
            raise ConsoleError("FG-CON-009", value=login[:40])
        check_role(role, unit)
        passwords.check(password, login)
        kept = passwords.conceal(password)
        with self.file.write():
            if self.file.one("SELECT 1 FROM account WHERE login = ?", login):
                raise ConsoleError("FG-CON-007", login=login)
            self.file.run(
                "INSERT INTO account (login, name, role, unit, password, must_change, made_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                login,
                name[:80] or login,
                role,
                unit,
                kept,
                int(must_change),
                timestamp(clock.now()),
            )

    def all(self) -> list[Account]:
        """Every account by login; there are hundreds at most."""
        rows = self.file.all(f"SELECT {_ACCOUNT} FROM account ORDER BY login")  # noqa: S608
        return [_account(r) for r in rows]

    def get(self, login: str) -> Account:
        """Raises: ConsoleError FG-CON-006."""
        row = self.file.one(f"SELECT {_ACCOUNT} FROM account WHERE login = ?", login)  # noqa: S608
        if row is None:
            raise ConsoleError("FG-CON-006", login=login[:40])
        return _account(row)

    def set_password(
        self, login: str, password: str, *, must_change: bool = False, keep: str = ""
    ) -> None:
        """Another password; every session but `keep` ends. Raises: ConsoleError FG-CON-005, 006."""
        passwords.check(password, login)
        kept = passwords.conceal(password)
        with self.file.write():
            self.get(login)
            self.file.run(
                "UPDATE account SET password = ?, must_change = ? WHERE login = ?",
                kept,
                int(must_change),
                login,
            )
            self.file.run("DELETE FROM session WHERE login = ? AND digest <> ?", login, keep)
            throttle.forget(self.file, login)

    def set_active(self, login: str, is_active: bool) -> list[int]:
        """Disable, or enable again; its sessions end, and what a disabled one asked for lapses.

        Returns: the requests that lapsed. Raises: ConsoleError FG-CON-006.
        """
        with self.file.write():
            self.get(login)
            self.file.run("UPDATE account SET is_active = ? WHERE login = ?", int(is_active), login)
            self.file.run("DELETE FROM session WHERE login = ?", login)
            known.forget(self.file, login)
            return approvals.lapse(self.file)

    def set_role(self, login: str, role: str, unit: str, *, by: int = 0) -> list[int]:
        """Another role; its sessions end, and what it may not ask for any more lapses.

        by: the request for it. Returns: the requests that lapsed. Raises: ConsoleError FG-CON-006, 008.
        """
        check_role(role, unit)
        with self.file.write():
            self.get(login)
            self.file.run(
                "UPDATE account SET role = ?, unit = ? WHERE login = ?", role, unit, login
            )
            self.file.run("DELETE FROM session WHERE login = ?", login)
            return approvals.lapse(self.file, besides=by)

    # -- sessions -------------------------------------------------------------------------------

    def _who(self, login: str, address: str, shown: str) -> throttle.Who:
        """Whose tries those from there are counted with. shown: what the browser is known by, if at all."""
        digest = known.recognise(self.file, shown, login, int(clock.now().timestamp()))
        if digest:
            return throttle.known(digest)
        row = self.file.one("SELECT must_change FROM account WHERE login = ?", login)
        is_first = row is not None and bool(row[0])
        return throttle.stranger(login, address, is_account=row is not None, is_first=is_first)

    def log_in(
        self, login: str, password: str, address: str, shown: str = ""
    ) -> tuple[str, Session]:
        """shown: what the browser is known by. Returns: the secret for the cookie, and the session.

        Raises: ConsoleError FG-CON-001 (whatever was wrong, the same answer), 002.
        """
        now, who = clock.now(), self._who(login, address, shown)
        with self._place(who):
            row = self.file.one("SELECT password, is_active FROM account WHERE login = ?", login)
            good = passwords.matches(password, str(row[0]) if row else "")
        if not good or row is None or not row[1]:
            raise ConsoleError("FG-CON-001")
        throttle.succeeded(self.file, who)
        secret, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        at = int(now.timestamp())
        with self.file.write():
            self.file.run("DELETE FROM session WHERE seen_s < ? OR made_s < ?", *_limits(at))
            self.file.run(
                "INSERT INTO session VALUES (?, ?, ?, ?, ?)", _digest(secret), login, csrf, at, at
            )
            self.file.run("UPDATE account SET seen_at = ? WHERE login = ?", timestamp(now), login)
        account = self.get(login)
        return secret, Session(_digest(secret), csrf, account.person, account.must_change)

    def session(self, secret: str) -> Session | None:
        """The live session of a cookie, None where it ended or its account is disabled."""
        if not 20 <= len(secret) <= 100:
            return None
        at = int(clock.now().timestamp())
        idle, oldest = _limits(at)
        row = self.file.one(
            "SELECT s.digest, s.csrf, s.seen_s, a.login, a.name, a.role, a.unit, a.must_change"
            " FROM session s JOIN account a ON a.login = s.login"
            " WHERE s.digest = ? AND s.seen_s >= ? AND s.made_s >= ? AND a.is_active = 1",
            _digest(secret),
            idle,
            oldest,
        )
        if row is None:
            return None
        if at - int(row[2]) > 60:  # one write a minute keeps a session alive, not one a page
            with self.file.write():
                self.file.run("UPDATE session SET seen_s = ? WHERE digest = ?", at, row[0])
        person = Person(*(str(v) for v in row[3:7]))
        return Session(str(row[0]), str(row[1]), person, bool(row[7]))

    def verify(self, login: str, password: str) -> None:
        """Ask for the present password once more. Raises: ConsoleError FG-CON-001, 002."""
        who = throttle.session(login)
        with self._place(who):
            row = self.file.one("SELECT password FROM account WHERE login = ?", login)
            good = passwords.matches(password, str(row[0]) if row else "")
        if not good:
            raise ConsoleError("FG-CON-001")
        throttle.succeeded(self.file, who)

    @contextmanager
    def _place(self, who: throttle.Who) -> Iterator[None]:
        """A place at which a password is looked at; the try is counted. Raises: ConsoleError FG-CON-002."""
        now = clock.now()
        throttle.admit(self.file, who, now)
        is_known = not who.is_stranger
        has_failed = throttle.has_failed(self.file, who)
        with passwords.place(who.whose, is_known=is_known, has_failed=has_failed):
            throttle.enter(self.file, who, now)
            yield

    def know(self, login: str, shown: str) -> str:
        """Returns: what the browser that just logged in is known by from now on."""
        return known.remember(self.file, shown, login, int(clock.now().timestamp()))

    def log_out(self, digest: str) -> None:
        with self.file.write():
            self.file.run("DELETE FROM session WHERE digest = ?", digest)

    def log_out_secret(self, secret: str) -> None:
        """End the session of a cookie, if there is one: a new login follows it."""
        if secret:
            self.log_out(_digest(secret))

    def tell_once(self, login: str, address: str, shown: str = "") -> bool:
        """Whether this wait was not told of yet."""
        who = self._who(login, address, shown)
        with self.file.write():
            return throttle.tell_once(self.file, who, clock.now())

    # -- tokens ---------------------------------------------------------------------------------

    def make_token(self, unit: str, label: str, made_by: str, within: str = "") -> tuple[int, str]:
        """within: the role of who makes it; the token may no more. Returns: its id, and the secret that is shown once. Raises: ConsoleError FG-CON-008."""
        check_role(TOKEN, unit)
        secret = "fgt_" + secrets.token_urlsafe(32)
        with self.file.write():
            self.file.run(
                "INSERT INTO token (digest, unit, label, made_by, made_at, within) VALUES (?, ?, ?, ?, ?, ?)",
                _digest(secret),
                unit,
                label[:80],
                made_by,
                timestamp(clock.now()),
                within,
            )
            row = self.file.one("SELECT id FROM token WHERE digest = ?", _digest(secret))
        assert row is not None
        return int(row[0]), secret

    def tokens(
        self, units: frozenset[str] | None, *, before: int = 1 << 62, limit: int = -1
    ) -> list[Token]:
        """Tokens of these units (None: of all), newest first; page with `before`, the last id. However
        many those of other units are. limit: -1 for all."""
        rows = self.file.all(
            f"SELECT {_TOKEN} FROM token WHERE id < ? AND {_THEIRS} ORDER BY id DESC LIMIT ?",  # noqa: S608
            before,
            *_units(units),
            limit,
        )
        return [_token(r) for r in rows]

    def revoke_token(self, token_id: int, units: frozenset[str] | None) -> Token:
        """Raises: ConsoleError FG-CON-010 where these units have none of that id."""
        rows = self.file.all(
            f"SELECT {_TOKEN} FROM token WHERE id = ? AND {_THEIRS}",  # noqa: S608
            token_id,
            *_units(units),
        )
        if not rows:
            raise ConsoleError("FG-CON-010", value=token_id)
        found = _token(rows[0])
        with self.file.write():
            self.file.run(
                "UPDATE token SET revoked_at = ? WHERE id = ? AND revoked_at = ''",
                timestamp(clock.now()),
                token_id,
            )
        return found

    def bearer(self, secret: str) -> Person | None:
        """The unit's program that shows this token, None for an unknown or revoked one."""
        if not 20 <= len(secret) <= 100:
            return None
        row = self.file.one(
            "SELECT id, label, unit, within FROM token WHERE digest = ? AND revoked_at = ''",
            _digest(secret),
        )
        if row is None:
            return None
        return Person(f"token:{row[0]}", str(row[1]), TOKEN, str(row[2]), str(row[3]))


def check_role(role: str, unit: str) -> None:
    """Raises: ConsoleError FG-CON-008 unless the role exists and has a unit just where it needs one."""
    wants_unit = role in ROLES_OF_A_UNIT
    if role not in (*ROLES, TOKEN) or wants_unit != bool(unit) or (unit and not is_unit_code(unit)):
        raise ConsoleError("FG-CON-008", role=role[:20], unit=unit[:20] or "-")


def _units(units: frozenset[str] | None) -> tuple[str | None, str]:
    text = json.dumps(sorted(units or ()))
    return (None if units is None else text), text


def _limits(at: int) -> tuple[int, int]:
    return at - IDLE_S, at - LONGEST_S


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _account(row: tuple[object, ...]) -> Account:
    login, name, role, unit, active, change, made, seen = row
    return Account(
        str(login),
        str(name),
        str(role),
        str(unit),
        bool(active),
        bool(change),
        str(made),
        str(seen),
    )


def _token(row: tuple[object, ...]) -> Token:
    return Token(int(str(row[0])), *(str(v) for v in row[1:]))


def first_password() -> str:
    """A password for a new account, to be handed over once and changed at the first login."""
    return "-".join(secrets.token_hex(3) for _ in range(3))
