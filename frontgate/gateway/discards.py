"""Removing the claims whose outcome the journal holds, beside the intake.

Removing a folder waits for the file system whenever somebody forces something to storage, which all of
the exchange does all the time: it must not hold up the next drops. What a stop leaves is known by its
claim's id and finished at the next start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from frontgate.gateway.stations import TROUBLE_LOOK_S, Post, Posts
from frontgate.spool.claiming import Claim
from frontgate.spool.drop import discard

MOST_WAITING = 1024
"""So many claims of one spool wait at most; whoever brings more removes them itself."""


class Discards:
    """`discard` is called by the intakes; `turn` is the body of a loop."""

    def __init__(self, posts: Posts, wake: Callable[[], None]) -> None:
        self._posts = posts
        self._wake = wake
        self._waiting: dict[str, deque[Claim]] = {post.key: deque() for post in posts.posts}

    def discard(self, post: Post, claim: Claim) -> None:
        """Remove a claim soon. Raises: OSError, where it had to be at once."""
        waiting = self._waiting[post.key]
        if len(waiting) >= MOST_WAITING:
            discard(post.paths, claim)
            return
        waiting.append(claim)
        self._wake()

    def turn(self) -> float | None:
        """Remove all that wait. Returns: when to try again what could not be removed."""
        look: float | None = None
        for post in self._posts.posts:
            if self._waiting[post.key] and not post.attempt(
                "discard", partial(self._discard_all, post)
            ):
                look = TROUBLE_LOOK_S
        return look

    def _discard_all(self, post: Post) -> None:
        waiting = self._waiting[post.key]
        while waiting:
            discard(post.paths, waiting[0])
            waiting.popleft()
