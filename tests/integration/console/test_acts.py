"""What people do through the console: replay, approvals, tokens; and that looks are recorded first."""

import re
from html import unescape

import pytest
from console_site import CASE, OTHER_CASE, PASSWORD, Site, csrf_of
from crowd import crowded
from ledger import COURT, OTHER_POLICE, POLICE, longer

from frontgate.console.texts import catalogue


def test_every_look_at_a_case_is_in_the_chain(site: Site) -> None:
    client, before = site.client("clerk"), len(site.events("console-look-case"))
    assert client.get(f"/cases/{CASE}").status_code == 200
    found = site.events("console-look-case")
    assert len(found) == before + 1
    assert found[-1] == {"actor": "clerk", "role": "clerk", "case": CASE}
    client.get(f"/persons/{CASE}-P002")
    assert site.events("console-look-person")[-1]["person"] == f"{CASE}-P002"
    client.get("/cases?q=罗某")
    assert site.events("console-look-cases")[-1]["q"] == "罗某"
    before = len(site.events("console-look-overview"))
    assert CASE in client.get("/").text
    assert len(site.events("console-look-overview")) == before + 1, "the first page names cases"
    site.client("operator").get("/")
    assert len(site.events("console-look-overview")) == before + 1, "an operator's names none"


def test_a_refused_look_shows_nothing_and_a_look_that_cannot_be_kept_neither(site: Site) -> None:
    before = len(site.events("console-look-case"))
    assert site.client("stranger").get(f"/cases/{CASE}").status_code == 404
    assert len(site.events("console-look-case")) == before

    def ask() -> None:
        answer = site.client("clerk").get(f"/cases/{CASE}")
        assert answer.status_code == 503
        assert "FG-CON-004" in answer.text
        assert "罗某" not in answer.text
        with site.fresh() as client:
            assert site.log_in(client, "committee").status_code == 503, "no login unrecorded"

    site.without_hub(ask)
    assert site.client("clerk").get(f"/cases/{CASE}").status_code == 200


def test_a_failed_transfer_is_sent_again_once(site: Site) -> None:
    operator, transfer = site.client("other-operator"), site.transfer(site.ids.other_failed)
    page = operator.get(f"/transfers/{transfer}").text
    form = {"csrf": csrf_of(page), "reason": "已与对方核对", "sure": "yes"}
    assert (
        operator.post(f"/transfers/{transfer}/replay", data={**form, "reason": "x"}).status_code
        == 400
    )
    assert (
        operator.post(f"/transfers/{transfer}/replay", data={**form, "sure": ""}).status_code == 400
    )
    answer = operator.post(f"/transfers/{transfer}/replay", data=form)
    assert answer.status_code == 303
    new = int(answer.headers["location"].split("/")[2].partition("?")[0])
    rows = site.ledger.query("SELECT attempt, state FROM transfer WHERE id = ?", new)
    assert rows == [(2, "QUEUED")]
    event = site.events("replay")[-1]
    assert (event["actor"], event["reason"]) == ("console:other-operator", "已与对方核对")
    again = operator.post(f"/transfers/{transfer}/replay", data=form)
    assert "done=nothing" in again.headers["location"]
    # Held and let go again: by its sender, and by nobody else.
    for act, state in (("hold", "HELD"), ("release", "QUEUED")):
        assert operator.post(f"/transfers/{new}/{act}", data=form).status_code == 303
        assert site.ledger.query("SELECT state FROM transfer WHERE id = ?", new) == [(state,)]
    stranger = site.client("operator")
    other = {**form, "csrf": csrf_of(stranger.get("/account").text)}
    assert stranger.post(f"/transfers/{new}/hold", data=other).status_code == 404


