"""Parcels: one signed file of many members, for archives, evidence, transfer by medium and backups.

Form: an uncompressed tar (the strict form of `bundle`), so that `tar` opens it. After at most
`LIST_MEMBERS` members stands `list-<n>.txt`, which names each of them with size and SHA-256; the last
member is `manifest.xml`, a signed control message with the SHA-256 of every list and what the parcel is
about. So any changed byte, any missing, added or moved member is found in one pass with constant memory.
Fails: ParcelError FG-PCL-*.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import BinaryIO

from lxml import etree

from frontgate import bundle
from frontgate.errors import BundleError, FrontgateError, ParcelError
from frontgate.model.message import CONTROL_MAP, CONTROL_NS
from frontgate.seal.control import Control, read_control, write_control
from frontgate.suites import Signer
from frontgate.values import Struct

LIST_MEMBERS = 10_000
MANIFEST = "manifest.xml"
KIND = "parcel"
MOST_LIST_BYTES = 4 << 20
MOST_MANIFEST_BYTES = 8 << 20
CHUNK = 1 << 20


class Manifest(Struct, frozen=True):
    """What a parcel is. about: its attributes, as `kind`, `node`, `number`. control: the signed document."""

    about: Mapping[str, str]
    control: Control
    xml: bytes
    lists: tuple[tuple[str, str], ...]

    @property
    def kind(self) -> str:
        return self.about.get("kind", "")

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest: by it the whole parcel is named elsewhere."""
        return hashlib.sha256(self.xml).hexdigest()


class Lists:
    """The lists of a parcel being made or checked: gathers members, gives a list when it is full."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self.done: list[tuple[str, str]] = []

    def add(self, member: bundle.Member) -> bool:
        """Take a member. Returns: whether a list is due."""
        self._lines.append(f"{member.digest} {member.size_bytes} {member.name}\n")
        return len(self._lines) >= LIST_MEMBERS

    @property
    def is_empty(self) -> bool:
        return not self._lines

    def close(self) -> tuple[str, bytes]:
        """The list of what was gathered: its name and bytes."""
        data = "".join(self._lines).encode()
        name = f"list-{len(self.done) + 1:06d}.txt"
        self.done.append((name, hashlib.sha256(data).hexdigest()))
        self._lines.clear()
        return name, data


def write_manifest(
    about: Mapping[str, str],
    lists: Iterable[tuple[str, str]],
    *,
    number: int,
    now: datetime,
    signer: Signer,
) -> bytes:
    """The signed manifest. about: must name `kind` and `node`."""
    body = etree.Element(f"{{{CONTROL_NS}}}Parcel", nsmap=CONTROL_MAP)
    for key, value in sorted(about.items()):
        body.set(key, value)
    for name, digest in lists:
        etree.SubElement(body, f"{{{CONTROL_NS}}}List", name=name, sha256=digest)
    return write_control(KIND, number, signer.unit, now, body, signer)


def read_manifest(data: bytes) -> Manifest:
    """Read and verify a manifest. Raises: XmlError, SignatureError, ParcelError FG-PCL-001."""
    control = read_control(data)
    if control.kind != KIND or control.body.tag != f"{{{CONTROL_NS}}}Parcel":
        raise ParcelError("FG-PCL-001", what=control.kind)
    lists = tuple(
        (node.get("name", ""), node.get("sha256", ""))
        for node in control.body.iterchildren(f"{{{CONTROL_NS}}}List")
    )
    about = {str(k): str(v) for k, v in control.body.attrib.items()}
    return Manifest(about, control, data, lists)


class ParcelWriter:
    """Writes a parcel into an open file, front to back."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._lists = Lists()
        self.size_bytes = 0
        self.members = 0

    def add(self, name: str, size_bytes: int, chunks: Iterable[bytes]) -> str:
        """Add a member. Returns: its SHA-256. Raises: ParcelError FG-PCL-002 for another size."""
        self._write(bundle.member_header(bundle.Member(name, size_bytes, "")))
        sha = hashlib.sha256()
        left = size_bytes
        for chunk in chunks:
            sha.update(chunk)
            left -= len(chunk)
            self._write(chunk)
        if left:
            raise ParcelError("FG-PCL-002", name=name)
        self._write(bundle.member_padding(size_bytes))
        self.members += 1
        if self._lists.add(bundle.Member(name, size_bytes, sha.hexdigest())):
            self._close_list()
        return sha.hexdigest()

    def add_bytes(self, name: str, data: bytes) -> str:
        return self.add(name, len(data), [data])

    def finish(
        self, about: Mapping[str, str], *, number: int, now: datetime, signer: Signer
    ) -> Manifest:
        """Write the last list, the signed manifest and the end."""
        if not self._lists.is_empty:
            self._close_list()
        data = write_manifest(about, self._lists.done, number=number, now=now, signer=signer)
        self._plain(MANIFEST, data)
        self._write(bundle.TRAILER)
        return read_manifest(data)

    def _close_list(self) -> None:
        self._plain(*self._lists.close())

    def _plain(self, name: str, data: bytes) -> None:
        self._write(bundle.member_header(bundle.Member(name, len(data), "")))
        self._write(data)
        self._write(bundle.member_padding(len(data)))

    def _write(self, data: bytes) -> None:
        self._target.write(data)
        self.size_bytes += len(data)


