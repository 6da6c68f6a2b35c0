"""`frontgate hub init|units|admit|suspend|revoke|sshd-config`: the administrator of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from frontgate.cli.output import LINES, Existing, Output, say

if TYPE_CHECKING:
    from frontgate.hub.admin import Administration


def _administration(out: Output) -> Administration:
    from frontgate.hub.admin import Administration
    from frontgate.settings import find_config, load_hub

    return Administration(load_hub(find_config(out.config, "hub")))


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--unit", default="52000090005", show_default=True, help="Unit code of the hub.")
@click.option("--name", default="省级交换平台", show_default=True, help="Name of the hub.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address that gateways connect to."
)
@click.option(
    "--port", default=2222, show_default=True, help="Port that the SFTP server listens on."
)
@click.option("--console-port", type=int, help="Also serve the console, on this port of loopback.")
@click.option(
    "--server",
    type=click.Choice(["embedded", "openssh"]),
    default="embedded",
    show_default=True,
    help="Which SFTP server serves the units.",
)
@click.pass_obj
def init(
    out: Output,
    directory: Path,
    unit: str,
    name: str,
    host: str,
    port: int,
    console_port: int | None,
    server: str,
) -> None:
    """Make a hub's home: CA, keys, settings, mailboxes."""
    from frontgate import durable
    from frontgate.core.identifiers import is_unit_code
    from frontgate.errors import SettingsError
    from frontgate.hub.admin import set_up
    from frontgate.trust.authority import spoken

    if not is_unit_code(unit):
        raise SettingsError("FG-CFG-005", value=unit)
    directory.mkdir(parents=True, exist_ok=True)
    fingerprint = set_up(directory, unit, name)
    settings = directory / "hub.toml"
    text = (
        "# frontgate hub. All keys: docs/settings.md / 全部设置见 docs/settings.md\n"
        f'unit = "{unit}"\n\n[sftp]\nserver = "{server}"\n'
        f'host = "{host if host.startswith("127.") else "0.0.0.0"}"\nport = {port}\n'
        f'public_host = "{host}"\n'
    )
    if console_port is not None:
        text += f"\n[console]\nenabled = true\nport = {console_port}\n"
    durable.write_file(settings, text.encode(), 0o644)
    shown = spoken(fingerprint)
    out.emit(
        {"home": str(directory), "settings": str(settings), "ca_fingerprint": fingerprint},
        f"已建立 {directory}\nCA 指纹（供各单位电话核对）：{shown}\n"
        f"下一步：frontgate -c {settings} hub units import units.csv",
        f"Made {directory}\nCA fingerprint, to be read out to units: {shown}\n"
        f"Next: frontgate -c {settings} hub units import units.csv",
    )


@click.group()
def units() -> None:
    """The unit directory: import a table, list it."""


@units.command("import")
@click.argument("table", type=Existing(dir_okay=False))
@click.pass_obj
def import_(out: Output, table: Path) -> None:
    """Replace the unit table by TABLE (CSV, UTF-8); certificates and suspensions are kept."""
    count = _administration(out).import_units(table.read_bytes(), str(table))
    out.emit(
        {"units": count}, f"单位目录现有 {count} 个单位", f"The directory now has {count} units"
    )


@units.command("list")
@click.pass_obj
def list_(out: Output) -> None:
    """Show all units with status and registration."""
    directory = _administration(out).trust.directory
    rows = [
        {
            "code": u.code,
            "name_zh": u.name_zh,
            "name_en": u.name_en,
            "roles": list(u.roles),
            "status": u.status,
            "admitted": bool(u.certificates),
            "front_end": u.front_end or u.code,
        }
        for u in directory.units.values()
    ]
    if out.as_json:
        out.json({"version": directory.version, "units": rows})
        return
    for row in rows:
        mark = (
            out.pick("已准入", "admitted")
            if row["admitted"]
            else out.pick("未准入", "not admitted")
        )
        say(f"{row['code']}  {row['status']:<9}  {mark:<12}  {row['name_zh']}")


