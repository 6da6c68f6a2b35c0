"""What needs somebody: one list of alarms with stable ids, from the journal and the running daemon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from lxml import etree

from frontgate import safexml
from frontgate.core.reconcile import CODES
from frontgate.errors import FrontgateError, advise, render
from frontgate.journal import Reader, Tx, habits, reconcile
from frontgate.journal.states import ENDED, IN_ORDER, OPEN, either
from frontgate.model.message import CONTROL_NS
from frontgate.model.unit import ACTIVE, Directory
from frontgate.values import Struct, field, replace

WAITING_TOO_LONG = timedelta(minutes=30)
AWAY_AFTER = timedelta(minutes=10)
UNTOLD_AFTER = timedelta(hours=50)
"""A tally comes each night; two missing ones are no accident."""
CERTIFICATE_DAYS = 30
MOST_GAPS = 100
"""Gaps that are alarms of their own; the others are told as a number."""

CRITICAL, MAJOR, MINOR = "critical", "major", "minor"
_SEVERITY = {
    "FG-ALM-001": CRITICAL,
    "FG-ALM-002": CRITICAL,
    "FG-ALM-003": MINOR,
    "FG-ALM-006": MINOR,
    "FG-ALM-008": MINOR,
    "FG-ALM-009": MINOR,
    "FG-ALM-011": MINOR,
    "FG-ALM-012": CRITICAL,
    "FG-ALM-016": MINOR,
    "FG-ALM-027": CRITICAL,
}
"""What is not named here is major: something does not get through."""
_ORDER = (CRITICAL, MAJOR, MINOR)


class Alarm(Struct, frozen=True):
    """id: stable, `<code>[:<what>]`. since: RFC 3339, empty where it is not known. unit: whom it is
    about at the hub. said: its text by language, where the daemon told more than the code's own.
    """

    id: str
    code: str
    value: str = ""
    since: str = ""
    unit: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    said: Mapping[str, str] = field(default_factory=dict)

    @property
    def severity(self) -> str:
        """`critical` nothing is taken or served · `major` something does not get through · `minor`."""
        return _SEVERITY.get(self.code, MAJOR)

    def text(self, language: str) -> str:
        if language in self.said:
            return self.said[language]
        return render(self.code, self._params(), language)

    def advice(self, language: str) -> str:
        return advise(self.code, self._params(), language)

    def _params(self) -> dict[str, str]:
        return {"value": self.value, "unit": self.unit, **self.fields}

    def as_dict(self) -> dict[str, str]:
        return {
            "id": self.id,
            "code": self.code,
            "severity": self.severity,
            "unit": self.unit,
            "since": self.since,
            "zh": self.text("zh"),
            "en": self.text("en"),
            "advice_zh": self.advice("zh"),
            "advice_en": self.advice("en"),
        }


def alarms(
    role: str,
    reader: Reader,
    live: dict[str, Any] | None,
    now: datetime,
    directory: Directory | None = None,
) -> list[Alarm]:
    """All that needs somebody now, gravest first.

    role: `gateway` or `hub`. live: the daemon's answer to `status`, None where it does not run.
    directory: the hub's; units that are not active there give no alarm of their own.
    """
    found: list[Alarm] = list(_of_daemon(live))
    found += _of_journal(role, reader, now)
    found += _gaps(reader)
    found += _of_resync((live or {}).get("resync", {}), role)
    if role == "hub":
        found += _of_units(reader, now, directory)
    first_seen = {str(i): str(since) for i, since in reader.all("SELECT id, since FROM alarm")}
    found = [a if a.since else replace(a, since=first_seen.get(a.id, "")) for a in found]
    return sorted(found, key=lambda a: _ORDER.index(a.severity))


def _of_daemon(live: dict[str, Any] | None) -> Iterator[Alarm]:
    if live is None:
        yield Alarm("FG-ALM-001", "FG-ALM-001")
        return
    for where, code in live.get("troubles", {}).items():
        yield Alarm(f"{code}:{where}", code, said=live.get("said", {}).get(where, {}))
    if live.get("read_only"):
        yield Alarm("FG-ALM-027", "FG-ALM-027")
    elif live.get("intake_open") is False:
        yield Alarm("FG-ALM-002", "FG-ALM-002")
    days = live.get("certificate_days")
    if isinstance(days, int) and days <= CERTIFICATE_DAYS:
        yield Alarm("FG-ALM-003", "FG-ALM-003", str(days))
    stuck = sum(
        row["why"] != "incomplete" for rows in live.get("waiting", {}).values() for row in rows
    )
    if stuck:
        yield Alarm("FG-ALM-008", "FG-ALM-008", str(stuck))


def _of_resync(told: dict[str, Any], role: str) -> list[Alarm]:
    """A gap after a restore that is not closed yet."""
    found = [
        Alarm(f"FG-KEP-010:{row['peer']}", "FG-KEP-010", str(row["peer"]), str(row["began_at"]))
        for row in told.get("peers", ())
        if row["side"] == "asked" and row["state"] != "closed" and told.get("epoch")
    ]
    missing = told.get("missing", ())
    if missing and role == "hub":
        found.append(Alarm("FG-KEP-011", "FG-KEP-011", str(len(missing))))
    return found


def _of_journal(role: str, reader: Reader, now: datetime) -> list[Alarm]:
    found: list[Alarm] = []
    # Queue times leave out the jumps of the wall clock (`Journal.now_ms`).
    jumped_ms = int(reader.meta("clock-offset-ms") or "0")
    late = int((now - WAITING_TOO_LONG).timestamp() * 1000) - jumped_ms
    day = (now - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S")
    for destination, count, oldest in reader.all(
        "SELECT destination, count(*), min(made_at) FROM transfer INDEXED BY transfer_open"  # noqa: S608
        f" WHERE {either(OPEN)} AND {either(IN_ORDER)}"
        " AND substr(destination, 1, 6) <> 'spool:' AND made_ms < ? GROUP BY destination",
        late,
    ):
        if role == "gateway":
            found.append(Alarm("FG-ALM-004", "FG-ALM-004", str(count), str(oldest)))
        else:
            unit = _unit_of(str(destination))
            found.append(Alarm(f"FG-ALM-010:{unit}", "FG-ALM-010", str(count), str(oldest), unit))
    failed = reader.one(
        "SELECT count(*), min(t.changed_at) FROM transfer t INDEXED BY transfer_failed"  # noqa: S608
        f" WHERE {either(ENDED, 't')} AND t.state <> 'CANCELLED'"
        " AND NOT EXISTS (SELECT 1 FROM transfer n WHERE n.package_id = t.package_id"
        "   AND n.destination = t.destination AND n.receiver = t.receiver"
        "   AND n.attempt > t.attempt)"
    )
    if failed is not None and int(failed[0]):
        found.append(Alarm("FG-ALM-005", "FG-ALM-005", str(failed[0]), str(failed[1])))
    for origin, count, since in reader.all(
        "SELECT origin, count(*), min(at) FROM quarantine WHERE at >= ? GROUP BY origin"
        " ORDER BY origin",
        day,
    ):
        unit = _unit_of(str(origin)) if str(origin).startswith("account:") else ""
        name = f"FG-ALM-006:{unit}" if unit else "FG-ALM-006"
        found.append(Alarm(name, "FG-ALM-006", str(count), str(since), unit))
    return found


def _unit_of(destination: str) -> str:
    """`account:u5201021100x` → the unit code of that front end."""
    return destination.partition(":")[2][1:].upper()


def _gaps(reader: Reader) -> Iterator[Alarm]:
    """What reconciliation named, each message by itself."""
    for peer, gap in reconcile.gaps(reader, limit=MOST_GAPS):
        code = CODES[gap.kind]
        unit = _unit_of(peer) if peer.startswith("account:") else ""
        yield Alarm(
            ":".join((code, gap.key.message_id, gap.key.receiver, unit)).rstrip(":"),
            code,
            since=gap.since,
            unit=unit,
            fields=gap.as_dict(),
        )
    more = reader.one("SELECT count(*), min(since) FROM gap")
    if more is not None and int(more[0]) > MOST_GAPS:
        yield Alarm("FG-ALM-019", "FG-ALM-019", str(int(more[0]) - MOST_GAPS), str(more[1]))


def _of_units(reader: Reader, now: datetime, directory: Directory | None) -> Iterator[Alarm]:
    """Of each gateway: away, silent, what its newest heartbeat says, tallies that do not come."""

    def is_active(code: str) -> bool:
        unit = directory.units.get(code) if directory else None
        return directory is None or (unit is not None and unit.status == ACTIVE)

    for code, since, expected, _ in habits.silent(reader):
        if is_active(code):
            yield Alarm(f"FG-ALM-009:{code}", "FG-ALM-009", f"{expected:.0f}", since, code)
    away = _text(now - AWAY_AFTER)
    for issuer, at, xml in reader.all(
        "SELECT issuer, at, xml FROM control_in WHERE kind = 'heartbeat' ORDER BY issuer"
    ):
        code = str(issuer)
        if not is_active(code):
            continue
        if str(at) < away:
            yield Alarm(f"FG-ALM-007:{code}", "FG-ALM-007", code, str(at), code)
        else:
            yield from _of_heartbeat(code, facts_of(bytes(xml)), now)
        told = reader.one(
            "SELECT max(told_at) FROM tally_day WHERE peer = ?", f"account:u{code.lower()}"
        )
        if told is not None and told[0] and str(told[0]) < _text(now - UNTOLD_AFTER):
            yield Alarm(f"FG-ALM-016:{code}", "FG-ALM-016", code, str(told[0]), code)


def _of_heartbeat(code: str, facts: Mapping[str, str], now: datetime) -> Iterator[Alarm]:
    days = facts.get("certificate_days", "")
    if days.lstrip("-").isdigit() and int(days) <= CERTIFICATE_DAYS:
        yield Alarm(f"FG-ALM-011:{code}", "FG-ALM-011", days, unit=code)
    if facts.get("intake_open") == "0":
        free = facts.get("free_bytes", "")
        shown = str(int(free) >> 20) if free.isdigit() else "?"
        yield Alarm(f"FG-ALM-012:{code}", "FG-ALM-012", shown, unit=code)
    troubles = facts.get("troubles", "")
    if troubles:
        yield Alarm(f"FG-ALM-013:{code}", "FG-ALM-013", troubles[:200], unit=code)
    oldest = facts.get("oldest_open", "")
    if oldest and oldest < _text(now - WAITING_TOO_LONG):
        yield Alarm(f"FG-ALM-014:{code}", "FG-ALM-014", code, oldest[:24], code)


def facts_of(xml: bytes) -> dict[str, str]:
    """The facts of a heartbeat that was verified when it came; none where it cannot be read."""
    try:
        root: etree._Element = safexml.parse_plain(xml, max_bytes=1 << 20)
    except FrontgateError:
        return {}
    nodes = root.iterfind("c:Heartbeat/c:Fact", {"c": CONTROL_NS})
    return {node.get("name", ""): (node.text or "").strip() for node in nodes}


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def note(tx: Tx, found: list[Alarm]) -> None:
    """Keep since when each alarm stands; those that ended are told in the audit chain too."""
    known = {str(i): str(c) for i, c in tx.all("SELECT id, code FROM alarm")}
    present = {alarm.id: alarm for alarm in found}
    for ident, alarm in present.items():
        if ident in known:
            continue
        tx.run(
            "INSERT INTO alarm (id, code, since) VALUES (?, ?, ?)",
            ident,
            alarm.code,
            alarm.since or tx.now_at,
        )
        tx.event("alarm-raised", alarm=ident, severity=alarm.severity)
    for ident in known.keys() - present.keys():
        tx.run("DELETE FROM alarm WHERE id = ?", ident)
        tx.event("alarm-cleared", alarm=ident)
