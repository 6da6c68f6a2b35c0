"""Terms armed, moved and stopped by messages: both times, both views, persons apart."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ledger import COURT, POLICE, PROCURATORATE, STANDARDS, Ledger, sample

from frontgate.cases.acts import Acts
from frontgate.cases.questions import Questions
from frontgate.cases.read import Cases
from frontgate.cases.records import Deadline
from frontgate.cases.rules import CaseRules
from frontgate.cases.then import as_known_then
from frontgate.cases.times import last_of_term, stored
from frontgate.core.deadlines import LEGAL_TIME
from frontgate.errors import CaseError

CASE = "C2026520102110000000016"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path)
    yield made
    made.close()


def terms(ledger: Ledger, rule: str) -> list[Deadline]:
    cases = ledger.cases()
    found = [d for d in cases.deadlines_of(CASE) if d.rule == rule]
    cases.close()
    return found


def day(at: str) -> str:
    return datetime.fromisoformat(at).astimezone(LEGAL_TIME).date().isoformat()


def test_a_term_from_receipt_runs_from_delivery(ledger: Ledger) -> None:
    request = ledger.send(sample("arrest-request/submit", ledger.at))
    assert terms(ledger, "DL-ARR-01") == []
    ledger.at += timedelta(days=1)
    delivered = ledger.at
    ledger.receipt(request, PROCURATORATE)
    found = terms(ledger, "DL-ARR-01")
    assert sorted(d.subject[-4:] for d in found) == ["P001", "P002"]
    assert {d.start_at for d in found} == {stored(delivered)}
    assert {d.unit for d in found} == {PROCURATORATE}
    assert {day(d.due_at) for d in found} == {"2026-11-19"}  # seven days from the 11th, to its end


def test_persons_are_counted_apart(ledger: Ledger) -> None:
    """A decision on one of two persons stops that person's term alone."""
    request = ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.go_to(2026, 11, 14)
    text = sample("arrest-request/decide", ledger.at)
    first = text.index("<b:Decided>", text.index("<b:Decided>") + 5)
    last = text.index("</b:Decided>", first) + len("</b:Decided>")
    text = text[:first] + text[last:]
    text = text.replace(f"    <m:PersonUid>{CASE}-P002</m:PersonUid>\n", "")
    ledger.exchange(text, answers=request)
    states = {d.subject[-4:]: d.state for d in terms(ledger, "DL-ARR-01")}
    assert states == {"P001": "met", "P002": "open"}


def test_a_custody_term_does_not_roll_and_another_does(ledger: Ledger) -> None:
    """The tenth day is a Sunday. 2026-11-22 ends the custody term; bail-like terms go to Monday."""
    ledger.go_to(2026, 11, 15)
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    assert {day(d.due_at) for d in terms(ledger, "DL-ARR-01")} == {
        "2026-11-23"
    }  # ends Sunday 24:00
    text = sample("arrest-request/submit", ledger.at, IsDetained="false")
    ledger.exchange(text.replace(CASE, "C2026520102110000000024"))
    cases = ledger.cases()
    rolled = cases.reader.all(
        "SELECT due_at, start_at FROM deadline WHERE rule = 'DL-ARR-02' AND case_uid <> ?", CASE
    )
    cases.close()
    assert {day(str(start)) for _, start in rolled} == {"2026-11-15"}
    assert {day(str(due)) for due, _ in rolled} == {"2026-12-01"}  # 15 days: Monday 30 November


def test_a_late_message_counts_as_if_it_had_come_in_time_and_both_views_stay(
    ledger: Ledger,
) -> None:
    request = ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.go_to(2026, 11, 19)
    before = ledger.at
    cases = ledger.cases()
    assert {d.level(stored(before)) for d in cases.due(before, overdue_only=True)} == {"overdue"}
    cases.close()
    ledger.go_to(2026, 11, 20)
    decided = datetime(2026, 11, 16, 2, 0, tzinfo=UTC)
    ledger.exchange(sample("arrest-request/decide", decided), answers=request)
    now = terms(ledger, "DL-ARR-01")
    assert {d.state for d in now} == {"met"}
    assert {d.stop_at for d in now} == {stored(decided)}
    assert {day(d.stop_known_at) for d in now} == {"2026-11-20"}
    cases = ledger.cases()
    then = [d for d in as_known_then(cases, STANDARDS, CASE, before) if d.rule == "DL-ARR-01"]
    again = [d for d in as_known_then(cases, STANDARDS, CASE, ledger.at) if d.rule == "DL-ARR-01"]
    cases.close()
    assert {d.level(stored(before)) for d in then} == {"overdue"}
    assert {(d.id, d.state) for d in again} == {(d.id, "met") for d in now}


