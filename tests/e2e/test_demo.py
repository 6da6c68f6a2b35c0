"""The README's first command, as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(300)
def test_the_demo_passes_and_keeps_its_files_where_asked(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "frontgate",
            "--json",
            "demo",
            "--dir",
            str(home),
            "--packages",
            "80",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    value = json.loads(result.stdout)
    assert value["failed"] == []
    assert len(value["passed"]) >= 45
    assert value["bulk"]["packages"] == 80
    kinds = {step["what"] for step in value["course"]}
    assert {"submission-accepted", "relay-accepted", "delivered", "handed-over"} <= kinds
    assert (home / "5201021100X" / "spool" / "rejected").is_dir()
    left = subprocess.run(["pgrep", "-f", str(home)], capture_output=True, text=True, check=False)
    assert left.stdout == "", "processes were left behind"

    # Everyday commands over the finished node, as its administrator would use them.
    settings = str(home / "5201021100X" / "gateway.toml")

    def frontgate(*args: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "frontgate", "-c", settings, *args],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, (args, done.stdout, done.stderr)
        return done.stdout

    status = json.loads(frontgate("--json", "status", code=1))
    assert status["running"] is False
    transfers = json.loads(frontgate("--json", "list", "--limit", "5"))["transfers"]
    assert {t["state"] for t in transfers} == {"ACKNOWLEDGED"}
    shown = json.loads(frontgate("--json", "show", transfers[0]["message"]))["packages"]
    assert shown[0]["receipts"]
    assert "delivered" in frontgate("trace", shown[0]["case_uid"])
    assert json.loads(frontgate("--json", "audit", "verify"))["breaks"] == []
    frontgate("replay", transfers[0]["message"], "--reason", "test", code=1)
    frontgate("replay", "--failed", "--dry-run")
    assert "FG-TRN-001" in frontgate("doctor", code=1)
    receipt = next((home / "5201021100X" / "spool" / "receipts").glob("*relay-accepted.xml"))
    ca = str(home / "hub" / "keys" / "ca.pem")
    assert json.loads(frontgate("--json", "verify", str(receipt), "--trust", ca))["holds"] is True
    receipt.write_bytes(receipt.read_bytes().replace(b"relay-accepted", b"relay-rejected"))
    frontgate("verify", str(receipt), "--trust", ca, code=1)
    frontgate("show", "no-such-message", code=3)
    frontgate("explain", "FG-RTE-001")
    frontgate("explain", "FG-XXX-1", code=2)
    frontgate("audit", "show")
