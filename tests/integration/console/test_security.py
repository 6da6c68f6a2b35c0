"""Attacks on the console: injection, forms from elsewhere, guessing, sessions, headers."""

import json
import re
import time
from urllib.parse import quote

import apsw
import httpx
import pytest
from console_site import CASE, PASSWORD, PEOPLE, Site, csrf_of

from frontgate.console.web import local_path

XSS = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'><svg/onload=alert(1)>",
    "</title><script>alert(1)</script>", "<iframe srcdoc='<script>alert(1)</script>'>",
    "javascript:alert(1)", "<a href=\"javascript:alert(1)\">x</a>", "{{7*7}}<b>", "${7*7}<b>",
    "<%= 7*7 %>", "<details open ontoggle=alert(1)>", "<math><mi//xlink:href=\"data:x,<script>\">",
    "\" autofocus onfocus=alert(1) x=\"", "' onmouseover='alert(1)", "<ScRiPt>alert(1)</ScRiPt>",
    "<svg><script>alert&#40;1&#41;</script>", "<body onload=alert(1)>", "<!--<script>-->",
    "<style>@import 'x'</style>", "<link rel=stylesheet href=//e.example>", "\u003cscript>",
    "<input onfocus=alert(1) autofocus>", "<x hx-get=/audit hx-trigger=load>", "<base href=//e>",
    "%3Cscript%3Ealert(1)%3C/script%3E",
]  # fmt: skip
SQL = [
    "' OR '1'='1", "'; DROP TABLE account; --", "1 UNION SELECT password FROM account", "\" OR 1=1 --",
    "') OR ('1'='1", "' UNION SELECT NULL,NULL,NULL --", "1; ATTACH 'x' AS y", "' AND 1=randomblob(9)",
    "\\'; --", "0x31", "' || (SELECT password FROM account) || '", "%' OR name LIKE '%", "1)) --",
    "' ORDER BY 99 --", "'; SELECT load_extension('x'); --",
]  # fmt: skip
PATHS = [
    "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "....//....//etc/passwd", "/etc/passwd", "%00",
    "..\\..\\windows\\win.ini", "%2e%2e/%2e%2e/", "accounts.db", "../static/console.css", "..;/audit",
]  # fmt: skip
PAYLOADS = XSS + SQL + PATHS


def places() -> list[tuple[str, str]]:
    """(login, where): a query, a path, a header, a name of a parameter; every kind of page."""
    found = []
    for login, path in (
        ("clerk", "/cases?q={}"), ("committee", "/deadlines?unit={}"), ("hub-one", "/units?q={}"),
        ("hub-one", "/failures?message={}"), ("auditor", "/audit?kind={}"), ("clerk", "/cases?{}=1"),
        ("clerk", "/cases/{}"), ("hub-one", "/transfers/{}"), ("clerk", "/questions/{}"),
        ("clerk", "/handbook/{}"), ("clerk", "/cases?since={}"), ("-", "/login?x={}"),
    ):  # fmt: skip
        found.append((login, path))
    return found


@pytest.mark.timeout(600)
def test_three_hundred_payloads_are_neither_echoed_nor_understood(site: Site) -> None:
    sent = 0
    before = site.accounts.all()
    for login, path in places():
        client = site.client(login) if login in PEOPLE else site.fresh()
        for payload in PAYLOADS:
            answer = client.get(path.format(quote(payload, safe="")))
            sent += 1
            assert answer.status_code in (200, 303, 400, 404, 414), (path, payload)
            _clean(answer, payload)
    for payload in PAYLOADS:
        for header in ("User-Agent", "Referer", "Accept-Language", "Cookie", "X-Forwarded-Host"):
            value = payload.encode("ascii", "ignore").decode()
            answer = site.fresh().get("/login", headers={header: f"lang={value}; next={value}"})
            sent += 1
            _clean(answer, payload)
    assert sent >= 300
    assert [a.login for a in site.accounts.all()] == [a.login for a in before]


def _clean(answer: httpx.Response, payload: str) -> None:
    text = answer.text
    assert answer.status_code < 500, (answer.request.url, payload)
    if re.search("[<>\"']", payload):
        assert payload not in text, (answer.request.url, payload)
    for sign in ("SQLError", "sqlite", "apsw", "Traceback", "syntax error", "root:x:"):
        assert sign not in text, (answer.request.url, payload, sign)
    location = answer.headers.get("location", "/")
    assert location.startswith("/"), location
    assert not location.startswith("//"), location


