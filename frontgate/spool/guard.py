"""Is this the spool that we know? An empty mount point looks like a spool without drops.

Where a file system is not mounted, the folders below the mount point may be missing, or be others of the
same names. Working on them would mean drops unseen, deliveries that nobody finds, and entries that seem
taken. So a spool carries an id in `.frontgate/`, which the journal knows, and the names of those of its
folders that are mounts of their own. While either is not as it was, nothing is done with the spool.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable

from frontgate import durable
from frontgate.errors import SpoolError
from frontgate.spool.beneath import Folder
from frontgate.spool.layout import SHARED, SpoolPaths, prepare

_ID = "spool-id"
ADOPT = ".frontgate-adopt"
"""An empty file of this name in a spool: it was replaced on purpose."""


class SpoolGuard:
    """Lays a spool out once, and from then on tells whether it is there. For any thread.

    known: the id that the journal knows, or None. keep: writes an id into the journal.
    """

    def __init__(
        self,
        paths: SpoolPaths,
        *,
        group: str = "",
        known: str | None = None,
        keep: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._paths = paths
        # Looked at in each turn of each loop: as text, that a path is not made anew each time.
        self._root = str(paths.root)
        self._adopt_mark = str(paths.root / ADOPT)
        self._id_path = str(paths.private / _ID)
        self._read: tuple[tuple[int, ...], str, frozenset[str]] | None = None
        self._shared = tuple((name, str(paths.root / name)) for name in SHARED)
        self._group = group
        self._known = known
        self._keep = keep
        self._is_laid_out = False
        self._lock = threading.Lock()

    def bind(self, known: str | None, keep: Callable[[str], None]) -> None:
        """From now on the journal keeps the id."""
        with self._lock:
            self._known, self._keep, self._is_laid_out = known, keep, False

    def check(self) -> None:
        """Raises: SpoolError FG-SPL-031 while the spool is not there or another one; FG-SPL-001."""
        with self._lock:
            try:
                self._check()
            except OSError as error:
                self._is_laid_out = False
                path = self._root
                raise SpoolError("FG-SPL-031", path=path, what=str(error)) from error

    def _check(self) -> None:
        if self._known is not None and self._has_adopt_mark():
            self._adopt()
        if self._known is None:
            self._lay_out()
            self._keep_id(self._found()[0] or self._make_id())
        found, mounts = self._found()
        if found != self._known:
            self._is_laid_out = False
            what = "no id" if not found else "another id"
            raise SpoolError("FG-SPL-031", path=self._root, what=what)
        if not self._is_laid_out:
            self._lay_out()
            self._is_laid_out = True
        now = self._mounts()
        gone = sorted(mounts - now)
        if gone:
            what = f"{', '.join(gone)} not mounted"
            raise SpoolError("FG-SPL-031", path=self._root, what=what)
        if now != mounts:
            self._write(found, now)

    def _lay_out(self) -> None:
        prepare(self._paths, group=self._group)

    def _found(self) -> tuple[str, frozenset[str]]:
        """(id, folders that are mounts) as the spool says; empty where it says nothing."""
        try:
            seen = os.stat(self._id_path, follow_symlinks=False)
            file = (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
            if self._read is None or self._read[0] != file:
                with Folder.at(self._paths.private) as private:
                    first, *rest = private.read(_ID).decode("ascii", "replace").split()
                self._read = file, first, frozenset(rest)
        except (FileNotFoundError, ValueError):
            return "", frozenset()
        return self._read[1:]

    def _mounts(self) -> frozenset[str]:
        root = os.stat(self._root).st_dev
        return frozenset(name for name, path in self._shared if os.stat(path).st_dev != root)

    def _make_id(self) -> str:
        made = secrets.token_hex(16)
        self._write(made, self._mounts())
        return made

    def _write(self, spool_id: str, mounts: frozenset[str]) -> None:
        with Folder.at(self._paths.private) as private:
            text = " ".join([spool_id, *sorted(mounts)]) + "\n"
            durable.write_file(_ID, text.encode(), dir_fd=private.fd)

    def _keep_id(self, spool_id: str) -> None:
        self._keep(spool_id)
        self._known = spool_id

    def _has_adopt_mark(self) -> bool:
        return os.path.lexists(self._adopt_mark)

    def _adopt(self) -> None:
        """Somebody says that this is our spool now. The mark goes last."""
        self._lay_out()
        self._keep_id(self._make_id())
        durable.unlink(self._adopt_mark)
        durable.fsync_dir(self._root)
