"""A month published as a frozen, signed sheet; what changes later appears as a correction.

Offers: `Publisher`, `published_sheets`. Guarantees: a sheet is written once and never changed; it names the journal's
number and head that it was made at, and the definitions of what is counted. A second publishing of the
same month writes the rows that differ, old and new, with the digest of the sheet before. Each is an
event of the audit chain. Form: `trust.signed`, format `frontgate-statistics-1`.
Fails: `CaseError` FG-CAS-009.
"""

from __future__ import annotations

import hashlib
import os
import re
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from frontgate import clock, durable
from frontgate.cases import stats
from frontgate.cases.read import Cases
from frontgate.cases.times import legal_day, legal_month, stored
from frontgate.errors import CaseError
from frontgate.journal import Journal
from frontgate.standard import Standards
from frontgate.suites import Signer
from frontgate.trust.signed import read_signed, write_signed
from frontgate.values import Struct

FORMAT = "frontgate-statistics-1"
_MONTH = re.compile(r"20\d\d-(0[1-9]|1[0-2])")
DEFINITIONS = {
    "exchange": (
        "业务协同：一个流程实例，计入平台中继其首个报文的月份（UTC+08:00），归发件单位；测试、摘录、被拒报文不计",
        "an instance of a flow, in the month (UTC+08:00) in which the hub relayed the message that opened it, "
        "under its sender; test traffic, extracts and refused messages do not count",
    ),
    "message": ("报文：平台收纳的每一件", "every message that the hub admitted"),
    "outcome": ("结果：报文所述每名人员的结果代码", "the result code of each person that a message states"),
    "on_time": (
        "按期率：当月（UTC+08:00，以期限最后一刻计）届满的期限中按期办结的，除以按期、逾期办结与逾期未结之和；"
        "期满不计逾期的除外",
        "of terms whose last moment is in the month (UTC+08:00): those met, by those met, met late and overdue; terms that only lapse "
        "do not count",
    ),
    "reject": ("退回：平台拒收的报文，按软件与规则", "messages that the hub refused, by software and rule"),
}  # fmt: skip


NAME = re.compile(r"20\d\d-(0[1-9]|1[0-2])\.[0-9]{3}\.json")


class Published(Struct, frozen=True):
    """One file. number: 0 the sheet, then its corrections. changes: rows that a correction alters."""

    name: str
    month: str
    number: int
    made_at: str
    changes: int


def published_sheets(folder: Path) -> list[Published]:
    """The months' sheets with their corrections, the newest month first."""
    if not folder.is_dir():
        return []
    names = sorted(n for n in os.listdir(folder) if NAME.fullmatch(n))
    found = [_published(folder / n, (folder / n).stat().st_mtime_ns) for n in names]
    return sorted(found, key=lambda p: (p.month, -p.number), reverse=True)


@lru_cache(maxsize=512)
def _published(path: Path, _: int) -> Published:
    body, _certificate = read_signed(path.read_bytes(), FORMAT)
    month, number = path.name.split(".")[:2]
    return Published(path.name, month, int(number), body["made_at"], len(body.get("changes", ())))


