"""`reference/`: unit directory, code lists and calendar for the case software.

Each file is replaced whole; `VERSION` last, so that who reads it first knows that the rest is as new.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from frontgate import durable
from frontgate.spool.layout import SHARED_FILE_MODE, SHARED_MODE, SpoolPaths


def publish_reference(paths: SpoolPaths, files: Mapping[str, bytes], version: str) -> bool:
    """Write the files (names may have one folder) if `version` is new. Returns: whether it was."""
    mark = paths.reference / "VERSION"
    data = (version + "\n").encode()
    if mark.is_file() and mark.read_bytes() == data:
        return False
    gid = paths.reference.stat().st_gid
    for name in sorted(files):
        target = paths.reference.joinpath(*name.split("/"))
        if target.parent != paths.reference and target.parent.is_symlink():
            durable.unlink(target.parent)  # the folder is shared: a link would lead us elsewhere
        if target.parent != paths.reference and not target.parent.is_dir():
            durable.make_dir(target.parent, 0o700)
            os.chown(target.parent, -1, gid)
            os.chmod(target.parent, SHARED_MODE)
        durable.write_file(target, files[name], SHARED_FILE_MODE)
        os.chown(target, -1, gid)
    durable.write_file(mark, data, SHARED_FILE_MODE)
    os.chown(mark, -1, gid)
    return True
