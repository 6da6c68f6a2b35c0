"""Holding two ledgers against each other: entries, their digests, and what a difference means.

A message belongs to the hour and day (UTC+08:00) at which the hub relayed it: that time stands in the
hub's signed receipt, so both sides sort it alike whatever their clocks or the hour of its drop. What
counts is what receipts said up to one moment (`as_of`), which lies long enough back for those
receipts to have reached both sides. Then two sound ledgers have the same digests, and a difference
is a gap.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

from frontgate.values import Struct

LOCAL = timezone(timedelta(hours=8))


class Direction(StrEnum):
    """Seen from the unit: what it sent, what was meant for it."""

    UP = "up"
    DOWN = "down"


class Outcome(StrEnum):
    """What became of a message for one receiver, by receipts. The order is that of `_RANK`."""

    NONE = "none"
    REJECTED = "rejected"
    RELAYED = "relayed"
    FAILED = "relay-failed"
    NOT_DELIVERED = "delivery-failed"
    DELIVERED = "delivered"
    NOT_TAKEN = "handover-failed"
    TAKEN = "handed-over"


_RANK = {outcome: n for n, outcome in enumerate(Outcome)}
_OF_RECEIVER = {
    "delivered": Outcome.DELIVERED,
    "delivery-failed": Outcome.NOT_DELIVERED,
    "handed-over": Outcome.TAKEN,
    "handover-failed": Outcome.NOT_TAKEN,
}
_OF_HUB = {
    "relay-accepted": Outcome.RELAYED,
    "relay-rejected": Outcome.REJECTED,
    "relay-failed": Outcome.FAILED,
}


class Gap(StrEnum):
    """Where two ledgers part. Each has a sentence and an advice in the table of codes."""

    HUB_NEVER_SAW = "hub-never-saw"
    NEVER_DELIVERED = "never-delivered"
    MISSING_AT_SENDER = "receipt-missing-at-sender"
    MISSING_AT_HUB = "receipt-missing-at-hub"
    NO_MESSAGE_AT_HUB = "no-message-at-hub"
    NO_MESSAGE_AT_UNIT = "no-message-at-unit"
    DIFFERENT = "different-outcome"


CODES = {
    Gap.HUB_NEVER_SAW: "FG-ALM-020",
    Gap.NEVER_DELIVERED: "FG-ALM-021",
    Gap.MISSING_AT_SENDER: "FG-ALM-022",
    Gap.MISSING_AT_HUB: "FG-ALM-023",
    Gap.NO_MESSAGE_AT_HUB: "FG-ALM-024",
    Gap.NO_MESSAGE_AT_UNIT: "FG-ALM-025",
    Gap.DIFFERENT: "FG-ALM-026",
}


class Said(Struct, frozen=True):
    """One receipt, as far as it counts here. at: its event time. by_hub: issued by a hub."""

    kind: str
    by_hub: bool
    receiver: str
    at: str


class Key(Struct, frozen=True, order=True):
    """One message for one receiver, in one direction."""

    message_id: str
    sender: str
    direction: str
    receiver: str


class View(Struct, frozen=True):
    """What one side knows of a key.

    has_message: it holds the message, not only receipts about it. is_open: it is still bringing it
    to an end itself. is_ended: it ended it itself with a signed negative receipt, before any hop.
    """

    outcome: Outcome = Outcome.NONE
    has_message: bool = False
    is_open: bool = False
    is_ended: bool = False

    @property
    def word(self) -> str:
        """The outcome as it stands in digests: without the message, that is said too."""
        return self.outcome.value + ("" if self.has_message else "!")


def outcome_of(said: Iterable[Said], key: Key) -> Outcome:
    """The furthest that receipts tell of a key: of the hub and receiver for what was sent, of the
    receiver alone for what was to come in.
    """
    best = Outcome.NONE
    for receipt in said:
        if receipt.receiver not in ("", key.receiver):
            continue
        found = None if receipt.by_hub else _OF_RECEIVER.get(receipt.kind)
        if found is None and receipt.by_hub and key.direction == Direction.UP:
            found = _OF_HUB.get(receipt.kind)
        if found is not None and _RANK[found] > _RANK[best]:
            best = found
    return best


def relayed_at(said: Iterable[Said]) -> str:
    """The event time of the first relay-accepted; empty if there is none."""
    return min((r.at for r in said if r.by_hub and r.kind == "relay-accepted"), default="")


def counts(key: Key, view: View, *, at_hub: bool) -> bool:
    """Whether a key stands in the digest of its bucket.

    Refusals don't: a hub keeps no package of what it could not open, a receiver neither. Nor does
    what a side is still bringing to an end.
    """
    if view.outcome in (Outcome.REJECTED, Outcome.NOT_DELIVERED) and (
        view.outcome is Outcome.REJECTED or key.direction == Direction.DOWN
    ):
        return False
    if view.outcome is not Outcome.NONE:
        return True
    if at_hub and key.direction == Direction.UP:
        return False
    return view.has_message and not view.is_open and not view.is_ended


def judge(key: Key, hub: View, unit: View) -> Gap | None:
    """What two views of the same key mean together; None where they agree or need no more than time."""
    if key.direction == Direction.UP:
        return _judge_up(hub, unit)
    return _judge_down(hub, unit)


def _judge_up(hub: View, unit: View) -> Gap | None:
    if not unit.has_message:
        return Gap.NO_MESSAGE_AT_UNIT if hub.has_message else None
    if not hub.has_message:
        if hub.outcome not in (Outcome.NONE, Outcome.REJECTED):
            return Gap.NO_MESSAGE_AT_HUB
        if unit.is_open or unit.is_ended or unit.outcome is Outcome.REJECTED:
            return None
        return Gap.HUB_NEVER_SAW
    if hub.outcome is unit.outcome:
        return None
    if unit.is_ended or Outcome.REJECTED in (hub.outcome, unit.outcome):
        return None if unit.is_open else Gap.DIFFERENT
    if _RANK[hub.outcome] > _RANK[unit.outcome]:
        is_waiting = unit.outcome is Outcome.NONE and unit.is_open
        return None if is_waiting else Gap.MISSING_AT_SENDER
    return Gap.MISSING_AT_HUB


def _judge_down(hub: View, unit: View) -> Gap | None:
    if not hub.has_message:
        return Gap.NO_MESSAGE_AT_HUB if unit.has_message else None
    is_told = hub.outcome not in (Outcome.NONE, Outcome.NOT_DELIVERED)
    if not unit.has_message:
        if unit.outcome not in (Outcome.NONE, Outcome.NOT_DELIVERED):
            return Gap.NO_MESSAGE_AT_UNIT
        if is_told or (hub.outcome is Outcome.NONE and not hub.is_open and not hub.is_ended):
            return Gap.NEVER_DELIVERED
        return None
    if hub.outcome is unit.outcome:
        is_stuck = hub.outcome is Outcome.NONE and not (hub.is_open or hub.is_ended or unit.is_open)
        return Gap.NEVER_DELIVERED if is_stuck else None
    if unit.is_open:
        return None
    if unit.outcome is Outcome.NONE:
        return Gap.NEVER_DELIVERED
    if _RANK[unit.outcome] > _RANK[hub.outcome]:
        return Gap.MISSING_AT_HUB
    return Gap.DIFFERENT


class Sum(Struct, frozen=True):
    """Count and digest of a bucket. digest: SHA-256 in hex over its sorted lines."""

    count: int
    digest: str


EMPTY = Sum(0, hashlib.sha256().hexdigest())


class Summing:
    """The digest of keys that come in order of (message id, sender, receiver)."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._count = 0

    def add(self, key: Key, word: str) -> None:
        self._hash.update(line_of(key, word).encode())
        self._count += 1

    def done(self) -> Sum:
        return Sum(self._count, self._hash.hexdigest())


