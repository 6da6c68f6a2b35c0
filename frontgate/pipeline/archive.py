"""Archiving: sealed originals, receipts and audit entries into dated, signed, self-verifying files.

One archive holds what came after the one before it, in the order of the journal: packages as `.asice`,
set-aside bytes, receipt lists, the audit chain's entries with their heads, and what was trusted. It is
written under a temporary name, fsynced, read back from the disk and verified whole, renamed, and only
then registered, in the transaction that writes its checkpoint. Nothing is removed here.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from frontgate import durable
from frontgate.core import chain
from frontgate.errors import FrontgateError, KeepError
from frontgate.journal import Journal, Reader, audit, keeping, timestamp
from frontgate.journal.keeping import Border, Original
from frontgate.log import get_logger
from frontgate.pipeline.evidence import check_archive
from frontgate.pipeline.parcel import Manifest, ParcelWriter
from frontgate.pipeline.segments import read_slice
from frontgate.seal.receipts import write_list
from frontgate.suites import Signer
from frontgate.undo import on_failure
from frontgate.values import Struct, replace

log = get_logger()

KIND = "archive"
PAGE = 200
RECEIPTS = 512
EVENTS = 5000
PIECE_BYTES = 2 << 30
"""Most bytes of packages in one archive; on a nearly full disk it is less."""
FLOOR_BYTES = 32 << 20
"""So much is left free in any case: the journal must go on."""
MOST_ENTRIES = 200_000
_ODD = re.compile(r"[^A-Za-z0-9-]")


class Archived(Struct, frozen=True):
    """A registered archive. is_more: whether there is enough left for another one."""

    name: str
    size_bytes: int
    packages: int
    receipts: int
    events: int
    is_more: bool


class Node(Struct, frozen=True):
    """Who archives and where. trust: folder of what is trusted, to go along."""

    journal: Journal
    state: Path
    folder: Path
    trust: Path
    signer: Signer


def archive_once(
    node: Node, *, now: datetime, until: datetime, is_stopping: Callable[[], bool] = lambda: False
) -> Archived | None:
    """Write and register the next archive of what was made before `until`; None if there is nothing.

    Raises: KeepError FG-KEP-002, 005, 006.
    """
    reader = node.journal.reader()
    try:
        last = keeping.border(reader)
        plan = _Plan(reader, last, timestamp(until))
        if plan.is_empty():
            return None
        with node.journal.write(now) as tx:
            number = tx.next_number(f"control:{node.signer.unit}", tx.floor)
            epoch = tx.epoch
        try:
            return _write(node, reader, plan, last, number, epoch, now, is_stopping)
        except OSError as error:
            reason = errno.errorcode.get(error.errno or 0, "?")
            raise KeepError(
                "FG-KEP-002", path=str(node.folder), reason=reason, detail=str(error)
            ) from error
    finally:
        reader.close()


@dataclass(slots=True)
class _Plan:
    """Pages through what comes after the newest archive, up to a time."""

    reader: Reader
    last: Border
    until: str

    def is_empty(self) -> bool:
        last, until = self.last, self.until
        return not (
            keeping.originals(self.reader, last.package, until, 1)
            or keeping.receipts_after(self.reader, last.receipt, until, 1)
            or self.events(last.event, 1)
        )

    def events(self, after: int, limit: int) -> list[chain.Link]:
        found = []
        for link in audit.links(self.reader, after=after, limit=limit):
            if link.at >= self.until:
                break
            found.append(link)
        return found


def _room(folder: Path) -> int:
    state = os.statvfs(folder)
    return min(PIECE_BYTES, state.f_bavail * state.f_frsize - FLOOR_BYTES)


def _write(
    node: Node,
    reader: Reader,
    plan: _Plan,
    last: Border,
    number: int,
    epoch: int,
    now: datetime,
    is_stopping: Callable[[], bool],
) -> Archived | None:
    if not node.folder.is_dir():
        node.folder.mkdir(parents=True, mode=0o700)
        durable.fsync_dir(node.folder.parent)
    role, _, unit = node.journal.node.partition(":")
    name = f"{now:%Y%m%d}-{epoch}-{last.number + 1:06d}-{role}-{unit}.archive"
    part = node.folder / f".{name}.part"
    durable.unlink(part)
    with on_failure(partial(durable.unlink, part)):
        with durable.open_new(part) as out:
            content = _Content(node, reader, plan, ParcelWriter(out), _room(node.folder))
            to, is_more = content.write(last, is_stopping)
            if to is None:
                return None
            manifest = content.finish(last, to, number, now)
            out.flush()
            durable.fsync_file(out)
            size = content.writer.size_bytes
        _read_back(part, manifest)
        durable.rename(part, node.folder / name)
        durable.fsync_dir(node.folder)
    # The head as signed: an archive without entries of the chain repeats the one before it.
    to = replace(to, number=last.number + 1, digest=manifest.digest, head=manifest.about["head"])
    with node.journal.write(now) as tx:
        keeping.add_archive(tx, name, size, to, manifest.xml)
        tx.event(
            "archived",
            number=to.number,
            name=name,
            digest=to.digest,
            seq=to.event,
            head=to.head,
            packages=content.packages,
        )
    log.info("archived", name=name, size_bytes=size, packages=content.packages)
    return Archived(
        name,
        size,
        content.packages,
        to.receipt - last.receipt,
        to.event - last.event,
        is_more,
    )


def _read_back(path: Path, manifest: Manifest) -> None:
    """Verify what is on the disk, not what is in memory. Raises: KeepError FG-KEP-005."""
    with path.open("rb") as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        try:
            found = check_archive(file)
        except FrontgateError as error:
            raise KeepError("FG-KEP-005", name=path.name, detail=str(error)) from error
    if found.manifest.digest != manifest.digest:
        raise KeepError("FG-KEP-005", name=path.name)


class _Content:
    """Fills one archive: originals until there is no more room, then receipts, then the chain."""

    def __init__(
        self, node: Node, reader: Reader, plan: _Plan, writer: ParcelWriter, room_bytes: int
    ) -> None:
        self._node = node
        self._reader = reader
        self._plan = plan
        self.writer = writer
        self._room = room_bytes
        self.packages = 0
        self._damaged: list[str] = []

    def write(self, last: Border, is_stopping: Callable[[], bool]) -> tuple[Border | None, bool]:
        """Returns: the new border (None where it was stopped), and whether more is waiting."""
        to = last
        to, full = self._originals(to, keeping.originals, "package", is_stopping)
        if not full:
            to, full = self._originals(to, keeping.set_aside, "quarantine", is_stopping)
        to, more_receipts = self._receipts(to)
        to, more_events = self._events(to)
        for file in ("ca.der", "hub.der", "directory.json"):
            path = self._node.trust / file
            if path.is_file():
                self.writer.add_bytes(f"trust-{file}", path.read_bytes())
        if is_stopping():
            return None, False
        return to, full or more_receipts or more_events

    def _originals(
        self,
        to: Border,
        page: Callable[[Reader, int, str, int], list[Original]],
        what: str,
        is_stopping: Callable[[], bool],
    ) -> tuple[Border, bool]:
        after = to.package if what == "package" else to.quarantine
        while rows := page(self._reader, after, self._plan.until, PAGE):
            for row in rows:
                used = self.writer.size_bytes + row.size_bytes
                if is_stopping():
                    return to, False
                if (used > self._room or self.writer.members >= MOST_ENTRIES) and row.path:
                    if self.packages == 0 and used > self._room:
                        raise KeepError("FG-KEP-006", free=max(0, self._room))
                    return to, True
                self._original(row, what)
                after = row.row
                to = (
                    replace(to, package=after)
                    if what == "package"
                    else replace(to, quarantine=after)
                )
        return to, False

    def _original(self, row: Original, what: str) -> None:
        """Add one; bytes that have rotted go along as they are, under a name that says so."""
        if not row.path or not row.size_bytes:
            return
        ident = _ODD.sub("_", row.message_id)[:36]
        name = f"{what}-{row.row:012d}-{_ODD.sub('_', row.direction)[:24]}-{ident}"
        try:
            with (self._node.state / row.path).open("rb") as file:
                holds = not row.digest or _digest(file, row) == row.digest
                is_package = what == "package" and holds
                self.writer.add(
                    f"{name}{'.asice' if is_package else '.bin'}",
                    row.size_bytes,
                    read_slice(file, row.offset, row.size_bytes),
                )
                self.packages += 1
                if holds:
                    return
        except FileNotFoundError:
            pass
        self._damaged.append(f"{name} {row.path}\n")

    def _receipts(self, to: Border) -> tuple[Border, bool]:
        count = 0
        while rows := keeping.receipts_after(self._reader, to.receipt, self._plan.until, RECEIPTS):
            groups: dict[bytes, list[bytes]] = {}
            for row, xml, signature in rows:
                groups.setdefault(signature, []).append(xml)
                to = replace(to, receipt=row)
            count += 1
            self.writer.add_bytes(f"receipts-{count:06d}.xml", write_list(groups.items()))
            if self.writer.size_bytes > self._room + PIECE_BYTES // 8:
                return to, True
        return to, False

    def _events(self, to: Border) -> tuple[Border, bool]:
        count = 0
        while links := self._plan.events(to.event, EVENTS):
            lines = [
                json.dumps([k.seq, k.at, k.kind, k.data, k.head], ensure_ascii=False) for k in links
            ]
            count += 1
            self.writer.add_bytes(f"audit-{count:06d}.jsonl", ("\n".join(lines) + "\n").encode())
            to = replace(to, event=links[-1].seq, head=links[-1].head)
            if count >= 200:
                return to, True
        return to, False

    def finish(self, last: Border, to: Border, number: int, now: datetime) -> Manifest:
        if self._damaged:
            self.writer.add_bytes("damaged.txt", "".join(self._damaged).encode())
        reader = self._reader
        before = last.head or chain.genesis(
            self._node.journal.node, int(reader.meta("first-epoch") or "1")
        )
        about = {
            "kind": KIND,
            "node": self._node.journal.node,
            "archive": str(last.number + 1),
            "previous": last.digest,
            "eventsFrom": str(last.event + 1),
            "eventsTo": str(to.event),
            "headBefore": before,
            "head": to.head or before,
            "epochBefore": str(last.epoch or reader.meta("first-epoch") or "1"),
            "packages": str(self.packages),
            "damaged": str(len(self._damaged)),
            "receipts": str(to.receipt - last.receipt),
            "until": self._plan.until,
        }
        return self.writer.finish(about, number=number, now=now, signer=self._node.signer)


def _digest(file: object, row: Original) -> str:
    import hashlib

    sha = hashlib.sha256()
    try:
        for chunk in read_slice(file, row.offset, row.size_bytes):  # type: ignore[arg-type]
            sha.update(chunk)
    except EOFError:
        return ""
    return sha.hexdigest()
