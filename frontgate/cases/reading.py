"""What one message says of a case, its persons and its things, read from the extract in one walk.

Offers: `read_said`. No flow is known here: groups and fields are those of the standard's shared
types (`CaseRef`, `Person`, `Measure`, `Custody`, `Decision`, `Property`), by their local names.
A person's fields are those of the nearest element that names that person.
"""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from frontgate.cases.records import Document
from frontgate.standard.tree import text_of
from frontgate.standard.view import body_of
from frontgate.values import Struct, field

PERSON, PROPERTY = "PersonUid", "PropertyUid"
_DOCUMENTS = "{urn:frontgate:message:1}Documents"


class Leaf(Struct, frozen=True):
    """One stated value. group: local name of the element that holds it. person, item: whose it is."""

    person: str
    item: str
    group: str
    name: str
    value: str


class Said(Struct, frozen=True):
    """leaves in document order. persons, items: every one that the body names, in order."""

    root: etree._Element
    leaves: tuple[Leaf, ...]
    persons: tuple[str, ...]
    items: tuple[str, ...]
    case: dict[str, str] = field(default_factory=dict)
    grouped: dict[str, list[Leaf]] = field(default_factory=dict)

    def of_person(self, person: str) -> list[Leaf]:
        """The leaves that belong to a person; found at once, however many a message names."""
        return self.grouped.get(person, [])

    def values(self, person: str, *groups: str) -> dict[str, str]:
        """The last value of each field of these groups that belongs to a person."""
        return {x.name: x.value for x in self.of_person(person) if x.group in groups}

    def of(self, name: str) -> Iterator[Leaf]:
        return (x for x in self.leaves if x.name == name)

    def has(self, name: str, codes: tuple[str, ...]) -> list[Leaf]:
        """Leaves of that field with one of the codes; any value where there are none."""
        return [x for x in self.leaves if x.name == name and (not codes or x.value in codes)]


def local(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]


def read_said(root: etree._Element) -> Said:
    """Walk the body of a message once."""
    body = body_of(root)
    leaves: list[Leaf] = []
    if body is not None:
        _walk(body, "", "", local(body), leaves)
    persons = dict.fromkeys(x.value for x in leaves if x.name == PERSON)
    persons.update(dict.fromkeys(x.person for x in leaves if x.person))
    items = dict.fromkeys(x.item for x in leaves if x.item)
    case = {x.name: x.value for x in leaves if x.group == "Case"}
    grouped: dict[str, list[Leaf]] = {}
    for leaf in leaves:
        grouped.setdefault(leaf.person, []).append(leaf)
    return Said(root, tuple(leaves), tuple(persons), tuple(items), case, grouped)


def _walk(element: etree._Element, person: str, item: str, group: str, leaves: list[Leaf]) -> None:
    children = [(local(c), c) for c in element.iterchildren("*")]
    own = [c for name, c in children if name == PERSON]
    if len(own) == 1:
        person = text_of(own[0])
    elif not own:
        persons = [c for name, c in children if name == "Person"]
        if len(persons) == 1:
            person = next(
                (text_of(c) for c in persons[0].iterchildren("*") if local(c) == PERSON), person
            )
    things = [c for name, c in children if name == PROPERTY]
    if len(things) == 1:
        item = text_of(things[0])
    for name, child in children:
        if len(child):
            _walk(child, person, item, name, leaves)
        else:
            leaves.append(Leaf(person, item, group, name, (child.text or "").strip()))


def subjects_of(node: etree._Element, name: str) -> list[str]:
    """Whom a node is about: the uids in the nearest element around it that names any.

    name: `PersonUid` or `PropertyUid`. Empty where not even the body names one.
    """
    around: etree._Element | None = node
    while around is not None and not str(around.tag).endswith("}Message"):
        found = [text_of(e) for e in around.iterdescendants("{*}" + name)]
        if found:
            return list(dict.fromkeys(found))
        around = around.getparent()
    return []


def documents_of(root: etree._Element, files: dict[str, str]) -> list[Document]:
    """Documents of a message. files: path in the package → SHA-256, for those that state no digest."""
    table = root.find(_DOCUMENTS)
    if table is None:
        return []
    by_uid = {path[6:].partition(".")[0]: digest for path, digest in files.items()}
    found: list[Document] = []
    for node in table.iterchildren("*"):
        values = {local(c): text_of(c) for c in node.iterchildren("*")}
        size = values.get("Bytes", "")
        uid = values.get("DocUid", "")
        found.append(
            Document(
                uid,
                values.get("DocType", ""),
                values.get("Title", ""),
                values.get("Carrier", "network"),
                by_uid.get(uid, "") or values.get("Digest", "").lower(),
                int(size) if size.isascii() and size.isdigit() and len(size) < 16 else 0,
            )
        )
    return found