def line_of(key: Key, word: str) -> str:
    return f"{key.message_id} {key.sender} {key.receiver} {word}\n"


def local_day(at: datetime) -> str:
    """`2026-11-24`: the day of a moment in UTC+08:00."""
    return at.astimezone(LOCAL).strftime("%Y-%m-%d")


def span_of(bucket: str) -> tuple[datetime, datetime]:
    """First moment and end, UTC, of a day `2026-11-24` or an hour `2026-11-24T09`.

    Raises: ValueError.
    """
    if len(bucket) == 13 and bucket[10] == "T":
        start = datetime.strptime(bucket, "%Y-%m-%dT%H").replace(tzinfo=LOCAL)
        length = timedelta(hours=1)
    elif len(bucket) == 10:
        start = datetime.strptime(bucket, "%Y-%m-%d").replace(tzinfo=LOCAL)
        length = timedelta(days=1)
    else:
        raise ValueError(bucket)
    return start.astimezone(UTC), (start + length).astimezone(UTC)


def hour_of(at: datetime) -> str:
    return at.astimezone(LOCAL).strftime("%Y-%m-%dT%H")


def hours_of(day: str) -> list[str]:
    return [f"{day}T{hour:02d}" for hour in range(24)]


def days_before(as_of: datetime, count: int) -> list[str]:
    """The days that had begun before `as_of`, newest first, at most `count`."""
    last = as_of - timedelta(microseconds=1)
    return [local_day(last - timedelta(days=n)) for n in range(count)]
