"""What is played: how many exchanges of each flow, on which days. Counts are exact, the rest is chosen
by a seeded generator, so that a run can be repeated.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator
from datetime import date, timedelta
from fractions import Fraction
from importlib import resources

from frontgate.core.deadlines import Calendar
from frontgate.values import Struct


class Volumes(Struct, frozen=True):
    """counts: exchanges a flow. spread: flows whose count is a share of the unnamed remainder."""

    total: int
    begin: date
    days: int
    counts: dict[str, int]
    spread: frozenset[str]


def read_volumes() -> Volumes:
    """The seed's table, the remainder spread evenly over the flows that it names without a number."""
    text = resources.files("frontgate.hub.history").joinpath("seed.toml").read_text("utf-8")
    data = tomllib.loads(text)
    counts = {t["name"]: int(t["volume"]) for t in data["flow"]}
    unnamed = [name for name, volume in counts.items() if not volume]
    rest = int(data["total"]) - sum(counts.values())
    for number, name in enumerate(unnamed):
        counts[name] = rest // len(unnamed) + (number < rest % len(unnamed))
    return Volumes(int(data["total"]), data["begin"], int(data["days"]), counts, frozenset(unnamed))


def scaled(counts: dict[str, int], share: Fraction) -> dict[str, int]:
    """Each count times `share`, rounded; at least one where there was any."""
    return {name: max(1, round(n * share)) if n else 0 for name, n in counts.items()}


class Day(Struct, frozen=True):
    """One working day's exchanges. flows: a flow's name for each, in no order."""

    day: date
    flows: tuple[str, ...]


def days(counts: dict[str, int], begin: date, length: int, seed: int) -> Iterator[Day]:
    """Working days with the exchanges of each; all counts together come out exactly."""
    calendar = Calendar()
    working = [
        day
        for day in (begin + timedelta(days=n) for n in range(length))
        if not calendar.is_off(day)
    ]
    deck = [name for name, count in counts.items() for _ in range(count)]
    random.Random(seed).shuffle(deck)  # noqa: S311 (a play, no secret)
    for number, day in enumerate(working):
        first = len(deck) * number // len(working)
        last = len(deck) * (number + 1) // len(working)
        if last > first:
            yield Day(day, tuple(deck[first:last]))
