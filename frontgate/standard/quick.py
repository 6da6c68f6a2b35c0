"""The quick schema: one that accepts fewer documents than the standard's and says more of those.

The standard's XSD holds the pattern of a code, the lists hold the codes. In memory, and never on
disk, the XSD files are rewritten so that libxml2 judges both in its one pass: an element bound to a
code list allows just the codes in force on the day of the record; long texts lose the pattern that
asks for one visible character, because matching it costs more than all else (20 ns a character).
Guarantees: what `Trust` says is what the standard's own schema and the code lists would say. A
document of which it says nothing isn't therefore wrong: it is judged the plain way, which alone has
words for people.
Fails: never for a document. A standard that cannot be rewritten so has no quick schema.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from enum import Enum
from functools import cached_property
from pathlib import Path

from lxml import etree

from frontgate import safexml
from frontgate.standard.codelists import CodeList, pattern_of
from frontgate.standard.declarations import XS, Declarations
from frontgate.standard.retyping import TYPES, RewrittenFile, add_import, place, rewrite
from frontgate.standard.straight import BODY, Straight

SEEN = 200
"""Characters looked at; a text that begins with more white space is judged the plain way."""

_X = f"{{{XS}}}"


class Rewriter:
    """Rewrites the XSD files of one version of the standard, each once for all its flows."""

    def __init__(self, code_list: Callable[[str], CodeList]) -> None:
        self._code_list = code_list
        self._files: dict[Path, RewrittenFile] = {}
        self._days: dict[str, tuple[date, ...]] = {}
        self._patterns: dict[tuple[str, int], str] = {}
        self.namespace = f"urn:frontgate:quick:{os.urandom(16).hex()}"
        """Of the generated types. By chance, so that no message can name one in `xsi:type`."""

    def file(self, declarations: Declarations, path: Path) -> RewrittenFile:
        """path: one of `declarations.files`."""
        found = self._files.get(path)
        if found is None:
            found = self._files[path] = rewrite(declarations, path, self.namespace)
        return found

    def days(self, name: str) -> tuple[date, ...]:
        """The days on which the list begins to hold other codes, sorted."""
        found = self._days.get(name)
        if found is None:
            found = self._days[name] = tuple(sorted(set(self._code_list(name).changes())))
        return found

    def pattern(self, name: str, on: date) -> str:
        """A regular expression of XSD for the codes of a list in force on that day, and no others.

        Codes of unusual characters are left out. Empty if there is none.
        """
        key = name, bisect_right(self.days(name), on)
        found = self._patterns.get(key)
        if found is None:
            codes = self._code_list(name)
            found = pattern_of(c for c in codes.codes if codes.has(c, on))
            self._patterns[key] = found
        return found


class QuickTexts:
    """The documents of one flow's quick schema, for all threads.

    start: the XSD files that messages are judged by. message_types: of the flow; they stand for the
    list `own_list`, which no file holds. paths: gives `Marks.paths`, where they are asked for.
    """

    def __init__(
        self,
        rewriter: Rewriter,
        declarations: Declarations,
        start: tuple[Path, ...],
        own_list: str,
        message_types: Iterable[str],
        paths: Callable[[], Mapping[str, tuple[tuple[str, ...], ...]] | None],
    ) -> None:
        self._rewriter = rewriter
        self._start = {p.resolve(): declarations.files[p.resolve()] for p in start}
        self._files = {p: rewriter.file(declarations, p) for p in declarations.files}
        self._targets = {p: r.get("targetNamespace", "") for p, r in declarations.files.items()}
        self._own_list = own_list
        self._paths = paths
        self._own_pattern = pattern_of(message_types)

    @cached_property
    def long(self) -> frozenset[str]:
        return frozenset[str]().union(*(f.long for f in self._files.values()))

    @cached_property
    def unjudged(self) -> frozenset[str]:
        return frozenset[str]().union(*(f.unjudged for f in self._files.values()))

    @cached_property
    def open(self) -> frozenset[str]:
        return frozenset[str]().union(*(f.open for f in self._files.values()))

    @cached_property
    def strict(self) -> frozenset[str]:
        return frozenset[str]().union(*(f.strict for f in self._files.values()))

    @cached_property
    def _lists(self) -> dict[str, tuple[str, str]]:
        return {name: found for f in self._files.values() for name, found in f.lists.items()}

    @cached_property
    def _days(self) -> tuple[date, ...]:
        names = {name for _, name in self._lists.values()} - {self._own_list}
        return tuple(sorted({day for name in names for day in self._rewriter.days(name)}))

    def span(self, on: date) -> int:
        """A number of the span of days around `on` in which no list of the flow changes."""
        return bisect_right(self._days, on)

    def compile(self, on: date | None) -> etree.XMLSchema | None:
        """The quick schema for records of that day; None = codes are not asked.

        Returns None where there can be none: a list holds no code on that day, or the processor
        doesn't take what was made of the files.
        """
        types = self._types(on)
        if types is None:
            return None
        documents = {place(path): file.data for path, file in self._files.items()}
        documents[TYPES] = types
        top = etree.Element(f"{_X}schema", nsmap={"xs": XS})
        for path in self._start:
            add_import(top, self._targets[path], place(path))
        try:
            return etree.XMLSchema(safexml.alone(etree.tostring(top), documents).getroottree())
        except etree.XMLSchemaParseError:
            return None

    def doubt(self, body: str) -> etree.XPath | None:
        """An XPath that is true of messages of that body, accepted by the quick schema, in which a
        long text may be blank (it begins with white space) or undeclared elements may stand. None:
        no such can be made.
        """
        straight = self.straight(body)
        if straight is None:
            return None
        parts = [f"boolean({path})" for name in sorted(self.open) for path in straight.to(name)]
        is_blank = "contains(' \t\n\r', substring(., 1, 1))"
        parts += [
            f"boolean({path}[{is_blank}])"
            for name in sorted(self.long)
            for path in straight.to(name)
        ]
        question = " or ".join(parts) or "false()"
        return etree.XPath(question, namespaces=straight.names, regexp=False)

    def straight(self, body: str) -> Straight | None:
        """Straight ways through messages of that body; None where not all places are known."""
        paths = None if not body or self.strict - {BODY} else self._paths()
        if paths is None:
            return None
        straight = Straight(paths, body)
        return straight if straight.is_known else None

    def _types(self, on: date | None) -> bytes | None:
        """The document of the generated types."""
        top = etree.Element(
            f"{_X}schema", targetNamespace=self._rewriter.namespace, nsmap={"xs": XS}
        )
        held = {uri: path for path, uri in reversed(self._targets.items())}
        for uri in sorted({base[1:].partition("}")[0] for base, _ in self._lists.values()} - {XS}):
            add_import(top, uri, place(held[uri]))
        for name, (base, codes) in self._lists.items():
            uri, _, local = base[1:].partition("}")
            # the prefix is declared where it is used: the base may be of any namespace
            kind = etree.SubElement(top, f"{_X}simpleType", name=name, nsmap={"base": uri})
            limits = etree.SubElement(kind, f"{_X}restriction", base=f"base:{local}")
            if on is None:
                continue
            is_own = codes == self._own_list
            pattern = self._own_pattern if is_own else self._rewriter.pattern(codes, on)
            if not pattern:
                return None
            etree.SubElement(limits, f"{_X}pattern", value=pattern)
        longest = {name: size for f in self._files.values() for name, size in f.texts.items()}
        for name, size in longest.items():
            kind = etree.SubElement(top, f"{_X}simpleType", name=name)
            limits = etree.SubElement(kind, f"{_X}restriction", base="xs:string")
            etree.SubElement(limits, f"{_X}maxLength", value=size)
        return etree.tostring(top)


class Trust(Enum):
    """What a quick schema says of a document, always true; NOTHING says nothing."""

    NOTHING = "nothing"
    SCHEMA = "schema"
    """The standard's schema accepts it."""
    CODES = "codes"
    """The same, and all codes are in force but those of elements in `QuickTexts.unjudged`."""


