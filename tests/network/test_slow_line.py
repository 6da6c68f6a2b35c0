"""A slow line: what moves is never broken, what does not is noticed.

The deadlines are shorter than in production, and the lines as much quicker.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest
from faultproxy import Fault, FaultProxy

from frontgate.errors import TransportError
from frontgate.hub.admin import new_ssh_key
from frontgate.transports import Transport, sftp
from frontgate.transports import line as line_module
from frontgate.transports.line import Line, Moved, Patient
from frontgate.transports.sftp import SftpPeer, connect_sftp
from frontgate.values import replace
from network.servers import SERVERS, Server, openssh

STEP_S = 2.0
NOTICED_S = 5 * STEP_S
SIZE = 200_000


def named(data: bytes) -> str:
    return f"{1:016d}-{hashlib.sha256(data).hexdigest()}.bundle"


def upload(server: Server, transport: Transport, data: bytes) -> None:
    name = named(data)
    transport.put(name, io.BytesIO(data), len(data))
    assert (server.home / "to-hub" / name).read_bytes() == data


def download(server: Server, transport: Transport, data: bytes) -> None:
    name, got = named(data), bytearray()
    server.place(name, data)
    transport.get(name, got.extend)
    assert bytes(got) == data


@pytest.mark.parametrize(
    ("kind", "work"), [("embedded", upload), ("embedded", download), ("openssh", upload)]
)
def test_a_line_on_which_an_answer_takes_longer_than_a_step(
    kind: str, work: Callable[[Server, Transport, bytes], None], tmp_path: Path
) -> None:
    """32 KiB to an answer at 10 kB/s, against 2 s: as 500 bytes a second against the usual minute."""
    data = random.Random(1).randbytes(70_000)
    with (
        SERVERS[kind](tmp_path) as server,
        FaultProxy(
            server.peer.port,
            lambda n: Fault("slow", 5_000, work is upload, 1e9, pace=10_000),
            is_bare=True,
        ) as proxy,
    ):
        transport = connect_sftp(server.through(proxy.port, step_timeout_s=STEP_S))
        began = time.monotonic()
        work(server, transport, data)
        assert time.monotonic() - began > 3 * STEP_S
        assert proxy.connections == 1
        transport.close()


@pytest.mark.parametrize("said", [[b"SSH-2.0-x\r\n"], [b"S"] * 100], ids=["greets", "trickles"])
def test_a_server_that_begins_and_goes_no_further_is_noticed(
    said: list[bytes], tmp_path: Path
) -> None:
    new_ssh_key(tmp_path / "client")
    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError):
                for piece in said:
                    client.send(piece)
                    is_over.wait(0.1)
                is_over.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        peer = SftpPeer(
            "127.0.0.1", listener.getsockname()[1], "a", tmp_path / "client",
            ("ssh-ed25519 AAAA",), connect_timeout_s=0.3,
        )  # fmt: skip
        with pytest.raises(TransportError) as caught:
            connect_sftp(peer)
        is_over.set()
        thread.join()
    assert caught.value.code in ("FG-TRN-004", "FG-TRN-005")


def holds_little(sock: socket.socket) -> None:
    """So that a session waits to send with less under way."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768)  # the kernel doubles it


class Hasty:
    """A clock that runs so many times as quick."""

    def __init__(self, times: float) -> None:
        self._began, self._times = time.time(), times

    def time(self) -> float:
        return self._began + (time.time() - self._began) * self._times


@contextlib.contextmanager
def new_keys_on_a_slow_line(tmp_path: Path) -> Iterator[tuple[Server, Transport]]:
    """The server changes keys every two seconds, and 20 kB/s come through; over one connection to the end."""
    with (
        openssh(tmp_path, "RekeyLimit default 2s\n") as server,
        FaultProxy(
            server.peer.port, lambda n: Fault("slow", 5_000, True, 1e9, pace=20_000), is_bare=True
        ) as proxy,
    ):
        transport = connect_sftp(server.through(proxy.port, step_timeout_s=STEP_S))
        yield server, transport
        assert proxy.connections == 1
        transport.close()


