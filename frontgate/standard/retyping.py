"""One XSD file of the standard rewritten for the quick schema, in memory: see `standard.quick`.

An element bound to a code list gets a generated type that allows the codes of the day alone; one
with a long text a type without the pattern that asks for a visible character.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from lxml import etree

from frontgate import safexml
from frontgate.standard.declarations import XS, Declarations
from frontgate.standard.reading import SCHEMA_NS
from frontgate.values import Struct

NOT_BLANK = r"\s*\S[\s\S]*"
"""How the standard's text types ask for one visible character."""
LONG = 1000
"""From this allowed length on, a text is asked for visible characters by `QuickSchema`."""
TYPES = "quick:types"
"""The address of the document of the generated types."""

_X = f"{{{XS}}}"
_LIST, _CHECK = f"{{{SCHEMA_NS}}}list", f"{{{SCHEMA_NS}}}check"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9-]")


class RewrittenFile(Struct, frozen=True):
    """One XSD file rewritten.

    lists: generated type → (base type, code list). texts: generated type → longest length. long:
    names of elements that have such a text. unjudged: names with a declaration whose code list, if
    it has one, the file doesn't judge. open: names of elements that may hold undeclared ones.
    strict: of those that may hold any declared one, or stand for another.
    """

    data: bytes
    lists: Mapping[str, tuple[str, str]]
    texts: Mapping[str, str]
    long: frozenset[str]
    unjudged: frozenset[str]
    open: frozenset[str]
    strict: frozenset[str]


def place(path: Path) -> str:
    """The address of a rewritten file; none that a loader could open by itself."""
    return f"quick{path.as_uri().removeprefix('file')}"


def add_import(parent: etree._Element, uri: str, place: str) -> None:
    etree.SubElement(parent, f"{_X}import", namespace=uri, schemaLocation=place)


def rewrite(declarations: Declarations, path: Path, generated: str) -> RewrittenFile:
    prefix = "quick"
    while prefix in declarations.files[path].nsmap:
        prefix += "-"
    root = _copy(declarations, path, generated, prefix)
    lists: dict[str, tuple[str, str]] = {}
    texts: dict[str, str] = {}
    long: set[str] = set()
    unjudged: set[str] = set()
    opened: set[str] = set()
    strict: set[str] = set()
    for node in root.iter(f"{_X}element"):
        if node.get("name") is None:
            continue  # a reference: the declaration stands elsewhere
        name = _name(node, root)
        wildcards = declarations.wildcards(node)
        if wildcards - {"strict"}:
            opened.add(name)
        elif wildcards or node.get("substitutionGroup") is not None:
            strict.add(name)
        base, facets = declarations.limits(node)
        size = _long_text(facets)
        codes = _list_of(node, facets)
        if base and codes:
            kind = f"{_as_name(base)}.{_as_name(codes)}"
            lists[kind] = base, codes
            node.set("type", f"{prefix}:{kind}")
            continue
        unjudged.add(name)
        if size:
            texts[f"text.{size}"] = size
            long.add(name)
            node.set("type", f"{prefix}:text.{size}")
    return RewrittenFile(
        etree.tostring(root),
        lists,
        texts,
        frozenset(long),
        frozenset(unjudged),
        frozenset(opened),
        frozenset(strict),
    )


def _copy(declarations: Declarations, path: Path, generated: str, prefix: str) -> etree._Element:
    """The file without its words, importing the generated types and the other files rewritten."""
    data = etree.tostring(declarations.files[path])
    # Put into the text: moved nodes lose prefixes that stand in values alone, such as `type`.
    name = data[1:200].split(None, 1)[0]
    declared = b"<%s xmlns:%s='%s' " % (name, prefix.encode(), generated.encode())
    root = safexml.parse(data.replace(b"<%s " % name, declared, 1))
    root.insert(0, root.makeelement(f"{_X}import", namespace=generated, schemaLocation=TYPES))
    # A type named by the message itself (`xsi:type`) could hold what no declaration shows.
    root.set("blockDefault", "#all")
    for node in root.iter(f"{_X}element", f"{_X}complexType"):
        if node.get("block") is not None:
            del node.attrib["block"]
    for note in list(root.iter(f"{_X}annotation", etree.Comment)):
        parent = note.getparent()
        if parent is not None:
            parent.remove(note)
    for node in root.iter(f"{_X}import", f"{_X}include"):
        location = node.get("schemaLocation")
        if location and location != TYPES:
            node.set("schemaLocation", place((path.parent / location).resolve()))
    return root


def _list_of(node: etree._Element, facets: tuple[tuple[str, str], ...]) -> str:
    """The code list that the element's type can judge; empty where it is fixed in the XSD, or where
    a check character is asked for as well.
    """
    is_fixed = any(name == "enumeration" for name, _ in facets)
    return "" if is_fixed or node.get(_CHECK) is not None else node.get(_LIST, "")


def _as_name(text: str) -> str:
    """`text` as a part of an XML name, different for different texts."""
    return _NOT_IN_NAMES.sub(lambda found: f"_{ord(found.group()):x}_", text)


def _name(node: etree._Element, root: etree._Element) -> str:
    """What the element is called in a message."""
    form = node.get("form") or root.get("elementFormDefault", "unqualified")
    is_qualified = node.getparent() is root or form == "qualified"
    return (
        f"{{{root.get('targetNamespace', '')}}}{node.get('name')}"
        if is_qualified
        else node.get("name", "")
    )


def _long_text(facets: tuple[tuple[str, str], ...]) -> str:
    """The longest length of a text that need only not be blank; empty for all other types."""
    facets = tuple(sorted(facets))
    if [name for name, _ in facets] != ["maxLength", "minLength", "pattern"]:
        return ""
    (_, most), (_, least), (_, pattern) = facets
    is_long = most.isdigit() and int(most) >= LONG
    return most if is_long and least == "1" and pattern == NOT_BLANK else ""
