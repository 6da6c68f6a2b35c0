"""In what order an upload asks a server to make it durable, and what it makes of the answers."""

from __future__ import annotations

import hashlib
import io
import struct
from pathlib import Path

import paramiko
import pytest

from frontgate.transports.sftp import connect_sftp
from frontgate.transports.sftp_wire import FAILURE, OK, Sftp, StatusError
from network.servers import SERVERS

_NAMES = {3: "open", 4: "close", 6: "write", 17: "stat"}


def asked(stream: bytes) -> list[str]:
    """The requests of an SFTP stream in words."""
    words, at = [], 0
    while at < len(stream):
        (size,) = struct.unpack_from(">L", stream, at)
        kind = stream[at + 4]
        if kind == 200:
            (length,) = struct.unpack_from(">L", stream, at + 9)
            words.append(stream[at + 13 : at + 13 + length].split(b"@")[0].decode())
        else:
            words.append(_NAMES.get(kind, str(kind)))
        at += 4 + size
    return words


@pytest.mark.parametrize("kind", list(SERVERS))
def test_a_file_is_synced_before_its_name_and_its_folder_after(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = bytearray()
    send = paramiko.Channel.send

    def noted(self: paramiko.Channel, data: bytes) -> int:
        count: int = send(self, data)
        sent.extend(data[:count])
        return count

    data = b"x" * 100_000
    with SERVERS[kind](tmp_path) as server:
        transport = connect_sftp(server.peer)
        monkeypatch.setattr(paramiko.Channel, "send", noted)
        transport.put(
            f"{1:016d}-{hashlib.sha256(data).hexdigest()}.bundle", io.BytesIO(data), 100_000
        )
        transport.close()
    words = asked(bytes(sent))
    folder = (
        ["open", "fsync", "close"] if kind == "openssh" else ["open"]
    )  # the other has done it itself
    assert words == ["stat", "open", *["write"] * 4, "fsync", "close", "posix-rename", *folder]


class Scripted:
    """A server's side of a channel: every fsync is answered with `code`, all else well."""

    def __init__(self, code: int) -> None:
        self._code = code
        self._out = bytearray()

    def sendall(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            (size,) = struct.unpack_from(">L", data, at)
            self._answer(data[at + 4], data[at + 5 : at + 4 + size])
            at += 4 + size

    def _answer(self, kind: int, body: bytes) -> None:
        if kind == 1:
            pairs = b"".join(
                struct.pack(">L", len(word)) + word
                for name in (b"fsync@openssh.com", b"posix-rename@openssh.com")
                for word in (name, b"1")
            )
            self._put(2, struct.pack(">L", 3) + pairs)
        elif kind == 3:
            self._put(102, body[:4] + struct.pack(">L", 1) + b"h")
        else:
            code = self._code if b"fsync@" in body else OK
            self._put(101, body[:4] + struct.pack(">LLL", code, 0, 0))

    def _put(self, kind: int, body: bytes) -> None:
        self._out += struct.pack(">LB", len(body) + 1, kind) + body

    def recv(self, size: int) -> bytes:
        data = bytes(self._out[:size])
        del self._out[:size]
        return data


def test_a_disk_error_of_the_folder_is_no_success() -> None:
    with pytest.raises(StatusError):
        Sftp(Scripted(FAILURE)).rename("/to-hub/.a.part", "/to-hub/a", "/to-hub")
    with pytest.raises(StatusError):
        Sftp(Scripted(FAILURE)).sync_folder("/to-hub")


@pytest.mark.parametrize("code", [OK, 5, 8])
def test_a_server_that_cannot_sync_a_folder_is_no_fault(code: int) -> None:
    """5: a bad request, 8: not supported."""
    Sftp(Scripted(code)).rename("/to-hub/.a.part", "/to-hub/a", "/to-hub")
