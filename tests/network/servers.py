"""SFTP servers for the network tests: the embedded one and OpenSSH's, each with one account."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from province import free_port, wait_for

from frontgate.hub.admin import new_ssh_key
from frontgate.hub.sshd import prepare_accounts, sshd_config
from frontgate.transports.sftp import SftpPeer
from frontgate.values import replace

_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]
ACCOUNT = f"u520999001{int(_WORKER) % 10}x"


@dataclass
class Server:
    """home: the account's folder as the hub sees it."""

    peer: SftpPeer
    home: Path

    def through(self, port: int, **timeouts: float) -> SftpPeer:
        return replace(self.peer, port=port, **timeouts)  # type: ignore[arg-type]

    def place(self, name: str, data: bytes) -> None:
        folder = self.home / "from-hub"
        hidden = folder / f".{name}"
        hidden.write_bytes(data)
        info = folder.stat()
        os.chown(hidden, info.st_uid, info.st_gid)
        hidden.rename(folder / name)


@contextmanager
def embedded(
    tmp_path: Path, program: tuple[str, str] = ("-m", "frontgate.hub.sftp_server")
) -> Iterator[Server]:
    """program: what the interpreter runs; a test may put something wrong or slow before it."""
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
        [sys.executable, *program, "--config", config],
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().split(b":")[1].strip(b" }\n"))
        yield Server(SftpPeer("127.0.0.1", port, ACCOUNT, tmp_path / "client", (host_key,)), home)
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def openssh(tmp_path: Path, first: str = "") -> Iterator[Server]:
    """A real sshd with its chroot: needs root, as in production. first: lines before its settings."""
    assert os.geteuid() == 0, "this test makes a system account: run it as root"
    host_key = new_ssh_key(tmp_path / "host")
    client = new_ssh_key(tmp_path / "client")
    base = Path("/var/lib/frontgate-network-test") / str(os.getpid())
    (base / "root").mkdir(parents=True, mode=0o755)
    (base / "keys").mkdir(mode=0o755)
    (base / "keys" / ACCOUNT).write_text(client)
    for path in (base.parent, base, base / "root", base / "keys", base / "keys" / ACCOUNT):
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
    prepare_accounts([ACCOUNT], base / "root", hub_user="root")
    port = free_port()
    text = sshd_config(base / "root", base / "keys", port=port, host_key=tmp_path / "host")
    (tmp_path / "sshd_config").write_text(first + text + "\nMatch all\n    PermitTTY no\n")
    Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-e", "-f", str(tmp_path / "sshd_config")],
        stderr=(tmp_path / "sshd.log").open("wb"),
    )
    try:

        def listens() -> bool:
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", port)) == 0

        assert wait_for(listens, 20), (tmp_path / "sshd.log").read_text()
        peer = SftpPeer("127.0.0.1", port, ACCOUNT, tmp_path / "client", (host_key,))
        yield Server(peer, base / "root" / ACCOUNT)
    finally:
        process.terminate()
        process.wait(10)
        time.sleep(0.2)
        subprocess.run(["userdel", ACCOUNT], check=False, capture_output=True)
        subprocess.run(["rm", "-rf", str(base)], check=False)


SERVERS = {"embedded": embedded, "openssh": openssh}