class Publisher:
    """Writes sheets below `folder`, and their events into the journal."""

    def __init__(
        self, journal: Journal, cases: Path, folder: Path, signer: Signer, standards: Standards
    ) -> None:
        self._journal = journal
        self._cases = cases
        self._folder = folder
        self._signer = signer
        self._standards = standards

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request `stats-publish` of the control socket. Keys: month, actor."""
        return self.publish(str(request.get("month", "")), actor=str(request.get("actor", "")))

    def publish(self, month: str, *, actor: str) -> dict[str, Any]:
        """Publish a month, or the correction of one. Returns: path, digest, number (0 the sheet), and
        changes; path empty where nothing has changed."""
        if not _MONTH.fullmatch(month):
            raise CaseError("FG-CAS-009", value=month[:20], reason="YYYY-MM")
        now = clock.now()
        body = self._body(month, now)
        known = self.published(month)
        if not known:
            return self._write(month, 0, body, actor, 0)
        before = self._as_corrected(known)
        changes = _changes(before, body["tables"])
        if not changes:
            return {"path": "", "digest": "", "number": len(known), "changes": 0}
        correction = {
            **{k: v for k, v in body.items() if k != "tables"},
            "corrects": hashlib.sha256(known[-1].read_bytes()).hexdigest(),
            "changes": changes,
        }
        return self._write(month, len(known), correction, actor, len(changes))

    def published(self, month: str) -> list[Path]:
        """The sheet and its corrections, in order."""
        return sorted(self._folder.glob(f"{month}.[0-9][0-9][0-9].json"))

    def _body(self, month: str, now: datetime) -> dict[str, Any]:
        source = Cases(self._cases)
        try:
            seq, as_of = source.as_of()
            if legal_month(stored(now)) <= month or not as_of:
                raise CaseError("FG-CAS-009", value=month, reason=legal_day(stored(now)))
            tables = month_tables(source, self._standards, month, now)
            head = source.reader.meta("cursor") or ""
        finally:
            source.close()
        return {
            "month": month, "made_at": stored(now), "journal": self._journal.node,
            "as_of": {"seq": seq, "head": head.partition(" ")[2], "at": as_of},
            "definitions": {k: {"zh": zh, "en": en} for k, (zh, en) in DEFINITIONS.items()},
            "tables": tables,
        }  # fmt: skip

    def _as_corrected(self, known: list[Path]) -> dict[str, list[dict[str, Any]]]:
        body, _ = read_signed(known[0].read_bytes(), FORMAT)
        tables: dict[str, list[dict[str, Any]]] = body["tables"]
        for path in known[1:]:
            correction, _ = read_signed(path.read_bytes(), FORMAT)
            for change in correction["changes"]:
                rows = tables.setdefault(change["table"], [])
                if change["old"] is not None:
                    rows.remove(change["old"])
                if change["new"] is not None:
                    rows.append(change["new"])
        return tables

    def _write(
        self, month: str, number: int, body: dict[str, Any], actor: str, changes: int
    ) -> dict[str, Any]:
        data = write_signed(FORMAT, body, self._signer)
        digest = hashlib.sha256(data).hexdigest()
        if not self._folder.is_dir():
            durable.make_dir(self._folder)
        path = self._folder / f"{month}.{number:03d}.json"
        durable.write_file(path, data, 0o644)
        with self._journal.write() as tx:
            tx.event("statistics", month=month, number=number, digest=digest, actor=actor)
        return {"path": str(path), "digest": digest, "number": number, "changes": changes}


def month_tables(
    source: Cases, standards: Standards, month: str, now: datetime
) -> dict[str, list[dict[str, Any]]]:
    """All tables of one month."""
    reader = source.reader
    catalogue = standards.version(standards.newest)
    span = {"since": month, "until": month}
    return {
        "flows": stats.exchanges(reader, ("flow",), **span),
        "units": stats.exchanges(reader, ("unit", "flow"), **span),
        "prefectures": stats.exchanges(reader, ("prefecture", "flow"), **span),
        "outcomes": stats.outcomes(reader, catalogue, **span),
        "on_time": stats.on_time(reader, now, "rule", **span),
        "rejects": stats.rejects(reader, **span),
    }


def _changes(
    old: dict[str, list[dict[str, Any]]], new: dict[str, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Rows that differ: in old alone, in new alone, or under the same key with other counts."""
    found: list[dict[str, Any]] = []
    for table in sorted({*old, *new}):
        before = {_key(r): r for r in old.get(table, [])}
        after = {_key(r): r for r in new.get(table, [])}
        for key in sorted({*before, *after}):
            if before.get(key) != after.get(key):
                found.append({"table": table, "old": before.get(key), "new": after.get(key)})
    return found


def _key(row: dict[str, Any]) -> str:
    return "\n".join(str(v) for v in row.values() if isinstance(v, str))
