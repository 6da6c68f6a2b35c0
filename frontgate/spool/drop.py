"""Reading a claimed drop: once, streamed, hashed, without following anything.

Offers: `open_drop`. Guarantees: memory is bounded by the message's limit; only regular files with
one name are read; `changed()` tells whether somebody still wrote while we read.
Fails: `SpoolError`, `ContainerError`, `XmlError` that say what a vendor can mend.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import stat
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from frontgate import safexml
from frontgate.errors import ContainerError, SpoolError
from frontgate.model.finding import Finding, Severity, finding
from frontgate.spool import trash
from frontgate.spool.beneath import Folder
from frontgate.spool.claiming import Claim
from frontgate.spool.layout import SpoolPaths
from frontgate.values import Struct
from frontgate.zipread import ZipLimits, open_zip

_CHUNK = 1 << 18
_HASH_WHOLE = 64 << 20
_MESSAGE = "message.xml"
_LEFT_OUT = (b"thumbs.db", b"desktop.ini", b".ds_store")

Way = tuple[bytes, ...]
"""Names from the claim's folder down to a file."""


class DropLimits(Struct, frozen=True):
    """message_bytes, files, package_bytes, ratio, name_bytes: see the contract, section 2."""

    message_bytes: int = 32 << 20
    files: int = 2000
    package_bytes: int = 64 << 30
    ratio: int = 200
    name_bytes: int = 255


class DropFile(Struct, frozen=True):
    """A file beside the message. size_bytes: as found when the drop was opened."""

    size_bytes: int
    _chunks: Callable[[int], Iterator[bytes]]

    def read(self, chunk: int = _CHUNK) -> Iterator[bytes]:
        return self._chunks(chunk)


@dataclass(slots=True)
class Drop:
    """An opened drop. files: by name as the message gives it, in NFC. digest: SHA-256 of the
    dropped file; empty for a folder and for a very large ZIP, which have no cheap one.
    is_rewritten: the message's bytes differ from those dropped (a byte order mark was taken off).
    """

    message: bytes
    files: Mapping[str, DropFile]
    warnings: tuple[Finding, ...]
    digest: str
    is_rewritten: bool = False
    _home: Folder | None = None
    _watched: list[tuple[Way, tuple[int, ...]]] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        return len(self.message) + sum(f.size_bytes for f in self.files.values())

    def changed(self) -> bool:
        """Whether any file of the drop is not as it was when it was opened."""
        assert self._home is not None
        try:
            return any(_identity(_lstat(self._home, way)) != was for way, was in self._watched)
        except OSError:
            return True


def _identity(info: os.stat_result) -> tuple[int, ...]:
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def _lstat(home: Folder, way: Way) -> os.stat_result:
    with home.inner(*way[:-1]) as folder:
        return folder.lstat(way[-1])


def _regular(home: Folder, way: Way, shown: str) -> BinaryIO:
    """Open a regular file with one name. Raises: SpoolError FG-SPL-012, 014, 015."""
    try:
        fd = home.open(*way)
    except PermissionError as error:
        raise SpoolError("FG-SPL-014", value=shown) from error
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM):
            raise
        raise SpoolError("FG-SPL-012", value=shown, detail=str(error)) from error
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        raise SpoolError("FG-SPL-012", value=shown)
    if info.st_nlink != 1:
        os.close(fd)
        raise SpoolError("FG-SPL-015", value=shown)
    return os.fdopen(fd, "rb")


@contextmanager
def open_drop(claim: Claim, *, limits: DropLimits) -> Iterator[Drop]:
    """Open a claim for reading. Raises: SpoolError, ContainerError, XmlError."""
    shown = claim.name.decode("utf-8", "backslashreplace")
    way = (os.fsencode(claim.path.name),)
    with Folder.at(claim.path.parent) as home:
        if claim.kind == "xml":
            with _regular(home, way, shown) as file:
                yield _open_xml(home, way, file, limits)
        elif claim.kind == "zip":
            with _regular(home, way, shown) as file:
                yield _open_zip(home, way, file, limits)
        elif claim.kind == "folder":
            yield _open_folder(home, way, limits)
        else:
            raise SpoolError("FG-SPL-010", value=shown)


def _message(data: bytes, limits: DropLimits) -> tuple[bytes, bool, list[Finding]]:
    body, had_mark = safexml.strip_bom(data)
    warnings = [finding("FG-SPL-016", Severity.WARNING, file=_MESSAGE)] if had_mark else []
    return body, had_mark, warnings


def _open_xml(home: Folder, way: Way, file: BinaryIO, limits: DropLimits) -> Drop:
    info = os.fstat(file.fileno())
    _check_size(info.st_size, limits)
    data = file.read(limits.message_bytes + 1)
    _check_size(len(data), limits)
    body, had_mark, warnings = _message(data, limits)
    digest = hashlib.sha256(data).hexdigest()
    return Drop(body, {}, tuple(warnings), digest, had_mark, home, [(way, _identity(info))])


