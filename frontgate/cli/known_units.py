"""The units that an offline check may look up: a gateway's signed directory, or a table."""

from __future__ import annotations

from pathlib import Path

import click

from frontgate.cli.output import Output
from frontgate.errors import TrustError
from frontgate.model.unit import Directory
from frontgate.trust.directory import read_units
from frontgate.values import Struct


class KnownUnits(Struct, frozen=True):
    """homes: units whose folder may take a message; empty = not known. source: where it was read."""

    directory: Directory
    homes: tuple[str, ...]
    source: str


def known_units(out: Output, table: Path | None, unit: str) -> KnownUnits | None:
    """What `--units`, `-c` and `--unit` lead to; None where neither a table nor settings were named.

    Raises: click.UsageError for a table that cannot be used or a unit that is not there;
    SettingsError, TrustError for a node that cannot be read.
    """
    if table is not None:
        known = KnownUnits(_of_table(out, table), (), str(table))
    elif out.config:
        known = _of_node(out)
    elif unit:
        raise click.UsageError(
            out.pick("--unit 须与 -c 或 --units 一起使用。", "--unit goes with -c or with --units.")
        )
    else:
        return None
    if not unit:
        return known
    if unit not in (known.homes or known.directory.units):
        raise click.UsageError(
            out.pick(f"{known.source} 中没有单位 {unit}", f"unit {unit} is not in {known.source}")
        )
    return KnownUnits(known.directory, (unit,), known.source)


def _of_table(out: Output, table: Path) -> Directory:
    try:
        units = read_units(table.read_bytes(), str(table))
    except TrustError as error:
        text = f"{error.code}: {error.message(out.language)}\n{error.detail}"
        raise click.UsageError(text) from None
    hub = next((u.code for u in units if "hub" in u.roles), "")
    return Directory(0, {u.code: u for u in units}, hub)


def _of_node(out: Output) -> KnownUnits:
    # Only here: a vendor's machine without a gateway need not have what a node is made of.
    from frontgate.cli.node import find_node
    from frontgate.settings import GatewaySettings
    from frontgate.trust.store import load_trust

    settings = find_node(out).settings
    directory = load_trust(settings.path(settings.node.keys) / "trust").directory
    if not isinstance(settings, GatewaySettings):
        return KnownUnits(directory, (), out.pick("省级平台的单位目录", "the hub's directory"))
    homes = tuple(u.code for u in settings.unit)
    return KnownUnits(directory, homes, out.pick("前置机的单位目录", "the gateway's directory"))
