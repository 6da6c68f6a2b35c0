"""One suite over every transport: the embedded server, OpenSSH's, and folders with a gap device."""

import contextlib
import hashlib
import io
import os
import pwd
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko
import pytest
from gapdevice import GapDevice, Mischief
from province import free_port, wait_for

from frontgate.errors import TransportError
from frontgate.hub.admin import new_ssh_key
from frontgate.hub.mailboxes import ring_file
from frontgate.hub.sftp_server import BELL
from frontgate.hub.sshd import prepare_accounts, sshd_config
from frontgate.pipeline.loop import Loop
from frontgate.transports import Transport
from frontgate.transports.directory import DirectoryPeer
from frontgate.transports.ferry import Ferry
from frontgate.transports.ferry_way import Way
from frontgate.transports.sftp import SftpPeer, connect_sftp
from frontgate.values import replace

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]
ACCOUNT = f"u520999000{int(WORKER) % 10}x"
"""A system account of each parallel test process's own."""
NAME = f"{1:016d}-{'a' * 64}.bundle"
OTHER = f"{2:016d}-{'b' * 64}.bundle"
LATER = f"{3:016d}-{'c' * 64}.bundle"


@dataclass
class Side:
    """A running server. home: the account's folder as the hub sees it."""

    peer: SftpPeer
    home: Path
    ring: Callable[[], None]
    is_embedded: bool

    def connect(self) -> Transport:
        return connect_sftp(self.peer, with_bell=True)

    def bring_news(self) -> None:
        self.ring()


@dataclass
class CarriedSide:
    """A hub behind a gap device: home is the unit's mailbox there."""

    home: Path
    device_peer: DirectoryPeer
    far: Ferry

    def connect(self) -> Transport:
        return self.device_peer.connect()

    def bring_news(self) -> None:
        (self.home / "from-hub" / OTHER).write_bytes(b"news")


HONEST = Mischief()
BAD = Mischief(repeat=0.2, corrupt=0.25, hold=0.2, hold_s=0.2)


def _carried(tmp_path: Path, mischief: Mischief = HONEST) -> Iterator[CarriedSide]:
    """Two ferries and a device between them, all running."""
    home = tmp_path / "hub" / ACCOUNT
    home.mkdir(parents=True)
    folders = {n: tmp_path / n for n in ("near-out", "near-in", "far-out", "far-in")}
    devices = [
        GapDevice(folders["near-out"], folders["far-in"], mischief, 1),
        GapDevice(folders["far-out"], folders["near-in"], mischief, 2),
    ]
    near = Way(
        side="gateway",
        account=ACCOUNT,
        outgoing=tmp_path / "near" / "to-hub",
        incoming=tmp_path / "near" / "from-hub",
        out=folders["near-out"],
        into=folders["near-in"],
        state=tmp_path / "near",
        poll_s=0.05,
        resend_s=120.0 if mischief == HONEST else 0.1,
        gap_after_s=600.0 if mischief == HONEST else 1.0,
    )
    far = replace(
        near,
        side="hub",
        outgoing=home / "from-hub",
        incoming=home / "to-hub",
        out=folders["far-out"],
        into=folders["far-in"],
        state=tmp_path / "far",
    )
    peer, other = DirectoryPeer(near), Ferry(far)
    loops = [Loop("near", peer.ferry.turn), Loop("far", other.turn)]
    peer.wake = loops[0].wake
    for loop in loops:
        loop.start()
    assert wait_for((home / "to-hub").is_dir)
    yield CarriedSide(home, peer, other)
    for loop in loops:
        loop.stop()
    assert all(loop.join(10) for loop in loops)
    assert all(loop.trouble is None for loop in loops)
    for device in devices:
        device.stop()


