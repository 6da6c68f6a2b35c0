"""On a quick line a large file travels in large requests, to either server; every byte is the same."""

import io
import os
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from openssh import openssh_province
from province import PROCURATORATE, Province, wait_for
from unit_at_hub import UnitAtHub

from frontgate.transports import blocks, sftp_wire
from frontgate.transports.blocks import BIG_BLOCK, BLOCK
from frontgate.transports.sftp import connect_sftp
from frontgate.transports.sftp_wire import Sftp

NAME = f"{1:016d}-{'a' * 64}.bundle"
DATA = os.urandom(6_000_001)


@pytest.fixture(params=["embedded", "openssh"])
def province(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Province]:
    """The server alone is running: nobody takes what is put."""
    if request.param == "openssh":
        with openssh_province(tmp_path) as made:
            assert wait_for(lambda: "listening" in (tmp_path / "sshd.log").read_text())
            yield made
        return
    made = Province(tmp_path)
    made.start("hub")
    assert wait_for(lambda: "sftp-listening" in made.log("hub"))
    yield made
    made.stop()


def test_a_large_file_travels_in_large_requests(
    province: Province, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried: dict[int, list[int]] = defaultdict(list)
    real = Sftp._request

    def request(self: Sftp, kind: int, body: bytes, data: bytes = b"") -> int:
        if kind == sftp_wire._READ:
            carried[kind].append(struct.unpack(">L", body[-4:])[0])
        elif kind == sftp_wire._WRITE:
            carried[kind].append(len(body) + len(data))
        return real(self, kind, body, data)

    monkeypatch.setattr(Sftp, "_request", request)
    monkeypatch.setattr(blocks, "QUICK_S", 1e9)
    home = province.home / "hub" / "sftp" / f"u{PROCURATORATE.lower()}"
    path = home / "from-hub" / NAME
    path.write_bytes(DATA)
    path.chmod(0o644)
    transport = connect_sftp(UnitAtHub(province, PROCURATORATE).peer)
    try:
        got = bytearray()
        assert transport.get(NAME, got.extend) == len(DATA)
        assert got == DATA
        transport.put(NAME, io.BytesIO(DATA), len(DATA))
    finally:
        transport.close()
    assert transport.moved_bytes == 2 * len(DATA)
    for sizes in carried.values():
        assert sizes[0] < 2 * BLOCK, "the line is not known yet"
        assert max(sizes) > 7 * BLOCK
        assert max(sizes) < BIG_BLOCK + 200