def test_grave_acts_wait_for_a_second_person(site: Site) -> None:
    one, two = site.client("hub-one"), site.client("hub-two")
    form = {"csrf": csrf_of(one.get("/account").text), "reason": "证书疑似泄露"}
    assert one.post(f"/units/{COURT}/suspend", data=form).status_code == 303
    assert one.post(f"/units/{COURT}/suspend", data=form).status_code == 409, "it waits already"
    assert _status(site, COURT) == "active"
    number = site.accounts.file.one("SELECT max(id) FROM request")
    assert number is not None
    path = f"/approvals/{number[0]}/approve"
    assert one.post(path, data=form).status_code == 403, "not by who asked"
    auditor = site.client("auditor")
    own = {"csrf": csrf_of(auditor.get("/account").text)}
    assert auditor.post(path, data=own).status_code == 404
    assert _status(site, COURT) == "active"
    other = {"csrf": csrf_of(two.get("/account").text)}
    assert two.post(path, data=other).status_code == 303
    assert _status(site, COURT) == "suspended"
    assert two.post(path, data=other).status_code == 409
    event = site.events("unit-status")[-1]
    assert (event["actor"], event["approver"]) == ("console:hub-one", "console:hub-two")
    kinds = [e["act"] for e in site.events("console-approve")]
    assert kinds[-1] == "suspend"
    lift = {**other, "reason": "核查完毕，予以恢复"}
    assert two.post(f"/units/{COURT}/lift", data=lift).status_code == 303
    path = f"/approvals/{number[0] + 1}/approve"
    assert one.post(path, data=form).status_code == 303
    assert _status(site, COURT) == "active"


def test_a_change_of_role_and_a_bulk_replay_wait_too(site: Site) -> None:
    site.accounts.add("mover", "调岗", "clerk", POLICE, PASSWORD, must_change=False)
    one, two = site.client("hub-one"), site.client("hub-two")
    form = {"csrf": csrf_of(one.get("/account").text), "reason": "岗位调整"}
    wrong = {**form, "role": "operator", "unit": "12345"}
    assert one.post("/users/mover/role", data=wrong).status_code == 400
    assert one.post("/users/mover/role", data={**form, "role": "auditor"}).status_code == 303
    assert one.post("/failures/replay", data={**form, "kind": "no-such-flow"}).status_code == 303
    assert site.accounts.get("mover").role == "clerk"
    rows = site.accounts.file.all("SELECT id FROM request WHERE state = 'waiting' ORDER BY id")
    other = {"csrf": csrf_of(two.get("/account").text)}
    for (number,) in rows:
        assert two.post(f"/approvals/{number}/approve", data=other).status_code == 303
    assert site.accounts.get("mover").role == "auditor"
    assert site.ledger.query("SELECT count(*) FROM bulk WHERE act = 'replay'") == [(1,)]
    assert "已执行" in two.get("/approvals").text


def test_a_units_operator_makes_and_revokes_its_tokens(site: Site) -> None:
    operator = site.client("operator")
    form = {"csrf": csrf_of(operator.get("/tokens").text), "label": "办案系统"}
    page = operator.post("/tokens", data={**form, "unit": OTHER_POLICE}).text
    secret = re.search(r'id="secret">([^<]+)', page)
    assert secret is not None
    assert secret[1] not in operator.get("/tokens").text
    person = site.accounts.bearer(secret[1])
    assert person is not None
    assert person.unit == POLICE, "whatever unit the form names"
    number = person.login.partition(":")[2]
    assert operator.post(f"/tokens/{number}/revoke", data=form).status_code == 303
    assert site.accounts.bearer(secret[1]) is None


@pytest.mark.parametrize(
    ("login", "cases", "transfers"),
    [("clerk", 200, 404), ("operator", 404, 200), ("hub-one", 404, 200)],
)
def test_a_token_may_no_more_than_who_made_it(
    site: Site, login: str, cases: int, transfers: int
) -> None:
    """Else whoever runs the traffic would read the cases by a token of their own making."""
    maker = site.client(login)
    form = {"csrf": csrf_of(maker.get("/tokens").text), "label": "办案系统", "unit": POLICE}
    secret = re.search(r'id="secret">([^<]+)', maker.post("/tokens", data=form).text)
    assert secret is not None
    program = {"authorization": f"Bearer {secret[1]}"}
    with site.fresh(headers=program) as api:
        assert api.get("/api/v1/cases").status_code == cases
        assert api.get("/api/v1/transfers").status_code == transfers


