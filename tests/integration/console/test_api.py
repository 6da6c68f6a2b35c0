"""The API: what a unit's token opens, what it does not, and that the document tells the truth."""

import re
import zipfile
from io import BytesIO

import openpyxl
import pytest
import schemathesis
from console_site import CASE, OTHER_CASE, Site
from hypothesis import HealthCheck, given, settings
from ledger import COURT, OTHER_POLICE, POLICE

from frontgate.cases.sheets import to_csv, to_xlsx
from frontgate.console.api import CALLS, ROOT, document, pack, unpack
from frontgate.errors import ConsoleError


@pytest.mark.timeout(300)
def test_the_api_passes_schemathesis(site: Site) -> None:
    schema = schemathesis.openapi.from_dict(document())
    headers = {"Authorization": f"Bearer {site.tokens[POLICE]}"}
    tried = 0

    for result in schema.get_all_operations():
        operation = result.ok()

        strategy = operation.as_strategy()

        @settings(
            max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None
        )
        @given(case=strategy)
        def check(case: schemathesis.Case) -> None:
            nonlocal tried
            tried += 1
            case.call_and_validate(base_url=site.url, headers=headers)

        check()
    assert tried >= 100


def test_a_token_reads_its_units_case_and_no_other(site: Site) -> None:
    with site.api(POLICE) as api:
        listed = api.get(f"{ROOT}/cases").json()
        assert [c["case_uid"] for c in listed["cases"]] == [CASE]
        found = api.get(f"{ROOT}/cases/{CASE}").json()
        assert found["case"]["name"] == "罗某、杨某盗窃案"
        assert found["nodes"][0]["documents"]
        assert api.get(f"{ROOT}/persons/{CASE}-P001").json()["person"]["name"] == "罗某"
        receipts = api.get(f"{ROOT}/cases/{CASE}/receipts/{site.ids.request}").json()["receipts"]
        assert {r["kind"] for r in receipts} >= {"delivered", "handed-over"}
        assert api.get(f"{ROOT}/statistics/flows").json()["rows"]
        assert site.events("console-look-case")[-1]["role"] == "token"
        assert api.get(f"{ROOT}/messages/{site.ids.request}/transfers").status_code == 200
        assert site.events("console-look-transfer")[-1]["message"] == site.ids.request
    rows = {c.path for c in CALLS}
    assert len(rows) >= 12


@pytest.mark.parametrize("unit", [OTHER_POLICE, COURT])
def test_no_call_shows_what_belongs_to_others(site: Site, unit: str) -> None:
    values = {"case": CASE, "person": f"{CASE}-P001", "message": site.ids.request, "unit": POLICE,
              "transfer": str(site.transfer(site.ids.failed)), "question": "custody-expiring", "table": "outcomes", "list": "persons"}  # fmt: skip
    with site.api(unit) as api:
        for call in CALLS:
            path = ROOT + re.sub(r"{(\w+)}", lambda m: values[m[1]], call.path)
            for query in ("", "?q=罗某"):
                if query and "q" not in call.query:
                    continue
                answer = api.get(path + query)
                assert answer.status_code in (200, 404), path
                text = answer.text
                for word in ("罗某", "杨某", CASE):
                    if word in path + query:
                        assert answer.status_code == 404 or word not in text, path
                    else:
                        assert word not in text, (path, word)
        if unit == OTHER_POLICE:
            assert [c["case_uid"] for c in api.get(f"{ROOT}/cases").json()["cases"]] == [OTHER_CASE]


def test_without_a_good_token_there_is_nothing(site: Site) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"},
                    {"Authorization": f"Bearer {'x' * 47}"}):  # fmt: skip
        with site.fresh(headers=headers) as api:
            answer = api.get(f"{ROOT}/cases")
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
    # A session of the pages opens no call of the API, and a token no page.
    assert site.client("clerk").get(f"{ROOT}/cases").status_code == 401
    with site.api(POLICE) as api:
        assert api.get("/cases").status_code == 303


@pytest.mark.parametrize("word", ["x", "W10", "bnVsbA", "WyJhIiwgMV0", "!!", "WzFd" * 30,
                                  pack("\ud800", "x"), pack("x", "a\x00b"), pack("x", "y" * 101)])  # fmt: skip
def test_a_forged_page_word_is_refused(word: str) -> None:
    with pytest.raises(ConsoleError):
        unpack(word, (str, str))


def test_a_page_word_comes_back() -> None:
    assert unpack(pack("2026-11-10T01:00:00.000Z", CASE), (str, str)) == (
        "2026-11-10T01:00:00.000Z",
        CASE,
    )


def test_sheets_are_sheets_and_no_cell_is_a_formula(site: Site) -> None:
    client = site.client("committee")
    answer = client.get("/statistics/flows.csv")
    assert answer.content.startswith(b"\xef\xbb\xbf")
    assert "提请批准逮捕" in answer.text
    assert 'filename="flows.csv"' in answer.headers["content-disposition"]
    book = openpyxl.load_workbook(BytesIO(client.get("/statistics/all.xlsx").content))
    assert len(book.sheetnames) == 7
    signs = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t=", "\r=")
    for line in (
        to_csv([{"x": f"{sign}1"} for sign in signs]).decode("utf-8-sig").split("\r\n")[1:-1]
    ):
        assert line.lstrip('"').startswith("'"), line
    evil = [{"单位": '=HYPERLINK("http://e")', "n": 1}, {"单位": "@SUM(1)", "n": 2}]
    assert b"\n'=HYPERLINK" in to_csv(evil) or b"'=HYPERLINK" in to_csv(evil)
    with zipfile.ZipFile(BytesIO(to_xlsx([("x", evil)]))) as file:
        assert b"<f>" not in file.read("xl/worksheets/sheet1.xml")
    page = client.get("/statistics").text
    assert "交换次数" in page
    assert 'data-table="table-months"' in page
