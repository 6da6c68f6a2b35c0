"""Extracts of admitted messages, and the entries of the chain that projections follow: what they need
once packages are pruned and old entries have gone to the archive."""

from __future__ import annotations

import json
from typing import Any

from frontgate.journal.store import Reader, Tx
from frontgate.values import Struct


class Extract(Struct, frozen=True):
    """head: see `standard.extract.head_of`. body: compressed message; empty where nothing was kept."""

    head: dict[str, Any]
    body: bytes


def keep(tx: Tx, package_id: int, head: str, body: bytes) -> None:
    """Keep a message's extract in the transaction that judges it."""
    tx.run("INSERT INTO extract VALUES (?, ?, ?)", package_id, head, body)


def of_package(source: Tx | Reader, package_id: int) -> Extract | None:
    row = source.one("SELECT head, body FROM extract WHERE package_id = ?", package_id)
    return None if row is None else Extract(json.loads(str(row[0])), bytes(row[1]))


_FOLLOWED = (
    "(kind IN ('admitted', 'refused', 'receipt-got', 'case-act', 'started', 'stopped')"
    " OR (kind = 'receipt' AND json_extract(data, '$.kind') IN ('relay-failed', 'relay-delayed')))"
)


def keep_told(tx: Tx, to: int, limit: int) -> None:
    """Keep what projections follow of the oldest entries, `limit` at most, that are about to go."""
    tx.run(
        "INSERT OR IGNORE INTO told SELECT seq, at, kind, data, head FROM event WHERE seq IN"  # noqa: S608
        f" (SELECT seq FROM event WHERE seq <= ? ORDER BY seq LIMIT ?) AND {_FOLLOWED}",
        to,
        limit,
    )


def followed(source: Reader, after: int, limit: int) -> list[tuple[int, str, str, str]]:
    """(seq, at, kind, data) of entries that projections follow, in order; kept aside or in the chain.

    One statement, so that an entry on its way from one to the other is not missed.
    """
    rows = source.all(
        "SELECT seq, at, kind, data FROM told WHERE seq > ? UNION ALL"  # noqa: S608
        f" SELECT seq, at, kind, data FROM event WHERE seq > ? AND {_FOLLOWED}"
        " ORDER BY seq LIMIT ?",
        after,
        after,
        limit,
    )
    return [(int(r[0]), str(r[1]), str(r[2]), str(r[3])) for r in rows]


def newest(source: Reader) -> tuple[int, str, str] | None:
    """(seq, at, head) of the newest entry of the chain."""
    row = source.one("SELECT seq, at, head FROM event ORDER BY seq DESC LIMIT 1")
    return None if row is None else (int(row[0]), str(row[1]), str(row[2]))


def entry(source: Reader, seq: int) -> tuple[str, str] | None:
    """(at, head) of one entry, in the chain or kept aside; None where it has gone or never was."""
    row = source.one(
        "SELECT at, head FROM event WHERE seq = ? UNION ALL SELECT at, head FROM told WHERE seq = ? LIMIT 1",
        seq,
        seq,
    )
    return None if row is None else (str(row[0]), str(row[1]))


def is_archived(source: Reader, seq: int) -> bool:
    """Whether an entry lies behind a checkpoint."""
    row = source.one("SELECT max(event_to) FROM archive")
    return row is not None and row[0] is not None and seq <= int(row[0])
