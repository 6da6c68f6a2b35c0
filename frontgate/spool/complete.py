"""Is a drop whole? Looked at before it is claimed, because a claim takes the name away.

An XML is whole when its root element is closed; a ZIP when its end record is there; a folder when
its message is whole and every file that the message names is there with its stated size.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from typing import BinaryIO

from frontgate import safexml
from frontgate.errors import FrontgateError
from frontgate.model.message import MESSAGE_NS
from frontgate.spool.beneath import Folder, Name
from frontgate.zipread import is_complete_zip

_ROOT = re.compile(rb"<([A-Za-z_][A-Za-z0-9_.:\-]*)")
_MISC = re.compile(rb"<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[.*?\])?\s*>", flags=re.DOTALL)
_FIRST = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s|" + _MISC.pattern + rb")*+" + _ROOT.pattern, flags=re.DOTALL
)
"""The root element of a document that begins well."""
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


def missing(outbound: Folder, name: Name, kind: str) -> str:
    """What a drop still lacks, in words for a finding; empty when it is whole.

    A fault that will not go away by waiting (bad XML, a wrong encoding) counts as whole: it is for
    the checks to name. Raises: OSError where the entry cannot be read.
    """
    if kind == "xml":
        return _xml(outbound, name)
    if kind == "zip":
        with _open(outbound, name) as file:
            return "" if is_complete_zip(file) else "ZIP end record"
    with outbound.inner(name) as folder:
        return _folder(folder)


def _open(folder: Folder, name: Name) -> BinaryIO:
    return os.fdopen(folder.open(name), "rb")


def _xml(folder: Folder, name: Name) -> str:
    with _open(folder, name) as file:
        head = file.read(_HEAD)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 512))
        tail = file.read().rstrip()
    if not head.strip():
        return "content" if size <= _HEAD else _by_parsing(folder, name, size, "content")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return ""
    usual = _FIRST.match(head)
    if usual is not None and _closes(tail, usual.group(1)):
        return ""
    body = _MISC.sub(b"", head)
    root = _ROOT.search(body)
    if root is None:
        rest = body.lstrip(b"\xef\xbb\xbf \t\r\n")
        if rest and not rest.startswith(b"<"):
            return ""  # no XML, however long one waits
        return "root element" if size <= _HEAD else _by_parsing(folder, name, size, "root element")
    lacking = f"</{root.group(1).decode('ascii', 'replace')}>"
    if _closes(tail, root.group(1)) or _is_empty_root(body, root.end(), tail):
        return ""
    return _by_parsing(folder, name, size, lacking)


def _closes(tail: bytes, root: bytes) -> bool:
    return tail.endswith(b">") and tail[:-1].rstrip().endswith(b"</" + root)


def _is_empty_root(body: bytes, end: int, tail: bytes) -> bool:
    """`<root …/>` and nothing more."""
    close = body.find(b">", end)
    return close > 0 and body[close - 1 : close] == b"/" and tail.endswith(b"/>")


def _by_parsing(folder: Folder, name: Name, size: int, lacking: str) -> str:
    """A comment may stand after the root, or a long one before it: then only parsing tells."""
    if size <= _MOST_MESSAGE:
        with _open(folder, name) as file:
            data, _ = safexml.strip_bom(file.read(_MOST_MESSAGE + 1))
        try:
            safexml.parse(data)
        except FrontgateError:
            return lacking
        return ""
    return lacking


def _folder(folder: Folder) -> str:
    message = "message.xml"
    try:
        info = folder.lstat(message)
    except FileNotFoundError:
        return message
    if not stat.S_ISREG(info.st_mode):
        return ""
    lacking = _xml(folder, message)
    if lacking or info.st_size > _MOST_MESSAGE:
        return f"message.xml: {lacking}" if lacking else ""
    with _open(folder, message) as file:
        data, _ = safexml.strip_bom(file.read(_MOST_MESSAGE + 1))
    try:
        root = safexml.parse(data)
    except FrontgateError:
        return ""
    present = _present(folder, "files")
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


def _present(folder: Folder, name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    try:
        with folder.inner(name) as files:
            for raw in files.names():
                try:
                    found[unicodedata.normalize("NFC", os.fsdecode(raw))] = files.lstat(raw).st_size
                except FileNotFoundError:
                    continue
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return found