def _embedded(tmp_path: Path) -> Iterator[Side]:
    host_key = new_ssh_key(tmp_path / "host")
    client = new_ssh_key(tmp_path / "client")
    home = tmp_path / "root" / ACCOUNT
    for folder in ("to-hub", "from-hub"):
        (home / folder).mkdir(parents=True)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / ACCOUNT).write_text(client)
    config = (
        f'{{"host": "127.0.0.1", "port": 0, "host_key": "{tmp_path}/host", "root": "{tmp_path}/root",'
        f' "keys": "{tmp_path}/keys", "bell": "{tmp_path}/bell"}}'
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "frontgate.hub.sftp_server", "--config", config],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    port = int(process.stdout.readline().split(b":")[1].strip(b" }\n"))
    bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def ring() -> None:
        bell.sendto(ACCOUNT.encode(), str(tmp_path / "bell"))

    yield Side(
        SftpPeer("127.0.0.1", port, ACCOUNT, tmp_path / "client", (host_key,)), home, ring, True
    )
    bell.close()
    process.terminate()
    assert process.wait(30) == 0


def _openssh(tmp_path: Path) -> Iterator[Side]:
    """A real sshd with its chroot: needs root, as in production."""
    assert os.geteuid() == 0, "the OpenSSH tests make system accounts: run them as root"
    host_key = new_ssh_key(tmp_path / "host")
    client = new_ssh_key(tmp_path / "client")
    base = Path("/var/lib/frontgate-test") / str(os.getpid())
    (base / "root").mkdir(parents=True, mode=0o755)
    (base / "keys").mkdir(mode=0o755)
    (base / "keys" / ACCOUNT).write_text(client)
    for path in (base.parent, base, base / "root", base / "keys", base / "keys" / ACCOUNT):
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
    prepare_accounts([ACCOUNT], base / "root", hub_user="root")
    port = free_port()
    text = sshd_config(base / "root", base / "keys", port=port, host_key=tmp_path / "host")
    (tmp_path / "sshd_config").write_text(text + "\nMatch all\n    PermitTTY no\n")
    Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-e", "-f", str(tmp_path / "sshd_config")],
        stderr=(tmp_path / "sshd.log").open("wb"),
    )
    home = base / "root" / ACCOUNT

    def ring() -> None:
        ring_file(home / "from-hub")

    def listens() -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0

    assert wait_for(listens, 10), (tmp_path / "sshd.log").read_text()
    yield Side(
        SftpPeer("127.0.0.1", port, ACCOUNT, tmp_path / "client", (host_key,)), home, ring, False
    )
    process.terminate()
    process.wait(30)
    subprocess.run(["userdel", ACCOUNT], check=False, capture_output=True)
    subprocess.run(["rm", "-rf", str(base)], check=False)


@pytest.fixture(params=["embedded", "openssh"])
def side(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Side]:
    yield from (_embedded if request.param == "embedded" else _openssh)(tmp_path)


WAYS: dict[str, Callable[[Path], Iterator[Side | CarriedSide]]] = {
    "embedded": _embedded,
    "openssh": _openssh,
    "directory": _carried,
    "bad directory": lambda tmp_path: _carried(tmp_path, BAD),
}


@pytest.fixture(params=list(WAYS))
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Side | CarriedSide]:
    """Any transport: what the contract says of all of them."""
    yield from WAYS[request.param](tmp_path)


@pytest.fixture
def carrier(way: Side | CarriedSide) -> Iterator[Transport]:
    connected = way.connect()
    yield connected
    connected.close()


@pytest.fixture
def transport(side: Side) -> Iterator[Transport]:
    connected = side.connect()
    yield connected
    connected.close()


def place(side: Side | CarriedSide, name: str, data: bytes) -> None:
    """The hub puts a bundle into the mailbox, whole."""
    path = side.home / "from-hub" / name
    hidden = path.with_name(f".{name}.tmp")
    hidden.write_bytes(data)
    info = path.parent.stat()
    os.chown(hidden, info.st_uid, info.st_gid)
    hidden.rename(path)


def arrives(transport: Transport, *names: str) -> bool:
    """Whether these, and no others, are offered; a device takes its time."""
    return wait_for(lambda: [e.name for e in transport.entries()] == list(names), 30)


def shown(side: Side | CarriedSide) -> list[str]:
    """What the hub's intake sees as complete uploads."""
    return sorted(p.name for p in (side.home / "to-hub").iterdir() if p.name[0] != ".")


# -- every transport ------------------------------------------------------------------------------


