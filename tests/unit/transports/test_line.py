"""A line gives its bytes in the pieces that are asked for, and asks the system less often."""

import socket
from collections.abc import Iterator

import pytest

from frontgate.transports.line import Line


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
    got = b""
    while len(got) < len(data):
        got += line.recv(200_000)
    assert got == data


def test_a_wait_that_ends_without_a_byte_says_so(ends: tuple[Line, socket.socket]) -> None:
    line, _ = ends
    line.settimeout(0.05)
    with pytest.raises(TimeoutError):
        line.recv(1)
