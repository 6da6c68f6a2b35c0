"""A hub with units behind an air gap: what waits for one onto a medium, what came on one into its mailbox."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from frontgate import clock, durable
from frontgate.errors import KeepError, RoutingError
from frontgate.hub.mailboxes import ACCOUNT, BUNDLE_NAME, Mailbox, Mailboxes
from frontgate.pipeline.archive import Node
from frontgate.pipeline.medium import Waiting, feed, read_medium, write_medium
from frontgate.pipeline.parcel import Manifest
from frontgate.trust.store import TrustStore
from frontgate.values import asdict

_GATEWAY = re.compile(r"gateway:([0-9X]{11})")


class HubMedium:
    """The two acts, for the control socket."""

    def __init__(
        self,
        node: Node,
        mailboxes: Mailboxes,
        trust: Callable[[], TrustStore],
        wake_intake: Callable[[], None],
    ) -> None:
        self._node = node
        self._mailboxes = mailboxes
        self._trust = trust
        self._wake_intake = wake_intake

    def _mailbox(self, unit: str) -> Mailbox:
        known = self._trust().directory.units.get(unit)
        if known is None:
            raise KeepError("FG-KEP-009", what=unit)
        return self._mailboxes.of_account(known.account)

    def write(self, request: dict[str, Any]) -> dict[str, Any]:
        """All bundles that wait in a unit's mailbox. They stay until its answer names them."""
        mailbox = self._mailbox(str(request.get("unit", "")))

        def waiting() -> Iterator[Waiting]:
            for path in sorted(mailbox.from_hub.iterdir()):
                if BUNDLE_NAME.fullmatch(path.name) and path.is_file():
                    yield Waiting(path.name, path.stat().st_size, lambda p=path: p.open("rb"))  # type: ignore[misc]

        done = write_medium(
            self._node,
            f"gateway:{mailbox.unit}",
            Path(request["target"]),
            waiting(),
            ACCOUNT + mailbox.account,
            now=clock.now(),
        )
        return asdict(done)

    def read(self, request: dict[str, Any]) -> dict[str, Any]:
        """Put what a gateway wrote into its own mailbox, as its upload would have."""
        sender: list[Mailbox] = []

        def judge(manifest: Manifest) -> None:
            match = _GATEWAY.fullmatch(manifest.about.get("node", ""))
            if match is None:
                raise RoutingError("FG-RTE-012", value=manifest.about.get("node", ""), account="")
            control = manifest.control
            self._trust().judge(control.certificate, control.issuer, control.issued_at)
            sender.append(self._mailbox(match[1]))
            if self._mailbox(control.issuer).account != sender[0].account:
                raise RoutingError("FG-RTE-012", value=control.issuer, account=sender[0].account)

        with Path(request["source"]).open("rb") as file:
            manifest, found, taken = read_medium(file, self._node.journal.node, judge)
            (mailbox,) = sender
            for member in found:
                final = mailbox.to_hub / member.name
                part = mailbox.to_hub / f".{member.name}.medium"
                durable.unlink(part)
                with durable.open_new(part) as out:
                    feed(file, member, out.write)
                    durable.publish(part, final, out)
        gone = 0
        for path in sorted(mailbox.from_hub.iterdir()):
            if BUNDLE_NAME.fullmatch(path.name) and path.name.removesuffix(".bundle") in taken:
                durable.unlink(path)
                gone += 1
        durable.fsync_dir(mailbox.from_hub)
        with self._node.journal.write() as tx:
            tx.event(
                "medium-read", digest=manifest.digest, bundles=len(found), account=mailbox.account
            )
        self._wake_intake()
        return {"bundles": len(found), "fetched": gone, "digest": manifest.digest}
