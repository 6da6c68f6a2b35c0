"""From a parsed TOML table to a section, with every fault told and none coerced away.

msgspec stops at the first fault, so it converts one value at a time here. An integer stands for a
number with a fraction; nothing else is taken for something that it is not (no `"22"`, no `true` for 1).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from frontgate.lean import without
from frontgate.settings.section import Key, Section, keys_of
from frontgate.values import Struct

with without("typing_extensions"):
    from msgspec import ValidationError, convert

_S = TypeVar("_S", bound=Section)
Place = tuple[str | int, ...]  # keys, and the index in an array of tables


class Fault(Struct, frozen=True):
    place: Place
    what: str

    @property
    def key(self) -> str:
        """The keys alone, joined by dots."""
        return ".".join(part for part in self.place if isinstance(part, str))


def read_section(
    model: type[_S], table: Mapping[str, Any], **given: object
) -> tuple[_S | None, list[Fault]]:
    """Read a whole file's table. given: fields that the program sets.

    Returns: the section and no fault, or None and every fault in the order of the keys.
    """
    walk = _Walk(tuple(known_names(model)))
    section = walk.section(model, table, (), given)
    return (None if walk.faults else section), walk.faults


def known_names(model: type[Section]) -> list[str]:
    """All keys of a section and of those inside it."""
    names = []
    for key in keys_of(model):
        names.append(key.name)
        if key.section is not None:
            names += known_names(key.section)
    return names


class _Walk:
    def __init__(self, known: tuple[str, ...]) -> None:
        self.faults: list[Fault] = []
        self._known = known

    def section(
        self, model: type[_S], table: Mapping[str, Any], place: Place, given: Mapping[str, object]
    ) -> _S | None:
        values = dict(given)
        before = len(self.faults)
        keys = keys_of(model)
        for key in keys:
            if key.name in table:
                values[key.attribute] = self._value(key, table[key.name], (*place, key.name))
            elif key.is_required:
                self._fault((*place, key.name), "missing, but required")
            elif isinstance(key.default, Section):  # an instance for each reader, lists and all
                values[key.attribute] = type(key.default)()
        self._unknown(table, tuple(key.name for key in keys), place)
        if len(self.faults) > before:
            return None
        try:
            return model(**values)
        except ValueError as wrong:  # keys that do not go together
            self._fault(place, str(wrong))
            return None

    def _value(self, key: Key, value: Any, place: Place) -> Any:
        if key.section is None:
            return self._plain(key, value, place)
        if not key.is_list:
            return self._table(key.section, value, place)
        if not isinstance(value, list):
            return self._fault(place, f"must be an array of tables, [[{key.name}]]")
        if len(value) < key.least:
            return self._fault(place, f"needs at least {key.least}")
        return [self._table(key.section, each, (*place, n)) for n, each in enumerate(value)]

    def _table(self, model: type[_S], value: Any, place: Place) -> _S | None:
        if isinstance(value, dict):
            return self.section(model, value, place, {})
        self._fault(place, "must be a table")
        return None

    def _plain(self, key: Key, value: Any, place: Place) -> Any:
        if key.choices and value not in key.choices:
            return self._fault(place, f"must be one of {', '.join(map(repr, key.choices))}")
        try:
            value = convert(value, key.type, dec_hook=_path)
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, float) and not math.isfinite(number):
                    raise ValueError("must be a finite number")
            for check in key.checks:
                check(value)
        except (ValidationError, ValueError) as wrong:
            return self._fault(place, str(wrong))
        return value

    def _unknown(self, table: Mapping[str, Any], here: tuple[str, ...], place: Place) -> None:
        for name in table:
            if name in here:
                continue
            near = difflib.get_close_matches(name, here, n=1)
            near = near or difflib.get_close_matches(name, self._known, n=1)
            hint = f", did you mean '{near[0]}'?" if near else ""
            self._fault((*place, name), f"unknown key{hint}")

    def _fault(self, place: Place, what: str) -> None:
        self.faults.append(Fault(place, what))


def _path(kind: type, value: Any) -> Any:
    """The types that msgspec leaves to us: a path is a string of the file."""
    if kind is not Path or not isinstance(value, str):
        raise ValueError(f"Expected `str`, got `{type(value).__name__}`")
    if "\0" in value:
        raise ValueError("a path holds no character U+0000")
    return Path(value)
