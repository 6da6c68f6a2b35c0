"""The gateway's side of the wire: sending what waits, fetching what came.

Sending: one loop for small packages, one for large ones; fetching: one for small bundles, with the
bell, one for large ones. Each has a connection of its own, so that a large file never holds up a
small message, either way; the pace of large files can be limited by the time of day. Every bundle is
journaled before its first byte leaves, and an entry of `/from-hub/` is removed only after it is
durable here and judged. At most `MOST_WAITING` bundles lie at the hub untaken: the rest waits here,
where urgent ones still overtake.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

from frontgate import clock
from frontgate.core.routing import HUB
from frontgate.errors import FrontgateError, JournalError, TransportError
from frontgate.gateway.inbound import Inbound
from frontgate.gateway.link import Link
from frontgate.gateway.pace import Pace
from frontgate.journal import Journal, Reader, bundles, queues, transfers
from frontgate.log import get_logger
from frontgate.pipeline import dispatch
from frontgate.pipeline.dispatch import Lane
from frontgate.pipeline.segments import Composite, SegmentStore
from frontgate.pipeline.take import Taken, Taking
from frontgate.transports import Entry, Transport
from frontgate.undo import on_failure
from frontgate.values import Struct

log = get_logger()

MOST_WAITING = 64
"""Bundles that may lie untaken at the hub before no more are sent: a hub that is down behind an SFTP
server that is up must not fill its disk."""
MOST_WAITING_LARGE = 4
FULL_S = 2.0
ASK_S = 0.5
NO_LOOK_S = 5.0
"""Where nothing can be fetched for so long, a doubtful bundle is sent again: the hub recognises it."""
PENDING_S = 5.0
"""So often the fetching loop looks at what of ours the hub has not taken yet."""
LARGE_ENTRY_BYTES = dispatch.MOST_BYTES + (4 << 20)
"""A waiting bundle above this is one large package: small ones, with their receipts, stay below."""


class Sender:
    """Uploads to the hub. `turn` is the body of a loop."""

    def __init__(
        self,
        journal: Journal,
        store: SegmentStore,
        link: Link,
        lane: Lane,
        is_stopping: Callable[[], bool],
        fail: Callable[[Sequence[transfers.Row], FrontgateError], None],
        *,
        pace: Pace | None = None,
        looks: Callable[[], int] = lambda: 0,
    ) -> None:
        """pace: limits this lane. looks: how often everything that the hub has for us was taken."""
        self._journal = journal
        self._reader: Reader = journal.reader()
        self._store = store
        self.link = link
        self._lane = lane
        self._fail = fail
        self._is_stopping = is_stopping
        self._pace = pace
        self._looks = looks
        self._room = 0
        self._never_whole = ""
        self._doubt: _Doubt | None = None

    def turn(self) -> float | None:
        """Send all that waits. Returns: when to try again after a failure, else None."""
        if not self._has_work():
            self.link.succeeded()
            return self._next_due()
        try:
            while not self._is_stopping():
                if self._pace is not None and self._pace.is_paused():
                    return self._pace.LOOK_S
                transport = self.link.transport()
                if isinstance(transport, float):
                    return transport
                unfinished = self._unfinished()
                if unfinished is not None and self._may_be_there(transport, unfinished):
                    return ASK_S
                if unfinished is None and not self._has_room(transport):
                    return FULL_S
                outgoing = unfinished or dispatch.compose(
                    self._journal, HUB, self._lane, clock.now()
                )
                if outgoing is None:
                    break
                self._send(transport, outgoing)
                self.link.succeeded()
        except TransportError as error:
            return self.link.failed(error)
        return self._next_due()

    def _has_work(self) -> bool:
        now_ms = self._journal.now_ms()
        if queues.due(self._reader, HUB, now_ms=now_ms, large=self._lane.large, limit=1):
            return True
        if self._unfinished() is not None:
            return True
        return not self._lane.large and dispatch.has_small(self._reader, HUB)

    def _has_room(self, transport: Transport) -> bool:
        """Whether one more bundle may lie at the hub. Looked up once for as many as had room."""
        if self._room <= 0:
            large = self._lane.large
            waiting = sum((e.size_bytes > LARGE_ENTRY_BYTES) == large for e in transport.pending())
            self._room = (MOST_WAITING_LARGE if large else MOST_WAITING) - waiting
            if self._room <= 0:
                self.link.noted(TransportError("FG-TRN-014", count=waiting))
                return False
        self._room -= 1
        return True

    def _may_be_there(self, transport: Transport, outgoing: bundles.Outgoing) -> bool:
        """Whether a bundle of an earlier try may have been taken although its last answer was lost.

        Nothing of it is to be seen at the hub: either not a byte arrived, or it was taken already.
        Then the hub's own answer will say so (and the bundle is unfinished no more): it is waited
        for before everything is sent again.
        """
        name = f"{outgoing.bundle_id}.bundle"
        if self._never_whole == name or transport.has(name):
            return False
        now = clock.monotonic()
        if self._doubt is None or self._doubt.name != name:
            # The look that is under way may have listed before the answer came: so two.
            wait_s = _judging_s(outgoing.size_bytes) if self._lane.large else 2 * dispatch.GATHER_S
            self._doubt = _Doubt(name, self._looks() + 2, now + wait_s, now + wait_s + NO_LOOK_S)
        doubt = self._doubt
        if now < doubt.no_sooner or (self._looks() < doubt.looks and now < doubt.latest):
            return True
        self._never_whole = name
        return False

    def _next_due(self) -> float | None:
        due_ms = queues.next_due(self._reader, HUB)
        if due_ms is None:
            return None
        return max(0.05, (due_ms - self._journal.now_ms()) / 1000)

    def _unfinished(self) -> bundles.Outgoing | None:
        return next(iter(self._all_unfinished()), None)

    def _all_unfinished(self) -> list[bundles.Outgoing]:
        return [
            outgoing
            for outgoing in bundles.composed(self._reader, HUB)
            if dispatch.is_large(outgoing) == self._lane.large
        ]

    def _send(self, transport: Transport, outgoing: bundles.Outgoing) -> None:
        pace = self._pace

        def put(name: str, source: Composite) -> None:
            self._never_whole = name
            try:
                transport.put(name, pace.source(source) if pace else source, source.size_bytes)
            except TransportError as error:
                if error.params.get("what") == "rename":
                    self._never_whole = ""
                raise

        if not dispatch.ship(self._journal, self._store, outgoing, put, self._fail):
            return
        log.info(
            "bundle-sent",
            bundle=outgoing.bundle_id,
            members=len(outgoing.members),
            size_bytes=outgoing.size_bytes,
        )


class _Doubt(Struct, frozen=True):
    """Waiting for an answer about a bundle: so many looks, and these moments."""

    name: str
    looks: int
    no_sooner: float
    latest: float


def _judging_s(size_bytes: int) -> float:
    """How long a hub may need to take a bundle and answer it: hashed and verified at 20 MB/s."""
    return 10.0 + size_bytes / 20e6


class Fetcher:
    """Downloads from the hub. `turn` is the body of a loop.

    A download that breaks is kept and goes on with the next connection, or the next start.
    """

    def __init__(
        self,
        journal: Journal,
        store: SegmentStore,
        link: Link,
        inbound: Inbound,
        is_stopping: Callable[[], bool],
        may_take: Callable[[], bool],
        *,
        large: bool = False,
        wake_large: Callable[[], None] = lambda: None,
        pace: Pace | None = None,
    ) -> None:
        """large: takes what is above `LARGE_ENTRY_BYTES`, else what is below, and `wake_large` is
        called when there is something above.
        """
        self._journal = journal
        self._reader: Reader = journal.reader()
        self._store = store
        self.link = link
        self._inbound = inbound
        self._is_stopping = is_stopping
        self._may_take = may_take
        self._large = large
        self._wake_large = wake_large
        self._pace = pace
        self._taking: Taking | None = None
        self.looks = 0
        self._pending: frozenset[str] = frozenset()
        self._pending_at = -1e9

    def turn(self) -> float | None:
        """Take everything that waits; the small lane then waits for the bell a while."""
        if not self._may_take():
            return 5.0
        if self._pace is not None and self._pace.is_paused():
            return self._pace.LOOK_S
        try:
            transport = self.link.transport()
            if isinstance(transport, float):
                return transport
            entries = transport.entries()
            self._forget_others(entries)
            for entry in entries:
                if self._is_stopping():
                    return 0.0
                if (entry.size_bytes > LARGE_ENTRY_BYTES) == self._large:
                    self._take(transport, entry)
            self.link.succeeded()
            self.looks += 1
            if self._large:
                return None
            if clock.monotonic() - self._pending_at >= PENDING_S:
                self._pending = frozenset(e.name for e in transport.pending())
                self._pending_at = clock.monotonic()
            if any(entry.size_bytes > LARGE_ENTRY_BYTES for entry in entries):
                self._wake_large()
            transport.wait(1.0)
        except TransportError as error:
            return self.link.failed(error)
        except OSError as error:
            reason = errno.errorcode.get(error.errno or 0, "?")
            raise JournalError("FG-JRN-004", reason=reason, detail=str(error)) from error
        return 0.0

    def pending(self) -> frozenset[str] | None:
        """Names of our bundles that lie at the hub untaken; None if that is not known just now."""
        is_fresh = clock.monotonic() - self._pending_at < 3 * PENDING_S
        return self._pending if is_fresh else None

    def _forget_others(self, entries: Sequence[Entry]) -> None:
        """Drop the parts of downloads that the hub does not offer any more."""
        names = {entry.name for entry in entries}
        if self._taking is not None and self._taking.name not in names:
            self._taking.abandon()
            self._taking = None
        if self._large:
            self._store.drop_partials(keep=names)

    def _take(self, transport: Transport, entry: Entry) -> None:
        name = entry.name
        bundle_id = name.removesuffix(".bundle")
        if not bundles.is_taken(self._reader, HUB, bundle_id):
            taken = self._download(transport, name)
            self._inbound.take(taken)
            log.info("bundle-taken", bundle=bundle_id, members=len(taken.members))
        transport.remove(name)

    def _download(self, transport: Transport, name: str) -> Taken:
        """One bundle, durable here. Raises: TransportError, after which what came is kept."""
        while True:
            taking = self._taking
            if taking is None or taking.name != name:
                if taking is not None:
                    taking.close()
                taking = self._taking = Taking(self._store, name, now=clock.now())
            if taking.offset:
                taking.resumed()
                log.info("download-resumed", name=name, offset_bytes=taking.offset)
            sink = self._pace.sink(taking.write) if self._pace else taking.write
            # A line that breaks keeps what came. After an error of our own disk it proves nothing.
            with on_failure(self._give_up, but=(TransportError,)):
                transport.get(name, sink, taking.offset)
                taken = taking.finish()
            self._taking = None
            if taken is not None:
                return taken
            log.warning("download-again", name=name)

    def _give_up(self) -> None:
        taking, self._taking = self._taking, None
        if taking is not None:
            taking.abandon()
