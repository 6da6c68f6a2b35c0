"""What a daemon has made at its start stays: it is neither collected while it is made nor looked at later."""

from __future__ import annotations

import re
from pathlib import Path

from forked import Spawned
from province import POLICE, Province, wait_for

TELL = """
import atexit, gc, sys
passes = []
gc.callbacks.append(lambda when, _: passes.append(when))
def before_start(kind, start):
    def told(self):
        print("passes", len(passes), kind.__name__)
        start(self)
    kind.start = told
from frontgate.cli.main import main
from frontgate.pipeline.loop import Crew
before_start(Crew, Crew.start)
passes.clear()
atexit.register(lambda: print("kept", gc.isenabled(), gc.get_freeze_count()))
main(sys.argv[1:])
"""


class Telling(Spawned):
    PROGRAM = ("-c", TELL)


def test_what_a_start_makes_is_not_collected_and_stays(tmp_path: Path) -> None:
    province = Province(tmp_path, (POLICE,), daemon=Telling)
    province.start()
    try:
        assert wait_for(lambda: all('"started"' in province.log(n) for n in ("hub", POLICE)))
    finally:
        assert province.stop() == {"hub": 0, POLICE: 0}
    for name in ("hub", POLICE):
        told = province.log(name)
        passes = re.search(r"passes (\d+) Crew", told)
        assert passes is not None, told
        assert int(passes[1]) < 30, "a hundred and more where they are collected"
        kept = re.search(r"kept True (\d+)", told)
        assert kept is not None, told
        assert int(kept[1]) > 20_000
