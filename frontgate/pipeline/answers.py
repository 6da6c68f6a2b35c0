"""Signed answers about bundles as a whole: taken, refused, and the echo of a ping.

A package is answered by its receipt. What carries none must be answered too, or the other side could
not tell a bundle that was taken from one that was lost with a machine: until then its receipts wait.
"""

from __future__ import annotations

from collections.abc import Sequence

from lxml import etree

from frontgate.core.backoff import delay_s
from frontgate.core.lifecycle import TransferEvent
from frontgate.errors import FrontgateError
from frontgate.journal import Tx, bundles, receipts, transfers
from frontgate.model.message import CONTROL_MAP, CONTROL_NS
from frontgate.pipeline import dispatch
from frontgate.pipeline.issue import Issuer
from frontgate.seal.control import Control, write_control

TAKEN = "bundle-taken"
REFUSED = "bundle-refused"
_TOLD = ("FG-BND-013",)
"""Refusals whose own reason is told; any other says that the bundle came damaged."""
MOST_BUNDLES = 1000
"""Most bundles named in one answer."""


def send_control(tx: Tx, destination: str, issuer: Issuer, kind: str, body: etree._Element) -> int:
    """Sign a control message and queue it. Returns: its number."""
    number = tx.next_number(f"control:{issuer.unit}", tx.floor)
    xml = write_control(kind, number, issuer.unit, tx.now, body, issuer.signer)
    bundles.add_control(tx, destination, f"{number:010d}-{kind}.ctl.xml", xml)
    return number


def echo(tx: Tx, peer: str, issuer: Issuer, ping: Control) -> None:
    """Answer a ping with its own number: the whole way there and back works."""
    send_control(tx, peer, issuer, "ping", _body("Echo", number=str(ping.number)))


def confirm_bundles(tx: Tx, peer: str, issuer: Issuer, bundle_ids: Sequence[str]) -> None:
    """Tell the other side that these bundles are durable here."""
    body = _body("Taken")
    for bundle_id in bundle_ids:
        etree.SubElement(body, f"{{{CONTROL_NS}}}Bundle").text = bundle_id
    send_control(tx, peer, issuer, TAKEN, body)


def refuse_bundle(tx: Tx, peer: str, issuer: Issuer, bundle_id: str, error: FrontgateError) -> None:
    """Tell the other side that a bundle came damaged: its bytes are set aside, nothing was taken."""
    body = _body("Refused", code=error.code)
    etree.SubElement(body, f"{{{CONTROL_NS}}}Bundle").text = bundle_id
    send_control(tx, peer, issuer, REFUSED, body)


def settle(tx: Tx, peer: str, control: Control) -> None:
    """Apply such an answer about our own bundles to `peer`; other kinds are left alone.

    Refused: its packages are queued again with back-off and its receipts travel again, in new
    bundles. A bundle that was not sent to this peer is none of its business and changes nothing.
    """
    if control.kind not in (TAKEN, REFUSED):
        return
    for node in control.body.iterchildren(f"{{{CONTROL_NS}}}Bundle"):
        bundle_id = (node.text or "").strip()
        # It speaks of a bundle whose upload was never answered: so that came to its end.
        dispatch.was_there(tx, peer, bundle_id)
        if not bundles.was_sent_to(tx, peer, bundle_id):
            continue
        if control.kind == TAKEN:
            receipts.answered(tx, peer, bundle_id)
            continue
        code = control.body.get("code", "")[:20]
        tx.event("bundle-refused", bundle=bundle_id, peer=peer, code=code)
        receipts.travel_again(tx, peer, bundle_id)
        for row in transfers.of_bundle(tx, bundle_id):
            wait_s = delay_s(row.failures + 1, first_s=5.0, most_s=3600.0, luck=0.5)
            transfers.apply(
                tx,
                row.transfer_id,
                TransferEvent.TRANSIENT,
                reason=code if code in _TOLD else "FG-BND-012",
                due_ms=tx.now_ms + int(wait_s * 1000),
            )


def _body(name: str, **attributes: str) -> etree._Element:
    body = etree.Element(f"{{{CONTROL_NS}}}{name}", nsmap=CONTROL_MAP)
    for key, value in attributes.items():
        body.set(key, value)
    return body
