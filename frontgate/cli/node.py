"""Finding the node that a command is about: its settings, its journal, its running daemon."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frontgate.cli.output import Output
from frontgate.errors import FrontgateError, SettingsError
from frontgate.journal import Journal, Reader, open_reader
from frontgate.pipeline.service import ask
from frontgate.settings import GatewaySettings, HubSettings, find_config, load_gateway, load_hub


@dataclass(frozen=True, slots=True)
class Node:
    """role: `gateway` or `hub`. state: its state folder."""

    role: str
    settings: GatewaySettings | HubSettings
    state: Path

    @property
    def name(self) -> str:
        """The journal's name for this node."""
        if isinstance(self.settings, HubSettings):
            return f"hub:{self.settings.unit}"
        return f"gateway:{self.settings.unit[0].code}"

    def reader(self) -> Reader:
        """Read the journal. Raises: JournalError FG-JRN-001."""
        return open_reader(self.state / "journal.db")

    def ask(self, request: dict[str, Any], timeout_s: float = 60.0) -> dict[str, Any] | None:
        """Ask the daemon; None where none runs. Raises: what the daemon answered as an error."""
        reply = ask(self.state / "control.sock", request, timeout_s)
        if reply is not None and not reply.get("ok"):
            raise FrontgateError(
                str(reply.get("code", "FG-INT-001")),
                detail=str(reply.get("detail", "")),
                **dict(reply.get("params", {})),
            )
        return reply

    @contextlib.contextmanager
    def journal(self) -> Iterator[Journal]:
        """The journal for writing, while no daemon runs. Raises: JournalError FG-JRN-002."""
        journal = Journal.open(self.state / "journal.db", node=self.name)
        try:
            yield journal
        finally:
            journal.close()


def find_node(out: Output) -> Node:
    """The node of the settings file that was named or lies in its usual place.

    A file or folder with hub settings is a hub, else it is a gateway. Raises: SettingsError.
    """
    given = out.config
    if given and Path(given).is_dir():
        role = "hub" if (Path(given) / "hub.toml").is_file() else "gateway"
    elif given:
        role = "hub" if Path(given).name.startswith("hub") else "gateway"
    else:
        role = "gateway"
    if role == "hub":
        hub = load_hub(find_config(given, "hub"))
        return Node("hub", hub, hub.path(hub.node.state))
    try:
        gateway = load_gateway(find_config(given, "gateway"))
    except SettingsError as missing:
        if given:
            raise
        try:
            hub = load_hub(find_config(None, "hub"))
        except SettingsError:
            raise missing from None  # most machines are gateways: that is the file to speak of
        return Node("hub", hub, hub.path(hub.node.state))
    return Node("gateway", gateway, gateway.path(gateway.node.state))


def actor() -> str:
    """Who acts, for the audit trail: the login behind sudo, else the account."""
    import getpass

    return os.environ.get("SUDO_USER") or getpass.getuser()
