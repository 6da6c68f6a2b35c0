"""Rules and keys of the standard name places that messages have.

An XPath that leads nowhere is no error for any processor: a rule with one is silent, or refuses
what is right. Here each path is walked through what the schemas declare.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from frontgate import safexml
from frontgate.standard import Standards
from frontgate.standard.declarations import XS

STANDARDS = Standards.load(Path(__file__).resolve().parents[3] / "standards")
CATALOGUE = STANDARDS.version(STANDARDS.newest)
MESSAGE = "{urn:frontgate:message:1}Message"
TOKEN = re.compile(
    r"""'[^']*'|"[^"]*"|preceding-sibling::|following-sibling::|\w[\w.-]*:\w[\w.-]*"""
    r"""|\.\.|//?|\[|\]|[\w.-]+|\S"""
)
Places = frozenset[tuple[str, ...]]
"""Paths from an element upwards; the empty one is the document."""
DOCUMENT: Places = frozenset({()})


class Walk:
    """One XPath walked from the places where it is asked. dead: steps that lead nowhere."""

    def __init__(self, text: str, names: Mapping[str, str], known: Mapping[str, Places]) -> None:
        self._tokens = TOKEN.findall(text)
        self._names = names
        self._known = known
        self._at = 0
        self.dead: list[str] = []

    def expression(self, here: Places) -> Places:
        """Up to the end or the closing bracket; all places that its paths lead to."""
        found: Places = frozenset()
        while self._at < len(self._tokens) and self._tokens[self._at] != "]":
            token = self._tokens[self._at]
            if token in ("/", "//", "..", ".") or self._is_step(token):
                found |= self._path(here)
            else:
                self._at += 1
        return found

    def _is_step(self, token: str) -> bool:
        return token.endswith("::") or (":" in token and token[0] not in "'\"")

    def _path(self, here: Places) -> Places:
        is_deep = self._tokens[self._at] == "//"
        if self._tokens[self._at].startswith("/"):
            here = DOCUMENT
            self._at += 1
        sideways = False
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            if token == "..":
                here = frozenset(p[1:] for p in here if p)
            elif token.endswith("::"):
                sideways = True
                continue
            elif self._is_step(token):
                here = self._child(token, here, is_deep, sideways)
            sideways = is_deep = False
            while self._at < len(self._tokens) and self._tokens[self._at] == "[":
                self._at += 1
                self.expression(here)
                self._at += 1
            if self._at < len(self._tokens) and self._tokens[self._at] == "/":
                self._at += 1
                continue
            break
        return here

    def _child(self, token: str, here: Places, is_deep: bool, sideways: bool) -> Places:
        prefix, _, local = token.partition(":")
        every = self._known.get(f"{{{self._names[prefix]}}}{local}", frozenset())
        holders = frozenset(p[1:] for p in here) if sideways else here
        found = every if is_deep else frozenset(p for p in every if p[1:] in holders)
        if not found:
            self.dead.append(token)
        return found


def known(flow: str) -> dict[str, Places]:
    """The places of each element in messages of a flow. The frame and the body are two trees of
    declarations; they meet in `Body`."""
    paths = CATALOGUE.marks(flow).paths
    assert paths is not None
    body = "{urn:frontgate:message:1}Body"
    return {
        name: frozenset((*p, MESSAGE) if p[-1] == body else p for p in places)
        for name, places in paths.items()
    }


def dead_ends(
    rules: Iterable[tuple[str, str, str]], names: Mapping[str, str], flow: str
) -> Iterator[str]:
    """rules: id, context, test."""
    here = known(flow)
    for identity, context, test in rules:
        parts = [p.strip() for p in context.split(" | ")]
        walk = Walk(" | ".join(p if p[0] == "/" else f"//{p}" for p in parts), names, here)
        places = walk.expression(DOCUMENT)
        inside = Walk(test, names, here)
        inside.expression(places)
        yield from (f"{identity}: {step}" for step in (*walk.dead, *inside.dead))


@pytest.mark.parametrize("flow", CATALOGUE.flow_names)
def test_no_rule_of_a_flow_names_a_place_that_its_messages_do_not_have(flow: str) -> None:
    own = [s for s in CATALOGUE.rule_sets(flow) if s.file == "rules.sch"]
    for rule_set in own:
        rules = [(r.id, r.context, x) for r in rule_set.rules.values() for x in (r.test, r.at)]
        assert list(dead_ends(rules, rule_set.names, flow)) == []


def test_no_common_rule_names_a_place_that_no_message_has() -> None:
    common = CATALOGUE.rule_sets(CATALOGUE.flow_names[0])[0]
    rules = [(r.id, r.context, x) for r in common.rules.values() for x in (r.test, r.at)]
    nowhere = [set(dead_ends(rules, common.names, flow)) for flow in CATALOGUE.flow_names]
    assert set.intersection(*nowhere) == set()


@pytest.mark.parametrize("flow", CATALOGUE.flow_names)
def test_no_key_of_a_schema_names_a_place_that_its_element_does_not_have(flow: str) -> None:
    here = known(flow)
    for path in CATALOGUE.schema_files(flow):
        root = safexml.parse(path.read_bytes())
        target = root.get("targetNamespace")
        for key in root.iter(f"{{{XS}}}unique", f"{{{XS}}}key"):
            names = {str(p): u for p, u in key.nsmap.items()}
            holder = key.getparent()
            assert holder is not None
            places = here[f"{{{target}}}{holder.get('name')}"]
            for step in key.iter(f"{{{XS}}}selector", f"{{{XS}}}field"):
                walk = Walk(step.get("xpath", ""), names, here)
                places = walk.expression(places)
                assert walk.dead == [], (flow, key.get("name"), step.get("xpath"))


def test_a_path_that_leads_nowhere_is_found() -> None:
    names = {"m": "urn:frontgate:message:1", "t": "urn:frontgate:types:1"}
    flow = CATALOGUE.flow_names[0]
    for context, test, dead in (
        ("/m:Message/m:Header", "m:CaseUid", []),
        ("/m:Message/m:Header", "m:PersonUid[. = ../m:CaseUid]", []),
        ("/m:Message/m:Header", "m:PersonUid[. = m:CaseUid]", ["r: m:CaseUid"]),
        ("t:CaseUid", "../t:CaseName or 't:Nothing'", []),
        ("t:CaseUid", "t:CaseName", ["r: t:CaseName"]),
        ("t:Nothing", "true()", ["r: t:Nothing"]),
    ):
        assert list(dead_ends([("r", context, test)], names, flow)) == dead
