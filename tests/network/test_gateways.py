"""Whole gateways on bad lines: several on one flaky link, refused logins, wrong host keys, outages.

FRONTGATE_CHAOS=long: 1 200 messages over the flaky line; FRONTGATE_OUTAGE=n: so many wait out the
outage (2 000 by default where long, else 300).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from chaos_table import begin, is_long
from faultproxy import KINDS, Fault, FaultProxy
from province import COURT, POLICE, PROCURATORATE, Province, message, wait_for

from frontgate.hub.admin import new_ssh_key

IS_LONG = is_long()
SEED = int(os.environ.get("FRONTGATE_SEED", "20261125"))
COUNT = 1200 if IS_LONG else 24
OUTAGE = int(os.environ.get("FRONTGATE_OUTAGE", "2000" if IS_LONG else "300"))
QUICK = "connect_timeout_s = 2.0\nstep_timeout_s = 3.0\n"
RELAY = f"retry_first_s = 0.1\nretry_max_s = 1.0\noverdue_s = 20\n{QUICK}"


def through(province: Province, code: str, port: int) -> None:
    """Let a gateway reach the hub by another port."""
    path = province.home / code / "gateway.toml"
    text = path.read_text()
    assert f"port = {province.port}" in text
    path.write_text(text.replace(f"port = {province.port}", f"port = {port}"))


def ask(province: Province, code: str, *command: str) -> list[dict[str, Any]]:
    path = str(province.home / code / "gateway.toml")
    result = subprocess.run(
        [sys.executable, "-m", "frontgate", "-c", path, "--json", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    found: list[dict[str, Any]] = json.loads(result.stdout or "[]")
    return found


def alarm(province: Province, code: str, wanted: str) -> dict[str, Any] | None:
    rows = ask(province, code, "alarms")
    return next((row for row in rows if row["code"] == wanted), None)


def ids(province: Province, code: str) -> list[str]:
    return [name[-36:] for name in province.entries(code)]


@pytest.mark.timeout(3600 if IS_LONG else 400)
def test_several_gateways_on_one_flaky_link_deliver_once(tmp_path: Path) -> None:
    row = begin("network", "three gateways on a flaky link")
    units = (POLICE, PROCURATORATE, COURT)
    province = Province(tmp_path, units, relay=RELAY)
    luck = random.Random(SEED)
    lock = threading.Lock()

    def plan(number: int) -> Fault | None:
        with lock:
            if luck.random() < 0.2:
                return None
            kind = luck.choice(KINDS)
            return Fault(kind, luck.randrange(1, 12_000), luck.random() < 0.5, luck.uniform(0.2, 2))

    with FaultProxy(province.port, plan) as proxy:
        for code in units:
            through(province, code, proxy.port)
        province.start()
        try:
            sent = 0
            while sent < COUNT or proxy.faults < 5:  # how often they connect is a matter of pace
                assert sent < 20 * COUNT, proxy.faults
                province.drop(POLICE, f"d{sent}.xml", message(ref=f"f{sent}"))
                sent += 1
                time.sleep(0.2)
            assert wait_for(lambda: len(province.entries(PROCURATORATE)) >= sent, 240), (
                province.log(POLICE) + province.log(PROCURATORATE)
            )
            assert wait_for(
                lambda: sum("-delivered-" in n for n in province.receipts(POLICE)) >= sent, 240
            ), province.log(POLICE)
            delivered = ids(province, PROCURATORATE)
            assert len(delivered) == len(set(delivered)) == sent
        finally:
            province.stop()
    row.end(tried=proxy.faults)


@pytest.mark.timeout(300)
def test_a_refused_login_is_said_with_advice_and_mends_by_itself(tmp_path: Path) -> None:
    province = Province(tmp_path, relay=RELAY)
    keys = province.home / "hub" / "sftp-keys"
    account = keys / f"u{POLICE.lower()}"
    text = account.read_text()
    account.write_text(new_ssh_key(tmp_path / "other"))
    province.start()
    try:
        province.drop(POLICE, "d.xml", message(ref="login"))
        assert wait_for((province.home / POLICE / "state" / "control.sock").exists, 60)
        assert wait_for(lambda: alarm(province, POLICE, "FG-TRN-003"), 60), province.log(POLICE)
        told = alarm(province, POLICE, "FG-TRN-003")
        assert told is not None
        assert f"u{POLICE.lower()}" in json.dumps(told, ensure_ascii=False)
        assert "准入" in json.dumps(told, ensure_ascii=False)
        account.write_text(text)
        assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 1, 60), province.log(POLICE)
        assert wait_for(lambda: not alarm(province, POLICE, "FG-TRN-003"), 60)
    finally:
        province.stop()


@pytest.mark.timeout(300)
def test_a_wrong_host_key_is_said_and_nothing_is_sent_until_it_is_right(tmp_path: Path) -> None:
    province = Province(tmp_path, relay=RELAY)
    host_key = province.home / "hub" / "keys" / "ssh_host_ed25519"
    right = host_key.read_bytes()
    new_ssh_key(tmp_path / "impostor")
    host_key.write_bytes((tmp_path / "impostor").read_bytes())
    province.start()
    try:
        province.drop(POLICE, "d.xml", message(ref="host"))
        assert wait_for((province.home / POLICE / "state" / "control.sock").exists, 60)
        assert wait_for(lambda: alarm(province, POLICE, "FG-TRN-002"), 60), province.log(POLICE)
        to_hub = province.home / "hub" / "sftp" / f"u{POLICE.lower()}" / "to-hub"
        assert list(to_hub.iterdir()) == []
        province.kill("hub")
        host_key.write_bytes(right)
        province.start("hub")
        assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 1, 60), province.log(POLICE)
    finally:
        province.stop()


@pytest.mark.timeout(300)
def test_a_hub_whose_daemon_is_down_behind_its_server_gets_only_so_much(tmp_path: Path) -> None:
    """SFTP answers, nobody takes: nothing is sent twice, and all of it arrives when he is back."""
    from frontgate.gateway import uplink

    province = Province(tmp_path, relay=RELAY.replace("overdue_s = 20", "overdue_s = 1"))
    province.start()
    to_hub = province.home / "hub" / "sftp" / f"u{POLICE.lower()}" / "to-hub"
    try:
        assert wait_for((province.home / "hub" / "state" / "control.sock").exists, 60)
        hub = province.processes["hub"]
        children = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(hub.pid)], capture_output=True, text=True
        ).stdout
        assert "sftp_server" in children
        os.kill(hub.pid, 19)  # SIGSTOP: the daemon stands still, its server goes on
        for n in range(12):
            province.drop(POLICE, f"d{n}.xml", message(ref=f"s{n}"))
            time.sleep(0.2)
        assert wait_for(
            lambda: not province.query(POLICE, "SELECT 1 FROM transfer WHERE state = 'QUEUED'"), 60
        )
        before = sorted(p.name for p in to_hub.iterdir() if p.name[0] != ".")
        time.sleep(6)  # several times the limit for an answer
        after = sorted(p.name for p in to_hub.iterdir() if p.name[0] != ".")
        attempts = province.query(POLICE, "SELECT count(*) FROM transfer WHERE state = 'SENT'")
        assert set(before) <= set(after)
        assert attempts[0][0] == 12, "none was called lost while it lies there"
        assert len(after) <= uplink.MOST_WAITING
        os.kill(hub.pid, 18)
        assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 12, 60)
        assert len(set(ids(province, PROCURATORATE))) == 12
    finally:
        province.stop()


@pytest.mark.timeout(600 + OUTAGE)
def test_what_gathers_in_an_outage_drains_by_itself_urgent_first(tmp_path: Path) -> None:
    row = begin("outage", "hub away, messages waiting")
    province = Province(tmp_path, relay=RELAY)
    # The first start learns nothing of the hub: it is away from the beginning.
    province.start(POLICE, PROCURATORATE)
    try:
        for n in range(OUTAGE):
            province.drop(POLICE, f"d{n}.xml", message(ref=f"w{n}"))
        province.drop(POLICE, "urgent.xml", message(ref="urgent", Urgency="2"))

        def queued() -> int:
            rows = province.query(
                POLICE, "SELECT count(*) FROM transfer WHERE state IN ('QUEUED', 'SENDING')"
            )
            return int(str(rows[0][0]))

        assert wait_for((province.home / POLICE / "state" / "control.sock").exists, 60)
        assert wait_for(lambda: queued() == OUTAGE + 1, 120 + OUTAGE / 4), queued()
        assert alarm(province, POLICE, "FG-TRN-001") is not None
        province.start("hub")
        assert wait_for(lambda: len(province.entries(PROCURATORATE)) > OUTAGE, 120 + OUTAGE / 4), (
            province.log(POLICE) + province.log("hub")
        )
        delivered = ids(province, PROCURATORATE)
        assert len(delivered) == len(set(delivered)) == OUTAGE + 1
        urgent = province.query(
            POLICE,
            "SELECT b.sequence - (SELECT min(sequence) FROM bundle_out WHERE members LIKE '%asice%')"
            " FROM transfer t JOIN package p ON p.id = t.package_id"
            " JOIN bundle_out b ON b.bundle_id = t.bundle_id WHERE p.sender_ref = 'urgent'",
        )
        assert urgent[0][0] in (0, 1), "the urgent one, dropped last, went with the first"
        assert wait_for(lambda: not alarm(province, POLICE, "FG-TRN-001"), 60)
    finally:
        province.stop()
    row.end(tried=OUTAGE + 1)


@pytest.mark.timeout(300)
def test_large_files_keep_to_the_limit_of_the_hour_and_small_ones_do_not(tmp_path: Path) -> None:
    import re

    size = 5 << 20
    text = message("arrest-request/submit", ref="large")
    pairs = re.findall(r"<m:FileName>([^<]*)</m:FileName>.*?<m:Bytes>(\d+)", text, re.DOTALL)
    files = {name: b"x" * int(n) for name, n in pairs}
    name, n = pairs[0]
    files[name] = random.Random(1).randbytes(size)
    text = text.replace(f"<m:Bytes>{n}", f"<m:Bytes>{size}", 1)
    limit = '\n[[relay.rate_limit]]\nbegins = "00:00"\nends = "00:00"\nbytes_per_s = 500_000\n'
    province = Province(tmp_path, relay=RELAY, extra=limit)
    province.start()
    try:
        assert wait_for((province.home / POLICE / "state" / "control.sock").exists, 60)
        province.drop_folder(POLICE, "large", text, files)
        part = province.home / "hub" / "sftp" / f"u{POLICE.lower()}" / "to-hub"
        assert wait_for(lambda: list(part.glob(".*.part")), 60), province.log(POLICE)
        began = time.monotonic()
        province.drop(POLICE, "small.xml", message(ref="small"))
        assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 1, 60)
        assert list(part.glob(".*.part")), "the small one overtook the large one under way"
        assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 2, 120)
        # 5 MiB at 500 kB/s: ten seconds and more, whatever the machine.
        assert time.monotonic() - began > 6
    finally:
        province.stop()
