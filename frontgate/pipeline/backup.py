"""Backing a running node up, and putting a backup in place.

A backup is the journal as of one moment (SQLite's online backup, writers go on), every segment that it
names, the settings, what is trusted, and, only when asked, the keys under a passphrase. It is a folder
(segments hard-linked where the file system allows) or one parcel file; both carry the same signed lists.
Nothing stands under the target's name before all of it is durable. A restore never overwrites; it marks
the journal so that its first start opens a new, signed epoch (`pipeline.epochs`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from frontgate import bundle, clock, durable
from frontgate.errors import KeepError, ParcelError
from frontgate.journal import copying, open_reader
from frontgate.pipeline import epochs
from frontgate.pipeline.keybox import close_keys, open_keys
from frontgate.pipeline.parcel import (
    CHUNK,
    MANIFEST,
    MOST_LIST_BYTES,
    Lists,
    Manifest,
    ParcelWriter,
    check_parcel,
    members_of,
    read_manifest,
    write_manifest,
)
from frontgate.suites import Signer
from frontgate.undo import on_failure
from frontgate.values import Struct

KIND = "backup"
_SEGMENT = re.compile(r"segment-(\d{8})-(\d{6}-[0-9a-f]{16}\.bundle)")
_TRUST = re.compile(r"trust-(ca\.der|hub\.der|directory\.json)")
_EARLIER = re.compile(r"earlier-(\d{1,12}\.json)")
_ACCOUNT = re.compile(r"account-(u[0-9a-z]{1,40})")
PAGE = 500


class Home(Struct, frozen=True):
    """What a node is made of. node: the journal's name for it. accounts: a hub's public SSH keys."""

    node: str
    state: Path
    config: Path
    keys: Path
    accounts: Path | None = None

    @property
    def role(self) -> str:
        return self.node.partition(":")[0]


@dataclass(slots=True)
class Made:
    """A finished backup. missing: segments whose files could not be read; digest: of its manifest."""

    path: str
    digest: str = ""
    members: int = 0
    size_bytes: int = 0
    missing: list[str] = field(default_factory=list)


def make_backup(
    home: Home,
    target: Path,
    signer: Signer,
    *,
    number: int,
    now: datetime,
    passphrase: bytes | None = None,
    as_file: bool = False,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Made:
    """Write a backup to `target`, which must not exist. number: of its signed manifest.

    Raises: KeepError FG-KEP-001, 002; JournalError.
    """
    if os.path.lexists(target):
        raise KeepError("FG-KEP-001", path=str(target))
    part = target.with_name(f".{target.name}.part")
    copied = home.state / "tmp" / "backup.db"
    try:
        with on_failure(partial(_discard, part)):
            _discard(part)
            durable.unlink(copied)
            if not copying.copy_journal(home.state / "journal.db", copied, is_stopping):
                raise KeepError("FG-KEP-002", path=str(target), reason="stopped")
            made = Made(str(target))
            about = {"kind": KIND, "node": home.node, "epoch": _meta(copied, "epoch")}
            if as_file:
                _write_file(home, copied, part, signer, number, now, passphrase, about, made)
                durable.rename(part, target)
            else:
                _write_folder(home, copied, part, signer, number, now, passphrase, about, made)
                durable.rename(part, target)
            durable.fsync_dir(target.parent)
            return made
    except OSError as error:
        reason = errno.errorcode.get(error.errno or 0, "?")
        raise KeepError("FG-KEP-002", path=str(target), reason=reason, detail=str(error)) from error
    finally:
        durable.unlink(copied)


def _meta(copied: Path, key: str) -> str:
    reader = open_reader(copied)
    try:
        return reader.meta(key) or ""
    finally:
        reader.close()


def _discard(part: Path) -> None:
    if part.is_dir() and not part.is_symlink():
        shutil.rmtree(part)
    else:
        durable.unlink(part)


def _sources(
    home: Home, copied: Path, passphrase: bytes | None
) -> Iterator[tuple[str, Path | bytes]]:
    """(member name, its file or bytes), the journal first, then all that it names."""
    yield "journal.db", copied
    if home.config.is_file():
        yield "config.toml", home.config
    trust = home.keys / "trust"
    for name in ("ca.der", "hub.der", "directory.json"):
        yield f"trust-{name}", trust / name
    for path in sorted((trust / "earlier").glob("*.json")):
        yield f"earlier-{path.name}", path
    if home.accounts is not None and home.accounts.is_dir():
        for path in sorted(home.accounts.iterdir()):
            if _ACCOUNT.fullmatch(f"account-{path.name}"):
                yield f"account-{path.name}", path
    if passphrase is not None:
        yield "keys.enc", close_keys(home.keys, passphrase)
    reader = open_reader(copied)
    try:
        after = 0
        while rows := reader.all(
            "SELECT id, path FROM segment WHERE id > ? AND state = 'kept' ORDER BY id LIMIT ?",
            after,
            PAGE,
        ):
            after = int(rows[-1][0])
            for _, path in rows:
                yield (
                    str(path).replace("segments/", "segment-").replace("/", "-"),
                    home.state / path,
                )
    finally:
        reader.close()


def _write_folder(
    home: Home,
    copied: Path,
    part: Path,
    signer: Signer,
    number: int,
    now: datetime,
    passphrase: bytes | None,
    about: dict[str, str],
    made: Made,
) -> None:
    durable.make_dir(part, exist_ok=False)
    lists = Lists()

    def close_list() -> None:
        name, data = lists.close()
        durable.write_file(part / name, data)

    for name, source in _sources(home, copied, passphrase):
        member = _place(part / name, source, made)
        if member is None:
            continue
        made.members += 1
        made.size_bytes += member.size_bytes
        if lists.add(member):
            close_list()
    if not lists.is_empty:
        close_list()
    data = write_manifest(about, lists.done, number=number, now=now, signer=signer)
    durable.write_file(part / MANIFEST, data)
    made.digest = hashlib.sha256(data).hexdigest()
    durable.fsync_dir(part)


def _place(target: Path, source: Path | bytes, made: Made) -> bundle.Member | None:
    """Put one member into a folder: linked if it is an immutable segment, else copied and synced."""
    if isinstance(source, bytes):
        durable.write_file(target, source)
        return bundle.Member(target.name, len(source), hashlib.sha256(source).hexdigest())
    is_segment = _SEGMENT.fullmatch(target.name) is not None
    try:
        if is_segment:
            try:
                durable.link(source, target)
                with target.open("rb") as file:
                    return _measured(target.name, file)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
                    raise
        with source.open("rb") as file, durable.open_new(target) as out:
            with durable.Sink(out) as sink:
                while chunk := file.read(CHUNK):
                    sink.write(chunk)
            out.flush()
            durable.fsync_file(out)
            return bundle.Member(target.name, sink.size_bytes, sink.digest)
    except OSError as error:
        if is_segment and error.errno in (errno.ENOENT, errno.EIO):
            made.missing.append(target.name)
            durable.unlink(target)
            return None
        raise


def _measured(name: str, file: object) -> bundle.Member:
    sha = hashlib.sha256()
    size = 0
    while chunk := file.read(CHUNK):  # type: ignore[attr-defined]
        sha.update(chunk)
        size += len(chunk)
    return bundle.Member(name, size, sha.hexdigest())


def _write_file(
    home: Home,
    copied: Path,
    part: Path,
    signer: Signer,
    number: int,
    now: datetime,
    passphrase: bytes | None,
    about: dict[str, str],
    made: Made,
) -> None:
    with durable.open_new(part) as out:
        writer = ParcelWriter(out)
        for name, source in _sources(home, copied, passphrase):
            if isinstance(source, bytes):
                writer.add_bytes(name, source)
                continue
            try:
                file = source.open("rb")
            except FileNotFoundError:
                if _SEGMENT.fullmatch(name) is None:
                    raise
                made.missing.append(name)
                continue
            with file:
                size = os.fstat(file.fileno()).st_size
                writer.add(name, size, iter(lambda f=file: f.read(CHUNK), b""))  # type: ignore[misc]
        manifest = writer.finish(about, number=number, now=now, signer=signer)
        out.flush()
        durable.fsync_file(out)
    made.members, made.size_bytes, made.digest = (
        writer.members,
        writer.size_bytes,
        manifest.digest,
    )


# -- putting it in place ---------------------------------------------------------------------


class Restored(Struct, frozen=True):
    """node: whose backup it was. has_keys: its keys came along. made_at: when it was made."""

    node: str
    made_at: datetime
    digest: str
    members: int
    has_keys: bool


def restore(source: Path, home: Path, *, passphrase: bytes | None = None) -> Restored:
    """Put a backup in place below `home`. Keys and settings that are there already are kept.

    Everything is verified and built beside `home`'s state first; one rename makes it the node's.
    Raises: KeepError FG-KEP-001, 003, 004; ParcelError; SignatureError.
    """
    if (home / "state" / "journal.db").exists():
        raise KeepError("FG-KEP-001", path=str(home / "state"))
    home.mkdir(parents=True, exist_ok=True)
    work = home / ".restoring"
    _discard(work)
    durable.make_dir(work)
    try:
        if source.is_dir():
            manifest, members = _unpack_folder(source, work)
        else:
            manifest, members = _unpack_file(source, work)
        if manifest.kind != KIND:
            raise ParcelError("FG-PCL-001", what=manifest.kind)
        node = manifest.about.get("node", "")
        state = work / "state"
        copying.check_copy(state / "journal.db")
        has_keys = (work / "keys.enc").exists() and passphrase is not None
        if has_keys:
            assert passphrase is not None
            open_keys((work / "keys.enc").read_bytes(), passphrase, work / "keys")
        why = {"backup": manifest.digest, "at": clock.now().isoformat()}
        copying.mark(state / "journal.db", node, epochs.RESTORED, json.dumps(why))
        for folder in (state / "segments", state / "tmp"):
            durable.make_dir(folder)
        _move_in(work, home, node.partition(":")[0])
    except OSError as error:
        raise KeepError("FG-KEP-003", path=str(source), reason=str(error)) from error
    finally:
        _discard(work)
    return Restored(node, manifest.control.issued_at, manifest.digest, members, has_keys)


def _target(name: str, work: Path) -> Path:
    """Where a member belongs. Raises: ParcelError FG-PCL-001 for a name that no backup has."""
    if match := _SEGMENT.fullmatch(name):
        return work / "state" / "segments" / match[1] / match[2]
    if name == "journal.db":
        return work / "state" / name
    if match := _TRUST.fullmatch(name):
        return work / "keys" / "trust" / match[1]
    if match := _EARLIER.fullmatch(name):
        return work / "keys" / "trust" / "earlier" / match[1]
    if match := _ACCOUNT.fullmatch(name):
        return work / "sftp-keys" / match[1]
    if name in ("config.toml", "keys.enc"):
        return work / name
    raise ParcelError("FG-PCL-001", what=name)


def _copy_member(source: object, size_bytes: int, target: Path, made: set[Path]) -> str:
    """Copy `size_bytes` bytes into a new durable file. Returns: their SHA-256."""
    for folder in reversed(target.parents):
        if folder not in made:
            folder.mkdir(mode=0o700, exist_ok=True)
            made.add(folder)
    left = size_bytes
    with durable.open_new(target) as out:
        with durable.Sink(out) as sink:
            while left and (chunk := source.read(min(CHUNK, left))):  # type: ignore[attr-defined]
                sink.write(chunk)
                left -= len(chunk)
        out.flush()
        durable.fsync_file(out)
    return sink.digest


def _unpack_file(source: Path, work: Path) -> tuple[Manifest, int]:
    count = 0
    made: set[Path] = set(work.parents) | {work}
    with source.open("rb") as file:
        manifest = check_parcel(file)
        for member in members_of(file):
            if member.name == MANIFEST:
                break
            if member.name.startswith("list-"):
                continue
            file.seek(member.offset)
            digest = _copy_member(file, member.size_bytes, _target(member.name, work), made)
            if digest != member.digest:
                raise ParcelError("FG-PCL-003", name=member.name)
            count += 1
    return manifest, count


def _unpack_folder(source: Path, work: Path) -> tuple[Manifest, int]:
    manifest = read_manifest((source / MANIFEST).read_bytes())
    count = 0
    made: set[Path] = set(work.parents) | {work}
    for name, wanted in manifest.lists:
        if not re.fullmatch(r"list-\d{6}\.txt", name):
            raise ParcelError("FG-PCL-001", what=name)
        path = source / name
        data = path.read_bytes() if path.stat().st_size <= MOST_LIST_BYTES else b""
        if hashlib.sha256(data).hexdigest() != wanted:
            raise ParcelError("FG-PCL-004", name=name)
        for line in data.decode().splitlines():
            digest, size, member = line.split(" ", 2)
            target = _target(member, work)
            with (source / member).open("rb") as file:
                if os.fstat(file.fileno()).st_size != int(size):
                    raise ParcelError("FG-PCL-003", name=member)
                if _copy_member(file, int(size), target, made) != digest:
                    raise ParcelError("FG-PCL-003", name=member)
            count += 1
    return manifest, count


def _move_in(work: Path, home: Path, role: str) -> None:
    """Settings and keys that are there stay; the state comes last, in one rename."""
    durable.sync_file_system(work)
    if not (home / f"{role}.toml").exists() and (work / "config.toml").exists():
        durable.rename(work / "config.toml", home / f"{role}.toml")
    for name in ("keys", "sftp-keys"):
        _merge(work / name, home / name)
    state = home / "state"
    if state.is_dir():
        for left_over in ("journal.db.lock",):
            durable.unlink(state / left_over)
        for folder in ("tmp", "segments"):
            with contextlib.suppress(FileNotFoundError):
                (state / folder).rmdir()
        state.rmdir()
    durable.rename(work / "state", state)
    durable.fsync_dir(home)


def _merge(source: Path, target: Path) -> None:
    """Move what `target` does not have yet, file by file."""
    if not source.is_dir():
        return
    if not target.is_dir():
        durable.make_dir(target, 0o755 if target.name == "sftp-keys" else 0o700)
    for path in sorted(source.iterdir()):
        if path.is_dir():
            _merge(path, target / path.name)
        elif not (target / path.name).exists():
            durable.rename(path, target / path.name)
    durable.fsync_dir(target)


def check_folder(source: Path) -> Manifest:
    """Verify a backup folder without unpacking it. Raises: ParcelError, SignatureError."""
    manifest = read_manifest((source / MANIFEST).read_bytes())
    for name, wanted in manifest.lists:
        data = (source / Path(name).name).read_bytes()
        if hashlib.sha256(data).hexdigest() != wanted:
            raise ParcelError("FG-PCL-004", name=name)
        for line in data.decode().splitlines():
            digest, size, member = line.split(" ", 2)
            with (source / Path(member).name).open("rb") as file:
                found = _measured(member, file)
            if found != bundle.Member(member, int(size), digest):
                raise ParcelError("FG-PCL-003", name=member)
    return manifest
