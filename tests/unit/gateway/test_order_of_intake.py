"""Drops of one spool come into the journal in the order of their claims."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from frontgate.errors import JournalError
from frontgate.gateway import rounds as rounds_module
from frontgate.gateway.intake import Intake
from frontgate.gateway.rounds import Rounds
from frontgate.spool.claiming import Claim


def claim(number: int) -> Claim:
    return Claim(f"{number:032x}", Path(f"/nowhere/{number}"), b"x.xml", "xml", number)


class Spool:
    """As much of a `Post` as intake asks for."""

    def __init__(self, key: str) -> None:
        self.key = key

    def attempt(self, _: str, act: Any) -> bool:
        act()
        return True


def failing_intake(monkeypatch: pytest.MonkeyPatch, bad: set[str]) -> tuple[Intake, list[str]]:
    """An intake whose `take` refuses `bad` claims for a passing reason and whole batches for another."""
    taken: list[str] = []

    def take(_: Intake, post: Any, found: Sequence[Claim]) -> None:
        if len(found) > 1:
            raise ValueError("one of them is poison")
        if found[0].claim_id in bad:
            raise JournalError("FG-JRN-004", reason="ENOSPC")
        taken.append(found[0].claim_id)

    monkeypatch.setattr(Intake, "take", take)
    nothing: Any = None
    intake = Intake(
        nothing, nothing, nothing, nothing, {}, nothing, discard=nothing, wake_senders=nothing
    )
    return intake, taken


def test_what_a_passing_fault_stops_is_not_overtaken_by_later_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, two, three, other = claim(1), claim(2), claim(3), claim(4)
    bad = {two.claim_id}
    intake, taken = failing_intake(monkeypatch, bad)
    here, there = Spool("a"), Spool("b")
    intake.take_safely(here, [one, two, three])  # type: ignore[arg-type]
    assert taken == [one.claim_id]
    intake.waiting.append((there, other))  # type: ignore[arg-type]
    with pytest.raises(JournalError):
        intake.retry()
    assert taken == [one.claim_id, other.claim_id], "another spool does not wait"
    assert intake.waits_before(here, claim(9))  # type: ignore[arg-type]
    assert not intake.waits_before(there, claim(9))  # type: ignore[arg-type]
    bad.clear()
    intake.retry()
    assert taken[2:] == [two.claim_id, three.claim_id]


def test_a_large_drop_is_taken_after_the_small_ones_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small, large = claim(1), claim(2)
    monkeypatch.setattr(
        rounds_module, "_size", lambda c: rounds_module.LARGE_BYTES + 1 if c == large else 1
    )
    order: list[str] = []
    waits = [True]
    post: Any = Spool("a")
    gate: Any = SimpleNamespace(is_open=lambda: True)
    lane: Any = SimpleNamespace(
        take_safely=lambda _, found: order.append("small"), waits_before=lambda *_: waits[0]
    )
    large_lane: Any = SimpleNamespace(
        take_safely=lambda _, found: order.append("large"), retry=lambda: None
    )
    nothing: Any = None
    rounds = Rounds(
        SimpleNamespace(posts=[post]),  # type: ignore[arg-type]
        nothing,
        gate,
        {"a": gate},
        lane,
        large_lane,
        rescan_s=1.0,
        publish_reference=nothing,
        note_clock=nothing,
        wake_large=lambda: order.append("wake large"),
        is_stopping=lambda: False,
    )
    rounds._take(post, [large, small])
    assert order == ["small", "wake large"]
    assert rounds.large_turn() == rounds_module.PAUSED_LOOK_S, "an earlier small one still waits"
    assert order == ["small", "wake large"]
    waits[0] = False
    rounds.large_turn()
    assert order == ["small", "wake large", "large"]
