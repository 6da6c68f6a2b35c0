"""When the exchange itself, or a unit's gateway, was not there: facts with their evidence.

Offers: `outages` (of the hub, by the audit chain), `absences` (of gateways, in working hours),
`certificate` (a signed statement of outages). Guarantees: an outage is bounded by two entries of the chain;
after a kill it may have begun as early as the last entry before, and both bounds say so.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from frontgate.cases.read import Cases
from frontgate.cases.times import stored
from frontgate.core.deadlines import Calendar, Limit, Unit, due
from frontgate.core.deadlines import Custody as Kind
from frontgate.journal import Reader
from frontgate.suites import Signer
from frontgate.trust.signed import write_signed
from frontgate.values import Struct, asdict

FORMAT = "frontgate-outage-1"


class Outage(Struct, frozen=True):
    """The hub did not run. begin: when it stopped, or the last thing it did before it died.

    is_exact: it was stopped in order. before_seq, after_seq: the entries of the audit chain around it.
    """

    begin: str
    end: str
    is_exact: bool
    before_seq: int
    after_seq: int


def outages(
    source: Cases, since: str, until: str, *, shortest: timedelta = timedelta(minutes=1)
) -> list[Outage]:
    """Outages that touch a span of stored times, in order; shorter ones are left out."""
    rows = source.reader.all(
        "SELECT seq, at, what, last_at FROM running WHERE at >= ? ORDER BY seq", since
    )
    found: list[Outage] = []
    stopped: tuple[int, str] | None = None
    for seq, at, what, last_at in rows:
        if what == "stopped":
            stopped = (int(seq), str(at))
            continue
        begin = stopped[1] if stopped is not None else str(last_at)
        before = stopped[0] if stopped is not None else int(seq) - 1
        long = begin and datetime.fromisoformat(str(at)) - datetime.fromisoformat(begin) >= shortest
        if long and begin < until and before > 0:
            found.append(Outage(begin, str(at), stopped is not None, before, int(seq)))
        stopped = None
    return found


def certificate(
    source: Cases, journal: Reader, signer: Signer, since: datetime, until: datetime, now: datetime
) -> bytes:
    """A signed statement of the outages in a span, each with the chain's entries around it."""
    rows = []
    for outage in outages(source, stored(since), stored(until)):
        entries = journal.all(
            "SELECT seq, at, kind, head FROM event WHERE seq IN (?, ?) ORDER BY seq",
            outage.before_seq, outage.after_seq,
        )  # fmt: skip
        evidence = [dict(zip(("seq", "at", "kind", "head"), e, strict=True)) for e in entries]
        rows.append({**asdict(outage), "evidence": evidence})
    body = {
        "hub": signer.unit, "since": stored(since), "until": stored(until), "made_at": stored(now),
        "outages": rows,
    }  # fmt: skip
    return write_signed(FORMAT, body, signer)


class Absence(Struct, frozen=True):
    """A gateway fetched nothing for longer than allowed in working hours. end: empty while it lasts."""

    unit: str
    begin: str
    end: str
    messages: int


def absences(
    source: Cases, calendar: Calendar, now: datetime, since: datetime, *, hours: int = 1
) -> list[Absence]:
    """Absences since a time: spans in which something waited for a unit for `hours` working hours.

    Overlapping waits of a unit are one absence. Ended ones are told by their deliveries.
    """
    present = stored(now)
    rows = source.reader.all(
        "SELECT r.unit, m.relayed_at, r.delivered_at FROM recipient r JOIN message m ON m.id = r.message"
        " WHERE m.relayed_at >= ? AND r.failed_at = '' AND coalesce(nullif(r.delivered_at, ''), ?)"
        " > strftime('%Y-%m-%dT%H:%M:%fZ', m.relayed_at, ?) ORDER BY r.unit, m.relayed_at",
        stored(since), present, f"+{hours} hours",
    )  # fmt: skip
    found: list[Absence] = []
    for unit, relayed, delivered in rows:
        allowed = due(
            datetime.fromisoformat(str(relayed)),
            Limit(hours, Unit.WORKING_HOUR),
            calendar,
            custody=Kind.NONE,
        )
        if stored(allowed) >= (str(delivered) or present):
            continue
        last = found[-1] if found else None
        if last is not None and last.unit == unit and (not last.end or str(relayed) <= last.end):
            end = "" if not delivered or not last.end else max(last.end, str(delivered))
            found[-1] = Absence(last.unit, last.begin, end, last.messages + 1)
        else:
            found.append(Absence(str(unit), str(relayed), str(delivered), 1))
    return found


def as_rows(items: list[Any]) -> list[dict[str, Any]]:
    """For JSON and tables."""
    return [asdict(i) for i in items]
