"""Daemons as processes of their own, forked from one that has imported frontgate already.

Half of what these tests would cost the processor is importing the same modules two thousand times. What
runs is what `python -m frontgate …` runs, with the same arguments, environment and signals; real command
lines are started by `unit/test_starts.py`, `e2e/` and the benchmarks (`Spawned`).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["frontgate.cli.main", "frontgate.cli.run", "frontgate.gateway.daemon", "frontgate.hub.daemon"]
)


class Forked:
    """`frontgate <arguments>` in a session of its own; speaks as `subprocess.Popen` does."""

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        log.touch()  # there at once, as whoever reads it expects
        told = (list(arguments), str(log), str(log), dict(os.environ), os.getcwd())
        self._process = _CONTEXT.Process(target=_run, args=told, daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Raises: subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("frontgate", timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill_all(self) -> None:
        """SIGKILL to it and what it started."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:  # it has not made its session yet, or is gone
            self._process.kill()


class Spawned(subprocess.Popen[bytes]):
    """The same by its command line, as systemd starts it."""

    PROGRAM: tuple[str, ...] = ("-m", "frontgate")

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        command = [sys.executable, *self.PROGRAM, *arguments]
        with log.open("ab") as out:
            super().__init__(
                command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
            )

    def kill_all(self) -> None:
        """SIGKILL to it and what it started."""
        os.killpg(self.pid, signal.SIGKILL)


def command(arguments: Sequence[str], timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """A command of a few moments, with what it wrote. Raises: subprocess.TimeoutExpired."""
    with tempfile.TemporaryDirectory() as folder:
        out, errors = (os.path.join(folder, name) for name in ("out", "errors"))
        told = (list(arguments), out, errors, dict(os.environ), os.getcwd())
        process = _CONTEXT.Process(target=_run, args=told, daemon=True)
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired("frontgate", timeout_s)
        wrote = [Path(p).read_bytes().decode() for p in (out, errors)]
    return subprocess.CompletedProcess(list(arguments), process.exitcode, *wrote)


def _run(
    arguments: list[str], out: str, errors: str, environment: dict[str, str], folder: str
) -> None:
    os.setsid()
    for path, flags, number in (
        (os.devnull, os.O_RDONLY, 0),
        (out, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 1),
        (errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 2),
    ):
        fd = os.open(path, flags, 0o644)
        os.dup2(fd, number)
        os.close(fd)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["frontgate", *arguments]
    from frontgate.cli.main import main

    main(arguments)
