"""Settings: TOML files, parsed once, never imported below this layer.

Offers: `load_gateway`, `load_hub`, `find_config`, `settings_reference` (the text of
`docs/settings.md`). Unknown keys are errors that name the nearest known one; all faults are told at
once. Relative paths count from the settings file's folder. Fails: `SettingsError` FG-CFG.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from frontgate.core.identifiers import is_unit_code
from frontgate.core.pacing import RateWindow
from frontgate.errors import SettingsError

_CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Node(_Section):
    state: Path = Field(Path("state"), description="日志库与包的文件夹 | journal and packages")
    keys: Path = Field(Path("keys"), description="密钥与信任文件夹 | keys and what is trusted")
    standards: Path | None = Field(
        None, description="标准文件夹，默认随程序 | the standard; else the packaged one"
    )


class DeviceFolders(_Section):
    """Two folders that a gap device serves. `in` is a word of Python: `into` inside."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    out: Path = Field(description="交给网闸的文件夹 | what the device takes from us")
    into: Path = Field(alias="in", description="网闸送来的文件夹 | what the device brings us")
    resend_s: float = Field(
        120.0, gt=0, description="多久未确认即重发（秒） | send again without acknowledgement after"
    )
    gap_after_s: float = Field(
        600.0, gt=0, description="缺号或残件多久后报告（秒） | report missing or cut files after"
    )
    poll_s: float = Field(1.0, ge=0.05, description="查看间隔（秒） | time between looks")


class HubDirectory(DeviceFolders):
    """A unit whose mailbox is reached through a gap device."""

    unit: str = Field(description="单位代码（前置机所属） | unit code of the gateway")

    @field_validator("unit")
    @classmethod
    def _unit(cls, value: str) -> str:
        if not is_unit_code(value):
            raise ValueError("not a unit code (11 characters, check character last)")
        return value


class HubLink(_Section):
    transport: Literal["sftp", "directory"] = Field(
        "sftp",
        description="传输方式：SFTP 或网闸文件夹 | SFTP, or folders that a gap device serves",
    )
    directory: DeviceFolders | None = Field(
        None, description="网闸文件夹（transport = directory 时） | with transport = directory"
    )
    host: str = Field("", description="省级平台地址 | address of the hub")
    port: int = Field(22, ge=1, le=65535, description="端口 | port")
    unit: str = Field("", description="平台单位代码 | unit code of the hub")
    account: str = Field(
        "", description="SFTP 账号，默认 u+首个单位代码 | SFTP account; else u + first unit's code"
    )
    host_keys: list[str] = Field(
        default_factory=list, description="平台主机公钥 | the hub's public host keys"
    )

    @model_validator(mode="after")
    def _has_folders(self) -> HubLink:
        if self.transport == "directory" and self.directory is None:
            raise ValueError('transport = "directory" needs [hub.directory] with out and in')
        return self


class App(_Section):
    name: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,40}$", description="软件名，也是文件夹名 | name, and folder"
    )
    flows: list[str] = Field(default_factory=list, description="接收哪些流程 | flows that it gets")
    dialect: Path | None = Field(None, description="方言文件夹 | folder of its dialect")


class UnitSettings(_Section):
    code: str = Field(description="单位代码 | unit code")
    spool: Path = Field(description="投放文件夹 | the spool")
    key: Path = Field(description="签名私钥 PEM | signing key, PEM")
    certificate: Path = Field(description="签名证书 PEM | signing certificate, PEM")
    group: str = Field("", description="与办案软件共用的组 | group shared with the case software")
    dialect: Path | None = Field(
        None, description="方言文件夹（无多套软件时） | folder of its dialect, without [[unit.app]]"
    )
    case_user: str = Field(
        "",
        description="办案软件的系统账号，供 doctor 试用 | the case software's account, for doctor",
    )
    delivered_form: Literal["folder", "zip", "sealed"] = Field(
        "folder", description="送达形式 | form of delivery"
    )
    app: list[App] = Field(
        default_factory=list, description="同一单位的多套软件 | several programs of one unit"
    )

    @field_validator("code")
    @classmethod
    def _code(cls, value: str) -> str:
        if not is_unit_code(value):
            raise ValueError("not a unit code (11 characters, check character last)")
        return value


