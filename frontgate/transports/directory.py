"""Folders that a gap device serves, as a transport: see `ferry` for how they are carried.

`put` is done when the bundle is durable in a folder of ours that the ferry empties only on the far
end's acknowledgement: what the device loses is sent again from there. `pending` shows what is not
acknowledged. Everything here is quick: no call waits for the device.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from frontgate import durable
from frontgate.errors import TransportError
from frontgate.transports import Entry, Source, Transport
from frontgate.transports.carried import CHUNK, NAME
from frontgate.transports.ferry import Ferry
from frontgate.transports.ferry_way import Way
from frontgate.undo import on_failure


class DirectoryPeer:
    """The far end as reached through a device. One ferry; any number of connections."""

    def __init__(self, way: Way, *, may_take: Callable[[], bool] = lambda: True) -> None:
        self._news = threading.Event()
        self.ferry = Ferry(way, on_news=self._news.set, may_take=may_take)
        self.wake: Callable[[], None] = lambda: None
        """Called when there is something new to carry."""

    def connect(self) -> Transport:
        """Raises: TransportError FG-TRN-020 where a folder of the device is not there."""
        for folder in (self.ferry.way.out, self.ferry.way.into):
            if not folder.is_dir():
                raise TransportError("FG-TRN-020", path=str(folder))
        self.ferry.lay_out()
        return _DirectoryTransport(self.ferry.way, self._news, self.wake)


class _DirectoryTransport:
    """One connection. Not for two threads at once."""

    def __init__(self, way: Way, news: threading.Event, wake: Callable[[], None]) -> None:
        self._way = way
        self._news = news
        self._wake = wake
        self.moved_bytes = 0

    def put(self, name: str, source: Source, size_bytes: int) -> None:
        if not NAME.fullmatch(name):
            raise TransportError("FG-TRN-008", what=name)
        final = self._way.outgoing / name
        part = self._way.outgoing / f".{name}.part"

        def take_back() -> None:
            with contextlib.suppress(OSError):
                durable.unlink(final)
                durable.unlink(part)

        try:
            # A name whose folder could not be synced is not trusted at the next try: it goes.
            with on_failure(take_back):
                if _size(final) == size_bytes:
                    durable.fsync_dir(final.parent)  # a kill may have come before
                    return
                durable.unlink(part)
                source.seek(0)
                left = size_bytes
                with durable.open_new(part) as file:
                    while left:
                        chunk = source.read(min(CHUNK, left))
                        if not chunk:
                            raise EOFError("the source ends early")
                        file.write(chunk)
                        left -= len(chunk)
                    durable.publish(part, final, file)
        except OSError as error:
            raise TransportError("FG-TRN-024", path=str(part), detail=str(error)) from error
        self.moved_bytes += size_bytes
        self._wake()

    def entries(self) -> list[Entry]:
        return _complete(self._way.incoming)

    def pending(self) -> list[Entry]:
        return _complete(self._way.outgoing)

    def has(self, name: str) -> bool:
        return _size(self._way.outgoing / name) is not None

    def get(self, name: str, sink: Callable[[bytes], object], offset: int = 0) -> int:
        try:
            file = (self._way.incoming / name).open("rb")
        except FileNotFoundError as error:
            raise TransportError("FG-TRN-009", what=name) from error
        got = 0
        with file:
            file.seek(offset)
            while chunk := file.read(CHUNK):
                sink(chunk)
                got += len(chunk)
        self.moved_bytes += got
        return got

    def remove(self, name: str) -> None:
        durable.unlink(self._way.incoming / name)
        durable.fsync_dir(self._way.incoming)

    def wait(self, timeout_s: float) -> bool:
        if not self._news.wait(timeout_s):
            return False
        self._news.clear()
        return True

    def close(self) -> None:
        return None


def _size(path: Path) -> int | None:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return None


def _complete(folder: Path) -> list[Entry]:
    with os.scandir(folder) as entries:
        found = [
            Entry(entry.name, entry.stat(follow_symlinks=False).st_size)
            for entry in entries
            if NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
        ]
    return sorted(found, key=lambda e: e.name)
