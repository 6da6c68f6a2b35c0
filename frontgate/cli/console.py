"""`frontgate hub console|user|token`: the console's process, its accounts, its tokens."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from frontgate.cli.node import actor, hub_node
from frontgate.cli.output import Output, say

if TYPE_CHECKING:
    from frontgate.console.accounts import Accounts
    from frontgate.settings import HubSettings


def _settings(out: Output) -> HubSettings:
    from frontgate.settings import find_config, load_hub

    return load_hub(find_config(out.config, "hub"))


def _accounts(out: Output) -> Accounts:
    from frontgate.console.accounts import Accounts

    settings = _settings(out)
    return Accounts(settings.path(settings.node.state))


def _keep(out: Output, **data: str) -> None:
    """Put the act into the hub's audit chain, by the daemon or under its lock."""
    hub_node(_settings(out)).record("console-user", **data)


@click.command()
@click.option("--port", type=int, default=None, help="Another port than that of the settings.")
@click.pass_obj
def console(out: Output, port: int | None) -> None:
    """Serve the console until stopped. The hub starts it by itself where [console] enabled = true."""
    from frontgate.console.server import run
    from frontgate.pipeline.service import set_up_logs
    from frontgate.settings import replace

    settings = _settings(out)
    if port is not None:
        settings = replace(settings, console=replace(settings.console, port=port))
    set_up_logs(settings.log.format, settings.log.level)
    run(settings)


@click.group()
def user() -> None:
    """Accounts of the console: add, list, disable, enable, password."""


def _password(out: Output, from_stdin: bool) -> tuple[str, bool]:
    """Returns: the password, and whether it was made here and must be changed at the first login."""
    from frontgate.console.accounts import first_password

    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n"), False
    return first_password(), True


@user.command("add")
@click.argument("login")
@click.option("--role", required=True, help="clerk, operator, committee, hub-operator or auditor.")
@click.option("--unit", default="", help="Unit code, for clerk and operator.")
@click.option("--name", default="", help="The person's name.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.pass_obj
def user_add(
    out: Output, login: str, role: str, unit: str, name: str, password_stdin: bool
) -> None:
    """Make an account. Without --password-stdin a first password is made and printed once."""
    password, is_made = _password(out, password_stdin)
    accounts = _accounts(out)
    accounts.add(login, name, role, unit, password, must_change=is_made)
    _keep(out, act="add", login=login, role=role, unit=unit)
    shown = {"login": login, "role": role, "unit": unit}
    if is_made:
        shown["password"] = password
    out.emit(
        shown,
        f"已建立 {login}" + (f"，初始密码：{password}（首次登录须更换）" if is_made else ""),
        f"Made {login}" + (f", first password: {password} (to be changed)" if is_made else ""),
    )


@user.command("list")
@click.pass_obj
def user_list(out: Output) -> None:
    """List the accounts."""
    rows = _accounts(out).all()
    if out.as_json:
        out.json(
            [
                {
                    "login": a.login,
                    "name": a.name,
                    "role": a.role,
                    "unit": a.unit,
                    "active": a.is_active,
                    "made_at": a.made_at,
                    "seen_at": a.seen_at,
                }
                for a in rows
            ]
        )
        return
    for a in rows:
        mark = "●" if a.is_active else "○"
        say(f"{mark} {a.login:<20} {a.role:<13} {a.unit or '-':<12} {a.name}  {a.seen_at}")


def _switch(out: Output, login: str, is_active: bool) -> None:
    lost = _accounts(out).set_active(login, is_active)
    lapsed = ", ".join(map(str, lost))
    also = {"lapsed_requests": lapsed} if lost else {}
    _keep(out, act="enable" if is_active else "disable", login=login, **also)
    _tell_lapsed(out)
    out.emit(
        {"login": login, "active": is_active, "lapsed_requests": lost},
        f"{login} 已{'启用' if is_active else '停用'}"
        + (f"，其申请 {lapsed} 失效" if lost else ""),
        f"{login} is {'enabled' if is_active else 'disabled'}"
        + (f"; the requests {lapsed} lapsed" if lost else ""),
    )


def _tell_lapsed(out: Output) -> None:
    """Each request that lapsed by this has an entry of its own."""
    from frontgate.console import approvals

    node = hub_node(_settings(out))

    def record(entries: Sequence[tuple[str, Mapping[str, str]]]) -> None:
        for kind, data in entries:
            node.record(kind, **data)

    approvals.tell_lapsed(_accounts(out).file, record)


@user.command("disable")
@click.argument("login")
@click.pass_obj
def user_disable(out: Output, login: str) -> None:
    """Disable an account: it can log in no more, and its sessions end at once."""
    _switch(out, login, False)


@user.command("enable")
@click.argument("login")
@click.pass_obj
def user_enable(out: Output, login: str) -> None:
    """Enable a disabled account again."""
    _switch(out, login, True)


@user.command("password")
@click.argument("login")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.pass_obj
def user_password(out: Output, login: str, password_stdin: bool) -> None:
    """Give an account another password; its sessions end."""
    password, is_made = _password(out, password_stdin)
    _accounts(out).set_password(login, password, must_change=is_made)
    _keep(out, act="password", login=login)
    shown = {"login": login, **({"password": password} if is_made else {})}
    out.emit(
        shown,
        f"{login} 的密码已重置" + (f"：{password}" if is_made else ""),
        f"The password of {login} is reset" + (f": {password}" if is_made else ""),
    )


@click.group()
def token() -> None:
    """Tokens of units for the API: add, list, revoke."""


@token.command("add")
@click.argument("unit")
@click.option("--label", default="API", show_default=True, help="What it is for.")
@click.pass_obj
def token_add(out: Output, unit: str, label: str) -> None:
    """Make a token for a unit's programs; it is printed once."""
    number, secret = _accounts(out).make_token(unit, label, actor())
    _keep(out, act="token-add", token=str(number), unit=unit)
    out.emit(
        {"id": number, "unit": unit, "token": secret},
        f"令牌 #{number}（只显示一次）：{secret}",
        f"Token #{number}, shown only once: {secret}",
    )


@token.command("list")
@click.pass_obj
def token_list(out: Output) -> None:
    """List the tokens, without their secrets."""
    rows: list[dict[str, Any]] = [
        {
            "id": t.id,
            "unit": t.unit,
            "label": t.label,
            "made_at": t.made_at,
            "revoked_at": t.revoked_at,
        }
        for t in _accounts(out).tokens(None)
    ]
    if out.as_json:
        out.json(rows)
        return
    for r in rows:
        say(f"#{r['id']:<5} {r['unit']} {r['label']}  {r['made_at']}  {r['revoked_at']}")


@token.command("revoke")
@click.argument("number", type=int)
@click.pass_obj
def token_revoke(out: Output, number: int) -> None:
    """Revoke a token."""
    found = _accounts(out).revoke_token(number, None)
    _keep(out, act="token-revoke", token=str(number), unit=found.unit)
    out.emit(
        {"id": number, "unit": found.unit}, f"令牌 #{number} 已作废", f"Token #{number} is revoked"
    )
