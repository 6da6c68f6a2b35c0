"""What a spool was given: a plain list in its private folder, which outlives the journal.

After a restore, or with a new machine on an old spool, the journal does not know what the case software
was given since. Then this list does: what stands in it is not delivered a second time. It is a
projection: written after the entry appeared, without an fsync of its own. Two files of `MOST_BYTES` at
most, the older one is dropped. Form: `<epoch of the journal> <entry name>` a line.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from frontgate import durable
from frontgate.spool.layout import SpoolPaths

NAME = "delivered.log"
MOST_BYTES = 16 << 20
ID_CHARACTERS = 36


def note(paths: SpoolPaths, epoch: int, entries: Iterable[str]) -> None:
    """Add entries that appeared in `inbound/`. Raises: OSError."""
    text = "".join(f"{epoch} {name}\n" for name in entries)
    if not text:
        return
    path = paths.private / NAME
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, text.encode())
        size = os.fstat(fd).st_size
    finally:
        os.close(fd)
    if size > MOST_BYTES:
        durable.rename(path, path.with_name(NAME + ".1"))


def given_before(paths: SpoolPaths, epoch: int) -> dict[str, str]:
    """MessageId → entry of what other journals than that of `epoch` gave to this spool."""
    return {name[-ID_CHARACTERS:]: name for wrote, name in _lines(paths) if wrote != str(epoch)}


def given(paths: SpoolPaths) -> set[str]:
    """All entries in the list."""
    return {name for _, name in _lines(paths)}


def _lines(paths: SpoolPaths) -> Iterable[tuple[str, str]]:
    for name in (NAME + ".1", NAME):
        with (
            contextlib.suppress(FileNotFoundError),
            (paths.private / name).open(encoding="utf-8", errors="replace") as file,
        ):
            for line in file:
                wrote, _, entry = line.rstrip("\n").partition(" ")
                if line.endswith("\n") and entry:
                    yield wrote, entry
