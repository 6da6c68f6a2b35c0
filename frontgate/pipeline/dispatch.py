"""Composing bundles for a destination and settling what became of them.

One bundle takes what has gathered: at most `members` small packages, or one large one alone, with
the receipts and control messages that wait for the same destination. Members and order are
journaled before the first byte leaves, so that a broken upload is continued with the same bytes.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from frontgate import bundle, clock
from frontgate.core.lifecycle import Transfer, TransferEvent
from frontgate.errors import FrontgateError, JournalError
from frontgate.journal import (
    Journal,
    Reader,
    Tx,
    bundles,
    packages,
    queues,
    receipts,
    resync,
    transfers,
)
from frontgate.pipeline.segments import CHUNK, Composite, SegmentStore
from frontgate.seal.receipts import write_list

LARGE_BYTES = 4 << 20
"""From this size on a package travels alone, so that small ones never wait for it."""
MOST_RECEIPTS = 512
GATHER_S = 0.25
"""So long a hub lets receipts for a unit wait for others, unless something goes there anyway: its own for a
package and the receiver's, which follows, are then one upload to fetch instead of two (ADR 0020).
"""
MOST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Lane:
    """Small packages share bundles; each large one has its own. served: by destination, which sender
    had the last turn."""

    large: bool
    members: int = 64
    served: dict[str, str] = field(default_factory=dict, compare=False)


def compose(
    journal: Journal, destination: str, lane: Lane, now: datetime
) -> bundles.Outgoing | None:
    """Put what waits for `destination` into a new bundle, in one transaction; None if nothing does."""
    with journal.write(now) as tx:
        # Who asked for what it lost is told its receipts before it gets a package.
        rows: list[transfers.Row] = []
        if not resync.holds_packages(tx, destination):
            rows, lane.served[destination] = queues.fair_due(
                tx,
                destination,
                now_ms=tx.now_ms,
                large=lane.large,
                limit=1 if lane.large else lane.members,
                after=lane.served.get(destination, ""),
            )
        members: list[bundles.OutMember] = []
        seen: set[int] = set()
        riding: list[transfers.Row] = []
        total = 0
        behind: set[str] = set()
        for row in rows:
            if row.flow_uid and row.flow_uid in behind:
                continue
            if row.failures and riding:
                # Refused once before: it travels alone, so that it holds up no other; but what
                # follows it in its own flow stays behind it.
                behind.add(row.flow_uid)
                continue
            if row.package_id not in seen:
                place = packages.place(tx, row.package_id)
                assert place is not None, "a queued transfer has its package"
                if members and total + place.size_bytes > MOST_BYTES:
                    break
                total += place.size_bytes
                seen.add(row.package_id)
                members.append(
                    bundles.OutMember(
                        f"{row.message_id}.asice", place.size_bytes, place.digest, row.package_id
                    )
                )
            riding.append(row)
            if row.failures:
                break
        extra, small = _extra(tx, destination, lane, riding)
        if not riding and not small:
            return None
        sequence = tx.next_number("bundle", tx.floor)
        members.extend(small.members)
        name = bundle.bundle_id(sequence, [_plain(m) for m in members])
        outgoing = bundles.Outgoing(
            name,
            destination,
            sequence,
            tuple(members),
            extra,
            bundle.size_of(_plain(m) for m in members),
        )
        bundles.add_out(tx, outgoing)
        for row in riding:
            transfers.apply(tx, row.transfer_id, TransferEvent.START, bundle_id=name)
        receipts.assign(tx, destination, small.receipts, name)
        bundles.assign_controls(tx, small.controls, name)
        tx.event(
            "bundle",
            bundle=name,
            destination=destination,
            packages=len(seen),
            receipts=len(small.receipts),
            controls=len(small.controls),
        )
        return outgoing


@dataclass(slots=True)
class _Small:
    members: list[bundles.OutMember]
    receipts: list[int]
    controls: list[int]

    def __bool__(self) -> bool:
        return bool(self.members)


def _extra(
    tx: Tx, destination: str, lane: Lane, riding: Iterable[transfers.Row]
) -> tuple[bytes, _Small]:
    """The receipt list and control messages that ride along, as bytes and as members."""
    small = _Small([], [], [])
    pieces: list[bytes] = []
    waiting = receipts.waiting_with(
        tx, destination, [row.message_id for row in riding], 0 if lane.large else MOST_RECEIPTS
    )
    at = 0
    if waiting:
        groups: dict[int, tuple[bytes, list[bytes]]] = {}
        for kept in waiting:
            groups.setdefault(kept.signature_id, (kept.signature, []))[1].append(kept.xml)
            small.receipts.append(kept.row_id)
        data = write_list(groups.values())
        small.members.append(_small_member("0001-receipts.xml", data, at))
        pieces.append(data)
        at += len(data)
    if not lane.large:
        for row, name, xml in bundles.waiting_controls(tx, destination):
            small.members.append(_small_member(name, xml, at))
            small.controls.append(row)
            pieces.append(xml)
            at += len(xml)
    return b"".join(pieces), small


def _small_member(name: str, data: bytes, at: int) -> bundles.OutMember:
    return bundles.OutMember(name, len(data), hashlib.sha256(data).hexdigest(), None, at)


def _plain(member: bundles.OutMember) -> bundle.Member:
    return bundle.Member(member.name, member.size_bytes, member.digest)


def has_small(source: Reader, destination: str) -> bool:
    """Whether receipts or control messages wait for `destination`."""
    return destination in receipts.waiting_destinations(
        source
    ) or destination in bundles.control_destinations(source)


def is_large(outgoing: bundles.Outgoing) -> bool:
    """Whether a composed bundle belongs to the lane of large packages."""
    return any(m.package_id is not None and m.size_bytes > LARGE_BYTES for m in outgoing.members)


def open_bundle(journal: Journal, store: SegmentStore, outgoing: bundles.Outgoing) -> Composite:
    """The bundle's bytes as one seekable file: headers made here, packages read where they lie."""
    pieces: list[bytes | tuple[str, int, int]] = []
    for member in outgoing.members:
        pieces.append(bundle.member_header(_plain(member)))
        if member.package_id is None:
            at = member.extra_offset
            pieces.append(outgoing.extra[at : at + member.size_bytes])
        else:
            place = packages.place(journal.look, member.package_id)
            assert place is not None
            pieces.append((place.path, place.offset, place.size_bytes))
        pieces.append(bundle.member_padding(member.size_bytes))
    pieces.append(bundle.TRAILER)
    return Composite(store.root, [p for p in pieces if p])


