"""Who may see and do what: the one place that decides.

Pages and API ask here and nowhere else. A person has one role and, where the role is of a unit,
that unit; `units` is handed to every query as its filter, and what a query found by an id is judged
by `sees_case` or `sees_transfer` before it is shown. What is not theirs does not exist for them:
the answer is "not found", never "not yours".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum, unique

from frontgate.values import Struct


@unique
class Right(Enum):
    """One thing that a role allows."""

    CASES = "cases"  # course of cases, persons, deadlines, questions
    DOCUMENTS = "documents"  # titles and digests of the documents of a case
    STATISTICS = "statistics"
    TRAFFIC = "traffic"  # transfers, queues, failures: no content
    ACT = "act"  # replay, hold, release of one transfer
    BULK = "bulk"  # ask for a replay of all that failed
    UNITS = "units"  # units, their gateways and certificates
    DIRECTORY = "directory"  # ask for suspension and revocation
    ACCOUNTS = "accounts"  # see accounts, ask for another role
    APPROVE = "approve"  # decide what somebody else asked for
    TOKENS = "tokens"  # make and revoke tokens for the API
    AUDIT = "audit"  # read the audit chain


CLERK = "clerk"
OPERATOR = "operator"
COMMITTEE = "committee"
HUB_OPERATOR = "hub-operator"
AUDITOR = "auditor"
TOKEN = "token"  # noqa: S105 (the role of a program that shows a unit's token)

GRANTS: Mapping[str, frozenset[Right]] = {
    CLERK: frozenset({Right.CASES, Right.DOCUMENTS, Right.STATISTICS, Right.TOKENS}),
    OPERATOR: frozenset({Right.TRAFFIC, Right.ACT, Right.UNITS, Right.TOKENS}),
    COMMITTEE: frozenset({Right.CASES, Right.STATISTICS}),
    HUB_OPERATOR: frozenset(
        {
            Right.TRAFFIC,
            Right.ACT,
            Right.BULK,
            Right.UNITS,
            Right.DIRECTORY,
            Right.ACCOUNTS,
            Right.APPROVE,
            Right.TOKENS,
        }
    ),
    AUDITOR: frozenset({Right.AUDIT, Right.UNITS, Right.ACCOUNTS}),
    TOKEN: frozenset({Right.CASES, Right.DOCUMENTS, Right.STATISTICS, Right.TRAFFIC, Right.UNITS}),
}
ROLES_OF_A_UNIT = frozenset({CLERK, OPERATOR, TOKEN})
ROLES = (CLERK, OPERATOR, COMMITTEE, HUB_OPERATOR, AUDITOR)
"""Roles that an account may have; `token` belongs to programs."""


class Person(Struct, frozen=True):
    """Who asks. login: of the account, or `token:<id>`. unit: empty for a role of the province.

    within: another role whose rights limit this one's: a token may no more than who made it.
    """

    login: str
    name: str
    role: str
    unit: str = ""
    within: str = ""

    def may(self, right: Right) -> bool:
        roles = (self.role, self.within) if self.within else (self.role,)
        return all(right in GRANTS.get(role, frozenset()) for role in roles)

    @property
    def units(self) -> frozenset[str] | None:
        """The units whose things they may see; None: all of the province.

        A role of a unit without its unit sees nothing.
        """
        if self.role in ROLES_OF_A_UNIT:
            return frozenset({self.unit} if self.unit else ())
        return None if self.role in GRANTS else frozenset()


def sees_units(person: Person, of: Collection[str]) -> bool:
    """Whether any of these units is theirs."""
    return person.units is None or not person.units.isdisjoint(of)


def sees_case(person: Person, parties: Collection[str]) -> bool:
    """Whether a case with these units that may see it is theirs."""
    return person.may(Right.CASES) and sees_units(person, parties)


def sees_transfer(person: Person, sender: str, receivers: Collection[str]) -> bool:
    """Whether a transfer between these units is theirs to see."""
    return person.may(Right.TRAFFIC) and sees_units(person, {sender, *receivers})


def acts_on_transfer(person: Person, act: str, sender: str, receivers: Collection[str]) -> bool:
    """Whether they may replay, hold or release it. A unit holds only what it sent itself; it may
    have sent again what it sent, or what should reach it."""
    if not person.may(Right.ACT) or not sees_transfer(person, sender, receivers):
        return False
    return act == "replay" or sees_units(person, {sender})


def sees_unit(person: Person, unit: str) -> bool:
    """Whether the state of this unit's gateway is theirs to see."""
    return person.may(Right.UNITS) and sees_units(person, {unit})


def decides(person: Person, asked_by: str) -> bool:
    """Whether they may approve or refuse what `asked_by` asked: always a second person."""
    return person.may(Right.APPROVE) and person.login != asked_by
