"""Two versions of the standard compared: what a vendor must look at before an upgrade."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping

from frontgate.standard.catalogue import Catalogue
from frontgate.standard.fields import fields_of
from frontgate.values import Struct

ADDED = "added"
REMOVED = "removed"
CHANGED = "changed"


class Change(Struct, frozen=True):
    """One difference. area: `message`, `field`, `rule`, `document` or `code`. before, after: empty
    for what was added or removed."""

    kind: str
    area: str
    name: str
    before: str = ""
    after: str = ""


def compare(old: Catalogue, new: Catalogue) -> tuple[Change, ...]:
    """Every difference that messages can feel, by area, then in the order of the new version."""
    common = [t for t in new.message_types if t in old.message_types]
    changes = list(_differ("message", _messages(old), _messages(new)))
    for message_type in common:
        changes += _differ("field", _fields(old, message_type), _fields(new, message_type))
        changes += _differ("document", _documents(old, message_type), _documents(new, message_type))
    changes += _differ("rule", _rules(old), _rules(new))
    for name in sorted(set(old.list_names) | set(new.list_names)):
        changes += _differ("code", _codes(old, name), _codes(new, name))
    return tuple(changes)


def _differ(
    area: str, old: Mapping[str, Hashable], new: Mapping[str, Hashable]
) -> Iterator[Change]:
    for name, value in old.items():
        if name not in new:
            yield Change(REMOVED, area, name, before=str(value))
    for name, value in new.items():
        if name not in old:
            yield Change(ADDED, area, name, after=str(value))
        elif old[name] != value:
            yield Change(CHANGED, area, name, str(old[name]), str(value))


def _messages(catalogue: Catalogue) -> dict[str, str]:
    steps = (catalogue.step(t) for t in catalogue.message_types)
    return {
        s.message_type: f"{'+'.join(s.from_roles)} → {'+'.join(s.to_roles)}"
        + "".join(f"; cc {c.role} {c.mode}" for c in s.cc)
        for s in steps
    }


def _fields(catalogue: Catalogue, message_type: str) -> dict[str, str]:
    return {
        f"{message_type} {f.path}": " ".join(
            part for part in (f.occurs, f.type_name, f.limits, f.codes, f.check) if part
        )
        for f in fields_of(catalogue, message_type)
    }


def _documents(catalogue: Catalogue, message_type: str) -> dict[str, str]:
    step = catalogue.step(message_type)
    named = [("", d) for d in step.documents]
    named += [(f" ({v.name})", d) for v in step.variants for d in v.documents]
    return {
        f"{message_type}{variant} {'/'.join(d.types)} {d.when}".rstrip(): f"{d.min}..{d.max or '*'}"
        for variant, d in named
    }


def _rules(catalogue: Catalogue) -> dict[str, tuple[str, str, str]]:
    return {
        rule.id: (rule.severity.value, rule.context, rule.test)
        for flow in catalogue.flow_names
        for rule_set in catalogue.rule_sets(flow)
        for rule in rule_set.rules.values()
    }


def _codes(catalogue: Catalogue, name: str) -> dict[str, str]:
    if name not in catalogue.list_names:
        return {}
    return {
        f"{name} {code}": "; ".join(
            f"{r.zh} [{r.valid_from or ''}..{r.valid_to or ''}]" for r in rows
        )
        for code, rows in catalogue.code_list(name).codes.items()
    }
