"""What both daemons need to be a service: notify systemd, stop on SIGTERM, log, be asked.

The control socket answers one JSON object per line. It is how the command line changes anything
while the daemon runs: one process writes the journal.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, TypeVar

from frontgate.core.backoff import delay_s
from frontgate.core.visible import shown
from frontgate.errors import FrontgateError, JournalError, all_codes

MAX_LINE = 1 << 20
MOST_WAIT_S = 30.0
"""Between two tries of a start that waits for its disk."""
Made = TypeVar("Made")


def set_up_logs(form: str, level: str) -> None:
    """Structured logs to stderr: JSON for the journal, or text for a terminal. Ids, never payload.

    What a fault will be told in is read here too: a daemon that has run out of file handles, or
    whose disk is gone, could not read it any more.
    """
    all_codes()
    import logging

    from frontgate.log import structlog  # not for a command that only asks the daemon

    number = {"debug": 10, "info": 20, "warning": 30, "error": 40}[level]
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _visible,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    logging.getLogger("asyncssh").setLevel(logging.WARNING)


def _visible(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What senders named moves no reader's terminal."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = shown(value, keep="\n\t")
    return event


def notify(message: str) -> None:
    """Tell systemd (sd_notify(3)): READY=1, STATUS=…, WATCHDOG=1, STOPPING=1."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.connect(address)
            sock.sendall(message.encode())
        except OSError:
            return


class Stop:
    """Set by SIGTERM or SIGINT; SIGHUP calls `on_reload`. Made before anything slow, so that a stop
    during start-up is clean too.
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self.code = 0
        self._reload = threading.Event()
        self.on_reload: Callable[[], None] = lambda: None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.event.set())
        signal.signal(signal.SIGHUP, lambda *_: self._reload.set())

    def fail(self) -> None:
        """End the daemon because it cannot go on as it is: exit code 4, and systemd starts it again."""
        self.code = 4
        self.event.set()

    def wait(self, is_progressing: Callable[[], bool]) -> None:
        """Block until stopped. The watchdog is fed only while the loops make progress."""
        every = int(os.environ.get("WATCHDOG_USEC", "10000000")) / 2e6
        while not self.event.wait(min(every, 0.5)):
            if self._reload.is_set():
                self._reload.clear()
                self.on_reload()
            if is_progressing():
                notify("WATCHDOG=1")


def made_when_writable(make: Callable[[], Made], stop: Stop) -> Made | None:
    """Make a daemon, as soon as its disk lets it: one that is read-only or full is told of and waited for.
    To start the whole process again and again would cost more, and say no more.

    Returns: None if it was stopped before. Raises: what is not the disk's refusal (FG-JRN-004).
    """
    from frontgate.log import get_logger  # not for a command that only asks the daemon

    tries = 0
    while not stop.event.is_set():
        try:
            return make()
        except JournalError as error:
            # A folder that belongs to another user does not change by itself.
            is_forbidden = error.params.get("reason") in ("EACCES", "EPERM")
            if error.code != "FG-JRN-004" or is_forbidden:
                raise
            tries += 1
            pause_s = delay_s(tries, first_s=1.0, most_s=MOST_WAIT_S, luck=0.5)
            text = error.message("en")
            get_logger().error("start-waits", code=error.code, text=text, detail=error.detail)
            more_us = int(4 * MOST_WAIT_S * 1e6)
            notify(f"STATUS={error.code}: {text}\nEXTEND_TIMEOUT_USEC={more_us}")
            gc.collect()  # nobody else does while a daemon starts
            stop.event.wait(pause_s)
    return None


Handler = Callable[[dict[str, Any]], dict[str, Any]]


class ControlSocket:
    """`state/control.sock`, mode 0600: requests {"act": …} answered by the handler of that name."""

    def __init__(self, path: Path, handlers: dict[str, Handler]) -> None:
        self._path = path
        self._handlers = handlers
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._stopping = False

    def start(self) -> None:
        """Listen. A left-over socket of a dead process is replaced (the journal's lock is ours)."""
        self._path.unlink(missing_ok=True)
        old = os.umask(0o177)
        try:
            with _short(self._path) as address:
                self._socket.bind(address)
        finally:
            os.umask(old)
        self._socket.listen(16)
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._socket.close()
        with contextlib.suppress(OSError):  # the next start replaces it
            self._path.unlink()

    def _serve(self) -> None:
        while not self._stopping:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(30)
        with connection, connection.makefile("rwb") as stream:
            try:
                line = stream.readline(MAX_LINE)
                request = json.loads(line)
                handler = self._handlers[request["act"]]
            except (OSError, ValueError, KeyError, TypeError):
                reply: dict[str, Any] = {"ok": False, "code": "FG-INT-001", "what": "request"}
            else:
                reply = self._handle(handler, request)
            try:
                stream.write(json.dumps(reply, ensure_ascii=False).encode() + b"\n")
                stream.flush()
            except OSError:
                return

    @staticmethod
    def _handle(handler: Handler, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"ok": True, **handler(request)}
        except FrontgateError as error:
            params = {k: str(v) for k, v in error.params.items()}
            return {"ok": False, "code": error.code, "params": params, "detail": error.detail}


class _short:  # noqa: N801 (a context manager used like a function)
    """A socket address for a path of any length: by its folder's descriptor where it is too long."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) < 100:
            return str(self._path)
        self._fd = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._fd}/{self._path.name}"

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def ask(path: Path, request: dict[str, Any], timeout_s: float = 60.0) -> dict[str, Any] | None:
    """Ask a running daemon. Returns: its reply, or None if none is running."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as sock:
        sock.settimeout(timeout_s)
        try:
            with _short(path) as address:
                sock.connect(address)
        except OSError:
            return None
        sock.sendall(json.dumps(request).encode() + b"\n")
        with sock.makefile("rb") as stream:
            line = stream.readline(MAX_LINE * 16)
    reply: dict[str, Any] = json.loads(line) if line else {"ok": False, "code": "FG-INT-001"}
    return reply
