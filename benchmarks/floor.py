"""What a package costs in libraries and the kernel alone: with these promises no program could exchange more.

Usage: `python -m benchmarks.floor [--packages 1000] [--attachment BYTES]`. A province exchanges the packages.
Then one process does once more, in batches of 64, only what libraries and the kernel did for them: parsing and
schema twice, seal and digests, their encryption on two hops, the rows which that very run left in three journals
(`synchronous=FULL`), their files in three spools with all syncs. CPU time of that process. Left out is whatever
decides anything, rows that change or go, requests and answers, control messages; so the sum is a floor.
`--attachment` writes one large file as often as two hops must, each time synced, three times hashed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import apsw
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from lxml import etree

from benchmarks.check import ROOT
from benchmarks.run import POLICE, PROCURATORATE, Province, Spawned, message_of, wait_for
from frontgate import durable, safexml
from frontgate.journal import Journal
from frontgate.standard import Standards

BATCH = 64
COMMITS = 4
"""Of a batch at each node: admitted or taken, composed or begun, sent or delivered, receipts."""
RECEIPT_FILES = 3
"""At the sender, of each package: accepted there, relayed, delivered."""
NODES = {"sender": POLICE, "hub": "hub", "receiver": PROCURATORATE}
STEPS = 6
"""A file of two hops is written so often: sealed, uploaded, taken, placed, downloaded, delivered."""
HASHED = (1, 3, 5)
CHUNK = 1 << 20


def floor(packages: int, size_bytes: int = 20_000) -> dict[str, float]:
    """Milliseconds of the processor for one package, by what they are for."""
    texts = [message_of(size_bytes, f"b{n}") for n in range(packages)]
    with tempfile.TemporaryDirectory(prefix="frontgate-bench-") as name:
        home = Path(name)
        run = _Run(home / "run", texts)
        acts = [
            act for made in (_checks, _seals, _lines, _journals, _files) for act in made(home, run)
        ]
        found: dict[str, float] = {}
        for what, act in acts:
            began = time.process_time()
            act()
            found[what] = (time.process_time() - began) * 1000 / packages
    return found


Act = tuple[str, Callable[[], object]]


class _Run:
    """The exchange itself: what it left. rows: by node and table. package: the bytes of one of them."""

    def __init__(self, home: Path, texts: list[bytes]) -> None:
        self.texts = texts
        home.mkdir()
        province = Province(home, rescan_s=30, daemon=Spawned)
        try:
            province.start()
            for n, text in enumerate(texts):
                province.drop(POLICE, f"b{n:06d}.xml", text)
            told = "SELECT count(*) FROM receipt WHERE kind = 'delivered'"
            if not wait_for(
                lambda: (
                    len(province.entries(PROCURATORATE)) == len(texts)
                    and province.query(POLICE, told)[0][0] == len(texts)
                ),
                60 + len(texts) / 10,
                0.2,
            ):
                raise RuntimeError("not all were delivered")
            ((path, at, size),) = province.query(
                POLICE,
                "SELECT path, offset_bytes, package.size_bytes FROM package"
                " JOIN segment ON segment.id = segment_id LIMIT 1",
            )
            with (home / POLICE / "state" / str(path)).open("rb") as file:
                file.seek(int(str(at)))
                self.package = file.read(int(str(size)))
        finally:
            province.stop()
        self.rows = {n: _all(home / p / "state" / "journal.db") for n, p in NODES.items()}

    @property
    def batches(self) -> Iterator[range]:
        for first in range(0, len(self.texts), BATCH):
            yield range(first, min(first + BATCH, len(self.texts)))


def _all(journal: Path) -> dict[str, list[tuple[Any, ...]]]:
    db = apsw.Connection(str(journal), flags=apsw.SQLITE_OPEN_READONLY)
    names = [str(r[0]) for r in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {n: list(db.execute(f"SELECT * FROM {n}")) for n in names if n != "meta"}
    db.close()
    return found


def _checks(home: Path, run: _Run) -> Iterator[Act]:
    """At sender and hub: parsed, and held against the quickest schema there is."""
    schema = Standards.load(ROOT).version("1.0").quick("arrest-request").compile(date.today())
    assert schema is not None

    def act(schema: etree.XMLSchema = schema) -> None:
        for text in run.texts:
            for _ in range(2):
                if not schema.validate(safexml.parse(text)):
                    raise SystemExit(str(schema.error_log))

    yield "parsed, validated", act


def _seals(home: Path, run: _Run) -> Iterator[Act]:
    """One signature, verified by hub and receiver; the bytes hashed at each node."""
    key = ec.generate_private_key(ec.SECP256R1())
    public, kind = key.public_key(), ec.ECDSA(hashes.SHA256())

    def act() -> None:
        for text in run.texts:
            signature = key.sign(text, kind)
            for _ in range(2):
                public.verify(signature, text, kind)
            for _ in NODES:
                hashlib.sha256(run.package).hexdigest()

    yield "signed, verified", act


def _lines(home: Path, run: _Run) -> Iterator[Act]:
    """Two hops, encrypted and decrypted."""
    cipher, nonce = AESGCM(os.urandom(16)), os.urandom(12)

    def act() -> None:
        for _ in run.texts:
            for _ in range(2):
                cipher.decrypt(nonce, cipher.encrypt(nonce, run.package, None), None)

    yield "encrypted", act


def _journals(home: Path, run: _Run) -> Iterator[Act]:
    """The rows that the run left, in as many transactions."""
    for node, tables in run.rows.items():
        folder = home / f"{node}-journal"
        folder.mkdir()
        Journal.open(folder / "journal.db", node=f"gateway:{POLICE}").close()
        db = apsw.Connection(str(folder / "journal.db"))
        db.execute("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000")

        def act(
            db: apsw.Connection = db, tables: dict[str, list[tuple[Any, ...]]] = tables
        ) -> None:
            turns = COMMITS * len(list(run.batches))
            for turn in range(turns):
                with db:
                    for name, rows in tables.items():
                        some = rows[len(rows) * turn // turns : len(rows) * (turn + 1) // turns]
                        if some:
                            marks = ", ".join("?" * len(some[0]))
                            db.executemany(f"INSERT INTO {name} VALUES ({marks})", some)

        yield f"rows, {node}", act


def _files(home: Path, run: _Run) -> Iterator[Act]:
    for node, act in (("sender", _sender), ("hub", _hub), ("receiver", _receiver)):
        folder = home / f"{node}-files"
        for name in ("outbound", "claims", "receipts", "segments", "boxes", "staging", "inbound"):
            (folder / name).mkdir(parents=True)
        if node == "sender":
            for n, text in enumerate(run.texts):
                (folder / "outbound" / f"{n}.xml").write_bytes(text)
        yield f"files, {node}", lambda act=act, folder=folder: act(folder, run)  # type: ignore[misc]


def _put(path: Path, data: bytes) -> None:
    """Written, synced, renamed, the folder synced."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    durable.fsync_dir(path.parent)


