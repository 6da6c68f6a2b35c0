"""What a power cut may take from a node's disk: names and bytes that were never made durable.

The model. A name (made, moved, removed) is durable once its folder was fsynced, or the file system was
synced. A file's bytes are durable once that file was fsynced. A rename is one act: both of its ends
or none, as every journaling file system has it. All else may be lost, and unless the file system
writes its names in order, any part of it. Bytes that were lost show as nothing, as zeros, or as half.

SQLite's files are taken as they lie: under `synchronous=FULL` a commit returns only after its frames
of the WAL are on the disk, and the cut never happens inside of SQLite's own calls. Its shared memory is
lost, and garbage may follow the last frame of the WAL. What case software wrote is taken as durable:
it is not ours to sync.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NONE, ORDERED, REORDERED, ALL = "none", "ordered", "reordered", "all"
MODELS = (NONE, ORDERED, REORDERED, ALL)


@dataclass(slots=True)
class Act:
    """One change of names. folders: that it touches. buried: where what it removed is kept."""

    kind: str
    paths: tuple[str, ...]
    inode: int = 0
    buried: str = ""
    is_durable: bool = False
    before_sync: int = 0

    @property
    def folders(self) -> set[str]:
        return {os.path.dirname(path) for path in self.paths}


@dataclass(slots=True)
class Disk:
    """The acts below `root` since the process began, and which bytes are safe."""

    root: Path
    acts: list[Act] = field(default_factory=list)
    unsafe: dict[int, int] = field(default_factory=dict)
    syncs: int = 0
    _pending: list[Act] = field(default_factory=list)

    @property
    def grave(self) -> Path:
        return self.root.parent / f".grave-{self.root.name}"

    def follow(self, moment: str, name: str, places: tuple[Any, ...]) -> None:
        """Called before and after each step of the process."""
        if name in ("commit", "write"):
            return
        if moment == "before":
            self._before(name, places)
        else:
            self._after(name, places)

    def _mine(self, path: object) -> bool:
        return os.fsdecode(path).startswith(f"{self.root}/")  # type: ignore[arg-type]

    def _before(self, name: str, places: tuple[Any, ...]) -> None:
        """Keep what the step is about to remove."""
        self._pending = []
        if name not in ("rename", "unlink", "rmdir") or not self._mine(places[0]):
            return
        paths = tuple(os.fsdecode(os.path.abspath(p)) for p in places)
        act = Act(name, paths)
        with contextlib.suppress(FileNotFoundError):
            info = os.lstat(paths[-1])
            if name in ("unlink", "rename"):
                self.grave.mkdir(exist_ok=True)
                act.buried = str(self.grave / str(len(self.acts)))
                with contextlib.suppress(OSError):
                    os.unlink(act.buried)
                os.link(paths[-1], act.buried, follow_symlinks=False)
            act.inode = info.st_ino
        if name == "rename":
            with contextlib.suppress(FileNotFoundError):
                act.inode = os.lstat(paths[0]).st_ino
        self._pending = [act]

    def _after(self, name: str, places: tuple[Any, ...]) -> None:
        if name == "fsync":
            info = os.fstat(places[0])
            if info.st_ino in self.unsafe:
                self.unsafe[info.st_ino] = info.st_size
            self.syncs += 1
        elif name in ("fsync-dir", "sync"):
            self._synced(name, os.fsdecode(os.path.abspath(places[0])))
        elif name in ("open", "mkdir", "symlink", "link") and self._mine(places[-1]):
            paths = (os.fsdecode(os.path.abspath(places[-1])),)
            inode = os.lstat(paths[0]).st_ino
            self.acts.append(Act(name, paths, inode, before_sync=self.syncs))
            if name == "open":
                self.unsafe[inode] = 0
        elif self._pending:
            (act,) = self._pending
            if act.kind != "unlink" or act.inode:  # a missing one changed nothing
                act.before_sync = self.syncs
                self.acts.append(act)
            self._pending = []

    def _synced(self, name: str, folder: str) -> None:
        self.syncs += 1
        if not self._mine(folder + "/") and name == "fsync-dir":
            return
        for act in self.acts:
            if name == "sync" or folder in act.folders:
                act.is_durable = True
        if name == "sync":
            for base, _, names in os.walk(self.root):
                for entry in names:
                    info = os.lstat(os.path.join(base, entry))
                    if info.st_ino in self.unsafe:
                        self.unsafe[info.st_ino] = info.st_size

    # -- afterwards, in another process ----------------------------------------------------

    def cut(self, model: str, luck: random.Random) -> list[str]:
        """Turn the folders into what a power cut would have left. Returns: what was lost, in words."""
        lost: list[str] = []
        if model != ALL:
            doomed = self._doomed(model, luck)
            for act in reversed(self.acts):
                if id(act) in doomed and self._undo(act):
                    lost.append(
                        f"{act.kind} {' → '.join(p.removeprefix(f'{self.root}/') for p in act.paths)}"
                    )
            lost += self._lose_bytes(model, luck)
        self._lose_shared_memory(luck)
        shutil.rmtree(self.grave, ignore_errors=True)
        return lost

    def _doomed(self, model: str, luck: random.Random) -> set[int]:
        if model == ORDERED:  # names reach the disk in order: everything before a sync is there
            waiting = [a for a in self.acts if a.before_sync >= self.syncs]
            return {id(a) for a in waiting[luck.randint(0, len(waiting)) :]}
        waiting = [a for a in self.acts if not a.is_durable]
        if model == NONE:
            return {id(a) for a in waiting}
        return {id(a) for a in waiting if luck.random() < 0.5}

    @staticmethod
    def _undo(act: Act) -> bool:
        """Undo one act if nothing that stands was built upon it. Returns: whether it could be."""
        path = act.paths[-1]
        try:
            if act.kind in ("open", "symlink", "link"):
                if os.lstat(path).st_ino != act.inode:
                    return False
                os.unlink(path)
            elif act.kind == "mkdir":
                if os.lstat(path).st_ino != act.inode:
                    return False
                os.rmdir(path)
            elif act.kind == "rmdir":
                os.mkdir(path, 0o700)
            elif act.kind == "unlink":
                if os.path.lexists(path):
                    return False
                os.rename(act.buried, path)
            else:
                source = act.paths[0]
                if os.lstat(path).st_ino != act.inode or os.path.lexists(source):
                    return False
                os.rename(path, source)
                if act.buried and os.path.lexists(act.buried):
                    os.rename(act.buried, path)
        except OSError:
            return False
        return True

    def _lose_bytes(self, model: str, luck: random.Random) -> list[str]:
        lost: list[str] = []
        for base, _, names in os.walk(self.root):
            for name in sorted(names):
                path = os.path.join(base, name)
                info = os.lstat(path)
                safe = self.unsafe.get(info.st_ino)
                if safe is None or info.st_size <= safe:
                    continue
                how = 0 if model == NONE else luck.randrange(4)
                if how == 3:
                    continue
                size = (info.st_size + safe) // 2 if how == 2 else safe
                os.truncate(path, size)
                if how == 1:
                    os.truncate(path, info.st_size)
                lost.append(
                    f"bytes of {path.removeprefix(f'{self.root}/')} ({('gone', 'zeros', 'half')[how]})"
                )
        return lost

    def _lose_shared_memory(self, luck: random.Random) -> None:
        state = self.root / "state"
        (state / "journal.db-shm").unlink(missing_ok=True)
        wal = state / "journal.db-wal"
        if wal.exists() and luck.random() < 0.5:
            with wal.open("ab") as file:
                file.write(luck.randbytes(luck.randrange(1, 9000)))