def test_put_appears_whole_under_its_final_name(
    way: Side | CarriedSide, carrier: Transport
) -> None:
    data = os.urandom(3_000_017)
    carrier.put(NAME, io.BytesIO(data), len(data))
    assert wait_for(lambda: shown(way) == [NAME])
    assert (way.home / "to-hub" / NAME).read_bytes() == data
    assert [p.name for p in (way.home / "to-hub").iterdir()] == [NAME]


def test_put_of_what_is_there_already_is_done(way: Side | CarriedSide, carrier: Transport) -> None:
    carrier.put(NAME, io.BytesIO(b"x" * 100), 100)
    carrier.put(NAME, io.BytesIO(b"x" * 100), 100)
    assert wait_for(lambda: shown(way) == [NAME])
    assert (way.home / "to-hub" / NAME).stat().st_size == 100


def test_what_was_put_is_pending_until_it_is_taken(
    way: Side | CarriedSide, carrier: Transport
) -> None:
    assert not carrier.has(NAME)
    carrier.put(NAME, io.BytesIO(b"x" * 100), 100)
    if isinstance(way, Side):
        assert [e.name for e in carrier.pending()] == [NAME]
        assert carrier.has(NAME)
        (way.home / "to-hub" / NAME).unlink()
    assert wait_for(lambda: carrier.pending() == [])
    assert not carrier.has(NAME)


def test_it_counts_what_it_moved(way: Side | CarriedSide, carrier: Transport) -> None:
    assert carrier.moved_bytes == 0
    carrier.put(NAME, io.BytesIO(b"x" * 70_000), 70_000)
    assert carrier.moved_bytes == 70_000
    place(way, OTHER, b"y" * 1000)
    assert arrives(carrier, OTHER)
    carrier.get(OTHER, lambda data: None)
    assert carrier.moved_bytes == 71_000


def test_get_streams_in_order_and_from_an_offset(
    way: Side | CarriedSide, carrier: Transport
) -> None:
    data = os.urandom(4_000_003)
    place(way, NAME, data)
    assert arrives(carrier, NAME)
    got = bytearray()
    assert carrier.get(NAME, got.extend) == len(data)
    assert got == data
    tail = bytearray()
    carrier.get(NAME, tail.extend, offset=3_999_000)
    assert tail == data[3_999_000:]


def test_entries_are_sorted_and_leave_unfinished_names_out(
    way: Side | CarriedSide, carrier: Transport
) -> None:
    place(way, OTHER, b"2")
    place(way, NAME, b"1")
    (way.home / "from-hub" / f".{NAME}.part").write_bytes(b"0")
    assert arrives(carrier, NAME, OTHER)
    assert [e.size_bytes for e in carrier.entries()] == [1, 1]


def test_remove_is_done_even_twice(way: Side | CarriedSide, carrier: Transport) -> None:
    place(way, NAME, b"1")
    assert arrives(carrier, NAME)
    carrier.remove(NAME)
    carrier.remove(NAME)
    assert carrier.entries() == []
    assert wait_for(lambda: not (way.home / "from-hub" / NAME).exists())


def test_a_missing_file_is_named_as_such(carrier: Transport) -> None:
    with pytest.raises(TransportError) as caught:
        carrier.get(NAME, lambda data: None)
    assert caught.value.code == "FG-TRN-009"


def test_news_wakes_a_waiting_gateway(way: Side | CarriedSide, carrier: Transport) -> None:
    carrier.wait(0.2)
    timer = threading.Timer(0.3, way.bring_news)
    timer.start()
    began = time.monotonic()
    assert carrier.wait(20)
    assert time.monotonic() - began < 15
    timer.join()


def test_every_ring_is_heard_however_close_to_the_one_before(
    side: Side, transport: Transport
) -> None:
    transport.wait(0.2)
    for _ in range(8):
        side.ring()
        assert transport.wait(20)


