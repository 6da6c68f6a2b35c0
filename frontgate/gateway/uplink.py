"""The gateway's side of the wire: sending what waits, fetching what came.

Sending: one loop for small packages, one for large ones, each with a connection of its own, so
that a large upload never holds up a small message. Fetching: one loop with the bell. Every
bundle is journaled before its first byte leaves, and an entry of `/from-hub/` is removed only after
it is durable here and judged.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from frontgate import clock
from frontgate.core.backoff import delay_s
from frontgate.core.routing import HUB
from frontgate.errors import FrontgateError, TransportError
from frontgate.gateway.inbound import Inbound
from frontgate.journal import Journal, Reader, bundles, transfers
from frontgate.pipeline import dispatch
from frontgate.pipeline.dispatch import Lane
from frontgate.pipeline.segments import SegmentStore
from frontgate.pipeline.take import take
from frontgate.transports import Transport

log = structlog.get_logger()

Connect = Callable[[], Transport]


class Link:
    """A connection that is made when needed and thrown away when it fails.

    Between failed tries it waits with back-off and jitter; a permanent refusal (wrong host key,
    login refused) waits the longest step at once, and stays visible as trouble.
    """

    def __init__(self, connect: Connect, *, first_s: float, most_s: float) -> None:
        self._connect = connect
        self._first_s = first_s
        self._most_s = most_s
        self._transport: Transport | None = None
        self._failures = 0
        self.trouble: TransportError | None = None
        self.connected_at: datetime | None = None

    def transport(self) -> Transport:
        """The open connection. Raises: TransportError."""
        if self._transport is None:
            self._transport = self._connect()
            self.connected_at = clock.now()
        return self._transport

    def succeeded(self) -> None:
        self._failures = 0
        self.trouble = None

    def failed(self, error: TransportError) -> float:
        """Drop the connection. Returns: seconds to wait before the next try."""
        self.close()
        self._failures += 1
        if self.trouble is None or self.trouble.code != error.code:
            log.warning("link-down", code=error.code, text=error.message("en"), detail=error.detail)
        self.trouble = error
        failures = self._failures if error.is_transient else 32
        return delay_s(
            failures,
            first_s=self._first_s,
            most_s=self._most_s,
            luck=random.random(),  # noqa: S311
        )

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None
            self.connected_at = None


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
    ) -> None:
        self._journal = journal
        self._reader: Reader = journal.reader()
        self._store = store
        self.link = link
        self._lane = lane
        self._fail = fail
        self._is_stopping = is_stopping

    def turn(self) -> float | None:
        """Send all that waits. Returns: when to try again after a failure, else None."""
        if not self._has_work():
            return self._next_due()
        try:
            while not self._is_stopping():
                transport = self.link.transport()
                outgoing = self._unfinished() or dispatch.compose(
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
        now_ms = int(clock.now().timestamp() * 1000)
        if transfers.due(self._reader, HUB, now_ms=now_ms, large=self._lane.large, limit=1):
            return True
        if self._unfinished() is not None:
            return True
        return not self._lane.large and dispatch.has_small(self._reader, HUB)

    def _next_due(self) -> float | None:
        due_ms = transfers.next_due(self._reader, HUB)
        if due_ms is None:
            return None
        return max(0.05, due_ms / 1000 - clock.now().timestamp())

    def _unfinished(self) -> bundles.Outgoing | None:
        for outgoing in bundles.composed(self._reader, HUB):
            if dispatch.is_large(outgoing) == self._lane.large:
                return outgoing
        return None

    def _send(self, transport: Transport, outgoing: bundles.Outgoing) -> None:
        went = dispatch.ship(
            self._journal,
            self._store,
            outgoing,
            lambda name, source: transport.put(name, source, source.size_bytes),
            self._fail,
        )
        if not went:
            return
        log.info(
            "bundle-sent",
            bundle=outgoing.bundle_id,
            members=len(outgoing.members),
            size_bytes=outgoing.size_bytes,
        )


class Fetcher:
    """Downloads from the hub. `turn` is the body of a loop."""

    def __init__(
        self,
        journal: Journal,
        store: SegmentStore,
        link: Link,
        inbound: Inbound,
        is_stopping: Callable[[], bool],
        may_take: Callable[[], bool],
    ) -> None:
        self._journal = journal
        self._reader: Reader = journal.reader()
        self._store = store
        self.link = link
        self._inbound = inbound
        self._is_stopping = is_stopping
        self._may_take = may_take

    def turn(self) -> float | None:
        """Take everything that waits, then wait for the bell a while."""
        if not self._may_take():
            return 5.0
        try:
            transport = self.link.transport()
            for entry in transport.entries():
                if self._is_stopping():
                    return 0.0
                self._take(transport, entry.name)
            self.link.succeeded()
            transport.wait(1.0)
        except TransportError as error:
            return self.link.failed(error)
        return 0.0

    def _take(self, transport: Transport, name: str) -> None:
        bundle_id = name.removesuffix(".bundle")
        if not bundles.is_taken(self._reader, HUB, bundle_id):
            now = clock.now()
            taken = take(self._store, name, lambda sink: transport.get(name, sink), now=now)
            self._inbound.take(taken)
            log.info("bundle-taken", bundle=bundle_id, members=len(taken.members))
        transport.remove(name)
