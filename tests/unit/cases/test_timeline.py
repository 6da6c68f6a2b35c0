"""Cases and persons out of messages alone, through real seals and the hub's own intake."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from ledger import (
    CITY_PROCURATORATE,
    COURT,
    DETENTION,
    OTHER_POLICE,
    POLICE,
    PROCURATORATE,
    STANDARDS,
    Ledger,
    dump,
    sample,
)

from frontgate.cases.acts import Acts
from frontgate.cases.project import Projector, rebuild
from frontgate.cases.read import Cases
from frontgate.cases.rules import CaseRules
from frontgate.core.identifiers import case_uid
from frontgate.errors import CaseError
from frontgate.journal import keeping, open_reader, traffic, views
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


def test_rows_do_not_depend_on_how_the_way_was_cut(ledger: Ledger, tmp_path: Path) -> None:
    request, _, decided = arrest(ledger)
    ledger.send(sample("arrest-request/execute", ledger.at), answers=decided)
    ledger.exchange(sample("prosecution-transfer/submit", ledger.at))
    ledger.exchange(sample("custody-transfer/submit", ledger.at))
    ledger.exchange(sample("case-property/submit", ledger.at))
    ledger.receipt(request, PROCURATORATE, Kind.HANDED_OVER)
    found = []
    for number, limit in enumerate((1, 3, 7, 2000)):
        path = tmp_path / f"cases-{number}.db"
        projector = Projector(ledger.state / "journal.db", path, STANDARDS)
        while projector.turn(limit):
            pass
        projector.close()
        found.append(dump(path))
    rebuild(ledger.state / "journal.db", path, STANDARDS)
    found.append(dump(path))
    assert found[0]["message"]
    assert found[0]["deadline"]
    for other in found[1:]:
        assert other == found[0]


@pytest.mark.parametrize("steps", range(1, 9))
def test_a_kill_at_any_point_changes_nothing(ledger: Ledger, tmp_path: Path, steps: int) -> None:
    """A child process projects one event a turn and is killed around a commit; the next goes on."""
    arrest(ledger)
    ledger.exchange(sample("custody-transfer/submit", ledger.at))
    killed, whole = tmp_path / "killed.db", tmp_path / "whole.db"
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from frontgate import durable\n"
        "from frontgate.cases.project import Projector\n"
        "from frontgate.standard import Standards\n"
        "left = [int(sys.argv[3])]\n"
        "def probe(when, name, places):\n"
        "    if name == 'projection commit':\n"
        "        left[0] -= 1\n"
        "        if left[0] == 0:\n"
        "            os.kill(os.getpid(), 9)\n"
        "p = Projector(Path(sys.argv[1]), Path(sys.argv[2]), Standards.load())\n"
        "durable.probe = probe\n"
        "while p.turn(1):\n"
        "    pass\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, ledger.state / "journal.db", killed, str(steps)], check=False
    )
    assert child.returncode == -9
    for path in (killed, whole):
        projector = Projector(ledger.state / "journal.db", path, STANDARDS)
        projector.catch_up()
        projector.close()
    assert dump(killed) == dump(whole)


def test_test_traffic_never_enters(ledger: Ledger) -> None:
    text = sample("arrest-request/submit", ledger.at).replace(
        "<m:Software>", "<m:TestFlag>true</m:TestFlag>\n    <m:Software>"
    )
    text = text.replace("<m:Receiver>52010221005", f"<m:Receiver>{POLICE}")
    ledger.send(text)
    assert ledger.query("SELECT count(*) FROM package WHERE test_flag = 1")[0][0] == 1
    cases = ledger.cases()
    assert cases.case(CASE) is None
    assert cases.reader.all("SELECT * FROM message") == []
    assert cases.reader.all("SELECT * FROM tally") == []
    cases.close()


def other_police(name: str, ledger: Ledger) -> str:
    """The same message as another police unit would send it, under the CaseUid of the first."""
    text = sample(name, ledger.at)
    text = text.replace(f"<m:Sender>{POLICE}", f"<m:Sender>{OTHER_POLICE}")
    return text.replace(f"<m:Receiver>{PROCURATORATE}", f"<m:Receiver>{CITY_PROCURATORATE}")


def test_a_second_opener_is_an_alarm_and_never_merged(ledger: Ledger) -> None:
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    second = ledger.exchange(other_police("arrest-request/submit", ledger))
    cases = ledger.cases()
    line = cases.timeline(CASE)
    assert line is not None
    assert [(a.kind, a.unit) for a in line.alarms] == [("case-clash", OTHER_POLICE)]
    assert [n.is_outside for n in line.nodes] == [False, True]
    assert line.case.messages == 1
    assert not cases.may_view(CASE, OTHER_POLICE)
    assert not cases.may_view(CASE, CITY_PROCURATORATE)
    assert {d.start_message for d in line.deadlines} == {line.nodes[0].id}
    cases.close()
    acts = Acts(ledger.journal, ledger.file, STANDARDS)
    with pytest.raises(CaseError, match="FG-CAS-005"):
        acts.record("admit", CASE, OTHER_POLICE, "x", code=OTHER_POLICE)
    acts.record("admit", CASE, POLICE, "陈警官", code=OTHER_POLICE, text="并案侦查")
    cases = ledger.cases()
    line = cases.timeline(CASE)
    assert line is not None
    assert line.alarms == []
    assert [n.is_outside for n in line.nodes] == [False, False]
    assert cases.may_view(CASE, OTHER_POLICE)
    assert second in {n.message_id for n in line.nodes}
    assert [(a.act, a.code) for a in line.acts] == [("admit", OTHER_POLICE)]
    cases.close()
    before = dump(ledger.file)
    rebuild(ledger.state / "journal.db", ledger.file, STANDARDS)
    assert dump(ledger.file) == before


def test_who_used_a_caseuid_before_its_owner_gets_no_view(ledger: Ledger) -> None:
    """A unit that guesses the next CaseUid of another binds nothing to itself."""
    ledger.exchange(other_police("arrest-request/submit", ledger))
    cases = ledger.cases()
    early = cases.case(CASE)
    assert early is not None
    assert not early.is_bound
    assert cases.may_view(CASE, OTHER_POLICE)
    cases.close()
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    cases = ledger.cases()
    case = cases.case(CASE)
    assert case is not None
    assert (case.owner, case.is_bound, case.messages) == (POLICE, True, 1)
    assert not cases.may_view(CASE, OTHER_POLICE)
    assert [a.kind for a in cases.alarms()] == ["case-clash"]
    cases.close()


def test_a_unit_that_nobody_brought_in_is_outside(ledger: Ledger) -> None:
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.exchange(
        sample("custody-transfer/decide", ledger.at)
    )  # the detention centre, never addressed
    cases = ledger.cases()
    assert not cases.may_view(CASE, DETENTION)
    assert [a.kind for a in cases.alarms(case_uid=CASE)] == ["outside"]
    cases.close()


def test_the_procuratorate_of_the_place_comes_in_by_jurisdiction(ledger: Ledger) -> None:
    ledger.exchange(sample("case-property/submit", ledger.at))
    text = sample("legal-supervision/submit", ledger.at)
    assert f"<m:Sender>{PROCURATORATE}" in text
    ledger.exchange(text.replace(f"<m:Sender>{PROCURATORATE}", f"<m:Sender>{CITY_PROCURATORATE}"))
    cases = ledger.cases()
    assert {p.unit: p.how for p in cases.parties(CASE)}[CITY_PROCURATORATE] == "jurisdiction"
    cases.close()


def test_the_same_person_in_two_cases_is_a_link(ledger: Ledger) -> None:
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    other = case_uid(2026, POLICE, 77)
    ledger.exchange(sample("arrest-request/submit", ledger.at).replace(CASE, other))
    cases = ledger.cases()
    assert {(link.other_uid, link.kind) for link in cases.links(CASE)} == {(other, "same-person")}
    assert {(link.other_uid, link.kind) for link in cases.links(other)} == {(CASE, "same-person")}
    cases.close()


def test_flows_are_tied(ledger: Ledger) -> None:
    arrest(ledger)
    ledger.at += timedelta(days=20)
    ledger.exchange(sample("prosecution-transfer/submit", ledger.at))
    rules = CaseRules(STANDARDS.version("1.0"))
    ledger.project()
    cases = Cases(ledger.file, rules.ties)
    assert {i.flow: i.goes_on for i in cases.instances(CASE)} == {
        "arrest-request": ["prosecution-transfer"],
        "prosecution-transfer": [],
    }
    cases.close()


def test_what_runs_ahead_of_its_order_is_flagged(ledger: Ledger) -> None:
    ledger.exchange(sample("arrest-request/decide", ledger.at, Sender=PROCURATORATE))
    cases = ledger.cases()
    line = cases.timeline(CASE)
    assert line is not None
    assert line.nodes[0].is_sequence
    cases.close()


def test_a_rebuild_after_old_entries_went_to_the_archive_is_the_same(ledger: Ledger) -> None:
    arrest(ledger)
    acts = Acts(ledger.journal, ledger.file, STANDARDS)
    ledger.project()
    acts.record("admit", CASE, POLICE, "x", code=OTHER_POLICE)
    ledger.exchange(sample("custody-transfer/submit", ledger.at))
    ledger.project()
    before = dump(ledger.file)
    with ledger.journal.write() as tx:
        seq, head = tx.head
        tx.run(
            "INSERT INTO archive VALUES (1, 'a', 1, 'x', 1, 0, 1, ?, ?, ?, x'00', ?)",
            seq - 2, head, tx.epoch, tx.now_at,
        )  # fmt: skip
        assert keeping.remove_events(tx, seq - 2, 1000) > 5
    ledger.project()
    assert dump(ledger.file)["message"] == before["message"]
    rebuild(ledger.state / "journal.db", ledger.file, STANDARDS)
    again = dump(ledger.file)
    assert {t: r for t, r in again.items() if t != "meta"} == {
        t: r for t, r in before.items() if t != "meta"
    }
    assert again["act"]


def test_receipts_of_a_message_are_not_those_of_anothers_with_the_same_id(ledger: Ledger) -> None:
    """Else a unit that repeats a MessageId in a case of its own would read who got the first one."""
    request = ledger.exchange(sample("arrest-request/submit", ledger.at))
    other = case_uid(2026, OTHER_POLICE, 77)
    text = sample(
        "arrest-request/submit", ledger.at, Sender=OTHER_POLICE, Receiver="52010021003"
    ).replace(CASE, other)
    named = f"<m:MessageId>{request}</m:MessageId>\n    <m:MessageType>"
    text = text.replace("<m:MessageType>", named, 1)
    assert ledger.send(text) == request
    reader = open_reader(ledger.state / "journal.db")
    told = views.receipts_of(reader, request, POLICE)
    assert {r["receiver"] for r in told} == {"", PROCURATORATE}
    others = views.receipts_of(reader, request, OTHER_POLICE)
    assert {r["receiver"] for r in others} <= {"", "52010021003"}
    steps = views.course(reader, request)
    assert len(steps) == 2 + len(told) + len(others)
    assert {s["from"] for s in steps if s["what"] == "admitted"} == {POLICE, OTHER_POLICE}
    first, onward = traffic.of_message(reader, request, sender=POLICE)
    assert ({t.sender for t in first}, onward) == ({POLICE}, 0)
    reader.close()
