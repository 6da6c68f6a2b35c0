"""Words of case views in both languages, from the standard's own code lists."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime

from frontgate.core.deadlines import LEGAL_TIME
from frontgate.core.visible import shown
from frontgate.errors import FrontgateError
from frontgate.standard import Catalogue

HOW: Mapping[str, tuple[str, str]] = {
    "owner": ("立案单位", "opened it"),
    "opener": ("首发单位", "sent first"),
    "receiver": ("收件", "addressed"),
    "copy": ("抄送", "copied"),
    "jurisdiction": ("管辖", "jurisdiction"),
    "confirmed": ("经确认", "confirmed"),
}
ALARMS: Mapping[str, tuple[str, str]] = {
    "case-clash": (
        "案件号冲突：他单位以同一案件号立案",
        "another unit opened a case under this CaseUid",
    ),
    "person-clash": ("人员身份不一致", "a person's identity differs"),
    "outside": ("无人引入的单位发来报文", "a message of a unit that nobody brought in"),
    "moved": ("改变管辖", "moved to another jurisdiction"),
}
STATES: Mapping[str, tuple[str, str]] = {
    "open": ("进行中", "running"),
    "yellow": ("将届满", "due soon"),
    "red": ("即将届满", "nearly due"),
    "overdue": ("已逾期", "overdue"),
    "lapsed": ("期满", "lapsed"),
    "paused": ("中止", "paused"),
    "met": ("按期", "met"),
    "met-late": ("逾期办结", "met late"),
    "cancelled": ("失效", "superseded"),
}
LINKS: Mapping[str, tuple[str, str]] = {
    "same-person": ("同一人", "the same person"),
    "merge": ("并案", "merged"),
    "split": ("分案", "split"),
    "persons-moved": ("人员移入", "persons handled there"),
    "replaces": ("更正", "replaces"),
    "shared-flow": ("流程关联", "shares a flow"),
}
ACTS: Mapping[str, tuple[str, str]] = {
    "explain": ("说明", "explained"),
    "dispute": ("异议", "disputed"),
    "close": ("办结", "closed"),
    "confirm": ("确认", "confirmed"),
    "admit": ("准许参与", "admitted a unit"),
}


class Words:
    """Texts of one language."""

    def __init__(self, catalogue: Catalogue, lang: str) -> None:
        self._catalogue = catalogue
        self._lang = lang

    def pick(self, table: Mapping[str, tuple[str, str]], key: str) -> str:
        zh, en = table.get(key, (key, key))
        return zh if self._lang == "zh" else en

    def code(self, code_list: str, code: str) -> str:
        """The text of a code; the code itself where the list does not know it."""
        if not code or not code_list:
            return code
        try:
            return self._catalogue.code_list(code_list).text(code, self._lang) or code
        except FrontgateError:
            return code

    def type(self, message_type: str) -> str:
        return self.code("message-type", message_type)

    def rule(self, rule_id: str) -> str:
        rule = self._catalogue.deadlines.get(rule_id)
        return (rule.zh if self._lang == "zh" else rule.en) if rule else rule_id

    def reason(self, reason: str) -> str:
        """Why a term was paused: a code's text, or what the message names for it."""
        codes, _, code = reason.partition(":")
        return self.code(codes, code) if codes in self._catalogue.list_names and code else reason

    def basis(self, rule_id: str) -> Sequence[str]:
        rule = self._catalogue.deadlines.get(rule_id)
        return rule.basis if rule else ()


def local(at: str, *, day: bool = False) -> str:
    """A stored time in legal time, to the minute; `-` for none. What is no time is left as it is."""
    if not at:
        return "-"
    try:
        moment = datetime.fromisoformat(at).astimezone(LEGAL_TIME)
    except (ValueError, OverflowError):
        return at
    return moment.strftime("%Y-%m-%d" if day else "%Y-%m-%d %H:%M")


def pad(text: str, width: int) -> str:
    """Text in a column of so many cells; a Chinese character takes two."""
    text = shown(text)
    cells = 0
    for index, c in enumerate(text):
        wide = 2 if unicodedata.east_asian_width(c) in "WF" else 1
        if cells + wide > width:
            return text[:index] + " " * (width - cells)
        cells += wide
    return text + " " * (width - cells)
