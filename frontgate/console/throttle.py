"""Slowing down who guesses passwords: by login and address, by address, by login.

The first count is strict and hits the guesser; the other two are wide, so that nobody can lock
somebody else out for long. Kept in the file, so a restart forgives nothing.
"""

from __future__ import annotations

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


def admit(file: SideFile, login: str, address: str, now: datetime) -> None:
    """Raises: ConsoleError FG-CON-002 with the seconds to wait."""
    at = int(now.timestamp())
    for key in _keys(login, address).values():
        row = file.one("SELECT until_s FROM throttle WHERE key = ?", key)
        if row is not None and int(row[0]) > at:
            raise ConsoleError("FG-CON-002", seconds=int(row[0]) - at)


def failed(file: SideFile, login: str, address: str, now: datetime) -> None:
    """Count a failure and set the wait."""
    at = int(now.timestamp())
    with file.write():
        file.run("DELETE FROM throttle WHERE last_s < ?", at - FORGET_S)
        for kind, key in _keys(login, address).items():
            row = file.one("SELECT failures FROM throttle WHERE key = ?", key)
            failures = (int(row[0]) if row else 0) + 1
            file.run(
                "INSERT OR REPLACE INTO throttle (key, failures, until_s, last_s) VALUES (?, ?, ?, ?)",
                key,
                failures,
                at + wait_s(kind, failures),
                at,
            )


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
    """A right password clears its own pair, nothing else."""
    if file.one("SELECT 1 FROM throttle WHERE key = ?", _keys(login, address)["pair"]):
        with file.write():
            file.run("DELETE FROM throttle WHERE key = ?", _keys(login, address)["pair"])


def forget(file: SideFile, login: str) -> None:
    """Within a transaction: a new password was given, all that was counted for its login goes."""
    file.run(
        "DELETE FROM throttle WHERE key = ? OR (substr(key, 1, 5) = 'pair ' AND"
        " substr(key, -length(?) - 1) = ' ' || ?)",
        f"name {login}",
        login,
        login,
    )
