"""Segments: the immutable files that hold packages, and reading slices of them.

A segment is written under `<state>/tmp/`, fsynced, renamed into `<state>/segments/<date>/` and only
then named in the journal. A file there that the journal does not name is a left-over of a crash
before the commit: nobody was told of it, and `sweep_orphans` removes it.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from frontgate import durable
from frontgate.errors import JournalError
from frontgate.journal import Journal, Reader
from frontgate.undo import on_failure

CHUNK = 1 << 20
PAGE = 500
PARTIAL = ".partial"
"""Ends the name of a download that is not whole yet, in `tmp/`."""
PARTIAL_RESTS_S = 3600.0
"""A part that nothing was added to for so long is nobody's work in progress."""


class OpenSegment:
    """A segment being written. `publish` or `abandon` ends it."""

    def __init__(
        self,
        temporary: Path,
        final: Path,
        root: Path,
        remove: Callable[[Path], None],
        file: BinaryIO | None = None,
    ) -> None:
        self._temporary = temporary
        self._final = final
        self._root = root
        self._remove = remove
        self.file: BinaryIO = file or durable.open_new(temporary)

    @property
    def relative_path(self) -> str:
        return self._final.relative_to(self._root).as_posix()

    def publish(self) -> int:
        """Make it durable under its final name. Returns: its size in bytes.

        Raises: OSError; then it is gone, and has to be written anew from its source: what an fsync
        failed for is never synced again.
        """
        with on_failure(self.abandon):
            self.file.flush()
            size = os.fstat(self.file.fileno()).st_size
            durable.publish(self._temporary, self._final, self.file)
        self.file.close()
        return size

    def abandon(self) -> None:
        """Remove it: nothing in it counts, and no row names it."""
        with contextlib.suppress(OSError):
            self.file.close()  # what it still had to write is lost with it
        self._remove(self._temporary)
        self._remove(self._final)


class SegmentStore:
    """The segments of one node, below its state folder."""

    def __init__(self, state: Path) -> None:
        self.root = state
        self._tmp = state / "tmp"
        self._segments = state / "segments"
        self._left: list[Path] = []
        for folder in (self._tmp, self._segments):
            durable.make_dir(folder)
        durable.fsync_dir(state)

    def new(self, now: datetime) -> OpenSegment:
        """Begin a segment. Its name carries the time and 64 random bits, nothing of the content."""
        self._clear()
        final = self.new_path(now)
        return OpenSegment(self._tmp / (final.name + ".tmp"), final, self.root, self._remove)

    def _clear(self) -> None:
        left, self._left = self._left, []
        for path in left:
            self._remove(path)

    def _remove(self, path: Path) -> None:
        """Remove a file that nothing names; where the disk refuses, the next segment tries again."""
        try:
            durable.unlink(path)
        except OSError:
            self._left.append(path)

    @contextlib.contextmanager
    def named_by(self, journal: Journal, relative_path: str) -> Iterator[None]:
        """Around the transaction that names a published segment: where it is undone, the file goes.

        Not where the journal itself has failed: its last commit may turn out to have happened, and
        the start that follows removes what no row names.
        """

        def take_back() -> None:
            if journal.failure is None:
                self._remove(self.root / relative_path)

        with on_failure(take_back):
            yield

    def new_path(self, now: datetime) -> Path:
        at = now.astimezone(UTC)
        folder = self._segments / at.strftime("%Y%m%d")
        if not folder.is_dir():
            durable.make_dir(folder)
            durable.fsync_dir(self._segments)
        return folder / f"{at.strftime('%H%M%S')}-{secrets.token_hex(8)}.bundle"

    def partial(self, name: str, now: datetime) -> OpenSegment:
        """Begin or go on with a segment that comes in pieces: what an earlier try wrote is in its
        file still, also after a restart. name: of the bundle; the segment's own is as of `new`.
        """
        self._clear()
        temporary = self._tmp / (name + PARTIAL)
        if temporary in self._left:
            raise OSError(errno.EIO, "what failed here before is still there", str(temporary))
        if temporary.exists():
            file = temporary.open("r+b", buffering=1 << 16)
            fresh = self.new_path(now)
            return OpenSegment(temporary, fresh, self.root, self._remove, file)
        return OpenSegment(temporary, self.new_path(now), self.root, self._remove)

    def drop_partials(self, keep: Collection[str]) -> None:
        """Remove what came of bundles other than `keep` and rests: they are not offered any more."""
        for entry in os.scandir(self._tmp):
            if entry.name.endswith(PARTIAL) and entry.name.removesuffix(PARTIAL) not in keep:
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - entry.stat().st_mtime > PARTIAL_RESTS_S:
                        durable.unlink(entry.path)

    def open(self, relative_path: str) -> BinaryIO:
        """A segment's file, for reading."""
        return (self.root / relative_path).open("rb")

    def recover(self) -> None:
        """Remove what was being written when the process died; parts of downloads are kept."""
        for entry in os.scandir(self._tmp):
            if not entry.name.endswith(PARTIAL):
                durable.unlink(entry.path)

    def drop(self, relative_path: str) -> None:
        """Remove a published segment that nothing will name."""
        self._remove(self.root / relative_path)

    def sweep_orphans(self, reader: Reader) -> int:
        """Remove segments that the journal never named. Call before any new one is begun.

        Returns: how many were removed. Every day is looked at: a crash may lie back any time.
        """
        removed = 0
        for day in sorted(entry.name for entry in os.scandir(self._segments) if entry.is_dir()):
            folder = self._segments / day
            gone = 0
            with os.scandir(folder) as entries:
                while page := [e.name for e in itertools.islice(entries, PAGE)]:
                    for path in _unnamed(reader, [f"segments/{day}/{name}" for name in page]):
                        durable.unlink(self.root / path)
                        gone += 1
            if gone:
                durable.fsync_dir(folder)
            removed += gone
        return removed


