"""The hub's side of reconciliation: compares, drills down, names the gaps of both ledgers."""

from __future__ import annotations

import heapq
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from frontgate import clock
from frontgate.core import reconcile as core
from frontgate.core.reconcile import EMPTY, Direction, Key, Outcome, Said, Sum, View
from frontgate.errors import FrontgateError
from frontgate.hub.mailboxes import ACCOUNT
from frontgate.journal import Journal, Reader, Tx, timestamp
from frontgate.journal import reconcile as ledger
from frontgate.journal.reconcile import EVER, Held, Newest
from frontgate.log import get_logger
from frontgate.model.unit import Directory
from frontgate.pipeline import answers
from frontgate.pipeline import reconcile as talk
from frontgate.pipeline.issue import Issuer
from frontgate.pipeline.reconcile import Range, Row, Tally
from frontgate.seal.control import read_control
from frontgate.values import Struct

log = get_logger()

MOST_DAYS = 40
"""Days of one run; a message may take 30."""
KEPT_DAYS = 64
"""Days whose sums are kept: 500 gateways ask for the same ones in the same night."""


class HubSide(Struct, frozen=True):
    """The hub's journal as `pipeline.reconcile.Side`; peers are `account:<name>`."""

    reader: Reader
    directory: Callable[[], Directory]

    def entries(self, start: str, end: str, as_of: str) -> Iterator[tuple[str, Key, View]]:
        sources = (
            ledger.relayed(self.reader, start, end),
            ledger.untold(self.reader, "in", start, end),
        )
        for (message_id, sender), _ in groupby(heapq.merge(*sources)):
            said = ledger.said(self.reader, message_id, sender, EVER)
            held = ledger.held(self.reader, "in", message_id, sender)
            at = core.relayed_at(r for r in said if r.at <= as_of)
            if not start <= (at or (held.made_at if held else "")) < end:
                continue
            receivers = held.recipients if held else {r.receiver for r in said if r.receiver}
            for receiver in sorted(receivers):
                newest = self._newest(held, receiver)
                for direction in (Direction.DOWN.value, Direction.UP.value):
                    key = Key(message_id, sender, direction, receiver)
                    view = _view(key, said, held, newest, as_of)
                    if core.counts(key, view, at_hub=True):
                        yield self._peer(key, newest), key, view

    def _newest(self, held: Held | None, receiver: str) -> Newest | None:
        return ledger.newest_transfer(self.reader, held.package_id, receiver) if held else None

    def peer_of(self, key: Key) -> str:
        """The account whose ledger has this key too: the one it went to, else the unit's present one."""
        held = ledger.held(self.reader, "in", key.message_id, key.sender)
        return self._peer(key, self._newest(held, key.receiver))

    def _peer(self, key: Key, newest: Newest | None) -> str:
        is_down = key.direction == Direction.DOWN
        if is_down and newest is not None:
            return newest[1]
        unit = self.directory().units.get(key.receiver if is_down else key.sender)
        return ACCOUNT + unit.account if unit else ""

    def view(self, key: Key, as_of: str) -> View:
        """What the hub knows of one key."""
        said = ledger.said(self.reader, key.message_id, key.sender, EVER)
        held = ledger.held(self.reader, "in", key.message_id, key.sender)
        return _view(key, said, held, self._newest(held, key.receiver), as_of)


def _view(
    key: Key, said: Sequence[Said], held: Held | None, newest: Newest | None, as_of: str
) -> View:
    """Outcome up to `as_of`; what changed since was still open then."""
    outcome = core.outcome_of((r for r in said if r.at <= as_of), key)
    is_open = core.outcome_of(said, key) is not outcome
    is_ended = False
    if key.direction == Direction.DOWN:
        is_open = is_open or (newest is not None and newest[2] and outcome is Outcome.NONE)
        is_ended = any(
            r.kind == "relay-failed" and r.by_hub and r.receiver in ("", key.receiver) for r in said
        )
    return View(outcome, held is not None, is_open, is_ended)


