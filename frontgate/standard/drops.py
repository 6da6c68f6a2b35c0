"""A drop read offline: what case software would put into `outbound/`, as a value to check.

Offers: `find_drops` and `read_drop` for an XML file, a ZIP or a folder (`message.xml` and the
files under `files/`). Guarantees: links and special files are never followed; files are hashed as
a stream; nothing is written. Fails: what is wrong with a drop is a finding; `OSError` goes up.
"""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from frontgate import safexml
from frontgate.errors import ContainerError
from frontgate.model.finding import Finding, Severity, finding, finding_of
from frontgate.standard.documents import FileFact
from frontgate.zipread import CHUNK, ZipArchive, open_zip

MESSAGE = "message.xml"
FILES = "files/"
MAX_MESSAGE_BYTES = 32 << 20
"""Largest message.xml, as the gateway's default setting has it."""
_IGNORED_ENDS = (".tmp", ".part", ".filepart", ".partial", ".crdownload")
_IGNORED_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


@dataclass(slots=True)
class Drop:
    """data: the message, None where there is none to judge. files: by FileName (NFC), without
    `files/`. findings: what was wrong with the drop before its message was looked at. is_alone: it is one XML file, which brings no files with it."""

    path: Path
    data: bytes | None = None
    files: dict[str, FileFact] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    is_alone: bool = False


def is_ignored(name: str) -> bool:
    """Whether the gateway takes a name for unfinished or foreign and leaves it alone."""
    low = name.lower()
    return low.startswith((".", "~$")) or low.endswith(_IGNORED_ENDS) or low in _IGNORED_NAMES


def find_drops(path: Path) -> Iterator[Path]:
    """The drops at `path`: itself, or, for a folder that is none, those inside it, by name."""
    if not path.is_dir():
        yield path
        return
    with os.scandir(path) as entries:
        inside = sorted((e for e in entries if not is_ignored(e.name)), key=lambda e: e.name)
    if any(e.name.lower() in (MESSAGE, "files") for e in inside):
        yield path
        return
    for entry in inside:
        if entry.is_dir(follow_symlinks=False):
            yield from find_drops(path / entry.name)
        elif entry.name.lower().endswith((".xml", ".zip")):
            yield path / entry.name


def read_drop(path: Path) -> Drop:
    """Read one drop. Raises: OSError if it cannot be read at all."""
    drop = Drop(path)
    if path.is_dir():
        _read_folder(path, drop)
    elif path.suffix.lower() == ".zip":
        _read_zip(path, drop)
    else:
        drop.is_alone = True
        with open(path, "rb") as file:
            _take_message(drop, file.read(MAX_MESSAGE_BYTES + 1))
    return drop


def _take_message(drop: Drop, data: bytes) -> None:
    clean, had_bom = safexml.strip_bom(data)
    if had_bom:
        drop.findings.append(finding("FG-DOC-011", Severity.WARNING, file=MESSAGE, line=1))
    drop.data = clean


def _add(drop: Drop, name: str, size: int, chunks: Iterable[bytes]) -> None:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    if name.startswith(FILES):
        key = unicodedata.normalize("NFC", name.removeprefix(FILES))
        if key in drop.files:
            drop.findings.append(finding("FG-DOC-008", file=name, value=key))
        drop.files[key] = FileFact(size, digest.hexdigest())
    else:
        drop.findings.append(finding("FG-DOC-005", file=name, value=name))


def _read_folder(path: Path, drop: Drop) -> None:
    found = False
    for name, entry in _walk(path, ""):
        mode = entry.stat(follow_symlinks=False).st_mode
        if not stat.S_ISREG(mode):
            drop.findings.append(finding("FG-DOC-009", file=name, value=name))
        elif name.lower() == MESSAGE:
            found = True
            with open(entry.path, "rb") as file:
                _take_message(drop, file.read(MAX_MESSAGE_BYTES + 1))
        else:
            with open(entry.path, "rb") as file:
                chunks = iter(lambda f=file: f.read(CHUNK), b"")  # type: ignore[misc]
                _add(drop, name, os.fstat(file.fileno()).st_size, chunks)
    if not found:
        drop.findings.append(finding("FG-DOC-010", file=path.name))


def _walk(folder: Path, above: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as entries:
        inside = sorted((e for e in entries if not is_ignored(e.name)), key=lambda e: e.name)
    for entry in inside:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name, f"{above}{entry.name}/")
        else:
            yield above + entry.name, entry


def _read_zip(path: Path, drop: Drop) -> None:
    with open(path, "rb") as file:
        try:
            archive = open_zip(file, dialect="drop")
            drop.findings.extend(archive.warnings)
            _read_entries(archive, drop)
        except ContainerError as error:
            drop.findings.append(finding_of(error, file=path.name))
            drop.data = None


def _read_entries(archive: ZipArchive, drop: Drop) -> None:
    for entry in archive.entries:
        if entry.name.lower() == MESSAGE:
            _take_message(drop, entry.read(MAX_MESSAGE_BYTES))
        else:
            _add(drop, entry.name, entry.size_bytes, entry.chunks())
    if drop.data is None:
        drop.findings.append(finding("FG-DOC-010"))