def _unnamed(source: Reader, paths: list[str]) -> list[str]:
    """Those of some paths that the journal does not name."""
    marks = ", ".join("?" * len(paths))
    rows = source.all(f"SELECT path FROM segment WHERE path IN ({marks})", *paths)  # noqa: S608
    named = {str(row[0]) for row in rows}
    return [path for path in paths if path not in named]


def read_slice(file: BinaryIO, offset: int, size_bytes: int) -> Iterator[bytes]:
    """Chunks of `size_bytes` bytes beginning at `offset`. Raises: EOFError if they are not there."""
    file.seek(offset)
    left = size_bytes
    while left:
        chunk = file.read(min(CHUNK, left))
        if not chunk:
            raise EOFError(f"segment ends {left} bytes early")
        left -= len(chunk)
        yield chunk


class Composite(io.RawIOBase):
    """Bytes and slices of files read as one seekable file, nothing copied beforehand."""

    def __init__(self, root: Path, pieces: list[bytes | tuple[str, int, int]]) -> None:
        super().__init__()
        self._root = root
        self._pieces = pieces
        self._starts: list[int] = []
        size = 0
        for piece in pieces:
            self._starts.append(size)
            size += len(piece) if isinstance(piece, bytes) else piece[2]
        self.size_bytes = size
        self._position = 0
        self._open: tuple[str, BinaryIO] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self._read_some(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        wanted = self.size_bytes - self._position if size < 0 else size
        pieces: list[bytes] = []
        while wanted > 0:
            data = self._read_some(wanted)
            if not data:
                break
            pieces.append(data)
            wanted -= len(data)
        return b"".join(pieces)

    def _read_some(self, most: int) -> bytes:
        import bisect

        if self._position >= self.size_bytes or most <= 0:
            return b""
        index = bisect.bisect_right(self._starts, self._position) - 1
        piece = self._pieces[index]
        inside = self._position - self._starts[index]
        if isinstance(piece, bytes):
            data = piece[inside : inside + most]
        else:
            path, offset, size = piece
            try:
                file = self._file(path)
                file.seek(offset + inside)
                data = file.read(min(most, size - inside))
            except OSError as error:
                raise JournalError("FG-JRN-006", path=path, detail=str(error)) from error
            if not data:
                raise JournalError("FG-JRN-006", path=path, detail="it ends early")
        self._position += len(data)
        return data

    def _file(self, path: str) -> BinaryIO:
        if self._open is None or self._open[0] != path:
            if self._open is not None:
                self._open[1].close()
            self._open = (path, (self._root / path).open("rb"))
        return self._open[1]

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None
        super().close()
