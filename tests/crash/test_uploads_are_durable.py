"""What the hub's SFTP server answered with OK outlasts a power cut: the real client against the real
server, which runs here, so that the model of a disk sees its steps.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from chaos_table import begin
from faults.disk import MODELS, NONE, Disk
from faults.world import MailboxTransport
from network.servers import ACCOUNT
from province import free_port, wait_for

from frontgate import durable
from frontgate.errors import TransportError
from frontgate.hub.admin import new_ssh_key
from frontgate.hub.sftp_server import Mailbox, serve
from frontgate.transports import Transport
from frontgate.transports.sftp import SftpPeer, connect_sftp
from frontgate.transports.sftp_wire import Sftp

DATA = random.Random(1).randbytes(150_000)
NAMES = [f"{n:016d}-{'a' * 64}.bundle" for n in range(4)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "root" / ACCOUNT
    for folder in ("to-hub", "from-hub"):
        (home / folder).mkdir(parents=True)
    return home


@pytest.fixture(autouse=True)
def without_probe() -> Iterator[None]:
    yield
    durable.probe = None


def upload_all(tmp_path: Path, home: Path, tries: int = 1) -> Disk:
    """Upload under all names, each with as many tries. Returns: the disk as the server's steps left it."""
    host_key, client = new_ssh_key(tmp_path / "host"), new_ssh_key(tmp_path / "client")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / ACCOUNT).write_text(client)
    port = free_port()
    config = {
        "host": "127.0.0.1", "port": port, "host_key": str(tmp_path / "host"), "root": str(home.parent),
        "keys": str(tmp_path / "keys"), "bell": str(tmp_path / "bell"),
    }  # fmt: skip
    faults: list[BaseException] = []

    def gateway() -> None:
        try:
            assert wait_for((tmp_path / "bell").exists)
            peer = SftpPeer("127.0.0.1", port, ACCOUNT, tmp_path / "client", (host_key,))
            transport = connect_sftp(peer)
            for name in NAMES:
                put(transport, name, tries)
            transport.close()
        except (AssertionError, TransportError) as fault:
            faults.append(fault)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    disk = Disk(home)
    durable.probe = disk.follow
    thread = threading.Thread(target=gateway)
    thread.start()
    asyncio.run(serve(config))
    thread.join()
    durable.probe = None
    assert not faults, faults
    return disk


def put(transport: Transport, name: str, tries: int) -> None:
    try:
        transport.put(name, io.BytesIO(DATA), len(DATA))
    except TransportError as fault:
        if tries == 1 or not fault.is_transient:
            raise
        put(transport, name, tries - 1)


def whole(home: Path) -> list[bool]:
    files = [home / "to-hub" / name for name in NAMES]
    return [file.exists() and file.read_bytes() == DATA for file in files]


@pytest.mark.parametrize("model", MODELS[:3])
def test_an_upload_that_was_answered_is_there_after_a_power_cut(
    tmp_path: Path, home: Path, model: str
) -> None:
    row = begin("power cut", "after an upload was answered")
    disk = upload_all(tmp_path, home)
    disk.cut(model, random.Random(2))
    assert whole(home) == [True] * len(NAMES)
    row.end(tried=len(NAMES))


def server_without_fsync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Mailbox, "fsync", lambda self, file: None)


