"""Two ferries with a test's hands between them: what a gap device may do, one thing at a time."""

import errno
import hashlib
import io
import os
import shutil
from pathlib import Path

import pytest
from ferry_ends import GAP_S, RESEND_S, Ends, again, ends, ferry

from frontgate import durable
from frontgate.errors import TransportError
from frontgate.transports.carried import TRAILER, NotWhole, Trailer, read_trailer
from frontgate.transports.directory import DirectoryPeer
from frontgate.transports.ferry import Ferry
from frontgate.values import replace

__all__ = ["ends"]


def test_it_arrives_and_is_kept_until_that_is_acknowledged(ends: Ends) -> None:
    ends.put("a.bundle", b"x" * 3_000_000)
    ends.turn()
    ends.carry(ends.near, ends.far)
    ends.turn()
    assert ends.came() == {"a.bundle": b"x" * 3_000_000}
    assert ends.waiting() == ["a.bundle"], "not before the acknowledgement is here"
    ends.carry(ends.far, ends.near)
    ends.turn()
    assert ends.waiting() == []
    assert os.listdir(ends.near.way.out) == []


def test_what_is_lost_is_sent_again_under_a_new_name(ends: Ends) -> None:
    ends.put("a.bundle")
    ends.turn()
    lost = ends.carry(ends.near, ends.far, drop="d")
    ends.later(RESEND_S * 0.9)
    ends.turn()
    assert os.listdir(ends.near.way.out) == [], "not before its time"
    ends.later(RESEND_S * 1.2)
    ends.turn()
    (name,) = os.listdir(ends.near.way.out)
    assert name not in lost
    ends.round()
    assert list(ends.came()) == ["a.bundle"]
    assert ends.waiting() == []


def test_a_lost_acknowledgement_is_given_again(ends: Ends) -> None:
    ends.put("a.bundle")
    ends.turn()
    ends.carry(ends.near, ends.far)
    ends.turn()
    ends.carry(ends.far, ends.near, drop="a")
    ends.later(2 * RESEND_S)
    (ends.far.way.incoming / "a.bundle").unlink()  # the hub has taken it
    ends.round()
    assert ends.waiting() == []
    assert ends.came() == {}, "what was taken does not come a second time"
    assert ends.far.counts.repeats == 1


def test_what_is_missing_below_another_is_kept(ends: Ends) -> None:
    for name in ("a.bundle", "b.bundle", "c.bundle"):
        ends.put(name)
    ends.turn()
    (ends.near.way.out / sorted(os.listdir(ends.near.way.out))[1]).unlink()
    ends.round()
    assert ends.waiting() == ["b.bundle"], "the last was acknowledged, this one never came"
    ends.later(2 * RESEND_S)
    ends.round()
    assert sorted(ends.came()) == ["a.bundle", "b.bundle", "c.bundle"]
    assert ends.waiting() == []


def test_any_order_and_repeats_are_welcome(ends: Ends) -> None:
    for n in range(5):
        ends.put(f"{n}.bundle", bytes([n]))
    ends.turn()
    names = sorted(os.listdir(ends.near.way.out), reverse=True)
    for name in names:
        for copy in (1, 2):
            shutil.copy(ends.near.way.out / name, ends.far.way.into / name)
            ends.far.turn()
            assert copy
    assert ends.came() == {f"{n}.bundle": bytes([n]) for n in range(5)}
    assert ends.far.counts.repeats == 5
    assert ends.codes(ends.far) == []


def test_a_cut_file_is_nothing_until_it_is_whole(ends: Ends) -> None:
    ends.put("a.bundle", b"x" * 2000)
    ends.turn()
    (name,) = os.listdir(ends.near.way.out)
    data = (ends.near.way.out / name).read_bytes()
    for size in (0, 100, 511, 512, 2000, 2400, len(data) - 1):
        (ends.far.way.into / name).write_bytes(data[:size])
        ends.far.turn()
        assert ends.came() == {}
    (ends.far.way.into / name).write_bytes(data)
    ends.far.turn()
    assert ends.came() == {"a.bundle": b"x" * 2000}


def test_a_hole_in_the_middle_is_found_and_set_aside(ends: Ends) -> None:
    ends.put("a.bundle", b"x" * 5000)
    ends.turn()
    (name,) = os.listdir(ends.near.way.out)
    data = (ends.near.way.out / name).read_bytes()
    (ends.far.way.into / name).write_bytes(data[:1000] + b"\0" * 1000 + data[2000:])
    (ends.far.way.into / name).chmod(0o666)
    ends.far.turn()
    ends.later(GAP_S + 1)
    ends.far.turn()
    assert ends.came() == {}
    assert os.listdir(ends.far.way.into) == []
    (aside,) = (ends.far.way.state / "aside").iterdir()
    assert aside.stat().st_mode & 0o777 == 0o600, "the device's rights stay behind"
    ends.round()
    ends.later(2 * RESEND_S)
    ends.round()
    assert ends.came() == {"a.bundle": b"x" * 5000}


