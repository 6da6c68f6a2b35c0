"""A unit behind a gap device that reorders, repeats, loses, cuts, flips bytes and holds back: delivered once.

FRONTGATE_CHAOS=long: more messages.
"""

import os
import time
from pathlib import Path

import pytest
from chaos_table import begin, is_long
from gapdevice import GapDevice, Mischief
from province import POLICE, PROCURATORATE, Province, message, wait_for

IS_LONG = is_long()
COUNT = 300 if IS_LONG else 24
SEED = int(os.environ.get("FRONTGATE_SEED", "20261125"))
BAD = Mischief(lose=0.2, repeat=0.2, cut=0.2, corrupt=0.2, hold=0.4, hold_s=1.0, hasty=True)


MISCHIEF = ("lost", "repeated", "cut", "corrupted", "held")


def behind_a_device(province: Province, code: str, mischief: Mischief) -> list[GapDevice]:
    """Put a device between a unit and the hub; both are told so by their settings."""
    base = province.home / "gap"
    near_out, near_in, far_out, far_in = (
        base / n for n in ("near-out", "near-in", "far-out", "far-in")
    )
    tuning = "resend_s = 1.0\ngap_after_s = 3.0\npoll_s = 0.1\n"
    path = province.home / code / "gateway.toml"
    text = path.read_text().replace("[hub]\n", '[hub]\ntransport = "directory"\n', 1)
    path.write_text(f'{text}\n[hub.directory]\nout = "{near_out}"\nin = "{near_in}"\n{tuning}')
    with (province.home / "hub" / "hub.toml").open("a") as file:
        file.write(
            f'\n[[directory]]\nunit = "{code}"\nout = "{far_out}"\nin = "{far_in}"\n{tuning}'
        )
    return [
        GapDevice(near_out, far_in, mischief, SEED),
        GapDevice(far_out, near_in, mischief, SEED + 1),
    ]


def ids(province: Province, code: str) -> list[str]:
    return [name[-36:] for name in province.entries(code)]


@pytest.mark.timeout(1800 if IS_LONG else 300)
def test_everything_is_delivered_once_over_a_bad_device(tmp_path: Path) -> None:
    rows = {what: begin("gap device", what) for what in MISCHIEF}
    province = Province(tmp_path)
    devices = behind_a_device(province, POLICE, BAD)
    province.start()
    try:
        for n in range(COUNT):
            province.drop(POLICE, f"d{n}.xml", message(ref=f"g{n}"))
            if n % 8 == 7:
                time.sleep(0.5)
            if n == COUNT // 2:
                # Both ends forget what they were doing, and go on from what is on their disks.
                for victim in (POLICE, "hub"):
                    province.kill(victim)
                    province.start(victim)
        sent = COUNT
        while True:
            arrived = lambda n=sent: len(province.entries(PROCURATORATE)) >= n  # noqa: E731
            assert wait_for(arrived, 240), province.log(POLICE) + province.log("hub")
            did = sum((device.did for device in devices), start=type(devices[0].did)())
            # How much travels in one file is a matter of pace: go on until all of it has happened.
            if all(did[what] for what in MISCHIEF):
                break
            assert sent < 10 * COUNT, did
            province.drop(POLICE, f"d{sent}.xml", message(ref=f"g{sent}"))
            sent += 1
        assert wait_for(
            lambda: sum("-delivered-" in n for n in province.receipts(POLICE)) >= sent, 240
        ), province.log(POLICE)
        delivered = ids(province, PROCURATORATE)
        assert len(delivered) == len(set(delivered)) == sent
        assert set(province.stop().values()) == {0}
    finally:
        province.stop()
        for device in devices:
            device.stop()
    for what, row in rows.items():
        row.end(tried=did[what])


@pytest.mark.timeout(300)
def test_a_device_that_stands_still_is_said_and_mended_by_itself(tmp_path: Path) -> None:
    import json
    import subprocess
    import sys

    province = Province(tmp_path)
    up, down = behind_a_device(province, POLICE, Mischief(keeps=True))
    province.start()
    try:
        up.stop()
        province.drop(POLICE, "d.xml", message(ref="still"))

        def status() -> dict[str, object]:
            arguments = ["-c", str(province.home / POLICE), "--json", "status"]
            result = subprocess.run(
                [sys.executable, "-m", "frontgate", *arguments],
                capture_output=True,
                text=True,
                check=False,
            )
            found: dict[str, object] = json.loads(result.stdout)["live"]
            return found

        assert wait_for((province.home / POLICE / "state" / "control.sock").exists)
        assert wait_for(lambda: "FG-TRN-021" in str(status().get("troubles")), 60), status()
        mended = GapDevice(up.source, up.target, Mischief(keeps=True))
        assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 1, 60)
        assert wait_for(lambda: status().get("troubles") == {}, 60), status()
        mended.stop()
    finally:
        province.stop()
        for device in (up, down):
            device.stop()
