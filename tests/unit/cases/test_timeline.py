"""Cases and persons out of messages alone, through real seals and the hub's own intake."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from ledger import COURT, POLICE, PROCURATORATE, Ledger, dump, sample

from frontgate.model.receipt import Kind

CASE = "C2026520102110000000016"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path)
    yield made
    made.close()


def arrest(ledger: Ledger) -> tuple[str, str, str]:
    """A request, its acceptance and decision."""
    request = ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.at += timedelta(hours=2)
    ledger.exchange(sample("arrest-request/accept", ledger.at), answers=request)
    ledger.at += timedelta(days=3)
    decided = ledger.exchange(sample("arrest-request/decide", ledger.at), answers=request)
    return request, "", decided


def test_a_case_is_told_from_its_messages(ledger: Ledger) -> None:
    request, _, decided = arrest(ledger)
    ledger.receipt(request, PROCURATORATE, Kind.HANDED_OVER)
    cases = ledger.cases()
    line = cases.timeline(CASE)
    assert line is not None
    assert line.case.owner == POLICE
    assert line.case.is_bound
    assert line.case.name == "罗某、杨某盗窃案"
    assert line.case.police_no == "A5201021200002026110001"
    assert line.case.stage == "25"
    assert [p.name for p in line.persons] == ["罗某", "杨某"]
    assert [n.type.partition(".")[2] for n in line.nodes] == ["submit", "accept", "decide"]
    first = line.nodes[0]
    assert first.message_id == request
    assert first.relayed_at >= first.effective_at
    assert first.receivers[0].delivered_at
    assert first.receivers[0].handed_at
    assert [d.title for d in first.documents] == ["提请批准逮捕书", "电子卷宗（整卷）", "拘留证"]
    outcomes = {o.person_uid[-4:]: (o.code, o.doc_no) for o in line.nodes[2].outcomes}
    assert outcomes == {
        "P001": ("01", "筑南检捕〔2026〕201号"),
        "P002": ("12", "筑南检不捕〔2026〕57号"),
    }
    assert decided == line.nodes[2].message_id
    assert {p.unit: p.how for p in line.parties} == {POLICE: "owner", PROCURATORATE: "receiver"}
    assert cases.find(text="罗某")[0].case_uid == CASE
    assert cases.find(text="520102199411020032")[0].case_uid == CASE
    assert cases.find(unit=COURT) == []
    cases.close()
    assert dump(ledger.file)


def test_a_person_has_a_course_of_its_own(ledger: Ledger) -> None:
    arrest(ledger)
    cases = ledger.cases()
    first = cases.timeline(CASE, person=f"{CASE}-P001")
    assert first is not None
    assert [p.custody for p in first.persons] == ["02"]
    assert first.persons[0].custody_due == "2026-11-15"
    assert {d.subject for d in first.deadlines} == {f"{CASE}-P001"}
    second = cases.person(f"{CASE}-P002")
    assert second is not None
    assert second.stage == "10"
    cases.close()
