"""The folders of a spool, their rights, and what file system they lie on."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from frontgate import durable
from frontgate.errors import SpoolError

_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")
SHARED = ("outbound", "inbound", "receipts", "rejected", "reference")
SHARED_MODE = 0o2770
SHARED_FILE_MODE = 0o660
_KINDS = {
    "nfs": "nfs",
    "nfs4": "nfs",
    "cifs": "cifs",
    "smb3": "cifs",
    "smbfs": "cifs",
    "9p": "9p",
    "ceph": "network",
    "glusterfs": "network",
    "virtiofs": "network",
    "vboxsf": "network",
    "afs": "network",
    "lustre": "network",
    "gpfs": "network",
    "beegfs": "network",
    "ocfs2": "network",
    "gfs2": "network",
}
"""File systems that others change behind this machine's back: no event tells of it."""


@dataclass(frozen=True)
class SpoolPaths:
    """One spool below `root`. `.frontgate/` is private to the gateway, on the same file system."""

    root: Path

    @cached_property
    def outbound(self) -> Path:
        return self.root / "outbound"

    @cached_property
    def inbound(self) -> Path:
        return self.root / "inbound"

    @cached_property
    def receipts(self) -> Path:
        return self.root / "receipts"

    @cached_property
    def rejected(self) -> Path:
        return self.root / "rejected"

    @cached_property
    def reference(self) -> Path:
        return self.root / "reference"

    @cached_property
    def private(self) -> Path:
        return self.root / ".frontgate"

    @cached_property
    def claims(self) -> Path:
        return self.private / "claims"

    @cached_property
    def staging(self) -> Path:
        return self.private / "staging"

    @cached_property
    def left(self) -> Path:
        """Marks of drops that were answered and cannot be taken out of `outbound/`."""
        return self.private / "left"

    @cached_property
    def trash(self) -> Path:
        """What is done with and could not be removed at once."""
        return self.private / "trash"


def prepare(paths: SpoolPaths, *, group: str = "") -> None:
    """Make the folders with their rights; safe to repeat.

    group: name of the group that daemon and case software share; empty leaves the group as it is.
    Raises: SpoolError FG-SPL-001.
    """
    try:
        paths.root.mkdir(parents=True, exist_ok=True)
        gid = shutil_gid(group)
        for name in SHARED:
            folder = paths.root / name
            if not folder.is_dir():
                durable.make_dir(folder, SHARED_MODE)
            if gid is not None and folder.stat().st_gid != gid:
                os.chown(folder, -1, gid)
            if (
                folder.stat().st_mode & 0o7777 != SHARED_MODE
                and folder.stat().st_uid == os.geteuid()
            ):
                os.chmod(folder, SHARED_MODE)
            _default_acl(folder, group)
        for folder in (paths.private, paths.claims, paths.staging, paths.trash, paths.left):
            durable.make_dir(folder, 0o700)
        durable.fsync_dir(paths.private)
        durable.fsync_dir(paths.root)
    except OSError as error:
        raise SpoolError("FG-SPL-001", path=str(paths.root), detail=str(error)) from error


def shutil_gid(group: str) -> int | None:
    """The id of a group; None for an empty name. Raises: SpoolError FG-SPL-002."""
    if not group:
        return None
    import grp

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise SpoolError("FG-SPL-002", group=group) from None


def _default_acl(folder: Path, group: str) -> None:
    """What either side makes stays writable for the other, whatever its umask."""
    tool = shutil.which("setfacl")
    if not group or tool is None:
        return
    with contextlib.suppress(subprocess.CalledProcessError):
        subprocess.run(  # noqa: S603 (fixed arguments, a name from settings)
            [tool, "-d", "-m", f"g:{group}:rwX,o::-", str(folder)], check=True, capture_output=True
        )


def kind_of_type(name: str) -> str:
    """What a file system's type (mountinfo(5)) means for watching; see `filesystem_kind`."""
    if name.startswith("fuse"):
        return "fuse"
    return _KINDS.get(name, "local")


def filesystem_kind(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> str:
    """`local`, or what it is where change events cannot be relied on: nfs, cifs, fuse, network."""
    wanted = os.fsencode(os.path.realpath(path))
    best, kind = b"", b""
    with contextlib.suppress(OSError), mountinfo.open("rb") as mounts:
        for line in mounts:
            left, _, right = line.partition(b" - ")
            # Names are bytes; the kernel writes blanks and backslashes in octal (proc(5)).
            mount = _OCTAL.sub(lambda found: bytes([int(found[1], 8)]), left.split()[4])
            inside = wanted == mount or wanted.startswith(mount.rstrip(b"/") + b"/")
            if inside and len(mount) >= len(best):
                best, kind = mount, right.split()[0]
    return kind_of_type(kind.decode("ascii", "replace"))