@click.command()
@click.argument("requests", nargs=-1, type=Existing())
@click.option(
    "--batch",
    type=Existing(file_okay=False),
    help="Admit every *.json below this folder.",
)
@click.option(
    "-o",
    "--out",
    "target",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder for the unit bundles.",
)
@click.option("--yes", is_flag=True, help="The fingerprints were compared: do not ask.")
@click.pass_obj
def admit(
    out: Output, requests: tuple[Path, ...], batch: Path | None, target: Path, yes: bool
) -> None:
    """Admit gateways: issue certificates and write one bundle per request.

    A bad request never stops the others; the exit code is 1 if any was refused.
    """
    from frontgate.trust.authority import spoken

    paths = [*requests, *(sorted(batch.rglob("*.json")) if batch else ())]
    if not paths:
        raise click.UsageError("name a request.json, or --batch DIR")
    administration = _administration(out)
    if not yes and not out.as_json:
        for path in paths:
            request = administration.examine(path)
            out.line(
                f"{path}：{', '.join(request.units)}\n  指纹 {spoken(request.fingerprint)}",
                f"{path}: {', '.join(request.units)}\n  fingerprint {spoken(request.fingerprint)}",
            )
        click.confirm(
            out.pick("指纹均已电话核对，准入？", "All fingerprints compared by phone. Admit?"),
            abort=True,
        )
    results = administration.admit(paths, target)
    rows = [
        {
            "request": r.path,
            "units": list(r.units),
            "bundle": r.bundle,
            "code": r.error.code if r.error else "",
            "text": r.error.message(out.language) if r.error else "",
        }
        for r in results
    ]
    if out.as_json:
        out.json({"results": rows})
    else:
        for row in rows:
            say(
                f"✗ {row['request']}: {row['code']} {row['text']}"
                if row["code"]
                else f"✓ {', '.join(row['units'])} → {row['bundle']}"
            )
    if any(row["code"] for row in rows):
        raise click.exceptions.Exit(1)


def _set_status(out: Output, code: str, status: str, reason: str) -> None:
    unit = _administration(out).set_status(code, status)
    out.emit(
        {"unit": code, "status": status, "reason": reason},
        f"{unit.name_zh}（{code}）：{status}",
        f"{unit.name_zh} ({code}): {status}",
    )


@click.command()
@click.argument("unit")
@click.option("--reason", required=True, help="Why; kept with the act.")
@click.option("--lift", is_flag=True, help="End the suspension.")
@click.pass_obj
def suspend(out: Output, unit: str, reason: str, lift: bool) -> None:
    """Suspend a unit: what it sends is refused with a receipt, until --lift."""
    _set_status(out, unit, "active" if lift else "suspended", reason)


@click.command()
@click.argument("unit")
@click.option("--reason", required=True, help="Why; kept with the act.")
@click.pass_obj
def revoke(out: Output, unit: str, reason: str) -> None:
    """Revoke a unit: its certificate and its login count no more."""
    _set_status(out, unit, "revoked", reason)


@click.command("sshd-config")
@click.option("--prepare", is_flag=True, help="As root: also make accounts and folders.")
@click.option(
    "--hub-user", default="frontgate", show_default=True, help="Account of the hub's daemon."
)
@click.pass_obj
def sshd_config(out: Output, prepare: bool, hub_user: str) -> None:
    """Print an OpenSSH configuration for the units; --prepare makes their accounts."""
    from frontgate.hub.sshd import prepare_accounts
    from frontgate.hub.sshd import sshd_config as text
    from frontgate.settings import find_config, load_hub

    settings = load_hub(find_config(out.config, "hub"))
    root, keys = settings.path(settings.sftp.root), settings.path(settings.sftp.keys)
    if prepare:
        directory = _administration(out).trust.directory
        accounts = sorted({u.account for u in directory.units.values() if u.certificates})
        made = prepare_accounts(
            [a for a in accounts if a != "u" + settings.unit.lower()], root, hub_user=hub_user
        )
        out.emit({"made": made}, f"新建账号 {len(made)} 个", f"{len(made)} accounts made")
        return
    say(text(root, keys, port=settings.sftp.port), nl=False, keep=LINES)
