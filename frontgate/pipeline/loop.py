"""Supervised loops: the only place that catches every exception.

A loop calls one `turn` again and again, in a thread of its own. A turn that raises never ends the
loop: a transient error waits with back-off, any other is logged as FG-INT-001 and waits too, and
the fault stays visible (`Loop.trouble`) until a turn succeeds. The daemon's watchdog is fed only
while every loop shows progress.
"""

from __future__ import annotations

import errno
import random
import threading
from collections.abc import Callable

from frontgate import clock
from frontgate.core.backoff import delay_s
from frontgate.errors import FrontgateError, InternalError, JournalError
from frontgate.log import get_logger

log = get_logger()

IDLE_S = 30.0
"""Without a wake-up a loop looks again after this long: a lost wake-up costs time, nothing else."""


class Loop:
    """One thread that takes turns until stopped.

    turn: does what there is to do and returns the seconds until it wants to be called without
    being woken (None: no wish). stall_s: a single turn longer than this counts as stuck.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], float | None],
        *,
        stall_s: float = 300.0,
        first_retry_s: float = 1.0,
        most_retry_s: float = 60.0,
    ) -> None:
        self.name = name
        self._turn = turn
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._stall_s = stall_s
        self._first_retry_s = first_retry_s
        self._most_retry_s = most_retry_s
        self._turn_began: float | None = None
        self._failures = 0
        self.trouble: FrontgateError | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There may be something to do now."""
        self._wake.set()

    def stop(self) -> None:
        """Ask the loop to end after its present turn."""
        self._stop.set()
        self._wake.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end. Returns: whether it ended."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def is_stopping(self) -> bool:
        return self._stop.is_set()

    @property
    def is_progressing(self) -> bool:
        """False while one turn has lasted longer than `stall_s`, or the thread has died."""
        began = self._turn_began
        if self._thread.ident is not None and not self._thread.is_alive():
            return self._stop.is_set()
        return began is None or clock.monotonic() - began < self._stall_s

    @property
    def is_woken(self) -> bool:
        """Whether a wake-up waits to be followed; a failing loop follows none."""
        return self._wake.is_set() and not self._failures

    def step(self) -> float:
        """Take one turn. Returns: seconds until the next one is due if nobody wakes the loop.

        What the thread does again and again; the simulator calls it instead of a thread.
        """
        self._wake.clear()
        self._turn_began = clock.monotonic()
        pause = self._take_turn()
        self._turn_began = None
        return IDLE_S if pause is None else max(0.0, min(pause, IDLE_S))

    def _run(self) -> None:
        while not self._stop.is_set():
            pause = self.step()
            if self._stop.is_set():
                return
            if pause > 0:
                self._wait(pause)

    def _wait(self, seconds: float) -> None:
        if self._failures:
            # A failing loop waits out its back-off: wake-ups must not turn it into a busy loop.
            self._stop.wait(seconds)
        else:
            self._wake.wait(seconds)

    def _take_turn(self) -> float | None:
        try:
            pause = self._turn()
        except FrontgateError as error:
            self._fail(error)
        except OSError as error:
            self._fail(_of_disk(error))
        except Exception as error:
            log.exception("loop-failed", loop=self.name, code="FG-INT-001")
            self._fail(InternalError("FG-INT-001", what=self.name, detail=repr(error)))
        else:
            if self.trouble is not None:
                log.info("loop-recovered", loop=self.name)
            self.trouble = None
            self._failures = 0
            return pause
        return delay_s(
            self._failures,
            first_s=self._first_retry_s,
            most_s=self._most_retry_s,
            luck=random.random(),  # noqa: S311 (jitter, not a secret)
        )

    def _fail(self, error: FrontgateError) -> None:
        self._failures += 1
        if self.trouble is None or self.trouble.code != error.code:
            log.warning(
                "loop-trouble",
                loop=self.name,
                code=error.code,
                detail=error.detail,
                text=error.message("en"),
            )
        self.trouble = error


def _of_disk(error: OSError) -> JournalError:
    reason = errno.errorcode.get(error.errno or 0, "?")
    return JournalError("FG-JRN-004", reason=reason, detail=str(error))


def attempt(what: str, act: Callable[[], object]) -> FrontgateError | None:
    """Do one thing that must not take others down with it. Returns: why it failed, or None."""
    try:
        act()
    except FrontgateError as error:
        return error
    except OSError as error:
        log.warning("attempt-failed", what=what, detail=repr(error))
        return _of_disk(error)
    except Exception as error:
        log.exception("attempt-failed", what=what, code="FG-INT-001")
        return InternalError("FG-INT-001", what=what, detail=repr(error))
    return None


class Crew:
    """All loops of a daemon: started together, stopped together."""

    def __init__(self) -> None:
        self.loops: list[Loop] = []

    def add(self, loop: Loop) -> Loop:
        self.loops.append(loop)
        return loop

    def start(self) -> None:
        for loop in self.loops:
            loop.start()

    def stop(self, within_s: float) -> list[str]:
        """Stop all. Returns: names of loops that did not end in time."""
        for loop in self.loops:
            loop.stop()
        end = clock.monotonic() + within_s
        return [
            loop.name for loop in self.loops if not loop.join(max(0.0, end - clock.monotonic()))
        ]

    @property
    def is_progressing(self) -> bool:
        return all(loop.is_progressing for loop in self.loops)

    @property
    def troubles(self) -> dict[str, FrontgateError]:
        return {loop.name: loop.trouble for loop in self.loops if loop.trouble is not None}
