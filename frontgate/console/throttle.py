"""Slowing down who guesses passwords, so that nobody gets round it and nobody is locked out by it.

A try is counted before its password is looked at, and given back where it was right: any number of tries
at once cost no more than are free. Kept in the file, so a restart forgives nothing.

What is counted, of a browser that the account never logged in from (a stranger):
  pair     login and address: strict, hits the guesser alone
  from     network (IPv4 /24, IPv6 /48): wide, so that many addresses of one holder are one
  name     the account, from wherever: wide, so that many networks together guess no more than one
What an attacker could make of that, and what is done:
  Locking an account's owner out by failing in their name, from many networks: a browser that the account
  logged in from before shows a secret (`console/known.py`) and is counted by that secret alone, nothing
  of the three. A session asks for its password by a count of its own, and pages are not counted at all.
  A first password that the hub made cannot be guessed, so it is not counted by name: with a new one an
  owner gets in from a new browser too, whatever goes on.
  Locking everybody out by filling the places at which passwords are looked at (`passwords.py`): those are
  shared out. Some are kept for known browsers and sessions, some for networks that failed at nothing
  within the hour, and no network has more than a few.
  Pushing an entry out: the counts of accounts and sessions are as many as there are accounts and are never
  pushed out. Names of no account share a fixed number of counts, so that they are throttled like real
  ones, and tell nothing. Only pairs and networks can be many: of each kind `MOST` are kept, of those
  beyond the longest quiet goes first, none that has to wait while others need not. Who has so many
  networks gains nothing by it: each of their tries still counts by name.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from datetime import datetime

from frontgate.errors import ConsoleError
from frontgate.journal.sidefile import SideFile
from frontgate.values import Struct

FREE = {"pair": 5, "known": 5, "session": 5, "from": 40, "name": 40}
"""So many failures cost nothing."""
FIRST_S, LONGEST_S = 15, 15 * 60
WIDE_S = 60
FORGET_S = 3600
MOST = 20_000
"""So many pairs are kept, and so many networks."""
NAMELESS = 4096
"""Counts for the names of no account; an hour's flood does not fill so many."""
_STRICT = ("pair", "known", "session")
_EVICTED = ("pair", "from")


class Who(Struct, frozen=True):
    """Whose tries are counted together. keys: kind → key in the file, the strict one first."""

    keys: Mapping[str, str]

    @property
    def strict(self) -> str:
        return next(iter(self.keys.values()))

    @property
    def whose(self) -> str:
        """Whose place it takes: a network's, or that of a known browser or session."""
        return self.keys.get("from", self.strict)

    @property
    def is_stranger(self) -> bool:
        return "from" in self.keys


def network(address: str) -> str:
    """The network of an address, as far as one holder usually has it."""
    try:
        at = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:60]
    if isinstance(at, ipaddress.IPv6Address):
        if at.ipv4_mapped is None:
            return str(ipaddress.ip_network((at, 48), strict=False))
        at = at.ipv4_mapped
    return str(ipaddress.ip_network((at, 24), strict=False))


def stranger(login: str, address: str, *, is_account: bool, is_first: bool = False) -> Who:
    """A browser that nobody knows. is_account: there is such a login; is_first: with a first password."""
    name = login[:60]
    keys = {"pair": f"pair {address[:60]} {name}", "from": f"from {network(address)}"}
    if not is_account:
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % NAMELESS
        keys["name"] = f"name ?{number}"
    elif not is_first:
        keys["name"] = f"name {name}"
    return Who(keys)


def known(digest: str) -> Who:
    """A browser that the account logged in from before, by the digest of its secret."""
    return Who({"known": f"known {digest}"})


def session(login: str) -> Who:
    """Somebody who is logged in and gives their password once more."""
    return Who({"session": f"session {login}"})


def has_failed(file: SideFile, who: Who) -> bool:
    """Whether their network failed at anything within the hour."""
    row = file.one("SELECT failures FROM throttle WHERE key = ?", who.whose)
    return row is not None and int(row[0]) > 0


