"""`.frontgate/trash/`: what is done with. Most of it is removed at once.

What is immutable, or belongs to another account that may still write into it, cannot always be
removed. Here it is out of everybody's way and is never taken again; `status` counts it, and every
start tries anew.
"""

from __future__ import annotations

import contextlib
import errno
import secrets

from frontgate import durable
from frontgate.spool import beneath
from frontgate.spool.beneath import Folder, Name
from frontgate.spool.layout import SpoolPaths


def throw(paths: SpoolPaths, folder: Folder, name: Name) -> bool:
    """Take an entry out of `folder` by one rename and remove it. A missing one is fine.

    Returns: whether it is gone for good, not only out of the way. Raises: OSError where it cannot
    even be renamed, or the file system fails.
    """
    durable.make_dir(paths.trash)
    with Folder.at(paths.trash) as trash:
        new_name = secrets.token_hex(12)
        try:
            folder.move(name, trash, new_name)
        except FileNotFoundError:
            return True
        return _try(trash, new_name)


def put_away(paths: SpoolPaths, folder: Folder, name: Name) -> None:
    """Take an entry out of `folder` for good, by one rename; what cannot be removed then waits for a
    start. Raises: OSError where it cannot be renamed, and still stands as it was.
    """
    durable.make_dir(paths.trash)
    with Folder.at(paths.trash) as trash:
        new_name = secrets.token_hex(12)
        folder.move(name, trash, new_name)
        with contextlib.suppress(OSError):
            beneath.remove(trash, new_name)


def empty(paths: SpoolPaths) -> int:
    """Try again what could not be removed. Returns: how many entries stay."""
    durable.make_dir(paths.trash)
    with Folder.at(paths.trash) as trash:
        return sum(not _try(trash, name) for name in list(trash.names()))


def count(paths: SpoolPaths) -> int:
    """How many entries could not be removed."""
    try:
        with Folder.at(paths.trash) as trash:
            return sum(1 for _ in trash.names())
    except FileNotFoundError:
        return 0


def _try(trash: Folder, name: Name) -> bool:
    try:
        beneath.remove(trash, name)
    except OSError as error:
        if error.errno in (errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE):
            raise
        return False
    return True


def discard(paths: SpoolPaths, folder: Folder, name: Name) -> None:
    """Remove an entry where it stands; what cannot be removed goes to the trash."""
    try:
        beneath.remove(folder, name)
    except OSError as error:
        if error.errno in (errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE):
            raise
        durable.make_dir(paths.trash)
        throw(paths, folder, name)
