"""The only file that calls fsync, rename, link, unlink or opens a file for durable writing.

Offers: small verbs that each name one durable step, and `Sink`, a hashing writer. Whatever makes,
moves or removes a name in a node's folders goes through here.
Guarantees: after `publish` returns, the file is under its final name with its content and its
directory entry on stable storage. Order: write under a temporary name, fsync the file, rename,
fsync the directory; only then is anyone told.
Fails: OSError goes up untouched. An fsync error is final: the caller must drop the file and
start again from the source, because Linux reports a lost page only once.

`probe` is called with (`before` or `after`, the step's name, its paths or descriptor) around each
step, and by the journal around each commit. It is None in production. The crash tests kill the
process in it, or raise OSError before a step, which then was not made; they also follow the steps
to know what a power cut may take.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from types import TracebackType
from typing import Any, BinaryIO

from frontgate.undo import on_failure

PathLike = str | bytes | os.PathLike[str] | os.PathLike[bytes]

Probe = Callable[[str, str, tuple[PathLike | int, ...]], None]
probe: Probe | None = None


@contextmanager
def step(name: str, *places: PathLike | int) -> Iterator[None]:
    """Around one durable step: lets the probe look, fail or kill. places: paths or a descriptor."""
    if probe is not None:
        probe("before", name, places)
    yield
    if probe is not None:
        probe("after", name, places)


def _place(path: PathLike, dir_fd: int | None) -> PathLike:
    """The whole path of a step that goes by a folder's descriptor, for the probe's eyes."""
    if dir_fd is None or probe is None:
        return path
    return os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), os.fsdecode(path))


class _ProbedFile(io.FileIO):
    """A file whose every write(2) is a step of its own; only made while a probe is set."""

    def write(self, data: Any, /) -> int:
        with step("write", self.fileno()):
            return super().write(data)


def fsync_file(file: int | BinaryIO) -> None:
    """Force a file's content and metadata to stable storage."""
    fd = file if isinstance(file, int) else file.fileno()
    with step("fsync", fd):
        os.fsync(fd)


def fsync_dir(path: PathLike, *, dir_fd: int | None = None) -> None:
    """Force a directory's entries to stable storage."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        with step("fsync-dir", _place(path, dir_fd) if path != "." else _place("", dir_fd)):
            os.fsync(fd)
    finally:
        os.close(fd)


def rename(
    source: PathLike,
    target: PathLike,
    *,
    src_dir_fd: int | None = None,
    dst_dir_fd: int | None = None,
) -> None:
    """Rename within one file system, replacing `target`. Durable after `fsync_dir`."""
    with step("rename", _place(source, src_dir_fd), _place(target, dst_dir_fd)):
        os.rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)


def unlink(path: PathLike, *, missing_ok: bool = True, dir_fd: int | None = None) -> None:
    """Remove a file's name. Durable after `fsync_dir`."""
    with step("unlink", _place(path, dir_fd)):
        try:
            os.unlink(path, dir_fd=dir_fd)
        except FileNotFoundError:
            if not missing_ok:
                raise


def link(source: PathLike, target: PathLike, *, dir_fd: int | None = None) -> None:
    """Give a file a second name; fails if `target` exists. A symbolic link is not followed."""
    with step("link", _place(source, dir_fd), _place(target, dir_fd)):
        os.link(source, target, src_dir_fd=dir_fd, dst_dir_fd=dir_fd, follow_symlinks=False)


def remove_dir(path: PathLike, *, dir_fd: int | None = None) -> None:
    """Remove an empty folder's name. Durable after `fsync_dir`."""
    with step("rmdir", _place(path, dir_fd)):
        os.rmdir(path, dir_fd=dir_fd)


def symlink(text: PathLike, path: PathLike, *, dir_fd: int | None = None) -> None:
    """Make a symbolic link; fails if `path` exists."""
    with step("symlink", _place(path, dir_fd)):
        os.symlink(text, path, dir_fd=dir_fd)


