"""A TCP proxy that breaks connections on purpose: what a bad line does, at a chosen byte.

Real sockets on loopback, no privileges. Kinds of fault: `refuse` (reset, and nobody listens for a
while), `rst`, `fin`, `half-open` (the far end is gone and nobody says so), `stall` (nothing moves for a
while), `slow` (1 kB/s, or another pace, for a while), `lost-answer` (what goes up arrives, what comes down does not, then
reset), `latency` (each piece comes late).
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

KINDS = ("refuse", "rst", "fin", "half-open", "stall", "slow", "lost-answer", "latency")
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens when `at` bytes have gone `up` (to the server) or down. seconds: how long. pace: of a
    slow line, in bytes a second each way.
    """

    kind: str
    at: int
    is_up: bool = True
    seconds: float = 1.0
    pace: int = 1000


class FaultProxy:
    """Listens on a port of its own; `plan` gives each connection its fault, or None."""

    def __init__(
        self,
        target: int,
        plan: Callable[[int], Fault | None] = lambda n: None,
        *,
        is_bare: bool = False,
    ) -> None:
        """is_bare: no more lies in the proxy than in a wire, so that what goes up is confirmed as it goes
        on, in pieces of Ethernet's size; otherwise it takes what it can hold, and confirms that.
        """
        self._target = target
        self._is_bare = is_bare
        self.plan = plan
        self.pause_each_mib = 0.0
        """Seconds of rest after each MiB: a line of that pace."""
        self.connections = 0
        self.faults = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._listener = self._listen(0)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        if self._is_bare:
            _be_bare(listener)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        return listener

    def close_after(self, seconds: float) -> None:
        """Whatever waits for ever on a line of this proxy then ends, with a reset."""

        def close() -> None:
            if not self._closing.wait(seconds):
                self.close()

        threading.Thread(target=close, daemon=True).start()

    def close(self) -> None:
        self._closing.set()
        self._stop_listening()
        with self._lock:
            left = list(self._open)
        for sock in left:
            _shut(sock, reset=True)

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stop_listening(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def refuse_for(self, seconds: float) -> None:
        """Nobody listens for a while."""
        self._stop_listening()

        def again() -> None:
            while not self._closing.wait(seconds):
                try:
                    self._listener = self._listen(self.port)
                except OSError:
                    continue  # somebody was given the port meanwhile; he gives it back
                threading.Thread(target=self._serve, daemon=True).start()
                return

        threading.Thread(target=again, daemon=True).start()

    def _serve(self) -> None:
        listener = self._listener
        while not self._closing.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                number = self.connections
                self.connections += 1
            fault = self.plan(number)
            try:
                server = self._connect()
            except OSError:
                _shut(client, reset=True)
                continue
            server.settimeout(None)
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            _Session(self, client, server, fault).start()

    def _connect(self) -> socket.socket:
        sock = socket.socket()
        if self._is_bare:
            _be_bare(sock)
        sock.settimeout(5)
        try:
            sock.connect(("127.0.0.1", self._target))
        except OSError:
            sock.close()
            raise
        return sock

    def counted(self, is_up: bool, size: int) -> None:
        with self._lock:
            if is_up:
                self.bytes_up += size
            else:
                self.bytes_down += size

    def struck(self) -> None:
        with self._lock:
            self.faults += 1

    def done(self, *socks: socket.socket) -> None:
        with self._lock:
            self._open -= set(socks)


class _Session:
    """One connection through the proxy."""

    def __init__(
        self, proxy: FaultProxy, client: socket.socket, server: socket.socket, fault: Fault | None
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._fault = fault
        self._struck_at = 0.0
        self._lock = threading.Lock()

    def start(self) -> None:
        for is_up in (True, False):
            threading.Thread(target=self._pump, args=(is_up,), daemon=True).start()

    def _pump(self, is_up: bool) -> None:
        source, target = (self._client, self._server) if is_up else (self._server, self._client)
        passed = 0
        fault = self._fault
        try:
            while True:
                size = 65536
                if fault is not None and not self._struck_at and fault.is_up == is_up:
                    if passed >= fault.at:
                        self._strike(fault)
                    else:
                        size = min(size, fault.at - passed)
                if fault is not None and self._struck_at:
                    size = self._suffer(fault, is_up, size)
                data = source.recv(size)
                if not data:
                    break
                if self._is_dropped(fault, is_up):
                    continue
                target.sendall(data)
                passed += len(data)
                if self._proxy.pause_each_mib:
                    time.sleep(self._proxy.pause_each_mib * len(data) / (1 << 20))
                self._proxy.counted(is_up, len(data))
        except OSError:
            pass
        finally:
            if not (fault is not None and fault.kind == "half-open" and self._struck_at):
                self._end(reset=False)

    def _strike(self, fault: Fault) -> None:
        with self._lock:
            if self._struck_at:
                return
            self._struck_at = time.monotonic()
        self._proxy.struck()
        if fault.kind == "refuse":
            self._proxy.refuse_for(fault.seconds)
        if fault.kind in ("rst", "refuse"):
            self._end(reset=True)
            raise OSError("reset on purpose")
        if fault.kind == "fin":
            self._end(reset=False)
            raise OSError("ended on purpose")
        if fault.kind == "half-open":
            # The far end is gone; this end hears nothing of it, and nobody reads what it sends.
            _shut(self._server, reset=True)
            raise OSError("half open on purpose")

    def _suffer(self, fault: Fault, is_up: bool, size: int) -> int:
        """Wait as the fault wants it. Returns: how much may be read next."""
        since = time.monotonic() - self._struck_at
        if fault.kind == "half-open":
            raise OSError("half open on purpose")
        if fault.kind == "stall" and since < fault.seconds:
            time.sleep(fault.seconds - since)
        if fault.kind == "slow" and since < fault.seconds:
            time.sleep(0.1)
            return fault.pace // 10
        if fault.kind == "latency":
            time.sleep(fault.seconds / 10)
        if fault.kind == "lost-answer" and is_up and since >= fault.seconds:
            self._end(reset=True)
            raise OSError("reset on purpose")
        if fault.kind == "lost-answer" and not is_up and since < fault.seconds:
            self._server.settimeout(fault.seconds - since + 0.01)
        return size

    def _is_dropped(self, fault: Fault | None, is_up: bool) -> bool:
        if fault is None or fault.kind != "lost-answer" or is_up or not self._struck_at:
            return False
        if time.monotonic() - self._struck_at >= fault.seconds:
            self._end(reset=True)
            raise OSError("reset on purpose")
        return True

    def _end(self, *, reset: bool) -> None:
        for sock in (self._client, self._server):
            _shut(sock, reset=reset)
        self._proxy.done(self._client, self._server)


def _be_bare(sock: socket.socket) -> None:
    """Before it listens or connects."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)


def _shut(sock: socket.socket, *, reset: bool) -> None:
    with contextlib.suppress(OSError):
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            # A thread that waits in recv holds the socket: shutting it for reading wakes it.
            sock.shutdown(socket.SHUT_RD)
        else:
            sock.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        sock.close()
