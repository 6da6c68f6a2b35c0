"""Texts of what is no error code of the program: rules and context checks of the standard."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frontgate.standard import Catalogue
    from frontgate.standard.rules import Rule


def plain(text: str) -> str:
    """A text of the table for a reader who has no case of it: what varies shows as `…`."""
    return re.sub(r"\{\w+\}", "…", text)


def rule_text(code: str) -> dict[str, str] | None:
    """A business rule or context check of the newest standard, as the handbook has it.

    Of a rule also where it is asked (`context`), what it looks at (`elements`), in which messages, the
    handbook's page and its own advice.
    """
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
                    return _row(
                        rule.id, rule.severity.value, rule.zh, rule.en, rule.basis
                    ) | _place(catalogue, flow, rule)
    return None


def _place(catalogue: Catalogue, flow: str, rule: Rule) -> dict[str, str]:
    from frontgate.standard.compared import paths_of

    elements = dict.fromkeys(path.plain for path in paths_of(rule.test))
    types = [s.message_type for s in catalogue.flow(flow).steps.values()]
    known = [t for t in types if rule.id in {r.id for r in catalogue.rules_of(t)}]
    is_common = rule.id.startswith("FG-common-")
    return {
        "context": rule.context,
        "elements": ", ".join(elements),
        "messages": "*" if is_common else ", ".join(known),
        "page": "<flow>.html#rules" if is_common else f"{flow}.html#rules",
        "advice_zh": rule.advice_zh,
        "advice_en": rule.advice_en,
    }


def _row(code: str, severity: str, zh: str, en: str, basis: str) -> dict[str, str]:
    return {"code": code, "severity": severity, "zh": zh, "en": en, "basis": basis}
