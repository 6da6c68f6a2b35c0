"""`hub.toml`."""

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


class HubDirectory(DeviceFolders, frozen=True, kw_only=True):
    """A unit whose mailbox is reached through a gap device."""

    unit: Annotated[UnitCode, Meta(description="单位代码（前置机所属） | unit code of the gateway")]


class HubLimits(LimitSettings, frozen=True, kw_only=True):
    account_waiting_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="每个账号在平台等待的数据上限（字节），0 为不限 | most bytes that an account may have waiting; 0: no limit",
        ),
    ] = 256 << 30


class SftpSettings(Section, frozen=True, kw_only=True):
    server: Annotated[
        Literal["embedded", "openssh"],
        Meta(description="SFTP 服务：内置或 OpenSSH | which SFTP server"),
    ] = "embedded"
    host: Annotated[str, Meta(description="监听地址（内置） | address to listen on")] = "0.0.0.0"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="监听端口（内置） | port to listen on")
    ] = 2222
    root: Annotated[Path, Meta(description="各单位信箱的根 | root of the mailboxes")] = Path("sftp")
    keys: Annotated[Path, Meta(description="各账号的公钥 | public keys of the accounts")] = Path(
        "sftp-keys"
    )
    public_host: Annotated[
        str, Meta(description="写入登记包的地址 | address written into unit bundles")
    ] = "127.0.0.1"
    public_port: Annotated[
        int,
        Meta(
            ge=0,
            le=65535,
            description="写入登记包的端口，0 为监听端口 | port written there; 0: the one above",
        ),
    ] = 0


class CaseSettings(Section, frozen=True, kw_only=True):
    project: Annotated[
        bool, Meta(description="随平台运行案件视图进程 | run the projector beside the hub")
    ] = True
    notices: Annotated[
        bool,
        Meta(
            description="向责任单位发送期限提示报文，红色及逾期的抄送政法委 | send deadline-notice messages to the acting unit, red and overdue ones to the committee as well"
        ),
    ] = False


class ConsoleSettings(Section, frozen=True, kw_only=True):
    enabled: Annotated[
        bool, Meta(description="随平台启动控制台 | start the console with the hub")
    ] = False
    host: Annotated[str, Meta(description="监听地址 | address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="监听端口 | port to listen on")] = 8443
    url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[A-Za-z0-9.:\[\]-]+)?\Z",
            description="用户访问的地址，默认由监听地址得出 | address that people use; else from host and port",
        ),
    ] = ""
    hosts: Annotated[
        list[str],
        Meta(description="另外接受的 Host 主机名 | further host names accepted in the Host header"),
    ] = field(default_factory=list)
    proxies: Annotated[
        list[str],
        Meta(
            description="反向代理的地址；登录限速以其 X-Forwarded-For 的最后一项为来源，不填则代理之后的用户同算一处"
            " | addresses of reverse proxies: logins are throttled by the last entry of their X-Forwarded-For;"
            " without it all who come through one count as one place"
        ),
    ] = field(default_factory=list)
    certificate: Annotated[
        Path | None,
        Meta(description="TLS 证书 PEM；反向代理之后不需要 | TLS certificate; not behind a proxy"),
    ] = None
    key: Annotated[Path | None, Meta(description="TLS 私钥 PEM | TLS key")] = None


class HubSettings(SettingsFile, frozen=True, kw_only=True):
    """`hub.toml`. file: its own path, for the processes that the hub starts."""

    node: Node = Node()
    unit: Annotated[str, Meta(description="平台单位代码 | unit code of the hub")] = "52000090005"
    sftp: SftpSettings = SftpSettings()
    cases: CaseSettings = CaseSettings()
    directory: Annotated[
        list[HubDirectory],
        Meta(description="经网闸相连的单位 | units that are reached through a gap device"),
    ] = field(default_factory=list)
    limits: HubLimits = HubLimits()
    disk: DiskSettings = DiskSettings()
    relay: RelaySettings = RelaySettings()
    retention: RetentionSettings = RetentionSettings()
    log: LogSettings = LogSettings()
    console: ConsoleSettings = ConsoleSettings()
    file: str = ""
