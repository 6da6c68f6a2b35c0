"""What the messages of a case have said so far: persons, groups of facts, numbers.

Offers: `read_known`, from messages in the order they were sent. Which facts last from message to
message is the standard's own data: table `[draft]` of `standard.toml`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from lxml import etree

from frontgate.errors import CatalogueError
from frontgate.model.message import MessageView
from frontgate.standard.catalogue import Catalogue, Standards
from frontgate.standard.declarations import Declaration, Declarations
from frontgate.standard.reading import TYPES_NS
from frontgate.standard.tree import text_of
from frontgate.standard.view import body_of, read_view
from frontgate.values import Struct

PERSON_UID = "PersonUid"
PERSON = "Person"
"""The library's type for a person; its PersonUid says whose the facts beside it are."""


class Lasting(Struct, frozen=True):
    """`[draft]`: what an earlier message may say for a later one.

    groups: names of types of the shared library that are taken over whole. fields: names of
    elements that keep their value; within: those that keep it only inside their flow. derived: field → (group, element) where a group says it.
    """

    groups: frozenset[str]
    fields: frozenset[str]
    within: frozenset[str]
    derived: dict[str, tuple[str, str]]


def lasting_of(catalogue: Catalogue) -> Lasting:
    """The table of one version; empty where it has none."""
    table = catalogue.draft
    return Lasting(
        frozenset(table.get("groups", ())),
        frozenset(table.get("fields", ())),
        frozenset(table.get("within", ())),
        {
            name: (source.partition("/")[0], source.partition("/")[2])
            for name, source in table.get("derived", {}).items()
        },
    )


@dataclass(slots=True)
class Known:
    """The newest word on everything, by person ('' = the case itself).

    messages: (view, body element) of each, oldest first. groups: (type, person) → elements of the
    newest message that has any. fields: (name, person) → value; the name of one that lasts only
    within its flow has the flow before it, `flow/name`.
    """

    messages: list[MessageView] = field(default_factory=list)
    persons: list[str] = field(default_factory=list)
    groups: dict[tuple[str, str], list[etree._Element]] = field(default_factory=dict)
    fields: dict[tuple[str, str], str] = field(default_factory=dict)

    def group(self, type_name: str, person: str) -> list[etree._Element]:
        """What is known of that type for the person, else for the case."""
        return self.groups.get((type_name, person)) or self.groups.get((type_name, "")) or []

    def value(self, name: str, person: str) -> str:
        """The last value of a field for the person, else for the case; empty if none."""
        return self.fields.get((name, person)) or self.fields.get((name, ""), "")


def read_known(standards: Standards, messages: Iterable[etree._Element]) -> Known:
    """Read messages that were accepted before, oldest first.

    Messages of a version or type that does not live here are passed over.
    """
    known = Known()
    for root in messages:
        try:
            view = read_view(root)
            catalogue = standards.version(view.header.standard)
            step = catalogue.step(view.header.message_type)
        except CatalogueError:
            continue
        known.messages.append(view)
        for person in view.header.person_uids:
            if person not in known.persons:
                known.persons.append(person)
        body = body_of(root)
        declarations = catalogue.declarations(step.flow)
        top = declarations.root(view.body_tag)
        if body is not None and top is not None:
            _Reader(known, lasting_of(catalogue), declarations, step.flow).read(body, top, "")
    return known


class _Reader:
    """One message: what it says replaces what was known of the same type and person."""

    def __init__(
        self, known: Known, lasting: Lasting, declarations: Declarations, flow: str
    ) -> None:
        self._flow = flow
        self._known = known
        self._lasting = lasting
        self._declarations = declarations
        self._fresh: set[tuple[str, str]] = set()

    def read(self, element: etree._Element, declared: Declaration, person: str) -> None:
        inside = {d.name: d for d in self._declarations.children(declared)}
        person = _person_of(element, inside) or person
        for child in element.iterchildren("*"):
            declaration = inside.get(str(child.tag))
            if declaration is None:
                continue
            name = declaration.local
            if library_type(declaration) in self._lasting.groups:
                self._keep(library_type(declaration), person, child)
            elif len(child):
                self.read(child, declaration, person)
            elif name in self._lasting.fields:
                self._known.fields[name, person] = text_of(child)
            elif name in self._lasting.within:
                self._known.fields[f"{self._flow}/{name}", person] = text_of(child)

    def _keep(self, type_name: str, person: str, element: etree._Element) -> None:
        key = (type_name, person)
        if key not in self._fresh:
            self._fresh.add(key)
            self._known.groups[key] = []
        self._known.groups[key].append(element)
        for name, (group, inner) in self._lasting.derived.items():
            if group == type_name:
                found = next((c for c in element if etree.QName(c).localname == inner), None)
                if found is not None:
                    self._known.fields[name, person] = text_of(found)


def _person_of(element: etree._Element, inside: dict[str, Declaration]) -> str:
    """The PersonUid that stands directly in the element, or in its person; else empty."""
    for child in element.iterchildren("*"):
        declaration = inside.get(str(child.tag))
        if declaration is None:
            continue
        if declaration.local == PERSON_UID:
            return text_of(child)
        if library_type(declaration) == PERSON:
            found = next((c for c in child if etree.QName(c).localname == PERSON_UID), None)
            return text_of(found) if found is not None else ""
    return ""


def library_type(declaration: Declaration) -> str:
    """The local name of the type that the element has from the shared library; else empty."""
    prefix, _, local = declaration.node.get("type", "").rpartition(":")
    uri = declaration.node.nsmap.get(prefix or None, "")
    return local if uri == TYPES_NS else ""
