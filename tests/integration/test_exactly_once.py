"""Repeats in every form and at every node: the first outcome again, byte for byte, and no second effect."""

import hashlib
import io
import os
import shutil
import time
import zipfile
from pathlib import Path

import pytest
from keeping import CaseSoftware, counts
from province import POLICE, PROCURATORATE, Province, message, wait_for

from frontgate import bundle

ADMITTED = "SELECT count(*) FROM package WHERE state = 'ADMITTED'"
REPEATED = "SELECT count(*) FROM package WHERE state = 'DUPLICATE'"
HANDED = "SELECT count(DISTINCT message_id) FROM receipt WHERE kind = 'handed-over'"
FILES = {
    "提请批准逮捕书.pdf": b"a" * 24000,
    "电子卷宗.pdf": b"b" * 60000,
    "拘留证.pdf": b"c" * 4800,
}
MINE = "what,name,theirs,standard\nfield,,LeiXing,m:MessageType\ncode,m:Urgency,normal,1\n"


def zipped(text: str, files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("message.xml", text)
        for name, data in files.items():
            archive.writestr(f"files/{name}", data)
    return out.getvalue()


def first_receipts(province: Province) -> list[tuple[object, ...]]:
    return province.query(
        POLICE,
        "SELECT receipt_id, digest FROM receipt WHERE kind <> 'submission-rejected' ORDER BY id",
    )


@pytest.mark.timeout(300)
def test_the_same_content_in_any_form_is_the_same_message(tmp_path: Path) -> None:
    """Folder, ZIP, XML; before and after a restart; with the hub away and back."""
    province = Province(tmp_path)
    province.start(POLICE)
    plain = message(ref="plain")
    rich = message("arrest-request/submit", ref="rich")
    # Repeats while the first is still under way: nobody can reach the hub.
    province.drop(POLICE, "a.xml", plain)
    province.drop(POLICE, "b.zip", zipped(plain, {}))
    province.drop_folder(POLICE, "c", plain, {})
    province.drop_folder(POLICE, "d", rich, FILES)
    province.drop(POLICE, "e.ZIP", zipped(rich, FILES))
    assert wait_for(lambda: counts(province, POLICE, REPEATED) == 3, 60), (
        province.log(POLICE), province.rejected(POLICE),
    )  # fmt: skip
    assert counts(province, POLICE, ADMITTED) == 2
    province.start("hub", PROCURATORATE)
    software = CaseSoftware(province.spool(PROCURATORATE))
    assert wait_for(lambda: counts(province, POLICE, HANDED) == 2, 60), province.log("hub")
    first = first_receipts(province)
    assert len(first) == 8
    province.kill(POLICE)
    province.start(POLICE)
    province.drop_folder(POLICE, "f", plain, {})
    province.drop_folder(POLICE, "g", rich, FILES)
    assert wait_for(lambda: counts(province, POLICE, REPEATED) == 5, 60), province.log(POLICE)
    other = {**FILES, "拘留证.pdf": b"d" * 4800}
    province.drop(POLICE, "h.zip", zipped(rich, other))
    assert "FG-RTE-011" in province.outcome(POLICE, "h.zip")
    time.sleep(1)
    assert first_receipts(province) == first
    software.stop()
    assert len(software.taken) == len(set(software.taken)) == 2
    province.stop()


@pytest.mark.timeout(300)
def test_a_dialect_and_the_standard_form_are_told_apart_and_repeats_are_not(tmp_path: Path) -> None:
    """Through a dialect the same drop is the same message, after a restart as well."""
    province = Province(tmp_path)
    home = tmp_path / POLICE
    (home / "dialect").mkdir()
    (home / "dialect/dialect.toml").write_text('name = "acme"\nversion = "7"\n')
    (home / "dialect/mapping.csv").write_text(MINE, "utf-8")
    path = home / "gateway.toml"
    path.write_text(path.read_text().replace("[[unit]]", '[[unit]]\ndialect = "dialect"', 1))
    province.start()
    software = CaseSoftware(province.spool(PROCURATORATE))
    text = message(ref="spoken").replace("m:MessageType>", "LeiXing>")
    text = text.replace("<m:Urgency>1", "<m:Urgency>normal")
    province.drop(POLICE, "a.xml", text)
    assert wait_for(lambda: counts(province, POLICE, HANDED) == 1, 60), province.log("hub")
    first = first_receipts(province)
    province.drop(POLICE, "b.zip", zipped(text, {}))
    assert wait_for(lambda: counts(province, POLICE, REPEATED) == 1, 30), province.rejected(POLICE)
    province.kill(POLICE)
    province.start(POLICE)
    province.drop_folder(POLICE, "c", text, {})
    assert wait_for(lambda: counts(province, POLICE, REPEATED) == 2, 60), province.log(POLICE)
    province.drop(POLICE, "d.xml", text.replace("变更强制措施", "另一理由"))
    assert "FG-RTE-011" in province.outcome(POLICE, "d.xml")
    assert first_receipts(province) == first
    software.stop()
    assert len(software.taken) == 1
    province.stop()


@pytest.mark.timeout(300)
def test_bundles_and_packages_that_come_again_change_nothing_at_hub_and_receiver(
    tmp_path: Path,
) -> None:
    """The very bundle again, and its package in a bundle of its own, at both hops."""
    province = Province(tmp_path)
    province.start("hub", POLICE)
    up = tmp_path / "hub/sftp" / f"u{POLICE.lower()}" / "to-hub"
    down = tmp_path / "hub/sftp" / f"u{PROCURATORATE.lower()}" / "from-hub"
    province.drop(POLICE, "a.xml", message(ref="a"))
    with_package = lambda: [p for p in down.glob("*.bundle") if ".asice" in _names(p)]  # noqa: E731
    assert wait_for(with_package, 60), province.log("hub")
    (placed,) = with_package()
    kept = tmp_path / placed.name
    shutil.copy(placed, kept)
    province.start(PROCURATORATE)
    software = CaseSoftware(province.spool(PROCURATORATE))
    assert wait_for(lambda: counts(province, POLICE, HANDED) == 1, 60), province.log("hub")
    first = first_receipts(province)
    at_hub = province.query("hub", "SELECT receipt_id FROM receipt ORDER BY id")
    package = _package(kept)
    again = _bundle(9_999_999_999_000_001, package)
    for folder in (down, up):
        for name, data in ((kept.name, kept.read_bytes()), again):
            part = folder / f".{name}.part"
            part.write_bytes(data)
            part.rename(folder / name)
            assert wait_for(lambda f=folder, n=name: not (f / n).exists(), 60), name
    repeats = "SELECT count(*) FROM event WHERE kind IN ('repeat', 'bundle-repeat')"
    assert wait_for(lambda: counts(province, "hub", repeats) >= 2, 30), province.log("hub")
    time.sleep(2)
    assert first_receipts(province) == first
    assert province.query("hub", "SELECT receipt_id FROM receipt ORDER BY id") == at_hub
    software.stop()
    assert len(software.taken) == 1
    for name in ("hub", PROCURATORATE):
        assert counts(province, name, ADMITTED) == 1
    province.stop()


def _names(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ""
    return data.decode("latin-1")


def _package(path: Path) -> tuple[str, bytes]:
    data = path.read_bytes()
    for member in bundle.scan_bundle(io.BytesIO(data)):
        if member.name.endswith(".asice"):
            return member.name, data[member.offset : member.offset + member.size_bytes]
    raise AssertionError(os.fspath(path))


def _bundle(sequence: int, package: tuple[str, bytes]) -> tuple[str, bytes]:
    name, data = package
    member = bundle.Member(name, len(data), hashlib.sha256(data).hexdigest())
    body = bundle.member_header(member) + data + bundle.member_padding(len(data)) + bundle.TRAILER
    return f"{bundle.bundle_id(sequence, [member])}.bundle", body
