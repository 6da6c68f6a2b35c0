"""The projector as a process of its own: `frontgate hub project`, or a child of the running hub.

It polls the journal's chain, projects what is new, and rebuilds when `<cases.db>.rebuild` appears.
It ends on SIGTERM, or when its standard input does (its hub is gone).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from pathlib import Path

from frontgate.cases.project import Projector, rebuild
from frontgate.errors import FrontgateError
from frontgate.log import get_logger
from frontgate.standard import Standards

log = get_logger()

POLL_S = 0.5
RETRY_S = 5.0


def rebuild_mark(cases: Path) -> Path:
    """Whoever makes this file asks the running projector for a rebuild; it goes when that is done."""
    return cases.with_name(cases.name + ".rebuild")


def serve(journal: Path, cases: Path, standards: Standards, stop: threading.Event) -> None:
    """Project until stopped. A fault waits and is tried again: the exchange does not depend on it."""
    mark = rebuild_mark(cases)
    while not stop.is_set():
        try:
            if mark.exists():
                count = rebuild(journal, cases, standards)
                mark.unlink(missing_ok=True)
                log.info("rebuilt", events=count)
            _follow(journal, cases, standards, stop, mark)
        except FrontgateError as error:
            log.warning("projector", code=error.code, detail=error.detail or error.message("en"))
            stop.wait(RETRY_S)


def _follow(
    journal: Path, cases: Path, standards: Standards, stop: threading.Event, mark: Path
) -> None:
    projector = Projector(journal, cases, standards)
    try:
        while not stop.is_set() and not mark.exists():
            if not projector.turn():
                stop.wait(POLL_S)
    finally:
        projector.close()


def main() -> None:
    """Entry of the child process. --config: JSON with journal, cases, standards."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", required=True)
    config = json.loads(parser.parse_args().config)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    os.nice(5)
    threading.Thread(target=_until_eof, args=(stop,), daemon=True).start()
    standards = Standards.load(Path(config["standards"]) if config["standards"] else None)
    serve(Path(config["journal"]), Path(config["cases"]), standards, stop)


def _until_eof(stop: threading.Event) -> None:
    # Not through `sys.stdin`: its lock would still be held here when the interpreter ends, which is fatal.
    while os.read(0, 1):
        pass
    stop.set()


if __name__ == "__main__":
    main()