def test_what_came_after_the_end_is_met_late_for_ever(ledger: Ledger) -> None:
    request = ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.go_to(2026, 11, 25)
    ledger.exchange(sample("arrest-request/decide", ledger.at), answers=request)
    assert {d.state for d in terms(ledger, "DL-ARR-01")} == {"met-late"}


def test_the_order_of_arrival_plays_no_part(ledger: Ledger) -> None:
    """The decision's data come before those of the request."""
    early = datetime(2026, 11, 12, 2, 0, tzinfo=UTC)
    ledger.go_to(2026, 11, 13)
    flow = "<m:FlowUid>11111111-2222-4333-8444-555555555555</m:FlowUid>"
    put = ("</m:MessageType>", f"</m:MessageType>\n    {flow}")
    ledger.exchange(sample("arrest-request/decide", early).replace(*put, 1))
    request = sample("arrest-request/submit", datetime(2026, 11, 10, 1, 0, tzinfo=UTC))
    ledger.send(request.replace(*put, 1))
    message = str(ledger.query("SELECT message_id FROM package ORDER BY id DESC LIMIT 1")[0][0])
    ledger.receipt(message, PROCURATORATE, at=datetime(2026, 11, 10, 1, 5, tzinfo=UTC))
    # A gateway's word on time is not believed before the hub relayed: delivery is of the 13th, and
    # the decision of the 12th is the answer all the same.
    found = terms(ledger, "DL-ARR-01")
    assert {day(d.start_at) for d in found} == {"2026-11-13"}
    assert sorted((d.subject[-4:], d.state) for d in found) == [("P001", "met"), ("P002", "met")]
    request_terms = terms(ledger, "DL-INV-04")
    assert {d.state for d in request_terms} == {"met"}


def test_extension_and_pause_move_the_end(ledger: Ledger) -> None:
    ledger.exchange(sample("prosecution-transfer/submit", ledger.at))
    first = terms(ledger, "DL-PRO-03")
    assert {day(d.due_at) for d in first} == {"2026-12-11"}
    ledger.go_to(2026, 12, 1)
    flow = str(ledger.query("SELECT flow_uid FROM package LIMIT 1")[0][0])
    put = ("</m:MessageType>", f"</m:MessageType>\n    <m:FlowUid>{flow}</m:FlowUid>")

    def change(kind: str, due: str) -> None:
        text = sample(
            "prosecution-transfer/extend", ledger.at, RuleId="DL-PRO-03", Change=kind, DueAt=due
        )
        ledger.exchange(text.replace(*put, 1))

    change("extend", "2026-12-25T23:59:59+08:00")
    extended = terms(ledger, "DL-PRO-03")
    assert {day(d.due_at) for d in extended} == {"2026-12-26"}
    assert not any(d.is_beyond for d in extended)
    ledger.go_to(2026, 12, 5)
    change("pause", "2026-12-25T23:59:59+08:00")
    assert {d.state for d in terms(ledger, "DL-PRO-03")} == {"paused"}
    cases = ledger.cases()
    listed = cases.paused(unit=PROCURATORATE)
    assert {(d.rule, day(d.paused_at), d.pause_reason) for d in listed} == {
        ("DL-PRO-03", "2026-12-05", "筑南检延〔2027〕3号")
    }
    assert cases.paused(unit=COURT) == []
    assert cases.paused(after=(listed[-1].paused_at, listed[-1].id)) == []
    assert cases.due(ledger.at + timedelta(days=300)) != []
    assert "DL-PRO-03" not in {d.rule for d in cases.due(ledger.at + timedelta(days=300))}
    cases.close()
    ledger.go_to(2026, 12, 15)
    change("resume", "2026-12-25T23:59:59+08:00")
    resumed = terms(ledger, "DL-PRO-03")
    assert {d.state for d in resumed} == {"open"}
    assert {(d.paused_at, d.pause_reason) for d in resumed} == {("", "")}
    assert {day(d.due_at) for d in resumed} == {"2027-01-05"}
    ledger.go_to(2026, 12, 16)
    change("extend", "2027-06-30T23:59:59+08:00")
    assert all(d.is_beyond for d in terms(ledger, "DL-PRO-03"))
    assert {day(d.due_at) for d in terms(ledger, "DL-PRO-03")} == {"2027-01-05"}


