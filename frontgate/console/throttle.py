"""Slowing down who guesses passwords: by login and address, by address, by login.

The first count is strict and hits the guesser; the other two are wide, so that nobody can lock
somebody else out for long. Kept in the file, so a restart forgives nothing. A try is counted before its
password is looked at, and given back where it was right: any number of tries at once cost no more than
are free.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from frontgate.errors import ConsoleError
from frontgate.journal.sidefile import SideFile

FREE = {"pair": 5, "from": 40, "name": 40}
"""So many failures cost nothing."""
FIRST_S, LONGEST_S = 15, 15 * 60
WIDE_S = 60
FORGET_S = 3600


def _keys(login: str, address: str) -> dict[str, str]:
    name, origin = login[:60], address[:60]
    return {"pair": f"pair {origin} {name}", "from": f"from {origin}", "name": f"name {name}"}


def enter(file: SideFile, login: str, address: str, now: datetime) -> None:
    """Count a try as failed before its password is looked at. Raises: ConsoleError FG-CON-002 with the
    seconds to wait; what is refused so is not counted, and costs a look."""
    at = int(now.timestamp())
    keys = _keys(login, address)
    _admit(file, keys, at)
    with file.write():
        _admit(file, keys, at)  # others came in between
        file.run("DELETE FROM throttle WHERE last_s < ?", at - FORGET_S)
        for kind, key in keys.items():
            row = file.one("SELECT failures FROM throttle WHERE key = ?", key)
            failures = (int(row[0]) if row else 0) + 1
            file.run(
                "INSERT OR REPLACE INTO throttle (key, failures, until_s, last_s) VALUES (?, ?, ?, ?)",
                key,
                failures,
                at + wait_s(kind, failures),
                at,
            )


def _admit(file: SideFile, keys: Mapping[str, str], at: int) -> None:
    for key in keys.values():
        row = file.one("SELECT until_s FROM throttle WHERE key = ?", key)
        if row is not None and int(row[0]) > at:
            raise ConsoleError("FG-CON-002", seconds=int(row[0]) - at)


def wait_s(kind: str, failures: int) -> int:
    """Seconds until the next try after so many failures."""
    over = failures - FREE[kind]
    if over < 0:
        return 0
    return int(min(FIRST_S * 2.0 ** min(over, 10), LONGEST_S)) if kind == "pair" else WIDE_S


def tell_once(file: SideFile, login: str, address: str) -> bool:
    """Within a transaction: whether the present wait is told of for the first time."""
    key = _keys(login, address)["pair"]
    return file.run("UPDATE throttle SET is_told = 1 WHERE key = ? AND is_told = 0", key) > 0


def succeeded(file: SideFile, login: str, address: str) -> None:
    """The try that was counted was right: its own pair is cleared, of the wide counts it is taken back."""
    keys = _keys(login, address)
    with file.write():
        file.run("DELETE FROM throttle WHERE key = ?", keys.pop("pair"))
        for kind, key in keys.items():
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
        "DELETE FROM throttle WHERE key = ? OR (substr(key, 1, 5) = 'pair ' AND"
        " substr(key, -length(?) - 1) = ' ' || ?)",
        f"name {login}",
        login,
        login,
    )