def test_a_missing_number_is_reported_after_a_while_and_when_it_comes(ends: Ends) -> None:
    for n in range(4):
        ends.put(f"{n}.bundle")
    ends.turn()
    held = sorted(os.listdir(ends.near.way.out))[1]
    shutil.move(ends.near.way.out / held, ends.near.way.state / held)
    ends.carry(ends.near, ends.far)
    ends.turn()
    assert len(ends.came()) == 3
    assert ends.far.gaps() == []
    ends.later(GAP_S + 1)
    ends.far.turn()
    assert ends.far.gaps() == [2]
    assert ends.far.status()["gaps"] == [2]
    assert ends.codes(ends.far) == ["FG-TRN-022"]
    shutil.move(ends.near.way.state / held, ends.far.way.into / held)
    ends.far.turn()
    assert ends.far.gaps() == []
    assert ends.codes(ends.far) == []


def test_a_silent_device_is_reported_by_the_sender(ends: Ends) -> None:
    ends.put("a.bundle")
    ends.turn()
    ends.later(GAP_S + 1)
    ends.turn()
    assert ends.codes(ends.near) == ["FG-TRN-021"]
    ends.round()
    ends.near.turn()
    assert ends.codes(ends.near) == []


def test_crossed_folders_are_said_and_left_alone(ends: Ends) -> None:
    ends.put("a.bundle")
    ends.turn()
    (name,) = os.listdir(ends.near.way.out)
    shutil.copy(ends.near.way.out / name, ends.near.way.into / name)
    for _ in range(3):
        ends.near.turn()
    assert ends.codes(ends.near) == ["FG-TRN-023"]
    ends.later(GAP_S + 1)
    ends.near.turn()
    assert os.listdir(ends.near.way.into) == [name]
    assert not (ends.near.way.incoming / "a.bundle").exists()
    (ends.near.way.into / name).unlink()
    ends.near.turn()
    assert "FG-TRN-023" not in ends.codes(ends.near)


