"""The invariants by number, and counting what was looked at and what is broken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from frontgate.values import Struct

KEPT = 100
"""So many breaches of one invariant are kept; the others are only counted."""

INVARIANTS: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        1: ("守恒：每件在途、送达或有理由地终止", "conservation: queued, delivered or ended with a reason"),
        2: ("保管：未送达者必有完整字节", "custody: whole bytes of what is not delivered"),
        3: ("已答复即已落盘", "what was acknowledged is there"),
        4: ("不产生第二次效果", "no second effect"),
        5: ("完整：存储与送达的字节未变", "integrity of stored and delivered bytes"),
        6: ("真实：封印可独立验证", "authenticity: seals verify alone"),
        7: ("保密：私有文件的权限", "confidentiality: rights of private files"),
        8: ("回执可验证且与日志一致", "receipts verify and match the journal"),
        9: ("审计链", "audit chain"),
        10: ("同一流程实例内保序", "order within a flow's instance"),
        11: ("有界：无残留文件", "boundedness: nothing left over"),
        12: ("隔离与退回均有说明", "what was set aside or refused is explained"),
        13: ("收敛：期限内了结", "convergence: settled within the limits"),
        14: ("恢复可重复：再次恢复无事可做", "idempotent recovery: nothing left to recover"),
        15: ("重发最小改变", "a replay changes nothing else"),
    }
)  # fmt: skip
"""Number → (zh, en)."""


class Breach(Struct, frozen=True):
    """One thing that is not as it must be. node: where. ident: message, file or entry."""

    node: str
    ident: str
    zh: str
    en: str


@dataclass(slots=True)
class Verdict:
    """One invariant over all homes. checked: how many things were held against it. is_judged: whether
    anything could tell; where it is False, that nothing is broken says nothing.
    """

    number: int
    is_judged: bool = True
    checked: int = 0
    broken: int = 0
    breaches: list[Breach] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return self.broken == 0

    def text(self, lang: str) -> str:
        return INVARIANTS[self.number][0 if lang == "zh" else 1]


class Tally:
    """What one home's checks found; `at` names the node."""

    def __init__(self, verdicts: Mapping[int, Verdict], node: str) -> None:
        self._verdicts = verdicts
        self._node = node

    def ok(self, number: int, count: int = 1) -> None:
        """So many things were held against an invariant."""
        self._verdicts[number].checked += count

    def broken(self, number: int, ident: object, zh: str, en: str) -> None:
        verdict = self._verdicts[number]
        verdict.broken += 1
        if len(verdict.breaches) < KEPT:
            verdict.breaches.append(Breach(self._node, str(ident), zh, en))

    def expect(self, number: int, holds: object, ident: object, zh: str, en: str) -> bool:
        """Hold one thing against an invariant. Returns: whether it holds."""
        self.ok(number)
        if not holds:
            self.broken(number, ident, zh, en)
        return bool(holds)
