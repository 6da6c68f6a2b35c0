"""Is a drop whole? Looked at before it is claimed, because a claim takes the name away.

An XML is whole when its root element is closed; a ZIP when its end record is there; a folder when
its message is whole and every file that the message names is there with its stated size.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from pathlib import Path

from frontgate import safexml
from frontgate.errors import FrontgateError
from frontgate.model.message import MESSAGE_NS
from frontgate.zipread import is_complete_zip

_ROOT = re.compile(rb"<([A-Za-z_][A-Za-z0-9_.:\-]*)")
_HEAD = 8192
_MOST_MESSAGE = 32 << 20


def kind_of(name: bytes, mode: int) -> str | None:
    """`xml`, `zip` or `folder` by the name's ending and the type; None for anything else."""
    if stat.S_ISDIR(mode):
        return "folder"
    if not stat.S_ISREG(mode):
        return None
    ending = name.lower().rpartition(b".")[2]
    return ending.decode() if ending in (b"xml", b"zip") else None


def missing(path: Path, kind: str) -> str:
    """What a drop still lacks, in words for a finding; empty when it is whole.

    A fault that will not go away by waiting (bad XML, a wrong encoding) counts as whole: it is for
    the checks to name. Raises: OSError where the entry cannot be read.
    """
    if kind == "xml":
        return _xml(path)
    if kind == "zip":
        with _open(path) as file:
            return "" if is_complete_zip(file) else "ZIP end record"
    return _folder(path)


def _open(path: Path):  # type: ignore[no-untyped-def]
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    return os.fdopen(fd, "rb")


def _xml(path: Path) -> str:
    with _open(path) as file:
        head = file.read(_HEAD)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 512))
        tail = file.read().rstrip()
    if not head.strip():
        return "content"
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return ""
    body = re.sub(
        rb"<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[.*?\])?\s*>", b"", head, flags=re.DOTALL
    )
    root = _ROOT.search(body)
    if root is None:
        return (
            ""
            if size > _HEAD or not body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
            else "root element"
        )
    closing = re.compile(rb"</" + re.escape(root.group(1)) + rb"\s*>\Z")
    if closing.search(tail) or _is_empty_root(body, root.end(), tail):
        return ""
    return _by_parsing(path, size, root.group(1))


def _is_empty_root(body: bytes, end: int, tail: bytes) -> bool:
    """`<root …/>` and nothing more."""
    close = body.find(b">", end)
    return close > 0 and body[close - 1 : close] == b"/" and tail.endswith(b"/>")


def _by_parsing(path: Path, size: int, root: bytes) -> str:
    """A comment may stand after the root: then only parsing tells."""
    if size <= _MOST_MESSAGE:
        with _open(path) as file:
            data, _ = safexml.strip_bom(file.read())
        try:
            safexml.parse(data)
        except FrontgateError:
            return f"</{root.decode('ascii', 'replace')}>"
        return ""
    return f"</{root.decode('ascii', 'replace')}>"


def _folder(path: Path) -> str:
    message = path / "message.xml"
    try:
        info = os.lstat(message)
    except FileNotFoundError:
        return "message.xml"
    if not stat.S_ISREG(info.st_mode):
        return ""
    lacking = _xml(message)
    if lacking or info.st_size > _MOST_MESSAGE:
        return f"message.xml: {lacking}" if lacking else ""
    with _open(message) as file:
        data, _ = safexml.strip_bom(file.read())
    try:
        root = safexml.parse(data)
    except FrontgateError:
        return ""
    present = _present(path / "files")
    for node in root.iterfind(f"{{{MESSAGE_NS}}}Documents/{{{MESSAGE_NS}}}Document"):
        name = unicodedata.normalize("NFC", node.findtext(f"{{{MESSAGE_NS}}}FileName") or "")
        size = node.findtext(f"{{{MESSAGE_NS}}}Bytes") or ""
        if not name or (node.findtext(f"{{{MESSAGE_NS}}}Carrier") or "network") != "network":
            continue
        if name not in present:
            return f"files/{name}"
        if size.isascii() and size.isdigit() and len(size) < 19 and present[name] < int(size):
            return f"files/{name} ({present[name]}/{size})"
    return ""


def _present(folder: Path) -> dict[str, int]:
    try:
        with os.scandir(os.fsencode(folder)) as entries:
            return {
                unicodedata.normalize("NFC", os.fsdecode(e.name)): e.stat(
                    follow_symlinks=False
                ).st_size
                for e in entries
            }
    except (FileNotFoundError, NotADirectoryError):
        return {}
