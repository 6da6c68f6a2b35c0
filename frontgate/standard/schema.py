"""Layer `xsd`: compiled schemas, and libxml2's complaints turned into findings for people.

Guarantees: schemas are compiled from the standard's own files, never from what a message names;
a schema object belongs to one thread, because lxml mixes the error logs of a shared one.
Fails: `CatalogueError` FG-STD-003 for a schema that does not compile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from lxml import etree

from frontgate import safexml
from frontgate.errors import CatalogueError
from frontgate.model.finding import Finding, finding
from frontgate.standard.catalogue import Catalogue
from frontgate.standard.content import ORDER, declared, lacking, misplaced
from frontgate.standard.places import Places
from frontgate.standard.plain_types import wanted
from frontgate.standard.tree import text_of

XS = "http://www.w3.org/2001/XMLSchema"
MAX_FINDINGS = 200
"""Findings shown of one layer; a message with more is mended in rounds anyway."""
MAX_DISTINCT = 20
_CHUNK = 1 << 16

_NAME = re.compile(r"\{([^}]*)\}([^\s,{}()]+)")
_SUBJECT = re.compile(r"^Element '([^']*)'(?:, attribute '([^']*)')?: ")
_QUOTED = re.compile(r"'([^']*)'")

CODE_OF: Mapping[str, str] = {
    "SCHEMAV_CVC_PATTERN_VALID": "FG-XSD-003",
    "SCHEMAV_CVC_ENUMERATION_VALID": "FG-XSD-004",
    "SCHEMAV_CVC_LENGTH_VALID": "FG-XSD-005",
    "SCHEMAV_CVC_MINLENGTH_VALID": "FG-XSD-005",
    "SCHEMAV_CVC_MAXLENGTH_VALID": "FG-XSD-005",
    "SCHEMAV_CVC_DATATYPE_VALID_1_2_1": "FG-XSD-006",
    "SCHEMAV_CVC_DATATYPE_VALID_1_2_2": "FG-XSD-006",
    "SCHEMAV_CVC_DATATYPE_VALID_1_2_3": "FG-XSD-006",
    "SCHEMAV_CVC_MININCLUSIVE_VALID": "FG-XSD-007",
    "SCHEMAV_CVC_MAXINCLUSIVE_VALID": "FG-XSD-007",
    "SCHEMAV_CVC_MINEXCLUSIVE_VALID": "FG-XSD-007",
    "SCHEMAV_CVC_MAXEXCLUSIVE_VALID": "FG-XSD-007",
    "SCHEMAV_CVC_TOTALDIGITS_VALID": "FG-XSD-008",
    "SCHEMAV_CVC_FRACTIONDIGITS_VALID": "FG-XSD-008",
    "SCHEMAV_CVC_COMPLEX_TYPE_3_2_1": "FG-XSD-011",
    "SCHEMAV_CVC_COMPLEX_TYPE_3_2_2": "FG-XSD-011",
    "SCHEMAV_CVC_TYPE_3_1_1": "FG-XSD-011",
    "SCHEMAV_CVC_COMPLEX_TYPE_4": "FG-XSD-012",
    "SCHEMAV_CVC_COMPLEX_TYPE_2_1": "FG-XSD-013",
    "SCHEMAV_CVC_COMPLEX_TYPE_2_2": "FG-XSD-013",
    "SCHEMAV_CVC_COMPLEX_TYPE_2_3": "FG-XSD-013",
    "SCHEMAV_CVC_TYPE_3_1_2": "FG-XSD-013",
    "SCHEMAV_CVC_ELT_1": "FG-XSD-014",
    "SCHEMAV_CVC_WILDCARD": "FG-XSD-014",
    "SCHEMAV_CVC_ELT_2": "FG-XSD-015",
    "SCHEMAV_CVC_ELT_3_1": "FG-XSD-015",
    "SCHEMAV_CVC_ELT_3_2_1": "FG-XSD-015",
    "SCHEMAV_CVC_ELT_3_2_2": "FG-XSD-015",
    "SCHEMAV_CVC_ELT_4_1": "FG-XSD-015",
    "SCHEMAV_CVC_ELT_4_2": "FG-XSD-015",
    "SCHEMAV_CVC_ELT_4_3": "FG-XSD-015",
}
"""lxml's stable names of libxml2's errors → our code, where one means one."""

_KIND_OF_CONTENT: Mapping[str, tuple[str, str]] = {
    "SCHEMAV_CVC_COMPLEX_TYPE_2_1": ("空元素", "nothing"),
    "SCHEMAV_CVC_COMPLEX_TYPE_2_2": ("文字", "text"),
    "SCHEMAV_CVC_COMPLEX_TYPE_2_3": ("下级元素", "elements"),
    "SCHEMAV_CVC_TYPE_3_1_2": ("文字", "text"),
}


def driver(catalogue: Catalogue, flow: str) -> etree._Element:
    """A schema that imports the frame and one flow (empty = the frame alone)."""
    top = etree.Element(f"{{{XS}}}schema", nsmap={"xs": XS})
    for path in catalogue.schema_files(flow):
        place = etree.SubElement(top, f"{{{XS}}}import")
        place.set("namespace", _target(path))
        place.set("schemaLocation", path.resolve().as_uri())
    return top


def compile_schema(catalogue: Catalogue, flow: str) -> etree.XMLSchema:
    """The schema of the frame and one flow (empty = the frame alone), for the calling thread.

    Raises: CatalogueError FG-STD-003 with the processor's reason.
    """
    try:
        return etree.XMLSchema(driver(catalogue, flow))
    except etree.XMLSchemaParseError as error:
        name = catalogue.schema_files(flow)[-1].name
        raise CatalogueError("FG-STD-003", file=name, reason=str(error)[:400]) from None


def _target(path: Path) -> str:
    head = path.read_bytes()[:8192].decode("utf-8", "replace")
    found = re.search(r"targetNamespace\s*=\s*[\"']([^\"']+)[\"']", head)
    if found is None:
        raise CatalogueError("FG-STD-003", file=path.name, reason="no targetNamespace")
    return found.group(1)


def validate(
    schema: etree.XMLSchema, root: etree._Element, places: Places, *, skip: str = ""
) -> tuple[Finding, ...]:
    """All that the schema refuses, in the order of the document; empty = valid.

    skip: complaints about the element of this name are left out (said otherwise already).
    """
    if schema.validate(root):
        return ()
    log = [(e.type_name, e.message, e.path or "") for e in cast("Any", schema.error_log)]
    found: list[Finding] = []
    faceted: set[str] = set()
    for type_name, message, path in log:
        if _is_echo(message):
            continue
        if type_name == "SCHEMAV_CVC_DATATYPE_VALID_1_2_1" and path in faceted:
            continue  # the same value was refused by a facet already
        if "[facet" in message:
            faceted.add(path)
        subject = _SUBJECT.match(message)
        if skip and subject is not None and subject.group(1) == skip:
            continue
        if len(found) == MAX_FINDINGS:
            found.append(finding("FG-XSD-016", limit=MAX_FINDINGS))
            break
        found.append(_explained(type_name, message, _element(root, path), places))
    if not found and not skip:  # refused without a usable reason: say so, never accept
        found.append(_finding("", "the schema processor gave no reason", root, places))
    return tuple(found)


def flood(schema: etree.XMLSchema, data: bytes) -> tuple[tuple[str, str], ...]:
    """Whether a large message is wrong in so many places that telling each would take for ever.

    libxml2 makes a path for each complaint by counting the element's siblings: time grows with their
    square. Read as a stream it makes none, and stops here a little after the first `MAX_FINDINGS`.
    Returns: the first distinct complaints (type, words), at most `MAX_DISTINCT`; none for a message
    that `validate` can judge in linear time, be it valid or not.
    """
    parser = safexml.streaming(schema)
    log: list[Any] = []
    try:
        for start in range(0, len(data), _CHUNK):
            parser.feed(data[start : start + _CHUNK])
            safexml.drop_read(parser)
            log = list(cast("Any", parser.feed_error_log))
            if len(log) > MAX_FINDINGS:
                break
    except etree.XMLSyntaxError:
        log = list(cast("Any", parser.feed_error_log))
    if len(log) <= MAX_FINDINGS:
        return ()
    return tuple(dict.fromkeys((e.type_name, e.message) for e in log if not _is_echo(e.message)))[
        :MAX_DISTINCT
    ]


def flooded(
    root: etree._Element, complaints: Iterable[tuple[str, str]], places: Places
) -> tuple[Finding, ...]:
    """Findings for a flood, each where it first stands, and one that says that there are more."""
    found = []
    for type_name, message in complaints:
        subject = _SUBJECT.match(message)
        element = _first(root, subject.group(1), message) if subject else root
        found.append(_finding(type_name, message, element, places))
    return (*found, finding("FG-XSD-016", limit=len(found)))


def _first(root: etree._Element, name: str, message: str) -> etree._Element:
    """The first element of that name, if the message quotes its value the first with that value."""
    first = None
    quoted = set(_QUOTED.findall(message))
    for element in root.iter(name):
        first = element if first is None else first
        if (element.text or "").strip() in quoted:
            return element
    return root if first is None else first


def _is_echo(message: str) -> bool:
    """The echo of another complaint on the same element."""
    return "No precomputed value available" in message or "does evaluate to a node" in message


_STEP = re.compile(r"(?:([^/:\[]+):)?([^/:\[]+)(?:\[(\d+)\])?")


def _element(root: etree._Element, path: str) -> etree._Element:
    """The element behind libxml2's node path, such as `/*/*[2]/b:Submit`.

    In such a path `*` is an element of a default namespace, counted among all its siblings; a
    named step is counted among those of the same written name. XPath would need one binding for
    every prefix, which a document need not have.
    """
    steps = path.split("/")[2:]  # the first is the root itself
    element = root
    for step in steps:
        match = _STEP.fullmatch(step)
        if match is None:
            return element
        prefix, local, number = match.groups()
        position = int(number or "1")
        for child in element.iterchildren("*"):
            if local != "*" and (child.prefix != prefix or etree.QName(child).localname != local):
                continue
            position -= 1
            if position == 0:
                element = child
                break
        else:
            return element
    return element


def _explained(type_name: str, message: str, element: etree._Element, places: Places) -> Finding:
    """As `_finding`, where the declarations say more of the element's place than the processor."""
    if type_name != "SCHEMAV_ELEMENT_CONTENT":
        return _finding(type_name, message, element, places)
    subject = _SUBJECT.match(message)
    reason = message[subject.end() :] if subject else message
    declarations = places.declarations
    told = _finding(type_name, message, element, places)
    if reason.startswith("Missing child"):
        names = lacking(declarations, element)
        return _retold(told, told.rule, element, places, _listed(names, places)) if names else told
    found = misplaced(declarations, element, _names(reason))
    if found is None:
        return told
    params: dict[str, Any] = {"limit": found.limit}
    if found.code == ORDER:
        for role, name in zip(("first", "second"), found.names, strict=True):
            params |= places.names(name, role)
    else:
        params |= _listed(found.names, places, is_choice=found.is_choice)
    return _retold(told, found.code, element, places, params)