def server_without_the_folder(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(durable, "fsync_dir", lambda path, *, dir_fd=None: None)


def client_that_does_not_ask(patch: pytest.MonkeyPatch) -> None:
    real = Sftp._parse_extensions
    without = staticmethod(lambda body: real(body) - {"fsync@openssh.com"})
    patch.setattr(Sftp, "_parse_extensions", without)


@pytest.mark.parametrize(
    "build", [server_without_fsync, server_without_the_folder, client_that_does_not_ask]
)
def test_a_build_that_leaves_out_an_fsync_is_found(
    tmp_path: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    build: Callable[[pytest.MonkeyPatch], None],
) -> None:
    build(monkeypatch)
    disk = upload_all(tmp_path, home)
    assert whole(home) == [True] * len(NAMES)
    disk.cut(NONE, random.Random(2))
    assert not any(whole(home))


class Failing:
    """Fails the next step of a name, once."""

    def __init__(self, step: str) -> None:
        self.step = step
        self.done: list[str] = []

    def __call__(self, moment: str, name: str, places: tuple[Any, ...]) -> None:
        if moment == "before" and name == self.step:
            self.step = ""
            raise OSError(errno.EIO, "injected")
        if moment == "after":
            self.done.append(name)


def test_a_name_whose_folder_could_not_be_synced_does_not_stay(home: Path) -> None:
    """The next try would find it, and take it for an upload that is safe."""
    transport = MailboxTransport(home, set())
    durable.probe = failing = Failing("fsync-dir")
    with pytest.raises(TransportError) as caught:
        transport.put(NAMES[0], io.BytesIO(DATA), len(DATA))
    assert caught.value.code == "FG-TRN-007"
    assert os.listdir(home / "to-hub") == []
    failing.done.clear()
    transport.put(NAMES[0], io.BytesIO(DATA), len(DATA))
    assert (home / "to-hub" / NAMES[0]).read_bytes() == DATA
    assert failing.done[-4:] == ["fsync", "link", "unlink", "fsync-dir"]


@pytest.mark.parametrize("kind", ["server", "client"])
def test_a_part_whose_fsync_failed_is_begun_anew(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The disk says once that it lost something; to go on with that part, or to sync it again, is to believe it.

    The server does not go on with it whoever asks; the client does not with a server that would (OpenSSH).
    """
    failed: list[bool] = []
    real = durable.fsync_file

    def fail_first(file: Any) -> None:
        if isinstance(file, int) and not failed:  # the server's
            failed.append(True)
            raise OSError(errno.EIO, "injected")
        real(file)

    monkeypatch.setattr(durable, "fsync_file", fail_first)
    if kind == "client":
        monkeypatch.setattr(Mailbox, "_mark", lambda self, file: None)
    else:
        monkeypatch.setattr(Sftp, "remove", lambda self, path: None)
    made: list[str] = []
    opened = durable.open_part

    def noted(path: bytes, flags: int, mode: int) -> io.FileIO:
        made.append("anew" if not os.path.exists(path) else "again")
        return opened(path, flags, mode)

    monkeypatch.setattr(durable, "open_part", noted)
    upload_all(tmp_path, home, tries=2)
    assert whole(home) == [True] * len(NAMES)
    assert made == ["anew"] * (len(NAMES) + 1)


def test_a_part_whose_fsync_failed_gets_no_name(home: Path) -> None:
    server = MailboxTransport(home, set())._server
    part, final = f"/to-hub/.{NAMES[0]}.part".encode(), f"/to-hub/{NAMES[0]}".encode()
    flags = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT
    with server.open(part, flags, asyncssh.SFTPAttrs()) as file:
        durable.probe = Failing("fsync")
        with pytest.raises(OSError, match="injected"):
            server.fsync(file)
    with pytest.raises(asyncssh.SFTPFailure):
        server.posix_rename(part, final)
    server.open(part, flags, asyncssh.SFTPAttrs()).close()
    server.posix_rename(part, final)


def test_a_part_that_has_the_number_of_one_whose_fsync_failed_gets_its_name(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system gives the number of what was removed to what is made next, as ext4 does at once."""
    unsynced: set[tuple[int, int]] = set()
    server = MailboxTransport(home, unsynced)._server
    opened = durable.open_part

    def with_that_number(path: bytes, flags: int, mode: int) -> io.FileIO:
        file = opened(path, flags, mode)
        info = os.fstat(file.fileno())
        unsynced.add((info.st_dev, info.st_ino))
        return file

    monkeypatch.setattr(durable, "open_part", with_that_number)
    part, final = f"/to-hub/.{NAMES[0]}.part".encode(), f"/to-hub/{NAMES[0]}".encode()
    flags = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | asyncssh.FXF_EXCL
    with server.open(part, flags, asyncssh.SFTPAttrs()) as file:
        server.fsync(file)
    server.posix_rename(part, final)


def test_a_name_that_is_told_of_is_durable(home: Path) -> None:
    """A crash between the link and the folder's fsync: whoever asks for it must not be told too much."""
    (home / "to-hub" / NAMES[0]).write_bytes(DATA)
    durable.probe = probe = Failing("")
    MailboxTransport(home, set()).put(NAMES[0], io.BytesIO(DATA), len(DATA))
    assert probe.done == ["fsync-dir"]


class Short(io.FileIO):
    """A file on a disk that is nearly full: it takes less than it is given."""

    def write(self, data: Any, /) -> int:
        return super().write(bytes(data[:1000]))


def test_a_write_is_answered_when_all_of_it_was_written(home: Path, tmp_path: Path) -> None:
    server = MailboxTransport(home, set())._server
    with Short(tmp_path / "file", "w+b") as file:
        assert server.write(file, 0, DATA) == len(DATA)
        assert server.write(file, len(DATA), b"end") == 3
    assert (tmp_path / "file").read_bytes() == DATA + b"end"


def test_a_part_that_is_no_file_is_not_written_to(home: Path) -> None:
    server = MailboxTransport(home, set())._server
    part = f".{NAMES[0]}.part"
    os.mkfifo(home / "to-hub" / part)
    with pytest.raises(PermissionError):
        server.open(f"/to-hub/{part}".encode(), asyncssh.FXF_WRITE, asyncssh.SFTPAttrs())