class IntakeSettings(_Section):
    settle_s: float = Field(
        2.0, ge=0.05, description="静置多久视为写完（秒） | quiet time before a drop is taken"
    )
    rescan_s: float = Field(
        30.0, ge=0.2, description="全量扫描间隔（秒） | time between full scans"
    )
    incomplete_after_s: float = Field(
        60.0, ge=1, description="不完整多久后退回（秒） | refuse an incomplete drop after"
    )
    network_settle_s: float = Field(
        30.0, ge=1, description="网络文件系统的静置时间（秒） | quiet time on network mounts"
    )
    network_incomplete_after_s: float = Field(
        600.0, ge=1, description="网络文件系统的退回时间（秒） | the same on network mounts"
    )


class LimitSettings(_Section):
    message_bytes: int = Field(
        32 << 20, ge=1024, description="message.xml 上限（字节） | most bytes of message.xml"
    )
    files: int = Field(2000, ge=1, description="附件数上限 | most files")
    package_bytes: int = Field(
        64 << 30, ge=1 << 20, description="单件上限（字节） | most bytes of a package"
    )
    ratio: int = Field(200, ge=2, description="解压倍数上限 | most expansion")


class HubLimits(LimitSettings):
    account_waiting_bytes: int = Field(
        256 << 30,
        ge=0,
        description="每个账号在平台等待的数据上限（字节），0 为不限 | most bytes that an account may have waiting; 0: no limit",
    )


class DiskSettings(_Section):
    high_water_percent: float = Field(
        90.0, gt=1, le=100, description="超过此占用率暂停受理（%） | pause intake above"
    )
    reserve_bytes: int = Field(
        256 << 20,
        ge=0,
        description="低于此余量暂停受理（字节） | pause intake below this free space",
    )
    emergency_bytes: int = Field(
        100 << 20,
        ge=0,
        description="应急预留文件，磁盘写满时释放（字节） | reserve file, given up when the disk is full",
    )


class RateLimit(_Section):
    """One window of the day."""

    begins: str = Field(
        pattern=_CLOCK, description="开始（北京时间 HH:MM） | from, HH:MM at UTC+08:00"
    )
    ends: str = Field(
        pattern=_CLOCK, description="结束；不晚于开始则过夜 | until; over midnight if not later"
    )
    bytes_per_s: int = Field(
        ge=0, description="大件速率上限（字节/秒），0 为暂停 | limit of large files; 0: they wait"
    )

    @field_validator("bytes_per_s")
    @classmethod
    def _useful(cls, value: int) -> int:
        if 0 < value < 1024:
            raise ValueError("0 or at least 1024")
        return value

    def window(self) -> RateWindow:
        return RateWindow(_minutes(self.begins), _minutes(self.ends), self.bytes_per_s)


def _minutes(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


class RelaySettings(_Section):
    connect_timeout_s: float = Field(
        10.0,
        ge=0.2,
        description="建立连接的时限（秒） | deadline to connect; handshake, login: 3 x",
    )
    step_timeout_s: float = Field(
        60.0, ge=0.2, description="每次请求的时限（秒） | deadline of each request"
    )
    rate_limit: list[RateLimit] = Field(
        default_factory=list,
        description="大件分时段限速；小件不受限 | pace of large files by time of day; small ones are free",
    )
    retry_first_s: float = Field(1.0, gt=0, description="首次重试间隔（秒） | first retry after")
    retry_max_s: float = Field(600.0, gt=0, description="最长重试间隔（秒） | longest retry wait")
    bundle_members: int = Field(
        64, ge=1, le=256, description="每个传输包的件数上限 | most packages in a bundle"
    )
    overdue_s: float = Field(
        900.0, gt=0, description="多久无回执则重发（秒） | send again without receipt after"
    )
    relay_limit_days: float = Field(
        30.0, gt=0, description="未能送出的期限（天） | give up sending after"
    )
    delivery_limit_days: float = Field(
        30.0, gt=0, description="对方未取的期限（天） | give up delivery after"
    )
    delayed_after_s: tuple[float, float] = Field(
        (1800.0, 259200.0),
        description="多久未答复即发 relay-delayed 提醒（秒，两级） | warn with relay-delayed after",
    )
    handover_limit_days: float = Field(
        7.0, gt=0, description="办案软件未取走的期限（天） | pick-up limit"
    )
    heartbeat_s: float = Field(60.0, ge=1, description="心跳间隔（秒） | time between heartbeats")
    tally_settle_s: float = Field(
        3600.0,
        ge=1,
        description="对账只计多久以前的回执（秒） | reconciliation counts receipts older than",
    )

    def rate_windows(self) -> tuple[RateWindow, ...]:
        return tuple(limit.window() for limit in self.rate_limit)


class RetentionSettings(_Section):
    archive: Path | None = Field(
        None,
        description="归档文件夹，默认在 state 下；宜在另一块磁盘 | folder of archives; else below state; best on another disk",
    )
    automatic: bool = Field(True, description="按时归档并清除 | archive and prune by schedule")
    every_h: float = Field(24.0, gt=0, description="间隔（小时） | hours between two runs")
    payload_days: float = Field(
        30.0, ge=1, description="办案软件取走后保留内容（天） | keep content after handed-over"
    )
    sent_days: float = Field(
        30.0,
        ge=30,
        description="送达后发送方保留内容（天） | the sender keeps content after delivered",
    )
    audit_days: float = Field(
        400.0, ge=180, description="审计记录与其他内容保留（天） | keep audit entries and all else"
    )


class LogSettings(_Section):
    format: Literal["json", "text"] = Field("json", description="日志格式 | form of the log")
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="日志级别 | level"
    )


