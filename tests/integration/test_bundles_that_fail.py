"""Bundles that come damaged, messages that wait, copies that are wrong: told, and put right."""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from province import COURT, DETENTION, POLICE, PROCURATORATE, Province, message, wait_for
from unit_at_hub import UnitAtHub, header_for

from frontgate.core.identifiers import case_uid
from frontgate.model.envelope import Copy

DELAYED = "retry_first_s = 0.1\nretry_max_s = 0.5\noverdue_s = 60\ndelayed_after_s = [1, 3]\n"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Province]:
    """The hub alone is running; every unit of the test is admitted."""
    made = Province(tmp_path, (POLICE, PROCURATORATE, DETENTION, COURT))
    made.start("hub")
    assert wait_for(lambda: "sftp-listening" in made.log("hub"))
    yield made
    made.stop()


def kinds(province: Province, message_id: str) -> list[str]:
    rows = province.query(
        "hub", "SELECT kind FROM receipt WHERE message_id = ? ORDER BY id", message_id
    )
    return [str(kind) for (kind,) in rows]


def reasons(province: Province, message_id: str) -> str:
    rows = province.query("hub", "SELECT xml FROM receipt WHERE message_id = ?", message_id)
    return " ".join(bytes(xml).decode() for (xml,) in rows)  # type: ignore[arg-type]


def test_a_bundle_damaged_on_its_way_down_is_refused_and_comes_again(tmp_path: Path) -> None:
    province = Province(tmp_path)
    province.start("hub", POLICE)
    province.drop(POLICE, "d.xml", message())
    mailbox = tmp_path / "hub" / "sftp" / ("u" + PROCURATORATE.lower()) / "from-hub"
    assert wait_for(
        lambda: any(".asice" in p.read_bytes().decode("latin-1") for p in mailbox.glob("*.bundle"))
    )
    for path in mailbox.glob("*.bundle"):
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 0xFF
        path.write_bytes(data)
    province.start(PROCURATORATE)
    assert wait_for(lambda: province.entries(PROCURATORATE), 40), province.log("hub")
    refused = province.query("hub", "SELECT data FROM event WHERE kind = 'bundle-refused'")
    assert refused
    kept = province.query(PROCURATORATE, "SELECT code FROM quarantine")
    assert all(str(code).startswith("FG-BND-") for (code,) in kept)
    assert kept
    assert wait_for(lambda: any("-delivered-" in n for n in province.receipts(POLICE)))
    assert len(province.entries(PROCURATORATE)) == 1
    province.stop()


def test_a_bundle_damaged_on_its_way_up_is_refused_to_its_sender(hub: Province) -> None:
    unit = UnitAtHub(hub, POLICE)
    bundle_id, data = unit.bundle([("x.asice", b"PK" + b"\0" * 2000)])
    unit.upload(bundle_id, data[:700] + b"\1" + data[701:])
    assert wait_for(lambda: hub.query("hub", "SELECT 1 FROM quarantine"))
    (row,) = hub.query("hub", "SELECT name, code FROM quarantine")
    assert row == (bundle_id, "FG-BND-010")
    told = hub.home / "hub" / "sftp" / ("u" + POLICE.lower()) / "from-hub"
    assert wait_for(lambda: any(b"bundle-refused" in p.read_bytes() for p in told.glob("*.bundle")))


def test_receipts_that_travel_alone_are_answered(tmp_path: Path) -> None:
    province = Province(tmp_path)
    province.start()
    province.drop(POLICE, "d.xml", message())
    assert wait_for(lambda: any("-delivered-" in n for n in province.receipts(POLICE)))
    for unit in (POLICE, PROCURATORATE):
        assert wait_for(lambda u=unit: not province.query(u, "SELECT 1 FROM receipt_out"), 15)
    province.stop()


