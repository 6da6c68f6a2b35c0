"""Counts, sheets, published months, and the seed's own table out of a played share of its two years."""

import csv
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import apsw
import pytest
from ledger import POLICE, PROCURATORATE, STANDARDS, Ledger, sample

from frontgate.cases import sheets, stats
from frontgate.cases.counting import DEADLINE
from frontgate.cases.publish import FORMAT, Publisher
from frontgate.cases.read import Cases
from frontgate.cases.times import stored
from frontgate.core.deadlines import LEGAL_TIME
from frontgate.errors import CaseError
from frontgate.hub.history.plan import read_volumes
from frontgate.trust.signed import read_signed


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path)
    yield made
    made.close()


def test_an_exchange_is_an_instance_and_is_counted_once(ledger: Ledger) -> None:
    request = ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.exchange(sample("arrest-request/accept", ledger.at), answers=request)
    ledger.exchange(sample("custody-transfer/submit", ledger.at))
    cases = ledger.cases()
    rows = stats.exchanges(cases.reader, ("month", "flow", "prefecture"))
    assert [(r["flow"], r["exchanges"], r["messages"]) for r in rows] == [
        ("arrest-request", 1, 2),
        ("custody-transfer", 1, 1),
    ]
    assert {(r["month"], r["prefecture"]) for r in rows} == {("2026-11", "520100")}
    table = stats.seed_table(cases.reader, STANDARDS.version("1.0"))
    assert table[-1]["exchanges"] == 2
    rates = {r["rule"]: r for r in stats.on_time(cases.reader, ledger.at)}
    assert rates["DL-SYS-03"]["met"] == 1
    assert rates["DL-SYS-03"]["rate"] == 1.0
    late = {r["rule"]: r for r in stats.on_time(cases.reader, ledger.at + timedelta(days=60))}
    assert late["DL-ARR-01"]["overdue"] == 2
    assert late["DL-ARR-01"]["rate"] == 0.0
    assert "DL-ARR-05" not in late
    cases.close()


def last_moment(due_at: str) -> datetime:
    """In legal time: a term's end is the first instant that is too late."""
    return datetime.fromisoformat(due_at).astimezone(LEGAL_TIME) - timedelta(milliseconds=1)


def counted_one_by_one(
    cases: Cases, now: datetime, by: str, since: str, until: str, unit: str
) -> dict[str, tuple[int, int, int, int]]:
    """What `on_time` must say, from every term's row: met, met late, overdue, running."""
    found: dict[str, list[int]] = {}
    for rule, flow, owner, due_at, state in cases.reader.all(
        "SELECT rule, flow, unit, due_at, state FROM deadline WHERE is_lapsing = 0 AND state <> 'cancelled'"
    ):
        month = last_moment(due_at).strftime("%Y-%m")
        if (since and month < since) or (until and month > until) or unit not in ("", owner):
            continue
        key = {
            "rule": rule,
            "flow": flow,
            "unit": owner,
            "month": month,
            "prefecture": f"{owner[:4]}00",
        }[by]
        place = {"met": 0, "met-late": 1, "paused": 3}.get(state, 2 if due_at <= stored(now) else 3)
        found.setdefault(key, [0, 0, 0, 0])[place] += 1
    return {key: (met, late, over, run) for key, (met, late, over, run) in found.items()}


