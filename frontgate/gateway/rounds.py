"""Intake over all spools, in turns: each spool by itself, none waits for another.

Small drops in one lane, large ones in another. A spool that cannot be used now is left out and looked at
again; a disk that fills up pauses what lies on it, and is looked at again.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

from frontgate import clock
from frontgate.gateway.intake import Intake
from frontgate.gateway.stations import TROUBLE_LOOK_S, Post, Posts
from frontgate.log import get_logger
from frontgate.pipeline.disk import DiskGate
from frontgate.pipeline.dispatch import LARGE_BYTES
from frontgate.spool import beneath, trash
from frontgate.spool.claiming import Claim, Refused
from frontgate.spool.watch import Watcher

log = get_logger()

BATCH = 64
"""Most drops of one spool in one turn: one segment, one transaction, one signature over receipts."""
PAUSED_LOOK_S = 5.0
POLL_S = 5.0
"""Folders without events are scanned at least this often."""


class Rounds:
    """`turn` and `large_turn` are bodies of loops."""

    def __init__(
        self,
        posts: Posts,
        watcher: Watcher,
        gate: DiskGate,
        gates: dict[str, DiskGate],
        small: Intake,
        large: Intake,
        *,
        rescan_s: float,
        wake_large: Callable[[], None],
        publish_reference: Callable[[Post], None],
        note_clock: Callable[[], None],
        is_stopping: Callable[[], bool],
    ) -> None:
        self._posts = posts
        self._watcher = watcher
        self._gate = gate
        self._gates = gates
        self._small = small
        self._large_intake = large
        self._rescan_s = rescan_s
        self._wake_large = wake_large
        self._publish_reference = publish_reference
        self._note_clock = note_clock
        self._is_stopping = is_stopping
        self._large: deque[tuple[Post, Claim]] = deque()
        self._scan_at = dict.fromkeys((post.key for post in posts.posts), 0.0)
        self._recovering: dict[str, Iterator[Claim]] = {}
        self._to_recover = {post.key for post in posts.posts}
        self.paused: frozenset[str] = frozenset()

    # -- small drops ------------------------------------------------------------------------

    def turn(self) -> float | None:
        """Take what was hinted at; now and then look at everything."""
        self._note_clock()
        if not self._gate.is_open():
            self.paused = frozenset(post.key for post in self._posts.posts)
            return PAUSED_LOOK_S
        looks: list[float] = []
        again = self._small.retry()
        if again is not None:
            looks.append(again)
        paused: set[str] = set()
        for post in self._posts.posts:
            if self._is_stopping():
                break
            if not post.attempt("intake", partial(self._round, post, looks, paused)):
                looks.append(TROUBLE_LOOK_S)
        self.paused = frozenset(paused)
        return min(looks, default=None)

    def _round(self, post: Post, looks: list[float], paused: set[str]) -> None:
        if not self._gates[post.key].is_open():
            paused.add(post.key)
            looks.append(PAUSED_LOOK_S)
            return
        if post.key in self._to_recover and not self._recover_some(post):
            looks.append(0.0)
            return
        if "reference" in post.troubles:
            self._publish_reference(post)
        now = clock.monotonic()
        folder = post.paths.outbound
        is_polled = folder in self._watcher.polled
        is_behind = self._watcher.take_behind(folder)
        is_time = now >= self._scan_at[post.key] and not post.sweeper.is_scanning
        if is_behind or is_time:
            post.sweeper.start_scan(catch_up=is_behind or is_polled)
            every_s = min(self._rescan_s, POLL_S) if is_polled else self._rescan_s
            self._scan_at[post.key] = now + every_s
        found = post.sweeper.sweep(lambda limit: self._watcher.take_hints(folder, limit), BATCH)
        self._take(post, found)
        look = post.sweeper.next_look()
        are_hinted = self._watcher.has_hints(folder) and not post.sweeper.is_holding
        if post.sweeper.has_more or are_hinted or len(found) >= BATCH:
            look = 0.0
        if look is not None:
            looks.append(look)
        if not post.sweeper.is_scanning:
            looks.append(max(0.0, self._scan_at[post.key] - clock.monotonic()))

    def _take(self, post: Post, found: list[Claim | Refused] | list[Claim]) -> None:
        large = [item for item in found if isinstance(item, Claim) and _size(item) > LARGE_BYTES]
        small = [item for item in found if item not in large]
        if small:
            self._small.take_safely(post, small)
        if large:
            # Only now: what was dropped before a large one is to be in the journal before it.
            self._large.extend((post, claim) for claim in large)
            self._wake_large()

    # -- after a crash, a remount -------------------------------------------------------------

    def recover(self) -> None:
        """Finish what a crash cut off; a spool that cannot be reached now is recovered when it can."""
        for post in self._posts.posts:
            post.attempt("intake", partial(self._recover_all, post))

    def swapped(self, post: Post) -> None:
        """Another folder stands where `outbound/` was."""
        log.warning("outbound-swapped", spool=post.key)
        self._recovering.pop(post.key, None)
        self._to_recover.add(post.key)
        self._watcher.watch_again(post.paths.outbound)

    def _recover_all(self, post: Post) -> None:
        while not self._recover_some(post):
            pass

    def _recover_some(self, post: Post) -> bool:
        """Take a batch of left-over claims. Returns: whether that were all."""
        claims = self._recovering.pop(post.key, None)
        if claims is None:
            trash.empty(post.paths)
            claims = post.sweeper.recover()
        batch = list(islice(claims, BATCH))  # where this fails the next turn looks from the start
        self._recovering[post.key] = claims
        self._take(post, batch)
        if len(batch) == BATCH:
            return False
        del self._recovering[post.key]
        self._to_recover.discard(post.key)
        return True

    # -- large drops ------------------------------------------------------------------------

    def large_turn(self) -> float | None:
        """Take large drops one by one while there is room for them."""
        if not self._gate.is_open():
            return PAUSED_LOOK_S
        look: float | None = None
        for _ in range(len(self._large)):
            if self._is_stopping():
                return None
            post, claim = self._large.popleft()
            is_fine = post.attempt("intake-large", partial(self._is_roomy, post))
            is_fine = is_fine and not self._small.waits_before(post, claim)
            if not is_fine or not self._is_roomy(post) or not self._gate.is_open():
                self._large.append((post, claim))
                look = PAUSED_LOOK_S
                continue
            self._large_intake.take_safely(post, [claim])
        again = self._large_intake.retry()
        return again if look is None else look if again is None else min(look, again)

    def _is_roomy(self, post: Post) -> bool:
        return self._gates[post.key].is_open()


def _size(claim: Claim) -> int:
    """Bytes of a drop, looking no further than needed to call it large."""
    try:
        with beneath.Folder.at(claim.path.parent) as folder:
            return beneath.size(folder, os.fsencode(claim.path.name), LARGE_BYTES)
    except OSError:
        return 0