def _sender(home: Path, run: _Run) -> None:
    """Claimed, read, into a segment; the claim removed; a file for each receipt."""
    for batch in run.batches:
        for n in batch:
            (home / "claims" / str(n)).mkdir()
            os.rename(home / "outbound" / f"{n}.xml", home / "claims" / str(n) / f"{n}.xml")
            (home / "claims" / str(n) / f"{n}.xml").read_bytes()
        _put(home / "segments" / f"{batch.start}.done", run.package * len(batch))
        for n in batch:
            (home / "claims" / str(n) / f"{n}.xml").unlink()
            (home / "claims" / str(n)).rmdir()
            for kind in range(RECEIPT_FILES):
                (home / "receipts" / f"{n}.{kind}.xml").write_bytes(run.texts[n][:3000])


def _hub(home: Path, run: _Run) -> None:
    """Uploaded, taken as a copy of its own, placed; both boxes emptied."""
    for batch in run.batches:
        data = run.package * len(batch)
        for place in ("boxes/up", "segments/", "boxes/down"):
            _put(home / f"{place}{batch.start}.done", data)
        for name in ("up", "down"):
            (home / "boxes" / f"{name}{batch.start}.done").read_bytes()
            (home / "boxes" / f"{name}{batch.start}.done").unlink()


def _receiver(home: Path, run: _Run) -> None:
    """Downloaded into a segment; an entry of a folder and a file for each, synced together."""
    for batch in run.batches:
        _put(home / "segments" / f"{batch.start}.done", run.package * len(batch))
        for n in batch:
            (home / "staging" / str(n)).mkdir()
            (home / "staging" / str(n) / "message.xml").write_bytes(run.texts[n])
        durable.sync_file_system(home / "staging")
        for n in batch:
            os.rename(home / "staging" / str(n), home / "inbound" / str(n))
        durable.fsync_dir(home / "inbound")


def written(size_bytes: int) -> float:
    """Seconds to write one large file as often as two hops must, one after the other: read, hashed, synced."""
    with tempfile.TemporaryDirectory(prefix="frontgate-bench-") as name:
        source = Path(name) / "0"
        with source.open("wb") as file:
            for _ in range(size_bytes // CHUNK):
                file.write(os.urandom(CHUNK))
        began = time.perf_counter()
        for step in range(1, STEPS + 1):
            target = Path(name) / str(step)
            sha = hashlib.sha256()
            with source.open("rb") as read, target.open("wb") as file:
                while data := read.read(CHUNK):
                    if step in HASHED:
                        sha.update(data)
                    file.write(data)
                file.flush()
                os.fsync(file.fileno())
            source = target
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.floor", description=__doc__)
    parser.add_argument("--packages", type=int, default=1000)
    parser.add_argument("--attachment", type=int, default=0, metavar="BYTES")
    options = parser.parse_args()
    if options.attachment:
        seconds = written(options.attachment)
        print(f"{STEPS} times: {seconds:.1f} s, {options.attachment / 1e6 / seconds:.0f} MB/s")
        return
    found = floor(options.packages)
    for what, each in found.items():
        print(f"{what:<20}{each:7.3f} ms")
    total = sum(found.values())
    print(
        f"{'together':<20}{total:7.3f} ms: {(os.cpu_count() or 1) * 1000 / total:.0f}/s by the cores"
    )


if __name__ == "__main__":
    main()
