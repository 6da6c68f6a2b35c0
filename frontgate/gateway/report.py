"""What a running gateway says of itself: to its administrator (`status`), and to the hub (`facts`).

Nothing is changed by asking.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from frontgate import __version__
from frontgate.errors import FrontgateError, said
from frontgate.gateway.link import Destination, Link
from frontgate.gateway.rounds import Rounds
from frontgate.gateway.stations import Posts
from frontgate.journal import Reader, transfers
from frontgate.pipeline.disk import DiskGate, Reserve
from frontgate.pipeline.issue import Issuer
from frontgate.pipeline.loop import Crew
from frontgate.pipeline.resync import shown
from frontgate.spool import trash
from frontgate.spool.watch import Watcher
from frontgate.transports.directory import DirectoryPeer
from frontgate.trust.store import TrustStore, certificate_days
from frontgate.values import Struct


class Report(Struct, frozen=True):
    """The parts that are asked. device: the way over a gap device, where there is one."""

    reader: Reader
    state: Path
    trust: Callable[[], TrustStore]
    posts: Posts
    issuers: Mapping[str, Issuer]
    crew: Crew
    rounds: Rounds
    gate: DiskGate
    reserve: Reserve
    watcher: Watcher
    destination: Destination
    links: Mapping[str, Link]
    device: DirectoryPeer | None

    def facts(self) -> dict[str, str]:
        """For the heartbeat: what the hub should know of this gateway."""
        return {
            "free_bytes": str(shutil.disk_usage(self.state).free),
            "oldest_open": transfers.oldest_open(self.reader),
            "certificate_days": str(self._certificate_days()),
            "intake_open": str(int(self.gate.is_open())),
            "directory": str(self.trust().directory.version),
            "troubles": " ".join(sorted(e.code for e in self.troubles().values())),
        }

    def _certificate_days(self) -> int:
        return min(certificate_days(i.signer.certificate) for i in self.issuers.values())

    def troubles(self) -> dict[str, FrontgateError]:
        """Everything that is wrong now, by where."""
        found: dict[str, FrontgateError] = {**self.crew.troubles, **self.posts.troubles()}
        found.update({name: link.broke for name, link in self.links.items() if link.broke})
        if self.destination.trouble is not None:
            found["hub"] = self.destination.trouble
        for error in self.device.ferry.troubles if self.device else ():
            found[f"carry-{error.code[-3:]}"] = error
        return found

    def status(self, _: dict[str, Any]) -> dict[str, Any]:
        """The live half of `frontgate status`."""
        troubles = self.troubles()
        return {
            "pid": os.getpid(),
            "version": __version__,
            "directory": self.trust().directory.version,
            "intake_open": self.gate.is_open() and not self.rounds.paused,
            "read_only": self.gate.is_read_only(),
            "paused": sorted(self.rounds.paused),
            "reserve_held": self.reserve.is_held,
            "resync": shown(self.reader),
            "certificate_days": self._certificate_days(),
            "links": {
                name: {
                    "since": link.connected_at.isoformat() if link.connected_at else "",
                    "trouble": link.trouble.code if link.trouble else "",
                }
                for name, link in self.links.items()
            },
            "troubles": {name: error.code for name, error in troubles.items()},
            "said": {name: said(error) for name, error in troubles.items()},
            "carry": self.device.ferry.status() if self.device else {},
            "waiting": {post.key: post.sweeper.waiting() for post in self.posts.posts},
            "polled": {str(k): v for k, v in list(self.watcher.polled.items())},
            "trash": {post.key: n for post in self.posts.posts if (n := trash.count(post.paths))},
        }
