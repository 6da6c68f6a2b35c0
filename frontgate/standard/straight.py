"""XPaths that go straight to elements instead of searching the whole message for them.

`//t:Person` costs libxml2 a walk through all nodes (4 us in a message of 130 elements); the
declarations know the few places where a person can stand in a message of one kind (1 us each).
Guarantees: in a message that holds declared elements alone, and no type that it names itself, a
straight expression finds what the plain one finds. `Trust.CODES` says that a message is such.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Protocol

from frontgate.model.message import MESSAGE_NS

MOST_PATHS = 4
"""With more places than that a search is as cheap."""

MESSAGE, BODY = f"{{{MESSAGE_NS}}}Message", f"{{{MESSAGE_NS}}}Body"
_STEP = re.compile(r"/([\w-][\w.-]*):([\w-][\w.-]*)(?=[/\[]|$)")
_FIRST = re.compile(r"//([\w-][\w.-]*):([\w-][\w.-]*)(?=[/\[]|$)")


class Ways(Protocol):
    """Who knows the places of elements: `QuickTexts`."""

    def straight(self, body: str) -> Straight | None: ...


class Straight:
    """Places in messages of one kind. paths: see `Marks.paths`. body: name of the element in Body."""

    def __init__(self, paths: Mapping[str, tuple[tuple[str, ...], ...]], body: str) -> None:
        self._paths = paths
        self._body = body
        self.is_known = (body, BODY) in paths.get(body, ())
        """Whether messages of that body can be spoken of."""
        self.names: dict[str, str] = {}
        """Prefixes of the expressions made so far."""

    def to(self, name: str) -> tuple[str, ...]:
        """Absolute paths to all places where the element can stand; empty if it can at none."""
        found = []
        for path in self._paths.get(name, ()):
            if path[-1] == MESSAGE:
                found.append(path)
            elif path[-1] == BODY and path[-2] == self._body:
                found.append((*path, MESSAGE))
        return tuple("".join(map(self._step, reversed(path))) for path in found)

    def _step(self, name: str) -> str:
        uri, _, local = name[1:].rpartition("}")
        if not uri:
            return f"/{local}"
        prefix = next((p for p, known in self.names.items() if known == uri), None)
        if prefix is None:
            prefix = f"fg-{len(self.names)}"
            self.names[prefix] = uri
        return f"/{prefix}:{local}"

    def context(self, parts: Iterable[str], names: Mapping[str, str]) -> list[str]:
        """Of the paths in `parts` those that can find anything, made straight; maybe several for one.

        parts: each begins with `/` or `//`. names: their prefixes. Not to be asked as one union:
        libxml2 compares each node with each when it joins two sets.
        """
        made: list[str] = []
        for part in parts:
            first = _FIRST.match(part)
            if first is not None:
                places = self.to(f"{{{names.get(first[1], '')}}}{first[2]}")
                rest = part[first.end() :]
                made += [f"{p}{rest}" for p in places] if len(places) <= MOST_PATHS else [part]
            elif self._can_be(part, names):
                made.append(part)
        return made

    def _can_be(self, part: str, names: Mapping[str, str]) -> bool:
        """False if the plain steps at the beginning of an absolute path lead to no place."""
        steps: list[str] = []
        position = 0
        while step := _STEP.match(part, position):
            steps.append(f"{{{names.get(step[1], '')}}}{step[2]}")
            position = step.end()
        if not steps:
            return True
        path = tuple(reversed(steps))
        if len(steps) > 2 and steps[:2] == [MESSAGE, BODY]:
            return steps[2] == self._body and path[:-1] in self._paths.get(path[0], ())
        return path in self._paths.get(path[0], ()) or path == (BODY, MESSAGE)