def admit(file: SideFile, who: Who, now: datetime) -> None:
    """Raises: ConsoleError FG-CON-002 with the seconds to wait. Costs a look, and is not counted."""
    at = int(now.timestamp())
    for key in who.keys.values():
        row = file.one("SELECT until_s FROM throttle WHERE key = ?", key)
        if row is not None and int(row[0]) > at:
            raise ConsoleError("FG-CON-002", seconds=int(row[0]) - at)


def enter(file: SideFile, who: Who, now: datetime) -> None:
    """Count a try as failed before its password is looked at. Raises: as `admit`."""
    at = int(now.timestamp())
    admit(file, who, now)
    with file.write():
        admit(file, who, now)  # others came in between
        file.run("DELETE FROM throttle WHERE last_s < ?", at - FORGET_S)
        for kind, key in who.keys.items():
            row = file.one("SELECT failures, is_told FROM throttle WHERE key = ?", key)
            failures = (int(row[0]) if row else 0) + 1
            if row is None and kind in _EVICTED:
                _make_room(file, kind, at)
            file.run(
                "INSERT OR REPLACE INTO throttle (key, failures, until_s, last_s, is_told)"
                " VALUES (?, ?, ?, ?, ?)",
                key,
                failures,
                at + wait_s(kind, failures),
                at,
                int(row[1]) if row and kind not in _STRICT else 0,
            )


def _make_room(file: SideFile, kind: str, at: int) -> None:
    """Within a transaction: where there are too many of a kind, a part of them goes."""
    among = "key >= ? || ' ' AND key < ? || '!'"
    row = file.one(f"SELECT count(*) FROM throttle WHERE {among}", kind, kind)  # noqa: S608 (fixed text)
    if row is not None and int(row[0]) >= MOST:
        file.run(
            f"DELETE FROM throttle WHERE key IN (SELECT key FROM throttle WHERE {among}"  # noqa: S608
            " ORDER BY until_s > ?, last_s LIMIT ?)",
            kind,
            kind,
            at,
            max(MOST // 100, 1),
        )


def wait_s(kind: str, failures: int) -> int:
    """Seconds until the next try after so many failures."""
    over = failures - FREE[kind]
    if over < 0:
        return 0
    return int(min(FIRST_S * 2.0 ** min(over, 10), LONGEST_S)) if kind in _STRICT else WIDE_S


def tell_once(file: SideFile, who: Who, now: datetime) -> bool:
    """Within a transaction: whether there is a wait that was not told of. A strict one is told once a
    wait; those of a network and an account once until they are quiet for an hour."""
    at, is_new = int(now.timestamp()), False
    for key in who.keys.values():
        is_new |= (
            file.run(
                "UPDATE throttle SET is_told = 1 WHERE key = ? AND until_s > ? AND is_told = 0",
                key,
                at,
            )
            > 0
        )
    return is_new


def succeeded(file: SideFile, who: Who) -> None:
    """The try that was counted was right: its strict count is cleared, of the wide ones it is taken
    back."""
    with file.write():
        for kind, key in who.keys.items():
            if kind in _STRICT:
                file.run("DELETE FROM throttle WHERE key = ?", key)
                continue
            row = file.one("SELECT failures, last_s FROM throttle WHERE key = ?", key)
            if row is None:
                continue
            failures = int(row[0]) - 1
            file.run(
                "UPDATE throttle SET failures = ?, until_s = ? WHERE key = ?",
                failures,
                int(row[1]) + wait_s(kind, failures),
                key,
            )


def forget(file: SideFile, login: str) -> None:
    """Within a transaction: a new password was given, all that was counted for its login goes."""
    file.run(
        "DELETE FROM throttle WHERE key IN (?, ?) OR (substr(key, 1, 5) = 'pair ' AND"
        " substr(key, -length(?) - 1) = ' ' || ?)"
        " OR key IN (SELECT 'known ' || digest FROM known WHERE login = ?)",
        f"name {login}",
        f"session {login}",
        login,
        login,
        login,
    )
