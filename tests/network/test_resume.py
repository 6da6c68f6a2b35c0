"""Large files over lines that are cut at random bytes: they go on, little is sent twice, none is wrong.

Short by default (12 cuts in 60 MB); FRONTGATE_CHAOS=long: 200 cuts in 500 MB.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from chaos_table import begin, is_long
from faultproxy import Fault, FaultProxy
from province import POLICE, PROCURATORATE, Province, message, wait_for

from frontgate import bundle
from frontgate.errors import TransportError
from frontgate.gateway.link import Destination, Link
from frontgate.pipeline.segments import SegmentStore
from frontgate.pipeline.take import Taking, take
from frontgate.transports import Transport
from frontgate.transports.sftp import connect_sftp
from network.servers import SERVERS, Server

IS_LONG = is_long()
CUTS, SIZE = (200, 500_000_000) if IS_LONG else (12, 60_000_000)
SEED = int(os.environ.get("FRONTGATE_SEED", "20261125"))
ALLOWED = int(1.03 * SIZE) + CUTS * (1 << 20)


def made_bundle(path: Path, size: int, seed: int) -> tuple[str, str]:
    """A real bundle of one member, on disk. Returns: (name, SHA-256 of the file)."""
    luck = random.Random(seed)
    inner = hashlib.sha256()
    member = size - 2 * bundle.BLOCK - bundle.BLOCK
    member -= member % bundle.BLOCK
    pieces = [luck.randbytes(1 << 20)] * (member >> 20) + [luck.randbytes(member % (1 << 20))]
    for n, piece in enumerate(pieces):
        pieces[n] = n.to_bytes(8, "big") + piece[8:] if len(piece) > 8 else piece
        inner.update(pieces[n])
    described = bundle.Member("a.asice", member, inner.hexdigest())
    whole = hashlib.sha256()
    with path.open("wb") as file:
        for data in (bundle.member_header(described), *pieces, bundle.TRAILER):
            file.write(data)
            whole.update(data)
    return bundle.bundle_id(seed, [described]) + ".bundle", whole.hexdigest()


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def until_done(link: Link, work: Callable[[Transport], None], seconds: float) -> int:
    """Try until it went through. Returns: how often it broke."""
    broke = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            transport = link.transport()
            if isinstance(transport, float):
                time.sleep(min(transport, 0.2))
                continue
            work(transport)
            link.close()
            return broke
        except TransportError as error:
            assert error.is_transient, error
            broke += 1
            time.sleep(min(link.failed(error), 0.2))
    raise AssertionError("not done in time")


class Cutter:
    """Cuts `CUTS` connections, spread over what is left to move; by reset and by plain end."""

    def __init__(self, done: Callable[[], int], *, is_up: bool, size: int) -> None:
        self._luck = random.Random(SEED)
        self._done = done
        self._is_up = is_up
        self._size = size
        self.left = CUTS

    def __call__(self, number: int) -> Fault | None:
        if self.left <= 0:
            return None
        rest = max(1, self._size - self._done())
        at = self._luck.randrange(1, max(2, 2 * rest // (self.left + 1)))
        self.left -= 1
        return Fault(self._luck.choice(("rst", "fin")), at, self._is_up)


def link_over(server: Server, proxy: FaultProxy) -> Link:
    begun: dict[str, int] = {}
    peer = server.through(proxy.port, connect_timeout_s=10.0, step_timeout_s=30.0)
    destination = Destination(first_s=0.01, most_s=0.1)
    return Link(lambda: connect_sftp(peer, begun=begun), destination, first_s=0.01, most_s=0.1)


@pytest.mark.parametrize("kind", list(SERVERS))
@pytest.mark.timeout(3600 if IS_LONG else 300)
def test_an_upload_goes_on_after_every_cut(kind: str, tmp_path: Path) -> None:
    row = begin("network", f"cut of an upload, {kind}")
    source = tmp_path / "source"
    name, digest = made_bundle(source, SIZE, 1)
    size = source.stat().st_size
    with SERVERS[kind](tmp_path) as server:
        part = server.home / "to-hub" / f".{name}.part"
        cutter = Cutter(lambda: part.stat().st_size if part.exists() else 0, is_up=True, size=SIZE)
        with FaultProxy(server.peer.port, cutter) as proxy:
            link = link_over(server, proxy)

            def work(transport: Transport) -> None:
                with source.open("rb") as file:
                    transport.put(name, file, size)

            broke = until_done(link, work, 3000 if IS_LONG else 250)
            sent = proxy.bytes_up
        assert broke >= CUTS * 0.9
        assert digest_of(server.home / "to-hub" / name) == digest, "other bytes came"
        assert not part.exists()
    print(
        f"{kind}: {broke} cuts, {size} bytes, {sent - size} sent again ({ALLOWED - size} allowed)"
    )
    assert sent <= ALLOWED, "too much was sent again"
    row.end(tried=broke)


@pytest.mark.parametrize("kind", list(SERVERS))
@pytest.mark.timeout(3600 if IS_LONG else 300)
def test_a_download_goes_on_after_every_cut(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    name, digest = made_bundle(source, SIZE, 2)
    size = source.stat().st_size
    row = begin("network", f"cut of a download, {kind}")
    (tmp_path / "state").mkdir()
    store = SegmentStore(tmp_path / "state")
    with SERVERS[kind](tmp_path) as server:
        target = server.home / "from-hub" / name
        shutil.copy(source, target)
        info = target.parent.stat()
        os.chown(target, info.st_uid, info.st_gid)
        from frontgate import clock

        taking = [Taking(store, name, now=clock.now())]
        cutter = Cutter(lambda: taking[0].offset, is_up=False, size=SIZE)
        restarts = 0
        with FaultProxy(server.peer.port, cutter) as proxy:
            link = link_over(server, proxy)

            def work(transport: Transport) -> None:
                nonlocal restarts
                if cutter.left in (CUTS // 3, 2 * CUTS // 3):
                    # As after a kill: nothing is known but what lies on the disk.
                    restarts += 1
                    taking[0].close()
                    store.recover()
                    taking[0] = Taking(store, name, now=clock.now())
                taking[0].resumed()
                transport.get(name, taking[0].write, taking[0].offset)

            broke = until_done(link, work, 3000 if IS_LONG else 250)
            got = proxy.bytes_down
    taken = taking[0].finish()
    assert taken is not None, "what came in pieces does not hold"
    assert taken.error is None
    assert digest_of(store.root / taken.path) == digest
    assert broke >= CUTS * 0.9
    assert restarts
    print(f"{kind}: {broke} cuts, {size} bytes, {got - size} fetched again")
    # Each restart is one more interruption, with what was on its way.
    assert got <= ALLOWED + restarts * (1 << 20), "too much was fetched again"
    row.end(tried=broke)


def test_a_source_that_changed_is_never_spliced(tmp_path: Path) -> None:
    """Another content under the same name: the part of the first try must not pass as the second."""
    first, second = tmp_path / "first", tmp_path / "second"
    made_bundle(first, 6_000_000, 3)
    name, digest = made_bundle(second, 6_000_000, 4)
    size = second.stat().st_size
    with SERVERS["embedded"](tmp_path) as server:
        part = server.home / "to-hub" / f".{name}.part"
        part.write_bytes(first.read_bytes()[:4_000_000])
        transport = connect_sftp(server.peer)
        with second.open("rb") as file:
            transport.put(name, file, size)
        transport.close()
        uploaded = server.home / "to-hub" / name
        assert digest_of(uploaded) != digest, "the part was used, as it must be for a resume"
        from frontgate import clock

        with uploaded.open("rb") as file:
            data = file.read()
        (tmp_path / "hub").mkdir()
        taken = take(SegmentStore(tmp_path / "hub"), name, lambda sink: sink(data), now=clock.now())
        assert taken.error is not None, "a splice was taken"
        assert taken.error.code == "FG-BND-010"
        assert taken.members == ()


def large_message(ref: str) -> tuple[str, dict[str, bytes]]:
    """A message with one big file and the others as it names them."""
    text = message("arrest-request/submit", ref=ref)
    pairs = re.findall(r"<m:FileName>([^<]*)</m:FileName>.*?<m:Bytes>(\d+)", text, re.DOTALL)
    files = {name: b"x" * int(size) for name, size in pairs}
    name, size = pairs[0]
    files[name] = random.Random(SEED).randbytes(32 << 20)
    return text.replace(f"<m:Bytes>{size}", f"<m:Bytes>{32 << 20}", 1), files


@pytest.mark.timeout(300)
def test_a_gateway_that_is_killed_goes_on_with_its_download(tmp_path: Path) -> None:
    """32 MB through a proxy to the receiver's gateway, which is killed in the middle, twice."""
    province = Province(tmp_path)
    text, files = large_message("big")
    with FaultProxy(province.port) as proxy:
        proxy.pause_each_mib = 0.15
        path = province.home / PROCURATORATE / "gateway.toml"
        path.write_text(path.read_text().replace(f"port = {province.port}", f"port = {proxy.port}"))
        assert str(proxy.port) in path.read_text()
        province.start()
        try:
            province.drop_folder(POLICE, "big", text, files)
            tmp = province.home / PROCURATORATE / "state" / "tmp"

            def downloaded() -> int:
                with contextlib.suppress(FileNotFoundError):  # between two tries
                    return max((p.stat().st_size for p in tmp.glob("*.partial")), default=0)
                return 0

            for mark in (8 << 20, 18 << 20):
                assert wait_for(lambda mark=mark: downloaded() >= mark, 120), province.log(POLICE)  # type: ignore[misc]
                province.kill(PROCURATORATE)
                province.start(PROCURATORATE)
            assert wait_for(lambda: len(province.entries(PROCURATORATE)) == 1, 120), province.log(
                PROCURATORATE
            )
            assert "download-resumed" in (tmp_path / f"{PROCURATORATE}.log").read_text()
            assert proxy.bytes_down < (32 << 20) + 2 * (6 << 20) + (2 << 20)
            (entry,) = province.entries(PROCURATORATE)
            sizes = {
                p.stat().st_size
                for p in (province.spool(PROCURATORATE) / "inbound" / entry / "files").iterdir()
            }
            assert 32 << 20 in sizes
        finally:
            province.stop()
