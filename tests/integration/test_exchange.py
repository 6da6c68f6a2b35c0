"""Exchanges over real processes, SFTP and folders: the ways that differ from the demo's."""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from forked import command
from province import COURT, DETENTION, POLICE, PROCURATORATE, Province, message, wait_for

from frontgate.errors import all_codes


@pytest.fixture
def province(tmp_path: Path) -> Iterator[Province]:
    made = Province(tmp_path, (POLICE, PROCURATORATE, COURT))
    made.start()
    yield made
    made.stop()


def test_both_suites_exchange_with_each_other(tmp_path: Path) -> None:
    province = Province(tmp_path, suites={POLICE: "rsa-3072-sha256"})
    province.start()
    province.drop_folder(POLICE, "request", message("arrest-request/submit"))
    assert wait_for(lambda: province.entries(PROCURATORATE)), province.log(POLICE)
    province.drop_folder(PROCURATORATE, "answer", message("arrest-request/accept"))
    assert wait_for(lambda: province.entries(POLICE)), province.log(PROCURATORATE)
    province.stop()


def test_the_delivered_files_are_the_dropped_ones(province: Province) -> None:
    files = {
        "提请批准逮捕书.pdf": os.urandom(24000),
        "电子卷宗.pdf": os.urandom(60000),
        "拘留证.pdf": os.urandom(4800),
    }
    province.drop_folder(POLICE, "request", message("arrest-request/submit"), files)
    assert wait_for(lambda: province.entries(PROCURATORATE)), province.log(POLICE)
    entry = province.spool(PROCURATORATE) / "inbound" / province.entries(PROCURATORATE)[0]
    text = (entry / "message.xml").read_text("utf-8")
    for name, data in files.items():
        uid = re.search(
            rf"<m:DocUid>([^<]*)</m:DocUid>(?:(?!</m:Document>).)*{name}", text, re.DOTALL
        )
        assert uid is not None
        assert (entry / "files" / f"{uid[1]}.pdf").read_bytes() == data
    for path in (entry, entry / "files"):
        assert path.stat().st_mode & 0o7777 == 0o2770
    assert (entry / "message.xml").stat().st_mode & 0o777 == 0o660


def test_the_same_drop_again_gets_the_first_receipts_and_no_second_delivery(
    province: Province,
) -> None:
    text = message(ref="same")
    province.drop(POLICE, "one.xml", text)
    assert wait_for(lambda: any("-delivered-" in n for n in province.receipts(POLICE)))
    first = {
        n: (province.spool(POLICE) / "receipts" / n).read_bytes() for n in province.receipts(POLICE)
    }
    for name in first:
        (province.spool(POLICE) / "receipts" / name).unlink()
    time.sleep(6)  # the first files are flushed: what comes now is made again
    province.drop(POLICE, "again.xml", text)
    assert wait_for(lambda: set(province.receipts(POLICE)) >= set(first)), province.receipts(POLICE)
    for name, data in first.items():
        assert (province.spool(POLICE) / "receipts" / name).read_bytes() == data
    assert len(province.entries(PROCURATORATE)) == 1
    states = province.query(POLICE, "SELECT state FROM package ORDER BY id")
    assert states == [("ADMITTED",), ("DUPLICATE",)]


def test_the_same_id_with_other_content_is_refused(province: Province) -> None:
    text = message().replace(
        "    <m:MessageType>",
        "    <m:MessageId>11111111-1111-4111-8111-111111111111</m:MessageId>\n    <m:MessageType>",
    )
    province.drop(POLICE, "one.xml", text)
    assert wait_for(lambda: province.entries(PROCURATORATE))
    province.drop(POLICE, "two.xml", text.replace("变更强制措施", "另一理由"))
    assert "FG-RTE-011" in province.outcome(POLICE, "two.xml")


def test_a_refused_drop_may_come_again_corrected_under_its_id(province: Province) -> None:
    text = message().replace(
        "    <m:MessageType>",
        "    <m:MessageId>22222222-2222-4222-8222-222222222222</m:MessageId>\n    <m:MessageType>",
    )
    province.drop(POLICE, "a.xml", text.replace("<m:Urgency>1", "<m:Urgency>9"))
    province.outcome(POLICE, "a.xml")
    province.drop(POLICE, "b.xml", text)
    assert wait_for(lambda: province.entries(PROCURATORATE)), province.log(POLICE)