@pytest.mark.timeout(90)
def test_new_keys_that_wait_behind_what_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library gives a change of keys half a minute; here 1.5 s, and what lies before it takes three."""
    data = random.Random(4).randbytes(250_000)
    monkeypatch.setattr(sftp, "_probe_when_idle", holds_little)
    with new_keys_on_a_slow_line(tmp_path) as (server, transport):
        monkeypatch.setattr(paramiko.transport, "time", Hasty(20.0))
        upload(server, transport, data)


@pytest.mark.timeout(60)
def test_new_keys_that_take_longer_than_signs_of_life_are_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that would send one is the one that exchanges the keys: it must not wait for them."""
    data = random.Random(6).randbytes(150_000)
    monkeypatch.setattr(sftp, "_SIGN_OF_LIFE_S", 0.5)
    monkeypatch.setattr(sftp, "_NEW_KEYS_S", 12.0)
    monkeypatch.setattr(sftp, "_probe_when_idle", holds_little)
    with new_keys_on_a_slow_line(tmp_path) as (server, transport):
        upload(server, transport, data)


def test_new_keys_now_and_then_while_packets_go_out_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was gathered when the keys change goes out before the library's own part of that."""
    changes: list[object] = []
    real = paramiko.Transport._send_kex_init

    def counted(self: paramiko.Transport) -> None:
        changes.append(self)
        real(self)

    monkeypatch.setattr(paramiko.Transport, "_send_kex_init", counted)
    data = random.Random(5).randbytes(64 << 20)
    with openssh(tmp_path, "RekeyLimit 4M\n") as server:
        transport = connect_sftp(server.peer)
        upload(server, transport, data)
        transport.close()
    assert len(changes) > 10


@pytest.mark.timeout(60)
def test_a_middle_that_confirms_nothing_for_long_while_answers_come(tmp_path: Path) -> None:
    """Its window stays shut for longer than the line may stand still, and what it holds goes on."""
    data = random.Random(2).randbytes(250_000)
    with (
        SERVERS["embedded"](tmp_path) as server,
        FaultProxy(
            server.peer.port, lambda n: Fault("slow", 5_000, True, 1e9, pace=20_000)
        ) as proxy,
    ):
        transport = connect_sftp(server.through(proxy.port, step_timeout_s=STEP_S))
        upload(server, transport, data)
        assert proxy.connections == 1
        transport.close()


STANDS_STILL = {"all-confirmed": 60_000, "waits": SIZE, "cannot-send": 50 * SIZE}
"""Bytes to send, of which 50 000 come through."""