def open_new(path: PathLike, mode: int = 0o600, *, dir_fd: int | None = None) -> BinaryIO:
    """Open a new file for reading and writing; it must not exist and is never followed.

    mode: the exact permission bits, whatever the umask.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with step("open", _place(path, dir_fd)):
        fd = os.open(path, flags, mode, dir_fd=dir_fd)
    with on_failure(partial(os.close, fd)):
        os.fchmod(fd, mode)
        if probe is not None:
            return io.BufferedRandom(_ProbedFile(fd, "r+b"), 1 << 16)
        return os.fdopen(fd, "w+b", buffering=1 << 16)


def open_part(path: PathLike, flags: int, mode: int) -> io.FileIO:
    """Open a regular file to read and to go on writing; it is never followed. Each write is one write(2).

    flags: O_CREAT, O_EXCL and O_TRUNC, as wanted. mode: of a file that is made, less the umask.
    Raises: PermissionError if it is not a regular file.
    """
    flags |= os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    with step("open", path) if flags & os.O_CREAT else nullcontext():
        fd = os.open(path, flags, mode)
    with on_failure(partial(os.close, fd)):
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise PermissionError(errno.EACCES, "not a regular file", os.fspath(path))
        return (_ProbedFile if probe is not None else io.FileIO)(fd, "r+b")


def make_dir(
    path: PathLike,
    mode: int = 0o700,
    *,
    exist_ok: bool = True,
    dir_fd: int | None = None,
    gid: int = -1,
) -> None:
    """Make one directory with exact permission bits (setgid included), whatever the umask.

    gid: its group, if it is made; -1 leaves it.
    """
    with step("mkdir", _place(path, dir_fd)):
        try:
            os.mkdir(path, mode & 0o777, dir_fd=dir_fd)
        except FileExistsError:
            if not exist_ok:
                raise
            return
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        if gid >= 0:
            os.fchown(fd, -1, gid)
        os.fchmod(fd, mode)
    finally:
        os.close(fd)


def publish(
    temporary: PathLike, final: PathLike, file: BinaryIO, *, dir_fd: int | None = None
) -> None:
    """Flush and fsync `file` (open under `temporary`), rename it to `final`, fsync the directory."""
    file.flush()
    fsync_file(file)
    rename(temporary, final, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    fsync_dir(os.path.dirname(os.fspath(final)) or ".", dir_fd=dir_fd)


def write_file(
    path: PathLike, data: bytes, mode: int = 0o600, *, dir_fd: int | None = None, gid: int = -1
) -> None:
    """Write a whole small file durably; whoever reads `path` sees the old or the new content.

    The temporary name is `.<name>.tmp` in the same directory; a left-over one is replaced.
    gid: its group, set before it appears; -1 leaves it.
    """
    folder, name = os.path.split(os.fsdecode(path))
    temporary = os.path.join(folder, f".{name}.tmp")
    unlink(temporary, dir_fd=dir_fd)
    with open_new(temporary, mode, dir_fd=dir_fd) as file:
        if gid >= 0:
            os.fchown(file.fileno(), -1, gid)
            os.fchmod(file.fileno(), mode)
        file.write(data)
        publish(temporary, os.fsdecode(path), file, dir_fd=dir_fd)


class Sink:
    """A writer that counts and hashes what passes through: one pass, constant memory.

    Use as a context manager around an open binary file; it does not close the file.
    """

    __slots__ = ("_file", "_hash", "size_bytes")

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self._hash.update(data)
        self.size_bytes += len(data)
        return len(data)

    @property
    def digest(self) -> str:
        """SHA-256 of all that was written, lower-case hex."""
        return self._hash.hexdigest()

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


def sync_file_system(path: PathLike) -> None:
    """Force everything that was written on the file system of `path` to stable storage.

    For projections that are flushed now and then instead of one by one. Uses syncfs(2), or
    sync(2) where the C library has none.
    """
    import ctypes

    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with step("sync", path):
            try:
                syncfs = ctypes.CDLL(None, use_errno=True).syncfs
            except AttributeError:
                os.sync()
                return
            if syncfs(fd) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), os.fspath(path))
    finally:
        os.close(fd)
