"""Where in a TOML text a key stands, for messages. A best guess: the parser tells no positions."""

from __future__ import annotations

import re

from frontgate.settings.walk import Place

_HEADER = re.compile(r"^\s*(\[\[?)([^\[\]]+)\]")
_KEY = re.compile(r"^\s*[\"']?([A-Za-z0-9_-]+)[\"']?\s*[=.]")


def line_of(text: str, place: Place) -> int:
    """The line (from 1) of the key at `place`, else of the table that lacks it, else 0."""
    table: Place = ()
    counts: dict[Place, int] = {}
    nearest, depth = 0, 0
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header is not None:
            table = _opened(header, counts)
            shared = min(len(table), len(place))
            if place[:shared] == table[:shared] and shared > depth:
                nearest, depth = number, shared
            continue
        key = _KEY.match(line)
        if key is not None and place[: len(table) + 1] == (*table, key[1]):
            return number
    return nearest


def _opened(header: re.Match[str], counts: dict[Place, int]) -> Place:
    """The place of a table that a header opens; `[[x]]` counts the tables of its array."""
    names = [name.strip().strip("\"'") for name in header[2].split(".")]
    place: Place = ()
    for position, name in enumerate(names):
        place = (*place, name)
        if header[1] == "[[" and position == len(names) - 1:
            counts[place] = counts.get(place, -1) + 1
        if place in counts:
            place = (*place, counts[place])
    return place
