"""From settings to what `frontgate.inspect` looks at."""

from __future__ import annotations

from frontgate.cli.node import find_node
from frontgate.cli.output import Output
from frontgate.errors import FrontgateError
from frontgate.inspect import Home, Spool
from frontgate.settings import GatewaySettings, HubSettings
from frontgate.spool.layout import SpoolPaths
from frontgate.trust.store import load_trust


def open_home(out: Output) -> Home:
    """The home that `out.config` names. Raises: SettingsError, TrustError."""
    node = find_node(out)
    try:
        is_running = node.ask({"act": "status"}) is not None
    except (FrontgateError, OSError):
        is_running = True  # it answers, if not well
    home = home_of(node.settings)
    home.is_running = is_running
    return home


def home_of(settings: GatewaySettings | HubSettings) -> Home:
    """A node's home by its settings."""
    keys = settings.path(settings.node.keys)
    state = settings.path(settings.node.state)
    trust = load_trust(keys / "trust")
    if isinstance(settings, HubSettings):
        return Home(
            "hub", (settings.unit,), state, keys, trust, mailboxes=settings.path(settings.sftp.root)
        )
    units = tuple(dict.fromkeys(unit.code for unit in settings.unit))
    spools = [
        Spool(
            f"{unit.code}/{name}" if name else unit.code,
            SpoolPaths(settings.path(unit.spool) / name if name else settings.path(unit.spool)),
            unit.delivered_form,
        )
        for unit in settings.unit
        for name in ([app.name for app in unit.app] or [""])
    ]
    return Home("gateway", units, state, keys, trust, tuple(spools), account=settings.account)
