"""The keeper of a node: archives and prunes by schedule, and backs up when asked.

All of it runs beside the exchange in small transactions; only one of its works is under way at a time,
so that no prune removes what a backup is about to link. The same object serves the daemon's loop, its
control socket, and the command line while no daemon runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from frontgate import clock
from frontgate.journal import timestamp
from frontgate.pipeline import archive, backup
from frontgate.pipeline.archive import Node
from frontgate.pipeline.backup import Home
from frontgate.pipeline.export import export_about
from frontgate.pipeline.prune import prune, terms
from frontgate.values import Struct, asdict

RAN = "retention-ran"
"""Meta key: when the schedule ran last."""
SETTLED_H = 24.0
"""The schedule archives what is older than this; younger things wait for the next run."""


class Rules(Struct, frozen=True):
    """Terms in days and the schedule, from the settings."""

    payload_days: float = 30.0
    sent_days: float = 30.0
    audit_days: float = 400.0
    every_h: float = 24.0
    automatic: bool = True


class Keeper:
    """`turn` is the body of a loop; `handlers` are for the control socket."""

    def __init__(
        self, node: Node, home: Home, rules: Rules, is_stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self.node = node
        self._home = home
        self._rules = rules
        self._is_stopping = is_stopping
        self._busy = threading.Lock()

    def turn(self) -> float | None:
        """Archive and prune when it is time. Returns: seconds until then."""
        if not self._rules.automatic:
            return None
        now = clock.now()
        left = self._due(now)
        if left <= 0:
            # Before the run counts: on a full disk it may take more than one try to make room.
            self.prune(now)
            with self.node.journal.write(now) as tx:
                tx.set_meta(RAN, timestamp(now))
            self.archive(now, now - timedelta(hours=SETTLED_H))
            self.prune(now)
            left = self._rules.every_h * 3600
        return left

    def _due(self, now: datetime) -> float:
        reader = self.node.journal.reader()
        try:
            ran = reader.meta(RAN)
        finally:
            reader.close()
        if ran is None:
            # A new node has nothing to archive; its first run comes after one interval.
            with self.node.journal.write(now) as tx:
                tx.set_meta(RAN, timestamp(now))
            return self._rules.every_h * 3600
        since = (now - datetime.fromisoformat(ran)).total_seconds()
        # A clock that was set back must not stop the schedule for years.
        return self._rules.every_h * 3600 - abs(since)

    def archive(self, now: datetime, until: datetime) -> list[archive.Archived]:
        """Archive all that was made before `until`, in as many files as there is room for.

        Where the disk has no room for more, what is archived is pruned before the next file.
        """
        made: list[archive.Archived] = []
        with self._busy:
            while not self._is_stopping():
                one = archive.archive_once(
                    self.node, now=now, until=until, is_stopping=self._is_stopping
                )
                if one is not None:
                    made.append(one)
                if one is None or not one.is_more:
                    break
                self._prune(now)
        return made

    def prune(self, now: datetime) -> dict[str, int]:
        """Remove what is archived and past its term."""
        with self._busy:
            return self._prune(now)

    def _prune(self, now: datetime) -> dict[str, int]:
        rules = self._rules
        over = terms(
            now,
            payload_days=rules.payload_days,
            sent_days=rules.sent_days,
            audit_days=rules.audit_days,
        )
        done = prune(
            self.node.journal, self.node.state, over, now=now, is_stopping=self._is_stopping
        )
        return {
            "segments": done.segments,
            "size_bytes": done.size_bytes,
            "events": done.events,
        }

    def backup(self, target: Path, *, as_file: bool, passphrase: bytes | None) -> backup.Made:
        """Write a backup; its begin and end are audited."""
        now = clock.now()
        signer = self.node.signer
        with self._busy:
            with self.node.journal.write(now) as tx:
                number = tx.next_number(f"control:{signer.unit}", tx.floor)
                tx.event("backup-begun", path=str(target), keys=passphrase is not None)
            made = backup.make_backup(
                self._home,
                target,
                signer,
                number=number,
                now=now,
                passphrase=passphrase,
                as_file=as_file,
                is_stopping=self._is_stopping,
            )
            with self.node.journal.write() as tx:
                tx.event("backup", path=made.path, digest=made.digest, members=made.members)
        return made

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        """The acts of this module for a daemon's control socket."""

        def do_archive(r: dict[str, Any]) -> dict[str, Any]:
            until = datetime.fromisoformat(r["until"]) if r.get("until") else clock.now()
            return {"archives": [asdict(a) for a in self.archive(clock.now(), until)]}

        def do_prune(_: dict[str, Any]) -> dict[str, Any]:
            return self.prune(clock.now())

        def do_backup(r: dict[str, Any]) -> dict[str, Any]:
            passphrase = r.get("passphrase")
            made = self.backup(
                Path(r["target"]),
                as_file=bool(r.get("as_file")),
                passphrase=passphrase.encode() if passphrase else None,
            )
            return asdict(made)

        def do_export(r: dict[str, Any]) -> dict[str, Any]:
            with self._busy:
                made = export_about(
                    self.node,
                    r["about"],
                    Path(r["target"]),
                    actor=str(r.get("actor", "")),
                    now=clock.now(),
                )
            return asdict(made)

        return {
            "archive": do_archive,
            "prune": do_prune,
            "backup": do_backup,
            "export": do_export,
        }