def test_a_message_that_waits_is_told_as_delayed_at_both_limits(tmp_path: Path) -> None:
    province = Province(tmp_path, relay=DELAYED)
    province.start(POLICE)
    province.drop(POLICE, "d.xml", message())
    assert wait_for(
        lambda: sum("relay-delayed" in n for n in province.receipts(POLICE)) == 2, 30
    ), province.receipts(POLICE)
    first = sorted(n for n in province.receipts(POLICE) if "relay-delayed" in n)[0]
    assert "FG-RTE-019" in (province.spool(POLICE) / "receipts" / first).read_text("utf-8")
    province.start("hub")
    assert wait_for(lambda: "relay-accepted" in " ".join(province.receipts(POLICE)))
    # The receiver's gateway is still away: now the hub tells, for that receiver.
    assert wait_for(
        lambda: (
            sum(n.endswith(f"relay-delayed-{PROCURATORATE}.xml") for n in province.receipts(POLICE))
            == 2
        ),
        30,
    ), province.receipts(POLICE)
    province.start(PROCURATORATE)
    assert wait_for(lambda: any("-delivered-" in n for n in province.receipts(POLICE)))
    assert sum("relay-delayed" in n for n in province.receipts(POLICE)) == 4
    province.stop()


def a_request(copies: tuple[Copy, ...]) -> tuple[str, object, tuple[Copy, ...]]:
    case = case_uid(2026, POLICE, 1)
    header = header_for(POLICE, PROCURATORATE, "arrest-request.withdraw", case_uid=case)
    text = message()
    ids = (
        f"    <m:MessageId>{header.message_id}</m:MessageId>\n    <m:MessageType>",
        f"</m:MessageType>\n    <m:FlowUid>{header.flow_uid}</m:FlowUid>",
    )
    text = text.replace("    <m:MessageType>", ids[0], 1).replace("</m:MessageType>", ids[1], 1)
    text = re.sub(r"<m:CaseUid>[^<]*", f"<m:CaseUid>{case}", text)
    return text, header, copies


def test_copies_that_the_standard_does_not_name_are_refused(hub: Province) -> None:
    unit = UnitAtHub(hub, POLICE)
    text, header, copied = a_request((Copy(COURT, "full"),))
    unit.send(unit.package(text, header, copied))  # type: ignore[arg-type]
    ident = header.message_id  # type: ignore[attr-defined]
    assert wait_for(lambda: kinds(hub, ident)), hub.log("hub")
    assert kinds(hub, ident) == ["relay-rejected"]
    assert "FG-RTE-014" in reasons(hub, ident)
    text, header, _ = a_request(())
    unit.send(unit.package(text, header))  # type: ignore[arg-type]
    ident = header.message_id  # type: ignore[attr-defined]
    assert wait_for(lambda: kinds(hub, ident))
    assert kinds(hub, ident) == ["relay-accepted"], reasons(hub, ident)


def test_a_member_that_is_no_package_is_answered_by_its_name(hub: Province) -> None:
    unit = UnitAtHub(hub, POLICE)
    ident = str(uuid.uuid4())
    unit.send((f"{ident}.asice", b"PK\3\4 not a package"))
    assert wait_for(lambda: kinds(hub, ident))
    assert kinds(hub, ident) == ["relay-rejected"]


@pytest.mark.parametrize("how", ["changed", "gone"])
def test_a_stored_package_that_rots_fails_alone(tmp_path: Path, how: str) -> None:
    province = Province(tmp_path)
    province.start(POLICE)
    for n in range(3):
        province.drop(POLICE, f"d{n}.xml", message(ref=f"r{n}"))
        assert wait_for(lambda n=n: len(province.receipts(POLICE)) == n + 1)
    province.kill(POLICE)
    ((path, offset, size, ident),) = province.query(
        POLICE,
        "SELECT s.path, p.offset_bytes, p.size_bytes, p.message_id FROM package p"
        " JOIN segment s ON s.id = p.segment_id WHERE p.sender_ref = 'r1'",
    )
    segment = tmp_path / POLICE / "state" / str(path)
    if how == "gone":
        segment.unlink()
    else:
        data = bytearray(segment.read_bytes())
        data[int(str(offset)) + int(str(size)) // 2] ^= 0xFF
        segment.chmod(0o600)
        segment.write_bytes(data)
    province.start()
    assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 2, 40), province.log(POLICE)
    name = f"{ident}.02-relay-failed.xml"
    assert wait_for(lambda: name in province.receipts(POLICE), 40), province.receipts(POLICE)
    assert "FG-JRN-006" in (province.spool(POLICE) / "receipts" / name).read_text("utf-8")
    assert not province.query(POLICE, "SELECT 1 FROM bundle_out WHERE state = 'composed'")
    province.stop()