def test_rates_are_what_counting_every_term_gives(ledger: Ledger) -> None:
    """By every dimension, span and unit, within a month and across its ends, and after a late message."""
    request = ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.exchange(sample("prosecution-transfer/submit", ledger.at))
    ledger.exchange(sample("custody-transfer/submit", ledger.at))
    cases = ledger.cases()
    seen: set[int] = set()

    def agree() -> None:
        for days in (0, 3, 9, 20, 40, 100):
            now = ledger.at + timedelta(days=days)
            for by in ("rule", "unit", "prefecture", "flow", "month"):
                for since, until in (
                    ("", ""),
                    ("2026-12", ""),
                    ("", "2026-12"),
                    ("2026-12", "2026-12"),
                ):
                    for unit in ("", POLICE, PROCURATORATE):
                        rows = stats.on_time(
                            cases.reader, now, by, since=since, until=until, unit=unit
                        )
                        told = {
                            r[by]: (r["met"], r["met_late"], r["overdue"], r["running"])
                            for r in rows
                        }
                        assert told == counted_one_by_one(cases, now, by, since, until, unit)
                        seen.update(n for counts in told.values() for n in range(4) if counts[n])

    agree()
    ledger.exchange(sample("arrest-request/accept", ledger.at), answers=request)
    ledger.at += timedelta(days=30)
    ledger.exchange(sample("arrest-request/decide", ledger.at), answers=request)
    cases.close()
    cases = ledger.cases()
    agree()
    assert seen == {0, 1, 2, 3}
    cases.close()


def test_a_terms_month_is_that_of_its_last_moment_in_legal_time(ledger: Ledger) -> None:
    """A term to the thirtieth ends in November, one of hours that ends on the first of December before
    eight in the morning in December, though both end on the thirtieth in UTC."""
    ledger.go_to(2026, 11, 23)
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    cases = ledger.cases()
    rule = "rule = 'DL-ARR-01'"
    assert {d for (d,) in cases.reader.all(f"SELECT due_at FROM deadline WHERE {rule}")} == {
        "2026-11-30T16:00:00.000Z"
    }
    with closing(apsw.Connection(str(ledger.file))) as db:
        names = ", ".join(n for n in DEADLINE.split(", ") if n not in ("id", "due_at"))
        db.execute(
            f"INSERT INTO deadline (id, due_at, term, scope, {names})"
            f" SELECT 'hours', '2026-11-30T19:00:00.000Z', term, scope, {names} FROM deadline"
            f" WHERE {rule} LIMIT 1"
        )

    def overdue(hour: int, **span: str) -> dict[str, int]:
        ledger.go_to(2026, 12, 1, hour)
        rows = stats.on_time(cases.reader, ledger.at, "month", unit=PROCURATORATE, **span)
        return {r["month"]: r["overdue"] for r in rows if r["overdue"]}

    # Of each of the two persons one, and the answer that was not given.
    assert overdue(0) == {"2026-11": 3}
    assert overdue(2) == {"2026-11": 3}
    assert overdue(4) == {"2026-11": 3, "2026-12": 1}
    assert overdue(4, since="2026-12") == {"2026-12": 1}
    assert overdue(4, until="2026-11") == {"2026-11": 3}
    cases.close()


def test_a_terms_row_cannot_be_changed_past_the_sums(ledger: Ledger) -> None:
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.cases().close()
    with closing(apsw.Connection(str(ledger.file))) as db, pytest.raises(apsw.ConstraintError):
        db.execute("UPDATE deadline SET state = 'met'")


def test_refusals_are_counted_by_software_and_rule(ledger: Ledger) -> None:
    request = ledger.send(sample("arrest-request/submit", ledger.at))
    for _ in range(2):
        ledger.send(sample("arrest-request/accept", ledger.at), answers=request)
    cases = ledger.cases()
    rows = stats.rejects(cases.reader)
    assert [(r["vendor"], r["rule"], r["messages"]) for r in rows] == [
        ("示例软件公司", "FG-CTX-011", 1)
    ]
    cases.close()


