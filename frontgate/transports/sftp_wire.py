"""SFTP version 3 with windowed requests over one channel.

Why not the library's own client: its pipelining and prefetch were measured slow or unbounded. Here
at most `WINDOW` bytes are under way, answers are taken in any order, and memory is the window.
Source: draft-ietf-secsh-filexfer-02; OpenSSH PROTOCOL (fsync@openssh.com, posix-rename@openssh.com,
limits@openssh.com).
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from frontgate.errors import TransportError
from frontgate.transports import Source
from frontgate.transports.blocks import BLOCK, Blocks

BIG_PACKET = 256 << 10
"""The largest packet of SSH that such a request or answer needs."""
WINDOW = 64 * BLOCK
FIRST_WINDOW = 8 * BLOCK
"""An upload begins with little under way and takes a quarter more of what is answered: what a link that
breaks often has under way when it breaks must be sent again."""
_INIT, _VERSION, _OPEN, _CLOSE, _READ, _WRITE = 1, 2, 3, 4, 5, 6
_LSTAT, _OPENDIR, _READDIR, _REMOVE, _STAT, _EXTENDED = 7, 11, 12, 13, 17, 200
_RENAME = 18
_STATUS, _HANDLE, _DATA, _NAME, _ATTRS = 101, 102, 103, 104, 105
OK, EOF, NO_SUCH_FILE, DENIED, FAILURE = 0, 1, 2, 3, 4
READ, WRITE, CREATE, TRUNCATE, EXCLUSIVE = 0x01, 0x02, 0x08, 0x10, 0x20
_EXTENDED_REPLY = 201
_MOST_PACKET = 512 << 10
_ALL_THAT_CAME = 4 << 20
"""More than the library's window. Of a part it makes a copy, and moves all the rest."""
_MOST_ANSWERS = 2 * WINDOW // BLOCK


class Channel(Protocol):
    """What is needed of a channel: a blocking byte stream with a deadline on each step."""

    def sendall(self, data: bytes) -> None: ...

    def recv(self, size: int) -> bytes: ...


