"""Each kind of network fault at many bytes of a session: everything gets through, once and whole.

Short by default; FRONTGATE_CHAOS=long tries 8 kinds x 40 offsets and 400 seeded sessions.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from chaos_table import begin, is_long
from faultproxy import KINDS, Fault, FaultProxy

from frontgate.errors import TransportError
from frontgate.gateway.link import Destination, Link
from frontgate.transports import Transport
from frontgate.transports.sftp import connect_sftp
from network.servers import Server, embedded

IS_LONG = is_long()
OFFSETS = 40 if IS_LONG else 4
SEEDED = 400 if IS_LONG else 8
SEED = int(os.environ.get("FRONTGATE_SEED", "20261125"))
SIZE = 200_000
PATIENCE_S = 90.0


class Session:
    """One gateway's work over one bad line: a bundle up, a bundle down, until both are done."""

    def __init__(self, server: Server, number: int, faults: list[Fault]) -> None:
        luck = random.Random(number)
        self.server = server
        self.up, self.down = luck.randbytes(SIZE), luck.randbytes(SIZE)
        self.up_name = f"{2 * number:016d}-{hashlib.sha256(self.up).hexdigest()}.bundle"
        self.down_name = f"{2 * number + 1:016d}-{hashlib.sha256(self.down).hexdigest()}.bundle"
        self.faults = faults
        self.errors: Counter[str] = Counter()

    def run(self) -> None:
        self.server.place(self.down_name, self.down)
        with FaultProxy(
            self.server.peer.port, lambda n: self.faults[n] if n < len(self.faults) else None
        ) as proxy:
            proxy.close_after(PATIENCE_S)
            peer = self.server.through(proxy.port, connect_timeout_s=2.0, step_timeout_s=2.0)
            begun: dict[str, int] = {}
            link = Link(
                lambda: connect_sftp(peer, with_bell=True, begun=begun),
                Destination(first_s=0.05, most_s=0.5),
                first_s=0.05,
                most_s=0.5,
            )
            self._until_done(link)
            link.close()
        self._judge()

    def _until_done(self, link: Link) -> None:
        end = time.monotonic() + PATIENCE_S
        got = bytearray()
        has_sent = False
        while time.monotonic() < end:
            try:
                transport = link.transport()
                if isinstance(transport, float):
                    time.sleep(min(transport, 0.5))
                    continue
                if not has_sent:
                    transport.put(self.up_name, io.BytesIO(self.up), SIZE)
                    has_sent = True
                self._fetch(transport, got)
                link.succeeded()
                assert bytes(got) == self.down
                return
            except TransportError as error:
                assert error.is_transient, f"{error} {error.detail} of {self.faults}"
                self.errors[error.code] += 1
                time.sleep(min(link.failed(error), 0.5))
        raise AssertionError(f"not done in time: {self.faults} {self.errors}")

    def _fetch(self, transport: Transport, got: bytearray) -> None:
        if any(entry.name == self.down_name for entry in transport.entries()):
            transport.get(self.down_name, got.extend, len(got))
            transport.remove(self.down_name)

    def _judge(self) -> None:
        folder, digest = self.server.home / "to-hub", hashlib.sha256(self.up).hexdigest()
        assert (folder / self.up_name).exists(), f"never came: {self.faults}"
        assert (folder / self.up_name).read_bytes() == self.up, self.faults
        named_so = sorted(p.name for p in folder.iterdir() if digest in p.name)
        assert named_so == [self.up_name], f"came otherwise as well: {self.faults}"
        assert not (self.server.home / "from-hub" / self.down_name).exists()


def run_all(server: Server, scripts: list[list[Fault]], first: int) -> Counter[str]:
    """All sessions, a few at a time. Returns: the errors that they met."""
    errors: Counter[str] = Counter()
    lock = threading.Lock()

    def one(pair: tuple[int, list[Fault]]) -> None:
        session = Session(server, first + pair[0], pair[1])
        session.run()
        with lock:
            errors.update(session.errors)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(one, enumerate(scripts)))
    return errors


def clean_run_bytes(server: Server) -> tuple[int, int]:
    """How many bytes one undisturbed session moves up and down."""
    session = Session(server, 1_000_000, [])
    server.place(session.down_name, session.down)
    with FaultProxy(server.peer.port) as proxy:
        transport = connect_sftp(server.through(proxy.port), with_bell=True)
        transport.put(session.up_name, io.BytesIO(session.up), SIZE)
        transport.get(session.down_name, lambda data: None)
        transport.remove(session.down_name)
        transport.close()
        return proxy.bytes_up, proxy.bytes_down


def fault(kind: str, share: float, up: int, down: int, seconds: float = 0.0) -> Fault:
    """A fault at a share of the session: the first half of 0..1 counts bytes up, the other down."""
    is_up = share < 0.5
    at = int((share * 2) * up) if is_up else int((share * 2 - 1) * down)
    usual = {"stall": 4.5, "half-open": 0.0, "slow": 1.5, "lost-answer": 0.5, "refuse": 0.4}
    return Fault(kind, at, is_up, seconds or usual.get(kind, 0.3))


@pytest.mark.timeout(3600 if IS_LONG else 300)
def test_every_kind_of_fault_at_every_part_of_a_session(tmp_path: Path) -> None:
    rows = [begin("network", kind) for kind in KINDS]
    with embedded(tmp_path) as server:
        up, down = clean_run_bytes(server)
        scripts = [
            [fault(kind, (n + 0.5) / OFFSETS, up, down)] for kind in KINDS for n in range(OFFSETS)
        ]
        errors = run_all(server, scripts, 1)
    # The faults were felt: broken sessions, and stalled ones that a deadline ended.
    assert errors["FG-TRN-005"]
    assert errors["FG-TRN-004"] or errors["FG-TRN-001"]
    for row in rows:
        row.end(tried=OFFSETS)


@pytest.mark.timeout(3600 if IS_LONG else 300)
def test_seeded_sessions_with_several_faults_each(tmp_path: Path) -> None:
    luck = random.Random(SEED)
    row = begin("network", "seeded sessions")
    with embedded(tmp_path) as server:
        up, down = clean_run_bytes(server)
        scripts = [
            [
                fault(luck.choice(KINDS), luck.random(), up, down, luck.uniform(0.1, 3.0))
                for _ in range(luck.randint(1, 5))
            ]
            for _ in range(SEEDED)
        ]
        run_all(server, scripts, 10_000)
    row.end(tried=SEEDED)