def test_a_pause_that_nobody_ended_is_a_question_with_its_beginning_and_reason(
    ledger: Ledger,
) -> None:
    """A code where the message states one; where it states nothing, what kind of message it was."""
    request = ledger.exchange(sample("arrest-request/submit", ledger.at))
    decided = ledger.exchange(sample("arrest-request/decide", ledger.at), answers=request)
    ledger.exchange(sample("arrest-request/execute", ledger.at), answers=decided)
    ledger.go_to(2026, 11, 20)
    text = sample("custody-term-change/submit", ledger.at, ChangeReason="06")
    text = text.replace(
        "<b:NewDue>2027-02-15</b:NewDue>", "<b:SuspendedFrom>2026-11-18</b:SuspendedFrom>"
    )
    ledger.exchange(text)
    cases, asked = questions(ledger)
    rows = asked.rows("paused-unresumed", ledger.at)
    assert [(r["rule"], r["person_uid"], r["reason"]) for r in rows] == [
        ("DL-CUS-01", f"{CASE}-P001", "custody-change-reason:06")
    ]
    assert day(rows[0]["since"]) == "2026-11-18"
    assert asked.count("paused-unresumed", ledger.at, unit=COURT) == 0
    cases.close()


@pytest.mark.parametrize(
    ("due_at", "shown"),
    [
        ("2026-11-30T16:00:00.000Z", "2026-11-30"),
        ("2026-12-31T16:00:00.000Z", "2026-12-31"),
        ("2026-11-30T19:00:00.000Z", "2026-12-01 03:00"),
        ("2026-11-30T15:59:00.000Z", "2026-11-30 23:59"),
    ],
)
def test_the_end_of_a_term_is_told_by_its_last_day_in_legal_time(due_at: str, shown: str) -> None:
    assert last_of_term(due_at) == shown


def test_a_right_lapses_and_makes_nobody_late(ledger: Ledger) -> None:
    request = ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.exchange(sample("arrest-request/decide", ledger.at), answers=request)
    ledger.go_to(2026, 12, 20)
    review = terms(ledger, "DL-ARR-05")
    assert {d.level(stored(ledger.at)) for d in review} == {"lapsed"}
    cases = ledger.cases()
    assert "DL-ARR-05" not in {d.rule for d in cases.due(ledger.at)}
    assert "DL-ARR-04" in {d.rule for d in cases.due(ledger.at, overdue_only=True)}
    cases.close()


def test_every_term_of_the_standard_is_armed_by_data_or_known_as_unseen() -> None:
    rules = CaseRules(STANDARDS.version("1.0"))
    unseen = {t.term.start.event for t in rules.terms.values() if not rules.is_armed(t)}
    assert "" not in unseen
    armed = [t.id for t in rules.terms.values() if rules.is_armed(t)]
    assert len(armed) + len(unseen) >= 100
    assert {"DL-CUS-01", "DL-SYS-03/0", "DL-SYS-03/urgent", "DL-SYS-04", "DL-INV-01"} <= set(armed)


def overdue(ledger: Ledger) -> tuple[Cases, Deadline]:
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.go_to(2026, 12, 1)
    cases = ledger.cases()
    return cases, next(d for d in cases.due(ledger.at, overdue_only=True) if d.rule == "DL-ARR-01")


def test_the_acting_unit_closes_and_a_second_party_confirms(ledger: Ledger) -> None:
    cases, item = overdue(ledger)
    cases.close()
    acts = Acts(ledger.journal, ledger.file, STANDARDS)
    for kind, unit, code, text, refusal in (
        ("explain", POLICE, "01", "x", "FG-CAS-002"),
        ("explain", PROCURATORATE, "77", "x", "FG-CAS-006"),
        ("explain", PROCURATORATE, "01", " ", "FG-CAS-006"),
        ("confirm", PROCURATORATE, "", "", "FG-CAS-003"),
        ("confirm", COURT, "", "", "FG-CAS-005"),
        ("confirm", POLICE, "", "", "FG-CAS-004"),
        ("invent", POLICE, "", "", "FG-CAS-001"),
    ):
        with pytest.raises(CaseError, match=refusal):
            acts.record(kind, item.id, unit, "甲", code, text)
    acts.record("explain", item.id, PROCURATORATE, "李检察官", "01", "案情重大\x07复杂")
    acts.record("close", item.id, PROCURATORATE, "李检察官", "04", "已于期限内决定")
    ledger.project()
    with pytest.raises(CaseError, match="FG-CAS-003"):
        acts.record("confirm", item.id, POLICE, "李检察官")  # the same person, in another unit now
    acts.record("confirm", item.id, POLICE, "陈警官")
    cases = ledger.cases()
    assert [(a.act, a.actor) for a in cases.acts(item=item.id)] == [
        ("explain", "李检察官"), ("close", "李检察官"), ("confirm", "陈警官"),
    ]  # fmt: skip
    assert cases.acts(item=item.id)[0].text == "案情重大 复杂"
    assert item.id not in {d.id for d in cases.due(ledger.at)}
    line = cases.timeline(CASE)
    assert line is not None
    assert len(line.acts) == 3
    cases.close()


