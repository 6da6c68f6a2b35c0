"""What a section of a settings file is: a frozen struct whose fields carry bounds and meaning.

A field that is itself a section, or has a meaning (`Meta(description="zh | en")`), is a key of the
file; any other field is set by the program. `Meta(extra={"check": function})` names a check that
types and bounds cannot say: it gets the value and raises ValueError with what is wrong.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from frontgate.core.identifiers import is_unit_code
from frontgate.lean import without
from frontgate.values import Struct

with without("typing_extensions"):  # for Pythons before 3.11
    from msgspec import NODEFAULT, Meta, Struct, field
    from msgspec.structs import fields, replace

__all__ = ["Key", "Meta", "Section", "UnitCode", "field", "keys_of", "replace"]


class Section(Struct, frozen=True):
    """A table of a settings file."""


def _unit_code(value: str) -> None:
    if not is_unit_code(value):
        raise ValueError("not a unit code (11 characters, check character last)")


UnitCode = Annotated[str, Meta(extra={"check": _unit_code})]


class Key(Struct, frozen=True):
    """One key of a section.

    name: as in the file. attribute: as in Python. section: what a table or, with is_list, each
    table of an array is read into; None for a plain value. choices: the values of a Literal.
    """

    name: str
    attribute: str
    type: Any
    section: type[Section] | None
    is_list: bool
    is_required: bool
    default: object
    meaning: str
    checks: tuple[Callable[[Any], None], ...]
    choices: tuple[Any, ...]
    least: int


@functools.cache
def keys_of(model: type[Section]) -> tuple[Key, ...]:
    """The keys of a section, in the order in which they are declared."""
    found = []
    for info in fields(model):
        metas = getattr(info.type, "__metadata__", ())
        bare = info.type.__origin__ if metas else info.type
        is_list = get_origin(bare) is list
        section = _section_in(bare)
        meaning = next((m.description for m in metas if m.description), "")
        if section is None and not meaning:
            continue
        default = info.default
        if info.default_factory is not NODEFAULT:
            default = info.default_factory()
        found.append(
            Key(
                name=info.encode_name,
                attribute=info.name,
                type=info.type,
                section=section,
                is_list=is_list,
                is_required=default is NODEFAULT,
                default=default,
                meaning=meaning,
                checks=tuple(m.extra["check"] for m in metas if m.extra),
                choices=get_args(bare) if get_origin(bare) is Literal else (),
                least=max((m.min_length or 0 for m in metas), default=0),
            )
        )
    return tuple(found)


def _section_in(kind: Any) -> type[Section] | None:
    inner = get_args(kind) if get_origin(kind) in (list, Union, UnionType) else (kind,)
    for one in inner:
        if isinstance(one, type) and issubclass(one, Section):
            return one
    return None
