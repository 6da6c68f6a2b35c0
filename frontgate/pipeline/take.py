"""Taking a bundle: copied while hashed into a file of our own, then judged member by member.

The copy is the archive's segment. An open handle of the other side cannot reach it, and what is
judged later is what was hashed here.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from datetime import datetime
from typing import BinaryIO

from frontgate import bundle
from frontgate.errors import BundleError, ContainerError, FrontgateError, SignatureError, XmlError
from frontgate.pipeline.segments import CHUNK, OpenSegment, SegmentStore
from frontgate.seal import Package, open_package
from frontgate.transports import RESUME_BLOCK
from frontgate.undo import on_failure
from frontgate.values import Struct


class Taken(Struct, frozen=True):
    """A bundle that is durable here. path: of its segment. error: why its structure is no good."""

    bundle_id: str
    path: str
    size_bytes: int
    members: tuple[bundle.Located, ...]
    error: FrontgateError | None = None


def take(
    store: SegmentStore,
    name: str,
    fetch: Callable[[Callable[[bytes], object]], object],
    *,
    now: datetime,
) -> Taken:
    """Copy one bundle and make it durable.

    name: `<BundleId>.bundle`. fetch: calls its argument with the bundle's bytes in order, and may
    raise: then nothing is kept. A bundle whose structure or id does not hold is kept too (damaged
    input is set aside, never deleted), with `error` set and without members.
    """
    bundle_id = name.removesuffix(".bundle")
    segment = store.new(now)
    taker = bundle.BundleTaker(segment.file)
    error: FrontgateError | None = None
    members: tuple[bundle.Located, ...] = ()
    with on_failure(segment.abandon):
        fetch(_Tolerant(taker, segment).write)
        try:
            members = taker.finish()
            if not bundle.check_id(bundle_id, members):
                error, members = BundleError("FG-BND-010", name=name), ()
        except BundleError as fault:
            error = fault
    path = segment.relative_path
    size = segment.publish()
    return Taken(bundle_id, path, size, members, error)


class Taking:
    """A bundle that comes over a line that breaks: what came is kept and the rest is asked for.

    Within one process it goes on at the exact byte; after a restart at the last whole block that is
    on the disk, which is read and parsed again. Pieces of several tries are one bundle only if the
    whole has the digests that its name carries: else all of it is thrown away and fetched anew.
    """

    def __init__(self, store: SegmentStore, name: str, *, now: datetime) -> None:
        """name: `<BundleId>.bundle`."""
        self.name = name
        self._segment = store.partial(name, now)
        self._taker = bundle.BundleTaker(_Discard())  # type: ignore[arg-type]
        self._error: BundleError | None = None
        self.offset = 0
        self._feed_again()
        self._is_resumed = self.offset > 0

    def _feed_again(self) -> None:
        file = self._segment.file
        have = os.fstat(file.fileno()).st_size
        keep = max(0, have - RESUME_BLOCK) // RESUME_BLOCK * RESUME_BLOCK
        file.truncate(keep)
        file.seek(0)
        while chunk := file.read(CHUNK):
            self._parse(chunk)
            self.offset += len(chunk)

    def _parse(self, data: bytes) -> None:
        if self._error is None:
            try:
                self._taker.write(data)
            except BundleError as error:
                self._error = error

    def write(self, data: bytes) -> None:
        """The next bytes. Raises: OSError, after which only `abandon` is left."""
        self._segment.file.write(data)
        self.offset += len(data)
        self._parse(data)

    def resumed(self) -> None:
        """The bytes from now on come from another try than those before."""
        self._is_resumed = self.offset > 0

    def finish(self) -> Taken | None:
        """Make it durable. Returns: None if it was pieced together and does not hold: it is gone,
        to be fetched from its beginning. A bundle that came in one piece and does not hold is kept
        with `error` set: damaged input is set aside, never deleted.
        """
        bundle_id = self.name.removesuffix(".bundle")
        error: FrontgateError | None = self._error
        members: tuple[bundle.Located, ...] = ()
        try:
            members = self._taker.finish() if error is None else ()
        except BundleError as fault:
            error = fault
        if error is None and not bundle.check_id(bundle_id, members):
            error, members = BundleError("FG-BND-010", name=self.name), ()
        if error is not None and self._is_resumed:
            self.abandon()
            return None
        path = self._segment.relative_path
        size = self._segment.publish()
        return Taken(bundle_id, path, size, members, error)

    def close(self) -> None:
        """Keep what came for another time."""
        self._segment.file.close()

    def abandon(self) -> None:
        """Throw away what came."""
        self._segment.abandon()


SMALL_BYTES = 256 << 10
"""A package up to this is read whole: a bundle's 64 members stay below 16 MiB."""


class _Discard:
    def write(self, data: bytes) -> int:
        return len(data)


class _Tolerant:
    """Feeds the taker until it objects, then only copies: the damaged bytes are kept whole."""

    def __init__(self, taker: bundle.BundleTaker, segment: OpenSegment) -> None:
        self._taker = taker
        self._segment = segment
        self._failed = False

    def write(self, data: bytes) -> None:
        if self._failed:
            self._segment.file.write(data)
            return
        try:
            self._taker.write(data)
        except BundleError:
            self._failed = True


class Opened(Struct, frozen=True):
    """A member that is a sealed package: opened and verified, or the reason why not."""

    member: bundle.Located
    package: Package | None
    error: FrontgateError | None = None


def open_member(
    store: SegmentStore, path: str, segment: BinaryIO, member: bundle.Located
) -> Opened:
    """Open and verify the sealed package in a member: container, integrity, seal.

    segment: the file of `path`, open for reading. A small package is read from it whole: one read
    instead of one for each record and part; a large one gets a handle of its own.
    Whether its certificate may speak for the sender is the caller's question.
    """
    if member.size_bytes <= SMALL_BYTES:
        segment.seek(member.offset)
        file: BinaryIO = io.BytesIO(segment.read(member.size_bytes))
        offset = 0
    else:
        file, offset = store.open(path), member.offset
    try:
        package = open_package(file, offset=offset, length=member.size_bytes)
        package.verify()
    except (ContainerError, XmlError, SignatureError) as error:
        file.close()
        return Opened(member, None, error)
    return Opened(member, package)
