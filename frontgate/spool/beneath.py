"""Acts below a folder by its descriptor: whatever is swapped meanwhile, nothing leads outside.

The spool is shared with software that may be careless or hostile. A path is looked up anew by each
call, and a folder on it may have become a link in between; a descriptor stays what it was. Each
inner folder is opened step by step, never through a link.
"""

from __future__ import annotations

import errno
import itertools
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from frontgate import durable
from frontgate.errors import SpoolError
from frontgate.undo import on_failure

MOST_ENTRIES = 10_000
MOST_DEPTH = 32
_CHUNK = 1 << 20
_TRIES = 4
_PAGE = 1000
_MOST_PAGES = 10_000
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_IS_NO_FILE = (errno.EISDIR, errno.EPERM, errno.EACCES)

Name = str | bytes


class Folder:
    """An open folder. Raises OSError where something is not there, is a link, or is no folder."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def at(cls, path: Path) -> Folder:
        """Open a folder of ours by its path; its last part may not be a link."""
        return cls(os.open(path, _FOLDER))

    def inner(self, *names: Name) -> Folder:
        """A folder below this one, step by step."""
        if not names:
            return Folder(os.dup(self.fd))
        folder = Folder(os.open(names[0], _FOLDER, dir_fd=self.fd))
        with on_failure(folder.close):
            for name in names[1:]:
                below = os.open(name, _FOLDER, dir_fd=folder.fd)
                above, folder.fd = folder.fd, below
                os.close(above)
        return folder

    def lstat(self, name: Name) -> os.stat_result:
        return os.stat(name, dir_fd=self.fd, follow_symlinks=False)

    def has(self, name: Name) -> bool:
        """Whether anything has that name, a dangling link too."""
        try:
            self.lstat(name)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def is_folder(self, name: Name) -> bool:
        try:
            return stat.S_ISDIR(self.lstat(name).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def open(self, *names: Name) -> int:
        """A descriptor for reading what lies below; never blocks on a pipe."""
        if len(names) == 1:
            return os.open(names[0], _FILE, dir_fd=self.fd)
        with self.inner(*names[:-1]) as folder:
            return os.open(names[-1], _FILE, dir_fd=folder.fd)

    def read(self, name: Name, most: int = 1 << 20) -> bytes:
        """The bytes of a small file of ours."""
        with os.fdopen(self.open(name), "rb") as file:
            return file.read(most)

    def names(self) -> Iterator[bytes]:
        """Names of all entries, in no order, streamed."""
        fd = os.open(".", _FOLDER, dir_fd=self.fd)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    yield os.fsencode(entry.name)
        finally:
            os.close(fd)

    @property
    def gid(self) -> int:
        return os.fstat(self.fd).st_gid

    def fsync(self) -> None:
        durable.fsync_dir(".", dir_fd=self.fd)

    def move(self, name: Name, target: Folder, new_name: Name) -> None:
        """Rename into another folder of the same file system. Durable after `fsync` of both."""
        durable.rename(name, new_name, src_dir_fd=self.fd, dst_dir_fd=target.fd)

    def close(self) -> None:
        os.close(self.fd)

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def remove(folder: Folder, name: Name) -> None:
    """Remove a file or a whole folder; a missing one is fine. Raises: OSError for what stays."""
    for left in reversed(range(_TRIES)):
        try:
            _remove(folder, name, folder, 0)
        except OSError as error:
            # Somebody still writes into it or has swapped it: look again, a few times.
            if not left or error.errno not in (errno.ENOTEMPTY, errno.ENOTDIR, errno.ELOOP):
                raise
        else:
            return


def _remove(folder: Folder, name: Name, top: Folder, depth: int) -> None:
    try:
        durable.unlink(name, dir_fd=folder.fd)
        return
    except OSError as error:
        if error.errno not in _IS_NO_FILE or not folder.is_folder(name):
            raise
    if depth >= MOST_DEPTH:
        # Deeper than descriptors should go: it is brought up and removed from there.
        flat = f".frontgate-flat-{secrets.token_hex(8)}"
        folder.move(name, top, flat)
        _remove(top, flat, top, 0)
        return
    with folder.inner(name) as inner:
        for _ in range(_MOST_PAGES):
            page = list(itertools.islice(inner.names(), _PAGE))
            for below in page:
                _remove(inner, below, top, depth + 1)
            if len(page) < _PAGE:
                break
    durable.remove_dir(name, dir_fd=folder.fd)


def copy(source: Folder, name: Name, target: Folder, new_name: Name) -> None:
    """Copy a file or folder durably under a temporary name, then rename: whole or not at all.

    Links and special files are not followed; links are copied as an empty mark with their name, so
    that the checks see and refuse them. Raises: OSError; SpoolError FG-SPL-013 (too many entries).
    """
    temporary = ".frontgate-copy"
    remove(target, temporary)
    _copy(source, name, target, temporary, [0], 0)
    target.move(temporary, target, new_name)
    target.fsync()


def _copy(
    source: Folder, name: Name, target: Folder, new_name: Name, count: list[int], depth: int
) -> None:
    count[0] += 1
    if count[0] > MOST_ENTRIES or depth > MOST_DEPTH:
        raise SpoolError("FG-SPL-013", limit=MOST_ENTRIES)
    mode = source.lstat(name).st_mode
    if stat.S_ISDIR(mode):
        durable.make_dir(new_name, dir_fd=target.fd)
        with source.inner(name) as inner, target.inner(new_name) as made:
            for below in inner.names():
                _copy(inner, below, made, below, count, depth + 1)
            made.fsync()
    elif stat.S_ISREG(mode):
        with (
            os.fdopen(source.open(name), "rb") as reader,
            durable.open_new(new_name, dir_fd=target.fd) as writer,
        ):
            while chunk := reader.read(_CHUNK):
                writer.write(chunk)
            writer.flush()
            durable.fsync_file(writer)
    elif stat.S_ISLNK(mode):
        durable.symlink(".", new_name, dir_fd=target.fd)


def size(folder: Folder, name: Name, enough: int) -> int:
    """Bytes of a file or of all files of a folder, counted until they are more than `enough`."""
    info = folder.lstat(name)
    if not stat.S_ISDIR(info.st_mode):
        return info.st_size
    total = 0
    pending: list[tuple[Name, ...]] = [(name,)]
    for _ in range(MOST_ENTRIES):
        if not pending or total > enough:
            break
        way = pending.pop()
        with folder.inner(*way) as inner:
            for below in itertools.islice(inner.names(), MOST_ENTRIES):
                info = inner.lstat(below)
                if not stat.S_ISDIR(info.st_mode):
                    total += info.st_size
                elif len(way) < MOST_DEPTH:
                    pending.append((*way, below))
                if total > enough:
                    break
    return total
