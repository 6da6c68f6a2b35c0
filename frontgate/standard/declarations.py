"""What the XSD files declare, as data: elements, their types, texts, code lists and checks.

lxml validates but does not show the schema's components, so the declarations that the code
check, the messages for people and the handbook need are read from the XSD files here. Only the
forms the standard uses are understood: named and anonymous types, extension and restriction,
sequence, choice, all, groups, references and wildcards.

Fails: `CatalogueError` FG-STD-003 for a file that cannot be read or names an unknown component.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from lxml import etree

from frontgate import safexml
from frontgate.errors import CatalogueError, XmlError
from frontgate.standard.reading import SCHEMA_NS
from frontgate.standard.tree import all_text
from frontgate.values import Struct

XS = "http://www.w3.org/2001/XMLSchema"
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_FACETS = frozenset(
    {"pattern", "enumeration", "minLength", "maxLength", "length", "minInclusive", "maxInclusive",
     "minExclusive", "maxExclusive", "totalDigits", "fractionDigits"}
)  # fmt: skip


class Checks(Struct, frozen=True):
    """The standard's own attributes on an element declaration.

    list: name of its code list. check: name of its check-character rule. when_sibling: `Name=value`
    of the sibling element on which the check depends; empty = always.
    """

    list: str = ""
    check: str = ""
    when_sibling: str = ""

    def __bool__(self) -> bool:
        return bool(self.list or self.check)


@dataclass(frozen=True, slots=True)
class Declaration:
    """An element as declared at one place. name: `{namespace}local`. min, max: -1 = unbounded.

    type_name: local name of its type, or of the base of an anonymous one. facets: (name, value).
    node: the `xs:element`, from which children are read. place: the particle that uses it.
    """

    name: str
    min: int
    max: int
    type_name: str
    checks: Checks
    facets: tuple[tuple[str, str], ...]
    attributes: tuple[tuple[str, str, bool], ...]
    choice: bool
    node: etree._Element = field(repr=False, compare=False)
    place: etree._Element = field(repr=False, compare=False)

    @property
    def texts(self) -> tuple[str, str]:
        """zh, en: of the place where the element is used, else of its declaration. Read when asked
        for, because checking messages walks all declarations and asks for none.
        """
        found = _texts(self.place)
        return found if found != ("", "") or self.place is self.node else _texts(self.node)

    @property
    def notes(self) -> tuple[str, str]:
        """zh, en: what the place and the declaration say after the first text of each language."""
        nodes = (self.place,) if self.place is self.node else (self.place, self.node)
        said = [_languages(node) for node in nodes]
        return "".join(t for zh, _ in said for t in zh[1:]), " ".join(
            t for _, en in said for t in en[1:]
        )

    @property
    def zh(self) -> str:
        return self.texts[0]

    @property
    def en(self) -> str:
        return self.texts[1]

    @property
    def local(self) -> str:
        return self.name.rpartition("}")[2]


class XsdFile:
    """One XSD file as read."""

    def __init__(self, path: Path) -> None:
        try:
            self.root = safexml.parse(path.read_bytes())
        except (OSError, XmlError) as error:
            raise CatalogueError("FG-STD-003", file=path.name, reason=str(error)) from None

    @cached_property
    def names(self) -> dict[str, tuple[str, str]]:
        """Texts (zh, en) by element name; the first declaration that has some wins."""
        found: dict[str, tuple[str, str]] = {}
        target = self.root.get("targetNamespace", "")
        for node in self.root.iter(f"{{{XS}}}element"):
            name = f"{{{target}}}{node.get('name')}"
            if node.get("name") is not None and name not in found:
                texts = _texts(node)
                if texts != ("", ""):
                    found[name] = texts
        return found


class Declarations:
    """The components of a set of XSD files that import and include each other.

    start: the files to begin with; what they import by relative location is read too. known: files
    read before; those read now are added.
    """

    def __init__(self, start: tuple[Path, ...], known: dict[Path, XsdFile] | None = None) -> None:
        self._known = known if known is not None else {}
        self._roots: dict[Path, etree._Element] = {}
        self._elements: dict[str, etree._Element] = {}
        self._types: dict[str, etree._Element] = {}
        self._groups: dict[str, etree._Element] = {}
        for path in start:
            self._load(path.resolve())

    def _load(self, path: Path) -> None:
        if path in self._roots:
            return
        if path not in self._known:
            self._known[path] = XsdFile(path)
        root = self._roots[path] = self._known[path].root
        target = root.get("targetNamespace", "")
        for node in root.iterchildren(f"{{{XS}}}*"):
            local = etree.QName(node).localname
            if local in ("import", "include"):
                location = node.get("schemaLocation")
                if location:
                    self._load((path.parent / location).resolve())
                continue
            name = f"{{{target}}}{node.get('name')}"
            if local == "element":
                self._elements[name] = node
            elif local in ("complexType", "simpleType"):
                self._types[name] = node
            elif local in ("group", "attributeGroup"):
                self._groups[name] = node

    def root(self, name: str) -> Declaration | None:
        """The global element `{namespace}local`."""
        node = self._elements.get(name)
        return self._declaration(node, node, choice=False) if node is not None else None

    @property
    def files(self) -> Mapping[Path, etree._Element]:
        """The files read, each by its resolved path, in the order of reading; not to be changed."""
        return self._roots

    @property
    def global_elements(self) -> tuple[str, ...]:
        return tuple(self._elements)

    def children(self, declaration: Declaration) -> tuple[Declaration, ...]:
        """The elements that may stand directly inside, in order of declaration."""
        body = self._body(declaration.node)
        return tuple(self._particles(body, choice=False)) if body is not None else ()

    def has_wildcard(self, declaration: Declaration) -> bool:
        """Whether elements of other namespaces may stand inside (`xs:any`)."""
        body = self._body(declaration.node)
        return body is not None and next(body.iter(f"{{{XS}}}any"), None) is not None

    def wildcards(self, node: etree._Element) -> frozenset[str]:
        """How an `xs:element` treats elements that it does not name: `strict`, `lax`, `skip`; empty
        where it allows none.
        """
        name = node.get("type")
        if name is None:
            if _either(node, "simpleType", "complexType") is None:
                return frozenset({"lax"})  # of any type
        elif self._resolve(node, name) == f"{{{XS}}}anyType":
            return frozenset({"lax"})
        body = self._body(node)
        found = self._wildcards(body) if body is not None else ()
        return frozenset(wildcard.get("processContents", "strict") for wildcard in found)

    def limits(self, node: etree._Element) -> tuple[str, tuple[tuple[str, str], ...]]:
        """The full name of an `xs:element`'s simple type, and the facets that it adds to `xs:string`.

        An empty name where the type is complex or has no name; no facets where it adds to another.
        """
        name = node.get("type")
        full = self._resolve(node, name) if name else ""
        if full.startswith(f"{{{XS}}}"):
            return ("", ()) if full == f"{{{XS}}}anyType" else (full, ())
        found = self._types.get(full)
        if found is None or found.tag != f"{{{XS}}}simpleType":
            return "", ()
        derivation = _either(found, "restriction")
        if derivation is None:
            return full, ()
        facets = tuple(
            (etree.QName(f).localname, f.get("value", ""))
            for f in derivation.iterchildren(f"{{{XS}}}*")
            if f.tag != f"{{{XS}}}annotation"
        )
        base = self._resolve(derivation, derivation.get("base", ""))
        return full, facets if base == f"{{{XS}}}string" else ()

    def builtin(self, declaration: Declaration) -> str:
        """The local name of XSD's own type that the element's values are of; empty for a complex one."""
        place = declaration.node
        name = place.get("type", "")
        holder = None if name else _either(place, "simpleType", "complexType")
        while True:
            if holder is None:
                full = self._resolve(place, name) if name else ""
                if not full or full.startswith(f"{{{XS}}}"):
                    return full.rpartition("}")[2]
                holder = self._find(self._types, place, name)
            derivation = _derivation(holder)
            if derivation is None:
                return ""
            place, name, holder = derivation, derivation.get("base", ""), None

    def attribute_texts(self, declaration: Declaration) -> dict[str, tuple[str, str]]:
        """The texts (zh, en) of the attributes in `declaration.attributes`, by name."""
        body = self._body(declaration.node)
        found = body.iter(f"{{{XS}}}attribute") if body is not None else ()
        return {a.get("name", ""): _texts(a) for a in found}

    def type_text(self, declaration: Declaration) -> tuple[str, str]:
        """The texts (zh, en) of the element's named type; empty where it has none."""
        name = declaration.node.get("type")
        if name is None:
            return "", ""
        node = self._types.get(self._resolve(declaration.node, name))
        return _texts(node) if node is not None else ("", "")

    @cached_property
    def names(self) -> dict[str, tuple[str, str]]:
        """Texts (zh, en) by element name, for sentences; the first declaration found wins."""
        found: dict[str, tuple[str, str]] = {}
        for path in self._roots:
            for name, texts in self._known[path].names.items():
                found.setdefault(name, texts)
        return found

    def named_lists(self) -> Iterator[str]:
        """Every code list named anywhere in the files."""
        for root in self._roots.values():
            for node in root.iter(f"{{{XS}}}*"):
                name = node.get(f"{{{SCHEMA_NS}}}list")
                if name:
                    yield name

    # -- reading one declaration ---------------------------------------------------------------

    def _declaration(
        self, place: etree._Element, node: etree._Element, *, choice: bool
    ) -> Declaration:
        """place: the particle (carries occurrence); node: the declaration it stands for."""
        type_name, facets = self._simple(node)
        most = place.get("maxOccurs", "1")
        return Declaration(
            name=f"{{{_target(node)}}}{node.get('name')}",
            min=int(place.get("minOccurs", "1")),
            max=-1 if most == "unbounded" else int(most),
            type_name=type_name,
            checks=Checks(
                list=node.get(f"{{{SCHEMA_NS}}}list", ""),
                check=node.get(f"{{{SCHEMA_NS}}}check", ""),
                when_sibling=node.get(f"{{{SCHEMA_NS}}}check-when-sibling", ""),
            ),
            facets=facets,
            attributes=tuple(self._attributes(node)),
            choice=choice,
            node=node,
            place=place,
        )

    def _particles(self, node: etree._Element, *, choice: bool) -> Iterator[Declaration]:
        for child in node.iterchildren(f"{{{XS}}}*"):
            local = etree.QName(child).localname
            if local == "element":
                ref = child.get("ref")
                target = child if ref is None else self._find(self._elements, child, ref)
                yield self._declaration(child, target, choice=choice)
            elif local in ("sequence", "all", "complexContent", "restriction"):
                yield from self._particles(child, choice=choice)
            elif local == "choice":
                yield from self._particles(child, choice=True)
            elif local == "extension":
                base = self._types.get(self._resolve(child, child.get("base", "")))
                if base is not None:
                    yield from self._particles(base, choice=choice)
                yield from self._particles(child, choice=choice)
            elif local == "group" and child.get("ref"):
                group = self._find(self._groups, child, child.get("ref", ""))
                yield from self._particles(group, choice=choice)

    def _wildcards(self, node: etree._Element) -> Iterator[etree._Element]:
        """The `xs:any` among the particles of a type, those of its bases and groups too."""
        for child in node.iterchildren(f"{{{XS}}}*"):
            local = etree.QName(child).localname
            if local == "any":
                yield child
            elif local in ("sequence", "choice", "all", "complexContent", "restriction"):
                yield from self._wildcards(child)
            elif local == "extension":
                base = self._types.get(self._resolve(child, child.get("base", "")))
                if base is not None:
                    yield from self._wildcards(base)
                yield from self._wildcards(child)
            elif local == "group" and child.get("ref"):
                yield from self._wildcards(self._find(self._groups, child, child.get("ref", "")))

    def _body(self, node: etree._Element) -> etree._Element | None:
        """The complex type of an element declaration; None where its content is simple."""
        name = node.get("type")
        if name is None:
            return node.find(f"{{{XS}}}complexType")
        found = self._types.get(self._resolve(node, name))
        return (
            found if found is not None and etree.QName(found).localname == "complexType" else None
        )

    def _simple(self, node: etree._Element) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Name of the type, and the facets along its derivations, the nearest first."""
        name = node.get("type", "")
        shown = name
        place = node
        holder = None if name else _either(node, "simpleType", "complexType")
        facets: list[tuple[str, str]] = []
        while True:
            if holder is None:
                full = self._resolve(place, name) if name else ""
                if not full or full.startswith(f"{{{XS}}}"):
                    break
                holder = self._find(self._types, place, name)
            derivation = _derivation(holder)
            if derivation is None:
                break
            facets.extend(
                (etree.QName(f).localname, f.get("value", ""))
                for f in derivation.iterchildren(f"{{{XS}}}*")
                if etree.QName(f).localname in _FACETS
            )
            place, name, holder = derivation, derivation.get("base", ""), None
            shown = shown or name
        return shown.rpartition(":")[2], tuple(facets)

    def _attributes(self, node: etree._Element) -> Iterator[tuple[str, str, bool]]:
        body = self._body(node)
        if body is None:
            return
        inner = f"{{{XS}}}element"
        for attribute in body.iter(f"{{{XS}}}attribute"):
            if any(a.tag == inner and a is not node for a in _up_to(attribute, body)):
                continue  # it belongs to an element declared deeper inside
            kind = attribute.get("type", "").rpartition(":")[2]
            yield attribute.get("name", ""), kind, attribute.get("use") == "required"

    def _find(
        self, where: dict[str, etree._Element], node: etree._Element, name: str
    ) -> etree._Element:
        full = self._resolve(node, name)
        found = where.get(full)
        if found is None:
            raise CatalogueError("FG-STD-003", file=_target(node), reason=f"{full} is not declared")
        return found

    def _resolve(self, node: etree._Element, name: str) -> str:
        prefix, _, local = name.rpartition(":")
        return f"{{{node.nsmap.get(prefix or None, '')}}}{local}"


def _either(node: etree._Element, *names: str) -> etree._Element | None:
    return next(node.iterchildren(*(f"{{{XS}}}{n}" for n in names)), None)


def _derivation(holder: etree._Element) -> etree._Element | None:
    """The restriction or extension that gives a type its simple value; None where it has none."""
    inner = holder
    if holder.tag == f"{{{XS}}}complexType":
        content = _either(holder, "simpleContent")
        if content is None:
            return None
        inner = content
    return _either(inner, "restriction", "extension")


def _up_to(node: etree._Element, top: etree._Element) -> Iterator[etree._Element]:
    for ancestor in node.iterancestors():
        if ancestor is top:
            return
        yield ancestor


def _target(node: etree._Element) -> str:
    return node.getroottree().getroot().get("targetNamespace", "")


def _texts(node: etree._Element) -> tuple[str, str]:
    """zh, en: the first text of each language, empty without one."""
    zh, en = _languages(node)
    return next(filter(None, zh), ""), next(filter(None, en), "")


def _languages(node: etree._Element) -> tuple[list[str], list[str]]:
    zh: list[str] = []
    en: list[str] = []
    for text in node.iterfind(f"{{{XS}}}annotation/{{{XS}}}documentation"):
        (zh if text.get(_LANG, "").startswith("zh") else en).append(all_text(text))
    return zh, en
