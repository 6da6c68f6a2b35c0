"""A line gives and takes bytes in the pieces that are asked for, and calls the system less often."""

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from frontgate.transports.line import Line, Patient


@pytest.fixture
def ends() -> Iterator[tuple[Line, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname(), timeout=5)
        far, _ = server.accept()
    line = Line(near, 5.0)
    yield line, far
    line.close()
    far.close()


def test_what_came_is_read_in_pieces_without_waiting_for_more(
    ends: tuple[Line, socket.socket],
) -> None:
    line, far = ends
    far.sendall(b"head" + b"body" * 3)
    assert line.recv(4) == b"head"
    line.settimeout(0)  # nothing more is asked of the system
    assert line.recv(6) == b"bodybo"
    assert line.recv(100) == b"dybody"
    with pytest.raises(BlockingIOError):
        line.recv(1)


def test_the_end_comes_after_the_last_byte(ends: tuple[Line, socket.socket]) -> None:
    line, far = ends
    far.sendall(b"last")
    far.close()
    assert line.recv(1) == b"l"
    assert line.recv(9) == b"ast"
    assert line.recv(9) == b""
    assert line.recv(9) == b""


def test_a_large_piece_comes_whole(ends: tuple[Line, socket.socket]) -> None:
    line, far = ends
    data = bytes(range(256)) * 1024
    far.settimeout(5)
    far.sendall(data)
    got: list[bytes] = []
    while sum(map(len, got)) < len(data):
        got.append(line.recv(200_000))
    assert b"".join(got) == data
    assert 65_536 < max(map(len, got)) <= 200_000


def test_a_wait_that_ends_without_a_byte_says_so(ends: tuple[Line, socket.socket]) -> None:
    line, _ = ends
    line.settimeout(0.05)
    with pytest.raises(TimeoutError):
        line.recv(1)


@contextlib.contextmanager
def other_thread(act: Callable[[], object]) -> Iterator[None]:
    thread = threading.Thread(target=act)
    thread.start()
    yield
    thread.join(10)
    assert not thread.is_alive()


def take(far: socket.socket, size: int) -> bytes:
    got = b""
    far.settimeout(5)
    while len(got) < size:
        data = far.recv(size - len(got))
        assert data, "the end came early"
        got += data
    return got


def test_what_is_gathered_goes_out_together_at_the_end(ends: tuple[Line, socket.socket]) -> None:
    line, far = ends
    far.setblocking(False)
    with line.gathering():
        assert line.send(b"one ") == 4
        line.send(b"two ")
        time.sleep(0.05)
        with pytest.raises(BlockingIOError):
            far.recv(100)
    line.send(b"three")
    assert take(far, 13) == b"one two three"


def test_another_thread_sends_what_was_gathered_before_its_own(
    ends: tuple[Line, socket.socket],
) -> None:
    """It may be what the gatherer waits for: an exchange of keys."""
    line, far = ends
    with line.gathering():
        line.send(b"gathered ")
        with other_thread(lambda: line.send(b"other ")):
            pass
        assert take(far, 15) == b"gathered other "
        line.send(b"more")
    assert take(far, 4) == b"more"


def test_more_than_the_socket_takes_goes_out_whole_and_in_order(
    ends: tuple[Line, socket.socket],
) -> None:
    line, far = ends
    line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    line.settimeout(0.02)
    data = random.Random(1).randbytes(1 << 20)
    got: list[bytes] = []

    def slow() -> None:
        time.sleep(0.2)  # several waits end without a byte
        got.append(take(far, len(data) + 4))

    with other_thread(slow):
        with line.gathering():
            for at in range(0, len(data), 32_000):
                line.send(data[at : at + 32_000])
        line.send(b"last")
    assert got == [data + b"last"]


def test_what_was_gathered_before_a_fault_goes_out(ends: tuple[Line, socket.socket]) -> None:
    """The library has numbered it: without it nothing after it can be read."""
    line, far = ends
    with pytest.raises(TimeoutError), line.gathering():
        line.send(b"numbered")
        raise TimeoutError
    assert take(far, 8) == b"numbered"


def test_a_line_that_stands_still_ends_what_is_gathered(ends: tuple[Line, socket.socket]) -> None:
    near, _ = ends
    near.settimeout(0.05)
    line = Line(near, 0.5)
    try:
        with pytest.raises(ConnectionAbortedError), line.gathering():
            for _ in range(200):
                line.send(b"x" * 65_536)
    finally:
        line.close()


def test_a_line_closed_meanwhile_ends_what_is_gathered(ends: tuple[Line, socket.socket]) -> None:
    line, _ = ends
    line.settimeout(0.05)

    def close_soon() -> None:
        time.sleep(0.3)
        line.close()

    with other_thread(close_soon), pytest.raises(OSError), line.gathering():
        for _ in range(200):
            line.send(b"x" * 65_536)


class Window:
    """A channel over a line, whose other end takes so much at first and the rest packet by packet."""

    out_max_packet_size = 1000

    def __init__(self, line: Line, window: int) -> None:
        self._line = line
        self.out_window_size = window

    def send(self, data: bytes) -> int:
        if not self.out_window_size:
            raise TimeoutError
        sent = min(len(data), self.out_window_size, self.out_max_packet_size - 64)
        self._line.send(data[:sent])
        self.out_window_size -= sent
        return sent

    def recv(self, size: int) -> bytes:
        raise AssertionError(size)


def test_as_many_packets_go_out_together_as_the_other_end_takes(
    ends: tuple[Line, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    line, far = ends
    channel = Window(line, 4000)
    data = random.Random(2).randbytes(9000)
    calls: list[int] = []
    real = socket.socket.send

    def counted(self: socket.socket, part: bytes, *flags: int) -> int:
        calls.append(len(part))
        return real(self, part, *flags)

    def room_again(_: object) -> bool:
        channel.out_window_size = 500
        return True

    monkeypatch.setattr(Line.__mro__[1], "send", counted, raising=False)
    monkeypatch.setattr(Patient, "_moves", lambda self, before: room_again(before))
    Patient(channel, line, 5.0).sendall(data)
    assert take(far, len(data)) == data
    assert calls[0] == 4 * 936
    assert all(size <= 500 for size in calls[1:])
