"""Plain SFTP to the hub: paramiko for SSH, our own windowed requests above it.

The socket is opened here, because the library never sets TCP_NODELAY and small packets would stall
40 ms each. Keys only, modern algorithms only, the host key pinned to the hub and not to an address,
a deadline on every step that begins anew as long as the line moves (`line`). The same code talks to
the embedded server and to OpenSSH.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from frontgate.errors import TransportError
from frontgate.lean import without
from frontgate.transports import UPLOAD_BACK, Entry, Source, Transport
from frontgate.transports.line import Line, Patient
from frontgate.transports.sftp_wire import (
    BIG_PACKET,
    DENIED,
    NO_SUCH_FILE,
    Sftp,
    StatusError,
    UnsyncedError,
)
from frontgate.undo import on_failure
from frontgate.values import Struct

with without("invoke"):  # runs programs for `Match exec` of an ssh_config, which nobody reads here
    import paramiko

BELL_SUBSYSTEM = "frontgate-bell"
_TO, _FROM, _BELL_FILE = "/to-hub", "/from-hub", "/from-hub/.bell"
_CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes256-ctr",
)


_SIGN_OF_LIFE_S = 30
_NEW_KEYS_S = 3600.0
"""Either end changes the keys of a long connection now and then. It sends nothing else meanwhile, and what
goes for that waits behind all that is under way: on a slow line for many minutes. `line` watches it."""


class SftpPeer(Struct, frozen=True):
    """The hub as a gateway sees it. host_keys: `ssh-ed25519 AAAA…` lines, any of which may answer."""

    host: str
    port: int
    account: str
    key_file: Path
    host_keys: tuple[str, ...]
    connect_timeout_s: float = 10.0
    step_timeout_s: float = 60.0

    @property
    def login_timeout_s(self) -> float:
        """For the handshake and for the login: a line of 1 kB/s needs some seconds for each."""
        return 3 * self.connect_timeout_s


def connect_sftp(
    peer: SftpPeer, *, with_bell: bool = False, begun: dict[str, int] | None = None
) -> Transport:
    """Open a connection. with_bell: also ask for the notification channel. begun: where the last
    try of each unfinished upload began, kept by the caller from one connection to the next.

    Raises: TransportError FG-TRN-001 unreachable, 002 wrong host key, 003 login refused,
    004 time-out, 006 no common algorithm, 011 key unreadable.
    """
    try:
        key = paramiko.Ed25519Key.from_private_key_file(str(peer.key_file))
    except (OSError, paramiko.SSHException, ValueError) as error:
        raise TransportError("FG-TRN-011", detail=str(error)) from error
    try:
        sock = socket.create_connection((peer.host, peer.port), timeout=peer.connect_timeout_s)
    except OSError as error:
        raise TransportError(
            "FG-TRN-001", host=peer.host, port=peer.port, detail=str(error)
        ) from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _probe_when_idle(sock)
    line = Line(sock, max(2 * peer.step_timeout_s, 5))
    session = paramiko.Transport(line)
    with on_failure(session.close):
        return _login(session, line, peer, key, with_bell, {} if begun is None else begun)


def _probe_when_idle(sock: socket.socket) -> None:
    """Let the kernel end an idle connection whose other end is gone. What is under way `Line` watches."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", 30),
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 3),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


