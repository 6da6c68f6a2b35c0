"""A gap device that changes single bytes, and one that lies and can make digests."""

import hashlib
import json
import os
import random

import pytest
from ferry_ends import GAP_S, RESEND_S, Ends, again, ends

from frontgate.transports.carried import TRAILER, Trailer
from frontgate.transports.ferry import Ferry
from frontgate.values import replace

__all__ = ["ends"]


def forged(
    target: Ferry, side: str, kind: str, epoch: str, number: int, floor: int, data: bytes, *,
    name: str = "", digest: str = "",
) -> str:  # fmt: skip
    """What a device writes that knows the form: its digests are right. Returns: its name."""
    trailer = Trailer(
        kind, side, "u1", epoch, number, floor, name, len(data),
        digest or hashlib.sha256(data).hexdigest(),
    )  # fmt: skip
    label = ".77" if kind == "data" else ""
    file_name = f"{kind[0]}{number:016d}.{epoch}{label}.fg"
    (target.way.into / file_name).write_bytes(data + trailer.encoded())
    return file_name


def sent(ends: Ends) -> tuple[str, bytes]:
    """The one data file that the near end gave to the device."""
    (path,) = (p for p in ends.near.way.out.iterdir() if p.name[0] == "d")
    return path.name, path.read_bytes()


def acknowledgement(epoch: str, *pairs: tuple[int, str]) -> bytes:
    return json.dumps({"damaged": 0, "taken": {epoch: pairs}}).encode()


def settled(ends: Ends) -> None:
    """Time goes by until what was damaged was sent again."""
    for _ in range(4):
        ends.later(2 * RESEND_S)
        ends.round()


def test_a_false_acknowledgement_cannot_pass_for_another_epoch(ends: Ends) -> None:
    ends.put("a.bundle")
    ends.turn()
    digest = hashlib.sha256(b"data").hexdigest()
    forged(ends.near, "hub", "ack", "0" * 8, 1, 1, acknowledgement("0" * 8, (1, digest)))
    ends.near.turn()
    assert ends.waiting() == ["a.bundle"]


def test_no_byte_of_a_trailer_may_be_another(ends: Ends) -> None:
    """Not one is believed, nothing is settled by it, and what was sent arrives all the same."""
    ends.put("0.bundle")
    ends.round()
    ends.put("a.bundle", b"x" * 700)
    ends.turn()
    name, data = sent(ends)
    luck = random.Random(1)
    for at in range(len(data) - TRAILER, len(data)):
        wrong = bytearray(data)
        wrong[at] ^= 1 << luck.randrange(8)
        (ends.far.way.into / name).write_bytes(wrong)
        os.utime(ends.far.way.into / name, ns=(at, at))
        ends.far.turn()
        assert list(ends.came()) == ["0.bundle"], at
        assert os.listdir(ends.far.way.out) == [], f"acknowledged: {at}"
    (ends.far.way.into / name).unlink()
    ends.carry(ends.near, ends.far, drop="d")
    settled(ends)
    assert ends.came() == {"0.bundle": b"data", "a.bundle": b"x" * 700}
    assert ends.waiting() == []


def test_no_byte_of_an_acknowledgement_may_be_another(ends: Ends) -> None:
    ends.put("a.bundle")
    ends.turn()
    ends.carry(ends.near, ends.far)
    ends.turn()
    (name,) = os.listdir(ends.far.way.out)
    data = (ends.far.way.out / name).read_bytes()
    luck = random.Random(2)
    for at in range(len(data)):
        wrong = bytearray(data)
        wrong[at] ^= 1 << luck.randrange(8)
        (ends.near.way.into / name).write_bytes(wrong)
        os.utime(ends.near.way.into / name, ns=(at, at))
        ends.near.turn()
        assert ends.waiting() == ["a.bundle"], at
    (ends.near.way.into / name).write_bytes(data)
    ends.near.turn()
    assert ends.waiting() == []


def test_what_was_damaged_is_told_at_both_ends(ends: Ends) -> None:
    ends.put("a.bundle")
    ends.turn()
    name, data = sent(ends)
    ends.carry(ends.near, ends.far, drop="d")
    (ends.far.way.into / name).write_bytes(data[:-300] + b"?" + data[-299:])
    ends.far.turn()
    ends.later(GAP_S + 1)
    ends.round()
    assert ends.codes(ends.far) == ["FG-TRN-025"]
    assert ends.codes(ends.near) == ["FG-TRN-026"]
    assert list(ends.came()) == ["a.bundle"]
    assert ends.waiting() == []
    ends.later(6 * GAP_S)
    ends.turn()
    assert ends.codes(ends.far) == ends.codes(ends.near) == []


def test_a_floor_that_cannot_be_is_not_believed(ends: Ends) -> None:
    """By a device that can make digests: what follows is not swallowed, and both ends speak."""
    ends.put("one.bundle")
    ends.round()
    ends.put("two.bundle")
    ends.turn()
    name, data = sent(ends)
    trailer = Trailer.decoded(data[-TRAILER:])
    ends.carry(ends.near, ends.far, drop="d")
    lie = replace(trailer, floor=trailer.floor + 700_000).encoded()
    (ends.far.way.into / name).write_bytes(data[:-TRAILER] + lie)
    ends.round()
    assert ends.codes(ends.far) == ["FG-TRN-027"]
    assert ends.codes(ends.near) == ["FG-TRN-026"]
    assert list(ends.came()) == ["one.bundle"]
    assert ends.waiting() == ["two.bundle"]
    for n in range(5):
        ends.put(f"m{n}.bundle", b"m%d" % n)
        ends.round()
    ends.later(GAP_S + 1)
    ends.round()
    assert "FG-TRN-026" in ends.codes(ends.near)
    settled(ends)
    assert len(ends.came()) == 7
    assert ends.waiting() == []


