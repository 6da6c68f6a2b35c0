"""Claiming: one rename into `.frontgate/claims/<id>/`, or a copy where a rename cannot.

The directory entry there keeps the original name, any bytes; no lock file is ever made. What cannot be
taken out of `outbound/` at all (immutable, or another account's that may not be read) is answered once
and stays: a mark in `.frontgate/left/` keeps that it was.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from frontgate import clock, durable
from frontgate.errors import SpoolError
from frontgate.model.finding import Finding, finding, finding_of
from frontgate.spool import beneath, trash
from frontgate.spool.beneath import Folder
from frontgate.spool.complete import kind_of
from frontgate.spool.layout import SpoolPaths
from frontgate.undo import on_failure
from frontgate.values import Struct

CLAIM_MARK = b".frontgate-claim-"
LEFT = "left"
"""Kind of a claim whose drop stays in `outbound/`."""
_ORIGIN = ".frontgate-origin"
_ID_CHARS = 32
OF_THE_SPOOL = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EIO,
    errno.EROFS,
    errno.ESTALE,
    errno.ENODEV,
    errno.ENOTCONN,
)
"""Errors that say something of the spool or the machine, nothing of the one drop."""


class Claim(Struct, frozen=True):
    """A drop that is ours. path: in `.frontgate/claims/<claim_id>/`. name: as dropped, any bytes."""

    claim_id: str
    path: Path
    name: bytes
    kind: str
    dropped_at_ns: int


class Refused(Struct, frozen=True):
    """A drop that is claimed only to be answered."""

    claim: Claim
    finding: Finding


def shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def spool_error(error: OSError) -> SpoolError:
    """An error of a spool's own file system."""
    reason = errno.errorcode.get(error.errno or 0, "?")
    return SpoolError("FG-SPL-030", reason=reason, detail=str(error))


