"""What the journal makes of an error of its disk: one that passes, or one that ends it."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from frontgate.journal import Journal

_TESTS = Path(__file__).parents[2]
_CHILD = """
import json, sys
from pathlib import Path
from refused_calls import refuse_pwrite
from frontgate.errors import JournalError
from frontgate.journal import Journal

journal = Journal.open(Path(sys.argv[1]), node="gateway:x")
full = []
journal.on_full = lambda: full.append(1)
with journal.write() as tx:
    tx.event("before")
refuse_pwrite(int(sys.argv[2]))
codes = []
for _ in range(2):
    try:
        with journal.write() as tx:
            tx.event("refused")
    except JournalError as error:
        codes.append(error.code)
print(json.dumps([codes, len(full) > 0, journal.failure is None]))
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "FG-JRN-004"),
        (errno.EDQUOT, "FG-JRN-004"),
        (errno.EIO, "FG-JRN-010"),
        (errno.EROFS, "FG-JRN-010"),
    ],
    ids=errno.errorcode.get,
)
def test_want_of_room_passes_and_an_error_of_the_disk_ends_the_journal(
    tmp_path: Path, number: int, code: str
) -> None:
    """The kernel itself refuses the writes of SQLite."""
    path = tmp_path / "journal.db"
    told = subprocess.run(
        [sys.executable, "-c", _CHILD, str(path), str(number)],
        env={"PYTHONPATH": f"{_TESTS}:{_TESTS.parent}", "PYTHONDONTWRITEBYTECODE": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    codes, is_reserve_asked, goes_on = json.loads(told.stdout.splitlines()[-1])
    assert codes == [code] * 2
    assert is_reserve_asked
    assert goes_on is (code == "FG-JRN-004")
    journal = Journal.open(path, node="gateway:x")
    with journal.write() as tx:
        tx.event("works-again")
    kinds = [row[0] for row in journal.look.all("SELECT kind FROM event ORDER BY seq")]
    journal.close()
    assert kinds[-2:] == ["before", "works-again"]