class StatusError(Exception):
    """The server answered with a status other than OK."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


class UnsyncedError(StatusError):
    """The server could not force a file to its disk: what is there is good for nothing any more."""


def _string(value: bytes) -> bytes:
    return struct.pack(">L", len(value)) + value


class Sftp:
    """One SFTP session. Not for two threads at once."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._buffer = bytearray()
        self._next = 0
        self._answers: dict[int, tuple[int, memoryview]] = {}
        self._unheard: set[int] = set()
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._can_sync_folders = True
        self._most: tuple[int, int] | None = None
        self._send(_INIT, struct.pack(">L", 3))
        kind, body = self._receive()
        if kind != _VERSION or len(body) < 4:
            raise TransportError("FG-TRN-010", what="version")
        self.extensions = self._parse_extensions(body[4:])

    @staticmethod
    def _parse_extensions(body: memoryview) -> frozenset[str]:
        names: list[str] = []
        while len(body) >= 4:
            size = struct.unpack_from(">L", body)[0]
            names.append(bytes(body[4 : 4 + size]).decode("utf-8", "replace"))
            body = body[4 + size :]
        return frozenset(names[::2])

    # -- packets ------------------------------------------------------------------------

    def _send(self, kind: int, body: bytes, data: bytes = b"") -> None:
        """Gather requests until an answer is waited for: together they cost what one does.

        data: what follows the body, not copied before it is sent.
        """
        size = len(body) + len(data) + 1
        self._gathered += (struct.pack(">LB", size, kind) + body, data)
        self._gathered_bytes += size + 4
        if self._gathered_bytes >= BLOCK:
            self.flush()

    def flush(self) -> None:
        """Send what was gathered; before the session is left idle."""
        if self._gathered:
            together, self._gathered, self._gathered_bytes = b"".join(self._gathered), [], 0
            self._channel.sendall(together)

    def _request(self, kind: int, body: bytes, data: bytes = b"") -> int:
        self._next = (self._next + 1) & 0xFFFFFFFF
        self._send(kind, struct.pack(">L", self._next) + body, data)
        return self._next

    def _receive(self) -> tuple[int, memoryview]:
        size = struct.unpack(">L", self._exactly(4))[0]
        if not 1 <= size <= _MOST_PACKET:
            raise TransportError("FG-TRN-010", what=f"packet of {size} bytes")
        data = memoryview(self._exactly(size))
        return data[0], data[1:]

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self.flush()
            data = self._channel.recv(_ALL_THAT_CAME)
            if not data:
                raise TransportError("FG-TRN-005", what="end of stream")
            self._buffer += data
        with memoryview(self._buffer) as view:
            taken = bytes(view[:size])
        del self._buffer[:size]
        return taken

    def _answer(self, request: int) -> tuple[int, memoryview]:
        while request not in self._answers:
            kind, body = self._receive()
            if len(body) < 4:
                raise TransportError("FG-TRN-010", what="short answer")
            answered = struct.unpack_from(">L", body)[0]
            if answered in self._unheard:
                self._unheard.discard(answered)
                continue
            self._answers[answered] = (kind, body[4:])
            if len(self._answers) > _MOST_ANSWERS:
                raise TransportError("FG-TRN-010", what="unasked answers")
        return self._answers.pop(request)

    @staticmethod
    def _status(body: memoryview) -> StatusError:
        code = struct.unpack_from(">L", body)[0] if len(body) >= 4 else FAILURE
        text = ""
        if len(body) >= 8:
            size = struct.unpack_from(">L", body, 4)[0]
            text = bytes(body[8 : 8 + size]).decode("utf-8", "replace")
        return StatusError(code, text)

    def _expect_ok(self, request: int) -> None:
        kind, body = self._answer(request)
        if kind != _STATUS:
            raise TransportError("FG-TRN-010", what=f"answer {kind}")
        status = self._status(body)
        if status.code != OK:
            raise status

    def _expect(self, request: int, wanted: int) -> memoryview:
        kind, body = self._answer(request)
        if kind == _STATUS:
            raise self._status(body)
        if kind != wanted:
            raise TransportError("FG-TRN-010", what=f"answer {kind}")
        return body

    def _handle(self, request: int) -> bytes:
        body = self._expect(request, _HANDLE)
        size = struct.unpack_from(">L", body)[0]
        return bytes(body[4 : 4 + size])

    def _let_go(self, handle: bytes) -> None:
        """Close a handle; nobody waits for the answer, which says nothing that is needed."""
        self._ignore(self._request(_CLOSE, _string(handle)))

    def _ignore(self, request: int) -> None:
        if self._answers.pop(request, None) is None:
            self._unheard.add(request)

    def _limits(self) -> tuple[int, int]:
        """(most of a read, most of a write) in bytes that the server says it takes; asked once."""
        if self._most is None:
            self._most = (BLOCK, BLOCK)
            if "limits@openssh.com" in self.extensions:
                asked = self._request(_EXTENDED, _string(b"limits@openssh.com"))
                try:
                    body = self._expect(asked, _EXTENDED_REPLY)
                except StatusError:
                    return self._most
                if len(body) >= 24:
                    _, read, write = struct.unpack_from(">QQQ", body)
                    self._most = (read, write)  # 0 where the server does not say
        return self._most

    # -- files --------------------------------------------------------------------------

    def _ask_open(self, path: str, flags: int) -> int:
        attributes = struct.pack(">LL", 0x04, 0o640)
        return self._request(_OPEN, _string(path.encode()) + struct.pack(">L", flags) + attributes)

    def begin(self, temporary: str, final: str) -> tuple[bytes | None, int | None]:
        """Open a part that must not be there, and look for the whole: one round trip for both.

        Returns: (handle for `upload`, or None where a part is there already or cannot be made;
        the whole's size in bytes, or None if there is none).
        """
        looked = self._request(_STAT, _string(final.encode()))
        opened = self._ask_open(temporary, WRITE | CREATE | EXCLUSIVE)
        size: int | None = None
        handle: bytes | None = None
        fault: StatusError | None = None
        try:
            size = _attributes(self._expect(looked, _ATTRS), 0)[0]
        except StatusError as error:
            fault = None if error.code == NO_SUCH_FILE else error
        try:
            handle = self._handle(opened)
        except StatusError:
            handle = None
        if handle is not None and (fault is not None or size is not None):
            self._let_go(handle)
            self.remove(temporary)
            handle = None
        if fault is not None:
            raise fault
        return handle, size

    def reopen(self, temporary: str, *, is_longer: bool) -> bytes:
        """A handle to go on with a part. is_longer: it holds more than it should, and is emptied."""
        return self._handle(
            self._ask_open(temporary, WRITE | CREATE | (TRUNCATE if is_longer else 0))
        )

    def upload(
        self,
        handle: bytes,
        source: Source,
        size_bytes: int,
        *,
        start: int,
        moved: Callable[[int], object],
    ) -> None:
        """Write from `start`, fsync, close: one round trip for all. Raises: UnsyncedError, StatusError.

        moved: told of each write that the server confirmed, in bytes. Source of the order: the
        server handles the requests of one session in sequence.
        """
        waiting: deque[tuple[int, int]] = deque()
        blocks = Blocks(lambda: self._limits()[1])
        window, under_way = FIRST_WINDOW, 0
        source.seek(start)
        at = start
        while at < size_bytes:
            data = source.read(min(blocks.size, size_bytes - at))
            if not data:
                raise EOFError("the source ends early")
            body = _string(handle) + struct.pack(">QL", at, len(data))
            waiting.append((self._request(_WRITE, body, data), len(data)))
            at += len(data)
            under_way += len(data)
            while under_way >= window:
                request, size = waiting.popleft()
                self._expect_ok(request)
                under_way -= size
                moved(size)
                blocks.moved(size)
                window = min(WINDOW, window + size // 4)
        synced: int | None = None
        if "fsync@openssh.com" in self.extensions:
            body = _string(b"fsync@openssh.com") + _string(handle)
            synced = self._request(_EXTENDED, body)
        closed = self._request(_CLOSE, _string(handle))
        # All writes must be known good before the name appears.
        for request, size in waiting:
            self._expect_ok(request)
            moved(size)
        if synced is not None:
            try:
                self._expect_ok(synced)
            except StatusError as error:
                self._ignore(closed)
                raise UnsyncedError(error.code, error.text) from error
        self._expect_ok(closed)

    def rename(self, old: str, new: str, folder: str) -> None:
        """Rename within `folder`; the target does not exist (bundle names are unique). Then force the
        folder's entries to storage where the server can: OpenSSH opens a folder for reading and takes
        fsync on that handle. Others are asked by the rename itself.
        """
        names = _string(old.encode()) + _string(new.encode())
        if "posix-rename@openssh.com" in self.extensions:
            renamed = self._request(_EXTENDED, _string(b"posix-rename@openssh.com") + names)
        else:
            renamed = self._request(_RENAME, names)
        opened = self._ask_folder(folder)
        try:
            self._expect_ok(renamed)
        except StatusError:
            handle = self._folder_handle(opened)
            if handle is not None:
                self._let_go(handle)
            raise
        self._sync_handle(self._folder_handle(opened))

    def sync_folder(self, path: str) -> None:
        """Force a folder's entries to storage, as `rename` does."""
        self._sync_handle(self._folder_handle(self._ask_folder(path)))

    def _ask_folder(self, path: str) -> int | None:
        if "fsync@openssh.com" not in self.extensions or not self._can_sync_folders:
            return None
        return self._request(_OPEN, _string(path.encode()) + struct.pack(">LL", READ, 0))

    def _folder_handle(self, request: int | None) -> bytes | None:
        if request is None:
            return None
        try:
            return self._handle(request)
        except StatusError:
            self._can_sync_folders = False  # nor will it next time
            return None

    def _sync_handle(self, handle: bytes | None) -> None:
        if handle is None:
            return
        synced = self._request(_EXTENDED, _string(b"fsync@openssh.com") + _string(handle))
        self._let_go(handle)
        try:
            self._expect_ok(synced)
        except StatusError as error:
            if error.code == FAILURE:  # the disk's; other codes: it cannot do that with a folder
                raise

    def download(
        self, path: str, sink: Callable[[bytes], object], offset: int, size_bytes: int
    ) -> int:
        """Read [offset, size_bytes) with a window of requests and feed it in order."""
        request = self._request(_OPEN, _string(path.encode()) + struct.pack(">LL", READ, 0))
        handle = self._handle(request)
        try:
            got = self._read_all(handle, sink, offset, size_bytes)
        except StatusError:
            # The session lives on: the handle must not stay open. After any other fault it is dead.
            self._let_go(handle)
            raise
        self._let_go(handle)
        return got

    def _read_all(
        self, handle: bytes, sink: Callable[[bytes], object], offset: int, size_bytes: int
    ) -> int:
        asked: deque[tuple[int, int, int]] = deque()
        blocks = Blocks(lambda: self._limits()[0])
        next_at, got = offset, 0
        broken: OSError | None = None
        while asked or (next_at < size_bytes and broken is None):
            try:
                while broken is None and next_at < size_bytes and next_at - offset - got < WINDOW:
                    size = min(blocks.size, size_bytes - next_at)
                    body = _string(handle) + struct.pack(">QL", next_at, size)
                    asked.append((self._request(_READ, body), next_at, size))
                    next_at += size
            except OSError as error:
                # Nothing can be asked any more, but answers that came may still lie here: every
                # byte of them need not be fetched again.
                broken = error
                continue
            request, at, size = asked.popleft()
            blocks.moved(size)
            while size:
                answer = self._expect(request, _DATA)
                data = bytes(answer[4 : 4 + struct.unpack_from(">L", answer)[0]])
                if not data or len(data) > size:
                    raise TransportError("FG-TRN-010", what="read answer")
                sink(data)
                got += len(data)
                at, size = at + len(data), size - len(data)
                if size:
                    again = _string(handle) + struct.pack(">QL", at, size)
                    request = self._request(_READ, again)
        if broken is not None:
            raise broken
        return got

    def size(self, path: str) -> int | None:
        """A file's size in bytes; None if there is none."""
        try:
            body = self._expect(self._request(_STAT, _string(path.encode())), _ATTRS)
        except StatusError as error:
            if error.code == NO_SUCH_FILE:
                return None
            raise
        size, _, _ = _attributes(body, 0)
        return size

    def stamp(self, path: str) -> tuple[int, int]:
        """(size, mtime) of a file; (-1, -1) if there is none."""
        try:
            body = self._expect(self._request(_STAT, _string(path.encode())), _ATTRS)
        except StatusError:
            return (-1, -1)
        size, mtime, _ = _attributes(body, 0)
        return size, mtime

    def list_folder(self, path: str) -> Iterator[tuple[str, int]]:
        """(name, size) of all entries; the end is asked for together with the first of them."""
        handle = self._handle(self._request(_OPENDIR, _string(path.encode())))
        asked: deque[int] = deque()
        try:
            while True:
                while len(asked) < 2:
                    asked.append(self._request(_READDIR, _string(handle)))
                try:
                    body = self._expect(asked.popleft(), _NAME)
                except StatusError as error:
                    if error.code == EOF:
                        return
                    raise
                yield from _names(body)
        finally:
            for request in asked:
                self._ignore(request)
            self._let_go(handle)

    def remove(self, path: str) -> None:
        """Remove a file; a missing one is fine."""
        try:
            self._expect_ok(self._request(_REMOVE, _string(path.encode())))
        except StatusError as error:
            if error.code != NO_SUCH_FILE:
                raise


def _names(body: memoryview) -> Iterator[tuple[str, int]]:
    """(name, size) of a NAME answer."""
    count = struct.unpack_from(">L", body)[0]
    at = 4
    for _ in range(count):
        size = struct.unpack_from(">L", body, at)[0]
        name = body[at + 4 : at + 4 + size]
        at += 4 + size
        long = struct.unpack_from(">L", body, at)[0]
        length, _, at = _attributes(body, at + 4 + long)
        yield bytes(name).decode("utf-8", "replace"), length


def _attributes(body: memoryview, at: int) -> tuple[int, int, int]:
    """(size, mtime, end) of an ATTRS structure."""
    try:
        flags = struct.unpack_from(">L", body, at)[0]
        at += 4
        size = mtime = 0
        if flags & 0x01:
            size = struct.unpack_from(">Q", body, at)[0]
            at += 8
        if flags & 0x02:
            at += 8
        if flags & 0x04:
            at += 4
        if flags & 0x08:
            mtime = struct.unpack_from(">L", body, at + 4)[0]
            at += 8
        if flags & 0x80000000:
            count = struct.unpack_from(">L", body, at)[0]
            at += 4
            for _ in range(2 * count):
                at += 4 + struct.unpack_from(">L", body, at)[0]
    except struct.error:
        raise TransportError("FG-TRN-010", what="attributes") from None
    return size, mtime, at
