"""The spools of a gateway: one per unit, or per app of a unit, with its signer and folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from frontgate.core.routing import choose_app
from frontgate.errors import FrontgateError, InternalError, JournalError
from frontgate.log import get_logger
from frontgate.pipeline.prepare import Station
from frontgate.spool.claiming import spool_error
from frontgate.spool.guard import SpoolGuard
from frontgate.spool.layout import SpoolPaths
from frontgate.spool.sweep import Sweeper
from frontgate.values import Struct, field

log = get_logger()

TROUBLE_LOOK_S = 5.0
"""A spool in trouble is looked at again after this long."""

SPOOL = "spool:"
"""Destinations of the last hop are `spool:<key>`."""


class Post(Struct, frozen=True):
    """One spool. key: `<unit>` or `<unit>/<app>`, as the journal names it."""

    key: str
    station: Station
    flows: tuple[str, ...]
    paths: SpoolPaths
    sweeper: Sweeper
    guard: SpoolGuard
    form: str = "folder"
    troubles: dict[str, FrontgateError] = field(default_factory=dict)

    @property
    def destination(self) -> str:
        return SPOOL + self.key

    def attempt(self, what: str, act: Callable[[], object]) -> bool:
        """Do one kind of work with this spool; its faults are its own and stop no other spool.

        Returns: whether it went well; if not, `troubles` says why until it does. Raises: JournalError,
        which is nobody's own.
        """
        try:
            self.guard.check()
            act()
        except JournalError:
            raise
        except FrontgateError as error:
            return self._note(what, error)
        except OSError as error:
            return self._note(what, spool_error(error))
        except Exception as error:
            log.exception("spool-failed", spool=self.key, what=what, code="FG-INT-001")
            where = f"{what} {self.key}"
            return self._note(what, InternalError("FG-INT-001", what=where, detail=repr(error)))
        if self.troubles.pop(what, None) is not None:
            log.info("spool-recovered", spool=self.key, what=what)
        return True

    def _note(self, what: str, error: FrontgateError) -> bool:
        known = self.troubles.get(what)
        if known is None or known.code != error.code:
            log.warning(
                "spool-trouble",
                spool=self.key,
                what=what,
                code=error.code,
                text=error.message("en"),
                detail=error.detail,
            )
        self.troubles[what] = error
        return False


class Posts(Struct, frozen=True):
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

    def troubles(self) -> dict[str, FrontgateError]:
        """What is wrong with single spools now, by `<work> <key>`."""
        return {
            f"{what} {post.key}": error
            for post in self.posts
            for what, error in list(post.troubles.items())
        }

    def of_destination(self, destination: str) -> Post | None:
        return self.by_key.get(destination.removeprefix(SPOOL))
