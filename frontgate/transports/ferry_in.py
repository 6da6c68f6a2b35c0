"""What a gap device brings: judged by its content, put where it belongs, remembered.

Nothing of a trailer is believed before its digest was held against it, and nothing that cannot be
is believed at all. What is remembered and acknowledged are files by number and digest, never a number
alone: whatever else the device says, a file that did not come is not acknowledged.

Whole files go into `incoming/` durably and are noted before they are removed from the device's
folder; what is cut short waits there until it is whole or is set aside; what is somebody else's
stays. Whatever lies there, nothing raises but a fault of our own folders.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from frontgate import clock, durable
from frontgate.log import get_logger
from frontgate.transports import carried
from frontgate.transports.carried import (
    ACK,
    CHUNK,
    DATA,
    Astray,
    Doubtful,
    NotWhole,
    Stamp,
    Trailer,
)
from frontgate.transports.ferry_memory import Memory
from frontgate.transports.ferry_way import Counts, Way
from frontgate.undo import on_failure

log = get_logger()

MOST_ENTRIES = 512
"""Entries of the device's folder that are looked at in one turn."""
KEEP_ASIDE = 200


@dataclass(slots=True)
class _Seen:
    """An entry of `in/` that could not be used as it was, or that cannot be removed."""

    stamp: Stamp
    since: float
    is_done: bool = False
    astray: str = ""


