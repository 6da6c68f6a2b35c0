"""Spools as they stand: entries in `inbound/`, receipt files, reports, and what is left of claims."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
from collections.abc import Iterator
from functools import partial
from typing import Any

from frontgate.errors import FrontgateError
from frontgate.inspect.home import Home, Spool, entries_of, is_text
from frontgate.inspect.verdict import Tally
from frontgate.model.envelope import Envelope
from frontgate.seal import Package
from frontgate.seal.receipts import receipt_file
from frontgate.undo import on_failure
from frontgate.zipread import open_zip

_SUFFIXES = ("", ".zip", ".asice")
_ENTRY = re.compile(
    r"(?:TEST-)?\d{8}T\d{6}Z-.+-([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})(?:\.zip|\.asice)?"
)
_BESIDE = ("dialect/", "message.html")
"""What may stand beside the signed parts: a conversion and a view, both made here."""
_DONE = ".done"
_CHUNK = 1 << 20
_MOST_RECEIPT_FILE = 16 << 20


def check_spool(home: Home, spool: Spool, tally: Tally) -> None:
    """Everything in one spool against the journal."""
    _check_entries(home, spool, tally)
    _check_receipt_files(home, spool, tally)
    _check_reports(spool, tally)
    _check_left_over(home, spool, tally)


# -- inbound/ -------------------------------------------------------------------------------


def _check_entries(home: Home, spool: Spool, tally: Tally) -> None:
    for entry in entries_of(spool.paths.inbound):
        found = _ENTRY.fullmatch(entry.name)
        if found is None or entry.name.endswith(_DONE) or not is_text(entry.name):
            continue  # not ours: the folder is shared
        row = _delivery(home, spool, entry.name, found.group(1))
        if row is None:
            tally.ok(4)
            tally.broken(
                4, entry.name, "投放区中有日志未记的条目", "an entry that no delivery put there"
            )
            continue
        tally.ok(4)
        _check_rights(tally, entry)
        if row[0] != "kept":
            _incomparable(tally, entry.name, f"segment {row[0]}")


def _below(folder: str) -> Iterator[os.DirEntry[str]]:
    """Everything in a folder and in those in it; no link is followed, what was taken is left out."""
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                found = list(entries)
        except OSError:
            continue
        waiting += [entry.path for entry in found if entry.is_dir(follow_symlinks=False)]
        yield from found


def _check_rights(tally: Tally, entry: os.DirEntry[str]) -> None:
    """An entry is for us and for the group that we share with case software."""
    wide: list[str] = []
    for each in (entry, *_below(entry.path)):
        try:
            mode = each.stat(follow_symlinks=False).st_mode
        except FileNotFoundError:
            continue  # taken meanwhile
        if mode & 0o007 and not stat.S_ISLNK(mode):
            wide.append(f"{each.name} {stat.S_IMODE(mode):o}")
    tally.expect(
        7, not wide, entry.name, f"他人可读写：{wide[:3]}", f"open to everybody: {wide[:3]}"
    )


_PLACED = "('SENDING', 'SENT', 'QUEUED', 'ACKNOWLEDGED', 'HELD')"


def _delivery(home: Home, spool: Spool, name: str, message_id: str) -> tuple[Any, ...] | None:
    """The state of the segment that holds the entry's package, by the transfer that placed it."""
    base = next((name.removesuffix(s) for s in _SUFFIXES[1:] if name.endswith(s)), name)
    return home.reader.one(
        "SELECT s.state FROM package p INDEXED BY package_message"  # noqa: S608 (constants)
        " JOIN transfer t ON t.package_id = p.id JOIN segment s ON s.id = p.segment_id"
        " WHERE p.message_id = ? AND p.direction = 'in' AND t.destination = ? AND t.entry = ?"
        f" AND t.state IN {_PLACED}",
        message_id,
        f"spool:{spool.key}",
        base,
    )


def check_delivered(home: Home, tally: Tally, ident: int, package: Package, digest: str) -> None:
    """What stands in `inbound/` of a package that is whole and sealed here: the signed bytes, no other.

    digest: of the whole package.
    """
    for destination, entry in home.reader.all(
        "SELECT destination, entry FROM transfer"  # noqa: S608 (constants)
        " WHERE package_id = ? AND entry <> ''"
        f" AND state IN {_PLACED}",
        ident,
    ):
        for spool in home.spools:
            if destination == f"spool:{spool.key}":
                path = f"{spool.paths.inbound}/{entry}"
                for suffix in _SUFFIXES:
                    if os.path.lexists(path + suffix):
                        _check_content(tally, path + suffix, suffix, package.envelope, digest)


def _check_content(tally: Tally, path: str, suffix: str, envelope: Envelope, digest: str) -> None:
    name = os.path.basename(path)
    try:
        if suffix == ".asice":
            tally.expect(
                5, _hash_file(path)[0] == digest, name, "送达的字节不符", "differs from what was taken",
            )  # fmt: skip
            return
        found = dict(_zip_parts(path) if suffix == ".zip" else _folder_parts(path))
        if os.path.lexists(path):  # else it was taken meanwhile
            _compare(tally, name, envelope, found)
    except (OSError, FrontgateError) as error:
        if os.path.lexists(path):
            _incomparable(tally, name, str(error))


