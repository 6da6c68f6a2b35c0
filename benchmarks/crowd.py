"""Many idle units at the embedded SFTP server: memory, processor, the bell, and all back after a restart.

Usage: `python -m benchmarks.crowd [--units N] [--idle SECONDS] [--rings N]`. The server runs as the hub
runs it, in a process of its own; N units log in with keys of their own and hold what an idle gateway
holds: one connection with its SFTP session and its bell. Then
- `kB a unit`: what the server's resident size grew by; `idle`: its share of a core while nothing happens;
- `bell`: from the hub's datagram to the byte at the unit, one unit after the other in random order;
- `back`: the server is killed and started again; the units come back with the gateway's own back-off, and
  it counts from when it listens until the last has its bell. Their half of each handshake runs here as
  well; in a province it runs at 500 other machines, so the processor's time of the server is told beside.
Goals: 150 kB each, 0.5 % of a core, 10 ms at the 99th percentile, 5 s.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import asyncssh

from frontgate.core.backoff import delay_s
from frontgate.settings.common import RelaySettings

SERVER = "frontgate.hub.sftp_server"
BELL = "frontgate-bell"


def account(number: int) -> str:
    return f"u52{number:08d}0"


class Server:
    """The embedded server as the hub starts it, on a port that stays the same."""

    def __init__(self, home: Path, units: int) -> None:
        self.home = home
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        (home / "host").write_bytes(self._key.export_private_key())
        self.keys = [asyncssh.generate_private_key("ssh-ed25519") for _ in range(units)]
        (home / "keys").mkdir()
        for number, key in enumerate(self.keys):
            (home / "keys" / account(number)).write_bytes(key.export_public_key())
            for folder in ("to-hub", "from-hub"):
                (home / "root" / account(number) / folder).mkdir(parents=True)
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def known_hosts(self) -> bytes:
        return b"* " + self._key.export_public_key()

    def start(self) -> None:
        config = {
            "host": "127.0.0.1",
            "port": self.port,
            "host_key": str(self.home / "host"),
            "root": str(self.home / "root"),
            "keys": str(self.home / "keys"),
            "bell": str(self.home / "bell.sock"),
        }
        command = [sys.executable, "-m", SERVER, "--config", json.dumps(config)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.port = int(json.loads(_line(self.process.stdout))["port"])

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def resident_kb(self) -> int:
        text = Path(f"/proc/{self._pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0])

    def processor_s(self) -> float:
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def _pid(self) -> int:
        assert self.process is not None
        return self.process.pid


def _line(stream: IO[bytes]) -> bytes:
    line = stream.readline()
    if not line:
        raise RuntimeError("the server did not start")
    return line


class Unit:
    """What an idle gateway holds, and how it comes back."""

    def __init__(self, number: int, server: Server) -> None:
        self.number = number
        self._server = server
        self.connection: asyncssh.SSHClientConnection | None = None
        self.bell: asyncssh.SSHClientProcess[bytes] | None = None

    async def connect(self) -> None:
        self.connection = await asyncssh.connect(
            "127.0.0.1",
            self._server.port,
            username=account(self.number),
            client_keys=[self._server.keys[self.number]],
            known_hosts=asyncssh.import_known_hosts(self._server.known_hosts.decode()),
            kex_algs=["curve25519-sha256"],  # what the gateway's library offers first
            encryption_algs=["aes128-gcm@openssh.com"],
            config=None,
            agent_path=None,
            login_timeout=30,
        )
        await self.connection.start_sftp_client()
        self.bell = await self.connection.create_process(subsystem=BELL, encoding=None)

    async def come_back(self, relay: RelaySettings) -> None:
        """Notice that the connection is gone and try until it is there again."""
        assert self.connection is not None
        await self.connection.wait_closed()
        failures = 0
        while True:
            try:
                await self.connect()
            except (OSError, asyncssh.Error):
                failures += 1
                wait = delay_s(
                    failures,
                    first_s=relay.retry_first_s,
                    most_s=relay.retry_max_s,
                    luck=random.random(),
                )
                await asyncio.sleep(wait)
            else:
                return


async def ring(server: Server, units: list[Unit], rings: int) -> list[float]:
    """Milliseconds from the datagram to the byte, of each ring."""
    bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    waits: list[float] = []
    with contextlib.closing(bell):
        for _ in range(rings):
            unit = random.choice(units)
            assert unit.bell is not None
            began = time.perf_counter()
            bell.sendto(account(unit.number).encode(), str(server.home / "bell.sock"))
            await unit.bell.stdout.readexactly(1)
            waits.append((time.perf_counter() - began) * 1000)
    return sorted(waits)


@contextlib.contextmanager
def many_files() -> Iterator[None]:
    """As many descriptors as the system lets this process have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def measure(server: Server, count: int, idle_s: float, rings: int) -> dict[str, float]:
    server.start()
    units = [Unit(number, server) for number in range(count)]
    await units[0].connect()  # what the first login loads is no unit's
    base_kb, used = server.resident_kb(), server.processor_s()
    began = time.perf_counter()
    for start in range(1, count, 20):
        await asyncio.gather(*(unit.connect() for unit in units[start : start + 20]))
    login_s = time.perf_counter() - began
    each_kb = (server.resident_kb() - base_kb) / (count - 1)
    login_ms = (server.processor_s() - used) * 1000 / (count - 1)
    await asyncio.sleep(2)
    used = server.processor_s()
    await asyncio.sleep(idle_s)
    idle = (server.processor_s() - used) / idle_s * 100
    waits = await ring(server, units, rings)
    server.kill()
    relay = RelaySettings()
    coming = [asyncio.create_task(unit.come_back(relay)) for unit in units]
    await asyncio.sleep(1)  # as long as a restart takes
    server.start()
    began = time.perf_counter()
    await asyncio.gather(*coming)
    back_s = time.perf_counter() - began
    back_cpu_s = server.processor_s()
    server.kill()
    for unit in units:
        assert unit.connection is not None
        unit.connection.abort()
    return {
        "units": count,
        "login_s": round(login_s, 2),
        "login_server_ms": round(login_ms, 2),
        "kb_a_unit": round(each_kb, 1),
        "idle_percent_of_a_core": round(idle, 2),
        "bell_p50_ms": round(waits[len(waits) // 2], 2),
        "bell_p99_ms": round(waits[int(len(waits) * 0.99)], 2),
        "back_s": round(back_s, 2),
        "back_server_cpu_s": round(back_cpu_s, 2),
    }


def crowd(units: int = 500, idle_s: float = 30.0, rings: int = 500) -> dict[str, float]:
    """Everything once."""
    with tempfile.TemporaryDirectory(prefix="frontgate-bench-") as folder, many_files():
        server = Server(Path(folder), units)
        try:
            return asyncio.run(measure(server, units, idle_s, rings))
        finally:
            if server.process is not None and server.process.poll() is None:
                server.kill()


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.crowd")
    parser.add_argument("--units", type=int, default=500)
    parser.add_argument("--idle", type=float, default=30.0)
    parser.add_argument("--rings", type=int, default=500)
    options = parser.parse_args()
    for name, value in crowd(options.units, options.idle, options.rings).items():
        print(f"{name:<26} {value}")


if __name__ == "__main__":
    main()
