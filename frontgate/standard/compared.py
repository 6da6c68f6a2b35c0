"""What a rule's XPath compares, found in the message that broke it: elements, values, lines.

An XPath says only yes or no. Its location paths are read here from its text and asked for one by one,
so that a finding can show both dates and not just the element that holds them.
Guarantees: only for words; what cannot be read or asked for is left out, the verdict is not touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from lxml import etree

from frontgate.standard.tree import line_of, select, text_of
from frontgate.values import Struct

MOST_NODES = 4
"""Nodes shown of one path."""
MOST_TEXT = 60
ABSENT = "–"

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_NAME = r"(?:[\w-]+::)?@?[A-Za-z_][\w-]*:[A-Za-z_][\w.-]*(?!\s*\()"
_START = re.compile(rf"(?:\.{{1,2}}/)*/{{0,2}}(?:\.\./)*{_NAME}")
_WORD = re.compile(r"[\w-]+")
_MORE = re.compile(rf"//?(?:\.\.|{_NAME})")


class Path(Struct, frozen=True):
    """A location path. plain: without its predicates. inner: what the predicates of its last step ask."""

    text: str
    plain: str
    inner: tuple[Path, ...]


@lru_cache(maxsize=1024)
def paths_of(test: str) -> tuple[Path, ...]:
    """The location paths with prefixed names in an XPath 1.0, each once, in their order."""
    return tuple(dict.fromkeys(_scan(test)))


def _scan(test: str) -> Iterator[Path]:
    at = 0
    while at < len(test):
        if quoted := _QUOTED.match(test, at):
            at = quoted.end()
        elif test[at] == "[":  # of an expression in brackets: its context is not known here
            at = _closing(test, at)
        elif start := _START.match(test, at):
            found, at = _path(test, start)
            yield found
        elif word := _WORD.match(test, at):
            at = word.end()
        else:
            at += 1


def _path(test: str, start: re.Match[str]) -> tuple[Path, int]:
    plain, at, asked = start[0], start.end(), ""
    while True:
        if test[at : at + 1] == "[":
            end = _closing(test, at)
            asked, at = test[at + 1 : end - 1], end
        elif more := _MORE.match(test, at):
            plain, at, asked = plain + more[0], more.end(), ""
        else:
            return Path(test[start.start() : at], plain, paths_of(asked)), at


def _closing(test: str, at: int) -> int:
    """Behind the bracket that closes the one at `at`."""
    depth = 0
    while at < len(test):
        if quoted := _QUOTED.match(test, at):
            at = quoted.end()
            continue
        depth += (test[at] == "[") - (test[at] == "]")
        at += 1
        if not depth:
            break
    return at


class Compared(Struct, frozen=True):
    """text: `TermFrom = 2026-10-29 [L41]; TermTo = –`, a dash for what is not there. element: the one
    element that stands for all that was found inside the context; None where there are several.
    """

    text: str
    element: etree._Element | None


def compared(context: etree._Element, test: str, names: Mapping[str, str]) -> Compared:
    """What `test` looked at from `context`. names: prefixes of the test."""
    shown: dict[str, None] = {}
    inside: list[etree._Element] = []
    for path in paths_of(test):
        for node, text in _found(context, path, names):
            shown.setdefault(text)
            if node is not None and context in node.iterancestors() and node not in inside:
                inside.append(node)
    if shown and not len(context) and text_of(context):
        shown = {_said(context): None, **shown}
    return Compared("; ".join(shown), inside[0] if len(inside) == 1 else None)


def _found(
    context: etree._Element, path: Path, names: Mapping[str, str]
) -> Iterator[tuple[etree._Element | None, str]]:
    nodes = _select(context, path.text, names) or _select(context, path.plain, names)
    elements = [n for n in nodes if isinstance(n, etree._Element)]
    if not elements:
        step = path.plain.rpartition("/")[2]
        local = step.rpartition(":")[2]
        given = [str(n) for n in nodes][:1]
        at = "@" if "@" in step else ""
        yield None, f"{at}{local} = {given[0][:MOST_TEXT] if given else ABSENT}"
        return
    for element in elements[:MOST_NODES]:
        yield element, _said(element)
        for inner in path.inner:
            yield from ((None, text) for _, text in _found(element, inner, names))
    if len(elements) > MOST_NODES:
        yield None, f"… ({len(elements)})"


def _said(element: etree._Element) -> str:
    local = etree.QName(element).localname
    line = line_of(element)
    place = f" [L{line}]" if line is not None else ""
    if len(element) and not text_of(element):
        return f"{local}{place}"
    text = text_of(element)
    return f"{local} = {text[:MOST_TEXT]}{'…' if len(text) > MOST_TEXT else ''}{place}"


def _select(context: etree._Element, path: str, names: Mapping[str, str]) -> list[Any]:
    try:
        return select(context, path, dict(names))
    except etree.XPathError:  # it uses what only the stylesheet knows
        return []
