"""The members of a taken bundle: opened and kept the same way by gateway and hub.

Opening reads files and verifies signatures; it writes nothing. Keeping happens inside the one
transaction that makes the whole bundle real. A bad member is set aside; it never touches the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from frontgate.errors import FrontgateError, SignatureError
from frontgate.journal import Tx, packages, receipts
from frontgate.model.receipt import Receipt
from frontgate.pipeline.segments import SegmentStore
from frontgate.pipeline.take import Opened, Taken, open_member
from frontgate.seal.control import Control, read_control
from frontgate.seal.receipts import ReceiptGroup, read_list
from frontgate.values import Struct

MOST_LIST_BYTES = 64 << 20
"""A receipt list or control message above this is refused unread."""


class Fault(Struct, frozen=True):
    """What cannot be used, where it lies in the segment, and why."""

    name: str
    offset: int
    size_bytes: int
    error: FrontgateError


@dataclass(slots=True)
class Members:
    """One bundle, opened. Packages and receipt groups carry their own error, if they have one."""

    packages: list[Opened] = field(default_factory=list)
    groups: list[ReceiptGroup] = field(default_factory=list)
    controls: list[tuple[Control, bytes]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def close(self) -> None:
        for opened in self.packages:
            if opened.package is not None:
                opened.package.close()


def open_members(
    store: SegmentStore, taken: Taken, authorise: Callable[[Control], None]
) -> Members:
    """Open every member of a durable bundle.

    authorise: raises FrontgateError where a control message's issuer may not speak here.
    """
    found = Members()
    if taken.error is not None:
        found.faults.append(Fault(taken.bundle_id, 0, taken.size_bytes, taken.error))
    if not taken.members:
        return found
    with store.open(taken.path) as segment:
        for member in taken.members:
            try:
                if member.name.endswith(".asice"):
                    found.packages.append(open_member(store, taken.path, segment, member))
                    continue
                if member.size_bytes > MOST_LIST_BYTES:
                    raise SignatureError(
                        "FG-BND-011", size=member.size_bytes, limit=MOST_LIST_BYTES
                    )
                segment.seek(member.offset)
                data = segment.read(member.size_bytes)
                if member.name.endswith("-receipts.xml"):
                    found.groups.extend(read_list(data))
                else:
                    control = read_control(data)
                    authorise(control)
                    found.controls.append((control, data))
            except FrontgateError as error:
                found.faults.append(Fault(member.name, member.offset, member.size_bytes, error))
    return found


def set_aside(tx: Tx, peer: str, bundle_id: str, segment_id: int | None, fault: Fault) -> None:
    """Keep the trace of something unusable; its bytes stay in the segment."""
    packages.add_quarantine(
        tx,
        origin=peer,
        name=fault.name,
        segment_id=segment_id,
        offset=fault.offset,
        size_bytes=fault.size_bytes,
        code=fault.error.code,
        detail=fault.error.message("en"),
    )
    tx.event("quarantined", bundle=bundle_id, peer=peer, member=fault.name, code=fault.error.code)


def keep_receipts(
    tx: Tx,
    group: ReceiptGroup,
    package_of: Callable[[Receipt], int | None],
    refuse: Callable[[Receipt, int | None], FrontgateError | None] = lambda *_: None,
    known: Callable[[Receipt, int | None], None] = lambda *_: None,
) -> Iterator[tuple[int, Receipt, int | None]]:
    """Keep the receipts of one authorised signature. Yields: (row, receipt, package) of new ones.

    refuse: why a receipt may not be said by who signed it; such a one is not kept, only noted.
    known: told of one that was kept before: it may answer a new attempt of the same package.
    """
    signature_id = receipts.keep_signature(tx, group.signature)
    for receipt, xml, digest in group.items:
        package_id = package_of(receipt)
        error = refuse(receipt, package_id)
        if error is not None:
            set_aside(tx, receipt.issuer, "", None, Fault(receipt.receipt_id, 0, 0, error))
            continue
        row = receipts.keep(tx, receipt, xml, digest, signature_id, package_id)
        if row is None:
            known(receipt, package_id)
            continue
        tx.event(
            "receipt-got",
            kind=receipt.kind.value,
            message=receipt.message_id,
            receiver=receipt.receiver,
            issuer=receipt.issuer,
            digest=digest,
        )
        yield row, receipt, package_id
