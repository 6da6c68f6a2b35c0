"""The form of a file that a gap device carries: content, then a trailer of fixed size.

A device may hand over a file in pieces, cut it short, change the order, repeat it or drop it, and
nothing is known of when it is done. So a file says by its own content that it is whole: its last
512 bytes, the trailer, name its length and digest, and whose file it is, and end with the SHA-256
of what they say. Nothing of a trailer is believed before that. It guards against damage, not
against a device that lies: see `ferry`. Names are flat, of `[A-Za-z0-9._-]`:

    d<16-digit number>.<epoch>.<try>.fg   a bundle; each time it is sent again it has a new name
    a<16-digit serial>.<epoch>.fg         an acknowledgement: what has come so far, all of it

Numbers count per direction and epoch; a side that lost its memory begins a new epoch.
Fails: `NotWhole` for what is no whole file of this form (yet).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from frontgate import durable
from frontgate.values import Struct, asdict

TRAILER = 512
SEAL = 64
"""The trailer's own digest, in hex, before its last byte, a line feed."""
FORM = "frontgate-carried-2"
MOST_AHEAD = 100_000
"""Nobody waits for so many acknowledgements: a number further above its floor is not believed."""
CHUNK = 1 << 20
MOST_ACK_BYTES = 1 << 20
DATA = re.compile(r"d(\d{16})\.([0-9a-f]{8})\.(\d{1,12})\.fg")
ACK = re.compile(r"a(\d{16})\.([0-9a-f]{8})\.fg")
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


class NotWhole(Exception):
    """No whole carried file under this name, at least not yet."""


class Astray(NotWhole):
    """A whole one that is not for here."""


class Doubtful(NotWhole):
    """A whole one that says what cannot be: nobody honest wrote it."""


def plain(file_name: str) -> str:
    """A name as it was meant: a device may have been quicker than our rename."""
    if file_name.startswith(".") and file_name.endswith(".tmp"):
        return file_name[1:-4]
    return file_name


class Trailer(Struct, frozen=True):
    """side: who wrote it, `gateway` or `hub`. floor: below this number it waits for nothing any more,
    so nothing is missing there. name: of the bundle; empty for an acknowledgement.
    """

    kind: str
    side: str
    account: str
    epoch: str
    number: int
    floor: int
    name: str
    size_bytes: int
    digest: str

    def encoded(self) -> bytes:
        text = json.dumps({"form": FORM, **asdict(self)}, separators=(",", ":"), sort_keys=True)
        data = text.encode("ascii").ljust(TRAILER - SEAL - 1)
        assert len(data) == TRAILER - SEAL - 1
        return data + hashlib.sha256(data).hexdigest().encode() + b"\n"

    @property
    def is_plausible(self) -> bool:
        """Whether an honest far end can have written it, seen by itself."""
        if self.kind == "ack":
            return self.floor > 0 and self.size_bytes <= MOST_ACK_BYTES
        is_named = NAME.fullmatch(self.name) is not None
        return is_named and 0 < self.floor <= self.number <= self.floor + MOST_AHEAD

    @classmethod
    def decoded(cls, data: bytes) -> Trailer:
        """Raises: NotWhole unless `data` is exactly what `encoded` makes."""
        text, seal = data[: -SEAL - 1], data[-SEAL - 1 : -1]
        if hashlib.sha256(text).hexdigest().encode() != seal:
            raise NotWhole
        try:
            fields = json.loads(text)
            if fields.pop("form") != FORM:
                raise NotWhole
            trailer = cls(**fields)
            counts = (trailer.number, trailer.floor, trailer.size_bytes)
            told = (trailer.kind, trailer.side, trailer.account, trailer.epoch)
            texts = (*told, trailer.name, trailer.digest)
            if any(type(text) is not str for text in texts):
                raise NotWhole
            if any(type(n) is not int or n < 0 for n in counts) or trailer.encoded() != data:
                raise NotWhole
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, AssertionError):
            raise NotWhole from None
        return trailer


class Stamp(Struct, frozen=True):
    """What shows that a file has changed."""

    inode: int
    size_bytes: int
    mtime_ns: int


def open_carried(path: Path) -> tuple[BinaryIO, Stamp]:
    """Open what lies in the device's folder: a regular file, never followed, never waited for.

    Raises: NotWhole for anything else; FileNotFoundError.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EACCES, errno.EISDIR, errno.EPERM):
            raise NotWhole from error
        raise
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        raise NotWhole
    return os.fdopen(fd, "rb"), Stamp(info.st_ino, info.st_size, info.st_mtime_ns)


def read_trailer(file: BinaryIO, size_bytes: int) -> Trailer:
    """The trailer of a file that seems whole. Raises: NotWhole."""
    if size_bytes < TRAILER:
        raise NotWhole
    try:
        file.seek(size_bytes - TRAILER)
        data = file.read(TRAILER)
    except OSError as error:
        raise NotWhole from error
    trailer = Trailer.decoded(data)
    if trailer.size_bytes != size_bytes - TRAILER:
        raise NotWhole
    file.seek(0)
    return trailer


def copy_content(file: BinaryIO, trailer: Trailer, sink: Callable[[bytes], object]) -> None:
    """Feed the content and hold it against the trailer. Raises: NotWhole where it differs."""
    sha = hashlib.sha256()
    left = trailer.size_bytes
    while left:
        try:
            chunk = file.read(min(CHUNK, left))
        except OSError as error:
            raise NotWhole from error
        if not chunk:
            raise NotWhole
        sha.update(chunk)
        sink(chunk)
        left -= len(chunk)
    if sha.hexdigest() != trailer.digest:
        raise NotWhole


def digest_of(path: Path) -> str:
    """SHA-256 of a file of ours. Raises: OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_carried(
    folder: Path, file_name: str, chunks: Iterable[bytes], trailer: Callable[[int, str], Trailer]
) -> bool:
    """Put a file into the device's folder. trailer: made from size and digest of the content.
    Returns: False if the device took it before it was whole.

    It is written under a hidden name and renamed where that works, which spares the device half
    files; a device that takes the hidden one, or a folder without rename, does no harm.
    """
    hidden, final = folder / f".{file_name}.tmp", folder / file_name
    durable.unlink(hidden)
    sha, size = hashlib.sha256(), 0
    # The device runs under another account, which the folder's own rights let in.
    with durable.open_new(hidden, 0o660) as file:
        for chunk in chunks:
            file.write(chunk)
            sha.update(chunk)
            size += len(chunk)
        file.write(trailer(size, sha.hexdigest()).encoded())
        file.flush()
        durable.fsync_file(file)
    try:
        durable.rename(hidden, final)
    except FileNotFoundError:
        return False
    sync_folder(folder)
    return True


def sync_folder(folder: Path) -> None:
    """Force the entries to storage where the file system knows how."""
    try:
        durable.fsync_dir(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES):
            raise
