"""A node as its folders show it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frontgate import clock
from frontgate.journal import Reader, open_reader
from frontgate.spool.layout import SpoolPaths
from frontgate.trust.store import TrustStore
from frontgate.values import Struct

PAGE = 500
YOUNG_S = 600.0
"""Beside a running daemon, what is younger than this may still be under way."""


def entries_of(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder by name; none where it is not there."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda e: e.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def is_text(name: str) -> bool:
    """Whether a file's name is text: only such a name can stand in a journal. Others may give any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class Spool(Struct, frozen=True):
    """One spool. key: `<unit>` or `<unit>/<app>`. form: how packages are delivered into it."""

    key: str
    paths: SpoolPaths
    form: str = "folder"


@dataclass(slots=True)
class Home:
    """role: `gateway` or `hub`. units: that the node speaks for. account: a gateway's at the hub.
    mailboxes: the hub's root. keys: folder of private keys. is_running: its daemon is at work, so
    what is young and unfinished is left alone. is_settled: nothing may be open or unfinished any more;
    without it a node that is down may show what its next start will finish.
    """

    role: str
    units: tuple[str, ...]
    state: Path
    keys: Path
    trust: TrustStore
    spools: tuple[Spool, ...] = ()
    account: str = ""
    mailboxes: Path | None = None
    is_running: bool = False
    is_settled: bool = False
    _reader: Reader | None = None

    @property
    def name(self) -> str:
        """The journal's name for the node."""
        return f"{self.role}:{self.units[0]}"

    @property
    def reader(self) -> Reader:
        """A read-only connection, opened once. Raises: JournalError FG-JRN-001."""
        if self._reader is None:
            self._reader = open_reader(self.state / "journal.db")
        return self._reader

    def may_stand(self, entry: os.DirEntry[str], most_s: float = YOUNG_S) -> bool:
        """Whether something unfinished may lie there now. most_s: for so long, while the node runs."""
        if not self.is_running:
            return not self.is_settled
        try:
            age_s = clock.now().timestamp() - entry.stat(follow_symlinks=False).st_mtime
        except FileNotFoundError:
            return True
        return age_s < most_s

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def pages(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Rows of a query by key. sql: its first column is the key; it ends in a condition that the
        key is above `?1`, ordered by the key; `LIMIT` is added here.
        """
        after = 0
        while True:
            rows = self.reader.all(f"{sql} LIMIT {PAGE}", after)
            yield from rows
            if len(rows) < PAGE:
                return
            after = int(rows[-1][0])