def test_requests_of_one_step_travel_together(
    side: Side, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package up, the list, one down and removed: ten times something is sent, and no packet is empty."""
    sent: list[int] = []
    kinds: list[int] = []
    send, read = paramiko.Channel.send, paramiko.packet.Packetizer.read_message

    def counted(self: paramiko.Channel, data: bytes) -> int:
        sent.append(len(data))
        return send(self, data)

    def noted(self: paramiko.packet.Packetizer) -> tuple[int, paramiko.Message]:
        kind, message = read(self)
        kinds.append(kind)
        return kind, message

    place(side, OTHER, b"down")
    transport.put(NAME, io.BytesIO(b"first"), 5)  # what is asked only once is known after it
    monkeypatch.setattr(paramiko.Channel, "send", counted)
    monkeypatch.setattr(paramiko.packet.Packetizer, "read_message", noted)
    transport.put(LATER, io.BytesIO(b"up"), 2)
    assert [entry.name for entry in transport.entries()] == [OTHER]
    assert transport.get(OTHER, lambda data: None) == 4
    transport.remove(OTHER)
    assert 0 < len(sent) <= 10
    assert kinds
    assert 2 not in kinds, "SSH_MSG_IGNORE"


def test_nothing_is_left_unsent_by_a_session_that_waits(
    side: Side, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []
    send = paramiko.Channel.send

    def noted(self: paramiko.Channel, data: bytes) -> int:
        sent.append(bytes(data))
        return send(self, data)

    monkeypatch.setattr(paramiko.Channel, "send", noted)
    transport.entries()
    transport.wait(0.1)
    kinds = [data[at + 4] for data in sent for at in _starts(data)]
    assert kinds.count(11) == kinds.count(4) == 1, "each handle that was opened is closed"


def _starts(data: bytes) -> Iterator[int]:
    """Where the SFTP packets of what was sent begin."""
    at = 0
    while at < len(data):
        yield at
        at += 4 + int.from_bytes(data[at : at + 4], "big")


def test_wait_without_news_ends_in_time(carrier: Transport) -> None:
    began = time.monotonic()
    assert carrier.wait(0.5) is False
    assert time.monotonic() - began < 3


# -- SFTP alone -----------------------------------------------------------------------------------


def test_put_resumes_what_an_earlier_try_left(side: Side, transport: Transport) -> None:
    data = os.urandom(5 << 20)
    part = side.home / "to-hub" / f".{NAME}.part"
    part.write_bytes(data[: (3 << 20) + 12345])
    info = part.parent.stat()
    os.chown(part, info.st_uid, info.st_gid)
    reads: list[int] = []

    class Source(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            chunk = super().read(size)
            reads.append(len(chunk))
            return chunk

    transport.put(NAME, Source(data), len(data))
    assert (side.home / "to-hub" / NAME).read_bytes() == data
    assert sum(reads) <= (3 << 20), "it went back at most one block and a bit"


def test_a_wrong_host_key_is_permanent(side: Side, tmp_path: Path) -> None:
    wrong = new_ssh_key(tmp_path / "wrong")
    peer = SftpPeer(side.peer.host, side.peer.port, ACCOUNT, side.peer.key_file, (wrong,))
    with pytest.raises(TransportError) as caught:
        connect_sftp(peer)
    assert caught.value.code == "FG-TRN-002"
    assert not caught.value.is_transient


def test_a_foreign_key_is_refused_at_login(side: Side, tmp_path: Path) -> None:
    new_ssh_key(tmp_path / "foreign")
    peer = SftpPeer(
        side.peer.host, side.peer.port, ACCOUNT, tmp_path / "foreign", side.peer.host_keys
    )
    with pytest.raises(TransportError) as caught:
        connect_sftp(peer)
    assert caught.value.code == "FG-TRN-003"


def test_an_unknown_account_is_refused_at_login(side: Side) -> None:
    peer = SftpPeer(
        side.peer.host, side.peer.port, "u52000090005", side.peer.key_file, side.peer.host_keys
    )
    with pytest.raises(TransportError) as caught:
        connect_sftp(peer)
    assert caught.value.code == "FG-TRN-003"


def test_an_unreachable_hub_is_transient(side: Side) -> None:
    peer = SftpPeer("127.0.0.1", free_port(), ACCOUNT, side.peer.key_file, side.peer.host_keys)
    with pytest.raises(TransportError) as caught:
        connect_sftp(peer)
    assert caught.value.code == "FG-TRN-001"
    assert caught.value.is_transient


def test_cuts_at_any_byte_are_resumed_and_never_splice(side: Side) -> None:
    """A proxy cuts the connection after so many bytes; every try goes on; the content is right."""
    data = os.urandom(6 << 20)
    digest = hashlib.sha256(data).hexdigest()
    tries = 0
    for budget in (70_000, 900_000, 2_500_000, 4_000_000, 1 << 40):
        with Cutter(side.peer.port, budget) as port:
            peer = SftpPeer("127.0.0.1", port, ACCOUNT, side.peer.key_file, side.peer.host_keys)
            tries += 1
            try:
                connected = connect_sftp(peer)
                connected.put(NAME, io.BytesIO(data), len(data))
                connected.close()
                break
            except TransportError as error:
                assert error.is_transient, error
    assert tries > 2
    final = side.home / "to-hub" / NAME
    assert hashlib.sha256(final.read_bytes()).hexdigest() == digest


class Cutter:
    """A TCP proxy that cuts both ways after `budget` bytes towards the server."""

    def __init__(self, port: int, budget: int) -> None:
        self._port = port
        self._budget = budget
        self._listener = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> int:
        threading.Thread(target=self._serve, daemon=True).start()
        return int(self._listener.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        server = socket.create_connection(("127.0.0.1", self._port))
        threading.Thread(target=self._pump, args=(server, client, 1 << 60), daemon=True).start()
        self._pump(client, server, self._budget)

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket, budget: int) -> None:
        try:
            while budget > 0 and (data := source.recv(min(65536, budget))):
                target.sendall(data)
                budget -= len(data)
        except OSError:
            pass
        finally:
            for sock in (source, target):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)


# -- what a unit must not be able to do, by OpenSSH's own client ----------------------------------


def sftp_batch(side: Side, commands: str) -> subprocess.CompletedProcess[str]:
    known = side.peer.key_file.parent / "known_hosts"
    known.write_text(f"[127.0.0.1]:{side.peer.port} {side.peer.host_keys[0]}\n")
    return subprocess.run(
        ["sftp", "-b", "-", "-P", str(side.peer.port), "-i", str(side.peer.key_file),
         "-o", f"UserKnownHostsFile={known}", "-o", "IdentitiesOnly=yes", f"{ACCOUNT}@127.0.0.1"],
        input=commands, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_openssh_client_can_upload_and_rename(side: Side, tmp_path: Path) -> None:
    (tmp_path / "up").write_bytes(b"hello")
    result = sftp_batch(
        side,
        f"put {tmp_path}/up /to-hub/.{NAME}.part\nrename /to-hub/.{NAME}.part /to-hub/{NAME}\nls /to-hub\n",
    )
    assert result.returncode == 0, result.stderr
    assert (side.home / "to-hub" / NAME).read_bytes() == b"hello"


@pytest.mark.parametrize(
    "command",
    [
        "get /etc/passwd /dev/null",
        "get /../../../../etc/passwd /dev/null",
        "get /to-hub/../../../etc/passwd /dev/null",
        "mkdir /evil",
        "mkdir /to-hub/evil",
        "symlink /etc /to-hub/evil",
        "ln /etc/passwd /to-hub/evil",
        "rmdir /to-hub",
        "put /etc/hostname /evil",
    ],
)
def test_a_unit_cannot_leave_its_mailbox(side: Side, command: str) -> None:
    result = sftp_batch(side, command + "\n")
    assert result.returncode != 0, result.stdout
    names = {p.name for p in side.home.iterdir()}
    assert names == {"to-hub", "from-hub"}
    assert not any("evil" in p.name for p in (side.home / "to-hub").iterdir())


def test_a_shell_is_refused(side: Side) -> None:
    known = side.peer.key_file.parent / "known_hosts"
    known.write_text(f"[127.0.0.1]:{side.peer.port} {side.peer.host_keys[0]}\n")
    result = subprocess.run(
        ["ssh", "-p", str(side.peer.port), "-i", str(side.peer.key_file), "-o", f"UserKnownHostsFile={known}",
         "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", f"{ACCOUNT}@127.0.0.1", "id"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "uid=" not in result.stdout
    assert result.returncode != 0


def test_the_embedded_server_overwrites_nothing(tmp_path: Path) -> None:
    for side in _embedded(tmp_path):
        (tmp_path / "up").write_bytes(b"one")
        upload = (
            f"put {tmp_path}/up /to-hub/.{NAME}.part\nrename /to-hub/.{NAME}.part /to-hub/{NAME}\n"
        )
        assert sftp_batch(side, upload).returncode == 0
        (tmp_path / "up").write_bytes(b"two")
        assert sftp_batch(side, upload).returncode != 0
        assert (side.home / "to-hub" / NAME).read_bytes() == b"one"
        assert sftp_batch(side, f"put {tmp_path}/up /to-hub/plain.txt\n").returncode != 0
        assert sftp_batch(side, f"put {tmp_path}/up /from-hub/.{NAME}.part\n").returncode != 0
        outside = tmp_path / "secret"
        outside.write_text("secret")
        (side.home / "from-hub" / NAME).symlink_to(outside)
        assert sftp_batch(side, f"get /from-hub/{NAME} {tmp_path}/got\n").returncode != 0
        assert not (tmp_path / "got").exists() or b"secret" not in (tmp_path / "got").read_bytes()


def test_lftp_can_fetch_and_send(side: Side, tmp_path: Path) -> None:
    place(side, NAME, b"from the hub")
    (tmp_path / "up").write_bytes(b"by lftp")
    (side.peer.key_file.parent / "known_hosts").write_text(
        f"[127.0.0.1]:{side.peer.port} {side.peer.host_keys[0]}\n"
    )
    connect = (
        f"ssh -a -x -i {side.peer.key_file} -o UserKnownHostsFile={side.peer.key_file.parent}/known_hosts"
        " -o IdentitiesOnly=yes -o BatchMode=yes"
    )
    script = (
        f'set sftp:connect-program "{connect}"; set net:max-retries 2; set xfer:use-temp-file no;'
        f" open -u {ACCOUNT},x sftp://127.0.0.1:{side.peer.port};"
        f" get /from-hub/{NAME} -o {tmp_path}/got;"
        f" put {tmp_path}/up -o /to-hub/.{OTHER}.part; mv /to-hub/.{OTHER}.part /to-hub/{OTHER}; bye"
    )
    result = subprocess.run(
        ["lftp", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (tmp_path / "got").read_bytes() == b"from the hub", result.stderr
    assert (side.home / "to-hub" / OTHER).read_bytes() == b"by lftp", result.stderr


def test_rclone_can_fetch_and_send(side: Side, tmp_path: Path) -> None:
    place(side, NAME, b"from the hub")
    (tmp_path / "up").write_bytes(b"by rclone")
    known = side.peer.key_file.parent / "known_hosts"
    known.write_text(f"[127.0.0.1]:{side.peer.port} {side.peer.host_keys[0]}\n")
    remote = (
        f":sftp,host=127.0.0.1,port={side.peer.port},user={ACCOUNT},key_file={side.peer.key_file},"
        f"known_hosts_file={known},shell_type=none,disable_hashcheck=true,set_modtime=false:"
    )
    for source, target in (
        (f"{remote}/from-hub/{NAME}", f"{tmp_path}/got"),
        (f"{tmp_path}/up", f"{remote}/to-hub/.{OTHER}.part"),
    ):
        done = subprocess.run(
            ["rclone", "--config", "/dev/null", "--retries", "1", "copyto", source, target],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "got").read_bytes() == b"from the hub"
    assert (side.home / "to-hub" / f".{OTHER}.part").read_bytes() == b"by rclone"


@pytest.mark.needs_root
def test_accounts_are_ordinary_system_accounts(tmp_path: Path) -> None:
    for side in _openssh(tmp_path):
        row = pwd.getpwnam(ACCOUNT)
        assert row.pw_shell == "/usr/sbin/nologin"
        assert side.home.stat().st_uid == 0
        assert side.home.stat().st_mode & 0o777 == 0o755


def test_the_bell_has_one_name() -> None:
    from frontgate.transports.sftp import BELL_SUBSYSTEM

    assert BELL_SUBSYSTEM == BELL
