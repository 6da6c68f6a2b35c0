"""A bundle that comes in pieces: continued, also after a restart, and never spliced."""

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from frontgate import bundle
from frontgate.pipeline.segments import SegmentStore
from frontgate.pipeline.take import Taking

NOW = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)


def made(data: bytes) -> tuple[str, bytes]:
    member = bundle.Member("a.asice", len(data), hashlib.sha256(data).hexdigest())
    whole = bundle.member_header(member) + data + bundle.member_padding(len(data)) + bundle.TRAILER
    return bundle.bundle_id(7, [member]) + ".bundle", whole


@pytest.fixture
def store(tmp_path: Path) -> SegmentStore:
    return SegmentStore(tmp_path)


def test_it_goes_on_at_the_exact_byte_within_one_process(store: SegmentStore) -> None:
    name, whole = made(os.urandom(3_000_001))
    taking = Taking(store, name, now=NOW)
    for cut in (1, 511, 700_000, 2_900_000, len(whole)):
        taking.resumed()
        taking.write(whole[taking.offset : cut])
        assert taking.offset == cut
    taken = taking.finish()
    assert taken is not None
    assert taken.error is None
    assert (store.root / taken.path).read_bytes() == whole
    assert [m.name for m in taken.members] == ["a.asice"]


def test_after_a_restart_it_goes_on_at_a_block_that_is_on_disk(store: SegmentStore) -> None:
    name, whole = made(os.urandom(5_000_000))
    taking = Taking(store, name, now=NOW)
    taking.write(whole[:4_000_000])
    taking.close()
    store.recover()
    again = Taking(store, name, now=NOW)
    assert 2_000_000 <= again.offset <= 3_000_000
    again.write(whole[again.offset :])
    taken = again.finish()
    assert taken is not None
    assert (store.root / taken.path).read_bytes() == whole


def test_pieces_of_two_sources_are_thrown_away_not_spliced(store: SegmentStore) -> None:
    name, whole = made(os.urandom(2_000_000))
    _, other = made(os.urandom(2_000_000))
    taking = Taking(store, name, now=NOW)
    taking.write(other[:1_000_000])
    taking.resumed()
    taking.write(whole[1_000_000:])
    assert taking.finish() is None
    assert not list((store.root / "tmp").iterdir())
    fresh = Taking(store, name, now=NOW)
    assert fresh.offset == 0
    fresh.write(whole)
    taken = fresh.finish()
    assert taken is not None
    assert taken.error is None


def test_a_hole_that_a_power_cut_left_is_found(store: SegmentStore) -> None:
    name, whole = made(os.urandom(6_000_000))
    part = store.root / "tmp" / f"{name}.partial"
    part.write_bytes(whole[:500_000] + b"\0" * 500_000 + whole[1_000_000:5_000_000])
    taking = Taking(store, name, now=NOW)
    assert taking.offset > 1_000_000
    taking.write(whole[taking.offset :])
    assert taking.finish() is None


def test_one_piece_that_does_not_hold_is_kept_and_said(store: SegmentStore) -> None:
    name, whole = made(b"x" * 1000)
    taking = Taking(store, name, now=NOW)
    taking.write(whole[:600] + b"y" + whole[601:])
    taken = taking.finish()
    assert taken is not None
    assert taken.error is not None
    assert taken.error.code == "FG-BND-010"
    assert (store.root / taken.path).stat().st_size == len(whole)


def test_parts_of_what_is_not_offered_any_more_go_after_a_rest(store: SegmentStore) -> None:
    for name in ("a.bundle", "b.bundle", "c.bundle"):
        (store.root / "tmp" / f"{name}.partial").write_bytes(b"x")
    for name in ("a.bundle", "b.bundle"):
        os.utime(store.root / "tmp" / f"{name}.partial", (1, 1))
    store.drop_partials(keep={"a.bundle"})
    assert sorted(p.name for p in (store.root / "tmp").iterdir()) == [
        "a.bundle.partial",
        "c.bundle.partial",
    ]
