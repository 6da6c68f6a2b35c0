"""What one end of a ferry remembers: its numbers, and what came from the far end.

One small JSON file, replaced whole and durably. A file that is lost or damaged means a new epoch:
everything that waits is numbered and sent anew, and the far end recognises bundles by their id.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frontgate import durable
from frontgate.log import get_logger
from frontgate.values import Struct

log = get_logger()

MOST_EPOCHS = 8
"""Epochs of the far end that are remembered: more would mean that it loses its memory daily."""
MOST_TAKEN = 512
"""So many files are remembered and acknowledged, the latest: at least all that one turn takes. One
that is older comes again if its acknowledgement was lost, and is acknowledged anew."""


@dataclass(slots=True)
class Came:
    """What came in one epoch. taken: numbers and digests of files that are durable here, the latest:
    of these alone is ever said that we have them. below, also: only for telling what is missing.
    """

    below: int = 0
    also: set[int] = field(default_factory=set)
    taken: dict[tuple[int, str], None] = field(default_factory=dict)

    def add(self, number: int, digest: str) -> None:
        self.taken[number, digest] = None
        while len(self.taken) > MOST_TAKEN:
            del self.taken[next(iter(self.taken))]
        if number > self.below:
            self.also.add(number)
        self._close_up()

    def settle_below(self, floor: int) -> None:
        """The far end waits for nothing below `floor` any more, so nothing is missing there. More
        than the next number is not believed: nothing can be missing behind the last that came.
        """
        floor = min(floor, max(self.also, default=self.below) + 1)
        if floor - 1 > self.below:
            self.below = floor - 1
            self.also = {number for number in self.also if number > self.below}
            self._close_up()

    def _close_up(self) -> None:
        while self.below + 1 in self.also:
            self.below += 1
            self.also.discard(self.below)


class Answer(Struct, frozen=True):
    """What an acknowledgement says. names: of ours that the far end has. strange: (number, digest) that
    it took in our name and that we never sent. damaged: files that it could not use lately.
    """

    names: list[str]
    strange: set[tuple[int, str]]
    damaged: int


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
                    str(epoch): Came(
                        int(below),
                        {int(n) for n in also},
                        {(int(n), str(d)): None for n, d in taken},
                    )
                    for epoch, (below, also, taken) in fields["came"].items()
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
            "came": {
                epoch: [c.below, sorted(c.also), list(c.taken)] for epoch, c in self._came.items()
            },
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

    def has(self, epoch: str, number: int, digest: str) -> bool:
        """Whether this very file was taken here."""
        came = self._came.get(epoch)
        return came is not None and (number, digest) in came.taken

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

    def acknowledgement(self, damaged: int) -> bytes:
        """The latest that came, of every epoch. damaged: how many could not be used lately."""
        taken = {epoch: list(c.taken) for epoch, c in self._came.items()}
        return json.dumps({"damaged": damaged, "taken": taken}).encode()

    def acknowledged(self, data: bytes, digest_of: Callable[[str], str]) -> Answer:
        """Read an acknowledgement of the far end. A file counts as taken there only if both its number
        and its digest are named. digest_of: of a name of ours; empty where it is gone.
        """
        try:
            fields: Any = json.loads(data)
            damaged = max(0, int(fields["damaged"]))
            taken = {(int(n), str(digest)) for n, digest in fields["taken"].get(self.epoch, ())}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            return Answer([], set(), 0)
        named = {number for number, _ in taken}
        ours = {
            (number, digest_of(name)): name
            for name, number in self.numbers.items()
            if number in named
        }
        waiting = {number for number, _ in ours}
        strange = {
            (number, digest)
            for number, digest in taken - ours.keys()
            if number in waiting or not 0 < number <= self._last
        }
        return Answer([name for pair, name in ours.items() if pair in taken], strange, damaged)
