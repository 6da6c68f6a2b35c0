"""How fast large files may travel at a time of day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from frontgate.values import Struct

LOCAL = timezone(timedelta(hours=8))
"""Times of day are those of the offices: UTC+08:00, whatever the machine is set to."""


class RateWindow(Struct, frozen=True):
    """From `begins` to `ends`, minutes after midnight; over midnight where `ends` is not later.

    bytes_per_s: 0 means that large files wait.
    """

    begins: int
    ends: int
    bytes_per_s: int

    def covers(self, minute: int) -> bool:
        if self.begins < self.ends:
            return self.begins <= minute < self.ends
        return minute >= self.begins or minute < self.ends


def rate_at(windows: Sequence[RateWindow], now: datetime) -> int | None:
    """The limit in bytes a second: the lowest of all windows that cover `now`; None without any.

    now: aware.
    """
    local = now.astimezone(LOCAL)
    minute = local.hour * 60 + local.minute
    return min((w.bytes_per_s for w in windows if w.covers(minute)), default=None)


class Bucket(Struct, frozen=True):
    """A token bucket: tokens in bytes, at a monotonic moment in seconds. May be in debt."""

    tokens: float
    at: float

    def spend(self, size_bytes: int, *, rate: int, now: float) -> tuple[Bucket, float]:
        """Spend after refilling at `rate`, at most one second's worth saved up.

        Returns: the bucket, and the seconds to wait until it is out of debt.
        """
        tokens = min(float(rate), self.tokens + (now - self.at) * rate) - size_bytes
        return Bucket(tokens, now), max(0.0, -tokens / rate)
