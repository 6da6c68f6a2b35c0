"""What a message must be held against earlier ones: context checks, as data with named predicates.

Offers: `read_context`, `Context` (facts of a message, findings of a message), `History`.
Guarantees: `context.toml` says which predicate with which parameters judges which messages, how grave
that is, and which facts are kept of a message for later ones; the predicates know no flow. Paper
runs ahead of data, so most findings are of severity `sequence` or `warning`; what refuses is said
by the data alone.
Fails: `CatalogueError` FG-STD-003 for a file that cannot be used.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from lxml import etree

from frontgate.core.deadlines import LEGAL_TIME, Custody, due
from frontgate.errors import CatalogueError
from frontgate.model.finding import Finding, Severity
from frontgate.model.message import Header
from frontgate.standard.catalogue import Catalogue
from frontgate.standard.flows import Flow, Step
from frontgate.standard.reading import prefixes
from frontgate.values import Struct


class Fact(Struct, frozen=True):
    """Something that a message says and later ones are held against. key: of what or whom."""

    name: str
    key: str
    value: str
    message_id: str = ""
    flow_uid: str = ""


class Earlier(Struct, frozen=True):
    """An earlier message, as the ledger has it."""

    message_id: str
    message_type: str
    sender: str
    recipients: tuple[str, ...]
    in_reply_to: str

    @property
    def step(self) -> str:
        return self.message_type.partition(".")[2]


class History(Protocol):
    """The ledger, as far as context looks into it. Lists are in the order of arrival."""

    def message(self, message_id: str) -> Earlier | None: ...

    def flow(self, flow_uid: str) -> Sequence[Earlier]: ...

    def facts(self, name: str, key: str) -> Sequence[Fact]: ...

    def facts_of(self, message_id: str, name: str) -> Sequence[Fact]: ...


class Taken(Struct, frozen=True):
    """A message about to be judged."""

    catalogue: Catalogue
    flow: Flow
    step: Step
    header: Header
    recipients: tuple[str, ...]
    root: etree._Element
    facts: tuple[Fact, ...]
    division_of: Callable[[str], str]

    def has(self, expression: str) -> bool:
        return bool(_nodes(expression, self.flow.name, self.root))

    def text(self, expression: str) -> str:
        return _string(f"({expression})[1]", self.flow.name, self.root)

    def instance(self, history: History) -> list[Earlier]:
        """Earlier messages of this instance. A FlowUid that several flows share is one of each."""
        return [
            e
            for e in history.flow(self.header.flow_uid)
            if e.message_type.partition(".")[0] == self.flow.name
        ]

    def own(self, name: str) -> list[Fact]:
        return [f for f in self.facts if f.name == name]


Hit = str
"""What is wrong, as a value; a predicate yields one a finding."""
Predicate = Callable[[Taken, History, Mapping[str, Any]], Iterable[Hit]]


class Check(Struct, frozen=True):
    id: str
    predicate: Predicate
    severity: Severity
    zh: str
    en: str
    basis: str
    types: frozenset[str]
    steps: tuple[str, ...]
    """`.step` for each `*.step` of the types: that step of whatever flow."""
    with_: Mapping[str, Any]

    def concerns(self, message_type: str) -> bool:
        return (
            message_type in self.types
            or message_type.endswith(self.steps)
            or not (self.types or self.steps)
        )


class FactRule(Struct, frozen=True):
    name: str
    types: tuple[str, ...]
    select: str
    key: str
    value: str


class Context(Struct, frozen=True):
    """The context checks of one version."""

    facts: tuple[FactRule, ...]
    checks: tuple[Check, ...]

    def facts_of(self, flow: Flow, step: Step, root: etree._Element) -> tuple[Fact, ...]:
        """What to keep of a message. Facts with an empty key are left out."""
        found: list[Fact] = []
        for rule in self.facts:
            if rule.types and step.message_type not in rule.types:
                continue
            for node in _nodes(rule.select, flow.name, root):
                key = _string(rule.key, flow.name, node)
                value = _string(rule.value, flow.name, node)
                if key:
                    found.append(Fact(rule.name, key[:200], value[:500]))
        if step.opens:
            parts = [
                str(_xpath(f"string({x})", flow.name)(root)).strip() for x in flow.business_key
            ]
            if all(parts):
                found.append(Fact(BUSINESS_KEY, "|".join([step.message_type, *parts])[:400], ""))
        return tuple(dict.fromkeys(found))

    def judge(self, taken: Taken, history: History) -> list[Finding]:
        """All that the checks have to say."""
        found: list[Finding] = []
        for check in self.checks:
            if check.concerns(taken.step.message_type):
                found += [
                    Finding(
                        rule=check.id,
                        severity=check.severity,
                        zh=check.zh.format(value=hit),
                        en=check.en.format(value=hit),
                        file="message.xml",
                        value=hit[:200],
                        basis=check.basis,
                    )
                    for hit in check.predicate(taken, history, check.with_)
                ]
        return found


BUSINESS_KEY = "business-key"


@lru_cache(maxsize=4096)
def _xpath(expression: str, flow: str) -> etree.XPath:
    return etree.XPath(expression, namespaces=dict(prefixes(flow)))


def _nodes(expression: str, flow: str, root: etree._Element) -> list[etree._Element]:
    found = _xpath(expression, flow)(root)
    return [n for n in found if isinstance(n, etree._Element)] if isinstance(found, list) else []


def _string(expression: str, flow: str, node: etree._Element) -> str:
    return str(_xpath(f"string({expression})", flow)(node)).strip()


# -- predicates ------------------------------------------------------------------------------


def known_in_reply_to(m: Taken, h: History, _: Mapping[str, Any]) -> Iterable[Hit]:
    """InReplyTo names a message that the hub has relayed."""
    if m.header.in_reply_to and h.message(m.header.in_reply_to) is None:
        yield m.header.in_reply_to


def known_flow(m: Taken, h: History, _: Mapping[str, Any]) -> Iterable[Hit]:
    """A step that opens nothing belongs to an instance that is known."""
    if not m.step.opens and not m.instance(h):
        yield m.header.flow_uid


def step_order(m: Taken, h: History, _: Mapping[str, Any]) -> Iterable[Hit]:
    """One of the steps that may precede this one has come."""
    before = m.instance(h)
    if before and m.step.after and not m.step.opens:
        happened = {e.step for e in before}
        if not happened & set(m.step.after):
            yield ", ".join(m.step.after)


def answers_a_step(m: Taken, h: History, _: Mapping[str, Any]) -> Iterable[Hit]:
    """InReplyTo names a step that this one may answer."""
    answered = h.message(m.header.in_reply_to) if m.header.in_reply_to else None
    if answered is not None and m.step.answers and answered.step not in m.step.answers:
        yield answered.message_type


def from_receiver(m: Taken, h: History, _: Mapping[str, Any]) -> Iterable[Hit]:
    """An answer comes from a unit that got or sent what it answers."""
    answered = h.message(m.header.in_reply_to) if m.header.in_reply_to else None
    if answered is not None and m.header.sender not in (answered.sender, *answered.recipients):
        yield m.header.sender


def still_open(m: Taken, h: History, _: Mapping[str, Any]) -> Iterable[Hit]:
    """The instance was not closed by a step after which this one cannot come."""
    for earlier in m.instance(h):
        if (
            earlier.step in m.flow.terminal
            and earlier.step != m.step.name
            and earlier.step not in m.step.after
        ):
            yield earlier.message_type
            return


def not_answered(m: Taken, h: History, with_: Mapping[str, Any]) -> Iterable[Hit]:
    """The sender did not answer the message yet by one of these steps; several receivers may. with: steps."""
    steps = with_["steps"]
    if m.step.name in steps and m.header.in_reply_to:
        for earlier in m.instance(h):
            if (
                earlier.step in steps
                and earlier.in_reply_to == m.header.in_reply_to
                and earlier.sender == m.header.sender
            ):
                yield earlier.message_id
                return


def jurisdiction(m: Taken, _: History, __: Mapping[str, Any]) -> Iterable[Hit]:
    """Where the step says so, sender and receiver are of one place, or one is above the other."""
    if m.step.jurisdiction != "same-division":
        return
    own = _area(m.division_of(m.header.sender))
    for code in dict.fromkeys(a.code for a in m.header.receivers):
        other = _area(m.division_of(code))
        if not (own.startswith(other) or other.startswith(own)):
            yield code


def _area(division: str) -> str:
    """520102 → itself, 520100 → 5201, 520000 → 52: a higher level is a prefix of a lower."""
    return division.removesuffix("00").removesuffix("00") if division.endswith("00") else division


def not_repeated(m: Taken, h: History, _: Mapping[str, Any]) -> Iterable[Hit]:
    """The same business under another MessageId."""
    for fact in m.own(BUSINESS_KEY):
        for earlier in h.facts(BUSINESS_KEY, fact.key):
            if earlier.message_id not in (m.header.message_id, m.header.replaces):
                yield earlier.message_id
                return


def constant(m: Taken, h: History, with_: Mapping[str, Any]) -> Iterable[Hit]:
    """A fact is what it always was for its key, or what it was last corrected to. with: fact, corrected
    (the same fact, of messages that correct an earlier one)."""
    correcting = {f.key for f in m.own(with_["corrected"])}
    for fact in m.own(with_["fact"]):
        if fact.key in correcting or all(
            e.value == fact.value for e in h.facts(fact.name, fact.key)
        ):
            continue
        last = h.facts(with_["corrected"], fact.key)[-1:]
        if not last or last[0].value != fact.value:
            yield fact.key


def covers(m: Taken, h: History, with_: Mapping[str, Any]) -> Iterable[Hit]:
    """Every key of a fact in what is answered stands here too. with: fact, own (fact here)."""
    if not m.header.in_reply_to:
        return
    own = {f.key for f in m.own(with_["own"])}
    for fact in h.facts_of(m.header.in_reply_to, with_["fact"]):
        if own and fact.key not in own:
            yield fact.key


def within(m: Taken, h: History, with_: Mapping[str, Any]) -> Iterable[Hit]:
    """Every key of a fact here stands in what is answered. with: fact, own."""
    if m.header.in_reply_to:
        known = {f.key for f in h.facts_of(m.header.in_reply_to, with_["fact"])}
        if known:
            yield from (f.key for f in m.own(with_["own"]) if f.key not in known)


def at_most(m: Taken, h: History, with_: Mapping[str, Any]) -> Iterable[Hit]:
    """A fact came at most so often for its key. with: fact, most."""
    for fact in m.own(with_["fact"]):
        if len({e.message_id for e in h.facts(fact.name, fact.key)}) >= int(with_["most"]):
            yield fact.key


def no_overlap(m: Taken, h: History, with_: Mapping[str, Any]) -> Iterable[Hit]:
    """No other instance holds the same key at the same time. Values are `from/to`. with: fact."""
    for fact in m.own(with_["fact"]):
        begin, _, end = fact.value.partition("/")
        for earlier in h.facts(fact.name, fact.key):
            other_begin, _, other_end = earlier.value.partition("/")
            if earlier.flow_uid == m.header.flow_uid:
                continue
            if _moment(begin) < _moment(other_end) and _moment(other_begin) < _moment(end):
                yield fact.key
                break


def engine_date(m: Taken, _: History, with_: Mapping[str, Any]) -> Iterable[Hit]:
    """A stated day is what the deadline engine counts for one of the rules, within `tolerance` days. A
    term that moves on from a day off may be stated as it stands or moved. with: start, end (XPaths),
    rules, part, when, tolerance.
    """
    if with_.get("when") and not m.has(with_["when"]):
        return
    begin, stated = m.text(with_["start"])[:10], m.text(with_["end"])[:10]
    rules = [
        m.catalogue.deadlines[name] for name in with_["rules"] if name in m.catalogue.deadlines
    ]
    if not begin or not stated or not rules:
        return
    start = datetime.combine(date.fromisoformat(begin), datetime.min.time(), LEGAL_TIME)
    ends = []
    for term in (t for r in rules for t in r.terms if t.part == with_.get("part", t.part)):
        for limit in (term.limit, *(v.limit for v in term.variants)):
            for custody in dict.fromkeys((term.custody, Custody.CUSTODY)):
                end = due(start, limit, m.catalogue.calendar, custody=custody, in_custody=True)
                ends.append(end.date() - timedelta(days=1))
    day = date.fromisoformat(stated)
    slack = timedelta(days=int(with_.get("tolerance", 1)))
    if all(abs(day - end) > slack for end in ends):
        yield f"{stated} ≠ {ends[0]}"


def not_before_fact(m: Taken, h: History, with_: Mapping[str, Any]) -> Iterable[Hit]:
    """A day here is not before the day of an earlier fact. Both facts: key, value a day. with:
    own, fact."""
    for fact in m.own(with_["own"]):
        earlier = [e.value[:10] for e in h.facts(with_["fact"], fact.key) if e.value]
        if fact.value and earlier and fact.value[:10] < max(earlier):
            yield f"{fact.key}: {fact.value[:10]} < {max(earlier)}"


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.max.replace(tzinfo=LEGAL_TIME)


PREDICATES: Mapping[str, Predicate] = {
    p.__name__: p
    for p in (
        known_in_reply_to, known_flow, step_order, answers_a_step, from_receiver, still_open,
        not_answered, jurisdiction, not_repeated, constant, covers, within, at_most, no_overlap,
        engine_date, not_before_fact,
    )
}  # fmt: skip


def read_context(path: Path) -> Context:
    """Read `context.toml`; a version without one has no context checks."""
    if not path.is_file():
        return Context((), ())
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        facts = tuple(
            FactRule(
                t["name"], tuple(t.get("types", ())), t["select"], t.get("key", "."), t.get("value", "''")
            )
            for t in content.get("fact", ())
        )  # fmt: skip
        checks = tuple(
            Check(
                t["id"],
                PREDICATES[t["predicate"]],
                Severity(t["severity"]),
                t["zh"],
                t["en"],
                t.get("basis", ""),
                frozenset(n for n in t.get("types", ()) if not n.startswith("*.")),
                tuple(n[1:] for n in t.get("types", ()) if n.startswith("*.")),
                t.get("with", {}),
            )
            for t in content.get("check", ())
        )
        for rule in facts:
            flow = rule.types[0].partition(".")[0] if rule.types else "any"
            for expression in (rule.select, f"string({rule.key})", f"string({rule.value})"):
                _xpath(expression, flow)
    except (OSError, tomllib.TOMLDecodeError, KeyError, ValueError, etree.XPathError) as error:
        raise CatalogueError("FG-STD-003", file=path.name, reason=repr(error)[:300]) from None
    return Context(facts, checks)