def _retold(
    told: Finding, code: str, element: etree._Element, places: Places, params: dict[str, Any]
) -> Finding:
    return finding(
        code,
        line=told.line,
        xpath=told.xpath,
        value=told.value,
        **places.names(element),
        **params,
    )


def _listed(names: Iterable[str], places: Places, *, is_choice: bool = False) -> dict[str, Any]:
    zh, en = (" 或 ", " or ") if is_choice else ("、", ", ")
    return {
        "expected_zh": zh.join(places.qualified(n, "zh") for n in names),
        "expected_en": en.join(places.qualified(n, "en") for n in names),
    }


def _names(reason: str) -> list[str]:
    return [f"{{{uri}}}{local}" for uri, local in _NAME.findall(reason) if "*" not in local]


def _finding(type_name: str, message: str, element: etree._Element, places: Places) -> Finding:
    subject = _SUBJECT.match(message)
    reason = message[subject.end() :] if subject else message
    attribute = (subject.group(2) or "") if subject else ""
    code = _code(type_name, reason)
    params = _params(code, type_name, reason, attribute, places)
    if code in ("FG-XSD-003", "FG-XSD-006"):
        params |= _wanted(code, str(params["facet"]), element, attribute, places)
    if code == "FG-XSD-014" and subject is not None:
        params |= places.names(subject.group(1))
    else:
        params |= places.names(element)
    if code == "FG-XSD-002":  # the namespace may be what is wrong
        params |= {f"element_{x}": places.qualified(str(element.tag), x) for x in ("zh", "en")}
    simple = len(element) == 0 and code not in ("FG-XSD-001", "FG-XSD-002", "FG-XSD-012")
    value = element.get(attribute, "") if attribute else (element.text or "") if simple else ""
    return finding(
        code,
        line=places.line(element),
        xpath=places.xpath(element) + (f"/@{attribute}" if attribute else ""),
        value=value.strip(),
        **params,
    )


