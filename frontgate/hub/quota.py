"""How much one account may have waiting at the hub, so that none fills the disk for all.

Counted are the packages of its units that receivers have not taken yet, and what of its uploads was set
aside lately. Above the limit its uploads stay where they are and are looked at again; the gateway
sees them lie there and holds back. Uploads that outgrow the limit in `to-hub/` itself are refused, the
newest first: they travel again later. Other accounts notice nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from frontgate import clock
from frontgate.errors import BundleError
from frontgate.hub.mailboxes import ACCOUNT, BUNDLE_NAME, Mailbox
from frontgate.journal import Reader
from frontgate.journal.states import AGING, either
from frontgate.model.unit import Directory

REFRESH_S = 10.0
ASIDE_S = 7 * 86400.0


class Quotas:
    """Counts and judges. For any thread. limit_bytes: 0 for none."""

    def __init__(
        self, reader: Reader, directory: Callable[[], Directory], limit_bytes: int
    ) -> None:
        self._reader = reader
        self._directory = directory
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._waiting: dict[str, int] = {}
        self._counted_at = -REFRESH_S
        self._cost_s = 0.0
        self.troubles: dict[str, BundleError] = {}

    def has_room(self, mailbox: Mailbox, size_bytes: int) -> bool:
        """Whether an upload of that size may be taken now; it counts from then on."""
        if not self._limit:
            return True
        with self._lock:
            self._count()
            total = self._waiting.get(mailbox.account, 0) + size_bytes
            if total > self._limit and total > size_bytes:
                self.troubles[mailbox.account] = self._error(mailbox, total)
                return False
            self._waiting[mailbox.account] = total
            self.troubles.pop(mailbox.account, None)
            return True

    def too_much(self, mailbox: Mailbox) -> tuple[list[str], BundleError | None]:
        """Complete uploads to refuse, because `to-hub/` holds more than the limit, and why.

        The oldest always stays: a single bundle is never refused for its size alone.
        """
        total, uploads = 0, []
        with os.scandir(mailbox.to_hub) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    size = entry.stat(follow_symlinks=False).st_size
                    total += size
                    if BUNDLE_NAME.fullmatch(entry.name):
                        uploads.append((entry.name, size))
        if not self._limit or total <= self._limit:
            return [], None
        error = self._error(mailbox, total)
        refused: list[str] = []
        for name, size in sorted(uploads, reverse=True)[:-1]:
            if total <= self._limit:
                break
            refused.append(name)
            total -= size
        return refused, error

    def _error(self, mailbox: Mailbox, size_bytes: int) -> BundleError:
        return BundleError(
            "FG-BND-013", account=mailbox.account, size=size_bytes, limit=self._limit
        )

    def _count(self) -> None:
        """Count anew now and then; in between what is taken is added."""
        now = clock.monotonic()
        if now - self._counted_at < max(REFRESH_S, 20 * self._cost_s):
            return
        found: dict[str, int] = {}
        units = self._directory().units
        for sender, size in self._reader.all(
            "SELECT sender, sum(size_bytes) FROM package WHERE id IN (SELECT package_id FROM transfer"  # noqa: S608
            f" WHERE {either(AGING)}) GROUP BY sender"
        ):
            if str(sender) in units:
                account = units[str(sender)].account
                found[account] = found.get(account, 0) + int(size)
        since = clock.now().timestamp() - ASIDE_S
        for origin, size in self._reader.all(
            "SELECT origin, sum(size_bytes) FROM quarantine WHERE unixepoch(at) > ? GROUP BY origin",
            since,
        ):
            account = str(origin).removeprefix(ACCOUNT)
            found[account] = found.get(account, 0) + int(size)
        self._waiting = found
        self._counted_at = clock.monotonic()
        self._cost_s = self._counted_at - now
