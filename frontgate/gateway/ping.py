"""A signed ping to the hub and its signed echo: is the whole way there and back alive?"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lxml import etree

from frontgate import clock
from frontgate.core.routing import HUB
from frontgate.errors import TransportError
from frontgate.journal import Journal
from frontgate.model.message import CONTROL_MAP, CONTROL_NS
from frontgate.pipeline import answers
from frontgate.pipeline.issue import Issuer
from frontgate.seal.control import Control

KIND = "ping"
LONGEST_S = 20.0


class Ping:
    """Asked by the control socket's thread, told of echoes by the fetcher's."""

    def __init__(self, journal: Journal, issuer: Issuer, wake_senders: Callable[[], None]) -> None:
        self._journal = journal
        self._issuer = issuer
        self._wake_senders = wake_senders
        self._echoes: dict[str, float] = {}

    def came(self, control: Control) -> None:
        """An echo, whose signature was verified."""
        self._echoes[control.body.get("number", "")] = clock.monotonic()

    def ask(self, _: dict[str, Any]) -> dict[str, Any]:
        """Send a ping and wait for its echo. Returns: milliseconds.

        Raises: TransportError FG-TRN-012 without an echo in `LONGEST_S`.
        """
        began = clock.monotonic()
        with self._journal.write() as tx:
            body = etree.Element(f"{{{CONTROL_NS}}}Ping", nsmap=CONTROL_MAP)
            number = answers.send_control(tx, HUB, self._issuer, KIND, body)
        self._wake_senders()
        while clock.monotonic() - began < LONGEST_S:
            at = self._echoes.pop(str(number), None)
            if at is not None:
                return {"ms": int((at - began) * 1000)}
            time.sleep(0.02)
        raise TransportError("FG-TRN-012")
