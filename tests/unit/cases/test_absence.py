"""Outages of the exchange with their evidence, and gateways that are absent in working hours."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from ledger import PROCURATORATE, STANDARDS, Ledger, sample

from frontgate.cases.absence import FORMAT, absences, certificate, outages
from frontgate.cases.times import stored
from frontgate.journal import open_reader
from frontgate.trust.signed import read_signed


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path)
    yield made
    made.close()


def tell(ledger: Ledger, kind: str, **data: str) -> None:
    with ledger.journal.write() as tx:
        tx.event(kind, **data)


def test_an_outage_lies_between_two_entries_of_the_chain(ledger: Ledger) -> None:
    begin = ledger.at
    tell(ledger, "started", version="1")
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    last = ledger.at - timedelta(seconds=1)
    ledger.at += timedelta(hours=3)
    tell(ledger, "started", version="1")  # it had been killed
    killed = ledger.at
    ledger.at += timedelta(hours=1)
    tell(ledger, "stopped")
    ledger.at += timedelta(hours=2)
    tell(ledger, "started", version="1")
    ledger.at += timedelta(seconds=20)
    tell(ledger, "stopped")
    tell(ledger, "started", version="1")  # too short to speak of
    cases = ledger.cases()
    found = outages(cases, stored(begin), stored(ledger.at))
    assert [(o.begin, o.end, o.is_exact) for o in found] == [
        (stored(last), stored(killed), False),
        (stored(killed + timedelta(hours=1)), stored(killed + timedelta(hours=3)), True),
    ]
    journal = open_reader(ledger.state / "journal.db")
    data = certificate(cases, journal, ledger.issuer.signer, begin, ledger.at, ledger.at)
    body, _ = read_signed(data, FORMAT)
    heads = dict(journal.all("SELECT seq, head FROM event"))
    journal.close()
    cases.close()
    assert len(body["outages"]) == 2
    for row in body["outages"]:
        assert [e["head"] for e in row["evidence"]] == [heads[e["seq"]] for e in row["evidence"]]
        assert [e["seq"] for e in row["evidence"]] == [row["before_seq"], row["after_seq"]]


def test_a_gateway_absent_in_working_hours_is_listed(ledger: Ledger) -> None:
    calendar = STANDARDS.version("1.0").calendar
    ledger.go_to(2026, 11, 13, 16)
    ledger.at += timedelta(minutes=30)  # Friday: half a working hour is left
    begin = ledger.at
    request = ledger.send(sample("arrest-request/submit", ledger.at))
    ledger.go_to(2026, 11, 15, 12)
    cases = ledger.cases()
    weekend = absences(cases, calendar, ledger.at, begin)
    assert [(a.unit, a.end) for a in weekend] == []
    cases.close()
    ledger.go_to(2026, 11, 16, 11)
    cases = ledger.cases()
    assert [(a.unit, a.end, a.messages) for a in absences(cases, calendar, ledger.at, begin)] == [
        (PROCURATORATE, "", 1)
    ]
    cases.close()
    ledger.receipt(request, PROCURATORATE)
    cases = ledger.cases()
    ended = absences(cases, calendar, ledger.at, begin)
    assert [(a.unit, bool(a.end)) for a in ended] == [(PROCURATORATE, True)]
    cases.close()
