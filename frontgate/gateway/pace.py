"""The pace of large files: `rate_limit` by the time of day, shared by both directions.

Small messages never pass through here. While a limit of 0 holds, no large file begins, and one that
is under way rests with its connection open.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from frontgate import clock
from frontgate.core.pacing import Bucket, RateWindow, rate_at
from frontgate.errors import TransportError
from frontgate.transports import Source

PIECE_S = 0.5
"""Longest single rest: a stop or a new time of day is noticed after it."""


class Pace:
    """One line's limit. For several threads."""

    LOOK_S = 20.0

    def __init__(self, windows: Sequence[RateWindow], is_stopping: Callable[[], bool]) -> None:
        self._windows = tuple(windows)
        self._is_stopping = is_stopping
        self._bucket = Bucket(0.0, clock.monotonic())
        self._lock = threading.Lock()

    def is_paused(self) -> bool:
        return rate_at(self._windows, clock.now()) == 0

    def source(self, source: Source) -> Source:
        return _PacedSource(source, self._spend)

    def sink(self, sink: Callable[[bytes], object]) -> Callable[[bytes], object]:
        def paced(data: bytes) -> None:
            self._spend(len(data))
            sink(data)

        return paced

    def _spend(self, size_bytes: int) -> None:
        """Wait until so many bytes may pass. Raises: TransportError FG-TRN-005 when stopping."""
        while (rate := rate_at(self._windows, clock.now())) == 0:
            self._rest(PIECE_S)
        if rate is None:
            return
        with self._lock:
            self._bucket, wait_s = self._bucket.spend(size_bytes, rate=rate, now=clock.monotonic())
        while wait_s > 0:
            piece = min(PIECE_S, wait_s)
            self._rest(piece)
            wait_s -= piece

    def _rest(self, seconds: float) -> None:
        if self._is_stopping():
            raise TransportError("FG-TRN-005", what="stopping")
        time.sleep(seconds)


class _PacedSource:
    def __init__(self, source: Source, spend: Callable[[int], None]) -> None:
        self._source = source
        self._spend = spend

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self._spend(len(data))
        return data

    def seek(self, offset: int, /) -> int:
        return self._source.seek(offset)
