"""Judging archives, evidence and transfer files: anywhere, offline, without a journal.

Every byte is held against the signed lists, every package and receipt by its own signature, and the
audit chain from entry to entry. No POSIX-only module is needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from frontgate import bundle
from frontgate.core import chain
from frontgate.errors import FrontgateError, ParcelError
from frontgate.pipeline.parcel import Manifest, check_parcel, slice_of
from frontgate.seal import open_package
from frontgate.seal.receipts import read_list

MOST_LIST_BYTES = 64 << 20


@dataclass(slots=True)
class Content:
    """What a verified archive or evidence file holds. head: of its audit segment's last entry."""

    manifest: Manifest
    packages: int = 0
    receipts: int = 0
    events: int = 0
    head: str = ""
    epoch: int = 0
    entries: tuple[bundle.Located, ...] = ()


class _Judge:
    """Holds every member against its own proof while the parcel is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.packages = self.receipts = 0
        self.events: list[bundle.Located] = []

    def visit(self, member: bundle.Located) -> None:
        try:
            if member.name.endswith(".asice"):
                package = open_package(
                    self._file,
                    offset=member.offset,
                    length=member.size_bytes,
                )
                package.verify()
                self.packages += 1
            elif member.name.startswith("receipts-"):
                data = slice_of(self._file, member, MOST_LIST_BYTES)
                for group in read_list(data):
                    if group.error is not None:
                        raise group.error
                    self.receipts += len(group.items)
            elif member.name.startswith("audit-"):
                self.events.append(member)
        except FrontgateError as error:
            raise ParcelError("FG-PCL-007", name=member.name, why=error.code) from error


def check_archive(file: BinaryIO) -> Content:
    """Verify an archive or evidence file whole: bytes, packages, receipts, the chain it carries.

    Whether its signer may be believed is the caller's question. Raises: ParcelError, SignatureError.
    """
    judge = _Judge(file)
    manifest = check_parcel(file, judge.visit)
    content = Content(manifest, judge.packages, judge.receipts)
    about = manifest.about
    if "headBefore" not in about:
        return content
    try:
        seq, last = int(about["eventsFrom"]) - 1, int(about["eventsTo"])
        epoch = int(about["epochBefore"])
        walk = chain.Walk(seq, about["headBefore"], [chain.Epoch(epoch, 1)])
        bytes.fromhex(walk.head)
    except (KeyError, ValueError) as error:
        raise ParcelError("FG-PCL-001", what="manifest") from error
    for member in judge.events:
        chain.hold(walk, _links(file, member), (), about.get("node", ""), None)
        if walk.breaks:
            first = walk.breaks[0]
            raise ParcelError("FG-PCL-006", name=member.name, seq=first.seq, what=first.what)
    if walk.seq != last or walk.head != about["head"]:
        raise ParcelError("FG-PCL-006", name="audit", seq=walk.seq + 1, what="missing entries")
    content.events, content.head, content.epoch = walk.walked, walk.head, walk.epochs[-1].number
    content.entries = tuple(judge.events)
    return content


def links_of(file: BinaryIO, content: Content) -> Iterator[chain.Link]:
    """The audit entries of a verified archive, in order."""
    for member in content.entries:
        yield from _links(file, member)


def _links(file: BinaryIO, member: bundle.Located) -> list[chain.Link]:
    data = slice_of(file, member, MOST_LIST_BYTES)
    try:
        return [chain.Link(*json.loads(line)) for line in data.decode().split("\n") if line]
    except (ValueError, TypeError, AttributeError) as error:
        raise ParcelError("FG-PCL-003", name=member.name) from error
