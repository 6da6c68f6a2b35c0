"""A TCP connection that knows whether it still moves, by what the other end's kernel confirmed.

Why not TCP_USER_TIMEOUT: where something between holds back what it took, the window stays shut for long
while all goes on behind it, and that timer ends the connection; and why not a deadline on each answer
alone: on a line that is slow enough a single answer takes longer than any deadline.
Guarantees: `Line` ends no connection over which something moves; one with something under way over which
nothing moves, within twice `standstill_s`. `Patient` ends a step in which less than `LEAST_PACE` moved,
within two steps.
Source: tcp(7), TCP_INFO; Linux counts both ways (4.1).
"""

from __future__ import annotations

import errno
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any, Protocol

LEAST_PACE = 10
"""Bytes a second that count as progress: more than what both ends send to show that they live."""
_LOOK_S = 0.25
_HEADERS_BYTES = 52
"""What each segment that comes takes of the line by itself. A line whose queue holds minutes carries for
minutes what its sender took for lost and sent again: nothing but empty segments comes of that."""
_INFO_BYTES, _UNACKED, _MOVED, _SEGMENTS = 148, 24, 120, 140
"""Of struct tcp_info: its length so far, and where it tells of segments under way, bytes acknowledged and
received, segments received and bytes waiting."""


@dataclass(frozen=True, slots=True)
class Moved:
    """acked, received: bytes since the connection began; segments: that came. in_flight: something sent
    is not confirmed. is_owed: or waits to be sent.
    """

    acked: int
    received: int
    segments: int
    in_flight: bool
    is_owed: bool

    def payload(self, earlier: Moved) -> int:
        """Bytes that moved since `earlier`, both ways."""
        return self.acked - earlier.acked + self.received - earlier.received

    def is_progress(self, earlier: Moved, seconds: float) -> bool:
        """Whether enough moved since `earlier`, which is so long ago."""
        # With nothing in flight they only say, each time they are asked, that the window is still shut.
        headers = _HEADERS_BYTES * (self.segments - earlier.segments) if self.in_flight else 0
        return self.payload(earlier) + headers >= LEAST_PACE * seconds


class Line(socket.socket):
    """A connected socket that takes the place of `sock`. For a reader that waits in short steps: a
    receive or send that times out looks whether anything moves.

    Raises: ConnectionAbortedError from `recv` and `send` at a standstill.
    """

    def __init__(self, sock: socket.socket, standstill_s: float) -> None:
        timeout = sock.gettimeout()
        super().__init__(fileno=sock.detach())
        self.settimeout(timeout)
        self._standstill_s = standstill_s
        self._seen = self.moved()
        self._since = self._looked = time.monotonic()

    def moved(self) -> Moved:
        info = self.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        (unacked,) = struct.unpack_from("=I", info, _UNACKED)
        acked, received = struct.unpack_from("=QQ", info, _MOVED)
        segments, not_sent = struct.unpack_from("=II", info, _SEGMENTS)
        return Moved(acked, received, segments, unacked > 0, unacked > 0 or not_sent > 0)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        try:
            return super().recv(size, flags)
        except TimeoutError:
            self._look()
            raise

    def send(self, data: Any, flags: int = 0, /) -> int:
        try:
            return super().send(data, flags)
        except TimeoutError:
            self._look()
            raise

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        seen = self.moved()
        has_moved = not seen.is_owed or seen.payload(self._seen) > 0
        if not has_moved and now - self._since >= self._standstill_s:
            has_moved = seen.is_progress(self._seen, self._standstill_s)
            if not has_moved:
                raise ConnectionAbortedError(errno.ECONNABORTED, "nothing moves any more")
        if has_moved:
            self._seen, self._since = seen, now


class SteppedChannel(Protocol):
    """A channel of the library: each call raises TimeoutError when its deadline passes."""

    def send(self, data: bytes, /) -> int: ...

    def recv(self, size: int, /) -> bytes: ...


class Patient:
    """A channel whose deadline begins anew as long as its line moves.

    Raises: TimeoutError after a step in which less than `LEAST_PACE` bytes a second moved.
    """

    def __init__(self, channel: SteppedChannel, line: Line, step_s: float) -> None:
        self._channel = channel
        self._line = line
        self._step_s = step_s

    def sendall(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            before = self._line.moved()
            try:
                sent = self._channel.send(data[at:])
            except TimeoutError:
                if not self._moves(before):
                    raise
                continue
            if not sent:
                raise EOFError("the channel is closed")
            at += sent

    def recv(self, size: int) -> bytes:
        while True:
            before = self._line.moved()
            try:
                return self._channel.recv(size)
            except TimeoutError:
                if not self._moves(before):
                    raise

    def _moves(self, before: Moved) -> bool:
        return self._line.moved().is_progress(before, self._step_s)