@pytest.mark.timeout(300)
def test_payloads_in_forms_and_what_is_kept_of_them(site: Site) -> None:
    """Reasons and labels come back on later pages: escaped, or refused."""
    operator, transfer = site.client("operator"), site.transfer(site.ids.failed)
    token = csrf_of(operator.get(f"/transfers/{transfer}").text)
    for payload in XSS[:12]:
        answer = operator.post("/tokens", data={"csrf": token, "label": payload})
        assert answer.status_code in (200, 400)
        _clean(answer, payload)
        _clean(operator.get("/tokens"), payload)
    with site.fresh() as client:
        for payload in PAYLOADS[:20]:
            page = client.get("/login")
            form = {"login": payload, "password": payload, "csrf": csrf_of(page.text)}
            answer = client.post("/login", data=form)
            assert answer.status_code in (400, 403, 429)
            _clean(answer, payload)


def test_payloads_in_names_of_accounts_and_units(site: Site) -> None:
    name = "<img src=x onerror=alert(1)>"
    site.accounts.add("named", name, "hub-operator", "", PASSWORD, must_change=False)
    text = site.client("hub-one").get("/users").text
    assert name not in text
    assert "&lt;img src=x" in text
    assert name not in site.client("named").get("/").text


EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>javascript:alert(1)"


def test_what_senders_wrote_is_text_on_every_page(site: Site) -> None:
    """Names, titles, numbers, reasons of messages: the projection holds them as they were sent."""
    places = (
        ("casefile", "name"), ("casefile", "police_no"), ("person", "name"), ("document", "title"),
        ("outcome", "doc_no"), ("outcome", "reason"),
    )  # fmt: skip
    db = apsw.Connection(str(site.ledger.file))
    db.set_busy_timeout(5000)
    terms = [str(r[0]) for r in db.execute("SELECT id FROM deadline WHERE case_uid = ?", (CASE,))]
    with db:
        for table, column in places:
            db.execute(f"UPDATE {table} SET {column} = ? || {column}", (EVIL,))
    try:
        urls = [f"/cases/{CASE}", f"/persons/{CASE}-P001", f"/cases/{CASE}/list/persons", "/cases", "/",
                "/deadlines?kind=all", "/deadlines?kind=paused", "/questions/paused-unresumed",
                *(f"/deadlines/{d}" for d in terms)]  # fmt: skip
        told = 0
        for url in urls:
            answer = site.client("clerk").get(url)
            assert answer.status_code in (200, 404), url
            told += "&lt;script&gt;" in answer.text
            assert not re.search(r"<script>|<img|onerror=alert\(1\)>", answer.text), url
            assert not re.search(r"(href|src|hx-[a-z]+)=[\"']?\s*javascript:", answer.text), url
        assert told >= 4
    finally:
        with db:
            for table, column in places:
                db.execute(f"UPDATE {table} SET {column} = substr({column}, ?)", (len(EVIL) + 1,))
        db.close()


def test_a_reason_hides_nothing_from_who_decides(site: Site) -> None:
    one = site.client("hub-one")
    form = {"csrf": csrf_of(one.get("/account").text), "kind": "no-such-flow"}
    for hidden in ("\u200f", "\u202e", "\x9b", "\u2028", "\ufeff"):
        answer = one.post("/failures/replay", data={**form, "reason": f"核对无误{hidden}恢复"})
        assert answer.status_code == 400, repr(hidden)


def test_a_bulk_replay_is_asked_for_by_legal_days_and_by_nothing_else(site: Site) -> None:
    """A text that is no time would have been compared with times, and fit all of them or none."""
    one, two = site.client("hub-one"), site.client("hub-two")
    form = {
        "csrf": csrf_of(one.get("/account").text),
        "reason": "线路恢复后重发",
        "kind": "no-such",
    }
    for wrong in ("zzz", "2026-13-01", "9", "' OR 1=1"):
        assert one.post("/failures/replay", data={**form, "until": wrong}).status_code == 400
    asked = one.post(
        "/failures/replay", data={**form, "since": "2026-11-13", "until": "2026-11-14"}
    )
    assert asked.status_code == 303
    row = site.accounts.file.one("SELECT id, params FROM request ORDER BY id DESC LIMIT 1")
    assert row is not None
    told = json.loads(row[1])
    assert told["since"] == "2026-11-12T16:00:00.000Z"
    assert told["until"] == "2026-11-13T16:00:00.000Z"
    assert "2026-11-13 00:00" in two.get("/approvals").text
    refusal = {"csrf": csrf_of(two.get("/account").text)}
    assert two.post(f"/approvals/{row[0]}/refuse", data=refusal).status_code == 303


