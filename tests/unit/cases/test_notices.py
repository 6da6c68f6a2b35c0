"""Notices of the hub: one a term and level, valid by the standard, sealed, in the ledger, queued."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from ledger import HUB, PROCURATORATE, STANDARDS, Ledger, sample

from frontgate.hub.notices import Notices
from frontgate.journal import packages
from frontgate.pipeline.segments import SegmentStore
from frontgate.seal import open_package
from frontgate.standard import Checker
from frontgate.values import replace

COMMITTEE = "52010001002"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path)
    yield made
    made.close()


def sent(ledger: Ledger) -> list[tuple[object, ...]]:
    return ledger.query(
        "SELECT id, recipients, message_id FROM package WHERE sender = ? ORDER BY id", HUB
    )


def test_the_acting_unit_is_warned_once_a_level(ledger: Ledger) -> None:
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    store = SegmentStore(ledger.state)
    notices = Notices(
        ledger.journal, store, ledger.issuer, lambda: ledger.trust, STANDARDS.version("1.0"),
        ledger.file, lambda: None,
    )  # fmt: skip
    ledger.project()
    notices.turn()
    assert sent(ledger) == []
    levels = []
    for month, day in ((11, 12), (11, 15), (11, 16), (11, 18), (11, 19)):
        ledger.go_to(2026, month, day, 10)
        ledger.project()
        notices.turn()
        notices.turn()
        levels.append(len(sent(ledger)))
    # Two persons: yellow three days and red one day before the end of the 17th (a custody term: the
    # 16th to be safe), overdue after it; and the term of one working day to take the request in.
    assert levels[0] == 1
    assert levels == sorted(levels)
    assert levels[-1] == levels[-2]
    rows = sent(ledger)
    assert {r[1] for r in rows} == {PROCURATORATE, f"{PROCURATORATE} {COMMITTEE}"}
    assert len({r[2] for r in rows}) == len(rows)
    checker = Checker(STANDARDS)
    seen = set()
    for package_id, recipients, message_id in rows:
        place = packages.place(ledger.journal.reader(), int(str(package_id)))
        assert place is not None
        with store.open(place.path) as file:
            package = open_package(file, offset=place.offset, length=place.size_bytes)
            package.verify()
            text = package.read("message.xml", 1 << 20)
        assert not checker.check(text, files=None, minted=True).report.findings, text.decode()
        assert str(message_id).encode() in text
        level = text.split(b"<b:NoticeLevel>")[1][:1]
        # The county has no committee of its own here: the city's is told from red on.
        assert recipients == (f"{PROCURATORATE} {COMMITTEE}" if level in b"23" else PROCURATORATE)
        seen.add((text.split(b"<b:RuleId>")[1][:9], text.split(b"<b:NoticeLevel>")[1][:1]))
    assert {(b"DL-ARR-01", b"1"), (b"DL-ARR-01", b"2"), (b"DL-ARR-01", b"3")} <= seen
    states = ledger.query(
        "SELECT DISTINCT t.destination, t.state FROM transfer t JOIN package p ON p.id = t.package_id"
        " WHERE p.sender = ?", HUB,
    )  # fmt: skip
    assert sorted(states) == [
        ("account:u52010001002", "QUEUED"),
        ("account:u52010221005", "QUEUED"),
    ]
    cases = ledger.cases()
    assert cases.alarms() == []
    assert not cases.may_view("C2026520102110000000016", HUB)
    flows = {r[0] for r in cases.reader.all("SELECT flow FROM tally")}
    assert flows == {"arrest-request"}
    cases.close()
    # A term that became known after its level had passed is told of when it became known.
    before = len(rows)
    other = "C2026520102110000000024"
    late = sample("arrest-request/execute", ledger.at, StartAt="2026-09-20T09:00:00+08:00")
    ledger.exchange(late.replace("C2026520102110000000016", other))
    ledger.project()
    notices.turn()
    rows = sent(ledger)
    assert len(rows) > before
    before = len(rows)
    with ledger.journal.write() as tx:
        tx.set_meta("notices_until", "2026-11-01T00:00:00.000Z")  # as after a restore
    ledger.at += timedelta(hours=1)
    notices.turn()
    assert len(sent(ledger)) == before


def test_what_was_closed_and_confirmed_is_told_no_more(ledger: Ledger) -> None:
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    notices = Notices(
        ledger.journal, SegmentStore(ledger.state), ledger.issuer, lambda: ledger.trust,
        STANDARDS.version("1.0"), ledger.file, lambda: None,
    )  # fmt: skip
    cases = ledger.cases()
    terms = [d for d in cases.deadlines_of("C2026520102110000000016") if d.unit == PROCURATORATE]
    cases.close()
    assert terms
    with ledger.journal.write() as tx:
        for term in terms:
            tx.event("case-act", act="confirm", item=term.id, case=term.case_uid, unit=COMMITTEE)
    for day in (12, 15, 16, 18, 19):
        ledger.go_to(2026, 11, day, 10)
        ledger.project()
        notices.turn()
    told = {r[1] for r in sent(ledger)}
    assert not any(PROCURATORATE in str(r) for r in told), told


def test_no_copy_goes_to_a_unit_that_never_enrolled(ledger: Ledger) -> None:
    """Nobody would ever fetch it."""
    units = dict(ledger.directory.units)
    units[COMMITTEE] = replace(units[COMMITTEE], certificates=())
    trust = replace(ledger.trust, directory=replace(ledger.directory, units=units))
    notices = Notices(
        ledger.journal, SegmentStore(ledger.state), ledger.issuer, lambda: trust,
        STANDARDS.version("1.0"), ledger.file, lambda: None,
    )  # fmt: skip
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    for day in (12, 15, 16, 18, 19):
        ledger.go_to(2026, 11, day, 10)
        ledger.project()
        notices.turn()
    assert {r[1] for r in sent(ledger)} == {PROCURATORATE}
