"""The gateway's side of reconciliation: begins a run each day, answers, and keeps what came out."""

from __future__ import annotations

import hashlib
import heapq
import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from frontgate import clock
from frontgate.core import reconcile as core
from frontgate.core.reconcile import EMPTY, Direction, Key, Outcome, View
from frontgate.core.routing import HUB
from frontgate.errors import FrontgateError
from frontgate.journal import Journal, Reader, Tx, timestamp
from frontgate.journal import reconcile as ledger
from frontgate.log import get_logger
from frontgate.pipeline import answers
from frontgate.pipeline import reconcile as talk
from frontgate.pipeline.issue import Issuer
from frontgate.pipeline.reconcile import Range, Row, Tally
from frontgate.seal.control import read_control
from frontgate.values import Struct, replace

log = get_logger()

DAYS = 7
"""Days that a run covers; on Mondays all that a message may take to arrive."""
MONDAY_DAYS = 35
POSTPONE_S = 30.0
LOOK_S = 1.0
UNANSWERED = timedelta(hours=2)
SPREAD_S = 1800
"""Gateways begin over so many seconds, so that the hub does not get all of them at once."""


class GatewaySide(Struct, frozen=True):
    """The gateway's journal as `pipeline.reconcile.Side`. units: those that it carries."""

    reader: Reader
    units: frozenset[str]

    def entries(self, start: str, end: str, as_of: str) -> Iterator[tuple[str, Key, View]]:
        sources = (
            ledger.relayed(self.reader, start, end),
            ledger.untold(self.reader, "out", start, end),
            ledger.untold(self.reader, "in", start, end),
        )
        lookup = _Lookup(self.reader, self.units)
        for pair, _ in groupby(heapq.merge(*sources)):
            for key, view in lookup.keys(pair, start, end, as_of):
                if core.counts(key, view, at_hub=False):
                    yield HUB, key, view

    def view(self, key: Key, as_of: str) -> View:
        return _Lookup(self.reader, self.units).view(key, as_of)


class _Lookup(Struct, frozen=True):
    reader: Reader
    units: frozenset[str]

    def keys(
        self, pair: tuple[str, str], start: str, end: str, as_of: str
    ) -> Iterator[tuple[Key, View]]:
        """All keys of a message that lie in this span, with what is known of them."""
        message_id, sender = pair
        said = ledger.said(self.reader, message_id, sender, as_of)
        at = core.relayed_at(said)
        out = ledger.held(self.reader, "out", message_id, sender)
        got = ledger.held(self.reader, "in", message_id, sender)
        if not at:
            at = min((h.made_at for h in (out, got) if h is not None), default="")
        if not start <= at < end:
            return
        told = {r.receiver for r in said if r.receiver}
        made: list[Key] = []
        if sender in self.units and (out is not None or got is None):
            receivers = set(out.recipients) if out else told
            made += [Key(message_id, sender, Direction.UP.value, r) for r in receivers]
        mine = (set(got.recipients) if got else told) & self.units
        if got is not None or sender not in self.units:
            made += [Key(message_id, sender, Direction.DOWN.value, r) for r in mine]
        for key in sorted(made, key=lambda k: (k.receiver, k.direction)):
            yield key, self.view(key, as_of)

    def view(self, key: Key, as_of: str) -> View:
        """Outcome up to `as_of`; what changed since was still open then."""
        is_up = key.direction == Direction.UP
        if (key.sender if is_up else key.receiver) not in self.units:
            return View()
        now = ledger.said(self.reader, key.message_id, key.sender, ledger.EVER)
        outcome = core.outcome_of((r for r in now if r.at <= as_of), key)
        held = ledger.held(self.reader, "out" if is_up else "in", key.message_id, key.sender)
        is_open = core.outcome_of(now, key) is not outcome
        if held is not None:
            newest = ledger.newest_transfer(
                self.reader, held.package_id, "" if is_up else key.receiver
            )
            is_open = is_open or (newest is not None and newest[2] and outcome is Outcome.NONE)
        is_ended = is_up and any(r.kind == "relay-failed" and not r.by_hub for r in now)
        return View(outcome, held is not None, is_open, is_ended)