def test_every_answer_carries_the_headers(site: Site) -> None:
    for client, path in (
        (site.client("clerk"), f"/cases/{CASE}"), (site.fresh(), "/login"), (site.fresh(), "/nothing"),
        (site.fresh(), "/api/v1/cases"),
    ):  # fmt: skip
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers


def test_no_page_has_scripts_or_styles_within_it(site: Site) -> None:
    for login, path in (("clerk", f"/cases/{CASE}"), ("committee", "/statistics"), ("hub-one", "/"),
                        ("clerk", "/handbook/arrest-request.html"), ("clerk", "/handbook/index.html")):  # fmt: skip
        text = site.client(login).get(path).text
        assert not re.search(r"<script(?![^>]*(src=|application/json))", text), path
        assert "<style" not in text, path
        assert not re.search(r"<[^>]+\sstyle=", text), path
        assert not re.search(r"<[a-z][^>]*\son[a-z]+=", text), path
        assert not re.search(r"(src|href)=\"(https?:)?//", text), path


@pytest.mark.parametrize(
    "host", ["evil.example", "", "console.test.evil.example", "127.0.0.1.evil.example", "' OR 1=1"]
)
def test_a_foreign_host_header_is_refused(site: Site, host: str) -> None:
    assert site.fresh().get("/login", headers={"Host": host}).status_code == 400


def test_a_listed_host_header_is_served(site: Site) -> None:
    assert site.fresh().get("/login", headers={"Host": "console.test"}).status_code == 200


def test_a_form_needs_its_token_and_its_origin(site: Site) -> None:
    client = site.client("operator")
    path = f"/transfers/{site.transfer(site.ids.failed)}/replay"
    token = csrf_of(client.get("/account").text)
    form = {"reason": "a good reason", "sure": "yes"}
    other = csrf_of(site.client("hub-one").get("/account").text)
    for data, headers in (
        (form, {}),
        ({**form, "csrf": ""}, {}),
        ({**form, "csrf": "x" * 43}, {}),
        ({**form, "csrf": other}, {}),
        ({**form, "csrf": token}, {"Origin": "https://evil.example"}),
        ({**form, "csrf": token}, {"Origin": "null"}),
        ({**form, "csrf": token}, {"Sec-Fetch-Site": "cross-site"}),
        ({**form, "csrf": token}, {"Sec-Fetch-Site": "same-site"}),
    ):
        answer = client.post(path, data=data, headers=headers)
        assert answer.status_code == 403, (data, headers)
        assert "FG-CON-003" in answer.text
    assert client.post(path, json={**form, "csrf": token}).status_code == 400
    assert client.get(path).status_code == 400


