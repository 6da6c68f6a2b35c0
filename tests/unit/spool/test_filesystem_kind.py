"""What kind of file system a folder lies on, whatever bytes its mount point's name has."""

import os
from pathlib import Path

import pytest

from frontgate.spool.layout import filesystem_kind

ROOT = b"22 1 8:1 / / rw - ext4 /dev/root rw\n"


def line(mount: bytes, kind: bytes) -> bytes:
    for sign in (b"\\", b" ", b"\t", b"\n"):  # as proc(5) says
        mount = mount.replace(sign, b"\\%03o" % sign[0])
    return b"40 22 0:40 / " + mount + b" rw,relatime shared:1 - " + kind + b" //server/share rw\n"


@pytest.mark.parametrize(
    "name", ["plain", "前置机 投放区", "back\\slash and\ttab", os.fsdecode("甲".encode("gbk"))]
)
def test_a_network_mount_is_known_by_any_name(tmp_path: Path, name: str) -> None:
    mount = tmp_path / name
    spool = mount / "outbound"
    spool.mkdir(parents=True)
    table = tmp_path / "mountinfo"
    table.write_bytes(ROOT + line(os.fsencode(mount), b"cifs"))
    assert filesystem_kind(spool, table) == "cifs"
    assert filesystem_kind(tmp_path, table) == "local"


def test_the_innermost_and_latest_mount_counts_and_no_table_means_local(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    table = tmp_path / "mountinfo"
    parts = [(tmp_path / "a", b"nfs4"), (inner, b"fuse.sshfs"), (inner, b"ext4")]
    for count, expected in ((1, "nfs"), (2, "fuse"), (3, "local")):
        table.write_bytes(ROOT + b"".join(line(os.fsencode(m), k) for m, k in parts[:count]))
        assert filesystem_kind(inner, table) == expected
    assert filesystem_kind(inner, tmp_path / "nothing") == "local"