@pytest.mark.parametrize("how", STANDS_STILL)
@pytest.mark.parametrize("kind", ["half-open", "stall"])
def test_a_line_on_which_nothing_moves_is_noticed(
    kind: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it waits for answers, to what is confirmed and to what is not, and cannot even send."""
    size = STANDS_STILL[how]
    data = random.Random(3).randbytes(size)
    if how == "cannot-send":
        monkeypatch.setattr(sftp, "_probe_when_idle", holds_little)
    with (
        SERVERS["embedded"](tmp_path) as server,
        FaultProxy(server.peer.port, lambda n: Fault(kind, 50_000, True, 1e6)) as proxy,
    ):
        transport = connect_sftp(server.through(proxy.port, step_timeout_s=STEP_S))
        began = time.monotonic()
        proxy.close_after(NOTICED_S)
        with pytest.raises(TransportError) as caught:
            transport.put(named(data), io.BytesIO(data), size)
        assert time.monotonic() - began < NOTICED_S, "nobody noticed"
        assert caught.value.code in ("FG-TRN-004", "FG-TRN-005")
        transport.close()


@pytest.fixture
def pair() -> Iterator[tuple[Line, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname(), timeout=0.05)
        theirs, _ = listener.accept()
        line = Line(ours, 1.0)
        yield line, theirs
        line.close()
        theirs.close()


def wait_on(line: Line, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            line.recv(100)
        except TimeoutError:
            continue


def fill(line: Line) -> None:
    try:
        while True:
            line.send(b"x" * 65536)
    except TimeoutError:
        return


def test_an_idle_line_on_which_all_is_confirmed_is_left_alone(
    pair: tuple[Line, socket.socket],
) -> None:
    line, _ = pair
    line.send(b"x" * 1000)
    wait_on(line, 2.0)
    assert not line.moved().is_owed
    assert line.moved().acked >= 1000


def test_an_idle_line_that_owes_a_confirmation_ends(pair: tuple[Line, socket.socket]) -> None:
    line, _ = pair
    fill(line)
    with pytest.raises(ConnectionAbortedError):
        wait_on(line, 3.0)
    with pytest.raises(ConnectionAbortedError):
        for _ in range(60):
            fill(line)


@contextlib.contextmanager
def said_now_and_then(theirs: socket.socket, said: bytes) -> Iterator[None]:
    done = threading.Event()

    def say() -> None:
        while not done.wait(0.4):
            theirs.send(said)

    thread = threading.Thread(target=say)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


SHORTEST_ANSWER = b"a" * 68


def test_a_line_that_owes_but_hears_goes_on(
    pair: tuple[Line, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_module, "LONG", 2)
    line, theirs = pair
    fill(line)
    with said_now_and_then(theirs, SHORTEST_ANSWER):
        wait_on(line, 6.0)
    assert line.moved().is_owed


def test_a_line_that_owes_and_hears_next_to_nothing_ends(
    pair: tuple[Line, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_module, "LONG", 2)
    line, theirs = pair
    fill(line)
    with (
        said_now_and_then(theirs, b"a"),
        pytest.raises(ConnectionAbortedError, match="next to nothing"),
    ):
        wait_on(line, 6.0)


class Silent:
    """A channel on which nothing comes within a step. during: what the line does meanwhile."""

    out_max_packet_size = 32_768
    out_window_size = 0

    def __init__(self, during: Callable[[], object]) -> None:
        self._during = during
        self.steps = 0

    def recv(self, size: int) -> bytes:
        self.steps += 1
        assert self.steps < 10, "nobody noticed"
        self._during()
        raise TimeoutError

    def send(self, data: bytes) -> int:
        return len(self.recv(len(data)))


def test_signs_of_life_alone_are_no_progress(pair: tuple[Line, socket.socket]) -> None:
    """Both ends say now and then that they live: a transfer behind that may stand still all the same."""
    line, theirs = pair
    channel = Silent(lambda: (theirs.send(b"x" * 100), time.sleep(0.1)))
    patient = Patient(channel, line, 20.0)
    with pytest.raises(TimeoutError):
        patient.recv(10)
    with pytest.raises(TimeoutError):
        patient.sendall(b"x")
    assert channel.steps == 2


def test_bytes_that_come_are_progress_until_they_stop(pair: tuple[Line, socket.socket]) -> None:
    line, theirs = pair
    left = [200, 200, 10]
    channel = Silent(lambda: (theirs.send(b"x" * left.pop(0)), time.sleep(0.1)))
    with pytest.raises(TimeoutError):
        Patient(channel, line, 20.0).recv(10)
    assert channel.steps == 3


def test_what_is_sent_again_and_only_counted_at_the_other_end_is_progress() -> None:
    """A line whose queue holds minutes: 1500 bytes at 1 kB/s, each answered by an empty segment."""
    before = Moved(5000, 5000, 100, in_flight=True, is_owed=True)
    assert replace(before, segments=140).is_progress(before, 60)
    signs_of_life = replace(before, acked=5104, received=5088, segments=105)
    assert not signs_of_life.is_progress(before, 60)
    window_stays_shut = replace(before, segments=140, in_flight=False)
    assert not window_stays_shut.is_progress(before, 60)


def test_a_byte_a_minute_serves_nobody() -> None:
    """Over twenty minutes at the usual pace, in which 375 bytes a second would carry 450 kB."""
    before = Moved(5000, 5000, 100, in_flight=True, is_owed=True)
    assert not replace(before, acked=5020, segments=120).has_served(before, 120)
    answers_alone = replace(before, received=5000 + 9 * len(SHORTEST_ANSWER), in_flight=False)
    assert answers_alone.has_served(before, 120)
    sent_again = replace(before, segments=100 + 1200 * 375 // 1500)
    assert sent_again.has_served(before, 120)
