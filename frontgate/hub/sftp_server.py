"""The embedded SFTP server: asyncssh in a process of its own, nothing to install.

Each account sees `/to-hub/` (create a `.<name>.part`, write, fsync, rename once; nothing is
overwritten) and `/from-hub/` (list, read, remove). Every step that changes something there goes through
`frontgate.durable`; what was answered with OK is on stable storage. Everything else is refused: no links, no folders,
no attributes, no shell, no forwarding. Keys only. A second subsystem, `frontgate-bell`, sends one
byte per ring: the hub tells this process which account to ring through a datagram socket.
Meant for demo, tests and up to 20 units; OpenSSH serves the rest (`frontgate.hub.sshd`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.constants import MSG_IGNORE
from asyncssh.logging import SSHLogger
from asyncssh.packet import SSHPacketLogger

from frontgate import durable
from frontgate.heap import keep_freed
from frontgate.undo import on_failure

PART = re.compile(rb"\.\d{16}-[0-9a-f]{64}\.bundle\.part")
FINAL = re.compile(rb"\d{16}-[0-9a-f]{64}\.bundle")
ACCOUNT = re.compile(r"u[0-9]{10}[0-9x]")
BELL = "frontgate-bell"
_TO, _FROM = b"/to-hub", b"/from-hub"
_STRIDE = 16 << 20
_SYNCED_AT_ONCE = 2 << 20
"""To sync so much takes a few milliseconds; 128 MiB took a hundred."""
MOST_PACKET = 256 << 10
"""A packet of SSH that a gateway may send: eight times the usual, for what a packet costs whatever its size."""
_READ_ONLY = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Bells:
    """The open notification channels by account."""

    def __init__(self) -> None:
        self._open: dict[str, set[asyncssh.SSHServerProcess[bytes]]] = {}

    async def serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """Keep one channel until its client goes."""
        account = process.get_extra_info("username")
        self._open.setdefault(account, set()).add(process)
        try:
            while await process.stdin.read(1024):
                pass
        except (asyncssh.Error, OSError):
            return
        finally:
            self._open[account].discard(process)
            process.exit(0)

    def ring(self, account: str) -> None:
        for process in list(self._open.get(account, ())):
            with contextlib.suppress(asyncssh.Error, OSError):
                process.stdout.write(b"\x07")


class Server(asyncssh.SSHServer):
    """Who may log in: an account whose key file exists, with that key."""

    def __init__(self, keys: Path) -> None:
        self._keys = keys
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        sock = conn.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _send_no_padding(conn)

    def begin_auth(self, username: str) -> bool:
        assert self._connection is not None
        if ACCOUNT.fullmatch(username):
            with contextlib.suppress(OSError, asyncssh.KeyImportError, ValueError):
                text = (self._keys / username).read_text("ascii")
                self._connection.set_authorized_keys(asyncssh.import_authorized_keys(text))
        return True

    def password_auth_supported(self) -> bool:
        return False


def _send_no_padding(conn: asyncssh.SSHServerConnection) -> None:
    """Leave out the empty packet that the library sends before each of its packets. It is meant against
    guessed first blocks of ciphers in CBC mode (RFC 4251, 9.3.1); here are only GCM and CTR, and it is
    half of all packets, for both ends.
    """
    send = conn.send_packet

    def lean(pkttype: int, *args: bytes, handler: Any = None) -> None:
        if pkttype != MSG_IGNORE:
            send(pkttype, *args, handler=handler)

    conn.send_packet = lean  # type: ignore[method-assign]


def _tell_no_packets() -> None:
    """Let the library not put its notes for debugging together: a seventh of what a request costs."""

    def nothing(*_: Any, **__: Any) -> None:
        return None

    SSHPacketLogger.log_sent_packet = nothing  # type: ignore[method-assign]
    SSHPacketLogger.log_received_packet = nothing  # type: ignore[method-assign]
    SSHLogger.debug1 = nothing  # type: ignore[method-assign]


def _denied() -> asyncssh.SFTPPermissionDenied:
    return asyncssh.SFTPPermissionDenied("not allowed")


def _attributes(info: os.stat_result) -> asyncssh.SFTPAttrs:
    """What version 3 tells of a file. The library's own way looks up the owners' names for each."""
    return asyncssh.SFTPAttrs(
        size=info.st_size,
        uid=info.st_uid,
        gid=info.st_gid,
        permissions=info.st_mode,
        atime=int(info.st_atime),
        mtime=int(info.st_mtime),
        nlink=info.st_nlink,
    )


def _mark(fd: int) -> tuple[int, int]:
    info = os.fstat(fd)
    return info.st_dev, info.st_ino


class Mailbox(asyncssh.SFTPServer):
    """One session's view. Paths are compared as text first; nothing is ever followed."""

    def __init__(
        self,
        chan: asyncssh.SSHServerChannel[bytes],
        root: Path,
        most_bytes: int = 0,
        *,
        unsynced: set[tuple[int, int]],
    ) -> None:
        """most_bytes: what may lie in `/to-hub/` together; 0 for no limit. unsynced: device and inode of
        parts whose fsync failed, kept from one session to the next: the disk may have lost any byte of
        them and will not say so again.
        """
        self._most_bytes = most_bytes
        self._unsynced = unsynced
        account = chan.get_extra_info("username")
        self._home = os.fsencode(root / account)
        super().__init__(chan, chroot=self._home)

    def _real(self, path: bytes) -> bytes:
        return self._home + path

    def _split(self, path: bytes) -> tuple[bytes, bytes]:
        """(folder, name) of a path directly below one of the two folders. Raises: denied."""
        clean = b"/" + b"/".join(p for p in path.split(b"/") if p not in (b"", b"."))
        folder, _, name = clean.rpartition(b"/")
        if folder not in (_TO, _FROM) or name in (b"", b"..") or b"\0" in name:
            raise _denied()
        return folder, name

    def _flags(self, path: bytes, wanted: int) -> int:
        folder, name = self._split(path)
        if folder == _FROM:
            if wanted & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
                raise _denied()
            return _READ_ONLY
        if not PART.fullmatch(name) or wanted & os.O_APPEND:
            raise _denied()
        return os.O_RDWR | wanted & (os.O_CREAT | os.O_TRUNC | os.O_EXCL)

    def _open(self, path: bytes, flags: int) -> Any:
        real = self._real(b"/".join(self._split(path)))
        if flags & 3 != os.O_RDONLY:
            if self._is_unsynced(real):
                durable.unlink(real)
            file = durable.open_part(real, flags, 0o640)
            # A new file may have the number of one that is gone, and with it its mark.
            self._unsynced.discard(_mark(file.fileno()))
            return file
        fd = os.open(real, flags)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise _denied()
        return os.fdopen(fd, "rb", buffering=0)

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        wanted = os.O_RDONLY
        if pflags & asyncssh.FXF_WRITE:
            wanted = os.O_RDWR
        for ours, theirs in (
            (os.O_APPEND, asyncssh.FXF_APPEND),
            (os.O_CREAT, asyncssh.FXF_CREAT),
            (os.O_TRUNC, asyncssh.FXF_TRUNC),
            (os.O_EXCL, asyncssh.FXF_EXCL),
        ):
            if pflags & theirs:
                wanted |= ours
        flags = self._flags(path, wanted)
        if flags & 3 != os.O_RDONLY and self._most_bytes and self._lying() > self._most_bytes:
            raise asyncssh.SFTPFailure("FG-BND-013: over the account's limit")
        return self._open(path, flags)

    def _is_unsynced(self, real: bytes) -> bool:
        """Whether this is a part whose fsync failed."""
        if not self._unsynced:
            return False
        try:
            info = os.lstat(real)
        except FileNotFoundError:
            return False
        return (info.st_dev, info.st_ino) in self._unsynced

    def _lying(self) -> int:
        """Bytes in `/to-hub/`, whole uploads and parts."""
        total = 0
        with os.scandir(self._real(_TO)) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    total += entry.stat(follow_symlinks=False).st_size
        return total

    def write(self, file_obj: Any, offset: int, data: bytes) -> Any:
        end = offset + len(data)
        # Now and then all parts are counted: each may be within the limit, not their sum.
        is_stride = offset // _STRIDE != end // _STRIDE
        if self._most_bytes and (
            end > self._most_bytes or (is_stride and self._lying() > self._most_bytes)
        ):
            raise asyncssh.SFTPFailure("FG-BND-013: over the account's limit")
        file_obj.seek(offset)
        # On a disk that fills up a write may take a part only; the rest then fails.
        with memoryview(data) as view:
            done = 0
            while done < len(view):
                done += file_obj.write(view[done:])
        return len(data)

    def open56(self, path: bytes, *_: Any) -> Any:
        raise asyncssh.SFTPOpUnsupported("version 3 only")

    def fsync(self, file_obj: Any) -> Any:
        """Of a large file in a thread: it may take seconds, and every other unit and bell would wait. The
        next request of this session waits for its end in any case.
        """
        is_large = os.fstat(file_obj.fileno()).st_size > _SYNCED_AT_ONCE
        fd = os.dup(file_obj.fileno())  # its session may end meanwhile
        if is_large:
            loop = asyncio.get_running_loop()
            # Not given up with its session: it closes what it was given.
            return asyncio.shield(loop.run_in_executor(None, self._fsync, fd))
        return self._fsync(fd)

    def _fsync(self, fd: int) -> None:
        try:
            with on_failure(lambda: self._mark(fd)):
                durable.fsync_file(fd)
        finally:
            os.close(fd)

    def _mark(self, fd: int) -> None:
        self._unsynced.add(_mark(fd))

    def rename(self, oldpath: bytes, newpath: bytes, flags: int = 0) -> None:
        self._rename(oldpath, newpath)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        self._rename(oldpath, newpath)

    def _rename(self, oldpath: bytes, newpath: bytes) -> None:
        """`.part` → its own final name, once; durable in the folder when this returns."""
        old_folder, old = self._split(oldpath)
        new_folder, new = self._split(newpath)
        if (old_folder, new_folder) != (_TO, _TO) or old != b"." + new + b".part":
            raise _denied()
        if not FINAL.fullmatch(new):
            raise _denied()
        if self._is_unsynced(self._real(_TO + b"/" + old)):
            raise asyncssh.SFTPFailure("not on the disk")
        folder = os.open(self._real(_TO), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                durable.link(old, new, dir_fd=folder)
            except FileExistsError:
                raise asyncssh.SFTPFailure("exists") from None
            # A name that may be lost must not be found there by the next try, and pass for an upload.
            with on_failure(lambda: durable.unlink(new, dir_fd=folder)):
                # The hub may have seen the name, taken the upload and tidied up already.
                durable.unlink(old, dir_fd=folder)
                durable.fsync_dir(".", dir_fd=folder)
        finally:
            os.close(folder)

    def remove(self, path: bytes) -> None:
        folder, name = self._split(path)
        if folder != _FROM and not PART.fullmatch(name):
            raise _denied()
        durable.unlink(self._real(folder + b"/" + name), missing_ok=False)

    def stat(self, path: bytes) -> Any:
        return self.lstat(path)

    def lstat(self, path: bytes) -> Any:
        clean = b"/" + b"/".join(p for p in path.split(b"/") if p not in (b"", b"."))
        if clean in (b"/", _TO, _FROM):
            return _attributes(os.lstat(self._real(clean)))
        folder, name = self._split(path)
        info = os.lstat(self._real(folder + b"/" + name))
        if folder == _TO and FINAL.fullmatch(name):
            # Asked by who lost the answer to a rename: what it is told must stay true.
            durable.fsync_dir(self._real(_TO))
        return _attributes(info)

    async def scandir(self, path: bytes) -> Any:
        clean = b"/" + b"/".join(p for p in path.split(b"/") if p not in (b"", b"."))
        if clean not in (b"/", _TO, _FROM):
            raise _denied()
        for name in (b".", b".."):
            yield asyncssh.SFTPName(
                name, attrs=asyncssh.SFTPAttrs(permissions=stat.S_IFDIR | 0o750)
            )
        with os.scandir(self._real(clean)) as entries:
            for entry in entries:
                info = entry.stat(follow_symlinks=False)
                if clean == b"/" and entry.name not in (b"to-hub", b"from-hub"):
                    continue
                yield asyncssh.SFTPName(entry.name, attrs=_attributes(info))

    def format_user(self, uid: int | None) -> str:
        """Owners show as numbers: nobody needs a look-up of names in each listing."""
        return str(uid)

    def format_group(self, gid: int | None) -> str:
        return str(gid)

    def realpath(self, path: bytes) -> bytes:
        parts: list[bytes] = []
        for part in path.split(b"/"):
            if part == b"..":
                parts = parts[:-1]
            elif part not in (b"", b"."):
                parts.append(part)
        return b"/" + b"/".join(parts)

    def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Ignored: clients set times and modes after an upload, which mean nothing here."""
        self._split(path)

    def fsetstat(self, file_obj: Any, attrs: asyncssh.SFTPAttrs) -> None:
        """Ignored, as `setstat`."""

    def _refuse(self, *_: Any) -> Any:
        raise _denied()

    mkdir = rmdir = symlink = link = readlink = lsetstat = lock = unlock = _refuse  # type: ignore[assignment]
    statvfs = fstatvfs = _refuse  # type: ignore[assignment]


async def serve(config: dict[str, Any]) -> None:
    """Run until SIGTERM. config: host, port, host_key, root, keys, bell."""
    root, keys = Path(config["root"]), Path(config["keys"])
    bells = Bells()
    unsynced: set[tuple[int, int]] = set()

    async def process(session: asyncssh.SSHServerProcess[bytes]) -> None:
        if session.subsystem == BELL:
            await bells.serve(session)
        else:
            session.exit(1)

    acceptor = await asyncssh.listen(
        config["host"],
        config["port"],
        server_factory=lambda: Server(keys),
        server_host_keys=[config["host_key"]],
        sftp_factory=lambda chan: Mailbox(
            chan, root, int(config.get("account_bytes", 0)), unsynced=unsynced
        ),
        process_factory=process,
        encoding=None,
        allow_scp=False,
        allow_pty=False,
        agent_forwarding=False,
        line_editor=False,
        max_pktsize=MOST_PACKET,
        kex_algs=[
            "mlkem768x25519-sha256",
            "curve25519-sha256",
            "curve25519-sha256@libssh.org",
            "ecdh-sha2-nistp256",
        ],
        encryption_algs=[
            "aes128-gcm@openssh.com",
            "aes256-gcm@openssh.com",
            "aes128-ctr",
            "aes256-ctr",
        ],
        mac_algs=[
            "hmac-sha2-256-etm@openssh.com",
            "hmac-sha2-512-etm@openssh.com",
            "hmac-sha2-256",
        ],
        compression_algs=None,
        login_timeout=20,
        keepalive_interval=60,
        keepalive_count_max=3,
        reuse_address=True,
        backlog=1024,
    )
    loop = asyncio.get_running_loop()
    bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    path = Path(config["bell"])
    path.unlink(missing_ok=True)  # noqa: ASYNC240 (before serving)
    bell.bind(str(path))
    os.chmod(path, 0o600)

    def heard() -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                bells.ring(bell.recv(64).decode("ascii", "replace"))

    loop.add_reader(bell, heard)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sys.stdout.write(json.dumps({"port": acceptor.get_port()}) + "\n")
    sys.stdout.flush()
    parent = os.getppid()
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 1.0)
        if os.getppid() != parent:
            # The hub died: it starts a new server of its own.
            break
    acceptor.close()
    bell.close()


def main() -> None:
    keep_freed()
    _tell_no_packets()
    # A client that went away while it was being written to is no news, and not one for each write.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(prog="frontgate.hub.sftp_server")
    parser.add_argument("--config", required=True, help="JSON object")
    asyncio.run(serve(json.loads(parser.parse_args().config)))


if __name__ == "__main__":
    main()
