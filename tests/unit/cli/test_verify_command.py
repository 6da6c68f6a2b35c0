"""`frontgate verify` and `explain`: offline, without anything that only POSIX has."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from signing import NOW, SUITES, authority, package, signer

from frontgate.seal.receipts import receipt_file, sign_receipts
from frontgate.trust.authority import Authority

BLOCKED = """
import sys
for name in ("fcntl", "pwd", "grp", "resource", "termios", "syslog", "apsw", "paramiko", "asyncssh", "watchdog"):
    sys.modules[name] = None
from frontgate.cli.main import main
main(sys.argv[1:])
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> Path:
    from frontgate.model.receipt import Kind, Receipt

    (tmp_path / "p.asice").write_bytes(package()[0])
    receipt = Receipt(
        "00000001-1111-4111-8111-111111111111", Kind.DELIVERED, "t", "u", "gateway", "m", "s"
    )
    signed = sign_receipts([receipt], signer(SUITES[1]))
    (tmp_path / "r.xml").write_bytes(receipt_file(signed.items[0][1], signed.signature))
    (tmp_path / "ca.pem").write_bytes(authority().certificate.public_bytes(Encoding.PEM))
    other = Authority.create("52000090005", "other", now=NOW)
    (tmp_path / "other.pem").write_bytes(other.certificate.public_bytes(Encoding.PEM))
    return tmp_path


@pytest.mark.parametrize("name", ["p.asice", "r.xml"])
def test_what_holds_is_said_to_hold_and_against_what(files: Path, name: str) -> None:
    plain = run("--lang", "en", "verify", files / name)
    assert plain.returncode == 0, plain.stderr
    assert "only integrity is proven" in plain.stdout
    trusted = run("--json", "verify", files / name, "--trust", files / "ca.pem")
    value = json.loads(trusted.stdout)
    assert value["trust"].endswith("ca.pem")
    assert value["checked"]
    foreign = run("--json", "verify", files / name, "--trust", files / "other.pem")
    assert foreign.returncode == 1
    assert json.loads(foreign.stdout)["code"] == "FG-TRU-001"


@pytest.mark.parametrize("name", ["p.asice", "r.xml"])
def test_what_was_touched_does_not_hold(files: Path, name: str) -> None:
    data = bytearray((files / name).read_bytes())
    data[len(data) // 2] ^= 1
    (files / name).write_bytes(data)
    done = run("--lang", "zh", "verify", files / name)
    assert done.returncode == 1
    assert "FG-" in done.stdout


def test_explain_speaks_both_languages_and_offers_the_nearest() -> None:
    done = run("explain", "fg-rte-001")
    assert done.returncode == 0
    assert "单位目录" in done.stdout
    assert "directory" in done.stdout
    wrong = run("explain", "FG-RTE-01")
    assert wrong.returncode == 2
    assert "near: FG-RTE-0" in wrong.stderr
