"""The standard as one JSON value: for programs that want to read what the handbook shows."""

from __future__ import annotations

from typing import Any

from frontgate.core.deadlines import Limit
from frontgate.standard.catalogue import Catalogue
from frontgate.standard.codecheck import CHECKS
from frontgate.standard.deadlines import Term
from frontgate.standard.fields import fields_of
from frontgate.standard.flows import DocumentRule, Flow, Step
from frontgate.standard.reading import prefixes


def as_data(catalogue: Catalogue) -> dict[str, Any]:
    """version, roles, checks (of check characters), flows (steps with fields, documents, ids of rules;
    the rules), types (what the types of fields say of themselves), deadlines, codes."""
    return {
        "version": catalogue.version,
        "roles": {
            r.code: {"zh": r.zh, "en": r.en, "unit_types": list(r.unit_types)}
            for r in catalogue.roles.values()
        },
        "checks": {name: {"zh": zh, "en": en} for name, (_, zh, en) in CHECKS.items()},
        "flows": [_flow(catalogue, catalogue.flow(name)) for name in catalogue.flow_names],
        "types": _types(catalogue),
        "deadlines": [
            {
                "id": rule.id,
                "zh": rule.zh,
                "en": rule.en,
                "basis": list(rule.basis),
                "certainty": rule.certainty,
                "terms": [
                    {
                        "part": term.part,
                        "start": term.start.message or term.start.event,
                        "stop": [*term.stop_messages, *term.stop_events],
                        "actor": list(term.actor),
                        "limit": term_text(term, "en"),
                        "until": term.until,
                        "after_days": term.start.after_days,
                        "custody": term.custody.value,
                    }
                    for term in rule.terms
                ],
            }
            for rule in catalogue.deadlines.values()
        ],
        "codes": {
            name: [
                {
                    "code": c.code,
                    "zh": c.zh,
                    "en": c.en,
                    "valid_from": c.valid_from.isoformat() if c.valid_from else None,
                    "valid_to": c.valid_to.isoformat() if c.valid_to else None,
                }
                for rows in catalogue.code_list(name).codes.values()
                for c in rows
            ]
            for name in catalogue.list_names
        },
    }


def _types(catalogue: Catalogue) -> dict[str, dict[str, str]]:
    found = {
        f.type_name: {"zh": f.type_zh, "en": f.type_en}
        for message_type in catalogue.message_types
        for f in fields_of(catalogue, message_type)
        if f.type_zh and f.prefix in ("m", "t")
    }
    return dict(sorted(found.items()))


def _flow(catalogue: Catalogue, flow: Flow) -> dict[str, Any]:
    return {
        "name": flow.name,
        "number": flow.number,
        "zh": flow.zh,
        "en": flow.en,
        "law": list(flow.law),
        "steps": [_step(catalogue, step) for step in flow.steps.values()],
        "rules": [
            {"id": r.id, "severity": r.severity.value, "zh": r.zh, "en": r.en, "basis": r.basis}
            for rs in catalogue.rule_sets(flow.name)
            for r in rs.rules.values()
        ],
    }


def step_data(catalogue: Catalogue, step: Step) -> dict[str, Any]:
    """One message type: parties, copies, documents, fields, and the rules that can find anything in it.

    fields: limits and check as the handbook shows them; prefix stands for one of `namespaces`.
    """
    return {
        "message_type": step.message_type,
        "zh": step.zh,
        "en": step.en,
        "purpose_zh": step.purpose_zh,
        "purpose_en": step.purpose_en,
        "element": step.element,
        "namespaces": dict(prefixes(step.flow)),
        "from": list(step.from_roles),
        "to": list(step.to_roles),
        "stage": step.stage,
        "opens": step.opens,
        "after": list(step.after),
        "answers": list(step.answers),
        "cc": [{"role": c.role, "mode": c.mode} for c in step.cc],
        "documents": [
            _document(d, variant)
            for variant, d in (
                *(("", d) for d in step.documents),
                *((v.name, d) for v in step.variants for d in v.documents),
            )
        ],
        "fields": [
            {
                "path": f.path,
                "prefix": f.prefix,
                "zh": f.zh,
                "en": f.en,
                "note_zh": f.note_zh,
                "note_en": f.note_en,
                "occurs": f.occurs,
                "is_choice": f.is_choice,
                "type": f.type_name,
                "limits": f.limits,
                "codes": f.codes,
                "check": f.check,
            }
            for f in fields_of(catalogue, step.message_type)
        ],
        "rules": [
            {"id": r.id, "severity": r.severity.value, "zh": r.zh, "en": r.en, "basis": r.basis}
            for r in catalogue.rules_of(step.message_type)
        ],
    }


def _step(catalogue: Catalogue, step: Step) -> dict[str, Any]:
    """As `step_data`; of the rules, which the flow tells once, the ids."""
    data = step_data(catalogue, step)
    return {"type": step.message_type} | data | {"rules": [r["id"] for r in data["rules"]]}


def _document(rule: DocumentRule, variant: str) -> dict[str, Any]:
    return {
        "types": list(rule.types),
        "min": rule.min,
        "max": rule.max or None,
        "when": rule.when,
        "variant": variant,
    }


_UNITS = {
    "minute": ("分钟", "minutes"),
    "hour": ("小时", "hours"),
    "working-hour": ("个工作小时", "working hours"),
    "day": ("日", "days"),
    "working-day": ("个工作日", "working days"),
    "month": ("个月", "months"),
}


def term_text(term: Term, language: str) -> str:
    """The limit, and what else rules the end of a term, in words."""
    text = limit_text(term.limit, language)
    days = term.start.after_days
    if language == "zh":
        return (
            f"{days} 日届满后 " * bool(days)
            + text
            + "（报文载明期限的从其规定）" * bool(term.until)
        )
    over = f" after {days} days are over" if days else ""
    return text + over + (", or as the message says" if term.until else "")


def limit_text(limit: Limit, language: str) -> str:
    """A limit in words: `7 日`, `1 个月加 15 日`, `届满 7 日前`, `当日`."""
    zh, en = _UNITS[limit.unit.value]
    count = abs(limit.value)
    if not count:
        return "当日" if language == "zh" else "on the day"
    if language == "zh":
        text = f"{count} {zh}" + (f"加 {limit.plus_days} 日" if limit.plus_days else "")
        return f"{text}前" if limit.value < 0 else text
    text = f"{count} {en}" + (f" and {limit.plus_days} days" if limit.plus_days else "")
    return f"{text} before" if limit.value < 0 else text
