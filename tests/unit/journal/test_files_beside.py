"""Files beside the journal: a transaction is whole or not at all, and a refusal is one of the journal's."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from frontgate.errors import JournalError
from frontgate.journal.files import File, open_file
from frontgate.journal.sidefile import SideFile

SCHEMA = "CREATE TABLE meta (key TEXT, value TEXT)"


@pytest.fixture(params=["accounts", "projections"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SideFile | File]:
    path = tmp_path / "beside.db"
    made: SideFile | File = (
        SideFile(path, SCHEMA) if request.param == "accounts" else open_file(path, SCHEMA, "1")
    )
    yield made
    made.close()


def put(file: SideFile | File, value: str) -> None:
    with file.write():
        file.run("INSERT INTO meta VALUES ('x', ?)", value)


def values(file: SideFile | File) -> list[str]:
    return [str(v) for (v,) in file.all("SELECT value FROM meta WHERE key = 'x'")]


def test_a_block_that_fails_leaves_nothing_and_the_next_is_whole(file: SideFile | File) -> None:
    with pytest.raises(KeyError), file.write():
        file.run("INSERT INTO meta VALUES ('x', 'lost')")
        raise KeyError
    put(file, "kept")
    assert values(file) == ["kept"]


def test_a_full_disk_and_another_writer_are_refusals_that_pass(file: SideFile | File) -> None:
    put(file, "before")
    file._db.execute("PRAGMA max_page_count = 1")
    with pytest.raises(JournalError, match="FG-JRN-004"):
        put(file, "x" * 1_000_000)
    file._db.execute("PRAGMA max_page_count = 100000")
    file._db.set_busy_timeout(10)
    with closing(apsw.Connection(str(file.path))) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="FG-JRN-004"):
            put(file, "too late")
    put(file, "after")
    assert values(file) == ["before", "after"]
