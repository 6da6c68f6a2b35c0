"""The mailboxes of the hub: per account a `to-hub/` and a `from-hub/` folder below one root."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import stat
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from frontgate import durable
from frontgate.model.unit import Directory
from frontgate.pipeline.dispatch import MOST_BYTES
from frontgate.undo import on_failure
from frontgate.values import Struct

ACCOUNT = "account:"
"""Destinations of the hub are `account:<SFTP account>`."""
BUNDLE_NAME = re.compile(r"\d{16}-[0-9a-f]{64}\.bundle")
PART = ".part"
LARGE_UPLOAD_BYTES = MOST_BYTES + (4 << 20)
"""A bundle above this is one large package: small ones, with their receipts, stay below."""
AHEAD = 64
MOST_PLACED, MOST_PLACED_LARGE = 32, 4
_CHUNK = 1 << 20
_MOST_RINGS = 4096
"""Bytes of the bell file after which it begins anew."""


class Ahead:
    """The oldest uploads of one mailbox, listed once for as many as are taken one by one: a unit with
    a hundred thousand uploads costs no more for each than one with ten.

    An empty folder is not listed again until it changes.
    """

    def __init__(self, folder: Path, *, is_large: bool | None = None) -> None:
        """is_large: only uploads above (below) `LARGE_UPLOAD_BYTES`; None for all."""
        self._folder = folder
        self._is_large = is_large
        self._names: deque[str] = deque()
        self._empty_at_ns = -1
        self.was_empty = False
        """Whether the last look found nothing, and passed nothing over."""

    def next(self, avoiding: Collection[str]) -> str | None:
        """The oldest complete upload by sequence; None if there is none. Folders and links are none."""
        found = self._next(avoiding)
        self.was_empty = found is None and not avoiding
        return found

    def _next(self, avoiding: Collection[str]) -> str | None:
        for _ in range(2):
            while self._names:
                name = self._names[0]
                if name in avoiding or not self._is_ours(name):
                    self._names.popleft()
                    continue
                return name
            if not self._list(avoiding):
                return None
        return None

    def _list(self, avoiding: Collection[str]) -> bool:
        try:
            changed_ns = os.stat(self._folder).st_mtime_ns
            if changed_ns == self._empty_at_ns:
                return False
            looked_ns = time.time_ns()
            with os.scandir(self._folder) as entries:
                names = [
                    entry.name
                    for entry in entries
                    if BUNDLE_NAME.fullmatch(entry.name) and entry.name not in avoiding
                ]
        except FileNotFoundError:
            return False
        # Of a folder with many, a window of the lowest; sizes and kinds are looked up when used.
        for name in sorted(names):
            if len(self._names) == AHEAD:
                break
            if self._is_ours(name):
                self._names.append(name)
        # The file system's clock is coarse: only a change that is well past cannot hide another.
        if not self._names and not avoiding and looked_ns - changed_ns > 100_000_000:
            self._empty_at_ns = changed_ns
        return bool(self._names)

    def _is_ours(self, name: str) -> bool:
        try:
            info = os.lstat(self._folder / name)
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(info.st_mode):
            return False
        return self._is_large is None or (info.st_size > LARGE_UPLOAD_BYTES) == self._is_large


class Part(Struct, frozen=True):
    """What lies there of an upload that is not whole. written_s: when something was added last, POSIX.
    bundle_id: empty where the account gave a name that is no bundle's, which need not even be text.
    """

    path: Path
    bundle_id: str
    written_s: float


def _bundle_of(name: str) -> str:
    return name.removesuffix(".bundle") if BUNDLE_NAME.fullmatch(name) else ""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One account's folders. unit: code of the front end that the account belongs to."""

    account: str
    unit: str
    root: Path
    ahead: Ahead | None = field(default=None, compare=False)
    to_hub: Path = field(init=False, compare=False)
    from_hub: Path = field(init=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("to_hub", "from_hub"):
            path = self.root / self.account / name.replace("_", "-")
            object.__setattr__(self, name, path)

    def part_of(self, name: str) -> Path:
        """Where an upload is while it is not whole."""
        return self.to_hub / f".{name}{PART}"

    def parts(self) -> list[Part]:
        """Uploads that are not whole, or not yet."""
        try:
            with os.scandir(self.to_hub) as entries:
                return [
                    Part(
                        Path(entry.path),
                        _bundle_of(entry.name[1:].removesuffix(PART)),
                        entry.stat(follow_symlinks=False).st_mtime,
                    )
                    for entry in entries
                    if entry.name.startswith(".")
                    and entry.name.endswith(".bundle" + PART)
                    and entry.is_file(follow_symlinks=False)
                ]
        except FileNotFoundError:
            return []

    def next_upload(self, avoiding: Collection[str] = ()) -> str | None:
        """The oldest complete upload by sequence; None if there is none. Folders and links are none."""
        return (self.ahead or Ahead(self.to_hub)).next(avoiding)


class Boxes(Protocol):
    """Mailboxes to take uploads from, one after another."""

    def all(self) -> Iterator[Mailbox]: ...


class Readable(Protocol):
    """What a bundle is read from."""

    def read(self, size: int = -1, /) -> bytes: ...


def ring_file(from_hub: Path) -> None:
    """Change `.bell`, which gateways at plain OpenSSH look at. Its size changes, because SFTP tells times
    in whole seconds: rings within one would look the same. Raises: OSError.

    The account may put anything in its place: only a plain file that nothing else names is written to.
    """
    bell = from_hub / ".bell"
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    for _ in range(2):
        try:
            fd = os.open(bell, flags | os.O_CREAT, 0o640)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
                raise
            _clear(bell)
            continue
        try:
            info = os.fstat(fd)
            if stat.S_ISREG(info.st_mode) and info.st_nlink == 1:
                if info.st_size >= _MOST_RINGS:
                    os.ftruncate(fd, 0)
                os.write(fd, b"\x07")
                return
        finally:
            os.close(fd)
        _clear(bell)


def _clear(bell: Path) -> None:
    try:
        bell.unlink()
    except IsADirectoryError:
        bell.rmdir()


class Mailboxes:
    """All mailboxes that the directory names, and placing bundles into them."""

    def __init__(
        self, root: Path, staging: Path, directory: Callable[[], Directory], bell: Path | None
    ) -> None:
        self.root = root
        self._staging = staging
        self._directory = directory
        self._known: tuple[Directory | None, dict[str, Mailbox]] = (None, {})
        self._bell_path = bell
        self._bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        durable.make_dir(staging)
        for entry in os.scandir(staging):
            durable.unlink(entry.path)

    @property
    def directory(self) -> Directory:
        return self._directory()

    def all(self) -> Iterator[Mailbox]:
        """One mailbox per front end, in the order of account names."""
        ends = {unit.front_end or unit.code for unit in self._directory().units.values()}
        for code in sorted(ends):
            yield Mailbox("u" + code.lower(), code, self.root)

    def admitted(self) -> Iterator[Mailbox]:
        """Mailboxes of gateways that were admitted: one of their units has a certificate."""
        units = self._directory().units.values()
        ends = {u.front_end or u.code for u in units if u.certificates and "hub" not in u.roles}
        for mailbox in self.all():
            if mailbox.unit in ends:
                yield mailbox

    def of_account(self, account: str) -> Mailbox:
        """Its mailbox, whether the directory names it or not; looked up once for each directory."""
        directory, boxes = self._known
        if directory is not self._directory():
            directory, boxes = self._directory(), {}
            for unit in directory.units.values():
                code = unit.front_end or unit.code
                boxes.setdefault(unit.account, Mailbox(unit.account, code, self.root))
            self._known = directory, boxes
        return boxes.get(account) or Mailbox(account, account[1:].upper(), self.root)

    def room(self, mailbox: Mailbox, *, is_large: bool) -> int:
        """How many more bundles of a size class may lie in `from-hub/` before its gateway takes some.

        The rest waits in the journal, where urgent ones overtake and nothing lies twice on the disk.
        """
        most = MOST_PLACED_LARGE if is_large else MOST_PLACED
        try:
            with os.scandir(mailbox.from_hub) as entries:
                for entry in entries:
                    if BUNDLE_NAME.fullmatch(entry.name):
                        size = entry.stat(follow_symlinks=False).st_size
                        most -= (size > LARGE_UPLOAD_BYTES) == is_large
        except FileNotFoundError:
            return max(0, most)
        return max(0, most)

    def place(self, mailbox: Mailbox, name: str, source: Readable) -> None:
        """Put a bundle into `from-hub/`, whole and durable, then ring. Safe to repeat.

        One that stands there already was whole before it had its name, but perhaps a crash came
        before its name was durable. Raises: OSError; then it is put there anew by the next call.
        """
        final = mailbox.from_hub / name
        if final.exists():
            durable.fsync_dir(final.parent)
        else:
            self._put(self._staging / f"{mailbox.account}-{name}.tmp", final, source)
        self.ring(mailbox)

    @staticmethod
    def _put(temporary: Path, final: Path, source: Readable) -> None:
        def take_back() -> None:
            with contextlib.suppress(OSError):
                durable.unlink(final)
                durable.unlink(temporary)

        durable.unlink(temporary)
        # Readable for all who get here: the folder lets in its account and the hub alone.
        with on_failure(take_back), durable.open_new(temporary, 0o644) as file:
            while chunk := source.read(_CHUNK):
                file.write(chunk)
            durable.publish(temporary, final, file)

    def ring(self, mailbox: Mailbox) -> None:
        """Tell the account that there is something new: a content-free bell, never the truth."""
        with contextlib.suppress(
            OSError
        ):  # a full disk, say: the gateway looks now and then anyway
            ring_file(mailbox.from_hub)
        if self._bell_path is not None:
            try:
                self._bell.sendto(mailbox.account.encode("ascii"), str(self._bell_path))
            except OSError:
                # The server is away or busy: the gateway finds the entry when it looks next.
                return

    def close(self) -> None:
        self._bell.close()
