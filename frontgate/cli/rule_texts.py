"""Texts of what is no error code of the program: rules and context checks of the standard."""

from __future__ import annotations

import re


def plain(text: str) -> str:
    """A text of the table for a reader who has no case of it: what varies shows as `…`."""
    return re.sub(r"\{\w+\}", "…", text)


def rule_text(code: str) -> dict[str, str] | None:
    """A business rule or context check of the newest standard, as the handbook has it."""
    from frontgate.standard import Standards  # XML libraries: only where a rule is asked for
    from frontgate.standard.context import read_context

    standards = Standards.load()
    catalogue = standards.version(standards.newest)
    wanted = code.partition(":")[0].casefold()
    for check in read_context(catalogue.context).checks:
        if check.id.casefold() == wanted:
            return _row(
                check.id, check.severity.value, plain(check.zh), plain(check.en), check.basis
            )
    for flow in catalogue.flow_names:
        for rules in catalogue.rule_sets(flow):
            for rule in rules.rules.values():
                if rule.id.casefold() == wanted:
                    return _row(rule.id, rule.severity.value, rule.zh, rule.en, rule.basis)
    return None


def _row(code: str, severity: str, zh: str, en: str, basis: str) -> dict[str, str]:
    return {"code": code, "severity": severity, "zh": zh, "en": en, "basis": basis}
