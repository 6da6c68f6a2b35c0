"""The sealed package: writing it in one pass, opening it, verifying all of it.

Form: ASiC-E (ETSI EN 319 162-1). Order in the ZIP: `mimetype`, `META-INF/manifest.xml`, `files/…`,
`source/…`, `message.xml`, `envelope.xml`, `META-INF/signatures.xml`: what is streamed comes before
what needs its digests. All entries are stored; headers are complete (no data descriptors).
Guarantees: memory does not grow with the size of a part; what `chunks` and `read` hand out was
verified by `verify` against the signature.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from frontgate.errors import ContainerError, InternalError, SignatureError
from frontgate.model.envelope import Envelope, Part
from frontgate.seal import xades
from frontgate.seal.envelope import MAX_BYTES as MAX_ENVELOPE
from frontgate.seal.envelope import read_envelope, write_envelope
from frontgate.seal.xml import attribute
from frontgate.suites import Signer
from frontgate.values import Struct, replace
from frontgate.zipread import ZipArchive, ZipEntry, ZipLimits, open_zip

MIMETYPE = "application/vnd.etsi.asic-e+zip"
_MANIFEST_NS = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"
_XML = "application/xml"
_DOS_DATE = 0x0021  # 1 January 1980: a package holds no time of writing
_MAX32 = 0xFFFFFFFF
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_LIMITS = ZipLimits(entries=2100, total_bytes=1 << 62, ratio=2, name_bytes=160)


class Sealed(Struct, frozen=True):
    """A finished package. content_digest: SHA-256 of envelope.xml; seal_digest: of signatures.xml."""

    envelope: Envelope
    content_digest: str
    seal_digest: str
    size_bytes: int


@dataclass(slots=True)
class _Written:
    name: bytes
    crc: int
    size: int
    at: int


class PackageWriter:
    """Writes one package from `offset` of a seekable file.

    parts: (path, media type) of all that will be added, in that order; they stand in the
    OpenDocument manifest, which comes before them.
    """

    def __init__(
        self, file: BinaryIO, *, offset: int = 0, parts: Sequence[tuple[str, str]] = ()
    ) -> None:
        self._file = file
        self._base = offset
        self._expected = list(parts)
        self._entries: list[_Written] = []
        self._parts: list[Part] = []
        file.seek(offset)
        self._store("mimetype", MIMETYPE.encode())
        self._store("META-INF/manifest.xml", _manifest([*parts, ("envelope.xml", _XML)]))

    def add(
        self, path: str, media_type: str, source: Iterable[bytes], size_bytes: int | None = None
    ) -> Part:
        """Add a part. size_bytes: must be given for a source that is streamed.

        Raises: ContainerError FG-CNT-043 where the source has another size (it changed meanwhile).
        """
        if len(self._parts) >= len(self._expected) or self._expected[len(self._parts)] != (
            path,
            media_type,
        ):
            raise InternalError("FG-INT-001", what=f"part {path} was not announced")
        if size_bytes is None:
            data = b"".join(source)
            size_bytes, source = len(data), [data]
        sha = hashlib.sha256()
        entry = self._begin(path, size_bytes)
        got = crc = 0
        for chunk in source:
            got += len(chunk)
            if got > size_bytes:
                raise ContainerError("FG-CNT-043", file=path)
            crc = zlib.crc32(chunk, crc)
            sha.update(chunk)
            self._file.write(chunk)
        if got != size_bytes:
            raise ContainerError("FG-CNT-043", file=path)
        entry.crc = crc
        self._patch_crc(entry)
        part = Part(path, size_bytes, media_type, sha.hexdigest())
        self._parts.append(part)
        return part

    def finish(self, envelope: Envelope, signer: Signer, signing_time: datetime) -> Sealed:
        """Write envelope, seal and directory. envelope: without parts; they are filled in."""
        if len(self._parts) != len(self._expected):
            raise InternalError("FG-INT-001", what="announced parts are missing")
        full = replace(envelope, parts=tuple(self._parts))
        envelope_data = write_envelope(full)
        content = hashlib.sha256(envelope_data).hexdigest()
        self._store("envelope.xml", envelope_data)
        signed = [*self._parts, Part("envelope.xml", len(envelope_data), _XML, content)]
        signatures = xades.write_signatures(signed, signer, signing_time)
        self._store("META-INF/signatures.xml", signatures)
        self._directory()
        size = self._file.tell() - self._base
        return Sealed(full, content, hashlib.sha256(signatures).hexdigest(), size)

    def _store(self, path: str, data: bytes) -> None:
        entry = self._begin(path, len(data), zlib.crc32(data))
        self._file.write(data)
        del entry

    def _begin(self, path: str, size: int, crc: int = 0) -> _Written:
        name = path.encode("ascii")
        entry = _Written(name, crc, size, self._file.tell() - self._base)
        self._entries.append(entry)
        wide = size >= _MAX32
        extra = struct.pack("<HHQQ", 1, 16, size, size) if wide else b""
        shown = _MAX32 if wide else size
        self._file.write(
            struct.pack(
                "<4sHHHHHLLLHH",
                b"PK\x03\x04",
                45 if wide else 10,
                0,
                0,
                0,
                _DOS_DATE,
                crc,
                shown,
                shown,
                len(name),
                len(extra),
            )
            + name
            + extra
        )
        return entry

    def _patch_crc(self, entry: _Written) -> None:
        end = self._file.tell()
        self._file.seek(self._base + entry.at + 14)
        self._file.write(struct.pack("<L", entry.crc))
        self._file.seek(end)

    def _directory(self) -> None:
        start = self._file.tell() - self._base
        for entry in self._entries:
            wide = [v for v in (entry.size, entry.size, entry.at) if v >= _MAX32]
            extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
            size, at = min(entry.size, _MAX32), min(entry.at, _MAX32)
            self._file.write(
                struct.pack(
                    "<4sHHHHHHLLLHHHHHLL",
                    b"PK\x01\x02",
                    45 if wide else 10,
                    45 if wide else 10,
                    0,
                    0,
                    0,
                    _DOS_DATE,
                    entry.crc,
                    size,
                    size,
                    len(entry.name),
                    len(extra),
                    0,
                    0,
                    0,
                    0,
                    at,
                )
                + entry.name
                + extra
            )
        end = self._file.tell() - self._base
        count, length = len(self._entries), end - start
        if start >= _MAX32 or length >= _MAX32:
            self._file.write(
                struct.pack(
                    "<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, start
                )
                + struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
            )
        self._file.write(
            struct.pack(
                "<4sHHHHLLH",
                b"PK\x05\x06",
                0,
                0,
                count,
                count,
                min(length, _MAX32),
                min(start, _MAX32),
                0,
            )
        )


def _manifest(parts: Sequence[tuple[str, str]]) -> bytes:
    entries = "".join(
        f'<manifest:file-entry manifest:full-path="{attribute(path)}"'
        f' manifest:media-type="{attribute(media)}"></manifest:file-entry>'
        for path, media in [("/", MIMETYPE), *parts]
    )
    return (
        f'<manifest:manifest xmlns:manifest="{_MANIFEST_NS}" manifest:version="1.2">'
        f"{entries}</manifest:manifest>"
    ).encode()


class Package:
    """An opened package. Its parts may be read only after `verify`."""

    def __init__(
        self,
        file: BinaryIO,
        archive: ZipArchive,
        envelope: Envelope,
        envelope_data: bytes,
        signatures: bytes,
    ) -> None:
        self._file = file
        self._archive = archive
        self._facts = xades.read_signatures(signatures)
        self.envelope = envelope
        self._envelope_data = envelope_data
        self.content_digest = hashlib.sha256(envelope_data).hexdigest()
        self.seal_digest = hashlib.sha256(signatures).hexdigest()
        self.certificate = self._facts.certificate
        self.signature_value = self._facts.value
        self.suite_name = ""
        self._verified = False

    @property
    def signing_time(self) -> datetime:
        """When the sender says it was sealed; informative. Raises: SignatureError FG-SIG-020."""
        text = self._facts.signing_time
        try:
            if not _TIME.fullmatch(text):
                raise ValueError(text)
            return datetime.fromisoformat(text)
        except ValueError:
            raise SignatureError("FG-SIG-020", what="SigningTime") from None

    def verify(self, *, allowed_suites: frozenset[str] | None = None) -> None:
        """Verify everything, in this order: the set of parts, the signature's references, the
        signature value, then every part's size and digest while streaming.

        Whether the certificate may speak for the sender is judged elsewhere.
        Raises: ContainerError FG-CNT-041..043, SignatureError FG-SIG-*.
        """
        parts = self.envelope.parts
        signed = [*parts, Part("envelope.xml", len(self._envelope_data), _XML, self.content_digest)]
        if [(p.path, p.digest) for p in signed] != list(self._facts.references):
            raise SignatureError("FG-SIG-022", file="signatures.xml")
        if [p.media_type for p in signed] != list(self._facts.media_types):
            raise SignatureError("FG-SIG-022", file="signatures.xml")
        _ = self.signing_time
        self.suite_name = xades.verify_signatures(self._facts, allowed_suites)
        for part in parts:
            entry = self._entry(part.path)
            if entry.size_bytes != part.size_bytes:
                raise ContainerError("FG-CNT-043", file=part.path)
            sha = hashlib.sha256()
            for chunk in entry.chunks():
                sha.update(chunk)
            if sha.hexdigest() != part.digest:
                raise ContainerError("FG-CNT-043", file=part.path)
        self._verified = True

    def chunks(self, path: str) -> Iterator[bytes]:
        """A verified part, streamed."""
        self._require_verified()
        return self._entry(path).chunks()

    def read(self, path: str, limit: int) -> bytes:
        """A verified part of at most `limit` bytes."""
        self._require_verified()
        return self._entry(path).read(limit)

    def close(self) -> None:
        self._file.close()

    def _require_verified(self) -> None:
        if not self._verified:
            raise InternalError("FG-INT-001", what="a package was read before it was verified")

    def _entry(self, path: str) -> ZipEntry:
        entry = self._archive.find(path)
        if entry is None:
            raise ContainerError("FG-CNT-041", file=path)
        return entry


class StoredPackage:
    """A package whose bytes are those that were verified when it was taken: neither envelope nor seal
    is read. parts: path and size, in order, as the envelope states them.
    """

    def __init__(self, archive: ZipArchive) -> None:
        self._archive = archive
        self.parts = tuple((e.name, e.size_bytes) for e in archive.entries[2:-2])

    def chunks(self, path: str) -> Iterator[bytes]:
        """A part, streamed. Raises: ContainerError FG-CNT-041."""
        entry = self._archive.find(path)
        if entry is None:
            raise ContainerError("FG-CNT-041", file=path)
        return entry.chunks()

    def read(self, path: str, limit: int) -> bytes:
        """A part of at most `limit` bytes."""
        entry = self._archive.find(path)
        if entry is None:
            raise ContainerError("FG-CNT-041", file=path)
        return entry.read(limit)


def open_stored(file: BinaryIO, *, offset: int, length: int, digest: str) -> StoredPackage:
    """Open a package that was verified before, after comparing all its bytes with `digest`, the
    SHA-256 that was journaled then.

    Raises: ContainerError FG-CNT-043 where they have changed since.
    """
    sha = hashlib.sha256()
    file.seek(offset)
    left = length
    while left and (chunk := file.read(min(1 << 20, left))):
        sha.update(chunk)
        left -= len(chunk)
    if sha.hexdigest() != digest:
        raise ContainerError("FG-CNT-043", file="package")
    archive = open_zip(file, dialect="seal", offset=offset, length=length, limits=_LIMITS)
    return StoredPackage(archive)


def open_package(file: BinaryIO, *, offset: int = 0, length: int | None = None) -> Package:
    """Open a package and compare its shape; nothing is verified yet.

    file: stays open while the package is used; `Package.close` closes it.
    Raises: ContainerError FG-CNT-*, SignatureError FG-SIG-020/021, XmlError.
    """
    if length is None:
        length = file.seek(0, os.SEEK_END) - offset
    archive = open_zip(file, dialect="seal", offset=offset, length=length, limits=_LIMITS)
    names = [e.name for e in archive.entries]
    if names[:2] != ["mimetype", "META-INF/manifest.xml"]:
        raise ContainerError("FG-CNT-040", reason="mimetype, manifest")
    if names[-2:] != ["envelope.xml", "META-INF/signatures.xml"]:
        raise ContainerError("FG-CNT-040", reason="envelope, signatures")
    if archive.entries[0].read(100) != MIMETYPE.encode():
        raise ContainerError("FG-CNT-040", reason="mimetype")
    envelope_data = archive.entries[-2].read(MAX_ENVELOPE)
    envelope = read_envelope(envelope_data)
    stated = [p.path for p in envelope.parts]
    if names[2:-2] != stated:
        odd = sorted(set(names[2:-2]) ^ set(stated))
        raise ContainerError("FG-CNT-042", file=odd[0] if odd else "envelope.xml")
    if "message.xml" not in stated:
        raise ContainerError("FG-CNT-041", file="message.xml")
    listed = _manifest([*((p.path, p.media_type) for p in envelope.parts), ("envelope.xml", _XML)])
    if (
        archive.entries[1].size_bytes != len(listed)
        or archive.entries[1].read(len(listed)) != listed
    ):
        raise ContainerError("FG-CNT-042", file="META-INF/manifest.xml")
    signatures = archive.entries[-1].read(xades.MAX_BYTES)
    return Package(file, archive, envelope, envelope_data, signatures)