def test_a_term_is_explained_closed_and_confirmed(site: Site) -> None:
    cases = site.ledger.cases()
    term = next(d for d in cases.deadlines_of(OTHER_CASE) if d.unit == OTHER_POLICE)
    cases.close()
    clerk = site.client("other-clerk")
    path = f"/deadlines/{term.id}"
    form = {"csrf": csrf_of(clerk.get(path).text), "code": "04", "text": "已按期办结，数据迟报"}
    for act in ("explain", "close"):
        assert clerk.post(f"{path}/act/{act}", data=form).status_code == 303
    assert clerk.post(f"{path}/act/confirm", data=form).status_code == 409, "not by who closed it"
    site.ledger.project()
    assert "已按期办结，数据迟报" in clerk.get(path).text
    stranger = site.client("clerk")
    other = {**form, "csrf": csrf_of(stranger.get("/account").text)}
    assert stranger.post(f"{path}/act/explain", data=other).status_code == 404


def test_every_text_stands_in_both_languages(site: Site) -> None:
    for key, (zh, en) in catalogue().items():
        assert zh.strip(), key
        assert en.strip(), key
        assert set(re.findall(r"{\w+}", zh)) == set(re.findall(r"{\w+}", en)), key
    with site.fresh(cookies={"lang": "en"}) as client:
        page = client.get("/login").text
        assert "Log in" in page
        assert 'lang="en"' in page
        chosen = client.get("/language/zh?next=/login")
        assert chosen.headers["location"] == "/login"


def _status(site: Site, unit: str) -> str:
    from frontgate.trust.store import load_trust

    return load_trust(site.home / "hub" / "keys" / "trust").directory.units[unit].status


def test_a_term_that_nobody_resumed_is_listed_with_its_beginning_and_reason(site: Site) -> None:
    clerk = site.client("clerk")
    page = clerk.get("/deadlines?kind=paused").text
    assert "精神病鉴定停止或恢复计算" in page
    assert 'datetime="2026-11-15T16:00:00.000Z"' in page
    assert CASE in page
    ident = re.search(r'href="/deadlines/(D[0-9a-f]+)"', page)
    assert ident
    for path in (f"/deadlines/{ident[1]}", f"/cases/{CASE}", "/questions/paused-unresumed"):
        assert "精神病鉴定停止或恢复计算" in clerk.get(path).text, path
    term = clerk.get(f"/deadlines/{ident[1]}").text
    assert re.search(r'<time datetime="2027-01-15T16:00[^>]*>2027-01-15</time>', term), (
        "its last day"
    )
    assert CASE not in site.client("other-clerk").get("/deadlines?kind=paused").text
    with site.api(POLICE) as api:
        rows = api.get("/api/v1/deadlines?kind=paused").json()["deadlines"]
    assert [(r["rule"], r["paused_at"]) for r in rows] == [
        ("DL-CUS-01", "2026-11-15T16:00:00.000Z")
    ]