class GatewayReconcile:
    """`turn` is the body of a loop; `ask` serves the control socket."""

    def __init__(
        self,
        journal: Journal,
        issuer: Issuer,
        units: Sequence[str],
        *,
        settle_s: float,
        wake_sender: Callable[[], None],
        wake: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._reader = journal.reader()
        self._side = GatewaySide(journal.reader(), frozenset(units))
        self._issuer = issuer
        self._settle = timedelta(seconds=settle_s)
        print_ = hashlib.sha256(units[0].encode()).digest()
        self._late = timedelta(
            seconds=int.from_bytes(print_[:4]) % min(SPREAD_S, int(settle_s) + 1)
        )
        self._wake_sender = wake_sender
        self._wake = wake
        self._asked: tuple[str, str, list[str]] | None = None

    def turn(self) -> float | None:
        """Work on what came, begin what is due."""
        found = ledger.waiting(self._reader)
        if found is not None:
            row, _, xml = found
            self._work(row, xml)
            return 0.0
        if self._asked is not None:
            return self._begin_when_told(*self._asked)
        now = clock.now()
        day = core.local_day(now - self._settle - self._late)
        known = self._reader.meta("reconciled-day")
        if known is None:
            with self._journal.write() as tx:
                tx.set_meta("reconciled-day", day)  # nothing was exchanged before the first day
        if known is None or known == day:
            return self._again_if_unanswered(now)
        midnight, _ = core.span_of(day)
        is_monday = midnight.astimezone(core.LOCAL).weekday() == 0
        days = core.days_before(midnight, MONDAY_DAYS if is_monday else DAYS)
        return self._begin_when_told(new_run(), timestamp(midnight), days, daily=day)

    def _again_if_unanswered(self, now: datetime) -> float:
        """A run that the hub never answered is begun again after a while."""
        days = ledger.unanswered(self._reader, HUB, timestamp(now - UNANSWERED))
        if days:
            self.begin_soon(days)
            return 0.0
        return LOOK_S

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Begin a run now. request: `days` (newest first; empty: the usual ones).

        Returns: run (its id). It compares what receipts said until the settling time ago.
        """
        return {"run": self.begin_soon(list(request.get("days") or []))}

    def begin_soon(self, days: list[str], run: str = "") -> str:
        as_of = clock.now() - self._settle
        run = run or new_run()
        self._asked = (run, timestamp(as_of), days or core.days_before(as_of, DAYS))
        self._wake()
        return run

    def _begin_when_told(self, run: str, as_of: str, days: Sequence[str], daily: str = "") -> float:
        """Our receipts up to that moment must have arrived first, or they would look like gaps."""
        if ledger.has_waiting_receipts(self._reader, HUB, as_of):
            return min(POSTPONE_S, max(0.2, self._settle.total_seconds() / 10))
        buckets = []
        for day in days:
            found = talk.sums(self._side, day, as_of)
            buckets += [(day, d.value, found.get((HUB, d.value), EMPTY)) for d in Direction]
        with self._journal.write() as tx:
            for day, direction, total in buckets:
                ledger.set_day(tx, HUB, day, direction, total=total, as_of=as_of, run=run)
            self._send(tx, Tally("days", run, as_of, buckets=tuple(buckets)))
            tx.event("tally", run=run, as_of=as_of, days=len(days))
            if daily:
                tx.set_meta("reconciled-day", daily)
                long_ago = core.span_of(daily)[0] - timedelta(days=2 * MONDAY_DAYS)
                ledger.forget_days(tx, core.local_day(long_ago))
        self._wake_sender()  # after the commit: before it there is nothing to be seen
        if not daily:
            self._asked = None
        return 0.0

    def _send(self, tx: Tx, tally: Tally) -> None:
        answers.send_control(tx, HUB, self._issuer, talk.KIND, talk.write_tally(tally))

    def _work(self, row: int, xml: bytes) -> None:
        """One message of the hub; one that cannot be used is told and dropped."""
        try:
            tally = talk.read_tally(read_control(xml).body)
        except FrontgateError as error:
            log.warning("tally-unusable", code=error.code, detail=error.detail)
            with self._journal.write() as tx:
                ledger.worked(tx, row)
                tx.event("tally-unusable", peer=HUB, code=error.code)
            return
        replies = {
            "hours": self._hours,
            "ask": self._views,
        }.get(tally.step, lambda _: [])(tally)
        with self._journal.write() as tx:
            ledger.worked(tx, row)
            if tally.step == "run":
                self.begin_soon([b for b, _ in tally.agreed], tally.run)
            self._keep(tx, tally)
            for reply in replies:
                self._agree(tx, reply.agreed)
                self._send(tx, reply)
        self._wake_sender()

    def _hours(self, tally: Tally) -> list[Tally]:
        """The hub's hours of days that differ: what agrees, and our entries of what does not."""
        agreed: list[tuple[str, str]] = []
        ranges: list[Range] = []
        for bucket, direction, theirs in tally.buckets:
            ours = talk.sums(self._side, bucket, tally.as_of).get((HUB, direction), EMPTY)
            if ours == theirs:
                agreed.append((bucket, direction))
                continue
            rows = talk.listed(self._side, HUB, bucket, direction, tally.as_of)
            ranges += talk.in_ranges(bucket, direction, rows)
        first = Tally("entries", tally.run, tally.as_of, agreed=tuple(agreed))
        return [first] * bool(agreed and not ranges) + [
            replace(first, agreed=tuple(agreed) if n == 0 else (), ranges=(part,))
            for n, part in enumerate(ranges)
        ]

    def _views(self, tally: Tally) -> list[Tally]:
        """What we know by now of the ids that the hub asks about."""
        ranges = tuple(
            replace(
                part,
                rows=tuple(
                    Row(row.key, view=self._side.view(row.key, tally.as_of)) for row in part.rows
                ),
            )
            for part in tally.ranges
            if part.rows
        )
        return [Tally("views", tally.run, tally.as_of, ranges=ranges)] if ranges else []

    def _keep(self, tx: Tx, tally: Tally) -> None:
        """Days, hours and ranges that agree close their gaps; a result names those of a range."""
        if tally.step != "run":
            self._agree(tx, tally.agreed)
        for part in tally.ranges if tally.step == "result" else ():
            named = frozenset(row.key for row in part.rows if row.gap is not None)
            ledger.close_gaps(
                tx, HUB, part.direction, part.bucket, after=part.after, last=part.last, but=named
            )
            for row in part.rows:
                if row.gap is not None:
                    found = ledger.FoundGap(row.key, part.bucket, row.gap, row.hub_says, row.word)
                    ledger.name_gap(tx, HUB, found)
            if not part.last:
                ledger.settle(tx, HUB, part.bucket, part.direction)

    def _agree(self, tx: Tx, agreed: Sequence[tuple[str, str]]) -> None:
        for bucket, direction in agreed:
            ledger.close_gaps(tx, HUB, direction, bucket)
            ledger.settle(tx, HUB, bucket, direction)


def new_run() -> str:
    return secrets.token_hex(8)
