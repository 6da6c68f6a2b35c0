"""`inbound/`: an entry appears whole or not at all, and we notice when it was taken.

An entry is built in `.frontgate/staging/` on the same file system, every file fsynced, then renamed
in one step. Names are safe on Windows and begin with the time of delivery.

Before that rename a mark `<entry>.intent` is made durable beside the staged entry. It stays until the
journal knows the outcome. After a crash in between it tells: with the mark there and the entry
neither staged nor in `inbound/`, the case software has taken it already; without the mark it never
appeared. The proof lies in the spool itself, so that a spool that was replaced gets its entries again.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import zipfile
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from frontgate import durable
from frontgate.spool import beneath, trash
from frontgate.spool.beneath import Folder
from frontgate.spool.layout import SHARED_FILE_MODE, SHARED_MODE, SpoolPaths
from frontgate.undo import on_failure
from frontgate.values import Struct

DONE = ".done"
INTENT = ".intent"


class DeliveryPart(Struct, frozen=True):
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
    error = publish(paths, [name], form=form)[name]
    if error is not None:
        raise error
    settled(paths, [name])
    return paths.inbound / (name + _SUFFIX[form])


_SUFFIX = {"folder": "", "zip": ".zip", "sealed": ".asice"}


def stage(
    paths: SpoolPaths, name: str, parts: Iterable[DeliveryPart], *, form: str, sync: bool
) -> None:
    """Build an entry in the staging folder, unless it stands in `inbound/` or was taken from there.

    sync: make each file and folder durable here; without it the caller syncs the file system
    before `publish`, once for a whole batch. Raises: OSError.
    """
    entry = name + _SUFFIX[form]
    with Folder.at(paths.inbound) as inbound, Folder.at(paths.staging) as staging:
        if inbound.has(entry):
            return
        if staging.has(name + INTENT):
            if not staging.has(entry):
                return  # it appeared, and was taken before we could note it
            # The staged copy may be torn: the mark goes before it, durably.
            durable.unlink(name + INTENT, dir_fd=staging.fd)
            staging.fsync()
        beneath.remove(staging, entry)
        gid = inbound.gid

        def take_back() -> None:
            with contextlib.suppress(OSError):  # half of it is of no use, and the disk may be full
                beneath.remove(staging, entry)

        with on_failure(take_back):
            if form == "folder":
                _stage_folder(staging, entry, parts, gid, sync=sync)
            elif form == "zip":
                _stage_zip(staging, entry, parts, gid, sync=sync)
            else:
                (part,) = parts
                _write(staging, entry, part, gid, sync=sync)


def publish(
    paths: SpoolPaths, names: Iterable[str], *, form: str, flows: Collection[tuple[str, str]] = ()
) -> dict[str, OSError | None]:
    """Let staged entries appear in the given order, each whole; durable when this returns.

    flows: (name, flow) of entries whose order counts: behind one that cannot appear, those of its
    flow stay staged and are missing in the outcome. Safe to repeat.
    Returns: name → why it could not be renamed. Raises: OSError if a folder cannot be synced.
    """
    outcome: dict[str, OSError | None] = {}
    flow_of = dict(flows)
    stopped: set[str] = set()
    with Folder.at(paths.inbound) as inbound, Folder.at(paths.staging) as staging:
        marked = [(name, _mark(staging, inbound, name, name + _SUFFIX[form])) for name in names]
        staging.fsync()
        for name, error in marked:
            flow = flow_of.get(name, "")
            if flow and flow in stopped:
                continue
            entry = name + _SUFFIX[form]
            try:
                if error is None and not inbound.has(entry) and staging.has(entry):
                    staging.move(entry, inbound, entry)
            except OSError as fault:
                error = fault
            outcome[name] = error
            if error is not None:
                stopped.add(flow)
        inbound.fsync()
    return outcome


def _mark(staging: Folder, inbound: Folder, name: str, entry: str) -> OSError | None:
    """Note that an entry is about to appear, unless that is noted. Returns: why it cannot be."""
    try:
        if not staging.has(name + INTENT) and not inbound.has(entry):
            durable.open_new(name + INTENT, dir_fd=staging.fd).close()
    except OSError as error:
        return error
    return None


def stands_or_stood(paths: SpoolPaths, name: str) -> None:
    """An entry of that name appeared once, under a journal that is lost: `stage` and `publish` take it
    as delivered, whether it still stands or was taken. Durable when this returns. Raises: OSError.
    """
    if stands(paths, name):
        return
    with Folder.at(paths.staging) as staging:
        if not staging.has(name + INTENT):
            durable.open_new(name + INTENT, dir_fd=staging.fd).close()
        staging.fsync()


def stands(paths: SpoolPaths, name: str) -> bool:
    """Whether an entry stands in `inbound/`."""
    with Folder.at(paths.inbound) as inbound:
        return any(inbound.has(name + suffix) for suffix in _SUFFIX.values())


def settled(paths: SpoolPaths, names: Iterable[str]) -> None:
    """The journal knows what became of these entries: their marks go. Best effort: see `tidy`."""
    with Folder.at(paths.staging) as staging:
        for name in names:
            durable.unlink(name + INTENT, dir_fd=staging.fd)


def tidy(paths: SpoolPaths, is_open: Callable[[str], bool]) -> int:
    """Remove what deliveries left in the staging folder. is_open: whether the journal still has an
    entry of that name to deliver. Returns: how many went. Raises: OSError.
    """
    gone = 0
    with Folder.at(paths.staging) as staging:
        for raw in list(staging.names()):
            name = os.fsdecode(raw)
            for end in (INTENT, ".zip", ".asice"):
                name = name.removesuffix(end)
            if not is_open(name):
                beneath.remove(staging, raw)
                gone += 1
    return gone


def _stage_folder(
    staging: Folder, entry: str, parts: Iterable[DeliveryPart], gid: int, *, sync: bool
) -> None:
    durable.make_dir(entry, SHARED_MODE, dir_fd=staging.fd, gid=gid)
    with staging.inner(entry) as folder:
        inner: set[str] = set()
        for part in parts:
            below, _, name = part.path.rpartition("/")
            if below and below not in inner:
                durable.make_dir(below, SHARED_MODE, dir_fd=folder.fd, gid=gid)
                inner.add(below)
            with folder.inner(*([below] if below else [])) as target:
                _write(target, name, part, gid, sync=sync)
        if sync:
            for below in inner:
                durable.fsync_dir(below, dir_fd=folder.fd)
            folder.fsync()


def _write(folder: Folder, name: str, part: DeliveryPart, gid: int, *, sync: bool) -> None:
    with durable.open_new(name, SHARED_FILE_MODE, dir_fd=folder.fd) as file:
        os.fchown(file.fileno(), -1, gid)
        for chunk in part.open():
            file.write(chunk)
        file.flush()
        if sync:
            durable.fsync_file(file)


def _stage_zip(
    staging: Folder, entry: str, parts: Iterable[DeliveryPart], gid: int, *, sync: bool
) -> None:
    with durable.open_new(entry, SHARED_FILE_MODE, dir_fd=staging.fd) as file:
        os.fchown(file.fileno(), -1, gid)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for part in parts:
                info = zipfile.ZipInfo(part.path)
                info.file_size = part.size_bytes
                with archive.open(info, "w", force_zip64=part.size_bytes > 1 << 31) as member:
                    for chunk in part.open():
                        member.write(chunk)
        file.flush()
        if sync:
            durable.fsync_file(file)


MOST_NAMES = 200_000
"""So many names of one folder are known at a time, in 16 bytes each."""
_PART = 4096
SETTLED_S = 3.0
"""A folder's time says that nothing changed since only if it is older than this: file systems count
in steps of up to two seconds."""


class Standing(Struct, frozen=True):
    """How `inbound/` stood at one moment."""

    identity: tuple[int, int]
    changed_ns: int

    def is_same(self, other: Standing) -> bool:
        """Whether the folder seems not to have changed between the two."""
        return self == other

    def is_settled(self, now_s: float) -> bool:
        """Whether a later change is sure to give the folder another time. now_s: by the system."""
        return now_s - self.changed_ns / 1e9 > SETTLED_S


def standing(paths: SpoolPaths) -> Standing | None:
    """The folder's identity and time; None where there is no folder."""
    try:
        info = os.stat(paths.inbound, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Standing((info.st_dev, info.st_ino), info.st_mtime_ns)


@contextlib.contextmanager
def untaken(paths: SpoolPaths) -> Iterator[Callable[[str], bool]]:
    """Tells of an entry whether it stands there in any form, without the mark that it was taken: from one list
    of names; where there are too many, each is looked for when it is asked about.

    Raises: OSError, and so does what it gives.
    """
    with os.scandir(paths.inbound) as entries:
        names = _Names(entry.name for entry in itertools.islice(entries, MOST_NAMES))
    if len(names) < MOST_NAMES:
        yield partial(_is_untaken, names.has)
        return
    del names
    with Folder.at(paths.inbound) as inbound:
        yield partial(_is_untaken, inbound.has)


class _Names:
    """Many names, by their hashes. Two of 200 000 are taken for the same once in 10^9 times: then this process does
    not notice that one of them is gone, and the next one does.
    """

    def __init__(self, names: Iterator[str]) -> None:
        parts: list[array[int]] = []
        while part := sorted(map(hash, itertools.islice(names, _PART))):
            parts.append(array("q", part))
        self._hashes = array("q", heapq.merge(*parts))

    def __len__(self) -> int:
        return len(self._hashes)

    def has(self, name: str) -> bool:
        sought = hash(name)
        at = bisect_left(self._hashes, sought)
        return at < len(self._hashes) and self._hashes[at] == sought


def _is_untaken(has: Callable[[str], bool], name: str) -> bool:
    return any(has(entry) and not has(entry + DONE) for entry in _forms(name))


def _forms(name: str) -> list[str]:
    return [name + suffix for suffix in _SUFFIX.values()]


def is_collected(paths: SpoolPaths, name: str) -> bool:
    """Whether the case software took an entry: it is gone, or `<entry>.done` stands beside it
    (then both are removed).
    """
    forms = _forms(name)
    try:
        inbound = Folder.at(paths.inbound)
    except (FileNotFoundError, NotADirectoryError):
        return False  # unmounted or moved away: that is no pick-up
    with inbound:
        standing = [entry for entry in forms if inbound.has(entry)]
        if not standing:
            # A mark that was left behind without its entry goes as well.
            for entry in forms:
                durable.unlink(entry + DONE, dir_fd=inbound.fd)
            return True
        (entry, *_) = standing
        if not inbound.has(entry + DONE):
            return False
        # One rename takes it out of the shared folder, whatever somebody put into it meanwhile.
        trash.throw(paths, inbound, entry)
        durable.unlink(entry + DONE, dir_fd=inbound.fd)
        inbound.fsync()
        return True
