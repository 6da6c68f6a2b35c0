"""A gateway behind an air gap: what waits for the hub onto a medium, what came on one into the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from frontgate import clock
from frontgate.core.lifecycle import Transfer, TransferEvent
from frontgate.core.routing import HUB
from frontgate.gateway.inbound import Inbound
from frontgate.journal import bundles, transfers
from frontgate.pipeline import dispatch
from frontgate.pipeline.archive import Node
from frontgate.pipeline.dispatch import Lane
from frontgate.pipeline.medium import Waiting, feed, read_medium, write_medium
from frontgate.pipeline.parcel import Manifest
from frontgate.pipeline.segments import SegmentStore
from frontgate.pipeline.take import take
from frontgate.trust.store import TrustStore
from frontgate.values import asdict


class GatewayMedium:
    """The two acts, for the control socket."""

    def __init__(
        self,
        node: Node,
        store: SegmentStore,
        inbound: Inbound,
        trust: Callable[[], TrustStore],
        members: int,
    ) -> None:
        self._node = node
        self._store = store
        self._inbound = inbound
        self._trust = trust
        self._lanes = (Lane(False, members), Lane(True))

    def write(self, request: dict[str, Any]) -> dict[str, Any]:
        """All that waits for the hub. again: also what was sent and is not answered."""
        journal = self._node.journal
        if request.get("again"):
            self._send_again()
        written: list[bundles.Outgoing] = []
        done = write_medium(
            self._node,
            f"hub:{self._trust().directory.hub}",
            Path(request["target"]),
            self._waiting(written),
            HUB,
            now=clock.now(),
        )
        for outgoing in written:
            dispatch.sent(journal, outgoing, clock.now())
        return asdict(done)

    def _waiting(self, written: list[bundles.Outgoing]) -> Iterator[Waiting]:
        journal = self._node.journal
        reader = journal.reader()
        try:
            unfinished = bundles.composed(reader, HUB)
        finally:
            reader.close()
        composed = (
            outgoing
            for lane in self._lanes
            for outgoing in iter(
                lambda lane=lane: dispatch.compose(journal, HUB, lane, clock.now()),  # type: ignore[misc]
                None,
            )
        )
        for outgoing in (*unfinished, *composed):
            written.append(outgoing)
            yield Waiting(
                f"{outgoing.bundle_id}.bundle",
                outgoing.size_bytes,
                lambda o=outgoing: dispatch.open_bundle(journal, self._store, o),  # type: ignore[misc]
            )

    def _send_again(self) -> None:
        with self._node.journal.write() as tx:
            for row in transfers.in_state(tx, Transfer.SENT, destination_prefix=HUB):
                transfers.apply(tx, row.transfer_id, TransferEvent.RECEIPT_OVERDUE)

    def read(self, request: dict[str, Any]) -> dict[str, Any]:
        """Take in what the hub wrote. What was taken before changes nothing."""

        def judge(manifest: Manifest) -> None:
            control = manifest.control
            self._trust().judge_hub(control.certificate, control.issued_at)

        journal = self._node.journal
        new = 0
        with Path(request["source"]).open("rb") as file:
            manifest, found, _ = read_medium(file, journal.node, judge)
            reader = journal.reader()
            try:
                for member in found:
                    if bundles.is_taken(reader, HUB, member.name.removesuffix(".bundle")):
                        continue
                    taken = take(
                        self._store,
                        member.name,
                        lambda sink, m=member: feed(file, m, sink),  # type: ignore[misc]
                        now=clock.now(),
                    )
                    self._inbound.take(taken)
                    new += 1
            finally:
                reader.close()
        with journal.write() as tx:
            tx.event("medium-read", digest=manifest.digest, bundles=len(found), new=new)
        return {"bundles": len(found), "new": new, "digest": manifest.digest}
