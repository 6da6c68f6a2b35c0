"""`gateway.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from frontgate.settings.common import (
    DeviceFolders,
    DiskSettings,
    LimitSettings,
    LogSettings,
    Node,
    RelaySettings,
    RetentionSettings,
    SettingsFile,
)
from frontgate.settings.section import Meta, Section, UnitCode, field


class HubLink(Section, frozen=True, kw_only=True):
    transport: Annotated[
        Literal["sftp", "directory"],
        Meta(description="传输方式：SFTP 或网闸文件夹 | SFTP, or folders that a gap device serves"),
    ] = "sftp"
    directory: Annotated[
        DeviceFolders | None,
        Meta(description="网闸文件夹（transport = directory 时） | with transport = directory"),
    ] = None
    host: Annotated[str, Meta(description="省级平台地址 | address of the hub")] = ""
    port: Annotated[int, Meta(ge=1, le=65535, description="端口 | port")] = 22
    unit: Annotated[str, Meta(description="平台单位代码 | unit code of the hub")] = ""
    account: Annotated[
        str,
        Meta(
            description="SFTP 账号，默认 u+首个单位代码 | SFTP account; else u + first unit's code"
        ),
    ] = ""
    host_keys: Annotated[
        list[str], Meta(description="平台主机公钥 | the hub's public host keys")
    ] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.transport == "directory" and self.directory is None:
            raise ValueError('transport = "directory" needs [hub.directory] with out and in')


class App(Section, frozen=True, kw_only=True):
    name: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_-]{1,40}\Z", description="软件名，也是文件夹名 | name, and folder"
        ),
    ]
    flows: Annotated[list[str], Meta(description="接收哪些流程 | flows that it gets")] = field(
        default_factory=list
    )
    dialect: Annotated[Path | None, Meta(description="方言文件夹 | folder of its dialect")] = None


class UnitSettings(Section, frozen=True, kw_only=True):
    code: Annotated[UnitCode, Meta(description="单位代码 | unit code")]
    spool: Annotated[Path, Meta(description="投放文件夹 | the spool")]
    key: Annotated[Path, Meta(description="签名私钥 PEM | signing key, PEM")]
    certificate: Annotated[Path, Meta(description="签名证书 PEM | signing certificate, PEM")]
    group: Annotated[
        str, Meta(description="与办案软件共用的组 | group shared with the case software")
    ] = ""
    dialect: Annotated[
        Path | None,
        Meta(
            description="方言文件夹（无多套软件时） | folder of its dialect, without [[unit.app]]"
        ),
    ] = None
    case_user: Annotated[
        str,
        Meta(
            description="办案软件的系统账号，供 doctor 试用 | the case software's account, for doctor"
        ),
    ] = ""
    delivered_form: Annotated[
        Literal["folder", "zip", "sealed"], Meta(description="送达形式 | form of delivery")
    ] = "folder"
    app: Annotated[
        list[App], Meta(description="同一单位的多套软件 | several programs of one unit")
    ] = field(default_factory=list)


class IntakeSettings(Section, frozen=True, kw_only=True):
    settle_s: Annotated[
        float,
        Meta(ge=0.05, description="静置多久视为写完（秒） | quiet time before a drop is taken"),
    ] = 2.0
    rescan_s: Annotated[
        float, Meta(ge=0.2, description="全量扫描间隔（秒） | time between full scans")
    ] = 30.0
    incomplete_after_s: Annotated[
        float, Meta(ge=1, description="不完整多久后退回（秒） | refuse an incomplete drop after")
    ] = 60.0
    network_settle_s: Annotated[
        float, Meta(ge=1, description="网络文件系统的静置时间（秒） | quiet time on network mounts")
    ] = 30.0
    network_incomplete_after_s: Annotated[
        float, Meta(ge=1, description="网络文件系统的退回时间（秒） | the same on network mounts")
    ] = 600.0


class GatewaySettings(SettingsFile, frozen=True, kw_only=True):
    """`gateway.toml`."""

    node: Node = Node()
    hub: HubLink = HubLink()
    unit: Annotated[
        list[UnitSettings], Meta(min_length=1, description="本机承载的单位 | units of this gateway")
    ]
    intake: IntakeSettings = IntakeSettings()
    limits: LimitSettings = LimitSettings()
    disk: DiskSettings = DiskSettings()
    relay: RelaySettings = RelaySettings()
    retention: RetentionSettings = RetentionSettings()
    log: LogSettings = LogSettings()

    @property
    def account(self) -> str:
        return self.hub.account or "u" + self.unit[0].code.lower()
