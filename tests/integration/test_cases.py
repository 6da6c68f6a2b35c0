"""The running hub tells cases: projector beside it, notices into the acting unit's inbound, acts, rebuild."""

import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from forked import Spawned, command
from province import DETENTION, POLICE, PROCURATORATE, Province, message, wait_for

from frontgate.core.deadlines import LEGAL_TIME, add_months


def hub(province: Province, *arguments: str) -> subprocess.CompletedProcess[str]:
    return command(["-c", str(province.home / "hub" / "hub.toml"), *arguments])


def _two_months_before_the_tenth_day(now: datetime) -> str:
    """A start whose term of two months ends, a day off for safety, ten days after this legal day."""
    last = now.astimezone(LEGAL_TIME).date() + timedelta(days=10)
    begin = next(
        d for d in (last - timedelta(days=n) for n in range(56, 66)) if add_months(d, 2) <= last
    )
    return f"{begin}T12:00:00+08:00"


class Eager(Spawned):
    """Looks for terms to tell of every second, not every minute."""

    PROGRAM = ("-c", "import sys\nfrom frontgate.hub import notices\nnotices.LOOK_S = 1.0\n"
               "from frontgate.cli.main import main\nmain(sys.argv[1:])")  # fmt: skip


@pytest.mark.timeout(420)
def test_a_running_hub_tells_cases_and_warns_the_acting_unit(tmp_path: Path) -> None:
    province = Province(tmp_path, (POLICE, PROCURATORATE, DETENTION), daemon=Eager)
    settings = tmp_path / "hub" / "hub.toml"
    settings.write_text(settings.read_text().replace("project = false", "notices = true"))
    try:
        province.start()
        now = datetime.now(UTC)
        text = message("arrest-request/submit", ref="case-1")
        text = re.sub("<m:BusinessTime>[^<]*", f"<m:BusinessTime>{now.isoformat()}", text)
        province.drop_folder(POLICE, "case-1", text)
        assert wait_for(lambda: len(province.entries(PROCURATORATE)) >= 1, 60), province.log(POLICE)
        case = "C2026520102110000000016"

        def told() -> dict[str, object]:
            done = hub(province, "--json", "trace", case)
            return json.loads(done.stdout) if done.returncode == 0 else {}

        def decision_term(line: dict[str, object]) -> list[dict[str, str]]:
            return [d for d in line.get("deadlines", []) if d["rule"] == "DL-ARR-01"]  # type: ignore[attr-defined]

        # Other terms run from the sending; this one from the receiver's receipt, which comes later.
        assert wait_for(lambda: decision_term(told()), 60, 0.2), province.log("hub")
        line = told()
        assert line["case"]["owner"] == POLICE  # type: ignore[index]
        digests = [d["digest"] for d in line["nodes"][0]["documents"]]  # type: ignore[index]
        assert all(re.fullmatch("[0-9a-f]{64}", d) for d in digests)
        term = decision_term(line)[0]
        done = hub(province, "--json", "hub", "rebuild")
        assert done.returncode == 0, done.stderr
        again = told()
        assert again["deadlines"] == line["deadlines"]
        closed = hub(
            province, "--json", "hub", "due", "close", term["id"], "--for", PROCURATORATE,
            "--code", "04", "--text", "已决定",
        )  # fmt: skip
        assert closed.returncode == 0, closed.stderr
        wrong = hub(
            province,
            "hub",
            "due",
            "close",
            term["id"],
            "--for",
            POLICE,
            "--code",
            "04",
            "--text",
            "x",
        )
        assert wrong.returncode == 3
        assert "FG-CAS-002" in wrong.stderr
        assert wait_for(lambda: len(told().get("acts", [])) == 1, 30)  # type: ignore[arg-type]

        # An arrest whose custody term came within ten days of its end during this legal day.
        executed = message("arrest-request/execute", ref="case-1-executed")
        executed = re.sub("<m:BusinessTime>[^<]*", f"<m:BusinessTime>{now.isoformat()}", executed)
        executed = re.sub(
            "<t:StartAt>[^<]*", f"<t:StartAt>{_two_months_before_the_tenth_day(now)}", executed
        )
        province.drop_folder(POLICE, "case-1-executed", executed)

        def noticed() -> list[str]:
            return [e for e in province.entries(POLICE) if "deadline-notice.notify" in e]

        assert wait_for(noticed, 150), province.log("hub")
        notice = (province.spool(POLICE) / "inbound" / noticed()[0] / "message.xml").read_text(
            "utf-8"
        )
        assert "<b:RuleId>DL-CUS-01</b:RuleId><b:NoticeLevel>1</b:NoticeLevel>" in notice
        assert f"<b:ActingUnit>{POLICE}</b:ActingUnit>" in notice
    finally:
        province.stop()
