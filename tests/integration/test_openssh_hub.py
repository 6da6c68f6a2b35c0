"""The whole exchange with OpenSSH as the hub's SFTP front: a gateway does not know the difference."""

import os
import subprocess
from pathlib import Path

import pytest
from province import POLICE, PROCURATORATE, Province, message, wait_for

from frontgate.hub.sshd import prepare_accounts, sshd_config


@pytest.mark.needs_root
def test_exchange_over_openssh(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "this test makes system accounts: run it as root"
    base = Path("/var/lib/frontgate-hub-test") / str(os.getpid())
    base.mkdir(parents=True)
    accounts = ["u" + code.lower() for code in (POLICE, PROCURATORATE)]
    province = Province(base, server="openssh")
    hub = base / "hub"
    for path in (base.parent, base, hub, hub / "sftp", hub / "sftp-keys"):
        os.chmod(path, 0o755)
    prepare_accounts(accounts, hub / "sftp", hub_user="root")
    host_key = hub / "keys" / "ssh_host_ed25519"
    config = sshd_config(hub / "sftp", hub / "sftp-keys", port=province.port, host_key=host_key)
    (tmp_path / "sshd_config").write_text(config)
    Path("/run/sshd").mkdir(exist_ok=True)
    sshd = subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-e", "-f", str(tmp_path / "sshd_config")],
        stderr=(tmp_path / "sshd.log").open("wb"),
    )
    try:
        province.start()
        for n in range(20):
            province.drop(POLICE, f"d{n}.xml", message(ref=f"o{n}"))
        assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 20, 60), (
            province.log(POLICE) + province.log("hub") + (tmp_path / "sshd.log").read_text()
        )
        assert wait_for(
            lambda: sum("-delivered-" in n for n in province.receipts(POLICE)) == 20, 60
        )
        province.kill(PROCURATORATE)
        province.drop(POLICE, "later.xml", message(ref="later"))
        province.start(PROCURATORATE)
        assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 21, 60)
        assert set(province.stop().values()) == {0}
    finally:
        province.stop()
        sshd.terminate()
        sshd.wait(5)
        for account in accounts:
            subprocess.run(["userdel", account], check=False, capture_output=True)
        subprocess.run(["rm", "-rf", str(base)], check=False)