def test_the_login_form_cannot_be_sent_from_elsewhere(site: Site) -> None:
    with site.fresh() as client:
        form = {"login": "clerk", "password": PASSWORD, "csrf": "x" * 32}
        assert client.post("/login", data=form).status_code == 403
        page = client.get("/login")
        form["csrf"] = csrf_of(page.text)
        answer = client.post("/login", data=form, headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403
        assert "frontgate" not in client.cookies


def test_a_login_never_takes_a_session_over(site: Site) -> None:
    """A cookie that was put there before the login is worth nothing after it."""
    with site.fresh() as client:
        planted = "A" * 43
        client.cookies.set("frontgate", planted, domain="127.0.0.1")
        answer = site.log_in(client, "committee")
        assert answer.status_code == 303
        fresh = answer.cookies["frontgate"]
        assert fresh != planted
        assert len(fresh) >= 43
    with site.fresh(cookies={"frontgate": planted}) as thief:
        assert thief.get("/cases").status_code == 303


def test_flags_of_the_cookie(site: Site) -> None:
    with site.fresh() as client:
        line = site.log_in(client, "committee").headers.get_list("set-cookie")
    session = next(c for c in line if c.startswith("frontgate="))
    assert "HttpOnly" in session
    assert "SameSite=strict" in session
    assert "Path=/" in session
    assert "Max-Age" not in session


def test_logging_out_ends_the_session(site: Site) -> None:
    with site.fresh() as client:
        site.log_in(client, "committee")
        kept = client.cookies["frontgate"]
        token = csrf_of(client.get("/account").text)
        assert client.get("/logout").status_code == 400
        assert client.post("/logout", data={"csrf": token}).status_code == 303
    with site.fresh(cookies={"frontgate": kept}) as thief:
        assert thief.get("/cases").status_code == 303


def test_a_disabled_account_is_out_at_once(site: Site) -> None:
    site.accounts.add("leaver", "离岗", "auditor", "", PASSWORD, must_change=False)
    client = site.client("leaver")
    assert client.get("/users").status_code == 200
    site.accounts.set_active("leaver", False)
    assert client.get("/users").status_code == 303
    with site.fresh() as again:
        assert site.log_in(again, "leaver").status_code == 403


def test_a_first_password_must_be_changed_before_anything_else(site: Site) -> None:
    site.accounts.add("newcomer", "新人", "auditor", "", PASSWORD, must_change=True)
    with site.fresh() as client:
        assert site.log_in(client, "newcomer").headers["location"].startswith("/account")
        assert client.get("/users").headers["location"].startswith("/account")
        token = csrf_of(client.get("/account").text)
        other = site.fresh()
        site.log_in(other, "newcomer")
        form = {"csrf": token, "old": PASSWORD, "new": "short", "again": "short"}
        assert client.post("/account", data=form).status_code == 400
        form |= {"new": "a much longer secret", "again": "a much longer secret"}
        assert client.post("/account", data={**form, "old": "wrong wrong wrong"}).status_code == 403
        assert client.post("/account", data=form).status_code == 303
        assert client.get("/users").status_code == 200
        assert other.get("/account").status_code == 303, "other sessions end with the old password"


def test_guessing_is_slowed_down(site: Site) -> None:
    site.accounts.add("target", "目标", "auditor", "", PASSWORD, must_change=False)
    with site.fresh() as client:
        answers = [
            site.log_in(client, "target", f"wrong password {n}").status_code for n in range(7)
        ]
        assert answers[:5] == [403] * 5
        assert 429 in answers
        last = site.log_in(client, "target")
        assert last.status_code == 429, "the right password has to wait too"
        assert int(last.headers["retry-after"]) > 0
    assert any(e["actor"] == "target" for e in site.events("console-login-refused"))
    site.accounts.set_password("target", PASSWORD)
    with site.fresh() as client:
        assert site.log_in(client, "target").status_code == 303


def test_an_unknown_login_takes_as_long_and_says_the_same(site: Site) -> None:
    def tried(login: str) -> tuple[float, str]:
        with site.fresh() as client:
            page = client.get("/login")
            began = time.monotonic()
            answer = client.post(
                "/login",
                data={"login": login, "password": "nonsense nonsense", "csrf": csrf_of(page.text)},
            )
            found = re.search(r"FG-CON-\d+|<strong>[^<]+</strong>(?=<br>)", answer.text)
            return time.monotonic() - began, found[0] if found else ""

    tried("nobody-at-all")  # the first makes the dummy hash
    unknown, known = tried("nobody-at-all"), tried("auditor")
    assert unknown[1] == known[1]
    assert unknown[0] > known[0] / 5
    site.accounts.set_password("auditor", PASSWORD)


def test_secrets_are_kept_as_digests_only(site: Site) -> None:
    client = site.client("clerk")
    secret = client.cookies["frontgate"]
    data = b"".join(
        p.read_bytes()
        for p in site.ledger.state.glob("accounts.db*")
        if not p.name.endswith("-shm")
    )
    assert secret.encode() not in data
    assert PASSWORD.encode() not in data
    assert not any(t.encode() in data for t in site.tokens.values())
    assert b"$argon2id$" in data
    assert (site.ledger.state / "accounts.db").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("size", [70_000, 10_000_000])
def test_a_large_form_is_refused(site: Site, size: int) -> None:
    answer = site.fresh().post("/login", data={"login": "x" * size})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("given", "expected"),
    [("/cases?q=1", "/cases?q=1"), ("//evil.example", "/"), ("/\\evil.example", "/"), ("https://evil", "/"),
     ("/x\r\nSet-Cookie: a=b", "/"), ("javascript:alert(1)", "/"), ("", "/")],
)  # fmt: skip
def test_no_way_leads_to_another_site(given: str, expected: str) -> None:
    assert local_path(given) == expected


def test_an_unexpected_error_says_nothing_of_itself(site: Site) -> None:
    moved = site.ledger.state / "cases.away"
    site.ledger.file.rename(moved)
    try:
        answer = site.client("clerk").get("/cases")
        assert answer.status_code == 503
        assert "FG-CON-021" in answer.text
    finally:
        moved.rename(site.ledger.file)