def test_a_floor_in_an_acknowledgement_hides_nothing_that_comes_later(ends: Ends) -> None:
    ends.put("one.bundle")
    ends.round()
    epoch = ends.epoch()
    forged(ends.far, "gateway", "ack", epoch, 9, 700_000, acknowledgement("0" * 8))
    ends.far.turn()
    ends.put("two.bundle")
    ends.turn()
    ends.carry(ends.near, ends.far, drop="d")
    ends.put("three.bundle")
    ends.round()
    ends.later(GAP_S + 1)
    ends.far.turn()
    assert ends.far.gaps() == [2]


@pytest.mark.parametrize("floor", [1, 2, 7])
def test_a_forged_bundle_does_not_stand_in_for_a_real_one(ends: Ends, floor: int) -> None:
    """It takes numbers that the sender is about to give; those are still taken when they come."""
    ends.put("one.bundle")
    ends.round()
    epoch = ends.epoch()
    for number in range(max(2, floor), 9):
        forged(
            ends.far, "gateway", "data", epoch, number, floor, b"evil", name=f"evil{number}.bundle"
        )
    for n in range(7):
        ends.put(f"m{n}.bundle", b"m%d" % n)
        ends.round()
    assert {f"m{n}.bundle" for n in range(7)} < ends.came().keys()
    assert ends.waiting() == []
    assert "FG-TRN-027" in ends.codes(ends.near), "the far end took what nobody sent"


def test_a_forged_bundle_overwrites_nothing(ends: Ends) -> None:
    ends.put("a.bundle", b"real")
    ends.round()
    epoch = ends.epoch()
    forged(ends.far, "gateway", "data", epoch, 5, 5, b"evil", name="a.bundle")
    ends.far.turn()
    assert ends.came() == {"a.bundle": b"real"}
    assert ends.codes(ends.far) == ["FG-TRN-027"]


def test_what_lies_there_already_is_taken_anew_after_lost_memory(ends: Ends) -> None:
    ends.put("a.bundle")
    ends.turn()
    ends.carry(ends.near, ends.far)
    ends.turn()
    ends.carry(ends.far, ends.near, drop="a")
    (ends.far.way.state / "carry.json").unlink()
    ends.far = again(ends.far)
    ends.later(2 * RESEND_S)
    ends.round()
    assert ends.came() == {"a.bundle": b"data"}
    assert ends.waiting() == []
    assert ends.codes(ends.far) == []


def test_an_acknowledgement_counts_for_the_very_file_alone(ends: Ends) -> None:
    ends.put("a.bundle")
    ends.turn()
    epoch = ends.epoch()
    for serial, pairs in enumerate([[(1, "0" * 64)], [(1, "")], [(2, "0" * 64)], [(0, "x")]], 1):
        forged(ends.near, "hub", "ack", "0" * 8, serial, 1, acknowledgement(epoch, *pairs))
        ends.near.turn()
        assert ends.waiting() == ["a.bundle"]
        assert ends.codes(ends.near) == ["FG-TRN-027"]
    ends.round()
    assert ends.waiting() == []
    assert ends.codes(ends.near) == [], "the true one says nothing strange"


@pytest.mark.parametrize(
    "wrong",
    [b"", b"[]", b"{}", b'{"damaged":0,"taken":[]}', b'{"damaged":0,"taken":{"E":[[1]]}}',
     b'{"damaged":0,"taken":{"E":[1]}}', b'{"damaged":1e999,"taken":{}}', b"[" * 100_000],
)  # fmt: skip
def test_an_acknowledgement_of_another_form_says_nothing(ends: Ends, wrong: bytes) -> None:
    ends.put("a.bundle")
    ends.turn()
    epoch = ends.epoch()
    forged(ends.near, "hub", "ack", "0" * 8, 1, 1, wrong.replace(b"E", epoch.encode()))
    ends.near.turn()
    assert ends.waiting() == ["a.bundle"]


def test_an_acknowledgement_counts_after_a_restart_too(ends: Ends) -> None:
    """The digest of what was sent is then found anew."""
    ends.put("a.bundle")
    ends.turn()
    ends.carry(ends.near, ends.far)
    ends.turn()
    ends.near = again(ends.near)
    ends.carry(ends.far, ends.near)
    ends.near.turn()
    assert ends.waiting() == []


def test_only_the_latest_are_remembered_and_the_rest_is_taken_again(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frontgate.transports.ferry_memory.MOST_TAKEN", 3)
    for n in range(8):
        ends.put(f"{n}.bundle")
    for _ in range(4):
        ends.round()
        ends.later(3 * RESEND_S)
    assert len(ends.came()) == 8
    settled(ends)
    assert ends.waiting() == []
    assert ends.far.gaps() == []
