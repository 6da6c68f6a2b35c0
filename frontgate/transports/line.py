"""A TCP connection that knows whether it still moves, by what the other end's kernel confirmed.

Why not TCP_USER_TIMEOUT: where something between holds back what it took, the window stays shut for long
while all goes on behind it, and that timer ends the connection; and why not a deadline on each answer
alone: on a line that is slow enough a single answer takes longer than any deadline.
Guarantees: `Line` ends no connection over which an answer comes in each `standstill_s`; one with something
under way over which nothing moves, within twice that, and one over which next to nothing moves (`LEAST_ANSWER`),
within twice `LONG` times that. `Patient` ends a step in which less than `LEAST_PACE` moved, within two steps.
An end that moves just as much as that can hold a session for as long as it likes.
Source: tcp(7), TCP_INFO; Linux counts both ways (4.1).
"""

from __future__ import annotations

import errno
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from frontgate.values import Struct

LEAST_PACE = 10
"""Bytes a second that count as progress: more than what both ends send to show that they live."""
LEAST_ANSWER = 32
"""Bytes in each `standstill_s` without which nothing is served. The shortest answer takes 68, and where
something between holds back what it took, answers are all that moves: on the slowest lines one a minute or two."""
LONG = 10
"""Over so many `standstill_s` they are counted together."""
_AHEAD = 64 << 10
_LOOK_S = 0.25
_HEADERS_BYTES = 52
"""What each segment that comes takes of the line by itself. A line whose queue holds minutes carries for
minutes what its sender took for lost and sent again: nothing but empty segments comes of that."""
_INFO_BYTES, _UNACKED, _MOVED, _SEGMENTS = 148, 24, 120, 140
"""Of struct tcp_info: its length so far, and where it tells of segments under way, bytes acknowledged and
received, segments received and bytes waiting."""


class Moved(Struct, frozen=True):
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

    def has_served(self, earlier: Moved, standstill_s: float) -> bool:
        """Whether it was worth waiting since `earlier`, which is `LONG` times `standstill_s` ago."""
        # Not by segments alone unless there are as many as of a line that works: who confirms a byte now and
        # then sends one for each.
        is_answered = self.payload(earlier) >= LONG * LEAST_ANSWER
        return is_answered or self.is_progress(earlier, LONG * standstill_s)


class Line(socket.socket):
    """A connected socket that takes the place of `sock`. For a reader that waits in short steps: a
    receive or send that times out looks whether anything moves.

    Raises: ConnectionAbortedError from `recv` and `send`, and at the end of `gathering`, at a standstill; other
    OSErrors as a socket does, there too.
    """

    def __init__(self, sock: socket.socket, standstill_s: float) -> None:
        timeout = sock.gettimeout()
        super().__init__(fileno=sock.detach())
        self.settimeout(timeout)
        self._standstill_s = standstill_s
        self._came, self._at = b"", 0
        self._looked = time.monotonic()
        self._last = self._long = (self.moved(), self._looked)
        self._sending = threading.Lock()
        self._gatherer: int | None = None
        self._gathered = bytearray()

    def moved(self) -> Moved:
        info = self.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        (unacked,) = struct.unpack_from("=I", info, _UNACKED)
        acked, received = struct.unpack_from("=QQ", info, _MOVED)
        segments, not_sent = struct.unpack_from("=II", info, _SEGMENTS)
        return Moved(acked, received, segments, unacked > 0, unacked > 0 or not_sent > 0)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """At most `size` bytes. What came with them is kept for the next call: the library asks for the head and
        the rest of each packet by itself, and each call lets other threads go first.
        """
        if self._at == len(self._came):
            try:
                self._came, self._at = super().recv(max(size, _AHEAD), flags), 0
            except TimeoutError:
                self._look()
                raise
        data = self._came[self._at : self._at + size]
        self._at += len(data)
        return data

    def send(self, data: Any, flags: int = 0, /) -> int:
        with self._sending:
            if self._gatherer == threading.get_ident():
                self._gathered += data
                return len(data)
            self._send_gathered()
            return self._send_some(data, flags)

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """What this thread sends meanwhile goes out at the end, in one call of the system for all of it; before
        that, where another thread sends something: the order is kept. For one thread at a time, which must
        not wait for the other end once it has sent something.
        """
        self._gatherer = threading.get_ident()
        try:
            yield
        finally:
            self._gatherer = None
            while self._gathered:
                try:
                    with self._sending:
                        self._send_gathered()
                except TimeoutError:
                    continue

    def _send_gathered(self) -> None:
        while self._gathered:
            del self._gathered[: self._send_some(self._gathered, 0)]

    def _send_some(self, data: Any, flags: int) -> int:
        try:
            return super().send(data, flags)
        except TimeoutError:
            self._look()
            raise

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        seen, standstill_s = self.moved(), self._standstill_s
        # Where this process stood still itself, time counts from now on.
        was_away = now - self._looked > standstill_s
        self._looked = now
        if was_away or not seen.is_owed:
            self._last = self._long = (seen, now)
            return
        before, since = self._last
        has_moved = seen.payload(before) > 0
        if not has_moved and now - since >= standstill_s:
            has_moved = seen.is_progress(before, standstill_s)
            if not has_moved:
                raise ConnectionAbortedError(errno.ECONNABORTED, "nothing moves any more")
        if has_moved:
            self._last = (seen, now)
        before, since = self._long
        if now - since >= LONG * standstill_s:
            if not seen.has_served(before, standstill_s):
                raise ConnectionAbortedError(errno.ECONNABORTED, "next to nothing moves")
            self._long = (seen, now)


class SteppedChannel(Protocol):
    """A channel of the library: each call raises TimeoutError when its deadline passes. Bytes: the most of a
    packet, and what may be sent before the other end takes some.
    """

    out_max_packet_size: int
    out_window_size: int

    def send(self, data: bytes, /) -> int: ...

    def recv(self, size: int, /) -> bytes: ...


class Patient:
    """A channel whose deadline begins anew as long as its line moves.

    Raises: TimeoutError after a step in which less than `LEAST_PACE` bytes a second moved; EOFError and other
    OSErrors where the channel or the line has ended.
    """

    def __init__(self, channel: SteppedChannel, line: Line, step_s: float) -> None:
        self._channel = channel
        self._line = line
        self._step_s = step_s

    def sendall(self, data: bytes) -> None:
        at, most = 0, self._channel.out_max_packet_size
        while at < len(data):
            before = self._line.moved()
            try:
                with self._line.gathering():
                    at += self._send_packet(data[at : at + most])
                    # As many more as need not be waited for.
                    while at < len(data) and self._channel.out_window_size >= most:
                        at += self._send_packet(data[at : at + most])
            except TimeoutError:
                if not self._moves(before):
                    raise

    def _send_packet(self, data: bytes) -> int:
        sent = self._channel.send(data)
        if not sent:
            raise EOFError("the channel is closed")
        return sent

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
