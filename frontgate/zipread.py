"""A strict ZIP reader: one pass, no guessing, every doubt a refusal with its own code.

Why not the standard library: it opens archives whose local and central records disagree, that
overlap, hide entries or name one file twice, so two readers can see two contents.
Guarantees: the archive is exactly a run of local records without gaps, then the central directory,
then the end record; both records of an entry agree; sizes and CRC are checked while reading, and
never more than the stated size is inflated.
Dialects: `seal`: stored only, no descriptors, ASCII names of `[A-Za-z0-9._/-]`. `drop`: stored or
deflated, names in UTF-8 or else GB18030, careless habits read with a warning where their meaning is
certain. Fails: `ContainerError` FG-CNT. Source: APPNOTE.TXT 6.3.10.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import unicodedata
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple

from frontgate.errors import ContainerError
from frontgate.model.finding import Finding, Severity, finding
from frontgate.values import Struct

Dialect = Literal["seal", "drop"]

_LOCAL = struct.Struct("<4sHHHHHLLLHH")
_CENTRAL = struct.Struct("<4sHHHHHHLLLHHHHHLL")
_END = struct.Struct("<4sHHHHLLH")
_END64 = struct.Struct("<4sQHHLLQQQQ")
_LOCATOR = struct.Struct("<4sLQL")
_MAX32 = 0xFFFFFFFF
_FLAG_DESCRIPTOR = 0x0008
_FLAG_UTF8 = 0x0800
_FLAGS_DROP = _FLAG_DESCRIPTOR | _FLAG_UTF8 | 0x0006
_SEAL_NAME = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")
_ODD_PATH = re.compile(r"^[A-Za-z]:|(?:^|/)\.{0,2}(?:/|\Z)")
"""Begins with a slash or a drive, or a part is empty, `.` or `..`."""
_FOREIGN = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")
CHUNK = 1 << 18


class ZipLimits(Struct, frozen=True):
    """entries: most files. total_bytes: unpacked, all together. ratio: unpacked to packed."""

    entries: int = 2000
    total_bytes: int = 64 << 30
    ratio: int = 200
    name_bytes: int = 1024


USUAL = ZipLimits()


class ZipEntry(Struct, frozen=True):
    """One file of the archive. name: as text, `/`-separated. size_bytes: unpacked."""

    name: str
    raw_name: bytes
    size_bytes: int
    packed_bytes: int
    method: int
    crc: int
    data_offset: int
    _file: BinaryIO

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """The content, checked as it passes: size and CRC.

        Raises: ContainerError FG-CNT-020 (CRC), FG-CNT-021 (size is a lie), FG-CNT-022 (damaged).
        """
        crc = got = 0
        for chunk in self._inflate(size) if self.method else self._stored(size):
            got += len(chunk)
            if got > self.size_bytes:
                raise ContainerError("FG-CNT-021", file=self.name)
            crc = zlib.crc32(chunk, crc)
            yield chunk
        if got != self.size_bytes:
            raise ContainerError("FG-CNT-021", file=self.name)
        if crc != self.crc:
            raise ContainerError("FG-CNT-020", file=self.name)

    def read(self, limit: int) -> bytes:
        """The whole content of a small entry. Raises: ContainerError FG-CNT-023 over `limit`."""
        if self.size_bytes > limit:
            raise ContainerError("FG-CNT-023", file=self.name, size=self.size_bytes, limit=limit)
        if self.method or self.size_bytes > CHUNK:
            return b"".join(self.chunks())
        self._file.seek(self.data_offset)
        data = self._file.read(self.size_bytes)
        if len(data) != self.size_bytes:
            raise ContainerError("FG-CNT-022", file=self.name)
        if zlib.crc32(data) != self.crc:
            raise ContainerError("FG-CNT-020", file=self.name)
        return data

    def _stored(self, size: int) -> Iterator[bytes]:
        at, left = self.data_offset, self.packed_bytes
        while left:
            self._file.seek(at)
            chunk = self._file.read(min(size, left))
            if not chunk:
                raise ContainerError("FG-CNT-022", file=self.name)
            at += len(chunk)
            left -= len(chunk)
            yield chunk

    def _inflate(self, size: int) -> Iterator[bytes]:
        engine = zlib.decompressobj(-15)
        try:
            for packed in self._stored(size):
                data = packed
                while data and not engine.eof:
                    chunk = engine.decompress(data, size)
                    if chunk:
                        yield chunk
                    data = engine.unconsumed_tail
                if engine.eof and (engine.unused_data or data):
                    raise ContainerError("FG-CNT-022", file=self.name)
            rest = engine.flush()
        except zlib.error as error:
            raise ContainerError("FG-CNT-022", file=self.name, detail=str(error)) from None
        if not engine.eof:
            raise ContainerError("FG-CNT-022", file=self.name)
        if rest:
            yield rest


class ZipArchive(Struct, frozen=True):
    """The files of an archive in their order, and what was read with a warning."""

    entries: tuple[ZipEntry, ...]
    warnings: tuple[Finding, ...] = ()

    def find(self, name: str) -> ZipEntry | None:
        return next((e for e in self.entries if e.name == name), None)


def is_complete_zip(file: BinaryIO) -> bool:
    """Whether the end record is there and its directory lies inside: a cheap look for a file that
    may still be growing."""
    try:
        size = file.seek(0, os.SEEK_END)
        count, offset, length, _ = _end_record(file, 0, size)
    except ContainerError:
        return False
    return offset + length <= size and (count > 0 or length == 0)


def open_zip(
    file: BinaryIO,
    *,
    dialect: Dialect,
    offset: int = 0,
    length: int | None = None,
    limits: ZipLimits = USUAL,
) -> ZipArchive:
    """Read and judge the archive that lies at `offset` of an open file.

    length: its size in bytes; None: to the end of the file. The file must stay open while entries
    are read. Raises: ContainerError FG-CNT-001..019.
    """
    if length is None:
        length = file.seek(0, os.SEEK_END) - offset
    count, at, size, end = _end_record(file, offset, length)
    if count > limits.entries + 1000:
        raise ContainerError("FG-CNT-010", count=count, limit=limits.entries)
    if at + size != end:
        raise ContainerError("FG-CNT-004")
    records = _central(file, offset + at, size, count, dialect, limits)
    entries = _bind(file, offset, at, records, dialect)
    return _finish(entries, dialect, limits)


def _end_record(file: BinaryIO, offset: int, length: int) -> tuple[int, int, int, int]:
    """(entries, directory offset, directory size, where the end records begin)."""
    if length < _END.size:
        raise ContainerError("FG-CNT-001")
    file.seek(offset + length - _END.size)
    data = file.read(_END.size)
    if len(data) != _END.size or not data.startswith(b"PK\x05\x06"):
        raise ContainerError("FG-CNT-001")
    _, disk, cd_disk, here, count, size, at, comment = _END.unpack(data)
    if comment:
        raise ContainerError("FG-CNT-005")
    if disk or cd_disk or here != count:
        raise ContainerError("FG-CNT-006")
    end = length - _END.size
    if count == 0xFFFF or size == _MAX32 or at == _MAX32:
        return _end64(file, offset, end, (count, at, size))
    return count, at, size, end


def _end64(
    file: BinaryIO, offset: int, end: int, small: tuple[int, int, int]
) -> tuple[int, int, int, int]:
    start = end - _LOCATOR.size - _END64.size
    if start < 0:
        raise ContainerError("FG-CNT-007")
    file.seek(offset + start)
    data = file.read(_END64.size + _LOCATOR.size)
    magic, record, _, _, disk, cd_disk, here, count, size, at = _END64.unpack(data[: _END64.size])
    locator, loc_disk, loc_at, disks = _LOCATOR.unpack(data[_END64.size :])
    if magic != b"PK\x06\x06" or locator != b"PK\x06\x07" or record != _END64.size - 12:
        raise ContainerError("FG-CNT-007")
    if disk or cd_disk or loc_disk or disks > 1 or here != count or loc_at != start:
        raise ContainerError("FG-CNT-007")
    for told, real, full in (
        (small[0], count, 0xFFFF),
        (small[1], at, _MAX32),
        (small[2], size, _MAX32),
    ):
        if told not in (real, full):
            raise ContainerError("FG-CNT-007")
    return count, at, size, start


class _Record(NamedTuple):
    raw_name: bytes
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    local: int
    is_folder: bool
    guessed: bool


def _central(
    file: BinaryIO, at: int, size: int, count: int, dialect: Dialect, limits: ZipLimits
) -> list[_Record]:
    if size > (limits.entries + 1000) * (limits.name_bytes + 4096):
        raise ContainerError("FG-CNT-004")
    file.seek(at)
    data = file.read(size)
    records: list[_Record] = []
    pos = 0
    for _ in range(count):
        if pos + _CENTRAL.size > len(data):
            raise ContainerError("FG-CNT-004")
        (
            magic, made_by, _, flags, method, _, _, crc, packed, unpacked,
            name_len, extra_len, comment_len, disk, _, attributes, local,
        ) = _CENTRAL.unpack_from(data, pos)  # fmt: skip
        if magic != b"PK\x01\x02" or disk:
            raise ContainerError("FG-CNT-004")
        raw = data[pos + _CENTRAL.size : pos + _CENTRAL.size + name_len]
        extra = data[pos + _CENTRAL.size + name_len : pos + _CENTRAL.size + name_len + extra_len]
        pos += _CENTRAL.size + name_len + extra_len + comment_len
        if pos > len(data) or not raw or name_len > limits.name_bytes:
            raise ContainerError("FG-CNT-004")
        packed, unpacked, local = _wide(extra, packed, unpacked, local)
        shown = raw.decode("utf-8", "backslashreplace")[:120]
        _check_kind(shown, made_by, flags, method, attributes, dialect)
        name, guessed = _decode(raw, flags, shown, dialect)
        is_folder = name.endswith("/")
        records.append(
            _Record(raw, name, flags, method, crc, packed, unpacked, local, is_folder, guessed)
        )
        if is_folder and (packed or unpacked):
            raise ContainerError("FG-CNT-009", file=shown)
    if pos != len(data):
        raise ContainerError("FG-CNT-004")
    return records


def _wide(extra: bytes, packed: int, unpacked: int, local: int) -> tuple[int, int, int]:
    """ZIP64 values where the 32-bit fields say so."""
    if _MAX32 not in (packed, unpacked, local):
        return packed, unpacked, local
    field = _extra(extra, 0x0001)
    values: list[int] = []
    wanted = [v == _MAX32 for v in (unpacked, packed, local)]
    if field is None or len(field) != 8 * sum(wanted):
        raise ContainerError("FG-CNT-007")
    values = [v[0] for v in struct.iter_unpack("<Q", field)]
    take = iter(values)
    unpacked = next(take) if wanted[0] else unpacked
    packed = next(take) if wanted[1] else packed
    local = next(take) if wanted[2] else local
    return packed, unpacked, local


def _extra(extra: bytes, wanted: int) -> bytes | None:
    found: bytes | None = None
    pos = 0
    while pos + 4 <= len(extra):
        ident, size = struct.unpack_from("<HH", extra, pos)
        if ident == wanted:
            if found is not None:
                raise ContainerError("FG-CNT-007")
            found = extra[pos + 4 : pos + 4 + size]
            if len(found) != size:
                raise ContainerError("FG-CNT-007")
        pos += 4 + size
    return found


def _check_kind(
    shown: str, made_by: int, flags: int, method: int, attributes: int, dialect: Dialect
) -> None:
    if flags & 0x2041:
        raise ContainerError("FG-CNT-008", file=shown)
    if flags & ~(_FLAGS_DROP if dialect == "drop" else 0):
        raise ContainerError("FG-CNT-011", file=shown, value=f"{flags:#06x}")
    if method not in ((0, 8) if dialect == "drop" else (0,)):
        raise ContainerError("FG-CNT-012", file=shown, value=str(method))
    mode = attributes >> 16
    if made_by >> 8 == 3 and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ContainerError("FG-CNT-013", file=shown)


def _decode(raw: bytes, flags: int, shown: str, dialect: Dialect) -> tuple[str, bool]:
    if dialect == "seal":
        name = raw.decode("ascii", "replace")
        if not _SEAL_NAME.fullmatch(name):
            raise ContainerError("FG-CNT-014", file=shown)
        return name, False
    guessed = False
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        if flags & _FLAG_UTF8:
            raise ContainerError("FG-CNT-014", file=shown) from None
        try:
            name, guessed = raw.decode("gb18030"), True
        except UnicodeDecodeError:
            raise ContainerError("FG-CNT-014", file=shown) from None
    name = unicodedata.normalize("NFC", name)
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        raise ContainerError("FG-CNT-014", file=shown)
    return name, guessed


def _bind(
    file: BinaryIO, offset: int, directory: int, records: list[_Record], dialect: Dialect
) -> list[tuple[_Record, ZipEntry]]:
    """Each record's local header: must agree, must follow the one before without a gap."""
    expected = 0
    bound: list[tuple[_Record, ZipEntry]] = []
    for record in sorted(records, key=lambda r: r.local):
        shown = record.name[:120]
        if record.local != expected:
            raise ContainerError("FG-CNT-015", file=shown)
        file.seek(offset + record.local)
        head = file.read(_LOCAL.size)
        if len(head) != _LOCAL.size:
            raise ContainerError("FG-CNT-016", file=shown)
        magic, _, flags, method, _, _, crc, packed, size, name_len, extra_len = _LOCAL.unpack(head)
        rest = file.read(name_len + extra_len)
        if magic != b"PK\x03\x04" or rest[:name_len] != record.raw_name:
            raise ContainerError("FG-CNT-016", file=shown)
        if flags != record.flags or method != record.method:
            raise ContainerError("FG-CNT-016", file=shown)
        has_descriptor = bool(flags & _FLAG_DESCRIPTOR)
        extra = rest[name_len:]
        if has_descriptor and (crc, packed, size) == (0, 0, 0):
            pass
        else:
            if _MAX32 in (packed, size):
                packed, size, _ = _wide(extra, packed, size, 0)
            if (crc, packed, size) != (record.crc, record.packed, record.size):
                raise ContainerError("FG-CNT-016", file=shown)
        if record.method == 0 and record.packed != record.size:
            raise ContainerError("FG-CNT-016", file=shown)
        data_at = record.local + _LOCAL.size + name_len + extra_len
        expected = data_at + record.packed
        if has_descriptor:
            expected += _descriptor(file, offset + expected, record, shown)
        bound.append(
            (
                record,
                ZipEntry(
                    record.name,
                    record.raw_name,
                    record.size,
                    record.packed,
                    record.method,
                    record.crc,
                    offset + data_at,
                    file,
                ),
            )
        )
    if expected != directory:
        raise ContainerError("FG-CNT-015", file="")
    order = {id(record): index for index, record in enumerate(records)}
    return sorted(bound, key=lambda pair: order[id(pair[0])])


