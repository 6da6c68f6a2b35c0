"""The partial indexes of transfers: their conditions are those of the queries, and cost a change nothing."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from frontgate.core.lifecycle import Intake
from frontgate.journal import Journal, packages, states, transfers

NODE = "gateway:5201021100X"


def test_a_change_of_a_transfer_makes_no_tables_of_lists(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.db", node=NODE)
    taken: list[int] = []
    with journal.write() as tx:
        package = packages.add(
            tx, direction="out", state=Intake.ADMITTED, envelope=None, sender="A", message_id="m"
        )
        transfers.add(tx, package_id=package, destination="hub")
        for state in ("SENDING", "SENT", "QUEUED", "SENDING"):
            used = apsw.memory_used()
            apsw.memory_high_water(True)
            tx.run("UPDATE transfer SET state = ? WHERE package_id = ?", state, package)
            taken.append(apsw.memory_high_water() - used)
    journal.close()
    assert max(taken[1:]) < 200_000, "lists take 1 000 000"  # the first compiles it


@pytest.mark.parametrize(
    ("index", "meant"),
    [
        ("transfer_open", states.OPEN),
        ("transfer_age", states.AGING),
        ("transfer_flow", states.IN_ORDER),
        ("transfer_failed", states.ENDED),
        ("transfer_troubled", states.TROUBLED),
    ],
)
def test_an_index_has_the_condition_that_queries_say(
    tmp_path: Path, index: str, meant: tuple[str, ...]
) -> None:
    journal = Journal.open(tmp_path / "journal.db", node=NODE)
    (made,) = journal.look.one("SELECT sql FROM sqlite_master WHERE name = ?", index) or ("",)
    journal.close()
    assert made.endswith(states.either(meant))
