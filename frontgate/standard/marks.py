"""Where in a message code lists and check characters apply: from declarations to a flat map.

The same element name may stand for different lists in different types. The map is therefore
keyed by the shortest tail of the element path that decides: mostly the name alone, else the name
with its parent, and so on. Built once a flow; looking up then costs one dictionary access per
marked element.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Set

from lxml import etree

from frontgate.errors import CatalogueError
from frontgate.standard.declarations import Checks, Declaration, Declarations
from frontgate.values import Struct, replace

_MAX_DEPTH = 24
"""Deeper than any message of the standard (19 levels); stops recursive types."""

NONE = Checks()


class Marks(Struct, frozen=True):
    """by_name: checks where the name alone decides. by_tail: for the other names, path tail →
    checks, tails as tuples from the element upwards. settled: names in `by_name` about which the
    schema has said all already. paths: of each element name all paths that the declarations give,
    as tuples from the element upwards; None where they could not be followed to the end.
    """

    by_name: Mapping[str, Checks]
    by_tail: Mapping[str, Mapping[tuple[str, ...], Checks]]
    settled: frozenset[str] = frozenset()
    paths: Mapping[str, tuple[tuple[str, ...], ...]] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All element names worth looking at, for one pass over the tree."""
        return (*self.by_name, *self.by_tail)

    def of(self, element: etree._Element) -> Checks:
        """The checks of an element of one of `names`."""
        name = element.tag
        found = self.by_name.get(name)
        if found is not None:
            return found
        tails = self.by_tail.get(name)
        if tails is None:
            return NONE
        path: tuple[str, ...] = (name,)
        node: etree._Element | None = element
        while node is not None:
            hit = tails.get(path)
            if hit is not None:
                return hit
            node = node.getparent()
            if node is not None:
                path = (*path, node.tag)
        return NONE


def build(
    declarations: Declarations,
    roots: tuple[tuple[str, str], ...],
    is_settled: Callable[[Declaration], bool] = lambda _: False,
) -> Marks:
    """Walk the declarations from each root and make the map.

    roots: (element name, name of the element that holds it, or empty). is_settled: whether a
    declaration's type leaves nothing to check. Raises: CatalogueError FG-STD-003 where one full
    path carries two different checks.
    """
    paths: dict[str, dict[tuple[str, ...], Checks]] = defaultdict(dict)
    open_names: set[str] = set()
    is_whole = True

    def walk(declaration: Declaration, above: tuple[str, ...]) -> None:
        nonlocal is_whole
        path = (declaration.name, *above)
        if len(path) > _MAX_DEPTH:
            is_whole = False
            return
        known = paths[declaration.name].setdefault(path, declaration.checks)
        if declaration.name not in open_names and not is_settled(declaration):
            open_names.add(declaration.name)
        if known != declaration.checks:
            shown = "/".join(n.rpartition("}")[2] for n in reversed(path))
            raise CatalogueError(
                "FG-STD-003", file=shown, reason="the same path names two code lists or checks"
            )
        if above.count(declaration.name) < 2:  # one turn of a recursive type shows all it holds
            for child in declarations.children(declaration):
                walk(child, path)
        else:
            is_whole = False

    for name, holder in roots:
        declaration = declarations.root(name)
        if declaration is not None:
            walk(declaration, (holder,) if holder else ())
    found = _shorten(paths, open_names)
    known = {name: tuple(places) for name, places in paths.items()} if is_whole else None
    return replace(found, paths=known)


def _shorten(paths: Mapping[str, Mapping[tuple[str, ...], Checks]], open_names: Set[str]) -> Marks:
    by_name: dict[str, Checks] = {}
    by_tail: dict[str, dict[tuple[str, ...], Checks]] = {}
    for name, places in paths.items():
        kinds = set(places.values())
        if kinds == {NONE}:
            continue
        if len(kinds) == 1:
            by_name[name] = kinds.pop()
            continue
        tails: dict[tuple[str, ...], Checks] = {}
        for path, checks in places.items():
            size = 1
            while size < len(path) and any(
                other[:size] == path[:size] and found != checks for other, found in places.items()
            ):
                size += 1
            tails[path[:size]] = checks
        by_tail[name] = tails
    return Marks(by_name, by_tail, frozenset(by_name.keys() - open_names))