Visit = Callable[[bundle.Located], None]


def check_parcel(file: BinaryIO, visit: Visit | None = None) -> Manifest:
    """Read a whole parcel and hold every byte of it against its signed manifest.

    visit: called with each member after it was hashed, in order; it may read the file at its place.
    Until this returns, nothing that was visited is proven. Whose signature it is, is the caller's
    question. Raises: ParcelError FG-PCL-001..005, SignatureError, XmlError.
    """
    lists = Lists()
    found: list[tuple[str, str]] = []
    for member in members_of(file):
        if member.name == MANIFEST:
            if not lists.is_empty:
                raise ParcelError("FG-PCL-003", name=member.name)
            manifest = read_manifest(slice_of(file, member, MOST_MANIFEST_BYTES))
            _end(file, member)
            if list(manifest.lists) != found:
                raise ParcelError("FG-PCL-004", name=_first_difference(manifest.lists, found))
            return manifest
        if member.name.startswith("list-"):
            name, data = lists.close()
            if name != member.name or data != slice_of(file, member, MOST_LIST_BYTES):
                raise ParcelError("FG-PCL-003", name=member.name)
            found.append((name, member.digest))
            continue
        lists.add(member)
        if visit is not None:
            visit(member)
    raise ParcelError("FG-PCL-005")


def _first_difference(wanted: Iterable[tuple[str, str]], found: Iterable[tuple[str, str]]) -> str:
    import itertools

    for a, b in itertools.zip_longest(wanted, found):
        if a != b:
            return str((a or b or ("",))[0])
    return ""


def _end(file: BinaryIO, last: bundle.Located) -> None:
    """The manifest is the last member, the end follows, and nothing after it."""
    file.seek(last.offset + last.size_bytes + len(bundle.member_padding(last.size_bytes)))
    if file.read(len(bundle.TRAILER) + 1) != bundle.TRAILER:
        raise ParcelError("FG-PCL-005")


def members_of(file: BinaryIO) -> Iterator[bundle.Located]:
    """Each member with its SHA-256, in order. Raises: ParcelError FG-PCL-001, 005."""
    at = 0
    while True:
        file.seek(at)
        head = file.read(bundle.BLOCK)
        if len(head) < bundle.BLOCK or not any(head):
            return
        member = _member(head)
        at += bundle.BLOCK
        sha = hashlib.sha256()
        left = member.size_bytes
        while left:
            chunk = file.read(min(CHUNK, left))
            if not chunk:
                raise ParcelError("FG-PCL-005")
            sha.update(chunk)
            left -= len(chunk)
        padding = bundle.member_padding(member.size_bytes)
        if file.read(len(padding)) != padding:
            raise ParcelError("FG-PCL-003", name=member.name)
        yield bundle.Located(member.name, member.size_bytes, sha.hexdigest(), at)
        at += member.size_bytes + len(padding)


def _member(head: bytes) -> bundle.Member:
    name = head[:100].rstrip(b"\0").decode("ascii", "replace")
    field = head[124:136]
    try:
        size = int.from_bytes(field[1:], "big") if field[0] == 0x80 else int(field[:11].decode(), 8)
        member = bundle.Member(name, size, "")
        if bundle.member_header(member) != head:
            raise ParcelError("FG-PCL-001", what="tar")
    except (ValueError, BundleError) as error:
        raise ParcelError("FG-PCL-001", what="tar") from error
    return member


def slice_of(file: BinaryIO, member: bundle.Located, most_bytes: int) -> bytes:
    """The bytes of a small member. Raises: ParcelError FG-PCL-001 above `most_bytes`."""
    if member.size_bytes > most_bytes:
        raise ParcelError("FG-PCL-001", what=member.name)
    file.seek(member.offset)
    return file.read(member.size_bytes)


def is_parcel(head: bytes) -> bool:
    """Whether a file that begins so may be a parcel (a tar in our strict form)."""
    try:
        return len(head) >= bundle.BLOCK and bool(_member(head[: bundle.BLOCK]).name)
    except FrontgateError:
        return False


def member_names(file: BinaryIO, most: int = bundle.MOST_MEMBERS) -> Iterator[str]:
    """The names in a tar of our form, by its headers alone; nothing is verified. Raises: ParcelError."""
    at = 0
    for _ in range(most):
        file.seek(at)
        head = file.read(bundle.BLOCK)
        if len(head) < bundle.BLOCK or not any(head):
            return
        member = _member(head)
        yield member.name
        at += bundle.BLOCK + member.size_bytes + len(bundle.member_padding(member.size_bytes))
