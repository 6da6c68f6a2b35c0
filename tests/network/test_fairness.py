"""One unit floods the hub: the others' messages pass by, at the hub and at the common receiver."""

import os
from pathlib import Path

import pytest
from chaos_table import begin, is_long
from province import COURT, POLICE, PROCURATORATE, Province, message, wait_for

FLOOD = int(os.environ.get("FRONTGATE_FLOOD", "5000" if is_long() else "600"))
OTHERS = 8


def of(province: Province, sender: str) -> int:
    """Messages of a sender that stand in the procuratorate's `inbound/`."""
    sql = (
        "SELECT count(*) FROM transfer t JOIN package p ON p.id = t.package_id"
        " WHERE p.sender = ? AND t.state = 'SENT'"
    )
    return int(str(province.query(PROCURATORATE, sql, sender)[0][0]))


@pytest.mark.timeout(1800 if is_long() else 300)
def test_a_unit_that_floods_delays_nobody_else(tmp_path: Path) -> None:
    row = begin("network", "a unit that floods")
    province = Province(tmp_path, (POLICE, PROCURATORATE, COURT))
    for n in range(FLOOD):
        province.drop(POLICE, f"f{n}.xml", message(ref=f"flood{n}"))
    province.start()
    try:
        for name in ("hub", POLICE, PROCURATORATE, COURT):
            assert wait_for((province.home / name / "state" / "control.sock").exists, 60), name
        assert wait_for(lambda: province.query("hub", "SELECT 1 FROM package"), 60)
        for n in range(OTHERS):
            text = message("information-sharing/notify", ref=f"o{n}", Sender=COURT,
                           Receiver=PROCURATORATE)  # fmt: skip
            province.drop(COURT, f"o{n}.xml", text)
        assert wait_for(lambda: of(province, COURT) == OTHERS, 120), province.log("hub")
        passed = of(province, POLICE)
        assert passed < FLOOD, "the flood was over before the others came: no proof"
        assert wait_for(lambda: of(province, POLICE) == FLOOD, 240), province.log(PROCURATORATE)
    finally:
        province.stop()
    row.end(tried=FLOOD)