def test_another_units_file_is_not_taken(ends: Ends, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    stranger = ferry(tmp_path / "s", "gateway", ends.near.way.out, ends.near.way.into, "u2")
    stranger.turn()
    (stranger.way.outgoing / "evil.bundle").write_bytes(b"x")
    stranger.turn()
    ends.carry(ends.near, ends.far)
    ends.far.turn()
    assert ends.came() == {}
    assert ends.codes(ends.far) == ["FG-TRN-023"]


def test_what_is_not_a_plain_file_is_never_followed(ends: Ends, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * 600)
    base = f"{1:016d}.{'0' * 8}.0.fg"
    (ends.far.way.into / f"d{base}").symlink_to(secret)
    os.mkfifo(ends.far.way.into / f"d{base.replace('1', '2')}")
    (ends.far.way.into / f"d{base.replace('1', '3')}").mkdir()
    (ends.far.way.into / "\udcff\n.txt").write_bytes(b"?")
    ends.put("a.bundle")
    ends.round()
    assert ends.came() == {"a.bundle": b"data"}
    assert ends.far.counts.foreign == 1
    assert secret.exists()


def test_a_restart_sends_again_under_a_new_name_and_forgets_nothing(ends: Ends) -> None:
    ends.put("a.bundle")
    ends.turn()
    first = ends.carry(ends.near, ends.far, drop="d")
    ends.near = again(ends.near)
    ends.near.turn()
    (name,) = os.listdir(ends.near.way.out)
    assert name.split(".")[:2] == first[0].split(".")[:2], "the number and the epoch of before"
    assert name != first[0]
    ends.far = again(ends.far)
    ends.round()
    assert list(ends.came()) == ["a.bundle"]
    assert ends.waiting() == []


@pytest.mark.parametrize("loss", ["gone", "damaged"])
def test_lost_memory_at_either_end_is_survived(ends: Ends, loss: str) -> None:
    for n in range(3):
        ends.put(f"{n}.bundle")
    ends.round()
    ends.put("late.bundle")
    for end in (ends.near, ends.far):
        memory = end.way.state / "carry.json"
        if loss == "gone":
            memory.unlink()
        else:
            memory.write_bytes(b"\0" * 40)
    ends.near, ends.far = again(ends.near), again(ends.far)
    ends.round()
    assert "late.bundle" in ends.came()
    assert ends.waiting() == []
    ends.later(GAP_S + 1)
    ends.turn()
    assert ends.codes(ends.far) == []


def test_a_new_far_end_does_not_call_what_was_settled_missing(ends: Ends) -> None:
    for n in range(30):
        ends.put(f"{n}.bundle")
    ends.round()
    (ends.far.way.state / "carry.json").unlink()
    ends.far = again(ends.far)
    ends.put("31.bundle")
    ends.round()
    ends.later(GAP_S + 1)
    ends.turn()
    assert ends.far.gaps() == []
    assert "31.bundle" in ends.came()


def test_our_folders_are_durable_before_anything_lies_in_them(
    ends: Ends, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[object] = []
    monkeypatch.setattr(durable, "fsync_dir", lambda path, **_: synced.append(path))
    home = tmp_path / "new"
    home.mkdir()
    way = replace(
        ends.near.way, outgoing=home / "to-hub", incoming=home / "from-hub", state=home / "state"
    )
    peer = DirectoryPeer(way)
    assert home in synced
    synced.clear()
    peer.connect()
    assert synced == [home, home]
    peer.connect()
    peer.ferry.turn()
    assert synced.count(home) == 2, "once in a process"


def test_a_folder_of_the_device_that_is_away_is_transient_trouble(ends: Ends) -> None:
    shutil.rmtree(ends.near.way.into)
    ends.near.turn()
    assert ends.codes(ends.near) == ["FG-TRN-020"]
    ends.near.way.into.mkdir()
    ends.near.turn()
    assert ends.codes(ends.near) == []


def test_a_trailer_has_one_form(tmp_path: Path) -> None:
    whole = Trailer("data", "hub", "u1", "0" * 8, 7, 1, "a", 3, "0" * 64).encoded()
    assert len(whole) == TRAILER
    assert Trailer.decoded(whole).number == 7

    def with_digest(text: bytes) -> bytes:
        return text + hashlib.sha256(text).hexdigest().encode() + b"\n"

    text = whole[: TRAILER - 65]
    assert with_digest(text) == whole
    forms = (
        with_digest(text.replace(b'"number":7', b'"number":"7"')),
        with_digest(text.replace(b'"number":7', b'"number":-7')),
        with_digest(text.replace(b'"number":7', b'"number":true')),
        with_digest(text.replace(b'"name":"a"', b'"name":null')[: TRAILER - 65]),
        with_digest(text.replace(b":", b": ", 1)[: TRAILER - 65]),
        with_digest(text.replace(b"carried-2", b"carried-1")),
        with_digest(b"[" * (TRAILER - 65)),
        whole.replace(b'"number":7', b'"number":8'),
        whole[:-1] + b" ",
        b"[" * TRAILER,
        b"\0" * TRAILER,
    )
    for wrong in forms:
        with pytest.raises(NotWhole):
            Trailer.decoded(wrong)
    path = tmp_path / "f"
    path.write_bytes(b"abcd" + whole)
    with path.open("rb") as file, pytest.raises(NotWhole):
        read_trailer(file, 4 + TRAILER)


def test_without_room_bundles_wait_in_the_devices_folder(ends: Ends) -> None:
    room = [False]
    ends.far = Ferry(ends.far.way, may_take=lambda: room[0])
    ends.put("a.bundle")
    (ends.far.way.outgoing / "answer.bundle").write_bytes(b"back")
    ends.round()
    assert ends.came() == {}
    assert [p.name for p in ends.near.way.incoming.iterdir()] == ["answer.bundle"]
    assert list(ends.far.way.outgoing.iterdir()) == [], "acknowledgements are heard all the same"
    assert any(name.startswith("d") for name in os.listdir(ends.far.way.into))
    room[0] = True
    ends.round()
    assert ends.came() == {"a.bundle": b"data"}
    assert ends.waiting() == []


def test_a_name_whose_folder_could_not_be_synced_is_not_trusted_at_the_next_try(ends: Ends) -> None:
    transport = DirectoryPeer(ends.near.way).connect()
    steps: list[str] = []

    def refuse_once(moment: str, step: str, places: tuple[object, ...]) -> None:
        if moment == "before":
            steps.append(step)
            if steps.count("fsync-dir") == 1 and step == "fsync-dir":
                raise OSError(errno.EIO, "injected")

    durable.probe = refuse_once
    try:
        with pytest.raises(TransportError, match="FG-TRN-024"):
            transport.put("a.bundle", io.BytesIO(b"xyz"), 3)
        assert os.listdir(ends.near.way.outgoing) == []
        steps.clear()
        steps.append("fsync-dir")
        transport.put("a.bundle", io.BytesIO(b"xyz"), 3)
    finally:
        durable.probe = None
    assert steps[-4:] == ["write", "fsync", "rename", "fsync-dir"]
    assert ends.waiting() == ["a.bundle"]


def test_a_name_that_stands_there_after_a_kill_is_synced(ends: Ends) -> None:
    transport = DirectoryPeer(ends.near.way).connect()
    transport.put("a.bundle", io.BytesIO(b"xyz"), 3)
    steps: list[str] = []
    durable.probe = lambda moment, step, places: steps.append(f"{moment} {step}")
    try:
        transport.put("a.bundle", io.BytesIO(b"xyz"), 3)
    finally:
        durable.probe = None
    assert steps == ["before fsync-dir", "after fsync-dir"]
