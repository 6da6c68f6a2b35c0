"""How messages make a case: `cases.toml` and `deadlines.toml`, arranged by message type.

Offers: `CaseRules` (of one version of the standard), `Plan` (what one message type means).
Guarantees: every message type and field of the data is compiled once and checked; no flow is named
here. Fails: `CatalogueError` FG-STD-003.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from frontgate.core.deadlines import Change
from frontgate.errors import CatalogueError
from frontgate.standard.catalogue import Catalogue
from frontgate.standard.deadlines import Rule, Term
from frontgate.standard.flows import Step
from frontgate.standard.reading import prefixes
from frontgate.values import Struct


class TermRule(Struct, frozen=True):
    """One timer. id: rule, and its part where there are several."""

    id: str
    rule: Rule
    term: Term

    @property
    def subject(self) -> str:
        """Whose timer: `PersonUid`, `PropertyUid`, `message`, or empty for the case."""
        return {"person": "PersonUid", "item": "PropertyUid", "message": "message"}.get(
            self.term.per, ""
        )


class Opening(Struct, frozen=True):
    """What in a message starts a term. at: sent, delivered, or empty where a field says it. until: what
    states its last day. near, far: only where the message states an end of custody at most so many days
    off, or only where it does not; 0 for either."""

    term: TermRule
    at: str
    field: etree.XPath | None
    when: etree.XPath | None
    until: etree.XPath | None = None
    near: int = 0
    far: int = 0


class Ending(Struct, frozen=True):
    """What in a message stops a term: the message, or a moment that a field states. by: how a
    message's own term is found, through `in_reply_to` or `replaces`. is_event: shown by data."""

    term: TermRule
    field: etree.XPath | None = None
    by: str = "in_reply_to"
    is_event: bool = False


class Alters(Struct, frozen=True):
    """What in a message changes a running term. reason, codes: where it says why, by which code list."""

    terms: tuple[TermRule, ...]
    change: Change
    field: etree.XPath | None
    due: etree.XPath | None
    when: etree.XPath | None
    reason: etree.XPath | None
    codes: str


class Status(Struct, frozen=True):
    """What a message makes of its persons. name: the field that decides; codes: its values."""

    name: str
    codes: tuple[str, ...]
    custody: str
    stage: str


@dataclass(slots=True)
class Plan:
    """What one message type means. step: None where the version has no such type."""

    step: Step | None
    is_terminal: bool = False
    starts: list[Opening] = field(default_factory=list)
    stops: list[Ending] = field(default_factory=list)
    alters: list[Alters] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    moved: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)


