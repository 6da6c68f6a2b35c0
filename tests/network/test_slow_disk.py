"""A disk that takes seconds to sync a large upload holds up nobody else at the embedded server."""

from __future__ import annotations

import io
import threading
import time
from contextlib import closing
from pathlib import Path

from frontgate.transports.sftp import connect_sftp

from .servers import embedded

SLOW_S = 3.0
SLOW = f"""
import time
from frontgate import durable
from frontgate.hub import sftp_server
real = durable.fsync_file
def slow(file):
    time.sleep({SLOW_S})
    real(file)
durable.fsync_file = slow
sftp_server.main()
"""


def test_others_are_served_while_a_large_upload_is_synced(tmp_path: Path) -> None:
    data = bytes(5 << 20)
    name = f"{1:016d}-{'a' * 64}.bundle"
    took: list[float] = []
    with (
        embedded(tmp_path, ("-c", SLOW)) as server,
        closing(connect_sftp(server.peer)) as one,
        closing(connect_sftp(server.peer)) as other,
    ):

        def put() -> None:
            began = time.monotonic()
            one.put(name, io.BytesIO(data), len(data))
            took.append(time.monotonic() - began)

        thread = threading.Thread(target=put)
        thread.start()
        waits: list[float] = []
        while thread.is_alive():
            began = time.monotonic()
            other.entries()
            waits.append(time.monotonic() - began)
            time.sleep(0.05)
        thread.join()
        assert (server.home / "to-hub" / name).stat().st_size == len(data)
    assert took[0] >= SLOW_S, "not before it is on the disk"
    assert max(waits) < SLOW_S / 2
