"""The mailboxes of the hub: per account a `to-hub/` and a `from-hub/` folder below one root."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from frontgate import durable
from frontgate.model.unit import Directory

ACCOUNT = "account:"
"""Destinations of the hub are `account:<SFTP account>`."""
BUNDLE_NAME = re.compile(r"\d{16}-[0-9a-f]{64}\.bundle")
PART = ".part"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One account's folders. unit: code of the front end that the account belongs to."""

    account: str
    unit: str
    root: Path

    @property
    def to_hub(self) -> Path:
        return self.root / self.account / "to-hub"

    @property
    def from_hub(self) -> Path:
        return self.root / self.account / "from-hub"

    def part_of(self, name: str) -> Path:
        """Where an upload is while it is not whole."""
        return self.to_hub / f".{name}{PART}"

    def old_parts(self, before_s: float) -> list[Path]:
        """Parts of uploads that nothing was added to since then: their senders have given them up."""
        try:
            with os.scandir(self.to_hub) as entries:
                return [
                    Path(entry.path)
                    for entry in entries
                    if entry.name.startswith(".")
                    and entry.name.endswith(".bundle" + PART)
                    and entry.is_file(follow_symlinks=False)
                    and entry.stat(follow_symlinks=False).st_mtime < before_s
                ]
        except FileNotFoundError:
            return []

    def next_upload(self, avoiding: Collection[str] = ()) -> str | None:
        """The oldest complete upload by sequence; None if there is none. Folders and links are none."""
        best: str | None = None
        try:
            with os.scandir(self.to_hub) as entries:
                for entry in entries:
                    if entry.name in avoiding or not BUNDLE_NAME.fullmatch(entry.name):
                        continue
                    if (best is None or entry.name < best) and entry.is_file(follow_symlinks=False):
                        best = entry.name
        except FileNotFoundError:
            return None
        return best


class Readable(Protocol):
    """What a bundle is read from."""

    def read(self, size: int = -1, /) -> bytes: ...


class Mailboxes:
    """All mailboxes that the directory names, and placing bundles into them."""

    def __init__(
        self, root: Path, staging: Path, directory: Callable[[], Directory], bell: Path | None
    ) -> None:
        self.root = root
        self._staging = staging
        self._directory = directory
        self._bell_path = bell
        self._bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        durable.make_dir(staging)
        for entry in os.scandir(staging):
            durable.unlink(entry.path)

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
        code = next(
            (
                u.front_end or u.code
                for u in self._directory().units.values()
                if u.account == account
            ),
            account[1:].upper(),
        )
        return Mailbox(account, code, self.root)

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
        durable.unlink(temporary)
        try:
            # Readable for all who get here: the folder lets in its account and the hub alone.
            with durable.open_new(temporary, 0o644) as file:
                while chunk := source.read(_CHUNK):
                    file.write(chunk)
                durable.publish(temporary, final, file)
        except BaseException:
            with contextlib.suppress(OSError):
                durable.unlink(final)
                durable.unlink(temporary)
            raise

    def ring(self, mailbox: Mailbox) -> None:
        """Tell the account that there is something new: a content-free bell, never the truth."""
        bell = mailbox.from_hub / ".bell"
        try:
            os.utime(bell)
        except FileNotFoundError:
            bell.touch(mode=0o640)
        if self._bell_path is not None:
            try:
                self._bell.sendto(mailbox.account.encode("ascii"), str(self._bell_path))
            except OSError:
                # The server is away or busy: the gateway finds the entry when it looks next.
                return

    def close(self) -> None:
        self._bell.close()
