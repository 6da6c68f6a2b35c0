"""Transfer by a medium across an air gap: waiting bundles in one signed file, written and taken in.

The file carries the very bundles of the wire. Whoever takes it in judges them as if they had come by
SFTP: same verification, same receipts, same exactly-once effect; a medium may come twice or never. With
them goes the list of bundles that the writing side has taken, so that the other need not offer them again.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import datetime
from io import RawIOBase
from pathlib import Path
from typing import IO, BinaryIO

from frontgate import bundle, durable
from frontgate.errors import FrontgateError, KeepError
from frontgate.journal import Reader
from frontgate.pipeline.archive import Node
from frontgate.pipeline.parcel import CHUNK, Manifest, ParcelWriter, check_parcel, slice_of
from frontgate.pipeline.segments import read_slice
from frontgate.values import Struct

KIND = "transfer"
TAKEN = "taken.txt"
MOST_TAKEN = 50_000
MOST_LIST_BYTES = 8 << 20


class Waiting(Struct, frozen=True):
    """One bundle to go along. open: gives what its bytes are read from."""

    name: str
    size_bytes: int
    open: Callable[[], IO[bytes] | RawIOBase]


class Written(Struct, frozen=True):
    """A finished medium file."""

    path: str
    bundles: int
    digest: str


def write_medium(
    node: Node, to: str, target: Path, waiting: Iterable[Waiting], peer: str, *, now: datetime
) -> Written:
    """Write waiting bundles for the node `to` (`hub:<unit>`, `gateway:<unit>`) to a new file.

    peer: whose taken bundles are listed. Raises: KeepError FG-KEP-001, 002.
    """
    part = target.with_name(f".{target.name}.part")
    if target.exists():
        raise KeepError("FG-KEP-001", path=str(target))
    with node.journal.write(now) as tx:
        number = tx.next_number(f"control:{node.signer.unit}", tx.floor)
        tx.event("medium-written", to=to, path=str(target))
    try:
        durable.unlink(part)
        with durable.open_new(part) as out:
            writer = ParcelWriter(out)
            count = 0
            for item in waiting:
                with closing(item.open()) as file:
                    writer.add(
                        item.name,
                        item.size_bytes,
                        iter(lambda f=file: f.read(CHUNK), b""),  # type: ignore[misc]
                    )
                count += 1
            writer.add_bytes(TAKEN, _taken(node, peer))
            about = {"kind": KIND, "node": node.journal.node, "to": to, "bundles": str(count)}
            manifest = writer.finish(about, number=number, now=now, signer=node.signer)
            durable.publish(part, target, out)
    except OSError as error:
        reason = errno.errorcode.get(error.errno or 0, "?")
        raise KeepError("FG-KEP-002", path=str(target), reason=reason, detail=str(error)) from error
    finally:
        durable.unlink(part)
    return Written(str(target), count, manifest.digest)


def _taken(node: Node, peer: str) -> bytes:
    reader: Reader = node.journal.reader()
    try:
        rows = reader.all(
            "SELECT bundle_id FROM bundle_in WHERE peer = ? ORDER BY bundle_id DESC LIMIT ?",
            peer,
            MOST_TAKEN,
        )
    finally:
        reader.close()
    return "".join(f"{row[0]}\n" for row in rows).encode()


def read_medium(
    file: BinaryIO, here: str, judge: Callable[[Manifest], None]
) -> tuple[Manifest, list[bundle.Located], set[str]]:
    """Verify a medium file whole. here: this node's name; judge: raises where its signer may not send.

    Returns: manifest, its bundles in order, and what the writer has taken. Raises: KeepError
    FG-KEP-009; ParcelError; SignatureError.
    """
    members: list[bundle.Located] = []
    manifest = check_parcel(file, members.append)
    if manifest.kind != KIND or manifest.about.get("to") != here:
        raise KeepError("FG-KEP-009", what=manifest.about.get("to", "") or manifest.kind)
    try:
        judge(manifest)
    except FrontgateError as error:
        raise KeepError("FG-KEP-009", what=error.code, detail=str(error)) from error
    taken: set[str] = set()
    found: list[bundle.Located] = []
    for member in members:
        if member.name == TAKEN:
            taken = set(slice_of(file, member, MOST_LIST_BYTES).decode("ascii", "replace").split())
        elif bundle.is_bundle_id(member.name.removesuffix(".bundle")):
            found.append(member)
    return manifest, sorted(found, key=lambda m: m.name), taken


def feed(file: BinaryIO, member: bundle.Located, sink: Callable[[bytes], object]) -> None:
    """Give a bundle's bytes to who takes it."""
    for chunk in read_slice(file, member.offset, member.size_bytes):
        sink(chunk)
