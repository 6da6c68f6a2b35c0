"""How a message lies in `inbound/`, and which of a unit's programs gets it."""

import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from province import POLICE, PROCURATORATE, Province, message, wait_for

from frontgate.seal import open_package


def set_option(province: Province, unit: str, line: str, table: str = "[[unit]]") -> None:
    path = province.home / unit / "gateway.toml"
    text = path.read_text("utf-8")
    assert table in text
    path.write_text(text.replace(table, f"{table}\n{line}", 1), "utf-8")


@pytest.mark.parametrize("form", ["zip", "sealed"])
def test_delivered_as_one_file(tmp_path: Path, form: str) -> None:
    province = Province(tmp_path)
    set_option(province, PROCURATORATE, f'delivered_form = "{form}"')
    province.start()
    text = message("arrest-request/submit")
    province.drop_folder(POLICE, "request", text)
    assert wait_for(lambda: province.entries(PROCURATORATE)), province.log(PROCURATORATE)
    (name,) = province.entries(PROCURATORATE)
    path = province.spool(PROCURATORATE) / "inbound" / name
    assert path.stat().st_mode & 0o777 == 0o660
    if form == "zip":
        assert name.endswith(".zip")
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert "message.xml" in archive.namelist()
            assert sum(n.startswith("files/") for n in archive.namelist()) == 3
    else:
        assert name.endswith(".asice")
        package = open_package(io.BytesIO(path.read_bytes()), offset=0, length=path.stat().st_size)
        package.verify()
        assert package.envelope.header.sender == POLICE
        verified = subprocess.run(
            [sys.executable, "-m", "frontgate", "verify", str(path)],
            capture_output=True,
            check=False,
        )
        assert verified.returncode == 0, verified.stdout
    path.unlink()
    assert wait_for(lambda: any("handed-over" in n for n in province.receipts(POLICE)))
    province.stop()


def test_several_programs_of_one_unit(tmp_path: Path) -> None:
    """By InReplyTo to who sent what is answered, else by flow, else to the first."""
    province = Province(tmp_path)
    path = tmp_path / POLICE / "gateway.toml"
    text = path.read_text("utf-8")
    apps = (
        '[[unit.app]]\nname = "main"\n[[unit.app]]\nname = "sharing"\nflows = ["information-sharing"]\n'
        '[[unit.app]]\nname = "records"\nflows = ["case-record"]\n'
    )
    first = re.search(r"\[\[unit\]\](?:\n(?!\[).*)*", text)
    assert first is not None
    path.write_text(text.replace(first[0], f"{first[0]}\n{apps}", 1), "utf-8")
    province.start()
    spools = {name: province.spool(POLICE) / name for name in ("main", "sharing", "records")}
    assert wait_for(lambda: all((s / "outbound").is_dir() for s in spools.values())), province.log(
        POLICE
    )

    def inbound(name: str) -> list[str]:
        return sorted(p.name for p in (spools[name] / "inbound").iterdir())

    # Sent by `main`: the receipts come to `main`, and the answer to it too, whatever `flows` says.
    dropped = spools["main"] / "outbound" / "d.xml.tmp"
    query = message("information-sharing/submit", ref="m-1", Sender=POLICE, Receiver=PROCURATORATE)
    dropped.write_text(query, "utf-8")
    dropped.rename(dropped.with_suffix(""))
    assert wait_for(lambda: province.entries(PROCURATORATE)), province.log(POLICE)
    sent = province.entries(PROCURATORATE)[0][-36:]
    assert wait_for(lambda: list((spools["main"] / "receipts").glob("*-delivered-*")))
    assert not list((spools["sharing"] / "receipts").glob("*.xml"))
    told = {"Sender": PROCURATORATE, "Receiver": POLICE}
    answer = message("information-sharing/decide", **told).replace(
        "    <m:Sender>", f"    <m:InReplyTo>{sent}</m:InReplyTo>\n    <m:Sender>", 1
    )
    province.drop(PROCURATORATE, "answer.xml", answer)
    assert wait_for(lambda: inbound("main")), province.rejected(PROCURATORATE)
    # A message that answers nothing goes by its flow.
    province.drop(
        PROCURATORATE, "other.xml", message("information-sharing/notify", ref="x-2", **told)
    )
    assert wait_for(lambda: inbound("sharing")), province.rejected(PROCURATORATE)
    assert len(inbound("main")) == 1
    assert inbound("records") == []
    done = subprocess.run(
        [sys.executable, "-m", "frontgate", "-c", str(path), "--lang", "en", "doctor"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert f"spool {POLICE}/records" in done.stdout
    province.stop()


def test_a_wrong_host_key_stops_the_gateway_and_is_named(tmp_path: Path) -> None:
    province = Province(tmp_path)
    path = tmp_path / POLICE / "gateway.toml"
    text = path.read_text("utf-8")
    key = re.search(r"ssh-ed25519 [A-Za-z0-9+/=]+", text)
    assert key is not None
    other = key[0][:-8] + ("AAAAAAAA" if not key[0].endswith("AAAAAAAA") else "BBBBBBBB")
    path.write_text(text.replace(key[0], other), "utf-8")
    province.start("hub", POLICE)
    province.drop(POLICE, "d.xml", message())
    assert wait_for(lambda: "FG-TRN-002" in province.log(POLICE)), province.log(POLICE)
    for command in ("status", "doctor"):
        done = subprocess.run(
            [sys.executable, "-m", "frontgate", "-c", str(path), "--lang", "en", command],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 1, command
        assert "FG-TRN-002" in done.stdout, (command, done.stdout)
    assert "not tried: the hub was not reached" in done.stdout, "an echo is not waited for in vain"
    assert province.query("hub", "SELECT count(*) FROM package") == [(0,)]
    path.write_text(text, "utf-8")
    province.kill(POLICE)
    province.start(POLICE, PROCURATORATE)
    assert wait_for(lambda: province.entries(PROCURATORATE), 40), province.log(POLICE)
    province.stop()
