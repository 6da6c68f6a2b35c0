"""Finding the node that a command is about: its settings, its journal, its running daemon."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frontgate.cli.output import Output
from frontgate.errors import FrontgateError, SettingsError
from frontgate.journal import Journal, Reader, open_reader
from frontgate.pipeline.service import ask
from frontgate.settings import GatewaySettings, HubSettings, find_config, load_gateway, load_hub
from frontgate.values import Struct


class Node(Struct, frozen=True):
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

    def record(self, kind: str, /, **data: str) -> None:
        """Put an entry with who acts into a hub's audit chain, by its daemon or under its lock.

        Raises: JournalError FG-JRN-002 where another process has the journal and does not answer.
        """
        entry = {"kind": kind, "data": {"actor": actor(), "account": account(), **data}}
        if self.ask({"act": "record", "entries": [entry]}) is None:
            from frontgate.hub.desk import keep

            with self.journal() as journal:
                keep(journal, [entry])

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
        return hub_node(load_hub(find_config(given, "hub")))
    try:
        gateway = load_gateway(find_config(given, "gateway"))
    except SettingsError as missing:
        if given:
            raise
        try:
            hub = load_hub(find_config(None, "hub"))
        except SettingsError:
            raise missing from None  # most machines are gateways: that is the file to speak of
        return hub_node(hub)
    return Node("gateway", gateway, gateway.path(gateway.node.state))


def hub_node(settings: HubSettings) -> Node:
    return Node("hub", settings, settings.path(settings.node.state))


_NO_LOGIN = 2**32 - 1
"""What the kernel says of a process that no login began."""


def actor() -> str:
    """Who acts, for the audit trail: who logged in, by the kernel or by sudo, else the account.

    Never by LOGNAME or USER, which anybody may set.
    """
    try:
        login = int(Path("/proc/self/loginuid").read_text("ascii"))
    except (OSError, ValueError):  # a kernel without audit
        login = _NO_LOGIN
    if login != _NO_LOGIN:
        return _name(login)
    return os.environ.get("SUDO_USER") or account()


def account() -> str:
    """The operating system's account that this process runs as."""
    return _name(os.geteuid())


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # an account that was removed, or is known elsewhere
        return f"uid {uid}"
