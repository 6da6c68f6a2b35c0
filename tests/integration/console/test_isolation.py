"""Nobody sees what is not theirs: every URL and API, by every role, with the ids of other units."""

import re

import pytest
from console_site import CASE, OTHER_CASE, PEOPLE, Site
from ledger import OTHER_POLICE, POLICE

from frontgate.console.access import GRANTS, ROLES_OF_A_UNIT, Person, Right
from frontgate.console.app import ENDPOINTS

SECRETS = {
    "own": (CASE, "罗某", "杨某"),
    "other": (OTHER_CASE, "隔某", "离某"),
}
"""Words that only stand in what belongs to POLICE, and to OTHER_POLICE."""
DOCUMENTS = ("提请批准逮捕书", "电子卷宗")


def urls(site: Site) -> dict[str, list[str]]:
    """Every path of the console with each case's ids in it. Fails for a parameter nobody thought of."""
    ids, query = site.ids, site.ledger
    deadlines = {}
    cases = query.cases()
    for key, case in (("own", CASE), ("other", OTHER_CASE)):
        deadlines[key] = [d.id for d in cases.deadlines_of(case)][:3]
    cases.close()
    values = {
        "own": {
            "case": [CASE],
            "person": [f"{CASE}-P001"],
            "message": [ids.request, ids.failed],
            "transfer": [str(site.transfer(ids.failed)), str(site.transfer(ids.request))],
            "unit": [POLICE],
            "deadline": deadlines["own"],
            "token": ["1"],
        },
        "other": {
            "case": [OTHER_CASE],
            "person": [f"{OTHER_CASE}-P001"],
            "message": [ids.other_request, ids.other_failed],
            "transfer": [
                str(site.transfer(ids.other_failed)),
                str(site.transfer(ids.other_request)),
            ],
            "unit": [OTHER_POLICE],
            "deadline": deadlines["other"],
            "token": ["2"],
        },
    }
    fixed = {
        "page": ["index.html"],
        "question": ["copies-missing", "custody-expiring"],
        "act": ["replay", "hold", "release", "suspend", "explain", "close", "confirm"],
        "request": ["1"],
        "list": ["persons", "deadlines", "acts", "alarms", "links"],
        "decision": ["approve", "refuse"],
        "login": ["clerk"],
        "sheet": [
            "2026-10.000.json",
            "flows.csv",
            "all.xlsx",
            "units.csv",
            "outcomes.csv",
            "rates.csv",
        ],
    }
    found: dict[str, list[str]] = {"own": [], "other": []}
    for side, known in values.items():
        for endpoint in ENDPOINTS:
            if endpoint.is_api:  # by token: tests of their own
                continue
            paths = [endpoint.path]
            for name in re.findall(r"{(\w+)(?::path)?}", endpoint.path):
                choices = known.get(name) or fixed[name]
                paths = [
                    re.sub(rf"{{{name}(:path)?}}", value, path)
                    for path in paths
                    for value in choices
                ]
            found[side] += [f"{endpoint.method} {path}" for path in paths]
    return found


def words_of_others(person: Person) -> tuple[str, ...]:
    """What must never be in an answer to this person."""
    if person.units is None:
        return ()
    if person.unit == POLICE:
        return SECRETS["other"]
    if person.unit == OTHER_POLICE:
        return SECRETS["own"]
    return SECRETS["own"] + SECRETS["other"]


QUERIES = ("", "?kind=waiting&to=account:u{account}", "?kind=refused", "?kind=all", "?q={case}",
           "?unit={unit}", "?message={message}", "?q={name}")  # fmt: skip


def variants(site: Site, side: str) -> list[str]:
    own = side == "own"
    values = {
        "account": (POLICE if own else OTHER_POLICE).lower(),
        "case": CASE if own else OTHER_CASE,
        "unit": POLICE if own else OTHER_POLICE,
        "message": site.ids.failed if own else site.ids.other_failed,
        "name": "罗某" if own else "隔某",
    }
    return [q.format(**values) for q in QUERIES]


