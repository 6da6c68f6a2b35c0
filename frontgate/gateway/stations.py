"""The spools of a gateway: one per unit, or per app of a unit, with its signer and folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from frontgate.core.routing import choose_app
from frontgate.pipeline.prepare import Station
from frontgate.spool.layout import SpoolPaths
from frontgate.spool.sweep import Sweeper

SPOOL = "spool:"
"""Destinations of the last hop are `spool:<key>`."""


@dataclass(frozen=True, slots=True)
class Post:
    """One spool. key: `<unit>` or `<unit>/<app>`, as the journal names it."""

    key: str
    station: Station
    flows: tuple[str, ...]
    paths: SpoolPaths
    sweeper: Sweeper
    form: str = "folder"

    @property
    def destination(self) -> str:
        return SPOOL + self.key


@dataclass(frozen=True, slots=True)
class Posts:
    """All spools of this gateway, in the order of the settings."""

    posts: tuple[Post, ...]
    by_key: dict[str, Post] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_key.update({post.key: post for post in self.posts})

    @property
    def units(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(post.station.unit for post in self.posts))

    def of_unit(self, unit: str) -> Sequence[Post]:
        return [post for post in self.posts if post.station.unit == unit]

    def receiving(self, unit: str, flow: str, in_reply_to_app: str) -> Post | None:
        """The spool of `unit` that gets a message: see `core.routing.choose_app`."""
        own = self.of_unit(unit)
        if not own:
            return None
        apps = [(post.station.app, post.flows) for post in own if post.station.app]
        wanted = choose_app(flow, in_reply_to_app, apps)
        return next((post for post in own if post.station.app == wanted), own[0])

    def of_destination(self, destination: str) -> Post | None:
        return self.by_key.get(destination.removeprefix(SPOOL))
