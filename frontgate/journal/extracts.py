"""Extracts of admitted messages: what projections need once the package itself is pruned."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from frontgate.journal.store import Reader, Tx


@dataclass(frozen=True, slots=True)
class Extract:
    """head: see `standard.extract.head_of`. body: compressed message; empty where nothing was kept."""

    head: dict[str, Any]
    body: bytes


def keep(tx: Tx, package_id: int, head: str, body: bytes) -> None:
    """Keep a message's extract in the transaction that judges it."""
    tx.run("INSERT INTO extract VALUES (?, ?, ?)", package_id, head, body)


def of_package(source: Tx | Reader, package_id: int) -> Extract | None:
    row = source.one("SELECT head, body FROM extract WHERE package_id = ?", package_id)
    return None if row is None else Extract(json.loads(str(row[0])), bytes(row[1]))
