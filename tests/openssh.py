"""A province whose hub has OpenSSH as its SFTP front, with real system accounts. Needs root."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from forked import Forked, Spawned
from province import POLICE, PROCURATORATE, Province

from frontgate.hub.sshd import prepare_accounts, sshd_config


@contextlib.contextmanager
def openssh_province(
    folder: Path, *, rescan_s: float = 1, daemon: type[Forked] | type[Spawned] = Forked
) -> Iterator[Province]:
    """Not yet started. folder: for the server's own files; the homes lie below /var/lib.

    One at a time on a machine: the accounts have the names of their units.
    """
    assert os.geteuid() == 0, "this makes system accounts: run it as root"
    with Path("/var/lib/frontgate-hub-test.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _province(folder, rescan_s, daemon) as province:
            yield province


@contextlib.contextmanager
def _province(
    folder: Path, rescan_s: float, daemon: type[Forked] | type[Spawned]
) -> Iterator[Province]:
    base = Path("/var/lib/frontgate-hub-test") / str(os.getpid())
    base.mkdir(parents=True)
    accounts = ["u" + code.lower() for code in (POLICE, PROCURATORATE)]
    province = Province(base, server="openssh", rescan_s=rescan_s, daemon=daemon)
    hub = base / "hub"
    for path in (base.parent, base, hub, hub / "sftp", hub / "sftp-keys"):
        os.chmod(path, 0o755)
    prepare_accounts(accounts, hub / "sftp", hub_user="root")
    host_key = hub / "keys" / "ssh_host_ed25519"
    config = sshd_config(hub / "sftp", hub / "sftp-keys", port=province.port, host_key=host_key)
    (folder / "sshd_config").write_text(config)
    Path("/run/sshd").mkdir(exist_ok=True)
    sshd = subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "sshd_config")],
        stderr=(folder / "sshd.log").open("wb"),
    )
    try:
        yield province
    finally:
        province.stop()
        sshd.terminate()
        sshd.wait(5)
        for account in accounts:
            subprocess.run(["userdel", account], check=False, capture_output=True)
        subprocess.run(["rm", "-rf", str(base)], check=False)
