"""Connections to one destination: made when needed, thrown away when they fail, waited for in turn.

A gateway has several connections to the same hub (small, large, fetch). Whether the hub can be
reached at all is one question, so the wait between tries to connect is one for all of them, and
one of them tries. A connection that breaks while it carries something concerns that one alone, and
counts as the first failure again whenever it carried something: a line that breaks every minute
still gets on. All waits are jittered, so that many gateways do not come back in one wave.

A permanent refusal (wrong host key, login refused) waits the longest step at once, stays visible as
trouble, and is tried again by itself: whoever mends it has nothing to do here.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import datetime

from frontgate import clock
from frontgate.core.backoff import delay_s
from frontgate.errors import TransportError
from frontgate.log import get_logger
from frontgate.transports import Transport

log = get_logger()

Connect = Callable[[], Transport]
BUSY_S = 0.2
"""Another connection is trying: look again after this long."""


class Patience:
    """How long to wait before the next try. Not for two threads at once."""

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self.failures = 0
        self._until = 0.0

    def left_s(self) -> float:
        """Seconds until the next try may begin, 0 if now."""
        return max(0.0, self._until - clock.monotonic())

    def failed(self, error: TransportError, *, moved_bytes: int = 0) -> None:
        self.failures = 1 if moved_bytes else self.failures + 1
        wait_s = delay_s(
            self.failures if error.is_transient else 32,
            first_s=self._first_s,
            most_s=self._most_s,
            luck=random.random(),  # noqa: S311 (jitter, not a secret)
        )
        self._until = clock.monotonic() + wait_s

    def reset(self) -> None:
        self.failures = 0
        self._until = 0.0


class Destination:
    """What all connections to one peer share: whether it can be reached, and who tries."""

    def __init__(self, *, first_s: float, most_s: float) -> None:
        self._patience = Patience(first_s, most_s)
        self._lock = threading.Lock()
        self._trying = False
        self.trouble: TransportError | None = None

    def connect(self, connect: Connect) -> Transport | float:
        """Try, if it is time and no other tries after a failure. Returns: the connection, or the
        seconds to wait. Raises: TransportError.
        """
        with self._lock:
            left = self._patience.left_s()
            if left > 0:
                return left
            is_probe = self._patience.failures > 0
            if is_probe and self._trying:
                return BUSY_S
            self._trying = self._trying or is_probe
        try:
            transport = connect()
        except TransportError as error:
            with self._lock:
                self._patience.failed(error)
                self._say(error)
            raise
        finally:
            with self._lock:
                self._trying = False
        with self._lock:
            self._patience.reset()
            if self.trouble is not None:
                log.info("destination-back", code=self.trouble.code)
            self.trouble = None
        return transport

    def left_s(self) -> float:
        with self._lock:
            return self._patience.left_s()

    def try_now(self) -> None:
        """Something changed: do not wait out the back-off."""
        with self._lock:
            self._patience.reset()

    def _say(self, error: TransportError) -> None:
        if self.trouble is None or self.trouble.code != error.code:
            log.warning(
                "destination-away",
                code=error.code,
                is_transient=error.is_transient,
                text=error.message("en"),
                advice=error.text.advice_en,
                detail=error.detail,
            )
        self.trouble = error


class Link:
    """One connection of one loop. Not for two threads at once; `trouble` may be read by any."""

    def __init__(
        self, connect: Connect, destination: Destination, *, first_s: float, most_s: float
    ) -> None:
        self._connect = connect
        self._destination = destination
        self._patience = Patience(first_s, most_s)
        self._transport: Transport | None = None
        self._broke: TransportError | None = None
        self.connected_at: datetime | None = None

    @property
    def broke(self) -> TransportError | None:
        """Why this connection's own last work failed; None once something went well."""
        return self._broke

    @property
    def trouble(self) -> TransportError | None:
        """Why it does not work now; None while it does, or was not needed yet."""
        return self._broke or (self._destination.trouble if self._transport is None else None)

    def transport(self) -> Transport | float:
        """The open connection, or the seconds until it may be tried again.

        Raises: TransportError where the try failed now; the next call tells how long to wait.
        """
        if self._transport is None:
            left = self._patience.left_s()
            if left > 0:
                return left
            made = self._destination.connect(self._connect)
            if isinstance(made, float):
                return made
            self._transport = made
            self.connected_at = clock.now()
        return self._transport

    def succeeded(self) -> None:
        """A piece of work is done: the connection is good."""
        self._patience.reset()
        self._broke = None

    def noted(self, error: TransportError) -> None:
        """The connection is good, but something on the other side is not: shown as trouble."""
        if self._broke is None or self._broke.code != error.code:
            log.warning("link-trouble", code=error.code, text=error.message("en"))
        self._broke = error

    def failed(self, error: TransportError) -> float:
        """Drop the connection. Returns: seconds to wait before the next try."""
        if self._transport is None:
            # It was not even made: the destination knows, and waits for all of its connections.
            return max(self._destination.left_s(), BUSY_S)
        moved = self._transport.moved_bytes
        self.close()
        if self._broke is None or self._broke.code != error.code:
            log.warning(
                "link-down",
                code=error.code,
                text=error.message("en"),
                moved_bytes=moved,
                detail=error.detail,
            )
        self._broke = error
        self._patience.failed(error, moved_bytes=moved)
        return self._patience.left_s()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None
            self.connected_at = None
