"""Versions of the journal's tables: each is a file of SQL that brings the one before it up to date."""

from __future__ import annotations

from pathlib import Path

import apsw

from frontgate import clock
from frontgate.errors import JournalError

VERSION = 3
APPLICATION_ID = 0x46474A31  # "FGJ1"


def wrong_version(found: int, path: Path) -> JournalError:
    """Of a journal that is not of this program's version."""
    code = "FG-JRN-003" if found > VERSION else "FG-JRN-011"
    return JournalError(code, found=found, known=VERSION, detail=str(path))


def migrate(db: apsw.Connection, node: str, path: Path) -> None:
    """Bring a journal up to this version, or make its tables. Raises: JournalError FG-JRN-003, 001; apsw.Error."""
    found = int(next(iter(db.execute("PRAGMA user_version")))[0])
    if found > VERSION:
        raise wrong_version(found, path)
    with db:  # all in one: a reader sees the tables of before, or these
        for version in range(found + 1, VERSION + 1):
            from importlib import resources  # once in a journal's life

            sql = (
                resources.files("frontgate.journal")
                .joinpath(f"schema_{version}.sql")
                .read_text("utf-8")
            )
            db.execute(sql)
            if version == 1:
                # The second of its making: a journal made anew for the same node differs in all
                # its ids and numbers from the one it replaces.
                epoch = str(max(1, int(clock.now().timestamp())))
                db.execute(
                    "INSERT INTO meta VALUES ('node', ?), ('epoch', ?), ('first-epoch', ?)",
                    (node, epoch, epoch),
                )
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {version}")
    known = next(iter(db.execute("SELECT value FROM meta WHERE key = 'node'")))[0]
    if known != node:
        raise JournalError("FG-JRN-001", path=path.name, detail=f"belongs to {known}, not {node}")
