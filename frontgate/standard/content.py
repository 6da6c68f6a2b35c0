"""Why the schema did not expect an element: what is missing, out of order, or there too often.

libxml2 says only "not expected" and what it waited for; the declarations know the whole sequence.
Guarantees: only for words, in time linear in the siblings; where the declarations do not tell, None.
"""

from __future__ import annotations

from collections.abc import Sequence

from lxml import etree

from frontgate.standard.declarations import Declaration, Declarations
from frontgate.values import Struct

MISSING, ORDER, TOO_OFTEN = "FG-XSD-017", "FG-XSD-018", "FG-XSD-019"


class Misplaced(Struct, frozen=True):
    """code: one of the three. MISSING: `names` before the element (`is_choice`: one of them). ORDER:
    `names[0]` must stand before `names[1]`. TOO_OFTEN: at most `limit`.
    """

    code: str
    names: tuple[str, ...] = ()
    is_choice: bool = False
    limit: int = 0


def declared(declarations: Declarations, element: etree._Element) -> Declaration | None:
    """The declaration of an element at its place in a message; None if it has none there."""
    chain = [element, *element.iterancestors()]
    found = declarations.root(str(chain.pop().tag))
    for step in reversed(chain):
        if found is None:
            return None
        inside = (c for c in declarations.children(found) if c.name == step.tag)
        child = next(inside, None)
        if child is None and declarations.has_wildcard(found):
            child = declarations.root(str(step.tag))
        found = child
    return found


def misplaced(
    declarations: Declarations, element: etree._Element, expected: Sequence[str]
) -> Misplaced | None:
    """expected: full names that the schema processor waited for in the element's place."""
    parent = element.getparent()
    holder = declared(declarations, parent) if parent is not None else None
    if holder is None:
        return None
    kids = declarations.children(holder)
    place = {kid.name: n for n, kid in reversed(list(enumerate(kids)))}
    tag = str(element.tag)
    if tag not in place:
        return None
    before = [str(e.tag) for e in element.itersiblings("{*}*", preceding=True)][::-1]
    known = [name for name in before if name in place]
    later = [name for name in known if place[name] > place[tag]]
    if later:
        return Misplaced(ORDER, (tag, later[0]))
    kid = kids[place[tag]]
    if known and known[-1] == tag:
        many = 0 < kid.max <= known.count(tag)
        return Misplaced(TOO_OFTEN, limit=kid.max) if many else None
    start = max((place[name] for name in known), default=-1)
    gap = [k for k in kids[start + 1 : place[tag]] if k.name not in known]
    after = {str(e.tag) for e in element.itersiblings("{*}*")}
    needed = [k.name for k in gap if k.min and not k.choice]
    for name in needed:
        if name in after:
            return Misplaced(ORDER, (name, tag))
    if needed:
        return Misplaced(MISSING, tuple(dict.fromkeys(needed)))
    one_of = [k.name for k in gap if k.choice and k.name in expected]
    return Misplaced(MISSING, tuple(dict.fromkeys(one_of)), is_choice=True) if one_of else None


def lacking(declarations: Declarations, element: etree._Element) -> tuple[str, ...]:
    """The names of required elements that do not stand in `element`; alternatives left out."""
    holder = declared(declarations, element)
    if holder is None:
        return ()
    have = {str(e.tag) for e in element.iterchildren("{*}*")}
    kids = declarations.children(holder)
    return tuple(k.name for k in kids if k.min and not k.choice and k.name not in have)
