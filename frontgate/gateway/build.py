"""Building a gateway's spools and reference files from settings and standard."""

from __future__ import annotations

from collections.abc import Callable

from frontgate.gateway.stations import Post, Posts
from frontgate.journal import Journal
from frontgate.pipeline.archive import Node
from frontgate.pipeline.backup import Home
from frontgate.pipeline.keeper import Keeper, Rules
from frontgate.pipeline.prepare import Station
from frontgate.settings import App, GatewaySettings
from frontgate.spool.guard import SpoolGuard
from frontgate.spool.layout import SpoolPaths
from frontgate.spool.sweep import Sweeper, Timing
from frontgate.standard import Standards
from frontgate.standard.calendars import calendar_csv
from frontgate.standard.dialects import read_dialect
from frontgate.suites import Signer, load_signer


def build_posts(settings: GatewaySettings) -> Posts:
    """Every spool of the settings; its guard lays it out. Raises: SignatureError."""
    posts: list[Post] = []
    for unit in settings.unit:
        signer = load_signer(settings.path(unit.key), settings.path(unit.certificate), unit.code)
        apps: list[App | None] = [*unit.app] or [None]
        for app in apps:
            root = settings.path(unit.spool) / app.name if app else settings.path(unit.spool)
            paths = SpoolPaths(root)
            intake = settings.intake
            sweeper = Sweeper(
                paths,
                settle_s=intake.settle_s,
                incomplete_after_s=intake.incomplete_after_s,
                network=Timing(intake.network_settle_s, intake.network_incomplete_after_s),
            )
            name = app.name if app else ""
            folder = app.dialect if app else unit.dialect
            dialect = read_dialect(settings.path(folder)) if folder else None
            posts.append(
                Post(
                    key=f"{unit.code}/{name}" if name else unit.code,
                    station=Station(unit.code, name, signer, dialect),
                    flows=tuple(app.flows) if app else (),
                    paths=paths,
                    sweeper=sweeper,
                    guard=SpoolGuard(paths, group=unit.group),
                    form=unit.delivered_form,
                )
            )
    return Posts(tuple(posts))


def reference_files(standards: Standards) -> dict[str, bytes]:
    """Code lists and calendar of the newest version, as `reference/` shows them."""
    folder = standards.version(standards.newest).folder
    lists = sorted((folder / "codes").glob("*.csv"))
    return {
        "calendar.csv": calendar_csv(folder / "calendars"),
        **{f"codes/{path.name}": path.read_bytes() for path in lists},
    }


def gateway_signer(settings: GatewaySettings) -> Signer:
    """The key of the gateway's first unit, which signs for the node. Raises: SignatureError."""
    unit = settings.unit[0]
    return load_signer(settings.path(unit.key), settings.path(unit.certificate), unit.code)


def build_keeper(
    settings: GatewaySettings,
    journal: Journal,
    signer: Signer,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Keeper:
    """The gateway's keeper: archives, backups."""
    state = settings.path(settings.node.state)
    keys = settings.path(settings.node.keys)
    rules = settings.retention
    folder = settings.path(rules.archive) if rules.archive else state / "archive"
    return Keeper(
        Node(journal, state, folder, keys / "trust", signer),
        Home(journal.node, state, settings.base / "gateway.toml", keys),
        Rules(
            rules.payload_days,
            rules.sent_days,
            rules.audit_days,
            rules.every_h,
            rules.automatic,
        ),
        is_stopping,
    )
