"""`frontgate send`: a drop by hand, waited for, with its receipts shown."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from pathlib import Path

import click

from frontgate.cli.output import Output

_ENDS = ("rejected", "failed")


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--unit", default="", help="Unit (or unit/app) whose outbound/ takes it; else the first."
)
@click.option(
    "--wait", "wait_s", default=60.0, show_default=True, help="Seconds to wait for receipts."
)
@click.pass_obj
def send(out: Output, path: Path, unit: str, wait_s: float) -> None:
    """Drop PATH into outbound/ and wait until every receiver has it.

    Exit 0: delivered. 1: refused or failed, with the reasons. 4: not answered in time; the gateway
    goes on with it.
    """
    from frontgate.settings import find_config, load_gateway

    settings = load_gateway(find_config(out.config, "gateway"))
    own = next((u for u in settings.unit if unit.partition("/")[0] in ("", u.code)), None)
    if own is None:
        raise click.UsageError(f"unit {unit} is not in the settings")
    spool = settings.path(own.spool)
    app = unit.partition("/")[2] or (own.app[0].name if own.app else "")
    spool = spool / app if app else spool
    name = f"{path.stem}-{secrets.token_hex(4)}{path.suffix.lower()}"
    temporary = spool / "outbound" / (name + ".tmp")
    if path.is_dir():
        shutil.copytree(path, temporary)
    else:
        shutil.copyfile(path, temporary)
    temporary.rename(spool / "outbound" / name)
    shown: dict[str, str] = {}
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        for kind, text in _receipts(spool, name):
            if kind not in shown:
                shown[kind] = text
                if not out.as_json:
                    click.echo(f"  {kind}")
        if any(kind.endswith(_ENDS) for kind in shown) or (spool / "rejected" / name).exists():
            _tell(out, name, shown)
            _report(out, spool / "rejected" / f"{name}.report.txt")
            raise click.exceptions.Exit(1)
        if _is_delivered(shown):
            _tell(out, name, shown)
            return
        time.sleep(0.1)
    _tell(out, name, shown)
    raise click.exceptions.Exit(4)


def _receipts(spool: Path, name: str) -> list[tuple[str, str]]:
    """(kind[-receiver], text) of the receipts of our drop, in order."""
    stems: set[str] = set()
    files = sorted((spool / "receipts").glob("*.xml"))
    for file in files:
        if f"<DropName>{name}</DropName>" in file.read_text("utf-8"):
            stems.add(file.name.partition(".")[0])
    found = []
    for file in files:
        stem, _, rest = file.name.partition(".")
        if stem in stems:
            found.append((re.sub(r"^\d+-|\.xml$", "", rest), file.read_text("utf-8")))
    return found


def _is_delivered(shown: dict[str, str]) -> bool:
    """Whether each receiver that the hub accepted for has it: at least one, and none missing."""
    return any(kind.startswith("delivered-") for kind in shown)


def _tell(out: Output, name: str, shown: dict[str, str]) -> None:
    if out.as_json:
        out.json({"drop": name, "receipts": list(shown)})


def _report(out: Output, path: Path) -> None:
    if path.is_file() and not out.as_json:
        click.echo(path.read_text("utf-8-sig").replace("\r", ""))
