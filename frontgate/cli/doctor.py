"""`frontgate doctor`: try everything that must work, and say what to do where it does not."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from frontgate.cli.output import Output, say
from frontgate.errors import FrontgateError
from frontgate.settings import GatewaySettings
from frontgate.values import Struct


class Finding(Struct, frozen=True):
    """One thing that was tried."""

    name: str
    ok: bool
    zh: str
    en: str
    advice_zh: str = ""
    advice_en: str = ""


@click.command()
@click.option("--offline", is_flag=True, help="Do not connect to the hub.")
@click.option(
    "--as", "case_user", default="", metavar="USER",
    help="Try the spool as this account of the case software, too (as root).",
)  # fmt: skip
@click.pass_obj
def doctor(out: Output, offline: bool, case_user: str) -> None:
    """Check keys, certificates, clock, disk, rights, host key, login, a message there and back.

    The rights of a spool are tried from both sides, drop to pick-up, where doctor runs as root and
    knows the case software's account: by --as, or case_user of the [[unit]].

    Exit 0: all well. 1: something is wrong; each line says what to do.
    """
    from frontgate.settings import find_config, load_gateway

    settings = load_gateway(find_config(out.config, "gateway"))
    found = list(_examine(settings, offline, case_user))
    if out.as_json:
        out.json(
            {
                "checks": [
                    {
                        "name": f.name,
                        "ok": f.ok,
                        "zh": f.zh,
                        "en": f.en,
                        "advice_zh": f.advice_zh,
                        "advice_en": f.advice_en,
                    }
                    for f in found
                ]
            }
        )
    else:
        for f in found:
            say(f"{'✓' if f.ok else '✗'} {f.name}: {out.pick(f.zh, f.en)}")
            if not f.ok:
                say(f"    → {out.pick(f.advice_zh, f.advice_en)}")
    if not all(f.ok for f in found):
        raise click.exceptions.Exit(1)


def _examine(settings: GatewaySettings, offline: bool, case_user: str) -> Iterator[Finding]:
    keys = settings.path(settings.node.keys)
    yield from _try("trust", lambda: _trust(settings))
    for unit in settings.unit:
        yield from _try(f"key {unit.code}", lambda unit=unit: _key(settings, unit))  # type: ignore[misc]
        root = settings.path(unit.spool)
        spools = {f"{unit.code}/{app.name}": root / app.name for app in unit.app}
        for key, spool in (spools or {unit.code: root}).items():
            yield from _spool(spool, key)
            yield _rights(spool, key, case_user or unit.case_user)
    mode = keys.stat().st_mode & 0o077 if keys.is_dir() else 0o077
    yield Finding(
        "keys",
        mode == 0,
        f"{keys} 权限",
        f"rights of {keys}",
        f"运行 chmod 700 {keys}",
        f"run chmod 700 {keys}",
    )
    yield from _disk(settings)
    if not offline:
        hub = list(_try("hub", lambda: _hub(settings)))
        yield from hub
        if all(f.ok for f in hub):
            yield from _try("echo", lambda: _echo(settings))
        else:  # an echo would be waited for in vain
            yield Finding(
                "echo",
                False,
                "未测：未能连上省级平台",
                "not tried: the hub was not reached",
                "先按 hub 一项处理",
                "first do what `hub` says",
            )


def _try(name: str, act: Callable[[], tuple[str, str]]) -> Iterator[Finding]:
    try:
        zh, en = act()
    except FrontgateError as error:
        row = error.text
        yield Finding(
            name,
            False,
            f"{error.code} {error.message('zh')}",
            f"{error.code} {error.message('en')}",
            row.advice_zh,
            row.advice_en,
        )
    else:
        yield Finding(name, True, zh, en)


def _trust(settings: GatewaySettings) -> tuple[str, str]:
    from frontgate.trust.store import load_trust

    store = load_trust(settings.path(settings.node.keys) / "trust")
    version = store.directory.version
    return (
        f"单位目录第 {version} 版，{len(store.directory.units)} 个单位",
        f"directory version {version} with {len(store.directory.units)} units",
    )


def _key(settings: GatewaySettings, unit: object) -> tuple[str, str]:
    from datetime import UTC, datetime

    from frontgate.settings import UnitSettings
    from frontgate.suites import load_signer
    from frontgate.trust.store import certificate_days, load_trust

    assert isinstance(unit, UnitSettings)
    signer = load_signer(settings.path(unit.key), settings.path(unit.certificate), unit.code)
    signer.suite.verify(_public(signer.certificate), b"doctor", signer.sign(b"doctor"))
    load_trust(settings.path(settings.node.keys) / "trust").judge(
        signer.certificate, unit.code, datetime.now(UTC)
    )
    days = certificate_days(signer.certificate)
    return f"可签名，证书还有 {days} 天", f"signs; certificate has {days} days left"


def _public(certificate: bytes) -> object:
    from frontgate.suites import public_key_of

    return public_key_of(certificate)


def _spool(root: Path, unit: str) -> Iterator[Finding]:
    from frontgate.spool.layout import SHARED, SpoolPaths, filesystem_kind

    paths = SpoolPaths(root)
    for name in SHARED:
        folder = root / name
        ok = folder.is_dir() and os.access(folder, os.R_OK | os.W_OK | os.X_OK)
        if not ok:
            yield Finding(
                f"spool {unit}",
                False,
                f"{folder} 不存在或不可写",
                f"{folder} is missing or not writable",
                "检查属主、组与权限（应为 2770）",
                "check owner, group and mode (2770)",
            )
    probe = paths.outbound / f".frontgate-doctor-{os.getpid()}.tmp"
    try:
        probe.write_bytes(b"doctor")
        target = paths.private / probe.name
        probe.rename(target)
        target.unlink()
        moved = True
    except OSError:
        probe.unlink(missing_ok=True)
        moved = False
    yield Finding(
        f"spool {unit}",
        moved,
        "可改名认领",
        "drops can be claimed by a rename",
        "outbound/ 与 .frontgate/ 必须在同一文件系统上",
        "outbound/ and .frontgate/ must be on one file system",
    )
    kind = filesystem_kind(root)
    yield Finding(
        f"file system {unit}",
        True,
        f"{kind}" + ("" if kind == "local" else "：改为轮询"),
        f"{kind}" + ("" if kind == "local" else ": polled instead of watched"),
    )


def _rights(root: Path, key: str, case_user: str) -> Finding:
    """Both accounts at one spool: drop, claim, deliver, collect."""
    from frontgate.spool.layout import SpoolPaths
    from frontgate.spool.tryout import try_rights

    name = f"rights {key}"
    if not case_user or os.geteuid() != 0:
        return Finding(
            name,
            True,
            "未以办案软件账号试用：请以 root 运行 frontgate doctor --as 账号",
            "not tried as the case software: run frontgate doctor --as ACCOUNT as root",
        )
    try:
        failed = try_rights(SpoolPaths(root), case_user)
    except FrontgateError as error:
        row = error.text
        return Finding(
            name, False, error.message("zh"), error.message("en"), row.advice_zh, row.advice_en
        )
    except OSError as error:
        failed = [("prepare", str(error))]
    if not failed:
        return Finding(
            name,
            True,
            f"{case_user} 与前置机都可投放、认领、送达、取走",
            f"{case_user} and the gateway can drop, claim, deliver and collect",
        )
    said = "; ".join(f"{step}: {why}" for step, why in failed)
    return Finding(
        name,
        False,
        said,
        said,
        "两个账号须同属该单位的组（frontgate-<单位>），五个文件夹须为 2770；修正后重启前置机",
        "both accounts must be in the unit's group (frontgate-<unit>) and the five folders 2770;"
        " mend it and restart the gateway",
    )


def _disk(settings: GatewaySettings) -> Iterator[Finding]:
    state = settings.path(settings.node.state)
    usage = shutil.disk_usage(state if state.is_dir() else state.parent)
    free = usage.free
    ok = (
        free > settings.disk.reserve_bytes
        and usage.used / usage.total * 100 < settings.disk.high_water_percent
    )
    yield Finding(
        "disk",
        ok,
        f"剩余 {free >> 20} MiB",
        f"{free >> 20} MiB free",
        "清理磁盘或调整 [disk]；达到上限时暂停受理",
        "free some space or set [disk]; intake pauses at the limit",
    )
    yield Finding(
        "clock",
        time.time() > 1_700_000_000,
        "系统时钟",
        "system clock",
        "请启用 NTP 校时",
        "turn NTP on",
    )


def _echo(settings: GatewaySettings) -> tuple[str, str]:
    """A signed message to the hub and its signed answer back, through the running daemon."""
    from frontgate.pipeline.service import ask

    reply = ask(settings.path(settings.node.state) / "control.sock", {"act": "ping"})
    if reply is None:
        return "未测：前置机没有运行", "not tried: the gateway is not running"
    if not reply.get("ok"):
        raise FrontgateError(str(reply["code"]))
    return f"签名往返 {reply['ms']} 毫秒", f"signed message there and back in {reply['ms']} ms"


def _hub(settings: GatewaySettings) -> tuple[str, str]:
    from frontgate.transports.sftp import SftpPeer, connect_sftp

    if settings.hub.transport == "directory":
        return _device(settings)
    began = time.monotonic()
    transport = connect_sftp(
        SftpPeer(
            host=settings.hub.host,
            port=settings.hub.port,
            account=settings.account,
            key_file=settings.path(settings.node.keys) / "ssh_ed25519",
            host_keys=tuple(settings.hub.host_keys),
        )
    )
    try:
        waiting = len(transport.entries())
    finally:
        transport.close()
    ms = int((time.monotonic() - began) * 1000)
    return (
        f"{settings.hub.host}:{settings.hub.port} 已登录（{ms} 毫秒），待取 {waiting} 件",
        f"{settings.hub.host}:{settings.hub.port} login works ({ms} ms), {waiting} waiting",
    )


def _device(settings: GatewaySettings) -> tuple[str, str]:
    """Whether this account can read and write both folders of the gap device."""
    from frontgate.errors import TransportError

    folders = settings.hub.directory
    assert folders is not None
    for folder in (settings.path(folders.out), settings.path(folders.into)):
        if not folder.is_dir() or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise TransportError("FG-TRN-020", path=str(folder))
    waiting = len(os.listdir(settings.path(folders.into)))
    return (
        f"网闸文件夹可读写，in 中有 {waiting} 个文件",
        f"the gap device's folders can be read and written; {waiting} files lie in `in`",
    )
