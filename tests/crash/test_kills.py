"""Kill -9 at seeded moments under load: nothing lost, nothing twice, nothing silent."""

import os
import random
import time
from pathlib import Path

import pytest
from chaos_table import begin
from faults.world import Ground
from province import POLICE, PROCURATORATE, Province, message, wait_for

from frontgate.inspect import examine

KILLS = int(os.environ.get("FRONTGATE_KILLS", "50"))
SEED = int(os.environ.get("FRONTGATE_SEED", "20261124"))


@pytest.mark.timeout(60 + 12 * KILLS)
def test_every_drop_is_delivered_once_or_refused_under_kills(tmp_path: Path) -> None:
    """Hub, sender and receiver are killed and started again at random while drops keep coming."""
    luck = random.Random(SEED)
    row, began = begin("kill", "daemons killed under load, real SFTP"), time.monotonic()
    province = Province(tmp_path)
    province.start()
    names = ("hub", POLICE, PROCURATORATE)
    good = bad = 0
    for _ in range(KILLS):
        for _ in range(luck.randrange(1, 6)):
            if luck.random() < 0.15:
                bad += 1
                province.drop(
                    POLICE, f"bad-{bad}.xml", message(ref=f"b{bad}", BusinessTime="gestern")
                )
            else:
                good += 1
                province.drop(POLICE, f"good-{good}.xml", message(ref=f"g{good}"))
        time.sleep(luck.uniform(0.0, 0.9))
        victim = luck.choice(names)
        province.kill(victim)
        province.start(victim)
    settled = wait_for(lambda: len(province.entries(PROCURATORATE)) >= good, 120)
    assert settled, (
        f"seed {SEED}: {len(province.entries(PROCURATORATE))} of {good}\n"
        f"{province.log(POLICE)}\n{province.log('hub')}\n{province.log(PROCURATORATE)}"
    )

    def receipts_complete() -> bool:
        found = province.receipts(POLICE)
        return (
            sum("-delivered-" in n for n in found) >= good
            and sum("-submission-rejected" in n for n in found) >= bad
            and sum(n.endswith(".report.txt") for n in province.rejected(POLICE)) >= bad
        )

    complete = wait_for(receipts_complete, 60)
    time.sleep(1.0)
    delivered = [name[-36:] for name in province.entries(PROCURATORATE)]
    admitted = {
        str(row[0])
        for row in province.query(
            POLICE, "SELECT message_id FROM package WHERE direction = 'out' AND state = 'ADMITTED'"
        )
    }
    left = [p.name for p in (province.spool(POLICE) / ".frontgate" / "claims").iterdir()]
    outbound = [p.name for p in (province.spool(POLICE) / "outbound").iterdir()]
    codes = province.stop()
    assert complete, f"seed {SEED}: receipts are missing: {province.receipts(POLICE)[-20:]}"
    assert len(delivered) == len(set(delivered)) == good, f"seed {SEED}: lost or twice"
    assert set(delivered) == admitted
    assert len(admitted) == good
    assert not left
    assert not outbound
    assert all(code == 0 for code in codes.values()), codes
    homes = Ground(tmp_path).inspected(settled=False)
    found = examine(homes)
    for home in homes:
        home.close()
    assert found.holds, [v.breaches[:3] for v in found.verdicts if not v.holds]
    assert all(walked.walked > 0 for walked in found.chains.values())
    row.end(tried=KILLS, seconds=time.monotonic() - began)


def test_sigterm_loses_nothing_and_stops_within_ten_seconds(tmp_path: Path) -> None:
    province = Province(tmp_path)
    province.start()
    for n in range(40):
        province.drop(POLICE, f"d{n}.xml", message(ref=f"t{n}"))
    for name in ("hub", POLICE, PROCURATORATE):
        assert wait_for((tmp_path / name / "state" / "control.sock").exists)
    began = time.monotonic()
    codes = province.stop()
    assert time.monotonic() - began < 10
    assert set(codes.values()) == {0}
    province.start()
    assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 40, 60)
    ids = [name[-36:] for name in province.entries(PROCURATORATE)]
    province.stop()
    assert len(set(ids)) == 40
