"""What one end of a ferry remembers: its numbers, and what came from the far end.

One small JSON file, replaced whole and durably. A file that is lost or damaged means a new epoch:
everything that waits is numbered and sent anew, and the far end recognises bundles by their id.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frontgate import durable
from frontgate.log import get_logger

log = get_logger()

MOST_EPOCHS = 8
"""Epochs of the far end that are remembered: more would mean that it loses its memory daily."""


@dataclass(slots=True)
class Came:
    """Numbers that came in one epoch: all up to `below`, and those in `also`."""

    below: int = 0
    also: set[int] = field(default_factory=set)

    def has(self, number: int) -> bool:
        return number <= self.below or number in self.also

    def add(self, number: int) -> None:
        if number > self.below:
            self.also.add(number)
        self._close_up()

    def settle_below(self, floor: int) -> None:
        """The far end waits for nothing below `floor` any more."""
        if floor - 1 > self.below:
            self.below = floor - 1
            self.also = {number for number in self.also if number > self.below}
            self._close_up()

    def _close_up(self) -> None:
        while self.below + 1 in self.also:
            self.below += 1
            self.also.discard(self.below)


@dataclass(slots=True)
class Memory:
    """numbers: names that wait for an acknowledgement, with their numbers."""

    path: Path
    epoch: str
    numbers: dict[str, int] = field(default_factory=dict)
    starts: int = 0
    _last: int = 0
    _acks: int = 0
    _came: dict[str, Came] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Memory:
        """Raises: OSError where it is there and cannot be read."""
        try:
            fields = json.loads(path.read_bytes())
            found = cls(
                path,
                str(fields["epoch"]),
                {str(name): int(number) for name, number in fields["numbers"].items()},
                int(fields["starts"]) + 1,
                int(fields["last"]),
                int(fields["acks"]),
                {
                    str(epoch): Came(int(below), {int(n) for n in also})
                    for epoch, (below, also) in fields["came"].items()
                },
            )
        except FileNotFoundError:
            found = cls(path, secrets.token_hex(4))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.error("carry-memory-lost", path=str(path), detail=repr(error))
            found = cls(path, secrets.token_hex(4))
        found.save()
        return found

    @property
    def floor(self) -> int:
        """The lowest number that still waits for an acknowledgement."""
        return min(self.numbers.values(), default=self._last + 1)

    def save(self) -> None:
        fields = {
            "epoch": self.epoch,
            "starts": self.starts,
            "numbers": self.numbers,
            "last": self._last,
            "acks": self._acks,
            "came": {epoch: [c.below, sorted(c.also)] for epoch, c in self._came.items()},
        }
        durable.write_file(self.path, json.dumps(fields).encode())

    def number(self, name: str) -> int:
        self._last += 1
        self.numbers[name] = self._last
        return self._last

    def forget(self, name: str) -> int:
        return self.numbers.pop(name)

    def next_ack(self) -> int:
        self._acks += 1
        return self._acks

    def came(self, epoch: str) -> Came:
        """What came in an epoch of the far end; the one used last is kept longest."""
        found = self._came.pop(epoch, None) or Came()
        self._came[epoch] = found
        while len(self._came) > MOST_EPOCHS:
            self._came.pop(next(iter(self._came)))
        return found

    def missing(self) -> list[tuple[str, int]]:
        """(epoch, number) that are missing below the highest that came, at most 1 000."""
        found: list[tuple[str, int]] = []
        for epoch, came in self._came.items():
            number = came.below + 1
            for have in sorted(came.also):
                while number < have and len(found) < 1000:
                    found.append((epoch, number))
                    number += 1
                number = have + 1
        return found

    def acknowledgement(self) -> bytes:
        """All that came, of every epoch: the newest acknowledgement says what all before it said."""
        return json.dumps(
            {epoch: [c.below, sorted(c.also)] for epoch, c in self._came.items()}
        ).encode()

    def acknowledged(self, data: bytes) -> list[str]:
        """Names that an acknowledgement of the far end covers. What it means is not doubted here:
        a false one costs another try, when the receipts do not come.
        """
        try:
            fields: Any = json.loads(data)
            below, also = fields.get(self.epoch, (0, ()))
            numbers = {int(n) for n in also}
            return [n for n, k in self.numbers.items() if k <= int(below) or k in numbers]
        except (ValueError, TypeError, AttributeError, RecursionError):
            return []
