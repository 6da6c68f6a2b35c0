"""What the console and the command line ask of the running hub: to keep looks and acts in the audit
chain, and to change a unit's status. The hub is the one writer of the journal and the one holder of its
key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from frontgate.errors import InternalError
from frontgate.hub.admin import Administration
from frontgate.journal import Journal
from frontgate.settings import HubSettings

MOST = 500
"""So many entries a request."""
_KIND = re.compile(r"(console|cli)-[a-z-]{2,30}")
_LONGEST = 400

Handler = Callable[[dict[str, Any]], dict[str, Any]]


def handlers(settings: HubSettings, journal: Journal) -> dict[str, Handler]:
    """For the control socket: `record` and `unit-status`."""

    def record(request: dict[str, Any]) -> dict[str, Any]:
        return {"seq": keep(journal, request["entries"][: MOST + 1])}

    def unit_status(request: dict[str, Any]) -> dict[str, Any]:
        """Suspend, revoke or restore a unit. The act is in the chain before it is done."""
        unit, status = str(request["unit"]), str(request["status"])
        administration = Administration(settings)
        administration.known(unit)
        with journal.write() as tx:
            tx.event(
                "unit-status",
                unit=unit,
                status=status,
                actor=str(request["actor"]),
                approver=str(request.get("approver", "")),
                reason=str(request["reason"]),
            )
        changed = administration.set_status(unit, status)
        return {"unit": changed.code, "status": changed.status}

    return {"record": record, "unit-status": unit_status}


def keep(journal: Journal, entries: Sequence[dict[str, Any]]) -> int:
    """Put looks and acts into the chain, all in one durable transaction.

    entries: [{kind: console-… or cli-…, data: {name: text}}]. Returns: the number of the last.
    """
    read = [_entry(e) for e in entries]
    if len(read) > MOST:
        raise InternalError("FG-INT-001", what="record")
    with journal.write() as tx:
        seq = 0
        for kind, data in read:
            seq, _ = tx.event(kind, **data)
    return seq


def _entry(entry: dict[str, Any]) -> tuple[str, dict[str, str]]:
    kind = str(entry["kind"])
    if not _KIND.fullmatch(kind):
        raise InternalError("FG-INT-001", what="record")
    return kind, {str(k)[:40]: str(v)[:_LONGEST] for k, v in dict(entry["data"]).items()}
