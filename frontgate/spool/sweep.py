"""Sweeping `outbound/`: which entries are whole and quiet, and claiming them by a rename.

The sweep is the truth; hints only make it quick. Nothing is remembered of entries that are ready:
with a million of them memory stays constant. A claim is one rename into `.frontgate/claims/<id>/`,
where the directory entry keeps the original name, any bytes; no lock file is ever made.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frontgate import clock, durable
from frontgate.errors import SpoolError
from frontgate.model.finding import Finding, finding
from frontgate.spool.claims import copy_tree
from frontgate.spool.complete import kind_of, missing
from frontgate.spool.layout import SpoolPaths

_IGNORED_STARTS = (b".", b"~$")
_IGNORED_ENDS = (b".tmp", b".part", b".filepart", b".partial", b".crdownload")
_IGNORED_NAMES = frozenset({b"thumbs.db", b"desktop.ini", b"__macosx"})
CLAIM_MARK = b".frontgate-claim-"
WINDOW = 65_536
"""Entries found by a scan are ordered by mtime and name within windows of this many."""
MOST_UNSETTLED = 20_000
OLD_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Claim:
    """A drop that is ours. path: in `.frontgate/claims/<claim_id>/`. name: as dropped, any bytes."""

    claim_id: str
    path: Path
    name: bytes
    kind: str
    dropped_at_ns: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A drop that is claimed only to be answered."""

    claim: Claim
    finding: Finding


@dataclass(slots=True)
class _Seen:
    state: tuple[Any, ...]
    since: float


def is_ignored(name: bytes) -> bool:
    """Names of unfinished or foreign entries."""
    low = name.lower()
    return low.startswith(_IGNORED_STARTS) or low.endswith(_IGNORED_ENDS) or low in _IGNORED_NAMES