def ship(
    journal: Journal,
    store: SegmentStore,
    outgoing: bundles.Outgoing,
    put: Callable[[str, Composite], None],
    fail: Callable[[Sequence[transfers.Row], FrontgateError], None],
) -> bool:
    """Hand a composed bundle over and settle it. Returns: whether it went.

    put: makes the bytes durable on the other side under that name. A package whose own bytes are
    gone or changed here fails by itself: `fail` ends its transfers with a signed reason, the others
    wait for a new bundle. Raises: what `put` raises.
    """
    rows = transfers.of_bundle(journal.look, outgoing.bundle_id)
    bad = damaged(journal, store, outgoing) if any(row.failures for row in rows) else {}
    if not bad:
        try:
            source = open_bundle(journal, store, outgoing)
            try:
                put(f"{outgoing.bundle_id}.bundle", source)
            finally:
                source.close()
        except JournalError:
            bad = damaged(journal, store, outgoing)
            if not bad:
                raise
    if not bad:
        sent(journal, outgoing, clock.now())
        return True
    for package_id, why in bad.items():
        fail([row for row in rows if row.package_id == package_id], why)
    dissolve(journal, outgoing)
    return False


def damaged(
    journal: Journal, store: SegmentStore, outgoing: bundles.Outgoing
) -> dict[int, JournalError]:
    """Packages of a bundle whose stored bytes are no longer those that were journaled.

    Raises: OSError for what may pass, as too many open files.
    """
    found: dict[int, JournalError] = {}
    places = {
        m.package_id: packages.place(journal.look, m.package_id)
        for m in outgoing.members
        if m.package_id is not None
    }
    for package_id, place in places.items():
        assert place is not None
        sha = hashlib.sha256()
        left = place.size_bytes
        try:
            with store.open(place.path) as file:
                file.seek(place.offset)
                while left and (chunk := file.read(min(CHUNK, left))):
                    sha.update(chunk)
                    left -= len(chunk)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EIO, errno.ENOTDIR):
                raise
            found[package_id] = JournalError("FG-JRN-006", path=place.path, detail=str(error))
            continue
        if sha.hexdigest() != place.digest:
            found[package_id] = JournalError(
                "FG-JRN-006", path=place.path, detail="its bytes have changed"
            )
    return found


def dissolve(journal: Journal, outgoing: bundles.Outgoing) -> None:
    """Take a bundle apart that never arrived: what it held waits for a new one."""
    with journal.write() as tx:
        for row in transfers.of_bundle(tx, outgoing.bundle_id):
            if row.state is Transfer.SENDING:
                transfers.apply(tx, row.transfer_id, TransferEvent.LEASE_LOST)
        receipts.travel_again(tx, outgoing.destination, outgoing.bundle_id)
        bundles.release_controls(tx, outgoing.bundle_id)
        bundles.drop(tx, outgoing.bundle_id)
        tx.event("bundle-dissolved", bundle=outgoing.bundle_id, destination=outgoing.destination)


def sent(journal: Journal, outgoing: bundles.Outgoing, now: datetime) -> None:
    """The other side has the bundle durably."""
    with journal.write(now) as tx:
        _sent(tx, outgoing.destination, outgoing.bundle_id)


def was_there(tx: Tx, destination: str, bundle_id: str) -> None:
    """The other side answered a bundle: where that is news, its upload is done after all."""
    if bundles.is_composed(tx, destination, bundle_id):
        _sent(tx, destination, bundle_id)


def _sent(tx: Tx, destination: str, bundle_id: str) -> None:
    for row in transfers.of_bundle(tx, bundle_id):
        if row.state is Transfer.SENDING:
            transfers.apply(tx, row.transfer_id, TransferEvent.DELIVERED)
    bundles.controls_sent(tx, bundle_id)
    bundles.mark_sent(tx, bundle_id)
    tx.event("bundle-sent", bundle=bundle_id, destination=destination)