def test_a_long_course_is_paged_on_the_page_and_in_the_api(site: Site) -> None:
    clerk = site.client("clerk")
    whole = clerk.get(f"/cases/{CASE}").text
    assert "第 1–" not in whole
    own = whole.count('<tr id="m')
    with longer(site.ledger.file, CASE, 1100), site.api(POLICE) as api:
        total = 1100 + own
        for path in (f"/cases/{CASE}", f"/persons/{CASE}-P001"):
            seen: list[str] = []
            url = path
            while url:
                page = clerk.get(url).text
                assert f"共 {total} 个" in page or "persons" in path
                assert len(page.encode()) < 300_000
                seen += re.findall('<tr id="(m[0-9]+)"', page)
                found = re.search(r'href="([^"]+)" rel="next"', page)
                url = found[1] if found else ""
            assert len(seen) == len(set(seen)) >= 1101, path
        assert site.events("console-look-case")[-1]["from"] == str(total // 100 * 100)
        for call in (f"/cases/{CASE}", f"/persons/{CASE}-P001"):
            told, onward = [], ""
            while True:
                answer = api.get(f"/api/v1{call}", params={"next": onward} if onward else {}).json()
                told += [n["message_id"] for n in answer.get("timeline", answer)["nodes"]]
                onward = answer["next"]
                if not onward:
                    break
            assert len(told) == len(set(told)) >= 1101, call


def test_long_lists_of_a_case_say_what_they_leave_off_and_where_it_is(site: Site) -> None:
    clerk, many = site.client("clerk"), 700
    assert "未列于此页" not in clerk.get(f"/cases/{CASE}").text
    with crowded(site.ledger.file, CASE, many, tied_to=OTHER_CASE), site.api(POLICE) as api:
        page = clerk.get(f"/cases/{CASE}").text
        told = api.get(f"/api/v1/cases/{CASE}").json()["left_off"]
        assert set(told) == {"persons", "deadlines", "acts", "alarms", "instances"}
        assert OTHER_CASE not in page, "ties to cases of others are neither shown nor counted"
        for name, sign in (
            ("persons", '<a href="/persons/'), ("deadlines", '<a href="/deadlines/D'),
            ("acts", "次说明"), ("alarms", "非本案单位发来报文"),
        ):  # fmt: skip
            assert f"另有 {told[name]} 项未列于此页" in page, name
            found = re.search(rf'href="(/cases/{CASE}/list/{name}[^"]+)"', page)
            assert found, name
            url, count = unescape(found[1]), 0
            while url:
                part = clerk.get(url)
                assert part.status_code == 200
                count += part.text.count(sign)
                onward = re.search(r'href="([^"]+)" rel="next"', part.text)
                url = unescape(onward[1]) if onward else ""
            assert count == told[name], name
            rows, onward = [], ""
            while True:
                query = {"next": onward} if onward else {}
                answer = api.get(f"/api/v1/cases/{CASE}/lists/{name}", params=query).json()
                rows += [str(r) for r in answer["rows"]]
                onward = answer["next"]
                if not onward:
                    break
            assert len(rows) == len(set(rows)) == answer["total"] == told[name] + 500, name
        assert api.get(f"/api/v1/cases/{CASE}/lists/links").json()["total"] == 0
        assert site.events("console-look-case")[-1]["list"] == "links"
        for login in ("stranger", "other-clerk"):
            for name in ("persons", "acts"):
                answer = site.client(login).get(f"/cases/{CASE}/list/{name}")
                assert answer.status_code == 404
                assert "众" not in answer.text
        assert clerk.get(f"/cases/{CASE}/list/message").status_code == 404
        committee = site.client("committee").get(f"/cases/{CASE}").text
        assert "/list/links" in committee


def test_tokens_of_others_push_none_out_of_the_list(site: Site) -> None:
    """However many one unit makes, another's is listed and can be revoked."""
    number, secret = site.accounts.make_token(POLICE, "办案系统", "operator")
    with site.accounts.file.write():
        site.accounts.file.run(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)"
            " INSERT INTO token (digest, unit, label, made_by, made_at) SELECT 'many' || i, ?, 'x', 'x',"
            " '2026-11-10T00:00:00.000Z' FROM n",
            OTHER_POLICE,
        )
    try:
        operator = site.client("operator")
        page = operator.get("/tokens").text
        assert f"#{number}<" in page
        other, count, url = site.client("other-operator"), 0, "/tokens"
        while url:
            text = other.get(url).text
            count += text.count("<code>#")
            onward = re.search(r'href="([^"]+)" rel="next"', text)
            url = unescape(onward[1]) if onward else ""
        assert count >= 2500
        form = {"csrf": csrf_of(page)}
        assert operator.post(f"/tokens/{number}/revoke", data=form).status_code == 303
        assert site.accounts.bearer(secret) is None
    finally:
        with site.accounts.file.write():
            site.accounts.file.run("DELETE FROM token WHERE digest LIKE 'many%'")
