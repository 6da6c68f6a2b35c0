"""Packages as stored: their bytes, their seals, what of them was delivered, and nothing in the folder
that no row names."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from frontgate.core.lifecycle import OPEN
from frontgate.errors import FrontgateError
from frontgate.inspect.evidence import judge
from frontgate.inspect.home import Home, entries_of, is_text
from frontgate.inspect.spooled import check_delivered
from frontgate.inspect.verdict import Tally
from frontgate.journal import keeping
from frontgate.seal import open_package

_OPEN = ", ".join(f"'{state.value}'" for state in sorted(OPEN))
_CHUNK = 1 << 20
_UPLOAD = re.compile(r"\d{16}-[0-9a-f]{64}\.bundle")
_PART = ".bundle.part"
_TAKEN_PART_S = 3 * 3600.0
"""A hub at work looks every hour for parts beside taken uploads that rest for an hour."""
_PUBLIC = ("published",)
"""Folders in the state whose files are for everybody: the signed figures."""
MOST_WAL_BYTES = 256 << 20


def check_stored(home: Home, tally: Tally) -> None:
    """Every package that has bytes here: whole, unchanged, sealed by its sender."""
    opened: tuple[str, BinaryIO] | None = None
    rows = home.pages(
        "SELECT p.id, p.message_id, p.sender, p.state, p.content_digest, p.digest,"
        " p.offset_bytes, p.size_bytes, p.made_at, s.path FROM package p"
        " JOIN segment s ON s.id = p.segment_id AND s.state = 'kept'"
        " WHERE p.id > ?1 ORDER BY p.id"
    )
    try:
        for row in rows:
            path = str(row[9])
            if opened is None or opened[0] != path:
                if opened is not None:
                    opened[1].close()
                opened = None
                try:
                    opened = (path, (home.state / path).open("rb"))
                except OSError as error:
                    if not keeping.is_kept(home.reader, int(row[0])):
                        continue  # pruned since the page was read
                    _missing(home, tally, row, error)
                    continue
            _check_package(home, tally, row, opened[1])
    finally:
        if opened is not None:
            opened[1].close()


def check_custody(home: Home, tally: Tally) -> None:
    """Whatever is still to be brought to an end has its bytes in a segment that is kept.

    An adopted package was bound again by receipts alone: whoever signed them has its bytes.
    """
    for ident, message_id, state, where in home.pages(
        "SELECT t.id, p.message_id, t.state, coalesce(s.path || ' ' || s.state, '')"  # noqa: S608
        " FROM transfer t JOIN package p ON p.id = t.package_id"
        f" LEFT JOIN segment s ON s.id = p.segment_id WHERE t.id > ?1 AND t.state IN ({_OPEN})"
        " AND coalesce(s.state, '') <> 'kept' AND NOT (p.is_adopted = 1 AND p.segment_id IS NULL)"
        " ORDER BY t.id"
    ):
        tally.ok(2)
        tally.broken(
            2,
            message_id or f"transfer {ident}",
            f"{state} 而无字节（{where or '无段文件'}）",
            f"{state} without bytes ({where or 'no segment'})",
        )


def _missing(home: Home, tally: Tally, row: tuple[Any, ...], error: OSError) -> None:
    number = 2 if _is_open(home, int(row[0])) else 5
    tally.ok(number)
    tally.broken(
        number, row[1] or row[0], f"段文件读不出：{row[9]}", f"its segment cannot be read: {error}"
    )


def _is_open(home: Home, package_id: int) -> bool:
    return (
        home.reader.one(
            f"SELECT 1 FROM transfer WHERE package_id = ? AND state IN ({_OPEN})",  # noqa: S608
            package_id,
        )
        is not None
    )


def _check_package(home: Home, tally: Tally, row: tuple[Any, ...], file: BinaryIO) -> None:
    ident, message_id, sender, state, content, digest, offset, size = row[:8]
    shown = message_id or ident
    stored, at, is_whole = _read(file, int(offset), int(size), str(digest))
    if not is_whole and state == "ADMITTED" and _is_open(home, int(ident)):
        tally.broken(
            2, shown, "未送达件的字节不完整", "the bytes of an undelivered package are not whole"
        )
    tally.ok(2)
    if not tally.expect(5, is_whole, shown, "存储的字节已变", "its stored bytes have changed"):
        return
    if state != "ADMITTED":
        return
    try:
        package = open_package(stored, offset=at, length=int(size))
        package.verify()
    except FrontgateError as error:
        tally.ok(6)
        tally.broken(6, shown, error.message("zh"), f"{error.code}: {error.message('en')}")
        return
    header = package.envelope.header
    tally.expect(
        5,
        (header.message_id, header.sender, package.content_digest) == (message_id, sender, content),
        shown,
        "包与日志行不符",
        "the package is not what its row says",
    )
    check_delivered(home, tally, int(ident), package, str(digest))
    why = judge(home, package.certificate, str(sender), _judged_at(home, row), is_hub=False)
    tally.expect(
        6, not why, shown, f"封印证书不可信（{why}）", f"its seal is not the sender's ({why})"
    )


def _judged_at(home: Home, row: tuple[Any, ...]) -> datetime:
    """The hub's relay time where it is known, else when the package was bound here."""
    relayed = home.reader.one(
        "SELECT event_time FROM receipt WHERE message_id = ? AND sender = ? AND kind = 'relay-accepted'"
        " ORDER BY id LIMIT 1",
        row[1],
        row[2],
    )
    return datetime.fromisoformat(str(relayed[0]) if relayed else str(row[8]))


