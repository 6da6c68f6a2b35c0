"""Sizes of SFTP requests, and which of them a line is given."""

from __future__ import annotations

import time
from collections.abc import Callable

BLOCK = (32 << 10) - 256
"""Every server takes 32 KiB a request. So much less goes, with the request's own bytes, into one packet
of SSH instead of two."""
BIG_BLOCK = (256 << 10) - 1024
"""What a request carries on a quick line, where the server says that it takes as much: most of what a
packet costs, at both ends, it costs whatever its size."""
QUICK_BYTES, QUICK_S = 2 << 20, 1.0
"""A line is quick that moved so much within that time; on a slow one a large request is a long step."""


class Blocks:
    """How much one request carries: little until the line has shown that it is quick.

    most: asked once it has; in bytes, not above `BIG_BLOCK`.
    """

    def __init__(self, most: Callable[[], int]) -> None:
        self.size = BLOCK
        self._most = most
        self._is_settled = False
        self._moved = 0
        self._began = time.monotonic()

    def moved(self, size_bytes: int) -> None:
        """So much was answered."""
        self._moved += size_bytes
        if self._is_settled or self._moved < QUICK_BYTES:
            return
        now = time.monotonic()
        if now - self._began <= QUICK_S:
            self.size = max(BLOCK, min(self._most(), BIG_BLOCK))
            self._is_settled = True
        self._moved, self._began = 0, now
