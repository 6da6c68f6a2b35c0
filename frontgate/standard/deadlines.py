"""Deadline rules of the standard, read from `deadlines.toml`.

Offers: `Rule`, `Term`, `read_deadlines`. How terms are counted is `core.deadlines`.
Guarantees: every message that a rule names exists, every XPath compiles, every actor is a role.
Fails: `CatalogueError` FG-STD-003 with file and reason.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from lxml import etree

from frontgate.core.deadlines import Custody, Limit, Unit
from frontgate.errors import CatalogueError
from frontgate.standard.reading import prefixes
from frontgate.values import Struct

_WARN = re.compile(r"(\d+)([mhd])")
_STUB = etree.Element("stub")


class Start(Struct, frozen=True):
    """What opens a term: a message (its sending, its delivery, or a day that it states) or an event
    that no message shows. when: XPath that must hold in the message. after_days: the stated day opens
    another term of so many days, and this one begins when that is over. flows, near_custody_days: of an
    event that any flow may show, those flows that this term is for, and messages of others that state an
    end of custody at most so many days off; the rule's term without either is for all the rest."""

    message: str = ""
    at: str = ""
    field: str = ""
    when: str = ""
    event: str = ""
    flows: tuple[str, ...] = ()
    after_days: int = 0
    near_custody_days: int = 0


class Variant(Struct, frozen=True):
    """Another limit that applies only where a message or a decision says so."""

    name: str
    zh: str
    limit: Limit


class Term(Struct, frozen=True):
    """One timer of a rule. stop_messages, stop_events: whatever comes first ends it. actor: roles of
    the unit that must act; none takes part, then no term begins. per: person, case, item or message. stops_itself: the message that states
    the start is at once what was due, as a request that names the day of detention. lapses: its end
    makes nobody late, it is a right or depends on what no message shows. only_status: the states of
    custody in which a person's term runs; empty: any. until: XPath of a day in the message that starts
    the term; where it is stated, it rules in place of the limit, as it stands."""

    part: str
    start: Start
    stop_messages: tuple[str, ...]
    stop_events: tuple[str, ...]
    actor: tuple[str, ...]
    per: str
    limit: Limit
    custody: Custody
    variants: tuple[Variant, ...]
    stops_itself: bool = False
    lapses: bool = False
    only_status: tuple[str, ...] = ()
    until: str = ""


class Rule(Struct, frozen=True):
    """One rule with its articles. certainty: statute, joint, design or memory. warn: before the end."""

    id: str
    zh: str
    en: str
    basis: tuple[str, ...]
    certainty: str
    warn: tuple[timedelta, ...]
    valid_from: date
    valid_to: date | None
    extension_zh: str
    extension_en: str
    terms: tuple[Term, ...]


def read_deadlines(
    path: Path, message_types: Collection[str], roles: Collection[str]
) -> Mapping[str, Rule]:
    """All rules by id. message_types: `<flow>.<step>` of the same version."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        found: dict[str, Rule] = {}
        for table in content.pop("rule"):
            rule = _rule(table, message_types, roles)
            if rule.id in found:
                raise ValueError(f"{rule.id} stands twice")
            found[rule.id] = rule
        if content:
            raise ValueError(f"unknown key {next(iter(content))!r}")
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise CatalogueError("FG-STD-003", file=path.name, reason=str(error)) from None
    return found


def _rule(table: dict[str, Any], message_types: Collection[str], roles: Collection[str]) -> Rule:
    ident = table.pop("id")
    try:
        rule = Rule(
            id=ident,
            zh=table.pop("zh"),
            en=table.pop("en"),
            basis=tuple(table.pop("basis")),
            certainty=table.pop("certainty"),
            warn=tuple(_span(text) for text in table.pop("warn")),
            valid_from=table.pop("valid_from"),
            valid_to=table.pop("valid_to", None),
            extension_zh=table.pop("extension_zh", ""),
            extension_en=table.pop("extension_en", ""),
            terms=tuple(_term(t, message_types, roles) for t in table.pop("term")),
        )
    except (KeyError, TypeError, ValueError, etree.XPathError) as error:
        raise ValueError(f"{ident}: {error}") from None
    _nothing_left(table, ident)
    if not rule.terms or rule.certainty not in ("statute", "joint", "design", "memory"):
        raise ValueError(f"{ident}: no term, or unknown certainty")
    return rule


def _term(table: dict[str, Any], message_types: Collection[str], roles: Collection[str]) -> Term:
    opening = table.pop("start")
    start = Start(**{**opening, "flows": tuple(opening.get("flows", ()))})
    for flow in start.flows:
        if not start.event or not any(t.startswith(flow + ".") for t in message_types):
            raise ValueError(f"start.flows {flow!r}")
    if bool(start.message) == bool(start.event) or (start.message and not start.at + start.field):
        raise ValueError("start needs a message with at or field, or an event")
    if start.at not in ("", "sent", "delivered"):
        raise ValueError(f"start.at {start.at!r}")
    if start.after_days and not start.field:
        raise ValueError("start.after_days needs a field")
    until = table.pop("until", "")
    names = dict(prefixes(start.message.partition(".")[0]))
    for expression in (start.field, start.when, until):
        if expression:
            etree.XPath(f"({expression})", namespaces=names)(_STUB)
    stops = table.pop("stop")
    term = Term(
        part=table.pop("part", ""),
        start=start,
        stop_messages=tuple(s["message"] for s in stops if "message" in s),
        stop_events=tuple(s["event"] for s in stops if "event" in s),
        actor=tuple(table.pop("actor")),
        per=table.pop("per"),
        limit=_limit(table.pop("limit")),
        custody=Custody(table.pop("custody")),
        variants=tuple(
            Variant(v["name"], v["zh"], _limit(v["limit"])) for v in table.pop("variant", ())
        ),
        stops_itself=any(s.get("itself", False) for s in stops),
        lapses=bool(table.pop("lapses", False)),
        only_status=tuple(table.pop("only_status", ())),
        until=until,
    )
    _nothing_left(table, "term")
    for message in (start.message, *term.stop_messages):
        if message and message not in message_types:
            raise ValueError(f"no message type {message!r}")
    for role in term.actor:
        if role != "any" and role not in roles:
            raise ValueError(f"no role {role!r}")
    if not (term.stop_messages or term.stop_events):
        raise ValueError("nothing stops the term")
    if term.per not in ("person", "case", "item", "message"):
        raise ValueError(f"per {term.per!r}")
    if term.per != "person" and (term.only_status or term.custody is Custody.BY_PERSON):
        raise ValueError(f"custody is of persons, and the term is per {term.per}")
    return term


def _limit(table: Mapping[str, Any]) -> Limit:
    return Limit(int(table["value"]), Unit(table["unit"]), int(table.get("plus_days", 0)))


def _span(text: str) -> timedelta:
    match = _WARN.fullmatch(text)
    if match is None:
        raise ValueError(f"warn {text!r}")
    return timedelta(**{{"m": "minutes", "h": "hours", "d": "days"}[match[2]]: int(match[1])})


def _nothing_left(table: Mapping[str, Any], where: str) -> None:
    if table:
        raise ValueError(f"{where}: unknown key {next(iter(table))!r}")
