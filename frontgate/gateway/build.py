"""Building a gateway's parts from settings and standard: spools, reference files, ways to the hub."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType

from frontgate.errors import SpoolError
from frontgate.gateway.case_uids import mint_case
from frontgate.gateway.stations import Post, Posts
from frontgate.journal import Journal, packages
from frontgate.model.unit import Directory
from frontgate.pipeline.archive import Node
from frontgate.pipeline.backup import Home
from frontgate.pipeline.keeper import Keeper, Rules
from frontgate.pipeline.prepare import Kit, Station
from frontgate.settings import App, GatewaySettings
from frontgate.spool.drop import DropLimits
from frontgate.spool.guard import SpoolGuard
from frontgate.spool.layout import SpoolPaths
from frontgate.spool.quiet import Noted
from frontgate.spool.sweep import Sweeper, Timing
from frontgate.standard import Standards
from frontgate.standard.calendars import calendar_csv
from frontgate.standard.dialects import read_dialect
from frontgate.suites import Signer, load_signer
from frontgate.transports.directory import DirectoryPeer
from frontgate.transports.ferry_way import Way
from frontgate.transports.sftp import SftpPeer


def build_posts(settings: GatewaySettings, clock_noted: Noted) -> Posts:
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
                clock_noted=clock_noted,
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


@lru_cache(maxsize=4)
def reference_files(standards: Standards) -> Mapping[str, bytes]:
    """Code lists and calendar of the newest version, as `reference/` shows them."""
    folder = standards.version(standards.newest).folder
    lists = sorted((folder / "codes").glob("*.csv"))
    return MappingProxyType(
        {
            "calendar.csv": calendar_csv(folder / "calendars"),
            **{f"codes/{path.name}": path.read_bytes() for path in lists},
        }
    )


def gateway_signer(settings: GatewaySettings) -> Signer:
    """The key of the gateway's first unit, which signs for the node. Raises: SignatureError."""
    unit = settings.unit[0]
    return load_signer(settings.path(unit.key), settings.path(unit.certificate), unit.code)


def know_spool(journal: Journal, post: Post) -> None:
    """Know a spool by the id that it had before, and lay it out where that may be done."""
    key = f"spool:{post.key}"

    def keep(spool_id: str) -> None:
        with journal.write() as tx:
            tx.set_meta(key, spool_id)
            tx.event("spool", spool=post.key, id=spool_id)

    post.guard.bind(journal.look.meta(key), keep)
    with contextlib.suppress(SpoolError):  # else it is laid out when it can be reached
        post.guard.check()


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


def build_peer(settings: GatewaySettings) -> SftpPeer:
    """The hub as the SFTP transport wants it told."""
    return SftpPeer(
        host=settings.hub.host,
        port=settings.hub.port,
        account=settings.account,
        key_file=settings.path(settings.node.keys) / "ssh_ed25519",
        host_keys=tuple(settings.hub.host_keys),
        connect_timeout_s=settings.relay.connect_timeout_s,
        step_timeout_s=settings.relay.step_timeout_s,
    )


def build_device(
    settings: GatewaySettings, state: Path, may_take: Callable[[], bool]
) -> DirectoryPeer | None:
    """The hub behind a gap device, where the settings say so."""
    folders = settings.hub.directory
    if settings.hub.transport != "directory" or folders is None:
        return None
    home = state / "carry"
    home.mkdir(mode=0o700, exist_ok=True)
    way = Way(
        side="gateway",
        account=settings.account,
        outgoing=home / "to-hub",
        incoming=home / "from-hub",
        out=settings.path(folders.out),
        into=settings.path(folders.into),
        state=home,
        resend_s=folders.resend_s,
        gap_after_s=folders.gap_after_s,
        poll_s=folders.poll_s,
    )
    return DirectoryPeer(way, may_take=may_take)


def build_kit(
    settings: GatewaySettings, standards: Standards, directory: Directory, journal: Journal
) -> Kit:
    """What preparing a drop needs, by one directory; a newer one gets a kit of its own."""
    limits = settings.limits
    return Kit(
        standards=standards,
        directory=directory,
        limits=DropLimits(
            message_bytes=limits.message_bytes,
            files=limits.files,
            package_bytes=limits.package_bytes,
            ratio=limits.ratio,
        ),
        mint_case=partial(mint_case, journal),
        known_flow=lambda ident, flow: packages.flow_of(journal.look, ident, flow),
        known_case=lambda message_id: packages.case_of(journal.look, message_id),
    )