class SftpSettings(_Section):
    server: Literal["embedded", "openssh"] = Field(
        "embedded", description="SFTP 服务：内置或 OpenSSH | which SFTP server"
    )
    host: str = Field("0.0.0.0", description="监听地址（内置） | address to listen on")
    port: int = Field(2222, ge=0, le=65535, description="监听端口（内置） | port to listen on")
    root: Path = Field(Path("sftp"), description="各单位信箱的根 | root of the mailboxes")
    keys: Path = Field(Path("sftp-keys"), description="各账号的公钥 | public keys of the accounts")
    public_host: str = Field(
        "127.0.0.1", description="写入登记包的地址 | address written into unit bundles"
    )
    public_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="写入登记包的端口，0 为监听端口 | port written there; 0: the one above",
    )


class CaseSettings(_Section):
    project: bool = Field(
        True, description="随平台运行案件视图进程 | run the projector beside the hub"
    )
    notices: bool = Field(
        False,
        description="向责任单位发送期限提示报文 | send deadline-notice messages to the acting unit",
    )


class ConsoleSettings(_Section):
    enabled: bool = Field(False, description="随平台启动控制台 | start the console with the hub")
    host: str = Field("127.0.0.1", description="监听地址 | address to listen on")
    port: int = Field(8443, ge=0, le=65535, description="监听端口 | port to listen on")
    url: str = Field(
        "",
        pattern=r"^(https?://[A-Za-z0-9.:\[\]-]+)?$",
        description="用户访问的地址，默认由监听地址得出 | address that people use; else from host and port",
    )
    hosts: list[str] = Field(
        default_factory=list,
        description="另外接受的 Host 主机名 | further host names accepted in the Host header",
    )
    certificate: Path | None = Field(
        None, description="TLS 证书 PEM；反向代理之后不需要 | TLS certificate; not behind a proxy"
    )
    key: Path | None = Field(None, description="TLS 私钥 PEM | TLS key")


class GatewaySettings(_Section):
    """`gateway.toml`."""

    node: Node = Node()  # type: ignore[call-arg]
    hub: HubLink = HubLink()  # type: ignore[call-arg]
    unit: list[UnitSettings] = Field(
        min_length=1, description="本机承载的单位 | units of this gateway"
    )
    intake: IntakeSettings = IntakeSettings()  # type: ignore[call-arg]
    limits: LimitSettings = LimitSettings()  # type: ignore[call-arg]
    disk: DiskSettings = DiskSettings()  # type: ignore[call-arg]
    relay: RelaySettings = RelaySettings()  # type: ignore[call-arg]
    retention: RetentionSettings = RetentionSettings()  # type: ignore[call-arg]
    log: LogSettings = LogSettings()  # type: ignore[call-arg]
    base: Path = Field(Path("."), exclude=True)

    def path(self, value: Path) -> Path:
        """A path of the settings, absolute."""
        return value if value.is_absolute() else self.base / value

    @property
    def account(self) -> str:
        return self.hub.account or "u" + self.unit[0].code.lower()


class HubSettings(_Section):
    """`hub.toml`."""

    node: Node = Node()  # type: ignore[call-arg]
    unit: str = Field("52000090005", description="平台单位代码 | unit code of the hub")
    sftp: SftpSettings = SftpSettings()  # type: ignore[call-arg]
    cases: CaseSettings = CaseSettings()  # type: ignore[call-arg]
    directory: list[HubDirectory] = Field(
        default_factory=list,
        description="经网闸相连的单位 | units that are reached through a gap device",
    )
    limits: HubLimits = HubLimits()  # type: ignore[call-arg]
    disk: DiskSettings = DiskSettings()  # type: ignore[call-arg]
    relay: RelaySettings = RelaySettings()  # type: ignore[call-arg]
    retention: RetentionSettings = RetentionSettings()  # type: ignore[call-arg]
    log: LogSettings = LogSettings()  # type: ignore[call-arg]
    console: ConsoleSettings = ConsoleSettings()  # type: ignore[call-arg]
    base: Path = Field(Path("."), exclude=True)
    file: str = Field("", exclude=True)

    def path(self, value: Path) -> Path:
        """A path of the settings, absolute."""
        return value if value.is_absolute() else self.base / value


