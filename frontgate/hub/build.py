"""Building the parts of a hub that the command line needs as well, from its settings."""

from __future__ import annotations

from collections.abc import Callable

from frontgate.journal import Journal
from frontgate.pipeline.archive import Node
from frontgate.pipeline.backup import Home
from frontgate.pipeline.keeper import Keeper, Rules
from frontgate.settings import HubSettings
from frontgate.suites import Signer, load_signer


def hub_signer(settings: HubSettings) -> Signer:
    """The hub's key in use. Raises: SignatureError FG-SIG-002, 003."""
    keys = settings.path(settings.node.keys)
    return load_signer(keys / "hub.key", keys / "hub.pem", settings.unit)


def build_keeper(
    settings: HubSettings,
    journal: Journal,
    signer: Signer,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Keeper:
    """The hub's keeper: archives, backups."""
    state = settings.path(settings.node.state)
    keys = settings.path(settings.node.keys)
    rules = settings.retention
    folder = settings.path(rules.archive) if rules.archive else state / "archive"
    return Keeper(
        Node(journal, state, folder, keys / "trust", signer),
        Home(
            journal.node, state, settings.base / "hub.toml", keys, settings.path(settings.sftp.keys)
        ),
        Rules(
            rules.payload_days,
            rules.sent_days,
            rules.audit_days,
            rules.every_h,
            rules.automatic,
        ),
        is_stopping,
    )