class Sweeper:
    """Looks at one `outbound/`. Used by one thread."""

    def __init__(
        self,
        paths: SpoolPaths,
        *,
        settle_s: float = 2.0,
        incomplete_after_s: float = 60.0,
    ) -> None:
        self._paths = paths
        self._outbound = os.fsencode(paths.outbound)
        self._settle_s = settle_s
        self._incomplete_after_s = incomplete_after_s
        self._unsettled: OrderedDict[bytes, _Seen] = OrderedDict()
        self._stuck: dict[tuple[int, int], str] = {}
        self._scan: Iterator[os.DirEntry[bytes]] | None = None
        self._window: deque[bytes] = deque()
        self._newest_claim = 0

    # -- after a crash ----------------------------------------------------------------------

    def recover(self) -> Iterator[Claim]:
        """Claims left from before: every one is yielded once; empty claim folders go."""
        self._finish_copies()
        for folder in sorted(os.scandir(self._paths.claims), key=lambda e: e.name):
            with contextlib.suppress(ValueError):
                self._newest_claim = max(self._newest_claim, int(folder.name[:16], 16))
            claim = self._claim_in(Path(folder.path), folder.name)
            if claim is not None:
                yield claim

    def _claim_in(self, folder: Path, claim_id: str) -> Claim | None:
        names = [e.name for e in os.scandir(os.fsencode(folder))]
        drops = [n for n in names if not n.startswith(b".frontgate-")]
        if not drops:
            if b".frontgate-reject" in names:
                # The drop stands in `rejected/` already; its report may not.
                return Claim(claim_id, folder / ".frontgate-gone", b"", "moved", 0)
            if b".frontgate-origin" not in names:  # else its entry still stands marked in outbound/
                _remove_tree(folder)
            return None
        path = folder / os.fsdecode(drops[0])
        info = os.lstat(path)
        kind = kind_of(drops[0], info.st_mode) or "other"
        return Claim(claim_id, path, drops[0], kind, info.st_mtime_ns)

    # -- sweeping ---------------------------------------------------------------------------

    def start_scan(self) -> None:
        """Look at everything again, from the beginning."""
        self._scan = os.scandir(self._outbound)
        self._window.clear()

    @property
    def is_scanning(self) -> bool:
        return self._scan is not None or bool(self._window)

    def sweep(self, hints: list[tuple[bytes, bool]], limit: int = 64) -> list[Claim | Refused]:
        """Claim what is ready: hinted entries first, then those a running scan finds.

        hints: (name, is ready). Returns: at most `limit` and the hinted ones. Raises: SpoolError
        FG-SPL-030 where the disk refuses before anything was claimed; what was claimed until then is
        returned, and the rest is met again.
        """
        found: list[Claim | Refused] = []
        left = deque(hints)
        try:
            self._sweep(left, limit, found)
        except SpoolError:
            # The one that failed comes last: where it alone is at fault it holds up no other.
            left.rotate(-1)
            self._window.extend(name for name, _ in left)
            if not found:
                raise
        return found

    def _sweep(
        self, hints: deque[tuple[bytes, bool]], limit: int, found: list[Claim | Refused]
    ) -> None:
        while hints:
            self._consider(hints[0][0], found, is_ready=hints[0][1])
            hints.popleft()
        for name in list(self._unsettled):
            if len(found) >= limit:
                break
            self._consider(name, found, is_ready=False)
        while len(found) < limit and self.is_scanning:
            if not self._window:
                self._fill_window()
                continue
            name = self._window.popleft()
            try:
                self._consider(name, found, is_ready=False)
            except SpoolError:
                self._window.append(name)
                raise

    def _fill_window(self) -> None:
        assert self._scan is not None
        rows: list[tuple[int, bytes]] = []
        for entry in self._scan:
            if is_ignored(entry.name):
                continue
            try:
                rows.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.name))
            except FileNotFoundError:
                continue
            if len(rows) >= WINDOW:
                break
        else:
            self._scan = None
        self._window.extend(name for _, name in sorted(rows))

    def next_look(self) -> float | None:
        """Seconds until an unsettled entry may have settled; None if there is none."""
        return max(0.05, self._settle_s / 4) if self._unsettled else None

    def waiting(self) -> list[dict[str, object]]:
        """For `status`: entries that are not whole yet, stuck ones, and old ignored ones."""
        rows: list[dict[str, object]] = [
            {"name": name.decode("utf-8", "backslashreplace"), "why": "incomplete"}
            for name in list(self._unsettled)[:100]
        ]
        rows += [{"name": name, "why": "stuck"} for name in list(self._stuck.values())[:100]]
        now = clock.now().timestamp()
        with os.scandir(self._outbound) as entries:
            for entry in entries:
                if len(rows) >= 300:
                    break
                if is_ignored(entry.name) and not entry.name.startswith(CLAIM_MARK):
                    age = now - entry.stat(follow_symlinks=False).st_mtime
                    if age > OLD_S:
                        shown = entry.name.decode("utf-8", "backslashreplace")
                        rows.append({"name": shown, "why": "unfinished", "age_s": int(age)})
        return rows

    def _consider(self, name: bytes, found: list[Claim | Refused], *, is_ready: bool) -> None:
        if is_ignored(name):
            return
        path = Path(os.fsdecode(os.path.join(self._outbound, name)))
        try:
            info = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            self._unsettled.pop(name, None)
            return
        if (info.st_dev, info.st_ino) in self._stuck:
            return
        kind = kind_of(name, info.st_mode)
        try:
            state = self._state(path, info, kind)
            lacking = missing(path, kind) if kind and self._may_look(info, kind) else ""
        except OSError as error:
            state, lacking = (info.st_ino, info.st_ctime_ns), ""
            kind = None if error.errno in (errno.ELOOP, errno.EACCES, errno.EPERM) else kind
        quiet_s = self._quiet(name, state, info)
        ready = (is_ready and kind in ("xml", "zip")) or quiet_s >= self._settle_s
        if is_ready and kind == "folder" and not lacking:
            ready = True
        if not ready:
            return
        if lacking:
            if quiet_s < self._incomplete_after_s:
                return
            self._take(
                name,
                path,
                info,
                kind or "other",
                found,
                finding("FG-SPL-011", value=_shown(name), what=lacking),
            )
            return
        problem = None
        if kind is None:
            problem = finding(_wrong_type(info.st_mode), value=_shown(name))
        self._take(name, path, info, kind or "other", found, problem)

    @staticmethod
    def _may_look(info: os.stat_result, kind: str) -> bool:
        return kind == "folder" or info.st_nlink == 1

    def _state(self, path: Path, info: os.stat_result, kind: str | None) -> tuple[Any, ...]:
        own = (info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        if kind != "folder":
            return own
        inner: list[Any] = []
        for folder, folders, files in os.walk(os.fsencode(path)):
            for entry in sorted(folders + files):
                i = os.lstat(os.path.join(folder, entry))
                inner.append((entry, i.st_ino, i.st_size, i.st_mtime_ns, i.st_ctime_ns))
                if len(inner) > 5000:
                    return own, tuple(inner)
        return own, tuple(inner)

    def _quiet(self, name: bytes, state: tuple[Any, ...], info: os.stat_result) -> float:
        """Seconds for which the entry has not changed: as seen by us, or by its own times."""
        now = clock.monotonic()
        seen = self._unsettled.get(name)
        if seen is None or seen.state != state:
            if len(self._unsettled) >= MOST_UNSETTLED:
                self._unsettled.popitem(last=False)
            self._unsettled[name] = _Seen(state, now)
            watched = 0.0
        else:
            watched = now - seen.since
        newest = max(_newest(state), info.st_ctime)
        # Times of the file count only where they are past and plausible; clocks jump.
        aged = clock.now().timestamp() - newest
        return max(watched, aged if 0 < aged < 10 * 365 * 86400 else 0.0)

    # -- claiming ---------------------------------------------------------------------------

    def _take(
        self,
        name: bytes,
        path: Path,
        info: os.stat_result,
        kind: str,
        found: list[Claim | Refused],
        problem: Finding | None,
    ) -> None:
        self._unsettled.pop(name, None)
        claim_id = self._new_claim_id()
        folder = self._paths.claims / claim_id
        target = folder / os.fsdecode(name)
        try:
            durable.make_dir(folder)
            try:
                durable.rename(path, target)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EACCES, errno.EPERM):
                    raise
                self._claim_by_copy(name, path, folder, claim_id)
        except FileNotFoundError:
            durable.remove_dir(folder)
            return
        except OSError as error:
            self._give_up(name, info, folder, error)
            return
        claim = Claim(claim_id, target, name, kind, info.st_mtime_ns)
        found.append(claim if problem is None else Refused(claim, problem))

    def _new_claim_id(self) -> str:
        """Grows with every claim, whatever the wall clock does: recovery takes claims in this order."""
        at = int(clock.now().timestamp() * 1e9)
        self._newest_claim = max(at, self._newest_claim + 1)
        return f"{self._newest_claim:016x}{secrets.token_hex(8)}"

    def _claim_by_copy(self, name: bytes, path: Path, folder: Path, claim_id: str) -> None:
        """Another account's folder, or another mount: rename in place, copy, fsync, remove."""
        durable.write_file(folder / ".frontgate-origin", name)
        mark = self._paths.outbound / (CLAIM_MARK.decode() + claim_id)
        durable.rename(path, mark)
        durable.fsync_dir(self._paths.outbound)
        try:
            copy_tree(mark, folder / os.fsdecode(name))
        except OSError:
            # Not ours to read: it keeps its own name, and shows in `status`.
            if not os.path.lexists(path):
                durable.rename(mark, path)
            raise
        durable.unlink(folder / ".frontgate-origin")
        _remove_tree(mark)

    def _finish_copies(self) -> None:
        """Copies that a crash cut off are made again from the marked entry."""
        for entry in list(os.scandir(self._outbound)):
            if not entry.name.startswith(CLAIM_MARK):
                continue
            claim_id = entry.name[len(CLAIM_MARK) :].decode("ascii", "replace")
            folder = self._paths.claims / claim_id
            origin = folder / ".frontgate-origin"
            mark = Path(os.fsdecode(entry.path))
            if origin.is_file():
                name = origin.read_bytes()
                try:
                    copy_tree(mark, folder / os.fsdecode(name))
                except OSError:
                    continue  # still not ours to read; looked at again at the next start
                durable.unlink(origin)
                _remove_tree(mark)
            elif folder.is_dir():
                # The copy is whole (its origin note is gone): only the removal was cut off.
                _remove_tree(mark)

    def _give_up(self, name: bytes, info: os.stat_result, folder: Path, error: OSError) -> None:
        """It cannot be claimed at all: remembered by its identity, shown in `status`, not retried."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.EIO, errno.EROFS):
            _try(durable.remove_dir, os.fsencode(folder))  # not if something of it is in there
            raise SpoolError("FG-SPL-030", reason=errno.errorcode[error.errno], detail=str(error))
        _remove_tree(folder)
        if len(self._stuck) < 10_000:
            self._stuck[info.st_dev, info.st_ino] = _shown(name)


def _newest(state: tuple[Any, ...]) -> float:
    """The newest time in a state, in seconds."""
    own = state[0] if isinstance(state[0], tuple) else state
    newest = max(own[-2:]) if len(own) >= 3 else own[-1]
    if isinstance(state[0], tuple):
        newest = max([newest, *(max(row[3], row[4]) for row in state[1])])
    return float(newest) / 1e9


def _wrong_type(mode: int) -> str:
    return "FG-SPL-010" if stat.S_ISREG(mode) else "FG-SPL-012"


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _remove_tree(path: Path) -> None:
    """Remove what can be removed; the rest is left under its mark, which is never looked at."""
    if not path.is_symlink() and path.is_dir():
        for folder, folders, files in os.walk(os.fsencode(path), topdown=False):
            for name in files:
                _try(durable.unlink, os.path.join(folder, name))
            for name in folders:
                inner = os.path.join(folder, name)
                _try(durable.unlink if os.path.islink(inner) else durable.remove_dir, inner)
        _try(durable.remove_dir, os.fsencode(path))
    else:
        _try(durable.unlink, os.fsencode(path))


def _try(act: Callable[[bytes], None], path: bytes) -> None:
    try:
        act(path)
    except OSError:
        return
