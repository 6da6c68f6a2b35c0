"""The fields of a message type as a flat list, for the handbook and for comparing versions."""

from __future__ import annotations

from collections.abc import Iterator

from frontgate.model.message import MESSAGE_NS
from frontgate.standard.catalogue import BODY, MESSAGE, Catalogue
from frontgate.standard.declarations import Declaration, Declarations
from frontgate.standard.reading import TYPES_NS
from frontgate.values import Struct

_MAX_DEPTH = 24
_SHOWN_VALUES = 20
_PREFIXES = {MESSAGE_NS: "m", TYPES_NS: "t"}


class Field(Struct, frozen=True):
    """One row. path: element names from the Message down, without prefixes. depth: 0 = the top.
    prefix: of the element's namespace, as samples write it.
    occurs: `1`, `0..1`, `1..*`. limits: what the value must keep to. codes: name of a code list.
    note_zh, note_en: what is said of the element beyond its name. type_zh, type_en: what its named
    type says of itself.
    """

    path: str
    depth: int
    name: str
    zh: str
    en: str
    occurs: str
    type_name: str
    limits: str
    codes: str
    check: str
    is_choice: bool
    prefix: str = ""
    note_zh: str = ""
    note_en: str = ""
    type_zh: str = ""
    type_en: str = ""


def fields_of(catalogue: Catalogue, message_type: str) -> tuple[Field, ...]:
    """Every field a message of that type may hold, in document order.

    Raises: CatalogueError FG-STD-002, FG-STD-003.
    """
    step = catalogue.step(message_type)
    declarations = catalogue.declarations(step.flow)
    body = f"{{{catalogue.flow(step.flow).namespace}}}{step.element}"
    top = declarations.root(MESSAGE)
    return tuple(_walk(declarations, top, "", 0, body, ())) if top is not None else ()


def _walk(
    declarations: Declarations,
    declaration: Declaration,
    above: str,
    depth: int,
    body: str,
    seen: tuple[str, ...],
) -> Iterator[Field]:
    path = f"{above}/{declaration.local}"
    yield _field(declarations, declaration, path, depth)
    texts = declarations.attribute_texts(declaration) if declaration.attributes else {}
    for name, kind, required in declaration.attributes:
        yield Field(
            path=f"{path}/@{name}",
            depth=depth + 1,
            name=f"@{name}",
            zh=texts[name][0],
            en=texts[name][1],
            occurs="1" if required else "0..1",
            type_name=kind,
            limits="",
            codes="",
            check="",
            is_choice=False,
        )
    if depth >= _MAX_DEPTH or seen.count(declaration.name) > 1:
        return
    below = (*seen, declaration.name)
    for child in declarations.children(declaration):
        yield from _walk(declarations, child, path, depth + 1, body, below)
    if declaration.name == BODY:
        inner = declarations.root(body)
        if inner is not None:
            yield from _walk(declarations, inner, path, depth + 1, body, below)


def _field(declarations: Declarations, declaration: Declaration, path: str, depth: int) -> Field:
    most = "*" if declaration.max < 0 else str(declaration.max)
    least = str(declaration.min)
    values = [v for k, v in declaration.facets if k == "enumeration"]
    limits = [f"{k} {v}" for k, v in declaration.facets if k not in ("enumeration", "pattern")]
    limits += [v for k, v in declaration.facets if k == "pattern"][:1]
    if values:
        more = " …" if len(values) > _SHOWN_VALUES else ""
        limits.append(" | ".join(values[:_SHOWN_VALUES]) + more)
    note_zh, note_en = declaration.notes
    type_zh, type_en = declarations.type_text(declaration)
    return Field(
        path=path,
        depth=depth,
        name=declaration.local,
        zh=declaration.zh,
        en=declaration.en,
        occurs=least if least == most else f"{least}..{most}",
        type_name=declaration.type_name,
        limits=", ".join(limits),
        codes=declaration.checks.list,
        check=declaration.checks.check,
        is_choice=declaration.choice,
        prefix=_PREFIXES.get(declaration.name.rpartition("}")[0].removeprefix("{"), "b"),
        note_zh=note_zh,
        note_en=note_en,
        type_zh=type_zh,
        type_en=type_en,
    )
