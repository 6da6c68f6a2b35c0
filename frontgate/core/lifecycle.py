"""The two state machines, as tables. Nothing else in frontgate decides a state.

Two rules, after h11: the tables are the whole truth, and they are blind to the role: a gateway
and a hub run the same ones. An event that the table does not know for a state changes nothing and
raises `IllegalTransition`; an event that reaches a final state is late evidence: journaled, ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from frontgate.errors import InternalError


class Intake(StrEnum):
    """One package's way in. CLAIMED is a place in the spool or a bundle, not yet a row."""

    CLAIMED = "CLAIMED"
    ADMITTED = "ADMITTED"
    REJECTED = "REJECTED"
    DUPLICATE = "DUPLICATE"


class IntakeEvent(StrEnum):
    ACCEPT = "accept"
    REFUSE = "refuse"
    REPEAT = "repeat"


class Transfer(StrEnum):
    """One package on its way to one destination.

    UNCONFIRMED is a failure that was never answered: the only failure that a late positive
    receipt supersedes.
    """

    QUEUED = "QUEUED"
    SENDING = "SENDING"
    SENT = "SENT"
    HELD = "HELD"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    UNCONFIRMED = "UNCONFIRMED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class TransferEvent(StrEnum):
    START = "start"
    HOLD = "hold"
    RELEASE = "release"
    EXPIRE = "expire"
    CANCEL = "cancel"
    DELIVERED = "delivered"
    TRANSIENT = "transient"
    LEASE_LOST = "lease_lost"
    PERMANENT = "permanent"
    RECEIPT_OVERDUE = "receipt_overdue"
    RECEIPT_ACCEPTED = "receipt_accepted"
    RECEIPT_REFUSED = "receipt_refused"


class IllegalTransition(InternalError):
    """The table has no row for this state and event."""

    def __init__(self, state: str, event: str) -> None:
        super().__init__("FG-INT-002", state=state, event=event)


INTAKE: Mapping[tuple[Intake, IntakeEvent], Intake] = MappingProxyType(
    {
        (Intake.CLAIMED, IntakeEvent.ACCEPT): Intake.ADMITTED,
        (Intake.CLAIMED, IntakeEvent.REFUSE): Intake.REJECTED,
        (Intake.CLAIMED, IntakeEvent.REPEAT): Intake.DUPLICATE,
    }
)

_T = Transfer
_E = TransferEvent
TRANSFER: Mapping[tuple[Transfer, TransferEvent], Transfer] = MappingProxyType(
    {
        (_T.QUEUED, _E.START): _T.SENDING,
        (_T.QUEUED, _E.HOLD): _T.HELD,
        (_T.QUEUED, _E.EXPIRE): _T.FAILED,
        (_T.QUEUED, _E.CANCEL): _T.CANCELLED,
        (_T.SENDING, _E.DELIVERED): _T.SENT,
        (_T.SENDING, _E.TRANSIENT): _T.QUEUED,
        (_T.SENDING, _E.LEASE_LOST): _T.QUEUED,
        (_T.SENDING, _E.PERMANENT): _T.FAILED,
        (_T.SENT, _E.RECEIPT_OVERDUE): _T.QUEUED,
        (_T.SENT, _E.TRANSIENT): _T.QUEUED,  # the bundle came damaged: the other side said so
        (_T.SENT, _E.EXPIRE): _T.UNCONFIRMED,
        (_T.HELD, _E.RELEASE): _T.QUEUED,
        (_T.HELD, _E.CANCEL): _T.CANCELLED,
        # A receipt may come at any time: the answer to an earlier try of the same package.
        (_T.QUEUED, _E.RECEIPT_ACCEPTED): _T.ACKNOWLEDGED,
        (_T.QUEUED, _E.RECEIPT_REFUSED): _T.FAILED,
        (_T.SENDING, _E.RECEIPT_ACCEPTED): _T.ACKNOWLEDGED,
        (_T.SENDING, _E.RECEIPT_REFUSED): _T.FAILED,
        (_T.SENT, _E.RECEIPT_ACCEPTED): _T.ACKNOWLEDGED,
        (_T.SENT, _E.RECEIPT_REFUSED): _T.FAILED,
        (_T.HELD, _E.RECEIPT_ACCEPTED): _T.ACKNOWLEDGED,
        (_T.HELD, _E.RECEIPT_REFUSED): _T.FAILED,
        (_T.UNCONFIRMED, _E.RECEIPT_ACCEPTED): _T.ACKNOWLEDGED,
        (_T.UNCONFIRMED, _E.RECEIPT_REFUSED): _T.FAILED,
    }
)

FINAL: frozenset[Transfer] = frozenset({_T.ACKNOWLEDGED, _T.FAILED, _T.CANCELLED})
"""No way leads out of these. A replay is a new row, Attempt + 1."""

OPEN: frozenset[Transfer] = frozenset({_T.QUEUED, _T.SENDING, _T.SENT, _T.HELD})
"""Still to be brought to an end by this node."""


def admit(state: Intake, event: IntakeEvent) -> Intake:
    """The intake state after `event`. Raises: IllegalTransition."""
    try:
        return INTAKE[state, event]
    except KeyError:
        raise IllegalTransition(state, event) from None


def advance(state: Transfer, event: TransferEvent) -> Transfer:
    """The transfer state after `event`; a final state stays as it is (late evidence).

    Raises: IllegalTransition for a pair that is neither in the table nor late.
    """
    if state in FINAL:
        return state
    try:
        return TRANSFER[state, event]
    except KeyError:
        raise IllegalTransition(state, event) from None
