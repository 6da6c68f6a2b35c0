"""`frontgate -c GATEWAY check`: receivers and the home unit judged with the gateway's own directory."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner
from province import COURT, POLICE, PROCURATORATE, Province, message

from frontgate.cli.main import cli
from frontgate.core.identifiers import unit_code


def test_a_check_with_a_gateways_settings_says_what_the_gateway_would(tmp_path: Path) -> None:
    province = Province(tmp_path, (POLICE,))
    path = tmp_path / "m.xml"

    def rules(text: str, node: str) -> list[str]:
        path.write_text(text, "utf-8")
        call = ["--json", "-c", str(province.home / node), "check", str(path), "--message-only"]
        result = CliRunner().invoke(cli, call)
        report = json.loads(result.output)
        assert report["directory"]
        return [f["rule"] for f in report["results"][0]["findings"]]

    good = message()
    assert rules(good, POLICE) == []
    assert rules(good, "hub") == []
    unknown = good.replace(f"<m:Receiver>{PROCURATORATE}", f"<m:Receiver>{unit_code('5203022100')}")
    assert rules(unknown, POLICE) == ["FG-RTE-001"]
    assert rules(unknown, "hub") == ["FG-RTE-001"]
    foreign = good.replace(f"<m:Sender>{POLICE}", f"<m:Sender>{COURT}")
    assert "FG-RTE-010" in rules(foreign, POLICE)
