"""`inbound/`: an entry appears whole or not at all, and we notice when it was taken.

An entry is built in `.frontgate/staging/` on the same file system, every file fsynced, then renamed
in one step. Names are safe on Windows and begin with the time of delivery.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from frontgate import durable
from frontgate.spool import claims
from frontgate.spool.layout import SHARED_FILE_MODE, SHARED_MODE, SpoolPaths

DONE = ".done"


@dataclass(frozen=True, slots=True)
class DeliveryPart:
    """One file of an entry. path: relative, `/`-separated, safe. open: yields its bytes."""

    path: str
    open: Callable[[], Iterator[bytes]]
    size_bytes: int


def entry_name(delivered_at: datetime, message_type: str, message_id: str, *, test: bool) -> str:
    """`<yyyymmddThhmmssZ>-<message type>-<MessageId>`; test traffic begins with `TEST-`."""
    stamp = delivered_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{'TEST-' if test else ''}{stamp}-{message_type}-{message_id}"


def deliver(
    paths: SpoolPaths, name: str, parts: Iterable[DeliveryPart], *, form: str = "folder"
) -> Path:
    """Put an entry into `inbound/`, durable when this returns. Safe to repeat with the same name.

    form: `folder`, `zip` (one file `<name>.zip`) or `sealed` (one part, as `<name>.asice`).
    Raises: OSError.
    """
    stage(paths, name, parts, form=form, sync=True)
    (error,) = publish(paths, [name], form=form).values()
    if error is not None:
        raise error
    return paths.inbound / (name + _SUFFIX[form])


_SUFFIX = {"folder": "", "zip": ".zip", "sealed": ".asice"}


def stage(
    paths: SpoolPaths, name: str, parts: Iterable[DeliveryPart], *, form: str, sync: bool
) -> None:
    """Build an entry in the staging folder, unless it stands in `inbound/` already.

    sync: make each file and folder durable here; without it the caller syncs the file system
    before `publish`, once for a whole batch. Raises: OSError.
    """
    if os.path.lexists(paths.inbound / (name + _SUFFIX[form])):
        return
    staged = paths.staging / (name + _SUFFIX[form])
    claims.remove(staged)
    gid = paths.inbound.stat().st_gid
    if form == "folder":
        _stage_folder(staged, parts, gid, sync=sync)
    elif form == "zip":
        _stage_zip(staged, parts, gid, sync=sync)
    else:
        (part,) = parts
        _write(staged, part, gid, sync=sync)


def publish(paths: SpoolPaths, names: Iterable[str], *, form: str) -> dict[str, OSError | None]:
    """Let staged entries appear, each whole; durable when this returns. Safe to repeat.

    Returns: name → why it could not be renamed. Raises: OSError if the folder cannot be synced.
    """
    outcome: dict[str, OSError | None] = {}
    for name in names:
        entry = name + _SUFFIX[form]
        try:
            if not os.path.lexists(paths.inbound / entry):
                durable.rename(paths.staging / entry, paths.inbound / entry)
            outcome[name] = None
        except OSError as error:
            outcome[name] = error
    durable.fsync_dir(paths.inbound)
    return outcome


def _stage_folder(folder: Path, parts: Iterable[DeliveryPart], gid: int, *, sync: bool) -> None:
    _make_folder(folder, gid)
    inner: set[Path] = set()
    for part in parts:
        target = folder.joinpath(*part.path.split("/"))
        if target.parent != folder and target.parent not in inner:
            _make_folder(target.parent, gid)
            inner.add(target.parent)
        _write(target, part, gid, sync=sync)
    for path in (*inner, folder) if sync else ():
        durable.fsync_dir(path)


def _make_folder(folder: Path, gid: int) -> None:
    durable.make_dir(folder, 0o700)
    os.chown(folder, -1, gid)
    os.chmod(folder, SHARED_MODE)


def _write(target: Path, part: DeliveryPart, gid: int, *, sync: bool) -> None:
    with durable.open_new(target, SHARED_FILE_MODE) as file:
        os.fchown(file.fileno(), -1, gid)
        for chunk in part.open():
            file.write(chunk)
        file.flush()
        if sync:
            durable.fsync_file(file)


def _stage_zip(target: Path, parts: Iterable[DeliveryPart], gid: int, *, sync: bool) -> None:
    with durable.open_new(target, SHARED_FILE_MODE) as file:
        os.fchown(file.fileno(), -1, gid)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for part in parts:
                info = zipfile.ZipInfo(part.path)
                info.file_size = part.size_bytes
                with archive.open(info, "w", force_zip64=part.size_bytes > 1 << 31) as entry:
                    for chunk in part.open():
                        entry.write(chunk)
        file.flush()
        if sync:
            durable.fsync_file(file)


def _forms(paths: SpoolPaths, name: str) -> list[Path]:
    return [paths.inbound / (name + suffix) for suffix in ("", ".zip", ".asice")]


def is_collected(paths: SpoolPaths, name: str) -> bool:
    """Whether the case software took an entry: it is gone, or `<entry>.done` stands beside it
    (then both are removed)."""
    if not os.path.isdir(paths.inbound):
        return False  # unmounted or moved away: that is no pick-up
    standing = [path for path in _forms(paths, name) if os.path.lexists(path)]
    if not standing:
        # A mark that was left behind without its entry goes as well.
        for path in _forms(paths, name):
            durable.unlink(f"{path}{DONE}")
        return True
    entry = standing[0]
    mark = Path(f"{entry}{DONE}")
    if not os.path.lexists(mark):
        return False
    claims.remove(entry)
    durable.unlink(mark)
    durable.fsync_dir(paths.inbound)
    return True
