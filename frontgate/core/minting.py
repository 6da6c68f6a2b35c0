"""Ids that the gateway mints where the case software leaves them out.

They are derived, never random: the same message dropped again gets the same ids again, so a
repeated drop is recognised as the same message. Source: RFC 9562 (UUID version 5).
"""

from __future__ import annotations

import uuid
from datetime import datetime

_SPACE = uuid.UUID("9b0f4c1e-6d0b-5b55-9a39-6f2f1c7a4e10")
"""frontgate's own name space for version 5 UUIDs; must never change."""


def message_id(unit: str, app: str, *, sender_ref: str, revision: str, content_digest: str) -> str:
    """The MessageId of a drop that brings none.

    From unit, app, SenderRef and Revision; from the content (its SHA-256) where there is no
    SenderRef.
    """
    key = f"ref\n{sender_ref}\n{revision}" if sender_ref else f"content\n{content_digest}"
    return str(uuid.uuid5(_SPACE, f"message\n{unit}\n{app}\n{key}"))


def flow_uid(minted_from: str) -> str:
    """The FlowUid of the instance that the message `minted_from` opens."""
    return str(uuid.uuid5(_SPACE, f"flow\n{minted_from}"))


def case_key(unit: str, app: str, sender_ref: str, message: str) -> str:
    """Under what a minted CaseUid is remembered, so that it is the same again."""
    return f"{unit}\n{app}\n{sender_ref or message}"


def receipt_id(issuer: str, audit_seq: int, epoch: int) -> str:
    """The id of the receipt issued for an audit entry: one entry, one receipt."""
    return str(uuid.uuid5(_SPACE, f"receipt\n{issuer}\n{epoch}\n{audit_seq}"))


def case_serial_floor(epoch: datetime, year: int) -> int:
    """Below the serials of CaseUids that a journal begun at `epoch` mints in `year`.

    Seven digits spread over the year's seconds: a journal that was restored or made anew goes on
    above every serial of the one it replaces, which may be unknown here and already told to others.
    """
    if epoch.year != year:
        return 0
    start = datetime(year, 1, 1, tzinfo=epoch.tzinfo)
    return int((epoch - start).total_seconds() * 0.3)
