"""Rows of `deadlines.toml` one by one: from when a term runs, who must act, and what ends or moves it."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from ledger import COURT, POLICE, PROCURATORATE, STANDARDS, Ledger, sample

from frontgate.cases.records import Deadline
from frontgate.cases.rules import CaseRules
from frontgate.core.deadlines import LEGAL_TIME

CASE = "C2026520102110000000016"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path)
    yield made
    made.close()


def terms(ledger: Ledger, rule: str, part: str = "") -> list[Deadline]:
    cases = ledger.cases()
    found = [d for d in cases.deadlines_of(CASE) if d.rule == rule and (not part or d.part == part)]
    cases.close()
    return found


def last_day(term: Deadline) -> str:
    """The due moment is 24:00 of the last day."""
    due = datetime.fromisoformat(term.due_at).astimezone(LEGAL_TIME)
    return (due - timedelta(microseconds=1)).date().isoformat()


def days(ledger: Ledger, rule: str, part: str = "") -> dict[str, str]:
    """The last day of each term of a rule that is not cancelled, and its state."""
    return {last_day(d): d.state for d in terms(ledger, rule, part) if d.state != "cancelled"}


def without(text: str, element: str) -> str:
    return re.sub(rf"\s*<\w:{element}>.*?</\w:{element}>", "", text, flags=re.S)


# -- execution of an arrest: MPS 140, 142 --------------------------------------------------------


def test_the_report_of_execution_is_due_three_days_after_it_and_till_then_after_the_decision(
    ledger: Ledger,
) -> None:
    request = ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.go_to(2026, 11, 16)
    decided = ledger.exchange(sample("arrest-request/decide", ledger.at), answers=request)
    assert days(ledger, "DL-ARR-04") == {"2026-11-19": "open"}
    ledger.go_to(
        2026, 11, 25
    )  # the suspect had fled, was found on the 24th, and it is reported at once
    text = sample("arrest-request/execute", ledger.at, ExecutedOn="2026-11-24")
    ledger.exchange(text, answers=decided)
    assert days(ledger, "DL-ARR-04") == {"2026-11-27": "met"}


def test_a_report_too_long_after_the_execution_is_late(ledger: Ledger) -> None:
    request = ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.go_to(2026, 11, 16)
    decided = ledger.exchange(sample("arrest-request/decide", ledger.at), answers=request)
    ledger.go_to(2026, 11, 25)
    text = sample("arrest-request/execute", ledger.at, ExecutedOn="2026-11-17")
    ledger.exchange(text, answers=decided)
    assert days(ledger, "DL-ARR-04") == {"2026-11-20": "met-late"}


# -- notice of a changed custody term ------------------------------------------------------------


def test_the_centre_is_told_of_an_extension_before_the_old_term_ends(ledger: Ledger) -> None:
    ledger.go_to(2027, 1, 5)
    ledger.exchange(sample("custody-extension/submit", ledger.at))
    assert days(ledger, "DL-CUS-07", "extended") == {"2027-01-15": "open"}
    ledger.go_to(2027, 1, 16)
    ledger.exchange(sample("custody-term-change/submit", ledger.at))
    assert days(ledger, "DL-CUS-07", "extended") == {"2027-01-15": "met-late"}
    assert days(ledger, "DL-CUS-07", "before-expiry") == {"2027-01-15": "met-late"}


def granted(ledger: Ledger, kind: str, new_due: str, decided: str) -> None:
    request = ledger.exchange(sample("custody-extension/submit", ledger.at, ExtensionKind=kind))
    text = sample(
        "custody-extension/decide", ledger.at,
        ExtensionKind=kind, NewDue=new_due, CustodyDue=new_due, DecidedOn=decided,
    )  # fmt: skip
    ledger.exchange(text, answers=request)


def test_each_extension_of_custody_ends_the_term_before_and_runs_to_its_own_day(
    ledger: Ledger,
) -> None:
    """CPL 156, 158, 159: two months, one more, two more, two more."""
    ledger.go_to(2026, 11, 15)
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.exchange(sample("arrest-request/execute", ledger.at))
    assert days(ledger, "DL-CUS-01") == {"2027-01-15": "open"}
    ledger.go_to(2027, 1, 7)
    granted(ledger, "1", "2027-02-15", "2027-01-07")
    assert days(ledger, "DL-CUS-01") == {"2027-02-15": "open"}
    assert days(ledger, "DL-CUS-02") == {}
    assert "2027-02-08" in days(ledger, "DL-CUS-04")
    ledger.go_to(2027, 2, 5)
    granted(ledger, "2", "2027-04-15", "2027-02-05")
    assert days(ledger, "DL-CUS-01") == {"2027-02-15": "met"}
    assert days(ledger, "DL-CUS-02") == {"2027-04-15": "open"}
    ledger.go_to(2027, 4, 6)
    granted(ledger, "3", "2027-06-15", "2027-04-06")
    assert days(ledger, "DL-CUS-02") == {"2027-04-15": "met"}
    assert days(ledger, "DL-CUS-03") == {"2027-06-15": "open"}
    safe = datetime.fromisoformat(terms(ledger, "DL-CUS-03")[0].safe_due_at)
    assert safe.astimezone(LEGAL_TIME).date().isoformat() == "2027-06-15"  # its day is too late


def test_another_major_offence_counts_custody_anew(ledger: Ledger) -> None:
    """CPL 160(1): from the day on which it was found, to the day that the centre is told."""
    ledger.go_to(2026, 11, 15)
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.exchange(sample("arrest-request/execute", ledger.at))
    ledger.go_to(2027, 1, 12)
    text = sample("custody-term-change/submit", ledger.at, ChangeReason="03", NewDue="2027-03-10")
    ledger.exchange(text.replace("1128", "1127"))
    assert days(ledger, "DL-CUS-01") == {"2027-03-10": "open"}
    assert "2027-03-09" in days(ledger, "DL-CUS-06")


def test_a_refused_extension_leaves_nothing_to_tell(ledger: Ledger) -> None:
    ledger.go_to(2027, 1, 5)
    request = ledger.exchange(sample("custody-extension/submit", ledger.at))
    ledger.go_to(2027, 1, 11)
    text = sample("custody-extension/decide", ledger.at, IsApproved="false")
    text = without(without(text, "NewDue"), "CustodyDue").replace("2120", "2121")
    ledger.exchange(text, answers=request)
    assert days(ledger, "DL-CUS-07", "extended") == {"2027-01-15": "met"}


def test_a_stop_of_the_custody_term_is_told_within_three_days(ledger: Ledger) -> None:
    ledger.go_to(2027, 1, 12)
    text = sample("custody-term-change/submit", ledger.at, ChangeReason="06")
    text = text.replace(
        "<b:NewDue>2027-02-15</b:NewDue>", "<b:SuspendedFrom>2027-01-06</b:SuspendedFrom>"
    )
    ledger.exchange(text)
    assert days(ledger, "DL-CUS-07", "stop-resume") == {"2027-01-09": "met-late"}
    assert days(ledger, "DL-CUS-07", "before-expiry") == {}


# -- supervision: the term that the document sets ------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "stated", "rule"),
    [("05", "2027-02-28", "DL-SUP-05"), ("13", "2027-02-01", "DL-SUP-06")],
)
def test_a_reply_is_due_on_the_day_that_the_document_sets(
    ledger: Ledger, kind: str, stated: str, rule: str
) -> None:
    """Both days are days off: a day that a document names stands as it is."""
    ledger.go_to(2027, 1, 18)
    for flow in ("legal-supervision", "correction-supervision"):
        text = sample(f"{flow}/submit", ledger.at, SupervisionKind=kind, ReplyDue=stated)
        ledger.exchange(text.replace("2164", "2165") if kind == "13" else text)
    assert {(d.part, last_day(d)) for d in terms(ledger, rule)} == {
        ("reply", stated),
        ("correction", stated),
    }


def test_where_no_day_is_set_the_rule_counts(ledger: Ledger) -> None:
    ledger.go_to(2027, 1, 18)
    request = sample(
        "legal-supervision/submit", ledger.at, SupervisionKind="01", ReplyDue="2027-03-31"
    )
    ledger.exchange(request.replace("2164", "2160"))
    assert days(ledger, "DL-SUP-01") == {
        "2027-01-25": "open"
    }  # seven days by law, whatever is asked


# -- answers to what is urgent -------------------------------------------------------------------


@pytest.mark.parametrize(("due", "part"), [("2027-01-14", "urgent"), ("2027-01-15", "")])
def test_what_ends_custody_within_three_days_is_answered_in_four_hours(
    ledger: Ledger, due: str, part: str
) -> None:
    ledger.go_to(2027, 1, 11)
    ledger.exchange(sample("prosecution-transfer/submit", ledger.at, CustodyDue=due))
    assert [d.part for d in terms(ledger, "DL-SYS-03")] == [part]


# -- who must act --------------------------------------------------------------------------------


def test_a_term_of_an_organ_that_takes_no_part_does_not_begin(ledger: Ledger) -> None:
    """SPP rules 49 bind procuratorates: a court that holds the file has no such term."""
    ledger.go_to(2027, 2, 1)
    text = sample("file-reading/submit", ledger.at)
    ledger.exchange(text)
    assert [d.unit for d in terms(ledger, "DL-PRO-12")] == [PROCURATORATE]
    ledger.exchange(text.replace(f"<m:Receiver>{PROCURATORATE}", f"<m:Receiver>{COURT}"))
    assert [d.unit for d in terms(ledger, "DL-PRO-12")] == [PROCURATORATE]


def test_every_role_that_may_send_what_begins_a_term_can_be_held_to_it() -> None:
    """No actor is named by an organ that takes no part; state security acts where the police do."""
    rules = CaseRules(STANDARDS.version("1.0"))
    for kind in rules.catalogue.message_types:
        plan = rules.plan(kind)
        assert plan.step is not None
        roles = {*plan.step.from_roles, *plan.step.to_roles, *(c.role for c in plan.step.cc)}
        for opening in plan.starts:
            actor = set(opening.term.term.actor)
            assert "any" in actor or actor & roles, (opening.term.id, kind)
            if "police" in actor and "state-security" in roles:
                assert "state-security" in actor, (opening.term.id, kind)


# -- review for prosecution ----------------------------------------------------------------------


def test_a_case_that_is_returned_is_not_under_review(ledger: Ledger) -> None:
    ledger.go_to(2027, 1, 11)
    request = ledger.exchange(sample("prosecution-transfer/submit", ledger.at))
    ledger.go_to(2027, 1, 12)
    ledger.exchange(sample("prosecution-transfer/return", ledger.at), answers=request)
    assert set(days(ledger, "DL-PRO-03").values()) == {"met"}


def test_a_supplementary_investigation_of_a_detained_person_does_not_roll(ledger: Ledger) -> None:
    """CPL 105(4). One month from 10 January ends on 10 February, in the spring festival of 2027."""
    for custody, end in (("03", "2026-12-27"), ("06", "2026-12-28")):
        case = CASE if custody == "03" else "C2026520102110000000024"
        ledger.go_to(2026, 11, 26)
        transfer = sample("prosecution-transfer/submit", ledger.at, CustodyStatus=custody)
        ledger.exchange(transfer.replace(CASE, case))
        ledger.go_to(2026, 11, 27)
        text = sample("supplementary-investigation/submit", ledger.at).replace(CASE, case)
        ledger.exchange(text)
        cases = ledger.cases()
        found = [d for d in cases.deadlines_of(case) if d.rule == "DL-PRO-07"]
        cases.close()
        assert {last_day(d) for d in found} == {end}, custody


def test_what_the_court_missed_is_supplied_by_the_corrected_submission(ledger: Ledger) -> None:
    """The corrected case is a new instance; it names what it replaces (SPP rules 361)."""
    ledger.go_to(2027, 2, 8)
    first = ledger.exchange(sample("public-prosecution/submit", ledger.at))
    ledger.go_to(2027, 2, 22)
    ledger.exchange(sample("public-prosecution/return", ledger.at), answers=first)
    assert days(ledger, "DL-PRO-13") == {"2027-02-25": "open"}
    ledger.go_to(2027, 2, 24)
    text = sample("public-prosecution/submit", ledger.at)
    put = f"    <m:Replaces>{first}</m:Replaces>\n    <m:Sender>"
    ledger.exchange(re.sub(r"\s*<m:Sender>", "\n" + put, text, count=1))
    assert days(ledger, "DL-PRO-13") == {"2027-02-25": "met"}


def test_review_of_non_prosecution_goes_on_to_the_next_level(ledger: Ledger) -> None:
    ledger.go_to(2027, 3, 1)
    request = ledger.exchange(sample("non-prosecution-review/submit", ledger.at))
    ledger.exchange(sample("non-prosecution-review/decide", ledger.at), answers=request)
    found = terms(ledger, "DL-PRO-09", "upper-request")
    assert [(d.unit, last_day(d)) for d in found] == [(POLICE, "2027-03-08")]


def test_a_case_is_moved_within_five_days_of_the_decision(ledger: Ledger) -> None:
    ledger.go_to(2027, 1, 11)
    request = ledger.exchange(sample("prosecution-transfer/submit", ledger.at))
    ledger.go_to(2027, 1, 25)
    text = sample("prosecution-transfer/decide", ledger.at, Result="12", DecidedOn="2027-01-15")
    ledger.exchange(re.sub("<m:DocType>[^<]*", "<m:DocType>2135", text), answers=request)
    assert days(ledger, "DL-PRO-05") == {"2027-01-20": "met-late"}


# -- trial ---------------------------------------------------------------------------------------


def change_procedure(ledger: Ledger, answers: str, rule: str = "", change: str = "") -> None:
    text = sample("public-prosecution/extend", ledger.at, ProcedureChanged="true")
    if rule:
        for name, value in (("RuleId", rule), ("Change", change)):
            text = re.sub(rf"<t:{name}>[^<]*", f"<t:{name}>{value}", text)
    ledger.exchange(text.replace("3105", "3107"), answers=answers)


@pytest.mark.parametrize(
    ("procedure", "rule", "change", "ended", "begun", "end"),
    [
        ("2", "", "", "DL-TRI-03", "DL-TRI-02", "2027-05-17"),
        ("3", "DL-TRI-03", "1", "DL-TRI-04", "DL-TRI-03", "2027-04-06"),
    ],
)
def test_another_procedure_begins_its_own_term(
    ledger: Ledger, procedure: str, rule: str, change: str, ended: str, begun: str, end: str
) -> None:
    ledger.go_to(2027, 2, 24)
    request = ledger.exchange(sample("public-prosecution/submit", ledger.at))
    accepted = ledger.exchange(
        sample("public-prosecution/accept", ledger.at, Procedure=procedure), answers=request
    )
    assert {d.state for d in terms(ledger, ended)} == {"open"}
    ledger.go_to(2027, 3, 17)
    change_procedure(ledger, accepted, rule, change)
    assert {d.state for d in terms(ledger, ended)} == {"cancelled"}
    assert days(ledger, begun) == {end: "open"}


def test_only_an_adjournment_begins_a_supplementary_investigation_at_trial(ledger: Ledger) -> None:
    ledger.go_to(2027, 2, 24)
    request = ledger.exchange(sample("public-prosecution/submit", ledger.at))
    extended = sample("public-prosecution/extend", ledger.at)
    ledger.exchange(extended.replace("3105", "3107"), answers=request)
    assert terms(ledger, "DL-TRI-08") == []
    ledger.exchange(extended, answers=request)
    assert set(days(ledger, "DL-TRI-08")) == {"2027-03-24"}


def test_who_is_acquitted_in_custody_is_released_on_the_courts_word(ledger: Ledger) -> None:
    ledger.go_to(2027, 1, 11)
    ledger.exchange(sample("prosecution-transfer/submit", ledger.at))
    ledger.go_to(2027, 2, 24)
    request = ledger.exchange(sample("public-prosecution/submit", ledger.at))
    text = sample("public-prosecution/decide", ledger.at, Result="03")
    ledger.exchange(without(text, "Sentence"), answers=request)
    assert {d.unit for d in terms(ledger, "DL-TRI-09")} == {COURT}


# -- appeal and protest --------------------------------------------------------------------------


def test_a_ruling_is_appealed_within_five_days_and_a_judgment_within_ten(ledger: Ledger) -> None:
    ledger.go_to(2027, 3, 1)
    text = sample(
        "judgment-service/submit", ledger.at, ServedOn="2027-03-01", AppealDue="2027-03-11"
    )
    ledger.exchange(text)
    assert set(days(ledger, "DL-APP-01")) == {"2027-03-11"}
    ledger.exchange(text.replace("3110", "3111").replace("2027-03-11", "2027-03-08"))
    assert set(days(ledger, "DL-APP-01", "ruling")) == {"2027-03-08"}  # the 6th is a Saturday


def test_a_protest_goes_up_three_days_after_its_term_is_over(ledger: Ledger) -> None:
    """SPC interpretation 384. Received on 26 February: over on Monday 8 March, however early it came."""
    ledger.go_to(2027, 3, 1)
    text = sample("protest/submit", ledger.at)
    ledger.exchange(text)
    assert days(ledger, "DL-APP-05") == {"2027-03-11": "open"}
    ruling = sample("protest/submit", ledger.at).replace("3110", "3111")
    ledger.exchange(ruling.replace("2027）黔0102刑初12号", "2027）黔0102刑初13号"))
    assert days(ledger, "DL-APP-05", "ruling") == {"2027-03-08": "open"}


def test_a_protest_of_second_instance_and_one_for_retrial_have_terms_of_their_own(
    ledger: Ledger,
) -> None:
    ledger.go_to(2027, 3, 17)
    request = ledger.exchange(sample("protest/submit", ledger.at))
    ledger.exchange(sample("protest/accept", ledger.at), answers=request)
    assert set(days(ledger, "DL-APP-06", "protest")) == {"2027-05-17"}
    assert terms(ledger, "DL-APP-08") == []
    request = ledger.exchange(sample("protest/submit", ledger.at, AppealKind="3"))
    assert set(days(ledger, "DL-APP-08", "order")) == {"2027-05-17"}
    ledger.exchange(sample("protest/accept-retrial", ledger.at), answers=request)
    assert set(days(ledger, "DL-APP-08", "judgment")) == {"2027-06-17"}


# -- execution -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "rules"),
    [
        ("<t:PrincipalPenalty>3</t:PrincipalPenalty>", {"DL-EXE-01"}),
        ("<t:PrincipalPenalty>1</t:PrincipalPenalty>", {"DL-COR-01"}),
        (
            "<t:PrincipalPenalty>3</t:PrincipalPenalty><t:Years>2</t:Years><t:Modifier>1</t:Modifier>"
            "<t:ProbationMonths>36</t:ProbationMonths>",
            {"DL-COR-01"},
        ),
        (
            "<t:PrincipalPenalty>0</t:PrincipalPenalty><t:AdditionalPenalty>2</t:AdditionalPenalty>"
            "<t:DeprivationYears>2</t:DeprivationYears>",
            {"DL-EXE-08"},
        ),
        ("", {"DL-EXE-01"}),
    ],
)
def test_the_sentence_says_which_delivery_is_due(
    ledger: Ledger, sentence: str, rules: set[str]
) -> None:
    ledger.go_to(2027, 3, 10)
    text = sample("judgment-service/notify", ledger.at)
    if sentence:
        text = re.sub(r"<t:PrincipalPenalty>.*</t:CreditDays>", sentence, text, flags=re.S)
    else:
        text = without(text, "Sentenced")
    ledger.exchange(text)
    cases = ledger.cases()
    found = {d.rule for d in cases.deadlines_of(CASE)}
    cases.close()
    assert found & {"DL-EXE-01", "DL-EXE-08", "DL-COR-01"} == rules


def test_who_serves_in_the_detention_centre_is_brought_to_no_prison(ledger: Ledger) -> None:
    ledger.go_to(2027, 3, 10)
    text = sample("sentence-delivery/submit", ledger.at)
    ledger.exchange(text.replace("<b:ExecutionPlaceKind>1", "<b:ExecutionPlaceKind>2"))
    assert terms(ledger, "DL-EXE-02") == []
    ledger.exchange(text)
    assert set(days(ledger, "DL-EXE-02")) == {"2027-04-10"}


def test_a_commutation_moves_the_day_of_release(ledger: Ledger) -> None:
    ledger.go_to(2027, 3, 10)
    ledger.exchange(sample("sentence-delivery/submit", ledger.at))
    assert days(ledger, "DL-EXE-05") == {"2029-04-28": "open"}
    ledger.exchange(sample("prison-admission/submit", ledger.at))
    ledger.go_to(2027, 8, 1)
    request = ledger.exchange(sample("commutation-parole/submit", ledger.at))
    ledger.go_to(2027, 9, 11)
    ledger.exchange(sample("commutation-parole/decide", ledger.at), answers=request)
    assert days(ledger, "DL-EXE-05") == {"2028-12-28": "open"}
    ledger.go_to(2028, 12, 28)
    ledger.exchange(sample("offender-release/submit", ledger.at))
    assert days(ledger, "DL-EXE-05") == {"2028-12-28": "met"}


def test_life_imprisonment_has_no_day_of_release_until_it_becomes_a_fixed_term(
    ledger: Ledger,
) -> None:
    ledger.go_to(2027, 3, 10)
    ledger.exchange(sample("sentence-delivery/submit-life", ledger.at))
    assert terms(ledger, "DL-EXE-05") == []
    assert set(days(ledger, "DL-EXE-02")) == {"2027-04-10"}
    ledger.go_to(2029, 6, 6)
    text = sample("commutation-parole/submit-life", ledger.at, Receiver="52010031009")
    request = ledger.exchange(text)
    ledger.go_to(2029, 9, 11)
    text = sample("commutation-parole/decide", ledger.at, NewTermTo="2051-09-10")
    ledger.exchange(text, answers=request)
    assert days(ledger, "DL-EXE-05") == {"2051-09-10": "open"}


# -- the counting itself -------------------------------------------------------------------------


def test_custody_is_of_persons_alone(tmp_path: Path) -> None:
    from frontgate.errors import CatalogueError
    from frontgate.standard.deadlines import read_deadlines

    text = (STANDARDS.version("1.0").folder / "deadlines.toml").read_text("utf-8")
    start = text.index('id = "DL-PRO-07"')
    broken = text[:start] + text[start:].replace('per = "person"', 'per = "case"', 1)
    (tmp_path / "deadlines.toml").write_text(broken, "utf-8")
    catalogue = STANDARDS.version("1.0")
    with pytest.raises(CatalogueError, match="custody is of persons"):
        read_deadlines(tmp_path / "deadlines.toml", catalogue.message_types, catalogue.roles)


def test_what_is_sent_back_or_taken_back_leaves_its_receiver_no_term() -> None:
    """A return or withdrawal closes the instance, so it ends what the submission's receipt began."""
    rules = CaseRules(STANDARDS.version("1.0"))
    left: list[str] = []
    for term in rules.terms.values():
        flow, _, step = term.term.start.message.partition(".")
        if term.term.start.at != "delivered" or step != "submit" or term.term.lapses:
            continue
        found = rules.catalogue.flow(flow)
        for name in {"return", "withdraw"} & found.steps.keys():
            if f"{flow}.{name}" not in term.term.stop_messages:
                left.append(f"{term.id} {flow}.{name}")
    assert left == []
