"""Browsers that an account logged in from before, so that guesses of others do not keep its owner out.

A login leaves a secret in the browser for that account, kept here as a digest; the next login takes a
new one for it. It opens nothing: it only has its tries counted apart (`throttle.py`). It outlives a new
password and ends with the account's being disabled, or after half a year.
"""

from __future__ import annotations

import hashlib
import secrets

from frontgate.journal.sidefile import SideFile

KEPT_S = 180 * 86400
MOST = 20
"""So many browsers an account; the oldest goes."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS known (
  digest TEXT PRIMARY KEY,
  login  TEXT NOT NULL REFERENCES account(login) ON DELETE CASCADE,
  made_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID
"""
"""Beside the tables of `accounts.sql`, also in files that were made without it."""


def cookie(login: str) -> str:
    """The name of the cookie with the secret: one an account, for machines that several use."""
    return "frontgate-known-" + hashlib.sha256(login.encode()).hexdigest()[:12]


def recognise(file: SideFile, secret: str, login: str, at: int) -> str:
    """The digest of a browser's secret where this account logged in with it; else empty."""
    if not 20 <= len(secret) <= 100:
        return ""
    digest = _digest(secret)
    row = file.one(
        "SELECT 1 FROM known WHERE digest = ? AND login = ? AND made_s > ?",
        digest,
        login,
        at - KEPT_S,
    )
    return digest if row else ""


def remember(file: SideFile, old: str, login: str, at: int) -> str:
    """Returns: the secret that this browser shows from now on. old: the one that it showed, or empty."""
    secret = secrets.token_urlsafe(32)
    with file.write():
        file.run(
            "DELETE FROM known WHERE made_s <= ? OR (digest = ? AND login = ?)",
            at - KEPT_S,
            _digest(old),
            login,
        )
        file.run("INSERT INTO known VALUES (?, ?, ?)", _digest(secret), login, at)
        file.run(
            "DELETE FROM known WHERE login = ?1 AND digest NOT IN"
            " (SELECT digest FROM known WHERE login = ?1 ORDER BY made_s DESC LIMIT ?2)",
            login,
            MOST,
        )
    return secret


def forget(file: SideFile, login: str) -> None:
    """Within a transaction: no browser of this account is known any more."""
    file.run("DELETE FROM known WHERE login = ?", login)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