def test_no_cell_becomes_a_formula() -> None:
    rows = [
        {"name": "=cmd|' /C calc'!A0", "n": -1},
        {"name": "@SUM(1)", "n": 2},
        {"name": "罗某", "n": 3},
    ]
    text = sheets.to_csv(rows)
    assert text.startswith(b"\xef\xbb\xbf")
    read = list(csv.reader(io.StringIO(text.decode("utf-8-sig"))))
    assert [r[0] for r in read] == ["name", "'=cmd|' /C calc'!A0", "'@SUM(1)", "罗某"]
    assert [r[1] for r in read[1:]] == ["-1", "2", "3"]
    with zipfile.ZipFile(io.BytesIO(sheets.to_xlsx([("t", rows)]))) as book:
        sheet = book.read("xl/worksheets/sheet1.xml")
        assert b"<f>" not in sheet
        assert "罗某".encode() in book.read("xl/sharedStrings.xml")


def test_a_month_is_published_once_and_then_corrected(ledger: Ledger, tmp_path: Path) -> None:
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.project()
    publisher = Publisher(
        ledger.journal, ledger.file, tmp_path / "published", ledger.issuer.signer, STANDARDS
    )
    with pytest.raises(CaseError, match="FG-CAS-009"):
        publisher.publish("2026-11", actor="x")
    with pytest.raises(CaseError, match="FG-CAS-009"):
        publisher.publish("2026-1", actor="x")
    ledger.go_to(2026, 12, 2)
    first = publisher.publish("2026-11", actor="统计员")
    frozen = Path(first["path"]).read_bytes()
    body, certificate = read_signed(frozen, FORMAT)
    assert certificate == ledger.issuer.signer.certificate
    assert body["tables"]["flows"] == [{"flow": "arrest-request", "exchanges": 1, "messages": 1}]
    assert "UTC+08:00" in body["definitions"]["exchange"]["zh"]
    assert publisher.publish("2026-11", actor="统计员")["path"] == ""
    request = ledger.query("SELECT message_id FROM package LIMIT 1")[0][0]
    decided = ledger.at - timedelta(days=18)
    ledger.exchange(sample("arrest-request/decide", decided), answers=str(request))
    ledger.project()
    correction = publisher.publish("2026-11", actor="统计员")
    assert Path(correction["path"]).name == "2026-11.001.json"
    assert Path(first["path"]).read_bytes() == frozen
    changed, _ = read_signed(Path(correction["path"]).read_bytes(), FORMAT)
    assert changed["corrects"] == first["digest"]
    assert {c["table"] for c in changed["changes"]} == {"on_time"}
    arrest = next(c for c in changed["changes"] if c["new"]["rule"] == "DL-ARR-01")
    assert (arrest["old"]["overdue"], arrest["new"]["met"]) == (2, 2)
    assert publisher.publish("2026-11", actor="统计员")["path"] == ""
    kinds = [r[0] for r in ledger.query("SELECT kind FROM event WHERE kind = 'statistics'")]
    assert len(kinds) == 2


def test_the_seeds_numbers_are_whole() -> None:
    volumes = read_volumes()
    assert sum(volumes.counts.values()) == volumes.total == 170_593
    assert volumes.counts["custody-transfer"] == 47_222
    assert volumes.counts["public-prosecution"] == 38_329
    assert len(volumes.spread) == 11
    assert sum(volumes.counts[n] for n in volumes.spread) == 901


def test_a_share_of_the_two_years_comes_out_as_that_table(tmp_path: Path) -> None:
    """Real seals, intake, ledger and projections, 676 units; 1 in 2 000."""
    done = subprocess.run(
        [sys.executable, "-m", "frontgate", "--json", "hub", "replay-history", str(tmp_path / "two-years"),
         "--share", "1/2000", "--begin", "2026-09-01", "--answers", "0.5"],
        capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["agrees"]
    assert told["figures"]["units"] > 500
    assert told["figures"]["refused"] == 0
    assert told["figures"]["messages"] > told["figures"]["exchanges"]
    table = {r["flow"]: r for r in told["table"]}
    assert table["custody-transfer"]["exchanges"] == 24
    assert table["case-record"]["is_spread"]
    assert not table["custody-transfer"]["is_spread"]
    assert table[""]["exchanges"] == sum(r["exchanges"] for f, r in table.items() if f)