class Claimer:
    """Takes entries of one `outbound/`. Used by one thread."""

    def __init__(self, paths: SpoolPaths) -> None:
        self._paths = paths
        self._newest = 0
        self._unmade: list[str] = []
        """Folders of claims that failed, and that the same fault kept from going."""
        self.reached_entry = False
        """Whether the last `take` got as far as the entry: before that no fault can be the entry's."""

    # -- after a crash ----------------------------------------------------------------------

    def recover(self) -> Iterator[Claim]:
        """Claims left from before: every one is yielded once; empty claim folders go.

        `outbound/` is not listed: a million may wait there, and each mark has its claim's folder.
        """
        durable.make_dir(self._paths.left)
        self._unmade.clear()  # all that stands there is looked at here, and may be claimed by now
        with Folder.at(self._paths.outbound) as outbound, Folder.at(self._paths.claims) as claims:
            self._forget_left(outbound)
            for raw in sorted(claims.names()):
                if len(raw) == _ID_CHARS:
                    self._finish_copy(outbound, claims, raw)
                with contextlib.suppress(ValueError):
                    self._newest = max(self._newest, int(raw[:16], 16))
                claim = self._claim_in(claims, os.fsdecode(raw))
                if claim is not None:
                    yield claim

    def _claim_in(self, claims: Folder, claim_id: str) -> Claim | None:
        if not claims.is_folder(claim_id):
            beneath.remove(claims, claim_id)
            return None
        path = self._paths.claims / claim_id
        with claims.inner(claim_id) as folder:
            names = list(folder.names())
            # No drop's name begins with a dot: what does is ours, half-written notes too.
            drops = [n for n in names if not n.startswith(b".")]
            if drops:
                info = folder.lstat(drops[0])
                kind = kind_of(drops[0], info.st_mode) or "other"
                name = os.fsdecode(drops[0])
                return Claim(claim_id, path / name, drops[0], kind, info.st_mtime_ns)
        if b".frontgate-reject" in names:
            # The drop stands in `rejected/` already; its report may not.
            return Claim(claim_id, path / ".frontgate-gone", b"", "moved", 0)
        if _ORIGIN.encode() not in names:  # else its entry still stands marked in outbound/
            trash.discard(self._paths, claims, claim_id)
        return None

    def _finish_copy(self, outbound: Folder, claims: Folder, claim_id: bytes) -> None:
        """A copy that a crash cut off is made again from the marked entry; one that has its name is whole."""
        mark = CLAIM_MARK + claim_id
        if not outbound.has(mark) or not claims.is_folder(claim_id):
            return
        with claims.inner(claim_id) as folder:
            if folder.has(_ORIGIN):
                name = folder.read(_ORIGIN)
                try:
                    if folder.has(name):
                        folder.fsync()
                    else:
                        beneath.copy(outbound, mark, folder, name)
                except (OSError, SpoolError):
                    return  # still not ours to read; looked at again at the next start
                durable.unlink(_ORIGIN, dir_fd=folder.fd)
            # Else the copy is whole (its origin note is gone): only the removal was cut off.
            _remove_if_may(self._paths, outbound, mark)

    # -- taking -----------------------------------------------------------------------------

    def take(
        self, outbound: Folder, name: bytes, info: os.stat_result, kind: str
    ) -> Claim | Refused | None:
        """Claim an entry. Returns: None where it is gone, or was answered before and had to stay;
        a refusal of kind `left` where it cannot be taken out. Raises: SpoolError FG-SPL-030 for a
        fault of the spool, which the entry is not to blame for.
        """
        claim_id = self._new_id()
        self.reached_entry = False
        try:
            with (
                Folder.at(self._paths.claims) as claims,
                on_failure(partial(self._undo, outbound, claims, claim_id)),
            ):
                return self._take(outbound, claims, claim_id, name, info, kind)
        except OSError as error:
            if error.errno in OF_THE_SPOOL or not _is_writable(outbound):
                raise spool_error(error) from error
            return self._leave(outbound, name, finding("FG-SPL-021", value=shown(name)))
        except SpoolError as error:
            return self._leave(outbound, name, finding_of(error))

    def _take(
        self,
        outbound: Folder,
        claims: Folder,
        claim_id: str,
        name: bytes,
        info: os.stat_result,
        kind: str,
    ) -> Claim | None:
        durable.make_dir(claim_id, dir_fd=claims.fd)
        with claims.inner(claim_id) as folder:
            self.reached_entry = True
            try:
                outbound.move(name, folder, name)
            except FileNotFoundError:
                durable.remove_dir(claim_id, dir_fd=claims.fd)
                return None
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EACCES, errno.EPERM):
                    raise
                self._by_copy(outbound, folder, claim_id, name)
        path = self._paths.claims / claim_id / os.fsdecode(name)
        return Claim(claim_id, path, name, kind, info.st_mtime_ns)

    def _by_copy(self, outbound: Folder, folder: Folder, claim_id: str, name: bytes) -> None:
        """Another account's folder, or another mount: rename in place, copy, fsync, remove."""
        durable.write_file(_ORIGIN, name, dir_fd=folder.fd)
        mark = CLAIM_MARK + claim_id.encode("ascii")
        outbound.move(name, outbound, mark)
        outbound.fsync()
        beneath.copy(outbound, mark, folder, name)
        durable.unlink(_ORIGIN, dir_fd=folder.fd)
        _remove_if_may(self._paths, outbound, mark)

    def _undo(self, outbound: Folder, claims: Folder, claim_id: str) -> None:
        self._unmade.append(claim_id)
        self._take_back(outbound, claims)

    def take_back(self, outbound: Folder) -> None:
        """Undo claims that were not made and that a fault has kept from being undone at once."""
        if self._unmade:
            with Folder.at(self._paths.claims) as claims:
                self._take_back(outbound, claims)

    def _take_back(self, outbound: Folder, claims: Folder) -> None:
        for claim_id in list(self._unmade):
            mark = CLAIM_MARK + claim_id.encode("ascii")
            with contextlib.suppress(OSError, SpoolError):
                if not outbound.has(mark) or self._give_back(outbound, claims, claim_id, mark):
                    beneath.remove(claims, claim_id)
                    self._unmade.remove(claim_id)

    def _give_back(self, outbound: Folder, claims: Folder, claim_id: str, mark: bytes) -> bool:
        """Rename a marked entry back. Returns: whether its own name was free."""
        with claims.inner(claim_id) as folder:
            name = folder.read(_ORIGIN)
        if outbound.has(name):
            return False
        outbound.move(mark, outbound, name)
        return True

    def _new_id(self) -> str:
        """Grows with every claim, whatever the wall clock does: recovery takes claims in this order."""
        at = int(clock.now().timestamp() * 1e9)
        self._newest = max(at, self._newest + 1)
        return f"{self._newest:016x}{secrets.token_hex(8)}"  # _ID_CHARS of them

    # -- what has to stay -------------------------------------------------------------------

    def _leave(self, outbound: Folder, name: bytes, why: Finding) -> Refused | None:
        """Answer an entry that cannot be taken out, once for each state of it."""
        try:
            info = outbound.lstat(name)  # trying may have changed its times
        except FileNotFoundError:
            return None
        if self.is_left(name, info):
            return None
        claim_id = left_id(name, info)
        path = self._paths.claims / claim_id / ".frontgate-gone"
        return Refused(Claim(claim_id, path, name, LEFT, info.st_mtime_ns), why)

    def is_left(self, name: bytes, info: os.stat_result) -> bool:
        """Whether this very entry was answered and had to stay."""
        return os.path.lexists(self._paths.left / left_id(name, info))

    def _forget_left(self, outbound: Folder) -> None:
        """Marks of entries that are gone or changed go."""
        with Folder.at(self._paths.left) as left:
            for mark in list(left.names()):
                name = left.read(mark)
                try:
                    same = left_id(name, outbound.lstat(name)).encode() == mark
                except OSError:
                    same = False
                if not same:
                    durable.unlink(mark, dir_fd=left.fd)


def left_id(name: bytes, info: os.stat_result) -> str:
    """An id for one state of one entry: the same after every restart, another once it changes."""
    state = f"{info.st_ino}:{info.st_size}:{info.st_mtime_ns}:{info.st_ctime_ns}:".encode()
    return hashlib.sha256(b"left:" + state + name).hexdigest()[:32]


def keep_left(paths: SpoolPaths, claim: Claim) -> None:
    """The entry was answered: from now on it is only shown in `status`."""
    durable.make_dir(paths.left)
    with Folder.at(paths.left) as left:
        durable.write_file(claim.claim_id, claim.name, dir_fd=left.fd)


def _is_writable(folder: Folder) -> bool:
    """Whether names in it may be changed by us at all."""
    return os.access(".", os.W_OK | os.X_OK, dir_fd=folder.fd, effective_ids=True)


def _remove_if_may(paths: SpoolPaths, outbound: Folder, mark: bytes) -> None:
    """Remove what was copied; what may not be removed stays under its mark, never looked at."""
    with contextlib.suppress(OSError):
        trash.discard(paths, outbound, mark)
