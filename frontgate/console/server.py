"""Running the console: uvicorn over one application, until it is told to stop."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading

import uvicorn

from frontgate.console.app import build, is_tls
from frontgate.console.desk import Desk
from frontgate.errors import JournalError
from frontgate.log import get_logger
from frontgate.settings import HubSettings

log = get_logger()


def address_of(settings: HubSettings, port: int) -> str:
    """The address that people type."""
    console = settings.console
    scheme = "https" if is_tls(console) else "http"
    return console.url or f"{scheme}://{console.host}:{port}"


def run(settings: HubSettings) -> None:
    """Serve until SIGTERM. Prints one JSON line with port and address once it listens."""
    console = settings.console
    desk = Desk(settings)
    family = socket.AF_INET6 if ":" in console.host else socket.AF_INET
    # The protocol is named, or asyncio would not switch Nagle off: 40 ms a page.
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((console.host, console.port))
    port = int(sock.getsockname()[1])
    config = uvicorn.Config(
        build(desk, console),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        # One slow browser holds one of these; more than that wait at the door.
        limit_concurrency=400,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=3,
        ssl_certfile=str(settings.path(console.certificate)) if console.certificate else None,
        ssl_keyfile=str(settings.path(console.key)) if console.key else None,
    )
    server = uvicorn.Server(config)
    _watch_parent(server)
    _watch_requests(desk)
    # Bound is not listening: whoever reads the line connects at once, and waits at the door till served.
    sock.listen(config.backlog)
    sys.stdout.write(json.dumps({"port": port, "url": address_of(settings, port)}) + "\n")
    sys.stdout.flush()
    log.info("console-listening", port=port)
    server.run(sockets=[sock])
    desk.accounts.close()


LAPSE_S = 60.0


def _watch_requests(desk: Desk) -> None:
    """What nobody looks at lapses all the same, and is told within a minute."""

    def watch() -> None:
        pause = threading.Event()
        while True:
            try:
                desk.lapse_requests()
            except JournalError as error:  # the disk: pages say so themselves
                log.warning("lapses-not-looked-for", code=error.code)
            pause.wait(LAPSE_S)

    threading.Thread(target=watch, name="requests", daemon=True).start()


def _watch_parent(server: uvicorn.Server) -> None:
    """The hub that started us is gone: so are we."""
    parent = os.environ.get("FRONTGATE_PARENT", "")
    if not parent:
        return

    def watch() -> None:
        pause = threading.Event()
        while not pause.wait(1.0):
            if str(os.getppid()) != parent:
                server.should_exit = True
                return

    threading.Thread(target=watch, name="parent", daemon=True).start()
