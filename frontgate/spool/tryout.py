"""Trying a spool's rights as the two accounts that share it, with the real ways of both sides."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
from collections.abc import Callable
from pathlib import Path

from frontgate import durable
from frontgate.errors import SpoolError
from frontgate.spool import beneath
from frontgate.spool.beneath import Folder
from frontgate.spool.inbound import DeliveryPart, deliver
from frontgate.spool.layout import SpoolPaths

_NAME = ".frontgate-doctor"


def try_rights(paths: SpoolPaths, case_user: str) -> list[tuple[str, str]]:
    """Drop, claim, deliver and pick up as `case_user` and as the gateway's account (the owner of
    `.frontgate/`). Needs root, to become either.

    Nothing of it has a name that a sweep or a case program looks at, and all is removed again.
    Returns: (step, what went wrong) of each step that fails; empty where all is well.
    Raises: SpoolError FG-SPL-003 for an unknown account.
    """
    try:
        case = pwd.getpwnam(case_user)
        daemon = pwd.getpwuid(paths.private.stat().st_uid)
    except KeyError as error:
        raise SpoolError("FG-SPL-003", user=case_user) from error
    dropped = paths.outbound / _NAME
    copied = paths.staging / _NAME
    entry = f"{_NAME}-{os.getpid()}"

    def drop() -> None:
        (dropped / "files").mkdir(parents=True)
        (dropped / "message.xml").write_bytes(b"<doctor/>")
        (dropped / "files" / "a.bin").write_bytes(b"doctor")

    def claim() -> None:
        mark = _NAME + "-claimed"
        with Folder.at(paths.outbound) as outbound, Folder.at(paths.staging) as staging:
            durable.rename(_NAME, mark, src_dir_fd=outbound.fd, dst_dir_fd=outbound.fd)
            beneath.copy(outbound, mark, staging, _NAME)
            beneath.remove(outbound, mark)
            beneath.remove(staging, _NAME)

    def hand_out() -> None:
        parts = [
            DeliveryPart("message.xml", lambda: iter([b"<doctor/>"]), 9),
            DeliveryPart("files/a.bin", lambda: iter([b"doctor"]), 6),
        ]
        deliver(paths, entry, parts)

    def collect() -> None:
        (paths.inbound / entry / "files" / "a.bin").read_bytes()
        shutil.rmtree(paths.inbound / entry)

    def peep() -> None:
        try:
            os.listdir(paths.private)
        except PermissionError:
            return
        raise PermissionError(f"{case_user} can read {paths.private}")

    found: list[tuple[str, str]] = []
    try:
        for step, who, act in (
            ("drop", case, drop),
            ("claim", daemon, claim),
            ("deliver", daemon, hand_out),
            ("collect", case, collect),
            ("private", case, peep),
        ):
            why = _as_account(who, act)
            if why:
                found.append((step, why))
    finally:
        for path in (
            dropped,
            dropped.with_name(_NAME + "-claimed"),
            copied,
            paths.inbound / entry,
        ):
            _remove(path)
    return found


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError), Folder.at(path.parent) as folder:
        beneath.remove(folder, path.name)


def _as_account(account: pwd.struct_passwd, act: Callable[[], None]) -> str:
    """Run `act` in a child under that account with all its groups. Returns: its error, or empty."""
    groups = [g.gr_gid for g in grp.getgrall() if account.pw_name in g.gr_mem]
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            os.setgroups([account.pw_gid, *groups])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
            os.umask(0o022)
            act()
        except BaseException as error:
            os.write(writing, f"{account.pw_name}: {error}".encode()[:2000])
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said.decode("utf-8", "replace")
