"""Reading the standard's TOML strictly: each key once, each of its type, none left over.

Also the fixed prefixes of every XPath in the standard's data.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from frontgate.errors import CatalogueError
from frontgate.model.message import MESSAGE_NS

TYPES_NS = "urn:frontgate:types:1"
SCHEMA_NS = "urn:frontgate:schema:1"
"""Namespace of the attributes that the standard adds to XSD and Schematron (`fg:`)."""
CODES_NS = "urn:frontgate:codes:1"


@lru_cache(maxsize=256)
def prefixes(flow: str) -> Mapping[str, str]:
    """Prefix → namespace of XPaths in a flow's data: m message, t types, b the flow's body."""
    return MappingProxyType({"m": MESSAGE_NS, "t": TYPES_NS, "b": f"urn:frontgate:{flow}:1"})


_NEEDED = object()


class Table:
    """One TOML table, read key by key. `close` refuses what nobody asked for.

    Every method raises CatalogueError FG-STD-003 naming the file for a key that is missing or of
    the wrong type.
    """

    def __init__(self, content: Mapping[str, Any], file: str) -> None:
        self._content = content
        self._file = file
        self._known: list[str] = []

    def wrong(self, reason: str) -> CatalogueError:
        """The error to raise for this file."""
        return CatalogueError("FG-STD-003", file=self._file, reason=reason)

    def _get(self, key: str, kind: type, default: object) -> Any:
        self._known.append(key)
        value = self._content.get(key, default)
        if value is _NEEDED:
            raise self.wrong(f"'{key}' is missing")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.wrong(f"'{key}' must be of type {kind.__name__}")
        return value

    def text(self, key: str, default: object = _NEEDED) -> str:
        value: str = self._get(key, str, default)
        return value

    def flag(self, key: str) -> bool:
        value: bool = self._get(key, bool, False)
        return value

    def number(self, key: str, default: object = _NEEDED) -> int:
        value: int = self._get(key, int, default)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; empty if absent."""
        value = self._get(key, list, [])
        if not all(isinstance(v, str) for v in value):
            raise self.wrong(f"'{key}' must be a list of strings")
        return tuple(value)

    def tables(self, key: str) -> tuple[Table, ...]:
        """An array of tables; empty if absent."""
        value = self._get(key, list, [])
        if not all(isinstance(v, dict) for v in value):
            raise self.wrong(f"'{key}' must be an array of tables")
        return tuple(Table(v, self._file) for v in value)

    def ignore(self, *keys: str) -> None:
        """Keys that others read (deadlines, statistics)."""
        self._known.extend(keys)

    def close(self) -> None:
        """Refuse unknown keys, naming the nearest known one."""
        for key in self._content:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, n=1)
                hint = f"; did you mean '{near[0]}'?" if near else ""
                raise self.wrong(f"unknown key '{key}'{hint}")
