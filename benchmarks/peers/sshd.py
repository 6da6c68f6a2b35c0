"""An OpenSSH server on loopback for the peers: one account, keys only, the fast cipher first."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

CIPHERS = "aes128-gcm@openssh.com,chacha20-poly1305@openssh.com"


@dataclass(frozen=True, slots=True)
class Server:
    """port: on 127.0.0.1. key, known_hosts: what a client needs."""

    process: subprocess.Popen[bytes]
    port: int
    key: Path
    known_hosts: Path
    config: Path

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def start(folder: Path) -> Server:
    """Start a server that lets the present account in. It needs no root, but root may."""
    folder.mkdir(parents=True, exist_ok=True)
    host, key = folder / "host", folder / "client"
    for path in (host, key):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    (folder / "authorized").write_text((folder / "client.pub").read_text())
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = int(sock.getsockname()[1])
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host}\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nPermitRootLogin prohibit-password\nMaxStartups 1000\n"
        f"Ciphers {CIPHERS}\nSubsystem sftp internal-sftp\n"
    )
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    config = folder / "ssh_config"
    config.write_text(
        f"Host hub\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n"
        f"  Ciphers {CIPHERS}\n  LogLevel ERROR\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-e", "-f", folder / "sshd_config"],
        stderr=(folder / "sshd.log").open("wb"),
    )
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return Server(process, port, key, known, config)
        time.sleep(0.02)
    process.kill()
    raise RuntimeError((folder / "sshd.log").read_text())