def find_config(given: str | None, role: Literal["gateway", "hub"]) -> Path:
    """The settings file: as given, else /etc/frontgate/<role>.toml, else ./<role>.toml.

    Raises: SettingsError FG-CFG-001.
    """
    candidates = (
        [Path(given)] if given else [Path("/etc/frontgate") / f"{role}.toml", Path(f"{role}.toml")]
    )
    for path in candidates:
        if path.is_dir():
            path = path / f"{role}.toml"
        if path.is_file():
            return path.resolve()
    raise SettingsError("FG-CFG-001", path=str(candidates[0]))


def load_gateway(path: Path) -> GatewaySettings:
    """Read `gateway.toml`. Raises: SettingsError FG-CFG-001..003."""
    data, text = _read(path)
    try:
        return GatewaySettings(**data, base=path.parent)
    except ValidationError as error:
        raise _faults(path, text, error, GatewaySettings) from None


def load_hub(path: Path) -> HubSettings:
    """Read `hub.toml`. Raises: SettingsError FG-CFG-001..003."""
    data, text = _read(path)
    try:
        return HubSettings(**data, base=path.parent, file=str(path))
    except ValidationError as error:
        raise _faults(path, text, error, HubSettings) from None


def _read(path: Path) -> tuple[dict[str, Any], str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError("FG-CFG-001", path=str(path), detail=str(error)) from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError("FG-CFG-002", path=str(path), reason=str(error)) from error
    data.pop("base", None)
    data.pop("file", None)
    return data, text


def _faults(path: Path, text: str, error: ValidationError, model: type[BaseModel]) -> SettingsError:
    """All faults in one error: key, line, what is wrong, the nearest known key."""
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"] if not isinstance(part, int))
        name = key.rpartition(".")[2]
        what = fault["msg"]
        if fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, _known(model), n=1)
            what = "unknown key" + (f", did you mean '{near[0]}'?" if near else "")
        number = next(
            (n for n, line in enumerate(text.splitlines(), 1) if line.strip().startswith(name)), 0
        )
        place = f"{path.name}:{number}" if number else path.name
        lines.append(f"{place}: {key}: {what}")
    return SettingsError("FG-CFG-003", path=str(path), count=len(lines), detail="; ".join(lines))


def _known(model: type[BaseModel]) -> list[str]:
    names: list[str] = []
    for name, info in model.model_fields.items():
        names.append(info.alias or name)
        inner = _inner(info.annotation)
        if inner is not None:
            names += _known(inner)
    return names


def settings_reference() -> str:
    """The text of `docs/settings.md`."""
    out = [
        "# Settings / 设置",
        "",
        "Generated from `frontgate/settings.py`. Paths are relative to the file.",
        "",
    ]
    for title, model in (("gateway.toml", GatewaySettings), ("hub.toml", HubSettings)):
        out += [f"## `{title}`", ""]
        out += _table("", model)
    return "\n".join(out) + "\n"


def _table(prefix: str, model: type[BaseModel]) -> list[str]:
    rows: list[str] = []
    deeper: list[str] = []
    for name, info in model.model_fields.items():
        if info.exclude:
            continue
        inner = _inner(info.annotation)
        if inner is not None:
            mark = f"[[{prefix}{name}]]" if "list" in str(info.annotation) else f"[{prefix}{name}]"
            deeper += [f"### `{mark}`", "", *_table(f"{prefix}{name}.", inner)]
        else:
            default = (
                ""
                if info.is_required()
                else f"`{_shown(info.get_default(call_default_factory=True))}`"
            )
            rows.append(
                f"| `{info.alias or name}` | {default} | {(info.description or '').replace(' | ', '<br>')} |"
            )
    head = ["| key | default | meaning |", "| --- | --- | --- |"] if rows else []
    return [*head, *rows, "", *deeper]


def _inner(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _shown(value: object) -> str:
    return value.as_posix() if isinstance(value, Path) else str(value)