def _read(file: BinaryIO, offset: int, size: int, digest: str) -> tuple[BinaryIO, int, bool]:
    """A package: what holds it, where in that it begins, and whether its bytes are those of `digest`.

    A small one is read once, so that what is judged of it is of the very same bytes.
    """
    if size > _CHUNK:
        return file, offset, _digest(file, offset, size) == digest
    file.seek(offset)
    data = file.read(size)
    return io.BytesIO(data), 0, hashlib.sha256(data).hexdigest() == digest


def _digest(file: BinaryIO, offset: int, size: int) -> str:
    sha = hashlib.sha256()
    file.seek(offset)
    left = size
    while left and (chunk := file.read(min(_CHUNK, left))):
        sha.update(chunk)
        left -= len(chunk)
    return sha.hexdigest()


def check_folders(home: Home, tally: Tally) -> None:
    """No segment without a row, no temporary file that nobody writes, a WAL that is checkpointed."""
    for day in entries_of(home.state / "segments"):
        for entry in entries_of(Path(day.path)):
            named = home.reader.one(
                "SELECT size_bytes FROM segment WHERE path = ?", f"segments/{day.name}/{entry.name}"
            )
            tally.expect(
                11,
                named or home.may_stand(entry),
                entry.name,
                "段文件未被日志记录",
                "a segment that no row names",
            )
            _private(tally, entry)
    for entry in entries_of(home.state / "tmp"):
        tally.expect(
            11, home.may_stand(entry), entry.name, "残留的临时文件", "a left-over temporary file"
        )
    wal = home.state / "journal.db-wal"
    size = wal.stat().st_size if wal.exists() else 0
    tally.expect(
        11,
        size <= MOST_WAL_BYTES,
        wal.name,
        f"WAL 过大：{size}",
        f"the WAL has grown to {size} bytes",
    )
    if home.mailboxes is not None:
        for entry in entries_of(home.mailboxes / ".staging"):
            tally.expect(
                11,
                home.may_stand(entry),
                entry.name,
                "残留的信箱暂存",
                "left over in the mailboxes' staging",
            )


def check_mailboxes(home: Home, tally: Tally) -> None:
    """No part of an upload that was taken whole; at rest no part at all, and nothing that is neither
    an upload nor a part of one.
    """
    for account in entries_of(home.mailboxes) if home.mailboxes is not None else ():
        for entry in entries_of(Path(account.path) / "to-hub"):
            if _UPLOAD.fullmatch(entry.name):
                continue
            is_part = entry.name.endswith(_PART)
            # A part may rest for days, until its sender is back: young or old says nothing.
            stands = home.may_stand(entry) or (is_part and not home.is_settled)
            if is_part and not stands:
                zh, en = "残留的上传部分", "a left-over part of an upload"
            elif is_part:
                taken = is_text(entry.name) and home.reader.one(
                    "SELECT 1 FROM bundle_in WHERE peer = ? AND bundle_id = ?",
                    f"account:{account.name}",
                    entry.name[1:].removesuffix(_PART),
                )
                stands = not taken or home.may_stand(entry, _TAKEN_PART_S)
                zh, en = "已收取的上传残留", "a left-over part of an upload that was taken whole"
            else:
                zh, en = "不是上传的文件", "no upload, nor a part of one"
            tally.expect(11, stands, f"{account.name}/{entry.name}", zh, en)


def check_rights(home: Home, tally: Tally) -> None:
    """What is private can be read by its owner alone; nobody else changes keys and whom we trust.

    The folder of the state keeps others out by itself; what lies in it does so once more.
    """
    folders = [home.state, *(s.paths.private for s in home.spools)]
    files = [home.state / name for name in ("journal.db", "journal.db-wal")]
    files += [*home.keys.glob("*.key"), *home.keys.glob("ssh*_ed25519")]
    for path in (*folders, *files):
        _rights(tally, path, 0o077)
    for path in (home.keys, *home.keys.rglob("*")):
        _rights(tally, path, 0o022)
    apart = {home.mailboxes, home.state / "segments", *(s.paths.root for s in home.spools)}
    for base, below, names in os.walk(home.state):
        folder = Path(base)
        below[:] = [n for n in below if folder / n not in apart and n not in _PUBLIC]
        for name in names:
            _rights(tally, folder / name, 0o007)


def _rights(tally: Tally, path: Path, kept_out: int) -> None:
    try:
        info = path.lstat()
    except FileNotFoundError:
        return
    if not (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)):
        return  # a link has no rights of its own, a socket hides nothing
    mode = stat.S_IMODE(info.st_mode)
    tally.expect(
        7, mode & kept_out == 0, path, f"权限 {mode:o} 过宽", f"mode {mode:o} lets others in"
    )


def _private(tally: Tally, entry: os.DirEntry[str]) -> None:
    mode = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
    tally.expect(
        7, mode & 0o077 == 0, entry.name, f"权限 {mode:o} 过宽", f"mode {mode:o} lets others in"
    )
