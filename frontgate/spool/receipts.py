"""`receipts/`: one XML file per event of what the unit sent.

The files are projections of the journal: written by a rename so that nobody reads half a file, but
without an fsync of their own; the caller makes them durable together and re-makes them after a crash.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from frontgate import durable
from frontgate.spool.layout import SHARED_FILE_MODE, SpoolPaths

_SAFE = re.compile(r"[^A-Za-z0-9-]")


def receipt_name(stem: str, number: int, kind: str, receiver: str) -> str:
    """`<stem>.<nn>-<kind>[-<receiver>].xml`; number: order written here, from 1."""
    safe = _SAFE.sub("_", stem)[:100]
    tail = f"-{receiver}" if receiver else ""
    return f"{safe}.{number:02d}-{kind}{tail}.xml"


def write_receipt(paths: SpoolPaths, file_name: str, data: bytes) -> None:
    """Write one receipt's file, replacing an earlier copy of it. Raises: OSError."""
    target = paths.receipts / file_name
    temporary = paths.receipts / f".{file_name}.tmp"
    # The folder is shared: whatever waits under our names (a FIFO would block us) goes first.
    _make_way(temporary)
    with durable.open_new(temporary, SHARED_FILE_MODE) as file:
        file.write(data)
    if target.is_dir() and not target.is_symlink():
        _make_way(target)
    durable.rename(temporary, target)


def _make_way(path: Path) -> None:
    """Remove what is no folder; set a folder of somebody's aside under a hidden name."""
    try:
        durable.unlink(path)
    except (IsADirectoryError, PermissionError):
        durable.rename(path, path.with_name(f".aside-{secrets.token_hex(8)}"))