class Arrivals:
    """The inward half of a ferry. on_ack: gets the far end's acknowledgements. may_take: whether
    there is room for more.
    """

    def __init__(
        self,
        way: Way,
        memory: Memory,
        counts: Counts,
        on_news: Callable[[], None],
        on_ack: Callable[[bytes], None],
        may_take: Callable[[], bool],
    ) -> None:
        self.way = way
        self.counts = counts
        self.owes_ack = False
        self._memory = memory
        self._on_news = on_news
        self._on_ack = on_ack
        self._may_take = may_take
        self._aside = way.state / "aside"
        durable.make_dir(self._aside)
        self._seen: dict[str, _Seen] = {}
        self._damaged: deque[float] = deque(maxlen=1000)
        self._doubtful: dict[str, float] = {}

    def damaged(self) -> int:
        """How many files were set aside lately."""
        since = clock.monotonic() - self.way.remember_s
        return sum(at > since for at in self._damaged)

    def doubtful(self) -> list[str]:
        """Names of files that said lately what cannot be."""
        since = clock.monotonic() - self.way.remember_s
        self._doubtful = {name: at for name, at in self._doubtful.items() if at > since}
        return sorted(self._doubtful)

    def astray(self) -> str:
        """The account of some file that lies here and is not for here; empty without one."""
        return next((seen.astray for seen in self._seen.values() if seen.astray), "")

    def receive(self) -> bool:
        """Look at everything once. Returns: whether there is more than one look takes."""
        names = []
        foreign = 0
        with os.scandir(self.way.into) as entries:
            for entry in entries:
                name = carried.plain(entry.name)
                if DATA.fullmatch(name) or ACK.fullmatch(name):
                    names.append(entry.name)
                else:
                    foreign += 1
        self.counts.foreign = foreign
        there = set(names)
        self._seen = {name: seen for name, seen in self._seen.items() if name in there}
        if not self._may_take():
            # No room: bundles wait where they lie, the far end keeps them; answers go on.
            names = [name for name in names if ACK.fullmatch(carried.plain(name))]
        fresh = [name for name in sorted(names) if not self._is_known(name)]
        for name in fresh[:MOST_ENTRIES]:
            self._receive_one(name)
        return len(fresh) > MOST_ENTRIES

    def _is_known(self, name: str) -> bool:
        """Whether an entry is as it was when it could not be used; it is set aside in time."""
        seen = self._seen.get(name)
        if seen is None:
            return False
        try:
            info = os.lstat(self.way.into / name)
        except FileNotFoundError:
            return True
        if seen.stamp != Stamp(info.st_ino, info.st_size, info.st_mtime_ns):
            return False
        if not seen.is_done and clock.monotonic() - seen.since > self.way.gap_after_s:
            self._set_aside(name, seen)
        return True

    def _receive_one(self, name: str) -> None:
        path = self.way.into / name
        stamp = Stamp(0, 0, 0)
        try:
            info = os.lstat(path)
            stamp = Stamp(info.st_ino, info.st_size, info.st_mtime_ns)
            file, _ = carried.open_carried(path)
            with file:
                trailer = carried.read_trailer(file, os.fstat(file.fileno()).st_size)
                self._judge(name, trailer)
                if trailer.kind == "ack":
                    self._take_ack(file, trailer)
                else:
                    self._take_data(file, trailer)
        except FileNotFoundError as error:
            if not str(error.filename or "").startswith(str(self.way.into)):
                raise
            return
        except Astray as error:
            # Somebody else's: left alone.
            account = str(error.args[0])
            self._seen[name] = _Seen(stamp, clock.monotonic(), is_done=True, astray=account)
            return
        except NotWhole as error:
            if isinstance(error, Doubtful) and len(self._doubtful) < KEEP_ASIDE:
                self._doubtful[name] = clock.monotonic()
                self.owes_ack = True  # it says how many could not be used
            old = self._seen.get(name)
            if old is None or old.stamp != stamp:
                self._seen[name] = _Seen(stamp, clock.monotonic())
            return
        self._remove(name, stamp)

    def _judge(self, name: str, trailer: Trailer) -> None:
        """Whether a file is meant for this end. Raises: Astray; Doubtful; NotWhole for a name that
        is not its own.
        """
        way = self.way
        match = (DATA if trailer.kind == "data" else ACK).fullmatch(carried.plain(name))
        is_named_so = match is not None and (int(match[1]), match[2]) == (
            trailer.number,
            trailer.epoch,
        )
        if not is_named_so:
            raise NotWhole
        if trailer.side == way.side or trailer.account != way.account:
            self.counts.astray += 1
            raise Astray(trailer.account)
        if not trailer.is_plausible:
            raise Doubtful

    def _take_data(self, file: BinaryIO, trailer: Trailer) -> None:
        if self._memory.has(trailer.epoch, trailer.number, trailer.digest):
            # The far end has not heard that we have it.
            self.counts.repeats += 1
            self.owes_ack = True
            return
        self._put_in(file, trailer)
        came = self._memory.came(trailer.epoch)
        came.add(trailer.number, trailer.digest)
        came.settle_below(trailer.floor)
        self._memory.save()
        self.owes_ack = True
        self.counts.taken += 1
        log.info("carried-in", account=self.way.account, number=trailer.number, name=trailer.name)
        self._on_news()

    def _put_in(self, file: BinaryIO, trailer: Trailer) -> None:
        """Make the content durable in `incoming/`, over nothing that lies there already."""
        final = self.way.incoming / trailer.name
        part = self.way.incoming / f".{trailer.name}.part"
        durable.unlink(part)
        with durable.open_new(part, 0o640) as target:
            with on_failure(partial(durable.unlink, part)):
                carried.copy_content(file, trailer, target.write)
                if _differs(final, trailer.digest):
                    # What came first under this name may have been acknowledged.
                    raise Doubtful
            durable.publish(part, final, target)

    def _take_ack(self, file: BinaryIO, trailer: Trailer) -> None:
        data = bytearray()
        carried.copy_content(file, trailer, data.extend)
        self._memory.came(trailer.epoch).settle_below(trailer.floor)
        self._on_ack(bytes(data))

    def _remove(self, name: str, stamp: Stamp) -> None:
        try:
            durable.unlink(self.way.into / name)
            self._seen.pop(name, None)
        except OSError:
            # The device owns its files and may keep them: it is not to be taken again and again.
            self._seen[name] = _Seen(stamp, clock.monotonic(), is_done=True)

    def _set_aside(self, name: str, seen: _Seen) -> None:
        """What never became whole goes out of the device's way; the far end sends it again. It is
        copied: the device's own file has its rights, and whoever has it open may go on writing.
        """
        target = self._aside / f"{seen.stamp.inode}-{name}"
        if name not in self._doubtful:
            self._damaged.append(clock.monotonic())
            self.owes_ack = True
        try:
            durable.unlink(target)
            _copy_away(self.way.into / name, target)
            durable.unlink(self.way.into / name)
        except (OSError, NotWhole):
            seen.is_done = True
            return
        self.counts.set_aside += 1
        log.warning("carried-damaged", account=self.way.account, name=name)
        kept = sorted(os.scandir(self._aside), key=lambda e: e.stat().st_mtime_ns)
        for entry in kept[:-KEEP_ASIDE]:
            with contextlib.suppress(OSError):
                durable.unlink(entry.path)


def _copy_away(source: Path, target: Path) -> None:
    file, _ = carried.open_carried(source)
    with file, durable.open_new(target) as copy:
        while chunk := file.read(CHUNK):
            copy.write(chunk)
        copy.flush()
        durable.fsync_file(copy)


def _differs(path: Path, digest: str) -> bool:
    """Whether something else than this lies there."""
    try:
        return carried.digest_of(path) != digest
    except FileNotFoundError:
        return False
