"""`receipts/`: one XML file per event of what the unit sent.

The files are projections of the journal: written by a rename so that nobody reads half a file, but
without an fsync of their own; the caller makes them durable together and re-makes them after a crash.
"""

from __future__ import annotations

import re
import secrets

from frontgate import durable
from frontgate.spool.beneath import Folder
from frontgate.spool.layout import SHARED_FILE_MODE, SpoolPaths

_SAFE = re.compile(r"[^A-Za-z0-9-]")


def receipt_name(stem: str, number: int, kind: str, receiver: str) -> str:
    """`<stem>.<nn>-<kind>[-<receiver>].xml`; number: order written here, from 1."""
    safe = _SAFE.sub("_", stem)[:100]
    tail = f"-{receiver}" if receiver else ""
    return f"{safe}.{number:02d}-{kind}{tail}.xml"


def write_receipt(paths: SpoolPaths, file_name: str, data: bytes) -> None:
    """Write one receipt's file, replacing an earlier copy of it. Raises: OSError."""
    temporary = f".{file_name}.tmp"
    with Folder.at(paths.receipts) as folder:
        # The folder is shared: whatever waits under our names (a FIFO would block us) has to go.
        try:
            made = durable.open_new(temporary, SHARED_FILE_MODE, dir_fd=folder.fd)
        except FileExistsError:
            _make_way(folder, temporary)
            made = durable.open_new(temporary, SHARED_FILE_MODE, dir_fd=folder.fd)
        with made as file:
            file.write(data)
        if folder.is_folder(file_name):
            _make_way(folder, file_name)
        folder.move(temporary, folder, file_name)


def _make_way(folder: Folder, name: str) -> None:
    """Remove what is no folder; set a folder of somebody's aside under a hidden name."""
    try:
        durable.unlink(name, dir_fd=folder.fd)
    except (IsADirectoryError, PermissionError):
        folder.move(name, folder, f".aside-{secrets.token_hex(8)}")