class QuickSchema:
    """The quick schema of one flow, for one thread."""

    MOST_SPANS = 4
    """Schemas kept at most, because a backlog of old records must not fill memory."""
    PATIENCE = 500
    """Messages that go the plain way before the oldest schema makes room: dates that change with
    each message must not have one compiled for each."""

    def __init__(self, texts: QuickTexts) -> None:
        self._texts = texts
        self._doubts: dict[str, etree.XPath | None] = {}
        self._open = texts.open
        self._watched = tuple(texts.long | texts.open)
        self._schemas: dict[int | None, etree.XMLSchema | None] = {}
        self._missed = 0

    def judge(self, root: etree._Element, on: date | None, body: str = "") -> Trust:
        """on: the day of the record; None = codes are not asked about. body: name of the element in
        Body, which makes the answer quicker.
        """
        schema = self._schema(on)
        if schema is None or not schema.validate(root):
            return Trust.NOTHING
        trust = Trust.SCHEMA if on is None else Trust.CODES
        doubt = self._doubt(body)
        if doubt is not None and not doubt(root):
            return trust
        for element in root.iter(*self._watched) if self._watched else ():
            if element.tag in self._open:
                trust = Trust.SCHEMA  # inside are elements that no schema has judged
                continue
            text = element.text
            if not text or text[:SEEN].isspace():
                return Trust.NOTHING
        return trust

    def _doubt(self, body: str) -> etree.XPath | None:
        """Asks whether a message of that body has a blank text or an open place; None = unknown."""
        if body not in self._doubts:
            self._doubts[body] = self._texts.doubt(body)
        return self._doubts[body]

    def _schema(self, on: date | None) -> etree.XMLSchema | None:
        span = None if on is None else self._texts.span(on)
        if span not in self._schemas:
            if len(self._schemas) >= self.MOST_SPANS:
                self._missed += 1
                if self._missed < self.PATIENCE:
                    return None
                self._missed = 0
                del self._schemas[next(iter(self._schemas))]
            self._schemas[span] = self._texts.compile(on)
        return self._schemas[span]