def _check_size(size: int, limits: DropLimits) -> None:
    if size > limits.message_bytes:
        raise SpoolError("FG-SPL-017", size=size, limit=limits.message_bytes)


def _open_zip(home: Folder, way: Way, file: BinaryIO, limits: DropLimits) -> Drop:
    info = os.fstat(file.fileno())
    archive = open_zip(
        file,
        dialect="drop",
        limits=ZipLimits(
            entries=limits.files + 1, total_bytes=limits.package_bytes, ratio=limits.ratio
        ),
    )
    message: bytes | None = None
    files: dict[str, DropFile] = {}
    for entry in archive.entries:
        if entry.name.casefold() == _MESSAGE:
            _check_size(entry.size_bytes, limits)
            message = entry.read(limits.message_bytes)
        else:
            name = _file_name(entry.name, limits)
            files[name] = DropFile(entry.size_bytes, entry.chunks)
    if message is None:
        raise SpoolError("FG-SPL-018")
    body, had_mark, warnings = _message(message, limits)
    digest = ""
    if info.st_size <= _HASH_WHOLE:
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    return Drop(
        body,
        files,
        (*archive.warnings, *warnings),
        digest,
        had_mark,
        home,
        [(way, _identity(info))],
    )


def _open_folder(home: Folder, way: Way, limits: DropLimits) -> Drop:
    watched: list[tuple[Way, tuple[int, ...]]] = []
    files: dict[str, DropFile] = {}
    message: Way | None = None
    total = 0
    for inner, relative in _walk(home, way, limits):
        with _regular(home, inner, relative) as file:
            info = os.fstat(file.fileno())
        watched.append((inner, _identity(info)))
        total += info.st_size
        if total > limits.package_bytes + limits.message_bytes:
            raise ContainerError("FG-CNT-017", size=total, limit=limits.package_bytes)
        if relative.casefold() == _MESSAGE:
            message = inner
            continue
        name = _file_name(relative, limits)
        if name in files:
            raise ContainerError("FG-CNT-019", file=name)
        files[name] = DropFile(info.st_size, _reader(home, inner, relative))
    if message is None:
        raise SpoolError("FG-SPL-018")
    with _regular(home, message, _MESSAGE) as file:
        _check_size(os.fstat(file.fileno()).st_size, limits)
        data = file.read(limits.message_bytes + 1)
    _check_size(len(data), limits)
    body, had_mark, warnings = _message(data, limits)
    return Drop(body, files, tuple(warnings), "", had_mark, home, watched)


def _reader(home: Folder, way: Way, shown: str) -> Callable[[int], Iterator[bytes]]:
    def chunks(size: int) -> Iterator[bytes]:
        with _regular(home, way, shown) as file:
            while chunk := file.read(size):
                yield chunk

    return chunks


def _walk(home: Folder, root: Way, limits: DropLimits) -> Iterator[tuple[Way, str]]:
    """(way, relative name with `/`) of every entry; folders below `files/` are walked too."""
    count = 0
    pending: list[tuple[Way, str]] = [(root, "")]
    while pending:
        way, prefix = pending.pop()
        try:
            with home.inner(*way) as folder:
                names = sorted(itertools.islice(folder.names(), limits.files + 200))
                folders = {name for name in names if folder.is_folder(name)}
        except OSError as error:
            raise SpoolError("FG-SPL-014", value=prefix or "/") from error
        for raw in names:
            shown = raw.decode("utf-8", "backslashreplace")
            if raw.lower() in _LEFT_OUT:
                continue
            count += 1
            if count > limits.files + 100:
                raise ContainerError("FG-CNT-010", count=count, limit=limits.files)
            try:
                name = unicodedata.normalize("NFC", raw.decode("utf-8"))
            except UnicodeDecodeError:
                raise ContainerError("FG-CNT-014", file=shown) from None
            if raw in folders:
                if prefix.count("/") > 8:
                    raise ContainerError("FG-CNT-014", file=shown)
                pending.append(((*way, raw), f"{prefix}{name}/"))
            else:
                yield (*way, raw), prefix + name


def _file_name(relative: str, limits: DropLimits) -> str:
    """The name of a file as a message gives it: without `files/`."""
    if not relative.startswith("files/"):
        raise SpoolError("FG-SPL-019", value=relative[:200])
    name = relative.removeprefix("files/")
    if len(name.encode()) > limits.name_bytes:
        raise ContainerError("FG-CNT-014", file=name[:120])
    return name


def discard(paths: SpoolPaths, claim: Claim) -> None:
    """Remove a claim whose outcome the journal holds.

    Not synced: what a power cut brings back is known by its id and finished again. What cannot be
    removed goes to the trash. Raises: OSError.
    """
    with Folder.at(paths.claims) as claims:
        trash.discard(paths, claims, claim.claim_id)
