"""A unit with valid keys and bad intent: it harms nobody but itself."""

import io
import os
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lxml import etree
from province import DETENTION, POLICE, PROCURATORATE, Province, message, wait_for
from unit_at_hub import UnitAtHub

from frontgate.model.message import CONTROL_MAP, CONTROL_NS
from frontgate.model.receipt import Kind, Reason, Receipt
from frontgate.seal.control import write_control


@pytest.fixture
def province(tmp_path: Path) -> Iterator[Province]:
    """Police and procuratorate at work; the detention centre's keys are in the tester's hands."""
    made = Province(tmp_path, (POLICE, PROCURATORATE, DETENTION))
    made.start("hub", POLICE, PROCURATORATE)
    assert wait_for(lambda: "sftp-listening" in made.log("hub"))
    yield made
    made.stop()


def exchange(province: Province, ref: str) -> str:
    """One message police → procuratorate, to its end. Returns: its MessageId."""
    had = len(province.entries(PROCURATORATE))
    province.drop(POLICE, f"{ref}.xml", message(ref=ref))
    assert wait_for(lambda: len(province.entries(PROCURATORATE)) == had + 1), province.log("hub")
    return province.entries(PROCURATORATE)[-1][-36:]


def forged(kind: Kind, message_id: str, **fields: str) -> Receipt:
    values = {"issuer": DETENTION, "issuer_node": "gateway", "sender": POLICE, **fields}
    return Receipt(
        receipt_id=str(uuid.uuid4()),
        kind=kind,
        event_time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        message_id=message_id,
        reasons=(Reason("FG-RTE-015", "假", "false"),) if kind.is_negative else (),
        **values,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Kind.DELIVERED, {"receiver": DETENTION}),
        (Kind.DELIVERY_FAILED, {"receiver": DETENTION}),
        (Kind.DELIVERY_FAILED, {"receiver": PROCURATORATE}),
        (Kind.HANDED_OVER, {"receiver": DETENTION}),
        (Kind.RELAY_FAILED, {}),
        (Kind.RELAY_ACCEPTED, {}),
        (Kind.RELAY_ACCEPTED, {"issuer_node": "hub"}),
        (Kind.SUBMISSION_ACCEPTED, {}),
        (Kind.DELIVERED, {"receiver": PROCURATORATE, "issuer": PROCURATORATE}),
    ],
)
def test_nobody_speaks_for_others_messages(
    province: Province, kind: Kind, fields: dict[str, str]
) -> None:
    message_id = exchange(province, "f")
    assert wait_for(lambda: any("-delivered-" in n for n in province.receipts(POLICE)))
    before = province.query("hub", "SELECT id FROM receipt ORDER BY id")
    unit = UnitAtHub(province, DETENTION)
    unit.send(unit.receipts(forged(kind, message_id, **fields)))
    assert wait_for(lambda: province.query("hub", "SELECT 1 FROM quarantine")), province.log("hub")
    ((code,),) = province.query("hub", "SELECT code FROM quarantine")
    # Who it says it is from, then what it may say: not a time, not a form.
    assert code in ("FG-RTE-012", "FG-RTE-021", "FG-TRU-003"), code
    assert province.query("hub", "SELECT id FROM receipt ORDER BY id") == before
    exchange(province, "after")
    assert not [n for n in province.receipts(POLICE) if DETENTION in n or "failed" in n]


def test_a_folder_or_link_among_the_uploads_holds_up_nobody(province: Province) -> None:
    to_hub = province.home / "hub" / "sftp" / ("u" + DETENTION.lower()) / "to-hub"
    first, second = "0" * 16 + "-" + "a" * 64, "0" * 16 + "-" + "b" * 64
    os.mkdir(to_hub / f"{first}.bundle")
    os.symlink("/etc/passwd", to_hub / f"{second}.bundle")
    os.mkfifo(to_hub / f"{'0' * 16}-{'c' * 64}.bundle")
    exchange(province, "x")
    unit = UnitAtHub(province, DETENTION)
    bundle_id = unit.send((f"{uuid.uuid4()}.asice", b"PK"))
    assert wait_for(
        lambda: province.query("hub", "SELECT 1 FROM bundle_in WHERE bundle_id = ?", bundle_id)
    )


