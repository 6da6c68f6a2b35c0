"""Nothing that is looked up costs more the more cases there are: every plan goes by an index."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from ledger import POLICE, STANDARDS, Ledger, sample

from frontgate import clock
from frontgate.cases.project import Projector
from frontgate.cases.questions import Questions
from frontgate.cases.read import Cases

BIG = (
    "message",
    "recipient",
    "casefile",
    "person",
    "party",
    "outcome",
    "instance",
    "mark",
    "deadline",
)
"""Tables with a row or more for each message."""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path)
    yield made
    made.close()


def walks(db: apsw.Connection, sql: str, values: object) -> list[str]:
    """Steps of a statement's plan that read a big table from end to end."""
    plan = [str(r[3]) for r in db.execute("EXPLAIN QUERY PLAN " + sql, values)]  # type: ignore[arg-type]
    names = {f"SCAN {t}" for t in BIG}
    return [p for p in plan if p in names]


def test_projecting_walks_through_no_table(ledger: Ledger) -> None:
    """Once a person's other cases were looked for by a partial index that could not serve: each message
    cost as much as there were persons."""
    request = ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.exchange(sample("arrest-request/accept", ledger.at), answers=request)
    ledger.exchange(sample("arrest-request/decide", ledger.at), answers=request)
    projector = Projector(ledger.journal.path, ledger.file, STANDARDS)
    seen: dict[str, object] = {}
    db = projector._file._db
    db.exec_trace = lambda _, sql, values: bool(seen.setdefault(sql, values)) or True
    projector.catch_up()
    db.exec_trace = None
    found = {
        sql: walks(db, sql, values)
        for sql, values in seen.items()
        if sql.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE"))
    }
    assert len(found) > 20
    assert {s: w for s, w in found.items() if w} == {}
    projector.close()


@pytest.mark.parametrize("text", ["罗", "A5201", "520102199003150014", ""])
@pytest.mark.parametrize("unit", ["", POLICE])
def test_searching_walks_through_no_table(ledger: Ledger, text: str, unit: str) -> None:
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    cases = ledger.cases()
    seen: dict[str, object] = {}
    db = cases.reader.db
    db.exec_trace = lambda _, sql, values: bool(seen.setdefault(sql, values)) or True
    hits = cases.find(text=text, unit=unit)
    db.exec_trace = None
    assert bool(hits) == (text != "A5201")
    assert all(not walks(db, sql, values) for sql, values in seen.items())
    cases.close()


def test_a_unit_finds_its_own_case_among_very_many_of_that_name(ledger: Ledger) -> None:
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.project()
    db = apsw.Connection(str(ledger.file))
    with db:
        for n in range(2100):
            uid = f"C2026520103110000{n:07d}"
            db.execute(
                "INSERT INTO casefile (case_uid, owner, is_bound, division, opened_at, last_at, messages, name)"
                " SELECT ?, owner, 1, division, opened_at, last_at, 1, '' FROM casefile LIMIT 1",
                (uid,),
            )
            db.execute(
                "INSERT INTO person (person_uid, case_uid, name) VALUES (?, ?, '一某')",
                (uid + "-P01", uid),
            )
        own = next(iter(db.execute("SELECT case_uid FROM party WHERE unit = ?", (POLICE,))))[0]
        db.execute("UPDATE person SET name = '一某' WHERE case_uid = ?", (own,))
    db.close()
    cases = Cases(ledger.file)
    assert [c.case_uid for c in cases.find(text="一", unit=POLICE)] == [own]
    assert len(cases.find(text="一", limit=500)) == 500
    cases.close()


def test_a_count_may_end_early(ledger: Ledger) -> None:
    for _ in range(3):
        ledger.exchange(sample("arrest-request/submit", ledger.at))
    cases = ledger.cases()
    questions = Questions(STANDARDS.version(STANDARDS.newest), cases.reader)
    now = clock.now()
    counts = {q.name: questions.count(q.name, now) for q in questions.all}
    assert {n: questions.count(n, now, most=1) for n in counts} == {
        n: min(c, 1) for n, c in counts.items()
    }
    assert max(counts.values()) > 1
    cases.close()


@pytest.mark.parametrize("unit", ["", POLICE])
def test_no_question_walks_through_all_terms(ledger: Ledger, unit: str) -> None:
    """As the supervision pages ask them: a dropped index once cost one 130 ms, cold 5 s."""
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    cases = ledger.cases()
    seen: dict[str, object] = {}
    db = cases.reader.db
    db.exec_trace = lambda _, sql, values: bool(seen.setdefault(sql, values)) or True
    questions = Questions(STANDARDS.version(STANDARDS.newest), cases.reader)
    for question in questions.all:
        questions.count(question.name, clock.now(), unit=unit)
        questions.rows(question.name, clock.now(), unit=unit)
    db.exec_trace = None
    assert len(seen) >= 2 * len(questions.all)
    steps = {
        str(row[3])
        for sql, values in seen.items()
        for row in db.execute("EXPLAIN QUERY PLAN " + sql, values)  # type: ignore[arg-type]
    }
    assert any(" d USING " in s for s in steps)
    assert "SCAN d" not in steps
    cases.close()


def test_the_alarms_of_a_case_cost_nothing_of_the_province(ledger: Ledger) -> None:
    ledger.exchange(sample("arrest-request/submit", ledger.at))
    cases = ledger.cases()
    seen: dict[str, object] = {}
    db = cases.reader.db
    db.exec_trace = lambda _, sql, values: bool(seen.setdefault(sql, values)) or True
    cases.alarms(case_uid="C2026520102110000000016")
    db.exec_trace = None
    ((sql, values),) = seen.items()
    plan = [str(r[3]) for r in db.execute("EXPLAIN QUERY PLAN " + sql, values)]  # type: ignore[arg-type]
    assert plan[0].startswith("SEARCH alarm USING PRIMARY KEY (case_uid=?"), plan
    cases.close()
