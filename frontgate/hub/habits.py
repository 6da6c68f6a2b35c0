"""Watching for silence: counts what each unit sends, and judges each against its own habit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime

from frontgate import clock
from frontgate.core import silence
from frontgate.journal import Journal, Reader, habits, timestamp
from frontgate.model.unit import ACTIVE, Directory

JUDGE_S = 300.0
DEAF_S = 900.0
"""So long after its own start the hub judges nobody: what waited for it is still coming in."""


class Habits:
    """`turn` is the body of a loop. is_off: the work calendar."""

    LOOK_S = 30.0

    def __init__(
        self,
        journal: Journal,
        directory: Callable[[], Directory],
        is_off: Callable[[date], bool],
        *,
        deaf_s: float = DEAF_S,
    ) -> None:
        self._journal = journal
        self._reader: Reader = journal.reader()
        self._directory = directory
        self._is_off = is_off
        self._judge_at = clock.monotonic() + deaf_s

    def turn(self) -> float | None:
        """Count what came, end the silence of who sent, judge all now and then."""
        counted = int(self._reader.meta("habits-counted") or "0")
        if self._reader.one("SELECT 1 FROM package WHERE id > ? LIMIT 1", counted):
            with self._journal.write() as tx:
                is_more, senders = habits.count_more(tx)
                habits.end_silence(tx, senders)
            if is_more:
                return 0.01
        if clock.monotonic() >= self._judge_at:
            self._judge_at = clock.monotonic() + JUDGE_S
            self._judge(clock.now())
        return self.LOOK_S

    def _judge(self, now: datetime) -> None:
        known = self._directory().units
        found: dict[str, silence.Silence] = {}
        paused: list[str] = []
        for code in habits.units(self._reader):
            unit = known.get(code)
            if unit is None or unit.status != ACTIVE:
                paused.append(code)
                continue
            sent = habits.history(self._reader, code)
            ended = self._reader.meta(f"paused:{code}")
            judged = silence.judge(
                sent.counts,
                last=sent.last,
                now=now,
                is_off=self._is_off,
                active_since=datetime.fromisoformat(ended) if ended else None,
            )
            if judged is not None:
                found[code] = judged
        with self._journal.write(now) as tx:
            for code in paused:
                tx.set_meta(f"paused:{code}", timestamp(now))
            open_before = {unit for unit, *_ in habits.silent(tx)}
            habits.end_silence(tx, open_before - set(found))
            for code, judged in found.items():
                habits.set_silent(tx, code, judged)
            habits.forget(tx, now)
