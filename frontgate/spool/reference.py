"""`reference/`: unit directory, code lists and calendar for the case software.

Each file is replaced whole; `VERSION` last, so that who reads it first knows that the rest is as new.
"""

from __future__ import annotations

from collections.abc import Mapping

from frontgate import durable
from frontgate.spool.beneath import Folder
from frontgate.spool.layout import SHARED_FILE_MODE, SHARED_MODE, SpoolPaths


def publish_reference(paths: SpoolPaths, files: Mapping[str, bytes], version: str) -> bool:
    """Write the files (names may have one folder) if `version` is new. Returns: whether it was."""
    data = (version + "\n").encode()
    with Folder.at(paths.reference) as reference:
        if _is_written(reference, data):
            return False
        gid = reference.gid
        for name in sorted(files):
            below, _, file_name = name.rpartition("/")
            if below and not reference.is_folder(below):
                # The folder is shared: a link would lead us elsewhere.
                durable.unlink(below, dir_fd=reference.fd)
                durable.make_dir(below, SHARED_MODE, dir_fd=reference.fd, gid=gid)
            with reference.inner(*([below] if below else [])) as folder:
                durable.write_file(
                    file_name, files[name], SHARED_FILE_MODE, dir_fd=folder.fd, gid=gid
                )
        durable.write_file("VERSION", data, SHARED_FILE_MODE, dir_fd=reference.fd, gid=gid)
    return True


def _is_written(reference: Folder, data: bytes) -> bool:
    try:
        return reference.read("VERSION") == data
    except OSError:
        return False
