"""A province for fault tests: two gateways and a hub, on the hub's mailbox folders instead of SFTP, or
with a gap device between (`gap`).

The transport calls what serves a session of the hub's SFTP server (`.part`, fsync, link, unlink, fsync of
the folder), in the gateway's process, so that its steps are counted, killed and failed like all others.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import asyncssh
import structlog
from province import POLICE, PROCURATORATE, Province

from faults.gap import Device, put_between
from frontgate import clock
from frontgate.cli.homes import home_of
from frontgate.errors import TransportError
from frontgate.gateway.daemon import Gateway
from frontgate.hub.daemon import Hub
from frontgate.hub.sftp_server import Mailbox
from frontgate.inspect import Home
from frontgate.settings import load_gateway, load_hub
from frontgate.standard import Checker, Standards
from frontgate.transports import Entry, Source, Transport

NAMES = (POLICE, "hub", PROCURATORATE)
ROLES = {POLICE: "sender", "hub": "hub", PROCURATORATE: "receiver"}
RELAY = "retry_first_s = 0.1\nretry_max_s = 0.5\noverdue_s = 5\nheartbeat_s = 86400\n"
_CHUNK = 1 << 16


@cache
def standards() -> Standards:
    return Standards.load(None)


@cache
def _checker() -> Checker:
    return Checker(standards())


def checker(_: Standards) -> Checker:
    """One for all: every process has one thread, and inherits what is compiled."""
    return _checker()


def fast_folder() -> Path:
    """Where fsync costs nothing: tmpfs if there is one."""
    base = os.environ.get("FRONTGATE_FAULTS_DIR") or (
        "/dev/shm" if os.path.isdir("/dev/shm") else None
    )
    return Path(tempfile.mkdtemp(prefix="frontgate-faults-", dir=base))


def set_clock(offset_s: float) -> None:
    """The real clock, put forward; 0 is the real clock itself."""
    if offset_s == 0.0:
        clock.use(None, None)
        return
    ahead = timedelta(seconds=offset_s)
    clock.use(lambda: datetime.now(UTC) + ahead, lambda: time.monotonic() + offset_s)


class _Channel:
    """Whose session it is: all that the server's side asks of a channel."""

    def __init__(self, account: str) -> None:
        self._account = account

    def get_extra_info(self, name: str) -> str:
        return self._account


@contextlib.contextmanager
def _answered(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, asyncssh.SFTPError) as error:
        raise TransportError("FG-TRN-007", what=what, detail=str(error)) from error


class MailboxTransport:
    """A gateway's way to the hub's mailboxes on the same machine, by what serves a session there."""

    def __init__(self, root: Path, unsynced: set[tuple[int, int]]) -> None:
        """unsynced: what the server keeps from one session to the next."""
        channel: Any = _Channel(root.name)
        self._server = Mailbox(channel, root.parent, unsynced=unsynced)
        self._to, self._from = root / "to-hub", root / "from-hub"

    moved_bytes = 0

    def put(self, name: str, source: Source, size_bytes: int) -> None:
        self.moved_bytes += size_bytes
        server = self._server
        final, part = f"/to-hub/{name}".encode(), f"/to-hub/.{name}.part".encode()
        with _answered(name):
            try:
                server.stat(final)
                return
            except FileNotFoundError:
                pass
            flags = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | asyncssh.FXF_TRUNC
            with server.open(part, flags, asyncssh.SFTPAttrs()) as file:
                source.seek(0)
                at = 0
                while chunk := source.read(_CHUNK):
                    server.write(file, at, chunk)
                    at += len(chunk)
                server.fsync(file)
            server.posix_rename(part, final)

    def entries(self) -> list[Entry]:
        found = [
            Entry(e.name, e.stat().st_size)
            for e in os.scandir(self._from)
            if not e.name.startswith(".")
        ]
        return sorted(found, key=lambda e: e.name)

    def get(self, name: str, sink: Callable[[bytes], object], offset: int = 0) -> int:
        count = 0
        with (self._from / name).open("rb") as file:
            file.seek(offset)
            while chunk := file.read(_CHUNK):
                sink(chunk)
                count += len(chunk)
        self.moved_bytes += count
        return count

    def remove(self, name: str) -> None:
        with _answered(name), contextlib.suppress(FileNotFoundError):
            self._server.remove(f"/from-hub/{name}".encode())

    def has(self, name: str) -> bool:
        return (self._to / name).exists() or (self._to / f".{name}.part").exists()

    def pending(self) -> list[Entry]:
        return [Entry(e.name, e.stat().st_size) for e in os.scandir(self._to)]

    def wait(self, timeout_s: float) -> bool:
        return False

    def close(self) -> None:
        return