def _descriptor(file: BinaryIO, at: int, record: _Record, shown: str) -> int:
    """Size of the data descriptor that must follow, in one of its four legal forms."""
    file.seek(at)
    data = file.read(24)
    for form in ("<4sLLL", "<4sLQQ"):
        size = struct.calcsize(form)
        if len(data) >= size and struct.unpack_from(form, data) == (
            b"PK\x07\x08",
            record.crc,
            record.packed,
            record.size,
        ):
            return size
    for form in ("<LLL", "<LQQ"):
        size = struct.calcsize(form)
        if len(data) >= size and struct.unpack_from(form, data) == (
            record.crc,
            record.packed,
            record.size,
        ):
            return size
    raise ContainerError("FG-CNT-016", file=shown)


def _finish(
    bound: list[tuple[_Record, ZipEntry]], dialect: Dialect, limits: ZipLimits
) -> ZipArchive:
    warnings: list[Finding] = []
    total = packed = 0
    files: list[ZipEntry] = []
    for record, entry in bound:
        name = entry.name
        if dialect == "drop":
            if any(part in name for part in _FOREIGN):
                warnings.append(finding("FG-CNT-030", Severity.WARNING, file=name))
                for _ in entry.chunks():
                    pass
                continue
            if "\\" in name:
                name = name.replace("\\", "/")
                warnings.append(finding("FG-CNT-031", Severity.WARNING, file=name))
            if record.guessed:
                warnings.append(finding("FG-CNT-032", Severity.WARNING, file=name))
        _check_path(name)
        if record.is_folder or name.endswith("/"):
            continue
        total += entry.size_bytes
        packed += entry.packed_bytes
        files.append(_renamed(entry, name))
    if len(files) > limits.entries:
        raise ContainerError("FG-CNT-010", count=len(files), limit=limits.entries)
    if total > limits.total_bytes:
        raise ContainerError("FG-CNT-017", size=total, limit=limits.total_bytes)
    for entry in files:
        # Small files may legally shrink a thousandfold; the ratio bites where it can hurt.
        if entry.size_bytes > 1 << 20 and entry.size_bytes > limits.ratio * max(
            1, entry.packed_bytes
        ):
            raise ContainerError("FG-CNT-018", file=entry.name, limit=limits.ratio)
    if dialect == "drop":
        files, stripped = _strip_folder(files)
        if stripped:
            warnings.append(finding("FG-CNT-033", Severity.WARNING, file=stripped))
    seen: dict[str, str] = {}
    for entry in files:
        key = unicodedata.normalize("NFKC", entry.name).casefold()
        if key in seen:
            raise ContainerError("FG-CNT-019", file=entry.name)
        seen[key] = entry.name
    return ZipArchive(tuple(files), tuple(warnings))


def _check_path(name: str) -> None:
    if _ODD_PATH.search(name.removesuffix("/")):
        raise ContainerError("FG-CNT-014", file=name[:120])


def _renamed(entry: ZipEntry, name: str) -> ZipEntry:
    if name == entry.name:
        return entry
    return ZipEntry(
        name,
        entry.raw_name,
        entry.size_bytes,
        entry.packed_bytes,
        entry.method,
        entry.crc,
        entry.data_offset,
        entry._file,
    )


def _strip_folder(files: list[ZipEntry]) -> tuple[list[ZipEntry], str]:
    """One enclosing folder around everything is taken away, if `message.xml` lies right in it."""
    if not files or any(e.name == "message.xml" for e in files):
        return files, ""
    top = files[0].name.partition("/")[0]
    if not all(e.name.startswith(top + "/") for e in files):
        return files, ""
    return [_renamed(e, e.name[len(top) + 1 :]) for e in files], top
