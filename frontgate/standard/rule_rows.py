"""The rules of a flow for its page of the handbook: what each demands, and of which fields.

A rule's XPaths are walked by the names of their steps through the fields of each message in which
the rule can find anything. Guarantees: only for links; a path that cannot be read so has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from lxml import etree

from frontgate.standard.catalogue import Catalogue
from frontgate.standard.compared import paths_of
from frontgate.standard.fields import Field
from frontgate.standard.flows import Flow
from frontgate.standard.markup import Node, both, el, table
from frontgate.standard.rules import Rule
from frontgate.values import Struct

MOST_LINKS = 6
"""Fields shown of one rule; in the messages of a flow most of them repeat."""

_PREDICATE = re.compile(r"\[[^\[\]]*\]")


class Place(Struct, frozen=True):
    """A field that a rule looks at. anchor: where it stands on the page. label: `step · name`."""

    anchor: str
    label: str


def anchor(step: str, field: Field) -> str:
    """The id of a field's row. step: the name of the message's step, empty for the common ones."""
    return f"{step or 'common'}{field.path.removeprefix('/Message')}"


def places(
    catalogue: Catalogue, flow: Flow, fields: Mapping[str, tuple[Field, ...]], common: int
) -> dict[str, tuple[Place, ...]]:
    """Rule → the fields that it looks at.

    fields: of each message type of the flow; the first `common` of them are told once for all.
    """
    found: dict[str, dict[Place, None]] = {}
    for step in flow.steps.values():
        known = fields[step.message_type]
        for rule in catalogue.rules_of(step.message_type):
            ends = tuple(_ends(rule))
            for n, field in enumerate(known):
                if not any(field.prefix == prefix and field.path.endswith(e) for prefix, e in ends):
                    continue
                is_common = n < common
                name = field.name if is_common else f"{step.name} · {field.name}"
                place = Place(anchor("" if is_common else step.name, field), name)
                found.setdefault(rule.id, {}).setdefault(place)
    return {rule: tuple(seen) for rule, seen in found.items()}


def _ends(rule: Rule) -> Iterator[tuple[str, str]]:
    """The fields that the rule looks at: prefix, and how the path ends: `/Convict/TermTo`. The
    context itself where the test names nothing inside it."""
    looked = [p.plain for p in paths_of(rule.test)]
    for context in rule.context.split("|"):
        above = _steps((), context)
        ends = [_steps(above, path) for path in looked]
        inside = [e for e in ends if len(e) > len(above) and e[: len(above)] == above]
        for end in dict.fromkeys((*(() if inside else (above,)), *ends)):
            if end:
                names = [step.rpartition(":")[2] for step in end]
                yield end[-1].rpartition(":")[0], f"/{'/'.join(names)}"


def _steps(above: tuple[str, ...], path: str) -> tuple[str, ...]:
    """The steps of a path with their prefixes, from the context `above`."""
    while (bare := _PREDICATE.sub("", path)) != path:
        path = bare
    path = path.strip()
    steps = [] if path.startswith("/") else list(above)
    for step in filter(None, path.split("/")):
        if step == "..":
            del steps[-1:]
        elif "*" in step:
            steps = []
        elif "::" in step:
            steps = [step.rpartition("::")[2]]
        elif step != ".":
            steps.append(step)
    return tuple(steps)


def rules_table(rules: Iterable[Rule], seen: Mapping[str, tuple[Place, ...]]) -> etree._Element:
    """A row a rule, with links to the fields; `seen` is what `places` found."""
    made = table(
        ("编号 rule", "级别 severity", "要求 demand", "字段 fields", "依据 basis"),
        (
            (
                rule.id,
                rule.severity.value,
                (*both(rule.zh, rule.en), *_advice(rule)),
                tuple(_links(seen.get(rule.id, ()))),
                rule.basis,
            )
            for rule in rules
        ),
    )
    for row in made.iterchildren("tr"):
        if row[0].tag == "td":
            row.set("id", row[0].text or "")
    return made


def _advice(rule: Rule) -> tuple[Node, ...]:
    return (el("div", "→ ", *both(rule.advice_zh, rule.advice_en)),) if rule.advice_zh else ()


def shown(seen: Mapping[str, tuple[Place, ...]]) -> frozenset[str]:
    """The anchors that some row links to."""
    return frozenset(p.anchor for places in seen.values() for p in places[:MOST_LINKS])


def _links(places: tuple[Place, ...]) -> Iterator[Node]:
    for n, place in enumerate(places[:MOST_LINKS]):
        if n:
            yield ", "
        yield el("a", place.label, href=f"#{place.anchor}")
    if len(places) > MOST_LINKS:
        yield f" … ({len(places)})"