class Ground:
    """The folders of one province. `copy` gives every point fresh ones."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.device: Device | None = None

    def put_device_between(self, code: str, seed: int, *, first: tuple[str, ...] = ()) -> None:
        """A unit reaches the hub through a gap device from now on. Before its nodes are made."""
        self.device = put_between(self.home(code), self.home("hub"), code, seed, first=first)

    def home(self, name: str) -> Path:
        return self.root / name

    def spool(self, name: str) -> Path:
        return self.root / name / "spool"

    def copy(self, target: Path) -> Ground:
        shutil.copytree(self.root, target, symlinks=True)
        return Ground(target)

    def inspected(self, *, settled: bool) -> list[Home]:
        homes = []
        for name in NAMES:
            folder = self.home(name)
            home = home_of(
                load_hub(folder / "hub.toml")
                if name == "hub"
                else load_gateway(folder / "gateway.toml")
            )
            home.is_settled = settled
            homes.append(home)
        return homes


def make_ground(root: Path, *, extra: str = "") -> Ground:
    """Set a province up; every node was started once, so that its folders are there."""
    root.mkdir(parents=True, exist_ok=True)
    Province(root, (POLICE, PROCURATORATE), relay=RELAY, port=2222, extra=extra)
    shutil.rmtree(root / "bundles")
    ground = Ground(root)
    for name in NAMES:
        node = Node(ground, name)
        node.turn()
        node.close()
    return ground


class Stopped(Exception):
    """The daemon ended itself, to be started again."""


class Node:
    """One gateway or hub in this process, its loops' turns taken by the caller."""

    def __init__(self, ground: Ground, name: str) -> None:
        self.name = name
        folder = ground.home(name)
        if name == "hub":
            self.daemon: Gateway | Hub = Hub(
                load_hub(folder / "hub.toml"), standards=standards(), new_checker=checker
            )
            self._loops = [loop for loop in self.daemon.crew.loops if loop.name != "sftp"]
        else:
            box = ground.home("hub") / "sftp" / f"u{name.lower()}"
            unsynced: set[tuple[int, int]] = set()
            found = load_gateway(folder / "gateway.toml")
            is_carried = found.hub.transport == "directory"
            self.daemon = Gateway(
                found,
                connect=self._carried if is_carried else lambda: MailboxTransport(box, unsynced),
                standards=standards(),
                new_checker=checker,
            )
            self._loops = self.daemon.crew.loops
        self.daemon.prepare()

    def _carried(self) -> Transport:
        """The gateway's own way through a device, but nobody waits for news: turns are given."""
        assert isinstance(self.daemon, Gateway)
        assert self.daemon._device is not None
        made = self.daemon._device.connect()
        made.wait = lambda timeout_s: False  # type: ignore[method-assign]
        return made

    def turn(self) -> None:
        """Every loop once, in the order of the daemon."""
        for loop in self._loops:
            loop.step()
            if self.daemon.journal.failure is not None:
                raise Stopped

    def hint(self, name: str) -> None:
        """What inotify would tell of a drop that was renamed in."""
        assert isinstance(self.daemon, Gateway)
        (post,) = self.daemon.posts.posts
        self.daemon.watcher.hint(post.paths.outbound, os.fsencode(name), is_ready=True)

    @property
    def troubles(self) -> dict[str, str]:
        found = {
            name: f"{error.code} {error.detail}"
            for name, error in self.daemon.crew.troubles.items()
        }
        if isinstance(self.daemon, Gateway):
            links = self.daemon.links.items()
            found.update({f"link {n}": str(link.trouble) for n, link in links if link.trouble})
        return found

    def close(self) -> None:
        """End as a stopped daemon does."""
        self.daemon.journal.close()


def quiet() -> None:
    """No log lines: a thousand lives write a thousand pages."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[_drop])


def _drop(*_: object) -> str:
    raise structlog.DropEvent
