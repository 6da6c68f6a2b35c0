"""Bare copies of small files over SFTP: no check, signature, journal or receipt, one hop.

`lftp mirror`, `rclone move`, `sftp -b`. Each returns the seconds for all files.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import time
from pathlib import Path

from benchmarks.peers.sshd import Server


def lftp_mirror(server: Server, source: Path, target: Path, parallel: int = 4) -> float:
    """`lftp mirror -P4 --Remove-source-files`: as the goal names it."""
    script = (
        "set sftp:auto-confirm yes; set sftp:connect-program"
        f' "ssh -a -x -F {server.config}";'
        f" open sftp://{getpass.getuser()}:@hub;"
        f" mirror -R -P{parallel} --Remove-source-files --no-perms {source} {target}; bye"
    )
    return _timed(["lftp", "-c", script], target)


def rclone_move(server: Server, source: Path, target: Path, transfers: int = 8) -> float:
    """`rclone move --transfers 8` to an sftp remote."""
    remote = (
        f":sftp,host=127.0.0.1,port={server.port},user={getpass.getuser()},"
        f"key_file={server.key},known_hosts_file={server.known_hosts},shell_type=none,"
        f"set_modtime=false:{target}"
    )
    return _timed(
        ["rclone", "move", "--config", "/dev/null", "--transfers", str(transfers), str(source), remote],
        target,
    )  # fmt: skip


def sftp_batch(server: Server, source: Path, target: Path) -> float:
    """`sftp -b` with put -f (fsync) and rename, one connection."""
    lines = []
    for path in sorted(source.iterdir()):
        lines.append(f"put -f {path} {target}/.{path.name}.part")
        lines.append(f"rename {target}/.{path.name}.part {target}/{path.name}")
    batch = source.with_name(source.name + ".batch")
    batch.write_text("\n".join(lines))
    return _timed(["sftp", "-q", "-F", str(server.config), "-b", str(batch), "hub"], target)


def sftp_bulk(server: Server, file: Path, target: Path) -> float:
    """Plain `sftp` of one large file, no fsync, no digest."""
    batch = file.with_name(file.name + ".batch")
    batch.write_text(f"put {file} {target}/{file.name}")
    return _timed(["sftp", "-q", "-F", str(server.config), "-b", str(batch), "hub"], target)


def hashed_bulk(server: Server, file: Path, target: Path) -> float:
    """`sha256sum`, then `sftp` with fsync: what a careful script does."""
    began = time.perf_counter()
    subprocess.run(["sha256sum", file], check=True, stdout=subprocess.DEVNULL)
    batch = file.with_name(file.name + ".batch")
    batch.write_text(f"put -f {file} {target}/{file.name}")
    _timed(["sftp", "-q", "-F", str(server.config), "-b", str(batch), "hub"], target)
    return time.perf_counter() - began


def hashed_beside(server: Server, file: Path, target: Path) -> float:
    """`sftp` with fsync, and the quickest digest at hand beside it: what a client in C that hashes in the same
    pass cannot fall below.
    """
    batch = file.with_name(file.name + ".batch")
    batch.write_text(f"put -f {file} {target}/{file.name}")
    shutil.rmtree(target, ignore_errors=True)
    began = time.perf_counter()
    with subprocess.Popen(
        ["openssl", "dgst", "-sha256", file], stdout=subprocess.DEVNULL
    ) as digest:
        _timed(["sftp", "-q", "-F", str(server.config), "-b", str(batch), "hub"], target)
    assert digest.returncode == 0
    return time.perf_counter() - began


def fill(folder: Path, count: int, data: bytes) -> None:
    """`count` files of the same content."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number:06d}.xml").write_bytes(data)


def _timed(command: list[str], target: Path) -> float:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    began = time.perf_counter()
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"}
    )
    return time.perf_counter() - began
