"""Keeps, in both daemons, since when each alarm stands, and tells each that begins or ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from frontgate import clock
from frontgate.journal import Journal, Reader
from frontgate.log import get_logger
from frontgate.model.unit import Directory
from frontgate.pipeline.alarms import alarms, note

log = get_logger()


class AlarmWatch:
    """`turn` is the body of a loop. live: what the daemon answers to `status`."""

    LOOK_S = 30.0

    def __init__(
        self,
        role: str,
        journal: Journal,
        live: Callable[[], dict[str, Any]],
        directory: Callable[[], Directory | None],
    ) -> None:
        self._role = role
        self._journal = journal
        self._reader: Reader = journal.reader()
        self._live = live
        self._directory = directory

    def turn(self) -> float | None:
        """Write only where something began or ended."""
        found = alarms(self._role, self._reader, self._live(), clock.now(), self._directory())
        known = {str(r[0]) for r in self._reader.all("SELECT id FROM alarm")}
        present = {alarm.id for alarm in found}
        if known != present:
            with self._journal.write() as tx:
                note(tx, found)
            for ident in sorted(present - known):
                log.warning("alarm-raised", alarm=ident)
            for ident in sorted(known - present):
                log.info("alarm-cleared", alarm=ident)
        return self.LOOK_S