def _code(type_name: str, reason: str) -> str:
    if type_name == "SCHEMAV_ELEMENT_CONTENT":
        return "FG-XSD-001" if reason.startswith("Missing child") else "FG-XSD-002"
    if type_name == "SCHEMAV_CVC_IDC":
        return "FG-XSD-010" if "No match found for key-sequence" in reason else "FG-XSD-009"
    return CODE_OF.get(type_name, "FG-XSD-099")


def _params(
    code: str, type_name: str, reason: str, attribute: str, places: Places
) -> dict[str, Any]:
    quoted = _QUOTED.findall(reason)
    params: dict[str, Any] = {"attribute": attribute, "facet": _bare(reason)}
    if code in ("FG-XSD-001", "FG-XSD-002"):
        params |= _expected(reason, places)
    elif code == "FG-XSD-003":
        params["facet"] = reason.partition("by the pattern '")[2].rstrip(".'") or _bare(reason)
    elif code == "FG-XSD-004":
        params["facet"] = reason.partition("{")[2].rpartition("}")[0] or _bare(reason)
    elif code == "FG-XSD-005":
        numbers = [q for q in quoted if q.isdigit()]
        params["actual"] = numbers[0] if numbers else "?"
        params["limit"] = numbers[-1] if numbers else "?"
    elif code == "FG-XSD-006":
        params["facet"] = quoted[-1] if quoted else _bare(reason)
    elif code == "FG-XSD-007":
        params["facet"] = _range(type_name, quoted[-1] if quoted else "?")
    elif code == "FG-XSD-012":
        params["attribute"] = quoted[0] if quoted else "?"
    elif code == "FG-XSD-013":
        zh, en = _KIND_OF_CONTENT.get(type_name, ("规定内容", "the declared content"))
        params["facet_zh"], params["facet_en"] = zh, en
    return params


