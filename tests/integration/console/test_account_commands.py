"""`frontgate hub user` and `hub token`, beside a running console."""

import json
from typing import Any

from click.testing import CliRunner, Result
from console_site import CASE, PASSWORD, Site, csrf_of
from ledger import COURT, POLICE

from frontgate.cli.main import cli


def call(site: Site, *arguments: str, typed: str = "") -> Result:
    config = str(site.home / "hub" / "hub.toml")
    return CliRunner().invoke(cli, ["-c", config, "--json", "hub", *arguments], input=typed)


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_an_account_is_made_disabled_enabled_and_given_another_password(site: Site) -> None:
    made = told(call(site, "user", "add", "helper", "--role", "clerk", "--unit", POLICE))
    assert made["login"] == "helper"
    with site.fresh() as client:
        assert site.log_in(client, "helper", made["password"]).status_code == 303
        assert client.get("/cases").status_code == 303, "a first password is changed first"
        told(call(site, "user", "disable", "helper"))
        assert client.get("/account").headers.get("location", "").startswith("/login")
    with site.fresh() as client:
        assert site.log_in(client, "helper", made["password"]).status_code != 303
    told(call(site, "user", "enable", "helper"))
    again = "another long password"
    told(call(site, "user", "password", "helper", "--password-stdin", typed=again + "\n"))
    with site.fresh() as client:
        assert site.log_in(client, "helper", made["password"]).status_code != 303
        assert site.log_in(client, "helper", again).status_code == 303
        assert client.get(f"/cases/{CASE}").status_code == 200
    (row,) = [r for r in told(call(site, "user", "list")) if r["login"] == "helper"]
    assert (row["role"], row["unit"], row["active"]) == ("clerk", POLICE, True)
    acts = [e["act"] for e in site.events("console-user") if e.get("login") == "helper"]
    assert acts == ["add", "disable", "enable", "password"]


def test_what_makes_no_sense_is_refused_and_makes_nothing(site: Site) -> None:
    before = told(call(site, "user", "list"))
    for arguments in (
        ("add", "x1", "--role", "king"),
        ("add", "x1", "--role", "clerk"),
        ("add", "clerk", "--role", "clerk", "--unit", POLICE),
        ("disable", "nobody"),
        ("password", "nobody"),
    ):
        result = call(site, "user", *arguments)
        assert result.exit_code != 0, arguments
        assert "Traceback" not in result.output
    assert told(call(site, "user", "list")) == before


def test_a_token_opens_the_api_until_it_is_revoked(site: Site) -> None:
    made = told(call(site, "token", "add", COURT, "--label", "statistics"))
    with site.fresh(headers={"Authorization": f"Bearer {made['token']}"}) as client:
        assert client.get("/api/v1/cases").status_code == 200
        listed = told(call(site, "token", "list"))
        (row,) = [r for r in listed if r["id"] == made["id"]]
        assert (row["unit"], row["label"]) == (COURT, "statistics")
        assert made["token"] not in json.dumps(listed)
        told(call(site, "token", "revoke", str(made["id"])))
        assert client.get("/api/v1/cases").status_code == 401
    assert call(site, "token", "revoke", "99999").exit_code != 0


def test_what_a_disabled_operator_asked_for_is_shown_as_lapsed_and_done_by_nobody(
    site: Site,
) -> None:
    site.accounts.add("former", "离职", "hub-operator", "", PASSWORD, must_change=False)
    with site.fresh() as client:
        site.log_in(client, "former")
        form = {"csrf": csrf_of(client.get("/account").text), "reason": "离职前的申请"}
        assert client.post(f"/units/{COURT}/suspend", data=form).status_code == 303
    (number,) = site.accounts.file.one("SELECT max(id) FROM request") or (0,)
    assert told(call(site, "user", "disable", "former"))["lapsed_requests"] == [number]
    assert site.events("console-user")[-1]["lapsed_requests"] == str(number)
    two = site.client("hub-two")
    assert "申请人被停用或失去权限" in two.get("/approvals").text
    kept = len(site.events("console-approve"))
    answer = two.post(
        f"/approvals/{number}/approve", data={"csrf": csrf_of(two.get("/account").text)}
    )
    assert answer.status_code == 409
    assert "已失效：申请人被停用或失去权限" in answer.text
    lapses = [e for e in site.events("console-lapse") if e["request"] == str(number)]
    assert [(e["act"], e["asked_by"], e["by"]) for e in lapses] == [("suspend", "former", "asker")]
    assert "申请失效" in site.client("auditor").get("/audit?kind=console-lapse").text
    assert len(site.events("console-approve")) == kept, "nothing was approved"