@contextlib.contextmanager
def _within(session: paramiko.Transport, seconds: float) -> Iterator[None]:
    """A deadline over steps for which the library has none: the session is closed when it passes."""
    timer = threading.Timer(seconds, session.close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _login(
    session: paramiko.Transport,
    line: Line,
    peer: SftpPeer,
    key: paramiko.PKey,
    with_bell: bool,
    begun: dict[str, int],
) -> Transport:
    options = session.get_security_options()
    options.ciphers = [c for c in _CIPHERS if c in options.ciphers]
    options.key_types = [t for t in options.key_types if t in _key_types(peer)]
    session.banner_timeout = peer.connect_timeout_s
    session.auth_timeout = peer.login_timeout_s
    session.handshake_timeout = peer.login_timeout_s
    session.clear_to_send_timeout = _NEW_KEYS_S
    try:
        session.start_client(timeout=peer.login_timeout_s)
        # Of a time-out the library tells nobody: this raises then.
        offered = session.get_remote_server_key()
    except paramiko.SSHException as error:
        text = str(error).lower()
        if "incompatible ssh" in text or "no acceptable" in text:
            # Only the pinned key types are offered: a server with another type has another key.
            code = "FG-TRN-002" if "host key" in text else "FG-TRN-006"
            raise TransportError(code, detail=str(error)) from error
        if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
            raise TransportError("FG-TRN-002", detail=str(error)) from error
        raise TransportError("FG-TRN-004", what="handshake", detail=str(error)) from error
    except (OSError, EOFError) as error:
        raise TransportError("FG-TRN-005", what="handshake", detail=str(error)) from error
    shown = f"{offered.get_name()} {offered.get_base64()}"
    if shown not in {" ".join(known.split()[:2]) for known in peer.host_keys}:
        raise TransportError("FG-TRN-002", detail=shown)
    try:
        session.auth_publickey(peer.account, key)
    except paramiko.AuthenticationException as error:
        # The library says the same of a login that was refused and of a connection that broke
        # while it waited for the verdict. Only the first needs a person.
        if session.is_active() and "timeout" not in str(error).lower():
            raise TransportError("FG-TRN-003", account=peer.account, detail=str(error)) from error
        raise TransportError("FG-TRN-005", what="login", detail=str(error)) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise TransportError("FG-TRN-005", what="login", detail=str(error)) from error
    _keep_alive(session)
    with _translated("session"), _within(session, peer.login_timeout_s):
        channel = session.open_session(max_packet_size=BIG_PACKET, timeout=peer.login_timeout_s)
        channel.settimeout(peer.step_timeout_s)
        channel.invoke_subsystem("sftp")
        bell = _bell(session, peer) if with_bell else None
        sftp = Sftp(Patient(channel, line, peer.step_timeout_s))
        return _SftpTransport(session, sftp, bell, begun)


def _keep_alive(session: paramiko.Transport) -> None:
    """Show now and then that this end lives; not while keys are exchanged. The library's own sends it from the
    thread that reads, where it would wait for an exchange that this very thread has to go on with.
    """
    living = weakref.proxy(session)

    def show() -> None:
        if living.clear_to_send.is_set():
            living.global_request("keepalive@openssh.com", wait=False)

    session.packetizer.set_keepalive(_SIGN_OF_LIFE_S, show)


def _key_types(peer: SftpPeer) -> set[str]:
    names = {line.split()[0] for line in peer.host_keys if line.strip()}
    if "ssh-rsa" in names:
        names |= {"rsa-sha2-512", "rsa-sha2-256"}
        names.discard("ssh-rsa")
    return names


def _bell(session: paramiko.Transport, peer: SftpPeer) -> paramiko.Channel | None:
    """The notification channel, where the server offers one."""
    channel = session.open_session(timeout=peer.login_timeout_s)
    channel.settimeout(peer.connect_timeout_s)
    try:
        channel.invoke_subsystem(BELL_SUBSYSTEM)
    except (paramiko.SSHException, EOFError):
        channel.close()
        return None
    return channel


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """Library and socket faults as ours, decided once: transient or permanent."""
    try:
        yield
    except StatusError as error:
        if error.code == NO_SUCH_FILE:
            raise TransportError("FG-TRN-009", what=what, detail=str(error)) from error
        if error.code == DENIED:
            raise TransportError("FG-TRN-008", what=what, detail=str(error)) from error
        raise TransportError("FG-TRN-007", what=what, detail=str(error)) from error
    except TimeoutError as error:
        raise TransportError("FG-TRN-004", what=what, detail=str(error)) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise TransportError("FG-TRN-005", what=what, detail=repr(error)) from error


class _SftpTransport:
    """One connection. Not for two threads at once."""

    def __init__(
        self,
        session: paramiko.Transport,
        sftp: Sftp,
        bell: paramiko.Channel | None,
        begun: dict[str, int],
    ) -> None:
        self._session = session
        self._sftp = sftp
        self._bell = bell
        self._begun = begun
        self._sizes: dict[str, int] = {}
        self._stamp: tuple[int, int] | None = None
        self._pause_s = 0.1
        self.moved_bytes = 0

    def put(self, name: str, source: Source, size_bytes: int) -> None:
        final, part = f"{_TO}/{name}", f"{_TO}/.{name}.part"
        with _translated("put"):
            handle, there = self._sftp.begin(part, final)
            start = 0
            if handle is None:
                have = self._sftp.size(part)
                if have is None and there == size_bytes:
                    # An earlier try got as far as the rename; its answer was lost.
                    self._sftp.sync_folder(_TO)
                    self._begun.pop(name, None)
                    return
                start = _resume_at(have or 0, self._begun.get(name, 0), size_bytes)
                handle = self._sftp.reopen(part, is_longer=have is not None and have > size_bytes)
            self._begun[name] = start
            try:
                self._sftp.upload(handle, source, size_bytes, start=start, moved=self._moved)
            except UnsyncedError:
                # To go on from there would be to trust bytes that the disk may have lost.
                with contextlib.suppress(StatusError):
                    self._sftp.remove(part)
                raise
        with _translated("rename"):
            self._sftp.rename(part, final, _TO)
            self._begun.pop(name, None)

    def _moved(self, size_bytes: int) -> None:
        self.moved_bytes += size_bytes

    def has(self, name: str) -> bool:
        with _translated("stat"):
            paths = (f"{_TO}/.{name}.part", f"{_TO}/{name}")
            return any(self._sftp.size(path) is not None for path in paths)

    def entries(self) -> list[Entry]:
        with _translated("list"):
            found = self._complete(_FROM)
        self._sizes = {entry.name: entry.size_bytes for entry in found}
        return found

    def pending(self) -> list[Entry]:
        with _translated("list"):
            return self._complete(_TO)

    def _complete(self, folder: str) -> list[Entry]:
        found = [
            Entry(name, size)
            for name, size in self._sftp.list_folder(folder)
            if not name.startswith(".")
        ]
        return sorted(found, key=lambda e: e.name)

    def get(self, name: str, sink: Callable[[bytes], object], offset: int = 0) -> int:
        path = f"{_FROM}/{name}"
        size = self._sizes.get(name)  # whole entries never change
        if size is None:
            with _translated("get"):
                size = self._sftp.size(path)
                if size is None:
                    raise TransportError("FG-TRN-009", what=name)
        return self._get(path, sink, offset, size)

    def _get(self, path: str, sink: Callable[[bytes], object], offset: int, size: int) -> int:
        failure: list[BaseException] = []

        def guarded(data: bytes) -> None:
            try:
                sink(data)
            except OSError as error:
                # Our own disk, not the wire: it must not look like a broken connection.
                failure.append(error)
                raise _SinkFailed from error
            self._moved(len(data))

        try:
            with _translated("get"):
                return self._sftp.download(path, guarded, offset, size)
        except _SinkFailed:
            raise failure[0] from None

    def remove(self, name: str) -> None:
        with _translated("remove"):
            self._sftp.remove(f"{_FROM}/{name}")

    def wait(self, timeout_s: float) -> bool:
        with _translated("wait"):
            self._sftp.flush()
        if self._bell is not None:
            return self._wait_bell(self._bell, timeout_s)
        return self._poll(timeout_s)

    def _wait_bell(self, bell: paramiko.Channel, timeout_s: float) -> bool:
        bell.settimeout(timeout_s)
        try:
            data = bell.recv(4096)
        except TimeoutError:
            if not self._session.is_active():
                raise TransportError("FG-TRN-005", what="bell") from None
            return False
        except (OSError, paramiko.SSHException, EOFError) as error:
            raise TransportError("FG-TRN-005", what="bell", detail=str(error)) from error
        if not data:
            raise TransportError("FG-TRN-005", what="bell")
        return True

    def _poll(self, timeout_s: float) -> bool:
        """Look at one bell file, often after news and seldom when it is quiet."""
        end = time.monotonic() + timeout_s
        with _translated("poll"):
            while True:
                stamp = self._sftp.stamp(_BELL_FILE)
                if self._stamp is not None and stamp != self._stamp:
                    self._stamp, self._pause_s = stamp, 0.1
                    return True
                self._stamp = stamp
                left = end - time.monotonic()
                if left <= 0:
                    return False
                time.sleep(min(self._pause_s, left))
                self._pause_s = min(2.0, self._pause_s * 1.5)

    def close(self) -> None:
        self._session.close()


def _resume_at(have: int, begun: int, size_bytes: int) -> int:
    """Where an upload goes on: a little before the end of what is there, because the last bytes may
    not have reached the server's disk when it fell; but never further back than half of what the
    last try won, so that the worst of links still gets on. have: bytes there; more than
    `size_bytes` is none of ours.
    """
    if have > size_bytes:
        return 0
    return max(0, have - min(UPLOAD_BACK, max(0, have - begun) // 2))


class _SinkFailed(Exception):
    """Carries a fault of our own sink past the translation."""


def fingerprint(public_key_line: str) -> str:
    """`SHA256:…` of a public key line, as ssh-keygen shows it."""
    import base64
    import hashlib

    blob = base64.b64decode(public_key_line.split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


__all__: list[Any] = ["SftpPeer", "connect_sftp", "fingerprint"]
