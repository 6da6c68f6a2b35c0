"""A finding: one thing that a check has to say about an input, and the report that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from frontgate.errors import FrontgateError, describe, render
from frontgate.values import Struct, field


class Severity(StrEnum):
    """How grave a finding is. Only `fatal` and `error` refuse; `sequence` is relayed and flagged."""

    FATAL = "fatal"
    ERROR = "error"
    WARNING = "warning"
    SEQUENCE = "sequence"

    @property
    def refuses(self) -> bool:
        return self in (Severity.FATAL, Severity.ERROR)


class Finding(Struct, frozen=True):
    """One finding, ready for people in both languages.

    rule: stable id, a code of the error table or a rule of the standard (`FG-<flow>-nnn`).
    file: path inside the drop or package. line: 1-based, None where there is none. xpath: place in
    the XML, with prefixes of the document. value: the offending value, cut to 200 characters.
    basis: law article or clause, where the rule has one.
    """

    rule: str
    severity: Severity
    zh: str
    en: str
    file: str = ""
    line: int | None = None
    xpath: str = ""
    value: str = ""
    basis: str = ""
    advice_zh: str = ""
    advice_en: str = ""

    def as_dict(self) -> dict[str, object]:
        """For JSON: all fields, empty ones left out."""
        pairs = {
            "rule": self.rule,
            "severity": self.severity.value,
            "file": self.file,
            "line": self.line,
            "xpath": self.xpath,
            "value": self.value,
            "zh": self.zh,
            "en": self.en,
            "basis": self.basis,
            "advice_zh": self.advice_zh,
            "advice_en": self.advice_en,
        }
        return {key: value for key, value in pairs.items() if value not in ("", None)}


def finding(
    code: str,
    severity: Severity = Severity.ERROR,
    *,
    file: str = "",
    line: int | None = None,
    xpath: str = "",
    value: str = "",
    **params: object,
) -> Finding:
    """Make a finding from a code of the error table; `params` and `value` fill its texts."""
    row = describe(code)
    params.setdefault("value", value[:200])
    return Finding(
        rule=code,
        severity=severity,
        zh=render(code, params, "zh"),
        en=render(code, params, "en"),
        file=file,
        line=line,
        xpath=xpath,
        value=value[:200],
        advice_zh=row.advice_zh,
        advice_en=row.advice_en,
    )


def finding_of(error: FrontgateError, *, file: str = "", line: int | None = None) -> Finding:
    """The finding that says what `error` says: for rooms that raise where a report is wanted."""
    params: Mapping[str, object] = error.params
    row = error.text
    shown = params.get("line", line)
    return Finding(
        rule=error.code,
        severity=Severity.FATAL,
        zh=error.message("zh"),
        en=error.message("en"),
        file=str(params.get("file", file)),
        line=shown if isinstance(shown, int) else None,
        value=str(params.get("value", ""))[:200],
        advice_zh=row.advice_zh,
        advice_en=row.advice_en,
    )


class Report(Struct, frozen=True):
    """All that the checks of one input found, in the order of layers, then of the document."""

    findings: tuple[Finding, ...] = field(default=())

    @property
    def is_refused(self) -> bool:
        return any(f.severity.refuses for f in self.findings)

    def plus(self, more: Iterable[Finding]) -> Report:
        return Report((*self.findings, *more))
