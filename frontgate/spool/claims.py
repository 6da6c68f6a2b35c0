"""What happens to a claimed drop's bytes: copying where a rename cannot, and removing at the end."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from frontgate import durable
from frontgate.errors import SpoolError

_CHUNK = 1 << 20
MOST_ENTRIES = 10_000


def copy_tree(source: Path, target: Path) -> None:
    """Copy a file or folder durably under a temporary name, then rename: whole or not at all.

    Links and special files are not followed; they are copied as an empty mark with their name, so
    that the checks see and refuse them. Raises: OSError; SpoolError FG-SPL-013 (too many entries).
    """
    temporary = target.with_name(".frontgate-copy")
    remove(temporary)
    _copy(source, temporary, [0])
    durable.rename(temporary, target)
    durable.fsync_dir(target.parent)


def _copy(source: Path, target: Path, count: list[int]) -> None:
    count[0] += 1
    if count[0] > MOST_ENTRIES:
        raise SpoolError("FG-SPL-013", limit=MOST_ENTRIES)
    info = os.lstat(source)
    if stat.S_ISDIR(info.st_mode):
        durable.make_dir(target)
        with os.scandir(os.fsencode(source)) as entries:
            for entry in entries:
                _copy(source / os.fsdecode(entry.name), target / os.fsdecode(entry.name), count)
        durable.fsync_dir(target)
    elif stat.S_ISREG(info.st_mode):
        fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as reader, durable.open_new(target) as writer:
            while chunk := reader.read(_CHUNK):
                writer.write(chunk)
            writer.flush()
            durable.fsync_file(writer)
    elif stat.S_ISLNK(info.st_mode):
        durable.symlink(".", target)


def remove(path: Path) -> None:
    """Remove a file or a whole folder of ours; a missing one is fine."""
    if not path.is_symlink() and path.is_dir():
        for folder, folders, files in os.walk(os.fsencode(path), topdown=False):
            for name in files:
                durable.unlink(os.path.join(folder, name))
            for name in folders:
                inner = os.path.join(folder, name)
                if os.path.islink(inner):
                    durable.unlink(inner)
                else:
                    durable.remove_dir(inner)
        durable.remove_dir(path)
    else:
        durable.unlink(path)
