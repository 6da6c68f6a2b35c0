"""The console as a child process of the hub, started again when it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

from frontgate import clock
from frontgate.log import get_logger
from frontgate.settings import HubSettings

log = get_logger()

PAUSES_S = (0.2, 1.0, 5.0, 30.0)


class ConsoleProcess:
    """The exchange never waits for it: a console that cannot start is tried again, ever slower."""

    def __init__(self, settings: HubSettings) -> None:
        self._config = settings.file or str(settings.base / "hub.toml")
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._stopping = False
        self._failures = 0
        self._started = 0.0
        self._again_at = 0.0

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        with self._lock:
            if self._stopping:
                return
            self._started = clock.monotonic()
            self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
                [sys.executable, "-m", "frontgate", "-c", self._config, "hub", "console"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # It ends with the hub, whatever ends the hub.
                env={**os.environ, "FRONTGATE_PARENT": str(os.getpid())},
            )

    def turn(self) -> float | None:
        """The body of a loop: see that it runs."""
        now = clock.monotonic()
        if self._process is None:
            self.start()
        elif self._process.poll() is not None and not self._stopping:
            if not self._again_at:
                if now - self._started > 60:
                    self._failures = 0
                pause = PAUSES_S[min(self._failures, len(PAUSES_S) - 1)]
                self._failures += 1
                self._again_at = now + pause
                log.warning("console-ended", code=self._process.returncode, again_in_s=pause)
            elif now >= self._again_at:
                self._again_at = 0.0
                self.start()
        return 0.5

    def stop(self) -> None:
        with self._lock:
            self._stopping = True
            process = self._process
        if process is None:
            return
        process.terminate()
        end = time.monotonic() + 5
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        if process.poll() is None:
            process.kill()
            process.wait()
