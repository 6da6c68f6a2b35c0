"""The tests of the ferry are judged: each finds an end that breaks its promise on purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ferry_ends import Ends, ends
from unit.transports import test_ferry, test_ferry_lies

from frontgate.transports import carried
from frontgate.transports.ferry import Ferry
from frontgate.transports.ferry_in import Arrivals
from frontgate.transports.ferry_memory import Answer, Memory

__all__ = ["ends"]
Build = Callable[[pytest.MonkeyPatch], None]


def take_for_all_below(monkeypatch: pytest.MonkeyPatch) -> None:
    """An acknowledgement of a number is one of every number below it."""
    real = Memory.acknowledged

    def acknowledged(self: Memory, data: bytes, digest_of: Callable[[str], str]) -> Answer:
        answer = real(self, data, digest_of)
        highest = max((self.numbers[name] for name in answer.names), default=0)
        names = [name for name, number in self.numbers.items() if number <= highest]
        return Answer(names, answer.strange, answer.damaged)

    monkeypatch.setattr(Memory, "acknowledged", acknowledged)


def ask_no_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """An acknowledgement of a number is one of whatever has that number here."""
    real = Memory.acknowledged

    def acknowledged(self: Memory, data: bytes, digest_of: Callable[[str], str]) -> Answer:
        for digest in ("0" * 64, ""):
            if answer := real(self, data, lambda _, digest=digest: digest).names:  # type: ignore[misc]
                return Answer(answer, set(), 0)
        return real(self, data, digest_of)

    monkeypatch.setattr(Memory, "acknowledged", acknowledged)


def let_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the device was given is deleted before anybody says that it came."""
    real = Ferry._write

    def write(self: Ferry, name: str, number: int, due: Any) -> None:
        real(self, name, number, due)
        (self.way.outgoing / name).unlink(missing_ok=True)

    monkeypatch.setattr(Ferry, "_write", write)


def believe_the_content(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes is not held against the digest in its trailer."""

    def copy(file: Any, trailer: carried.Trailer, sink: Callable[[bytes], object]) -> None:
        sink(file.read(trailer.size_bytes))

    monkeypatch.setattr(carried, "copy_content", copy)


def take_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was taken and comes again is taken again."""
    monkeypatch.setattr(Memory, "has", lambda *_: False)


def acknowledge_before_it_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came is acknowledged, and not kept."""
    monkeypatch.setattr(Arrivals, "_put_in", lambda *_: None)


def number_anew_at_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of what was sent is known after a restart."""
    real = Memory.load.__func__  # type: ignore[attr-defined]

    def load(cls: type[Memory], path: Any) -> Memory:
        path.unlink(missing_ok=True)
        return real(cls, path)  # type: ignore[no-any-return]

    monkeypatch.setattr(Memory, "load", classmethod(load))


CASES: list[tuple[Build, Callable[[Ends], None], str]] = [
    (take_for_all_below, test_ferry.test_what_is_missing_below_another_is_kept, "this one never came"),
    (ask_no_digest, test_ferry_lies.test_an_acknowledgement_counts_for_the_very_file_alone, "a.bundle"),
    (let_go_at_once, test_ferry.test_it_arrives_and_is_kept_until_that_is_acknowledged, "not before the acknowledgement"),
    (believe_the_content, test_ferry.test_a_hole_in_the_middle_is_found_and_set_aside, "a.bundle"),
    (take_every_time, test_ferry.test_a_lost_acknowledgement_is_given_again, "does not come a second time"),
    (acknowledge_before_it_is_here, test_ferry.test_it_arrives_and_is_kept_until_that_is_acknowledged, "a.bundle"),
    (number_anew_at_a_start, test_ferry.test_a_restart_sends_again_under_a_new_name_and_forgets_nothing, "the epoch of before"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "check", "said"), CASES, ids=[c[0].__name__ for c in CASES])
def test_a_wrong_end_is_found(
    ends: Ends,
    monkeypatch: pytest.MonkeyPatch,
    build: Build,
    check: Callable[[Ends], None],
    said: str,
) -> None:
    build(monkeypatch)
    with pytest.raises(AssertionError, match=said):
        check(ends)