class HubReconcile:
    """`turn` is the body of a loop; `ask` serves the control socket."""

    LOOK_S = 1.0

    def __init__(
        self,
        journal: Journal,
        issuer: Issuer,
        directory: Callable[[], Directory],
        *,
        settle_s: float,
        wake_placer: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._reader = journal.reader()
        self._directory = directory
        self._side = HubSide(journal.reader(), directory)
        self._issuer = issuer
        self._patience_s = min(60.0, settle_s)
        self._wake_placer = wake_placer
        self._not_before: dict[str, float] = {}
        self._sums: OrderedDict[tuple[str, str], dict[tuple[str, str], Sum]] = OrderedDict()

    def turn(self) -> float | None:
        """Work on the oldest tally. One peer's many runs hold up no other."""
        passed: list[str] = []
        while True:
            found = ledger.waiting(self._reader, passed)
            if found is None:
                return self.LOOK_S
            row, peer, xml = found
            tally = self._read(row, peer, xml)
            if tally is None:
                return 0.0
            now = clock.monotonic()
            if tally.step != "days" or self._not_before.get(peer, 0.0) <= now:
                break
            passed.append(peer)
        if tally.step == "days":
            self._not_before[peer] = now + self._patience_s
            self._days(row, peer, tally)
        elif tally.step == "entries":
            self._entries(row, peer, tally)
        elif tally.step == "views":
            self._views(row, peer, tally)
        else:
            with self._journal.write() as tx:
                ledger.worked(tx, row)
        self._wake_placer()  # after the commit: before it there is nothing to be seen
        return 0.0

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Have gateways begin a run now. request: `units` (codes; empty: all admitted), `days`.

        Returns: runs, by account.
        """
        wanted = set(request.get("units") or [])
        days = tuple((str(day), Direction.UP.value) for day in request.get("days") or [])
        units = [
            u
            for u in self._directory().units.values()
            if u.certificates and "hub" not in u.roles and (not wanted or u.code in wanted)
        ]
        runs: dict[str, str] = {}
        with self._journal.write() as tx:
            for account in sorted({u.account for u in units}):
                runs[account] = secrets.token_hex(8)
                tally = Tally("run", runs[account], tx.now_at, agreed=days)
                self._send(tx, ACCOUNT + account, tally)
        self._wake_placer()
        return {"runs": runs}

    def _send(self, tx: Tx, peer: str, tally: Tally) -> None:
        answers.send_control(tx, peer, self._issuer, talk.KIND, talk.write_tally(tally))

    def _read(self, row: int, peer: str, xml: bytes) -> Tally | None:
        """One that cannot be used is told and dropped."""
        try:
            return talk.read_tally(read_control(xml).body)
        except FrontgateError as error:
            log.warning("tally-unusable", peer=peer, code=error.code, detail=error.detail)
            with self._journal.write() as tx:
                ledger.worked(tx, row)
                tx.event("tally-unusable", peer=peer, code=error.code)
            return None

    def _sums_of(self, day: str, as_of: str) -> dict[tuple[str, str], Sum]:
        key = (day, as_of)
        if key not in self._sums:
            self._sums[key] = talk.sums(self._side, day, as_of)
            while len(self._sums) > KEPT_DAYS:
                self._sums.popitem(last=False)
        return self._sums[key]

    def _days(self, row: int, peer: str, tally: Tally) -> None:
        """Days that agree are closed on both sides; of the others the hub tells its hours."""
        agreed: list[tuple[str, str]] = []
        different: list[tuple[str, str]] = []
        totals: dict[tuple[str, str], Sum] = {}
        is_past = tally.as_of <= timestamp(clock.now())
        buckets = [b for b in tally.buckets if len(b[0]) == 10][: MOST_DAYS * 2]
        for day, direction, theirs in buckets if is_past else ():
            ours = self._sums_of(day, tally.as_of).get((peer, direction), EMPTY)
            totals[day, direction] = ours
            (agreed if ours == theirs else different).append((day, direction))
        hours = [
            (
                hour,
                direction,
                talk.sums(self._side, hour, tally.as_of).get((peer, direction), EMPTY),
            )
            for day, direction in different
            for hour in core.hours_of(day)
        ]
        with self._journal.write() as tx:
            ledger.worked(tx, row)
            for (day, direction), total in totals.items():
                ledger.set_day(
                    tx, peer, day, direction, total=total, as_of=tally.as_of, run=tally.run
                )
            self._agree(tx, peer, agreed)
            reply = Tally("hours", tally.run, tally.as_of, tuple(hours), tuple(agreed))
            self._send(tx, peer, reply)
            tx.event("tally", peer=peer, run=tally.run, days=len(totals), different=len(different))

    def _agree(self, tx: Tx, peer: str, agreed: Sequence[tuple[str, str]]) -> None:
        for bucket, direction in agreed:
            ledger.close_gaps(tx, peer, direction, bucket)
            ledger.settle(tx, peer, bucket, direction)

    def _entries(self, row: int, peer: str, tally: Tally) -> None:
        """What the gateway has in an hour that differs: ask about every id that looks different."""
        asked: list[Range] = []
        clear: list[Range] = []
        for part in tally.ranges:
            theirs = {r.key: r.word for r in part.rows if talk.lies_in(part, r.key.message_id)}
            differs = dict(theirs)
            for key, word in talk.listed(
                self._side, peer, part.bucket, part.direction, tally.as_of
            ):
                if not talk.lies_in(part, key.message_id):
                    continue
                if theirs.get(key) == word:
                    del differs[key]
                else:
                    differs[key] = word
            if differs:
                rows = ((key, "") for key in sorted(differs))
                asked += talk.in_ranges(
                    part.bucket, part.direction, rows, after=part.after, until=part.last
                )
            else:
                clear.append(Range(part.bucket, part.direction, part.after, part.last))
        with self._journal.write() as tx:
            ledger.worked(tx, row)
            self._agree(tx, peer, tally.agreed)
            for part in clear:
                self._name(tx, peer, part, [])
            if clear:
                self._send(tx, peer, Tally("result", tally.run, tally.as_of, ranges=tuple(clear)))
            for part in asked:
                self._send(tx, peer, Tally("ask", tally.run, tally.as_of, ranges=(part,)))

    def _views(self, row: int, peer: str, tally: Tally) -> None:
        """Both views of each id are known now: what remains different is a gap, named on both sides."""
        results: list[Range] = []
        for part in tally.ranges:
            rows: list[Row] = []
            for asked in part.rows:
                if asked.view is None or self._side.peer_of(asked.key) != peer:
                    continue
                mine = self._side.view(asked.key, tally.as_of)
                gap = core.judge(asked.key, mine, asked.view)
                if gap is not None:
                    rows.append(Row(asked.key, asked.view.word, gap=gap, hub_says=mine.word))
            results.append(Range(part.bucket, part.direction, part.after, part.last, tuple(rows)))
        with self._journal.write() as tx:
            ledger.worked(tx, row)
            for part in results:
                self._name(tx, peer, part, part.rows)
            self._send(tx, peer, Tally("result", tally.run, tally.as_of, ranges=tuple(results)))

    def _name(self, tx: Tx, peer: str, part: Range, rows: Sequence[Row]) -> None:
        named = frozenset(r.key for r in rows)
        ledger.close_gaps(
            tx, peer, part.direction, part.bucket, after=part.after, last=part.last, but=named
        )
        for r in rows:
            assert r.gap is not None
            ledger.name_gap(
                tx, peer, ledger.FoundGap(r.key, part.bucket, r.gap, r.hub_says, r.word)
            )
        if not part.last:
            ledger.settle(tx, peer, part.bucket, part.direction)
