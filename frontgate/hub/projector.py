"""The projector's process, kept running by the hub; the exchange goes on without it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

from frontgate.log import get_logger
from frontgate.settings import HubSettings

log = get_logger()

AGAIN_S = 5.0
"""A projector that ended is started again after this long."""


class ProjectorProcess:
    """`turn` is the body of a loop; before `start` it does nothing."""

    def __init__(self, settings: HubSettings) -> None:
        state = settings.path(settings.node.state)
        standards = settings.node.standards
        self._config = {
            "journal": str(state / "journal.db"),
            "cases": str(state / "cases.db"),
            "standards": str(settings.path(standards)) if standards else "",
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._stopping = False
        self._began = 0.0

    def start(self) -> None:
        with self._lock:
            if self._stopping:
                return
            self._began = time.monotonic()
            self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
                [
                    sys.executable, "-m", "frontgate.cases.process",
                    "--config", json.dumps(self._config),
                ],
                stdin=subprocess.PIPE,
            )  # fmt: skip

    def turn(self) -> float | None:
        process = self._process
        if process is not None and process.poll() is not None and not self._stopping:
            wait_s = self._began + AGAIN_S - time.monotonic()
            if wait_s > 0:
                return wait_s
            log.warning("projector-ended", code=process.returncode)
            self.start()
        return 1.0

    def stop(self) -> None:
        """It keeps nothing that is not in its file: asked to end, then made to."""
        with self._lock:
            self._stopping = True
            process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
