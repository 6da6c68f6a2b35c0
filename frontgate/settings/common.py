"""Sections that gateways and hubs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from frontgate.core.pacing import RateWindow
from frontgate.settings.section import Meta, Section, field

_CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z"


class SettingsFile(Section, frozen=True, kw_only=True):
    """base: the file's folder, from which its paths count."""

    base: Path = Path(".")

    def path(self, value: Path) -> Path:
        """A path of the settings, absolute."""
        return value if value.is_absolute() else self.base / value


class Node(Section, frozen=True, kw_only=True):
    state: Annotated[Path, Meta(description="日志库与包的文件夹 | journal and packages")] = Path(
        "state"
    )
    keys: Annotated[Path, Meta(description="密钥与信任文件夹 | keys and what is trusted")] = Path(
        "keys"
    )
    standards: Annotated[
        Path | None,
        Meta(description="标准文件夹，默认随程序 | the standard; else the packaged one"),
    ] = None


class DeviceFolders(Section, frozen=True, kw_only=True):
    """Two folders that a gap device serves. `in` is a word of Python: `into` inside."""

    out: Annotated[Path, Meta(description="交给网闸的文件夹 | what the device takes from us")]
    into: Annotated[Path, Meta(description="网闸送来的文件夹 | what the device brings us")] = field(
        name="in"
    )
    resend_s: Annotated[
        float,
        Meta(gt=0, description="多久未确认即重发（秒） | send again without acknowledgement after"),
    ] = 120.0
    gap_after_s: Annotated[
        float,
        Meta(gt=0, description="缺号或残件多久后报告（秒） | report missing or cut files after"),
    ] = 600.0
    poll_s: Annotated[float, Meta(ge=0.05, description="查看间隔（秒） | time between looks")] = 1.0


class LimitSettings(Section, frozen=True, kw_only=True):
    message_bytes: Annotated[
        int, Meta(ge=1024, description="message.xml 上限（字节） | most bytes of message.xml")
    ] = 32 << 20
    files: Annotated[int, Meta(ge=1, description="附件数上限 | most files")] = 2000
    package_bytes: Annotated[
        int, Meta(ge=1 << 20, description="单件上限（字节） | most bytes of a package")
    ] = 64 << 30
    ratio: Annotated[int, Meta(ge=2, description="解压倍数上限 | most expansion")] = 200


class DiskSettings(Section, frozen=True, kw_only=True):
    high_water_percent: Annotated[
        float, Meta(gt=1, le=100, description="超过此占用率暂停受理（%） | pause intake above")
    ] = 90.0
    reserve_bytes: Annotated[
        int,
        Meta(ge=0, description="低于此余量暂停受理（字节） | pause intake below this free space"),
    ] = 256 << 20
    emergency_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="应急预留文件，磁盘写满时释放（字节） | reserve file, given up when the disk is full",
        ),
    ] = 100 << 20


def _useful(value: int) -> None:
    if 0 < value < 1024:
        raise ValueError("0 or at least 1024")


class RateLimit(Section, frozen=True, kw_only=True):
    """One window of the day."""

    begins: Annotated[
        str, Meta(pattern=_CLOCK, description="开始（北京时间 HH:MM） | from, HH:MM at UTC+08:00")
    ]
    ends: Annotated[
        str,
        Meta(
            pattern=_CLOCK, description="结束；不晚于开始则过夜 | until; over midnight if not later"
        ),
    ]
    bytes_per_s: Annotated[
        int,
        Meta(
            ge=0,
            description="大件速率上限（字节/秒），0 为暂停 | limit of large files; 0: they wait",
            extra={"check": _useful},
        ),
    ]

    def window(self) -> RateWindow:
        return RateWindow(_minutes(self.begins), _minutes(self.ends), self.bytes_per_s)


def _minutes(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


class RelaySettings(Section, frozen=True, kw_only=True):
    connect_timeout_s: Annotated[
        float,
        Meta(
            ge=0.2, description="建立连接的时限（秒） | deadline to connect; handshake, login: 3 x"
        ),
    ] = 10.0
    step_timeout_s: Annotated[
        float, Meta(ge=0.2, description="每次请求的时限（秒） | deadline of each request")
    ] = 60.0
    rate_limit: Annotated[
        list[RateLimit],
        Meta(
            description="大件分时段限速；小件不受限 | pace of large files by time of day; small ones are free"
        ),
    ] = field(default_factory=list)
    retry_first_s: Annotated[
        float, Meta(gt=0, description="首次重试间隔（秒） | first retry after")
    ] = 1.0
    retry_max_s: Annotated[
        float, Meta(gt=0, description="最长重试间隔（秒） | longest retry wait")
    ] = 600.0
    bundle_members: Annotated[
        int, Meta(ge=1, le=256, description="每个传输包的件数上限 | most packages in a bundle")
    ] = 64
    overdue_s: Annotated[
        float, Meta(gt=0, description="多久无回执则重发（秒） | send again without receipt after")
    ] = 900.0
    relay_limit_days: Annotated[
        float, Meta(gt=0, description="未能送出的期限（天） | give up sending after")
    ] = 30.0
    delivery_limit_days: Annotated[
        float, Meta(gt=0, description="对方未取的期限（天） | give up delivery after")
    ] = 30.0
    delayed_after_s: Annotated[
        tuple[float, float],
        Meta(
            description="多久未答复即发 relay-delayed 提醒（秒，两级） | warn with relay-delayed after"
        ),
    ] = (1800.0, 259200.0)
    handover_limit_days: Annotated[
        float, Meta(gt=0, description="办案软件未取走的期限（天） | pick-up limit")
    ] = 7.0
    heartbeat_s: Annotated[
        float, Meta(ge=1, description="心跳间隔（秒） | time between heartbeats")
    ] = 60.0
    tally_settle_s: Annotated[
        float,
        Meta(
            ge=1,
            description="对账只计多久以前的回执（秒） | reconciliation counts receipts older than",
        ),
    ] = 3600.0

    def rate_windows(self) -> tuple[RateWindow, ...]:
        return tuple(limit.window() for limit in self.rate_limit)


class RetentionSettings(Section, frozen=True, kw_only=True):
    archive: Annotated[
        Path | None,
        Meta(
            description="归档文件夹，默认在 state 下；宜在另一块磁盘 | folder of archives; else below state; best on another disk"
        ),
    ] = None
    automatic: Annotated[
        bool, Meta(description="按时归档并清除 | archive and prune by schedule")
    ] = True
    every_h: Annotated[float, Meta(gt=0, description="间隔（小时） | hours between two runs")] = (
        24.0
    )
    payload_days: Annotated[
        float,
        Meta(ge=1, description="办案软件取走后保留内容（天） | keep content after handed-over"),
    ] = 30.0
    sent_days: Annotated[
        float,
        Meta(
            ge=30,
            description="送达后发送方保留内容（天） | the sender keeps content after delivered",
        ),
    ] = 30.0
    audit_days: Annotated[
        float,
        Meta(ge=180, description="审计记录与其他内容保留（天） | keep audit entries and all else"),
    ] = 400.0


class LogSettings(Section, frozen=True, kw_only=True):
    format: Annotated[Literal["json", "text"], Meta(description="日志格式 | form of the log")] = (
        "json"
    )
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="日志级别 | level")
    ] = "info"