def _incomparable(tally: Tally, name: str, why: str) -> None:
    tally.ok(5)
    tally.broken(5, name, f"无法核对：{why}", f"cannot be compared: {why}")


def _compare(
    tally: Tally, name: str, envelope: Envelope, found: dict[str, tuple[str, int]]
) -> None:
    wanted = {
        p.path: (p.digest, p.size_bytes)
        for p in envelope.parts
        if p.path == "message.xml" or p.path.startswith("files/")
    }
    for path, fact in wanted.items():
        tally.expect(
            5,
            found.get(path) == fact,
            f"{name}/{path}",
            "送达的字节不符",
            "differs from the signed part",
        )
    extra = [p for p in found if p not in wanted and not p.startswith(_BESIDE)]
    tally.expect(
        6, not extra, name, f"未签名的文件 {extra[:3]}", f"files outside the seal: {extra[:3]}"
    )


def _folder_parts(folder: str) -> Iterator[tuple[str, tuple[str, int]]]:
    for entry in _below(folder):
        if not entry.is_dir(follow_symlinks=False):
            yield entry.path[len(folder) + 1 :], _hash_file(entry.path)


def _zip_parts(path: str) -> Iterator[tuple[str, tuple[str, int]]]:
    with io.BufferedReader(_plain(path)) as file:
        for entry in open_zip(file, dialect="drop").entries:
            yield entry.name, _hash(entry.chunks())


def _plain(path: str) -> io.FileIO:
    """Open a file to read. Raises: OSError, for a link too, and for what has no end: others write
    where entries and receipts lie.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with on_failure(partial(os.close, fd)):
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        return io.FileIO(fd, "rb")


def _hash_file(path: str) -> tuple[str, int]:
    with _plain(path) as file:
        step = min(_CHUNK, os.fstat(file.fileno()).st_size + 1)
        return _hash(iter(lambda: file.read(step), b""))


def _hash(chunks: Iterator[bytes]) -> tuple[str, int]:
    sha, size = hashlib.sha256(), 0
    for chunk in chunks:
        sha.update(chunk)
        size += len(chunk)
    return sha.hexdigest(), size


# -- receipts/ and rejected/ ----------------------------------------------------------------


def _check_receipt_files(home: Home, spool: Spool, tally: Tally) -> None:
    """A receipt's file is the journal's receipt, byte for byte. Taken ones are the reader's."""
    for entry in entries_of(spool.paths.receipts):
        if entry.name.startswith(".") or not entry.name.endswith(".xml"):
            continue
        row = is_text(entry.name) and home.reader.one(
            "SELECT r.xml, s.xml FROM receipt_file f JOIN receipt r ON r.id = f.receipt"
            " JOIN signature s ON s.id = r.signature_id WHERE f.spool = ? AND f.name = ?",
            spool.key,
            entry.name,
        )
        try:
            with _plain(entry.path) as file:
                data = file.read(_MOST_RECEIPT_FILE)
        except FileNotFoundError:
            continue
        except OSError:
            data = b""
        same = row and data == receipt_file(bytes(row[0]), bytes(row[1]))
        tally.expect(
            8, same, entry.name, "回执文件与日志不符", "a receipt file that is not the journal's"
        )


def _check_reports(spool: Spool, tally: Tally) -> None:
    """Each refused drop stands with both reports; a drop that was fetched leaves them behind."""
    names = {e.name for e in entries_of(spool.paths.rejected) if not e.name.startswith(".")}
    ends = (".report.xml", ".report.txt")
    for name in names:
        if name.endswith(ends):
            continue
        lacking = [end for end in ends if name + end not in names]
        tally.expect(12, not lacking, name, f"缺少 {lacking}", f"refused without {lacking}")


# -- .frontgate/ ----------------------------------------------------------------------------


def _check_left_over(home: Home, spool: Spool, tally: Tally) -> None:
    for entry in entries_of(spool.paths.staging):
        tally.expect(
            11,
            home.may_stand(entry),
            entry.name,
            "残留的投放暂存",
            "left over in the spool's staging",
        )
    for entry in entries_of(spool.paths.claims):
        tally.expect(
            14, home.may_stand(entry), entry.name, "认领未了结", "a claim that is not finished"
        )
    for entry in entries_of(spool.paths.receipts):
        if entry.name.startswith(".") and entry.name.endswith(".tmp"):
            tally.expect(
                11,
                home.may_stand(entry),
                entry.name,
                "残留的回执临时文件",
                "a left-over receipt file",
            )
    for entry in entries_of(spool.paths.outbound):
        if entry.name.startswith(".frontgate-claim-"):
            tally.expect(
                14, home.may_stand(entry), entry.name, "认领未了结", "a claim that is not finished"
            )
