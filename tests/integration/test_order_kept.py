"""Order within a flow holds when something in it has to wait (design 7.4)."""

import os
from pathlib import Path

import pytest
from by_hand import ByHand
from province import POLICE, PROCURATORATE

from frontgate import clock
from frontgate.core.lifecycle import TransferEvent
from frontgate.journal import transfers
from frontgate.pipeline import dispatch
from frontgate.pipeline.dispatch import Lane
from frontgate.spool import beneath

FLOW_1, FLOW_2 = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


@pytest.fixture
def by_hand(tmp_path: Path):
    made = ByHand(tmp_path)
    yield made
    made.close()


def put_into_flows(by_hand: ByHand, node: str, flows: list[str]) -> list[int]:
    """Give the transfers of `node`, in order, these flows. Returns: their ids."""
    ids = [int(str(r[0])) for r in by_hand.rows(node, "SELECT id FROM transfer ORDER BY id")]
    journal = by_hand.gateways[node].journal
    with journal.write() as tx:
        for transfer_id, flow in zip(ids, flows, strict=True):
            tx.run("UPDATE transfer SET flow_uid = ? WHERE id = ?", flow, transfer_id)
    return ids


def test_followers_stay_behind_a_package_that_was_refused_once(by_hand: ByHand) -> None:
    for _ in range(5):
        by_hand.admit()
    flows = [FLOW_2, FLOW_1, FLOW_1, FLOW_1, FLOW_2]
    ids = put_into_flows(by_hand, POLICE, flows)
    journal = by_hand.gateways[POLICE].journal
    with journal.write() as tx:
        # The second was refused once, as a damaged bundle is, and may go again.
        transfers.apply(tx, ids[1], TransferEvent.START)
        transfers.apply(tx, ids[1], TransferEvent.TRANSIENT, due_ms=0)
    order: list[list[int]] = []
    while outgoing := dispatch.compose(journal, "hub", Lane(False), clock.now()):
        reader = journal.reader()
        order.append([r.transfer_id for r in transfers.of_bundle(reader, outgoing.bundle_id)])
        reader.close()
        with journal.write() as tx:
            for transfer_id in order[-1]:
                transfers.apply(tx, transfer_id, TransferEvent.RECEIPT_ACCEPTED)
    assert order == [[ids[0], ids[4]], [ids[1]], [ids[2], ids[3]]]


def test_an_entry_that_has_to_wait_keeps_its_followers_out_of_inbound(
    by_hand: ByHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        by_hand.admit()
    by_hand.relay()
    put_into_flows(by_hand, PROCURATORATE, [FLOW_1, FLOW_1, FLOW_2, FLOW_1])
    messages = [
        str(r[0])
        for r in by_hand.rows(
            PROCURATORATE,
            "SELECT p.message_id FROM transfer t JOIN package p ON p.id = t.package_id ORDER BY t.id",
        )
    ]
    move = beneath.Folder.move
    refused: list[str] = []

    def full(self: beneath.Folder, name: str, target: beneath.Folder, new_name: str) -> None:
        if messages[1] in str(name) and not refused:
            refused.append(name)
            raise OSError(28, os.strerror(28))
        move(self, name, target, new_name)

    monkeypatch.setattr(beneath.Folder, "move", full)
    by_hand.turn(PROCURATORATE, "deliver")
    assert refused
    appeared = {name[-36:] for name in by_hand.province.entries(PROCURATORATE)}
    assert appeared == {messages[0], messages[2]}
    assert by_hand.states(PROCURATORATE, "spool:") == ["SENT", "QUEUED", "SENT", "QUEUED"]
    with by_hand.gateways[PROCURATORATE].journal.write() as tx:
        tx.run("UPDATE transfer SET due_ms = 0")
    by_hand.turn(PROCURATORATE, "deliver")
    assert {name[-36:] for name in by_hand.province.entries(PROCURATORATE)} == set(messages)
