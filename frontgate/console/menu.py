"""The menu: which pages there are, in which group, and what each asks of a role."""

from __future__ import annotations

from frontgate.console.access import Person, Right
from frontgate.values import Struct


class Item(Struct, frozen=True):
    """key: of its text in the catalogue."""

    key: str
    url: str
    right: Right | None


class Group(Struct, frozen=True):
    key: str
    items: tuple[Item, ...]


GROUPS = (
    Group(
        "menu.cases",
        (
            Item("menu.search", "/cases", Right.CASES),
            Item("menu.deadlines", "/deadlines", Right.CASES),
            Item("menu.questions", "/questions", Right.CASES),
            Item("menu.statistics", "/statistics", Right.STATISTICS),
        ),
    ),
    Group(
        "menu.exchange",
        (
            Item("menu.failures", "/failures", Right.TRAFFIC),
            Item("menu.units", "/units", Right.UNITS),
        ),
    ),
    Group(
        "menu.order",
        (
            Item("menu.audit", "/audit", Right.AUDIT),
            Item("menu.approvals", "/approvals", Right.ACCOUNTS),
            Item("menu.users", "/users", Right.ACCOUNTS),
            Item("menu.tokens", "/tokens", Right.TOKENS),
        ),
    ),
    Group("menu.help", (Item("menu.handbook", "/handbook", None),)),
)


def for_person(person: Person) -> tuple[Group, ...]:
    """The groups and items that this person's role opens."""
    found = []
    for group in GROUPS:
        items = tuple(i for i in group.items if i.right is None or person.may(i.right))
        if items:
            found.append(Group(group.key, items))
    return tuple(found)