class CaseRules:
    """One version's rules."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        path = catalogue.folder / "cases.toml"
        try:
            self._data: dict[str, Any] = (
                tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
            )
            self.terms = self._terms()
            self._plans: dict[str, Plan] = {}
            self.joins: frozenset[str] = frozenset(
                self._data.get("jurisdiction", {}).get("roles", ())
            )
            self.due_fields: frozenset[str] = frozenset(
                self._data.get("custody", {}).get("due", ())
            )
            self._outcomes: dict[str, list[tuple[str, frozenset[str]]]] = {}
            for t in self._data.get("outcome", ()):
                codes = (t.get("list", ""), frozenset(t.get("flows", ())))
                self._outcomes.setdefault(t["field"], []).append(codes)
            self.ties: tuple[tuple[str, str], ...] = tuple(
                (t["from"], other) for t in self._data.get("tie", ()) for other in t["to"]
            )
            for kind in catalogue.message_types:
                self.plan(kind)
            seen = {e.term.id for kind in catalogue.message_types for e in self.plan(kind).stops}
            self.lapsing = frozenset(
                t.id for t in self.terms.values() if t.term.lapses or t.id not in seen
            )
        except (OSError, tomllib.TOMLDecodeError, KeyError, ValueError, etree.XPathError) as error:
            raise CatalogueError("FG-STD-003", file=path.name, reason=repr(error)[:300]) from None

    def _terms(self) -> dict[str, TermRule]:
        found: dict[str, TermRule] = {}
        for rule in self.catalogue.deadlines.values():
            for number, term in enumerate(rule.terms):
                name = f"{rule.id}/{term.part or number}" if len(rule.terms) > 1 else rule.id
                found[name] = TermRule(name, rule, term)
        return found

    def of_rule(self, rule_id: str) -> tuple[TermRule, ...]:
        return tuple(t for t in self.terms.values() if t.rule.id == rule_id)

    def outcome_list(self, flow: str, name: str) -> str | None:
        """The code list of an outcome field in a flow; None if the field is no outcome there."""
        for codes, flows in self._outcomes.get(name, ()):
            if not flows or flow in flows:
                return codes
        return None

    def plan(self, message_type: str) -> Plan:
        """What that message type means; read once."""
        found = self._plans.get(message_type)
        if found is None:
            found = self._plans[message_type] = self._plan(message_type)
        return found

    def _plan(self, kind: str) -> Plan:
        flow, _, name = kind.partition(".")
        if not self.catalogue.has_message_type(kind):
            return Plan(None)
        plan = Plan(self.catalogue.step(kind), name in self.catalogue.flow(flow).terminal)
        events = [e for e in self._data.get("event", ()) if e["message"] == kind]
        for term in self.terms.values():
            start = term.term.start
            if start.message == kind:
                plan.starts.append(_opening(term, flow, start.at, start.field, start.when))
            for e in events:
                if start.event == e["name"]:
                    plan.starts.append(
                        _opening(term, flow, e.get("at", ""), e.get("field", ""), e.get("when", ""))
                    )
            if kind in term.term.stop_messages:
                plan.stops.append(Ending(term))
            for e in events:
                if e["name"] in term.term.stop_events:
                    plan.stops.append(Ending(term, _xpath(e.get("field", ""), flow), is_event=True))
        self._service_levels(plan)
        for t in self._data.get("start", ()):
            if t["message"] == kind:
                for term in self.of_rule(t["rule"]):
                    plan.starts.append(
                        _opening(term, flow, t.get("at", ""), t.get("field", ""), t.get("when", ""))
                    )
        for t in self._data.get("change", ()):
            if t["message"] == kind:
                plan.alters.append(
                    Alters(
                        self.of_rule(t["rule"]),
                        Change(t["change"]),
                        _xpath(t.get("field", ""), flow),
                        _xpath(t.get("due", ""), flow),
                        _xpath(t.get("when", ""), flow),
                        _xpath(t.get("reason", ""), flow),
                        t.get("list", ""),
                    )
                )
        plan.statuses = [
            Status(t.get("field", ""), tuple(t.get("codes", ())), t.get("custody", ""), t.get("stage", ""))
            for t in self._data.get("status", ())
            if t["message"] == kind
        ]  # fmt: skip
        plan.moved = [
            (t["field"], tuple(t["codes"]))
            for t in self._data.get("moved", ())
            if t["message"] == kind
        ]
        return plan

    def _service_levels(self, plan: Plan) -> None:
        """Events that no field shows: delivered → answered, returned → corrected, of any flow."""
        step = plan.step
        assert step is not None
        steps = self.catalogue.flow(step.flow).steps
        asks = step.opens and any(
            step.name in s.answers for s in steps.values() if s.name in ANSWERS
        )
        answers = any(steps[name].opens for name in step.answers)
        for term in self.terms.values():
            start, stops = term.term.start.event, term.term.stop_events
            if not _is_for(term.term, term.rule, step.flow):
                continue
            if start == "delivered" and asks:
                near, far = _nearness(term.term, term.rule, step.flow)
                plan.starts.append(Opening(term, "delivered", None, None, near=near, far=far))
            if "answered" in stops and answers:
                plan.stops.append(Ending(term, is_event=True))
            if start == "returned" and step.name == ANSWERS[1] and answers:
                plan.starts.append(Opening(term, "delivered", None, None))
            if "corrected" in stops and step.opens:
                plan.stops.append(Ending(term, by="replaces", is_event=True))

    def is_armed(self, term: TermRule) -> bool:
        """Whether messages can show that the term begins."""
        return any(
            o.term is term for kind in self.catalogue.message_types for o in self.plan(kind).starts
        )


def _is_for(term: Term, rule: Rule, flow: str) -> bool:
    """Whether messages of a flow, or some of them, open the term of such an event."""
    named = {f for other in rule.terms for f in other.start.flows}
    if not term.start.flows:
        return flow not in named
    return flow in term.start.flows or (term.start.near_custody_days > 0 and flow not in named)


def _nearness(term: Term, rule: Rule, flow: str) -> tuple[int, int]:
    """(near, far) of an opening: a flow that is named always opens its term, of others one of two."""
    days = max(other.start.near_custody_days for other in rule.terms)
    if flow in term.start.flows or not days:
        return 0, 0
    return (days, 0) if term.start.near_custody_days else (0, days)


ANSWERS = ("accept", "return")
"""Steps by which a unit takes a message in, or does not: domain, flows.md 2.1."""


def _opening(term: TermRule, flow: str, at: str, name: str, when: str) -> Opening:
    return Opening(
        term, at, _xpath(name, flow), _xpath(when, flow), until=_xpath(term.term.until, flow)
    )


def _xpath(expression: str, flow: str) -> etree.XPath | None:
    if not expression:
        return None
    return etree.XPath(f"({expression})", namespaces=dict(prefixes(flow)))


def fingerprint(*catalogues: Catalogue) -> str:
    """Changes when the data that projections follow changes; 16 hex digits."""
    digest = hashlib.sha256()
    for catalogue in catalogues:
        paths = [catalogue.folder / "cases.toml", catalogue.folder / "deadlines.toml"]
        paths += sorted((catalogue.folder / "calendars").glob("*.toml"))
        paths += sorted((catalogue.folder / "flows").glob("*/flow.toml"))
        for path in paths:
            if path.is_file():
                digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
