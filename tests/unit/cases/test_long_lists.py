"""No list of a case ends in silence: what it leaves off is counted, and is there page by page."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import apsw
import pytest
from crowd import MARK, crowded
from ledger import OTHER_POLICE, POLICE, Ledger, sample

from frontgate import clock
from frontgate.cases.parts import MOST, PARTS
from frontgate.cases.read import Cases
from frontgate.cases.stats import rejects
from frontgate.core.identifiers import case_uid

CASE = "C2026520102110000000016"
MANY = 1100
OTHER = case_uid(2026, OTHER_POLICE, 77)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path_factory.mktemp("ledger"))
    request = ledger.exchange(sample("arrest-request/submit", ledger.at))
    ledger.at += timedelta(days=3)
    ledger.exchange(sample("arrest-request/decide", ledger.at), answers=request)
    text = sample("arrest-request/submit", ledger.at, Sender=OTHER_POLICE, Receiver="52010021003")
    ledger.exchange(text.replace(CASE, OTHER))
    ledger.project()
    clock.use(None, None)
    with crowded(ledger.file, CASE, MANY, tied_to=OTHER):
        yield ledger
    ledger.close()


@pytest.fixture
def cases(made: Ledger, tmp_path: Path) -> Iterator[Cases]:
    """A copy of its own for each test, at the ledger's time."""
    with closing(apsw.Connection(str(made.file))) as db:
        db.execute("VACUUM INTO ?", (str(tmp_path / "cases.db"),))
    made.take_time()
    found = Cases(tmp_path / "cases.db")
    yield found
    found.close()
    clock.use(None, None)


def test_a_course_says_how_many_of_each_list_it_leaves_off(cases: Cases) -> None:
    line = cases.timeline(CASE)
    assert line is not None
    assert set(line.left_off) == set(PARTS)
    for name in PARTS:
        shown = getattr(line, name)
        assert len(shown) == MOST
        assert len(shown) + line.left_off[name] == cases.part_size(name, CASE) >= MANY


@pytest.mark.parametrize("name", PARTS)
def test_every_row_of_a_list_stands_on_one_page(cases: Cases, name: str) -> None:
    rows: list[str] = []
    while page := cases.part(name, CASE, first=len(rows), limit=300):
        rows += [repr(r) for r in page]
    assert len(rows) == len(set(rows)) == cases.part_size(name, CASE)


def test_a_short_list_is_not_named_and_a_person_far_down_has_a_course(cases: Cases) -> None:
    other = cases.timeline(OTHER)
    assert other is not None
    assert other.left_off == {}
    last = f"{CASE}-P{MARK}{MANY - 1:05d}"
    own = cases.timeline(CASE, person=last)
    assert own is not None
    assert [p.name for p in own.persons] == [f"众{MANY - 1}"]
    assert [d.subject for d in own.deadlines] == [last]
    assert not {"persons", "deadlines"} & own.left_off.keys()
    assert [p.person_uid for p in cases.named(CASE, [last])] == [last]
    assert cases.named(OTHER, [last]) == []


def test_ties_are_counted_only_as_far_as_they_may_be_seen(cases: Cases) -> None:
    """A number that counted cases of others would tell that they are there."""
    assert cases.part_size("links", CASE, unit=OTHER_POLICE) == 1
    assert [k.other_uid for k in cases.links(CASE, unit=OTHER_POLICE)] == [OTHER]
    assert cases.part_size("links", CASE, unit=POLICE) == 0
    assert cases.links(CASE, unit=POLICE) == []
    line = cases.timeline(CASE, unit=OTHER_POLICE)
    assert line is not None
    assert "links" not in line.left_off


def test_an_act_behind_any_number_of_others_is_found(cases: Cases, tmp_path: Path) -> None:
    """Else five hundred explanations would keep a term from ever being confirmed."""
    path = next(tmp_path.rglob("cases.db"))
    db = apsw.Connection(str(path))
    values = (2 * 10**9, "2026-11-16T00:00:00.000Z", CASE, POLICE)
    db.execute("INSERT INTO act VALUES (?, ?, 'close', 'D0', ?, ?, 'clerk', '', '')", values)
    db.close()
    assert [a.act for a in cases.acts(item="D0", kind="close")] == ["close"]
    assert all(a.act == "explain" for a in cases.acts(item="D0"))


def test_refusals_beyond_what_is_told_are_one_row(
    cases: Cases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frontgate.cases.stats.MOST", 10)
    db = apsw.Connection(str(next(tmp_path.rglob("cases.db"))))
    columns = [r[1] for r in db.execute("PRAGMA table_info(tally_reject)")]
    for n in range(25):
        row = {"month": "2026-11", "messages": 1, "vendor": f"v{n}"}
        marks = ", ".join("?" * len(columns))
        values = tuple(row.get(c, "x") for c in columns)
        db.execute(f"INSERT INTO tally_reject VALUES ({marks})", values)
    db.close()
    rows = rejects(cases.reader)
    assert len(rows) == 10
    assert rows[-1]["vendor"] == "…"
    assert sum(r["messages"] for r in rows) == 25