def test_a_suspended_unit_gets_a_signed_refusal(province: Province) -> None:
    province.administration.set_status(POLICE, "suspended")
    hub_knows = '"event": "directory"'
    assert wait_for(lambda: hub_knows in (province.home / "hub.log").read_text())
    time.sleep(0.6)
    province.drop(POLICE, "late.xml", message(ref="late"))
    assert wait_for(
        lambda: any("rejected" in n for n in province.receipts(POLICE) + province.rejected(POLICE))
    ), province.log("hub")
    text = "".join(
        p.read_text("utf-8", "replace")
        for folder in ("receipts", "rejected")
        for p in (province.spool(POLICE) / folder).glob("*.xml")
    )
    assert "FG-RTE-004" in text
    assert province.entries(PROCURATORATE) == []


def test_the_gateway_waits_for_an_absent_hub_and_goes_on_by_itself(tmp_path: Path) -> None:
    province = Province(tmp_path)
    province.start(POLICE, PROCURATORATE)
    for n in range(10):
        province.drop(POLICE, f"d{n}.xml", message(ref=f"w{n}"))
    assert wait_for(lambda: len(province.receipts(POLICE)) >= 10), province.log(POLICE)
    status = subprocess.run(
        [sys.executable, "-m", "frontgate", "-c", str(tmp_path / POLICE / "gateway.toml"), "--lang", "en", "status"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert status.returncode == 1
    assert "FG-TRN-001" in status.stdout
    assert "QUEUED" in status.stdout
    province.start("hub")
    assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 10, 60)
    province.stop()


def test_doctor_sends_a_signed_message_there_and_back(province: Province) -> None:
    assert wait_for((province.home / POLICE / "state" / "control.sock").exists)
    done = subprocess.run(
        [sys.executable, "-m", "frontgate", "-c", str(province.home / POLICE), "--lang", "en", "doctor"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "signed message there and back in" in done.stdout


def test_a_refused_login_is_visible_and_ends_when_admitted(province: Province) -> None:
    key = province.home / "hub" / "sftp-keys" / ("u" + POLICE.lower())
    saved = key.read_bytes()
    key.unlink()
    province.kill(POLICE)
    province.start(POLICE)
    assert wait_for(lambda: "FG-TRN-003" in province.log(POLICE))
    key.write_bytes(saved)
    province.drop(POLICE, "d.xml", message())
    assert wait_for(lambda: province.entries(PROCURATORATE), 60)


BAD = {
    "empty.xml": b"",
    "text.xml": "这不是 XML".encode(),
    "cut.xml": message().encode()[:900],
    "gbk.xml": message().replace('encoding="UTF-8"', 'encoding="GBK"').encode("gbk", "replace"),
    "utf16.xml": message().encode("utf-16"),
    "false.xml": message().encode("gbk", "replace"),
    "doctype.xml": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "bomb.xml": b'<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><l>&b;</l>',
    "deep.xml": b"<a>" * 5000 + b"</a>" * 5000,
    "other.xml": b"<x xmlns='urn:other'/>",
    "not.zip": b"PK\x03\x04 not really",
    "picture.png": b"\x89PNG",
    "sender.xml": message(Sender=PROCURATORATE).encode(),
    "version.xml": message().replace('standard="1.0"', 'standard="9.9"').encode(),
    "type.xml": message(MessageType="no-such.flow").encode(),
    "a\nb.xml": b"<a/>",
    "%s%n.xml": b"<a/>",
    "x" * 240 + ".xml": b"<a/>",
}


def test_every_bad_drop_is_answered_and_delays_no_good_one(province: Province) -> None:
    for name, data in BAD.items():
        path = province.spool(POLICE) / "outbound" / name
        path.write_bytes(data)
    outbound = os.fsencode(province.spool(POLICE) / "outbound")
    with open(os.path.join(outbound, b"\xc4\xe3\xba\xc3.xml"), "wb") as file:
        file.write(b"<a/>")
    os.symlink("/etc/passwd", os.path.join(outbound, b"link.xml"))
    os.mkfifo(os.path.join(outbound, b"pipe.xml"))
    os.mkdir(os.path.join(outbound, b"empty-folder"))
    province.drop(POLICE, "good.xml", message())
    assert wait_for(lambda: province.entries(PROCURATORATE), 60), province.log(POLICE)
    expected = len(BAD) + 4
    assert wait_for(
        lambda: sum(n.endswith(".report.txt") for n in province.rejected(POLICE)) >= expected, 40
    ), (sorted(BAD), province.rejected(POLICE))
    assert wait_for(
        lambda: sum("submission-rejected" in n for n in province.receipts(POLICE)) >= expected, 20
    )
    assert wait_for(lambda: not list((province.spool(POLICE) / "outbound").iterdir()), 10)
    known = all_codes()
    for path in (province.spool(POLICE) / "rejected").glob("*.report.txt"):
        text = path.read_bytes().decode("utf-8-sig")
        assert "\r\n" in text
        rules = re.findall(r"\[(FG-[A-Za-z0-9-]+)\]", text)
        assert rules, path
        assert all(rule in known or rule.count("-") > 2 for rule in rules), rules


def test_a_writer_that_never_renames_is_served(province: Province) -> None:
    text = message().encode()
    path = province.spool(POLICE) / "outbound" / "slow.xml"
    with path.open("wb") as file:
        for start in range(0, len(text), 200):
            file.write(text[start : start + 200])
            file.flush()
            time.sleep(0.05)
    assert wait_for(lambda: province.entries(PROCURATORATE)), province.log(POLICE)


def test_unfinished_names_are_left_alone(province: Province) -> None:
    names = ["a.tmp", "b.part", ".hidden.xml", "~$doc.xml", "c.filepart", "Thumbs.db"]
    for name in names:
        (province.spool(POLICE) / "outbound" / name).write_text("x")
    province.drop(POLICE, "good.xml", message())
    assert wait_for(lambda: province.entries(PROCURATORATE))
    time.sleep(1)
    assert sorted(p.name for p in (province.spool(POLICE) / "outbound").iterdir()) == sorted(names)


def test_done_marks_hand_over(province: Province) -> None:
    province.drop(POLICE, "d.xml", message())
    assert wait_for(lambda: province.entries(PROCURATORATE))
    entry = province.entries(PROCURATORATE)[0]
    (province.spool(PROCURATORATE) / "inbound" / f"{entry}.done").touch()
    assert wait_for(lambda: any("handed-over" in n for n in province.receipts(POLICE)))
    assert province.entries(PROCURATORATE) == []


def test_a_large_attachment_does_not_hold_up_small_messages(province: Province) -> None:
    big = os.urandom(1 << 20) * 48
    text = message("arrest-request/supplement").replace("<m:Bytes>9000", f"<m:Bytes>{len(big)}")
    province.drop_folder(POLICE, "big", text, {"证据材料卷3.pdf": big})
    time.sleep(0.5)
    province.drop(POLICE, "small.xml", message())
    assert wait_for(lambda: any(".withdraw-" in n for n in province.entries(PROCURATORATE)), 20)
    assert wait_for(
        lambda: any(".supplement-" in n for n in province.entries(PROCURATORATE)), 60
    ), province.log(POLICE)
    name = next(n for n in province.entries(PROCURATORATE) if ".supplement-" in n)
    (file,) = (province.spool(PROCURATORATE) / "inbound" / name / "files").iterdir()
    assert hashlib.sha256(file.read_bytes()).digest() == hashlib.sha256(big).digest()


def test_a_message_to_two_units_is_one_package_and_two_deliveries(tmp_path: Path) -> None:
    province = Province(tmp_path, (POLICE, PROCURATORATE, DETENTION))
    province.start()
    province.drop_folder(POLICE, "transfer", message("custody-transfer/submit"))
    assert wait_for(lambda: province.entries(DETENTION) and province.entries(PROCURATORATE)), (
        province.log("hub")
    )
    assert wait_for(lambda: sum("-delivered-" in n for n in province.receipts(POLICE)) == 2)
    province.stop()


def frontgate(province: Province, unit: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    config = str(province.home / unit / "gateway.toml")
    return command(["-c", config, "--lang", "en", *arguments])


def test_send_waits_for_every_receiver(tmp_path: Path) -> None:
    province = Province(tmp_path, (POLICE, PROCURATORATE, DETENTION))
    province.start("hub", POLICE, DETENTION)
    folder = tmp_path / "transfer"
    (folder / "files").mkdir(parents=True)
    text = message("custody-transfer/submit")
    for name, size in re.findall(
        r"<m:FileName>([^<]*)</m:FileName>.*?<m:Bytes>(\d+)", text, re.DOTALL
    ):
        (folder / "files" / name).write_bytes(b"x" * int(size))
    (folder / "message.xml").write_text(text, "utf-8")
    assert wait_for(lambda: '"started"' in province.log(POLICE))
    late = frontgate(province, POLICE, "send", str(folder), "--wait", "4")
    assert late.returncode == 4, late.stdout + late.stderr
    assert f"delivered {DETENTION}" in late.stdout
    province.start(PROCURATORATE)
    done = frontgate(province, POLICE, "send", str(folder), "--wait", "30")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"delivered {PROCURATORATE}" in done.stdout
    bad = tmp_path / "bad.xml"
    bad.write_text(text.replace("<m:Urgency>1", "<m:Urgency>9"), "utf-8")
    refused = frontgate(province, POLICE, "send", str(bad))
    assert refused.returncode == 1
    assert "FG-XSD-" in refused.stdout
    province.stop()


def receipt_texts(province: Province, unit: str, kind: str) -> list[str]:
    folder = province.spool(unit) / "receipts"
    return [p.read_text("utf-8") for p in sorted(folder.glob(f"*-{kind}*.xml"))]


def test_the_hub_holds_a_message_against_the_ledger(province: Province) -> None:
    """Paper that runs ahead is relayed and flagged; a statutory bar is refused."""
    names = "supplementary-investigation/submit", "supplementary-investigation/decide"
    province.drop_folder(POLICE, "early", message(names[1], ref="e1"))
    assert wait_for(lambda: receipt_texts(province, POLICE, "relay-accepted")), province.log("hub")
    flagged = receipt_texts(province, POLICE, "relay-accepted")[0]
    assert "FG-CTX-002" in flagged
    assert 'severity="sequence"' in flagged or "sequence" in flagged
    assert wait_for(lambda: province.entries(PROCURATORATE))
    for n in (1, 2):
        province.drop_folder(PROCURATORATE, f"round{n}", message(names[0], ref=f"s{n}"))
        assert wait_for(
            lambda n=n: len(receipt_texts(province, PROCURATORATE, "relay-accepted")) == n
        ), province.log("hub")
    assert "FG-CTX-006" in "".join(receipt_texts(province, PROCURATORATE, "relay-accepted"))
    province.drop_folder(PROCURATORATE, "round3", message(names[0], ref="s3"))
    assert wait_for(lambda: receipt_texts(province, PROCURATORATE, "relay-rejected"))
    assert "FG-CTX-013" in receipt_texts(province, PROCURATORATE, "relay-rejected")[0]
    assert wait_for(lambda: len(province.entries(POLICE)) == 2), province.log("hub")


def test_a_case_file_in_several_packages_is_listed_until_it_is_whole(province: Province) -> None:
    """网上阅卷: volumes over n of m packages, put together when all are there."""
    flow = "5f0c7d52-91c1-4a75-9a53-0e6b8d5f2a11"

    def part(number: int) -> str:
        text = message("file-reading/notify", ref=f"v{number}")
        text = text.replace("<b:PackageCount>1", "<b:PackageCount>3")
        text = text.replace("<b:PackageNo>1", f"<b:PackageNo>{number}")
        text = re.sub(r"<m:Receiver>[^<]*", f"<m:Receiver>{PROCURATORATE}", text)
        text = re.sub(r"<m:Sender>[^<]*", f"<m:Sender>{COURT}", text)
        text = re.sub(r"(?<=<m:DocUid>)\w{8}", f"0000000{number}", text)
        return text.replace(
            "    <m:SenderRef>", f"    <m:FlowUid>{flow}</m:FlowUid>\n    <m:SenderRef>", 1
        )

    for number in (1, 3):
        province.drop_folder(COURT, f"part{number}", part(number))
    assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 2), (
        province.rejected(COURT), province.log("hub"),
    )  # fmt: skip
    listed = frontgate(province, PROCURATORATE, "volumes")
    assert listed.returncode == 1, listed.stdout + listed.stderr
    assert f"{flow}  2 of 3  missing 2" in listed.stdout
    province.drop_folder(COURT, "part2", part(2))
    assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 3)
    target = province.home / "whole"
    whole = frontgate(province, PROCURATORATE, "volumes", flow, "-o", str(target))
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert f"{flow}  3 of 3  complete" in whole.stdout
    assert len(list((target / flow).iterdir())) == 6


def test_an_operator_holds_releases_and_cancels(tmp_path: Path) -> None:
    province = Province(tmp_path)
    province.start(POLICE)
    for n in range(2):
        province.drop(POLICE, f"h{n}.xml", message(ref=f"h{n}"))
    assert wait_for(lambda: len(province.receipts(POLICE)) == 2)
    first, second = (str(i) for (i,) in province.query(POLICE, "SELECT message_id FROM package"))
    for ident in (first, second):
        done = frontgate(province, POLICE, "hold", ident, "--reason", "await the case file")
        assert done.returncode == 0, done.stderr
    again = frontgate(province, POLICE, "hold", first, "--reason", "x")
    assert again.returncode == 3, again.stdout
    province.start("hub", PROCURATORATE)
    assert wait_for(lambda: "sftp-listening" in province.log("hub"))
    time.sleep(2)
    assert province.entries(PROCURATORATE) == []
    assert frontgate(province, POLICE, "release", first, "--reason", "ok").returncode == 0
    assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 1)
    ended = frontgate(province, POLICE, "cancel", second, "--reason", "误报")
    assert ended.returncode == 0, ended.stderr
    name = f"{second}.02-relay-failed.xml"
    assert wait_for(lambda: name in province.receipts(POLICE)), province.receipts(POLICE)
    text = (province.spool(POLICE) / "receipts" / name).read_text("utf-8")
    assert "FG-RTE-017" in text
    assert "误报" in text
    province.kill(POLICE)
    offline = frontgate(province, POLICE, "cancel", first, "--reason", "x")
    assert "FG-JRN-007" in offline.stderr + offline.stdout
    said = province.query(POLICE, "SELECT data FROM event WHERE kind = 'operator'")
    assert len(said) == 4
    province.stop()


def test_alarms_name_what_needs_somebody(tmp_path: Path) -> None:
    province = Province(tmp_path)
    province.start()
    assert wait_for((tmp_path / POLICE / "state" / "control.sock").exists)
    province.drop(POLICE, "d.xml", message())
    assert wait_for(lambda: province.entries(PROCURATORATE))
    quiet = frontgate(province, POLICE, "alarms")
    assert quiet.returncode == 0, quiet.stdout + quiet.stderr
    assert "No alarms" in quiet.stdout
    province.kill("hub")
    province.drop(POLICE, "e.xml", message(ref="e"))
    assert wait_for(lambda: "FG-TRN-001" in frontgate(province, POLICE, "alarms").stdout)
    province.kill(POLICE)
    down = frontgate(province, POLICE, "--json", "alarms")
    assert down.returncode == 1
    assert [a["id"] for a in json.loads(down.stdout)] == ["FG-ALM-001"]
    hub = subprocess.run(
        [sys.executable, "-m", "frontgate", "-c", str(tmp_path / "hub"), "--lang", "en", "alarms"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "FG-ALM-001" in hub.stdout
    province.stop()


def test_the_next_message_of_a_case_is_drafted_from_what_came_before(tmp_path: Path) -> None:
    province = Province(tmp_path)
    province.start()
    province.drop_folder(POLICE, "request", message("arrest-request/submit", ref="draft-1"))
    assert wait_for(lambda: province.entries(PROCURATORATE)), province.log(POLICE)
    (case,) = province.query(PROCURATORATE, "SELECT case_uid FROM package WHERE direction = 'in'")[
        0
    ]
    target = tmp_path / "next.xml"
    done = subprocess.run(
        [sys.executable, "-m", "frontgate", "-c", str(tmp_path / PROCURATORATE), "--lang", "en",
         "draft", "arrest-request.accept", "--case", str(case), "-o", str(target)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = re.findall(r"^  (/m:Message\S+)  ", done.stderr, re.MULTILINE)
    assert told, done.stderr
    text = target.read_text("utf-8")
    for path in told:  # what is left open is a result, a time and a number: the clerk's new facts
        name = path.rpartition(":")[2]
        new = {"HandlingResult": "01", "AcceptedAt": "2026-11-25T09:00:00+08:00"}.get(name, "筑1号")
        text = text.replace(f"<t:{name}/>", f"<t:{name}>{new}</t:{name}>")
    text = text.replace("<m:FileName/>", "<m:FileName>register.pdf</m:FileName>")
    text = text.replace("<m:Bytes/>", "<m:Bytes>9</m:Bytes>")
    province.drop_folder(PROCURATORATE, "accept", text)
    assert wait_for(lambda: province.entries(POLICE)), (
        province.rejected(PROCURATORATE),
        province.log(PROCURATORATE),
    )
    province.stop()
