"""A crash while the note of a refusal was being written."""

from pathlib import Path

from frontgate.spool.layout import SpoolPaths, prepare
from frontgate.spool.sweep import Sweeper


def test_a_half_written_note_is_not_taken_for_the_drop(tmp_path: Path) -> None:
    paths = SpoolPaths(tmp_path / "spool")
    prepare(paths)
    folder = paths.claims / "0000000000000001abcdef0123456789"
    folder.mkdir()
    (folder / "..frontgate-reject.tmp").write_bytes(b"bad.x")
    (folder / "bad.xml").write_bytes(b"<other/>")
    (claim,) = Sweeper(paths).recover()
    assert claim.name == b"bad.xml"