def _wanted(
    code: str, facet: str, element: etree._Element, attribute: str, places: Places
) -> dict[str, Any]:
    """What the value should be, in the words of its type's text or of XSD's own type."""
    words = facet, facet
    declaration = declared(places.declarations, element) if not attribute else None
    if declaration is not None and code == "FG-XSD-006":
        words = wanted(places.declarations.builtin(declaration), text_of(element))
    elif declaration is not None:
        zh, en = places.declarations.type_text(declaration)
        words = (f"{zh}；{facet}" if zh else facet), (f"{en}; {facet}" if en else facet)
    return {"facet_zh": words[0], "facet_en": words[1]}


def _expected(reason: str, places: Places) -> dict[str, Any]:
    names = _names(reason)
    if names:
        return _listed(names, places)
    if "Expected is" in reason:
        return {
            "expected_zh": "其他命名空间的一个元素",
            "expected_en": "one element of another namespace",
        }
    return {"expected_zh": "无（到此为止）", "expected_en": "nothing more"}


def _range(type_name: str, limit: str) -> str:
    sign = {
        "SCHEMAV_CVC_MININCLUSIVE_VALID": "≥",
        "SCHEMAV_CVC_MAXINCLUSIVE_VALID": "≤",
        "SCHEMAV_CVC_MINEXCLUSIVE_VALID": ">",
        "SCHEMAV_CVC_MAXEXCLUSIVE_VALID": "<",
    }[type_name]
    return f"{sign} {limit}"


def _bare(reason: str) -> str:
    """The processor's sentence without namespaces, cut to what a reader needs."""
    return re.sub(r"\{[^}]*\}", "", reason).strip()[:200]