def questions(ledger: Ledger) -> tuple[Cases, Questions]:
    cases = ledger.cases()
    return cases, Questions(STANDARDS.version("1.0"), cases.reader)


def test_questions_name_the_cases_that_must_appear_and_no_other(ledger: Ledger) -> None:
    other = "C2026520102110000000024"
    ledger.exchange(sample("arrest-request/submit", ledger.at).replace(CASE, other))
    request = ledger.exchange(sample("arrest-request/submit", ledger.at))
    decided = ledger.exchange(sample("arrest-request/decide", ledger.at), answers=request)
    cases, asked = questions(ledger)

    def found(name: str) -> set[str]:
        return {r["case_uid"] for r in asked.rows(name, ledger.at)}

    assert found("detained-undecided") == {other}
    assert found("decided-unexecuted") == {CASE}
    assert found("custody-expiring") == {CASE, other}
    assert asked.count("detained-undecided", ledger.at) == 2
    assert asked.count("detained-undecided", ledger.at, unit=PROCURATORATE) == 2
    assert asked.count("detained-undecided", ledger.at, unit=COURT) == 0
    cases.close()
    ledger.send(sample("arrest-request/execute", ledger.at), answers=decided)
    cases, asked = questions(ledger)
    assert found("decided-unexecuted") == set()
    assert CASE not in {
        r["case_uid"]
        for r in asked.rows("custody-expiring", ledger.at)
        if r["person_uid"].endswith("P002")
    }
    cases.close()


def test_property_and_correction_and_copies_are_asked_for(ledger: Ledger) -> None:
    ledger.exchange(sample("case-property/submit", ledger.at))
    cases, asked = questions(ledger)
    assert asked.rows("property-undisposed", ledger.at) == []
    cases.close()
    ledger.exchange(sample("public-prosecution/submit", ledger.at))
    ledger.exchange(sample("judgment-service/notify", ledger.at))
    ledger.send(sample("correction-admission/submit", ledger.at))
    cases, asked = questions(ledger)
    assert asked.count("property-undisposed", ledger.at) > 0
    assert asked.rows("correction-late", ledger.at) == []
    assert asked.rows("copies-missing", ledger.at) == []
    late = datetime(2028, 1, 1, tzinfo=UTC)
    assert {r["person_uid"][-4:] for r in asked.rows("correction-late", late)} <= {"P001", "P002"}
    assert asked.count("correction-late", late) > 0
    missing = {r["unit"] for r in asked.rows("copies-missing", late)}
    assert PROCURATORATE in missing
    cases.close()
    ledger.exchange(sample("case-property/execute", ledger.at))
    cases, asked = questions(ledger)
    disposed = {
        str(r[0])
        for r in cases.reader.all("SELECT property_uid FROM property WHERE disposal <> ''")
    }
    assert disposed
    still = {r["property_uid"] for r in asked.rows("property-undisposed", ledger.at)}
    assert not still & disposed
    cases.close()


def test_returned_more_than_twice_is_listed(ledger: Ledger) -> None:
    for number in range(3):
        cases, asked = questions(ledger)
        assert asked.rows("returned-often", ledger.at) == []
        cases.close()
        request = ledger.exchange(sample("arrest-request/submit", ledger.at))
        ledger.exchange(sample("arrest-request/return", ledger.at), answers=request)
        assert number < 3
    cases, asked = questions(ledger)
    rows = asked.rows("returned-often", ledger.at)
    assert [(r["case_uid"], r["times"]) for r in rows] == [(CASE, 3)]
    cases.close()