def test_damaged_bundles_of_one_unit_hold_up_no_other(province: Province) -> None:
    unit = UnitAtHub(province, DETENTION)
    good = unit.bundle([("x.asice", b"PK")])[1]
    for n, data in enumerate(
        (b"", b"\0" * 1024, good[:-1], good + b"x", os.urandom(70_000), good[:512] * 2000)
    ):
        unit.upload(f"{n:016d}-{'d' * 64}", data)
    exchange(province, "y")
    assert wait_for(lambda: len(province.query("hub", "SELECT 1 FROM quarantine")) == 6)


def test_a_unit_sees_and_reaches_its_own_folders_only(province: Province) -> None:
    from frontgate.errors import TransportError
    from frontgate.transports.sftp import connect_sftp

    unit = UnitAtHub(province, DETENTION)
    other = f"/../u{POLICE.lower()}/to-hub/{'0' * 16}-{'e' * 64}"
    transport = connect_sftp(unit.peer)
    try:
        with pytest.raises(TransportError):
            transport.put(f"..{other}.bundle", io.BytesIO(b"x"), 1)
    finally:
        transport.close()
    mailbox = province.home / "hub" / "sftp" / ("u" + POLICE.lower())
    assert not [p for p in mailbox.rglob("*") if "e" * 64 in p.name]


def test_the_shared_folders_cannot_be_turned_against_the_gateway(province: Province) -> None:
    """The case software may write where the gateway writes: FIFOs, folders and links wait there."""
    text = message(ref="trap")
    first = exchange(province, "one")
    receipts = province.spool(POLICE) / "receipts"
    assert wait_for(lambda: any(first in n for n in province.receipts(POLICE)))
    ident = str(uuid.uuid4())
    text = text.replace(
        "    <m:MessageType>", f"    <m:MessageId>{ident}</m:MessageId>\n    <m:MessageType>", 1
    )
    name = f"{ident}.01-submission-accepted.xml"
    os.mkfifo(receipts / f".{name}.tmp")
    (receipts / f"{ident}.02-relay-accepted.xml").mkdir()
    (receipts / f"{ident}.02-relay-accepted.xml" / "x").touch()
    province.drop(POLICE, "trap.xml", text)
    assert wait_for(
        lambda: (
            {name, f"{ident}.02-relay-accepted.xml"} <= set(province.receipts(POLICE))
            and (receipts / f"{ident}.02-relay-accepted.xml").is_file()
        )
    ), province.log(POLICE)
    assert re.search(r"<Receipt ", (receipts / name).read_text("utf-8"))
    assert wait_for(lambda: any(ident in n for n in province.entries(PROCURATORATE)))
    exchange(province, "two")


def test_a_number_beyond_all_bounds_stops_nobody_else(province: Province) -> None:
    """Validly signed, well formed, and of no use: set aside and refused, the hub goes on."""
    unit = UnitAtHub(province, DETENTION)
    body = etree.Element(f"{{{CONTROL_NS}}}Heartbeat", nsmap=CONTROL_MAP)
    xml = write_control("heartbeat", 10**30, DETENTION, datetime.now(UTC), body, unit.signer)
    bundle_id = unit.send(("0000000001-heartbeat.ctl.xml", xml))
    exchange(province, "n")
    assert wait_for(
        lambda: province.query("hub", "SELECT 1 FROM quarantine WHERE name = ?", bundle_id)
    )


def test_a_folder_dropped_again_with_other_content_is_refused(province: Province) -> None:
    ident = str(uuid.uuid4())
    text = message("arrest-request/supplement", ref="s").replace(
        "    <m:MessageType>", f"    <m:MessageId>{ident}</m:MessageId>\n    <m:MessageType>", 1
    )
    province.drop_folder(POLICE, "first", text)
    assert wait_for(lambda: len(province.receipts(POLICE)) >= 1)
    other = {"证据材料卷3.pdf": b"y" * 9000}
    province.drop_folder(POLICE, "second", text, other)
    assert "FG-RTE-011" in province.outcome(POLICE, "second")
