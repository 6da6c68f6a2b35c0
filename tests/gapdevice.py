"""A gap device for tests: carries files between two pairs of folders, as badly as it is told to.

It copies in pieces, in any order, repeats, loses, cuts short, flips bytes and holds back. It knows nothing of
what it carries. It never renames and writes under the final name at once.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mischief:
    """Probabilities per file. corrupt: a random byte is another. hold_s: longest time that a file is held back. keeps: leaves what it
    carried in its place instead of removing it. hasty: takes hidden files too, half written.
    """

    lose: float = 0.0
    repeat: float = 0.0
    cut: float = 0.0
    corrupt: float = 0.0
    hold: float = 0.0
    hold_s: float = 1.0
    keeps: bool = False
    hasty: bool = False


class GapDevice:
    """One direction: from `source` to `target`, in a thread, until `stop`."""

    def __init__(
        self, source: Path, target: Path, mischief: Mischief, seed: int = 0, poll_s: float = 0.05
    ) -> None:
        for folder in (source, target):
            folder.mkdir(parents=True, exist_ok=True)
        self.source, self.target = source, target
        self.mischief = mischief
        self.did: Counter[str] = Counter()
        self._luck = random.Random(seed)
        self._poll_s = poll_s
        self._carried: set[str] = set()
        self._held: list[tuple[float, str, bytes]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.wait(self._poll_s):
            names = [
                name
                for name in os.listdir(self.source)
                if name not in self._carried and (self.mischief.hasty or name[0] != ".")
            ]
            self._luck.shuffle(names)
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    self._pick(name)
            due = [item for item in self._held if item[0] <= time.monotonic()]
            self._held = [item for item in self._held if item not in due]
            self._luck.shuffle(due)
            for _, name, data in due:
                self._bring(name, data)

    def _pick(self, name: str) -> None:
        path = self.source / name
        data = path.read_bytes()
        if self.mischief.keeps:
            self._carried.add(name)
        else:
            path.unlink()
        luck, m = self._luck, self.mischief
        if luck.random() < m.lose:
            self.did["lost"] += 1
            return
        times = 2 if luck.random() < m.repeat else 1
        self.did["repeated"] += times - 1
        for _ in range(times):
            piece = data
            if luck.random() < m.cut:
                piece = data[: luck.randrange(len(data) + 1)]
                self.did["cut"] += 1
            if piece and luck.random() < m.corrupt:
                piece = self._flipped(piece)
                self.did["corrupted"] += 1
            if luck.random() < m.hold:
                self.did["held"] += 1
                self._held.append((time.monotonic() + luck.uniform(0, m.hold_s), name, piece))
            else:
                self._bring(name, piece)

    def _flipped(self, data: bytes) -> bytes:
        """One bit is another; as often as not in the trailer, which is the lesser part of most files."""
        start = max(0, len(data) - 512) if self._luck.random() < 0.5 else 0
        at = self._luck.randrange(start, len(data))
        return data[:at] + bytes([data[at] ^ 1 << self._luck.randrange(8)]) + data[at + 1 :]

    def _bring(self, name: str, data: bytes) -> None:
        """Written piece by piece under its final name; the far end sees every state of it."""
        with (self.target / name).open("wb") as file:
            step = max(1, len(data) // self._luck.randint(1, 4))
            for at in range(0, len(data), step):
                file.write(data[at : at + step])
                file.flush()
        self.did["brought"] += 1
