"""Taking a bundle: copied while hashed into a file of our own, then judged member by member.

The copy is the archive's segment. An open handle of the other side cannot reach it, and what is
judged later is what was hashed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from frontgate import bundle
from frontgate.errors import BundleError, ContainerError, FrontgateError, SignatureError, XmlError
from frontgate.pipeline.segments import OpenSegment, SegmentStore
from frontgate.seal import Package, open_package


@dataclass(frozen=True, slots=True)
class Taken:
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
    try:
        fetch(_Tolerant(taker, segment).write)
        try:
            members = taker.finish()
            if not bundle.check_id(bundle_id, members):
                error, members = BundleError("FG-BND-010", name=name), ()
        except BundleError as fault:
            error = fault
    except BaseException:
        segment.abandon()
        raise
    path = segment.relative_path
    size = segment.publish()
    return Taken(bundle_id, path, size, members, error)


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


@dataclass(frozen=True, slots=True)
class Opened:
    """A member that is a sealed package: opened and verified, or the reason why not."""

    member: bundle.Located
    package: Package | None
    error: FrontgateError | None = None


def open_member(store: SegmentStore, path: str, member: bundle.Located) -> Opened:
    """Open and verify the sealed package in a member: container, integrity, seal.

    Whether its certificate may speak for the sender is the caller's question.
    """
    file = store.open(path)
    try:
        package = open_package(file, offset=member.offset, length=member.size_bytes)
        package.verify()
    except (ContainerError, XmlError, SignatureError) as error:
        file.close()
        return Opened(member, None, error)
    return Opened(member, package)
