"""Bundles: what travels on the wire, an uncompressed tar of members in a fixed form.

Form: ustar headers (GNU base-256 size from 8 GiB on), regular files only, mtime, uid and gid 0,
mode 0600, names of `[A-Za-z0-9._-]`, two zero blocks at the end and nothing after them. A reader
writes each header again and compares it byte for byte, so there is one form and no guessing.
A bundle is only transport: each member is judged alone. Source: POSIX.1-1988 ustar.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from frontgate.errors import BundleError
from frontgate.values import Struct

BLOCK = 512
TRAILER = b"\0" * (2 * BLOCK)
MOST_MEMBERS = 1024
NAME = re.compile(r"[A-Za-z0-9._-]{1,99}")
_BUNDLE_ID = re.compile(r"\d{16}-[0-9a-f]{64}")


class Member(Struct, frozen=True):
    """One member. digest: SHA-256 of its bytes, 64 lower-case hex."""

    name: str
    size_bytes: int
    digest: str


class Located(Member, frozen=True):
    """A member found in a bundle. offset: of its first byte in the bundle's file."""

    offset: int


def bundle_id(sequence: int, members: Sequence[Member]) -> str:
    """`<16-digit sequence>-<SHA-256 over name, size and digest of each member>`."""
    sha = hashlib.sha256()
    for m in members:
        sha.update(f"{m.name}\0{m.size_bytes}\0{m.digest}\n".encode())
    return f"{sequence:016d}-{sha.hexdigest()}"


def is_bundle_id(text: str) -> bool:
    return _BUNDLE_ID.fullmatch(text) is not None


def check_id(ident: str, members: Sequence[Member]) -> bool:
    """Whether a BundleId is that of these members."""
    return is_bundle_id(ident) and bundle_id(int(ident[:16]), members) == ident


def member_header(member: Member) -> bytes:
    """The 512 bytes before a member's data."""
    if not NAME.fullmatch(member.name):
        raise BundleError("FG-BND-001", value=member.name)
    size = member.size_bytes
    shown = f"{size:011o}".encode() + b"\0" if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    head = bytearray(BLOCK)
    head[0 : len(member.name)] = member.name.encode()
    head[100:108] = b"0000600\0"
    head[108:116] = b"0000000\0"
    head[116:124] = b"0000000\0"
    head[124:136] = shown
    head[136:148] = b"00000000000\0"
    head[148:156] = b"        "
    head[156:157] = b"0"
    head[257:265] = b"ustar\x0000"
    head[148:156] = f"{sum(head):06o}\0 ".encode()
    return bytes(head)


def member_padding(size_bytes: int) -> bytes:
    """The zero bytes after a member's data, up to the next block."""
    return b"\0" * (-size_bytes % BLOCK)


def size_of(members: Iterable[Member]) -> int:
    """The size in bytes of the bundle of these members."""
    body = sum(BLOCK + m.size_bytes + (-m.size_bytes % BLOCK) for m in members)
    return body + len(TRAILER)


class BundleTaker:
    """Copies a bundle into a file of ours while parsing and hashing it, in one pass.

    Memory is constant in the size of the members. `write` raises BundleError at the first byte
    that breaks the form; what came so far is in the file.
    """

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._members: list[Located] = []
        self._names: set[str] = set()
        self._position = 0
        self._head = bytearray()
        self._left = 0
        self._padding = 0
        self._sha = hashlib.sha256()
        self._current: tuple[str, int] | None = None
        self._zero_blocks = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes. Raises: BundleError FG-BND-001..006."""
        self._target.write(data)
        view = memoryview(data)
        while view:
            if self._current is not None:
                view = self._data(view)
            elif self._padding:
                used = min(self._padding, len(view))
                if any(view[:used]):
                    raise BundleError("FG-BND-003")
                self._padding -= used
                self._position += used
                view = view[used:]
            else:
                view = self._header(view)

    def _data(self, view: memoryview) -> memoryview:
        assert self._current is not None
        used = min(self._left, len(view))
        self._sha.update(view[:used])
        self._left -= used
        self._position += used
        if self._left == 0:
            self._end_member()
        return view[used:]

    def _end_member(self) -> None:
        assert self._current is not None
        name, size = self._current
        self._members.append(Located(name, size, self._sha.hexdigest(), self._position - size))
        self._padding = -size % BLOCK
        self._current = None

    def _header(self, view: memoryview) -> memoryview:
        used = min(BLOCK - len(self._head), len(view))
        self._head += view[:used]
        self._position += used
        if len(self._head) == BLOCK:
            head = bytes(self._head)
            self._head.clear()
            self._begin(head)
        return view[used:]

    def _begin(self, head: bytes) -> None:
        if self._zero_blocks == 2:
            raise BundleError("FG-BND-004")
        if not any(head):
            self._zero_blocks += 1
            return
        if self._zero_blocks:
            raise BundleError("FG-BND-004")
        name = head[:100].rstrip(b"\0").decode("ascii", "replace")
        field = head[124:136]
        try:
            size = (
                int.from_bytes(field[1:], "big")
                if field[0] == 0x80
                else int(field[:11].decode("ascii"), 8)
            )
        except (UnicodeDecodeError, ValueError):
            raise BundleError("FG-BND-002") from None
        if not NAME.fullmatch(name) or name.startswith("."):
            raise BundleError("FG-BND-001", value=name)
        if member_header(Member(name, size, "")) != head:
            raise BundleError("FG-BND-002")
        if name in self._names:
            raise BundleError("FG-BND-005", value=name)
        if len(self._members) >= MOST_MEMBERS:
            raise BundleError("FG-BND-006", limit=MOST_MEMBERS)
        self._names.add(name)
        self._current = (name, size)
        self._left = size
        self._sha = hashlib.sha256()
        if size == 0:
            self._end_member()

    def finish(self) -> tuple[Located, ...]:
        """The members, after the last byte. Raises: BundleError FG-BND-004 if it is cut short."""
        if self._current or self._padding or self._head or self._zero_blocks != 2:
            raise BundleError("FG-BND-004")
        return tuple(self._members)


def scan_bundle(file: BinaryIO) -> tuple[Located, ...]:
    """The members of a bundle's file, every one hashed. Raises: BundleError."""
    taker = BundleTaker(_Nowhere())  # type: ignore[arg-type]
    file.seek(0)
    while chunk := file.read(1 << 20):
        taker.write(chunk)
    return taker.finish()


class _Nowhere:
    def write(self, data: bytes) -> int:
        return len(data)
