"""What needs somebody: one list of alarms with stable ids, from the journal and the running daemon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from frontgate.errors import describe, render
from frontgate.journal import Reader

WAITING_TOO_LONG = timedelta(minutes=30)
SILENT_AFTER = timedelta(minutes=10)
CERTIFICATE_DAYS = 30


@dataclass(frozen=True, slots=True)
class Alarm:
    """id: stable, `<code>[:<what>]`. since: RFC 3339, empty where it is not known. said: its text by
    language, where the daemon told more than the code's own.
    """

    id: str
    code: str
    value: str = ""
    since: str = ""
    said: Mapping[str, str] = field(default_factory=dict)

    def text(self, language: str) -> str:
        if language in self.said:
            return self.said[language]
        return render(self.code, {"value": self.value}, language)

    def advice(self, language: str) -> str:
        row = describe(self.code)
        return row.advice_zh if language == "zh" else row.advice_en


def alarms(role: str, reader: Reader, live: dict[str, Any] | None, now: datetime) -> list[Alarm]:
    """All that needs somebody now, gravest first.

    role: `gateway` or `hub`. live: the daemon's answer to `status`, None where it does not run.
    """
    found: list[Alarm] = []
    if live is None:
        found.append(Alarm("FG-ALM-001", "FG-ALM-001"))
    else:
        found += [
            Alarm(f"{code}:{where}", code, said=live.get("said", {}).get(where, {}))
            for where, code in live.get("troubles", {}).items()
        ]
        if live.get("intake_open") is False:
            found.append(Alarm("FG-ALM-002", "FG-ALM-002"))
        days = live.get("certificate_days")
        if isinstance(days, int) and days <= CERTIFICATE_DAYS:
            found.append(Alarm("FG-ALM-003", "FG-ALM-003", str(days)))
        stuck = sum(
            row["why"] != "incomplete" for rows in live.get("waiting", {}).values() for row in rows
        )
        if stuck:
            found.append(Alarm("FG-ALM-008", "FG-ALM-008", str(stuck)))
    found += _of_journal(reader, now)
    if role == "hub":
        found += _silent(reader, now)
    return found


def _of_journal(reader: Reader, now: datetime) -> list[Alarm]:
    found: list[Alarm] = []
    late = int((now - WAITING_TOO_LONG).timestamp() * 1000)
    day = (now - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S")
    for code, sql, value in (
        (
            "FG-ALM-004",
            "SELECT count(*), min(made_at) FROM transfer WHERE state IN ('QUEUED', 'SENDING', 'SENT')"
            " AND substr(destination, 1, 6) <> 'spool:' AND made_ms < ?",
            late,
        ),
        (
            "FG-ALM-005",
            "SELECT count(*), min(t.changed_at) FROM transfer t WHERE t.state IN ('FAILED', 'UNCONFIRMED')"
            " AND t.changed_ms > ? AND NOT EXISTS (SELECT 1 FROM transfer n WHERE"
            " n.package_id = t.package_id AND n.destination = t.destination"
            " AND n.receiver = t.receiver AND n.attempt > t.attempt)",
            0,
        ),
        ("FG-ALM-006", "SELECT count(*), min(at) FROM quarantine WHERE at >= ?", day),
    ):
        row = reader.one(sql, value)
        if row is not None and int(row[0]):
            found.append(Alarm(code, code, str(row[0]), str(row[1] or "")))
    return found


def _silent(reader: Reader, now: datetime) -> list[Alarm]:
    """Gateways that spoke once and are silent now."""
    before = (now.astimezone(UTC) - SILENT_AFTER).strftime("%Y-%m-%dT%H:%M:%S")
    rows = reader.all(
        "SELECT issuer, at FROM control_in WHERE kind = 'heartbeat' AND at < ? ORDER BY issuer",
        before,
    )
    return [Alarm(f"FG-ALM-007:{i}", "FG-ALM-007", str(i), str(at)) for i, at in rows]
