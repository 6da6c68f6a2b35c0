"""Looks and acts go into the audit chain before they are shown or done.

The hub is the one writer of the journal. What pages of the same moment want recorded goes to it in
one request and becomes one durable transaction, so a busy console costs the exchange few of them.
Fails closed: `ConsoleError` FG-CON-004 where the hub does not answer.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from frontgate.errors import ConsoleError
from frontgate.log import get_logger

log = get_logger()

MOST = 400
PATIENCE_S = 10.0

Ask = Callable[[dict[str, Any]], dict[str, Any] | None]
Entry = tuple[str, Mapping[str, str]]


@dataclass(slots=True)
class _Ticket:
    entries: Sequence[Entry]
    done: threading.Event = field(default_factory=threading.Event)
    is_kept: bool = False


class Recorder:
    """One thread that hands batches over. ask: the hub's control socket, None where it is silent."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._queue: queue.SimpleQueue[_Ticket] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def record(self, entries: Sequence[Entry]) -> None:
        """Return once all of them are durable. Raises: ConsoleError FG-CON-004."""
        ticket = _Ticket(entries)
        self._queue.put(ticket)
        if not ticket.done.wait(PATIENCE_S) or not ticket.is_kept:
            raise ConsoleError("FG-CON-004")

    def _run(self) -> None:
        while True:
            tickets = [self._queue.get()]
            count = len(tickets[0].entries)
            while count < MOST:
                try:
                    ticket = self._queue.get_nowait()
                except queue.Empty:
                    break
                tickets.append(ticket)
                count += len(ticket.entries)
            is_kept = self._hand_over([e for t in tickets for e in t.entries])
            for ticket in tickets:
                ticket.is_kept = is_kept
                ticket.done.set()

    def _hand_over(self, entries: Sequence[Entry]) -> bool:
        request = {
            "act": "record",
            "entries": [{"kind": kind, "data": dict(data)} for kind, data in entries],
        }
        try:
            reply = self._ask(request)
        except (OSError, ValueError) as error:
            log.warning("not-recorded", entries=len(entries), error=str(error))
            return False
        if reply is None or not reply.get("ok"):
            log.warning("not-recorded", entries=len(entries), reply=reply and reply.get("code"))
            return False
        return True
