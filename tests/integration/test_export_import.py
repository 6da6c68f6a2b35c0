"""Evidence that a third party can judge, and transfer by a medium between nodes without a line."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from keeping import CaseSoftware, counts, frontgate
from province import POLICE, PROCURATORATE, Province, message, wait_for

from frontgate.errors import FrontgateError
from frontgate.pipeline.evidence import check_archive

HANDED = "SELECT count(DISTINCT message_id) FROM receipt WHERE kind = 'handed-over'"


@pytest.mark.timeout(300)
def test_evidence_of_a_message_and_of_its_case_verifies_offline(tmp_path: Path) -> None:
    province = Province(tmp_path)
    province.start()
    software = CaseSoftware(province.spool(PROCURATORATE))
    for n in range(3):
        province.drop(POLICE, f"e{n}.xml", message(ref=f"e{n}"))
    assert wait_for(lambda: counts(province, POLICE, HANDED) == 3, 60), province.log("hub")
    software.stop()
    ((ident, case),) = province.query(
        POLICE, "SELECT message_id, case_uid FROM package WHERE sender_ref = 'e1'"
    )
    for name in (POLICE, "hub"):
        for about, packages in ((ident, 1), (case, 3)):
            target = tmp_path / f"{name}-{packages}.evidence"
            done = frontgate(province, name, "export", str(about), "-o", str(target))
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["packages"] == packages
            assert json.loads(done.stdout)["receipts"] == 4 * packages
            value = _verify(target, 0)
            assert (value["kind"], value["packages"], value["receipts"]) == (
                "evidence", packages, 4 * packages)  # fmt: skip
            data = target.read_bytes()
            for at in range(600, len(data) - 3000, len(data) // 40):
                bad = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
                with pytest.raises(FrontgateError):
                    check_archive(io.BytesIO(bad))
    bad_file = tmp_path / "bad"
    bad_file.write_bytes(bad)
    _verify(bad_file, 1)
    none = frontgate(province, POLICE, "export", "nothing", "-o", str(tmp_path / "none"))
    assert (none.returncode, "FG-KEP-007" in none.stderr) == (3, True)
    province.stop()


def _verify(path: Path, code: int) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "frontgate", "--json", "verify", str(path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    value: dict[str, object] = json.loads(done.stdout)
    return value


@pytest.mark.timeout(400)
def test_units_without_a_line_exchange_by_media_that_come_twice_or_late(tmp_path: Path) -> None:
    """Nobody reaches the SFTP server: files on a medium are all that goes to and fro."""
    province = Province(tmp_path)
    for code in (POLICE, PROCURATORATE):
        path = tmp_path / code / "gateway.toml"
        text = path.read_text()
        path.write_text(text.replace(f"port = {province.port}", "port = 1"))
    province.start()
    software = CaseSoftware(province.spool(PROCURATORATE))
    for n in range(4):
        province.drop(POLICE, f"m{n}.xml", message(ref=f"m{n}"))
    admitted = "SELECT count(*) FROM package WHERE state = 'ADMITTED'"
    assert wait_for(lambda: counts(province, POLICE, admitted) == 4), province.log(POLICE)
    for node in ("hub", PROCURATORATE):
        assert wait_for((tmp_path / node / "state" / "control.sock").exists), province.log(node)
    trip = 0

    def carry(source: str, target: str, *more: str) -> dict[str, object]:
        nonlocal trip
        trip += 1
        medium = tmp_path / f"medium-{trip}"
        wrote = frontgate(province, source, "export", "--waiting", *more, "-o", str(medium))
        assert wrote.returncode == 0, wrote.stderr
        if trip % 2:
            (medium,) = (shutil.copy(medium, tmp_path / f"stick-{trip}"),)
        read = frontgate(province, target, "import", str(medium))
        assert read.returncode == 0, read.stderr
        again = frontgate(province, target, "import", str(medium))
        assert again.returncode == 0, again.stderr
        value: dict[str, object] = json.loads(again.stdout)
        return value

    at_hub = tmp_path / "hub/sftp"

    def placed(code: str) -> bool:
        return any((at_hub / f"u{code.lower()}" / "from-hub").glob("*.bundle"))

    for _ in range(12):
        carry(POLICE, "hub")
        carry(PROCURATORATE, "hub")
        wait_for(lambda: placed(PROCURATORATE), 3)
        assert carry("hub", PROCURATORATE, "--for", PROCURATORATE)["new"] == 0
        carry("hub", POLICE, "--for", POLICE)
        if counts(province, POLICE, HANDED) == 4:
            break
    assert counts(province, POLICE, HANDED) == 4, province.log("hub")
    software.stop()
    assert len(software.taken) == len(set(software.taken)) == 4
    wrong = tmp_path / "wrong"
    assert frontgate(
        province, "hub", "export", "--waiting", "--for", POLICE, "-o", str(wrong)
    ).returncode == 0  # fmt: skip
    refused = frontgate(province, PROCURATORATE, "import", str(wrong))
    assert (refused.returncode, "FG-KEP-009" in refused.stderr) == (3, True)
    data = wrong.read_bytes()
    wrong.write_bytes(data[:700] + bytes([data[700] ^ 1]) + data[701:])
    damaged = frontgate(province, POLICE, "import", str(wrong))
    assert damaged.returncode == 3
    for name in ("hub", POLICE, PROCURATORATE):
        assert counts(province, name, "SELECT count(*) FROM quarantine") == 0
    province.stop()