BOUNDED = sorted(
    login
    for login, (role, unit) in PEOPLE.items()
    if role != "hub-operator" or Person(login, login, role, unit).units is not None
)
"""Who has others' traffic at all: to a hub's operator all of it belongs; approvals have tests of
their own."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("login", sorted(PEOPLE))
def test_no_page_shows_what_belongs_to_others(site: Site, login: str) -> None:
    role, unit = PEOPLE[login]
    person = Person(login, login, role, unit)
    client, asked, shown = site.client(login), 0, 0
    for side, found in urls(site).items():
        for line in found:
            method, _, path = line.partition(" ")
            if method != "GET":
                continue
            for query in variants(site, side) if path.count("/") < 2 else [""]:
                answer = client.get(path + query)
                asked += 1
                shown += answer.status_code == 200
                assert answer.status_code in (200, 303, 400, 404), (login, path, query)
                for word in words_of_others(person):
                    if word in path + query:  # said again as it was asked: here, and in no table
                        assert f">{word}<" not in answer.text.replace("<option", ""), (login, path)
                        assert answer.text.count(word) <= 3, (login, path, query)
                    else:
                        assert word not in answer.text, (login, path, query, word)
                if not person.may(Right.DOCUMENTS):
                    assert not any(d in answer.text for d in DOCUMENTS) or path.startswith(
                        "/handbook"
                    ), (login, path)
    assert asked > 60
    assert shown > 5


@pytest.mark.timeout(600)
@pytest.mark.parametrize("login", BOUNDED)
def test_no_form_changes_what_belongs_to_others(site: Site, login: str) -> None:
    """Every POST with a right token but the ids of a unit that is not theirs changes nothing."""
    role, unit = PEOPLE[login]
    client = site.client(login)
    token = re.search(r'name="csrf" value="([^"]+)"', client.get("/account").text)
    assert token is not None
    before = _state(site)
    side = "own" if unit == OTHER_POLICE else "other"
    for line in urls(site)[side]:
        method, _, path = line.partition(" ")
        if method != "POST" or path in ("/logout", "/account", "/tokens"):
            continue
        form = {"csrf": token[1], "reason": "versuch eines anderen", "sure": "yes", "role": "auditor",
                "code": "01", "text": "x"}  # fmt: skip
        answer = client.post(path, data=form)
        assert answer.status_code in (303, 400, 403, 404, 409), (login, path)
        if answer.status_code == 303:
            # The committee may speak for the province about a term; nothing else goes through.
            assert role == "committee", (login, path)
    assert _state(site) == before, login


def _state(site: Site) -> list[tuple[object, ...]]:
    rows = site.ledger.query("SELECT id, state, attempt FROM transfer ORDER BY id")
    rows += site.ledger.query(
        "SELECT count(*) FROM event WHERE kind IN ('operator', 'replay', 'bulk')"
    )
    return rows + site.accounts.file.all("SELECT count(*), max(id) FROM request")


def test_every_page_asks_for_a_login(site: Site) -> None:
    with site.fresh() as client:
        for endpoint in ENDPOINTS:
            path = re.sub(r"{\w+(:path)?}", "1", endpoint.path)
            answer = client.request(endpoint.method, path)
            if endpoint.is_api:
                assert answer.status_code == 401, path
                assert answer.json()["code"] == "FG-CON-001"
            else:
                assert answer.status_code in (303, 401), path
                assert answer.headers.get("location", "/login").startswith("/login"), path
            assert CASE not in answer.text


def test_a_role_of_a_unit_without_its_unit_sees_nothing() -> None:
    for role in ROLES_OF_A_UNIT:
        assert Person("x", "x", role, "").units == frozenset()
    assert Person("x", "x", "no-such-role", "").units == frozenset()
    assert not any(Person("x", "x", "no-such-role").may(r) for r in Right)


def test_committee_and_hub_operator_are_kept_apart() -> None:
    assert Right.DOCUMENTS not in GRANTS["committee"]
    assert not {Right.CASES, Right.DOCUMENTS, Right.STATISTICS} & GRANTS["hub-operator"]
    assert not {Right.ACT, Right.APPROVE, Right.DIRECTORY, Right.CASES} & GRANTS["auditor"]


def test_a_party_sees_its_case_and_a_stranger_is_told_there_is_none(site: Site) -> None:
    assert "罗某" in site.client("clerk").get(f"/cases/{CASE}").text
    answer = site.client("stranger").get(f"/cases/{CASE}")
    nothing = site.client("stranger").get("/cases/C2026520102110000000999")
    assert (answer.status_code, nothing.status_code) == (404, 404)
    assert re.sub("C2026\\d+X?", "", answer.text) == re.sub("C2026\\d+X?", "", nothing.text)
