"""The judges are judged: each finds a build that breaks a promise on purpose.

A stand-in is put into the nodes' processes alone. Without it the very same points end well.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from faults.points import Ended, Range
from unit.transports import test_ferry_wrong_builds

from frontgate.values import replace


@pytest.fixture(scope="module")
def range_() -> Iterator[Range]:
    with Range() as made:
        yield made


def acknowledge_before_fsync() -> None:
    """Files are renamed and told of without ever being synced."""
    from frontgate import durable

    durable.fsync_file = lambda file: None  # type: ignore[assignment]


def forget_the_folder() -> None:
    """Files are synced, the folders that name them are not."""
    from frontgate import durable

    durable.fsync_dir = lambda path, *, dir_fd=None: None  # type: ignore[assignment]


def discard_before_the_journal() -> None:
    """A drop is removed when it was sealed, before the transaction that admits it."""
    from frontgate.gateway import intake
    from frontgate.spool.drop import discard

    real = intake.Intake._judge

    def judge(self: Any, post: Any, item: Any, target: Any, now: Any) -> Any:
        result = real(self, post, item, target, now)
        discard(post.paths, result.claim)
        return result

    intake.Intake._judge = judge  # type: ignore[method-assign]


def refuse_in_silence() -> None:
    """A refused drop is thrown away without a report."""
    from frontgate.gateway import intake

    real = intake.Intake._finish

    def finish(self: Any, post: Any, claim: Any, state: Any, findings: Any, now: Any) -> None:
        state = intake.State.ADMITTED if state is intake.State.REJECTED else state
        real(self, post, claim, state, findings, now)

    intake.Intake._finish = finish  # type: ignore[method-assign]


def sync_again() -> None:
    """An fsync that failed is called once more, and its success believed."""
    from frontgate import durable

    real = durable.fsync_file

    def again(file: Any) -> None:
        with contextlib.suppress(OSError):
            real(file)
            return
        real(file)

    durable.fsync_file = again


def hand_over_again() -> None:
    """What was handed over is delivered once more."""
    from frontgate.journal import transfers

    real = transfers.apply

    def apply(tx: Any, transfer_id: int, event: Any, **more: Any) -> Any:
        state = real(tx, transfer_id, event, **more)
        row = transfers.by_id(tx, transfer_id)
        assert row is not None
        is_taken = state.value == "ACKNOWLEDGED" and row.destination.startswith("spool:")
        if is_taken and row.attempt == 1:
            where = {"destination": row.destination, "receiver": row.receiver}
            transfers.add(tx, package_id=row.package_id, attempt=2, **where)
        return state

    transfers.apply = apply


def deliver_under_a_new_name() -> None:
    """A delivery that a crash cut off begins anew, whatever stands in the folder already."""
    from frontgate.gateway import delivery

    real = delivery.entry_name

    def due(*given: Any, **named: Any) -> list[Any]:
        return [replace(row, entry="") for row in queues.due(*given, **named)]

    def entry_name(at: Any, *given: Any, **named: Any) -> str:
        return real(at + timedelta(seconds=os.getpid()), *given, **named)

    queues = delivery.queues
    delivery.queues = SimpleNamespace(due=due, next_due=queues.next_due)  # type: ignore[assignment]
    delivery.entry_name = entry_name


def acknowledge_nothing() -> None:
    """What the gap device brought is taken, and its sender never hears of it."""
    from frontgate.transports.ferry import Ferry

    def acknowledge(self: Any) -> None:
        self._arrivals.owes_ack = False

    Ferry._acknowledge = acknowledge  # type: ignore[method-assign]


def take_for_all_below() -> None:
    """An acknowledgement of what came last is one of what a gap device lost before it."""
    test_ferry_wrong_builds.take_for_all_below(pytest.MonkeyPatch())


def let_go_at_once() -> None:
    """What a gap device was given is deleted before anybody says that it came."""
    test_ferry_wrong_builds.let_go_at_once(pytest.MonkeyPatch())


def places(
    range_: Range, scene: str, role: str, what: str, stand_in: Callable[[], None] | None
) -> list[int]:
    """The moments of a node's life that `what` stands in."""
    trace = range_.trace(scene, role, stand_in=stand_in)
    return [number for number, step in enumerate(trace, 1) if what in step]


def ends(range_: Range, point: str, stand_in: Callable[[], None] | None) -> Ended:
    return range_.run(point, stand_in=stand_in)


CASES: list[tuple[str, Callable[[], None], str, str, str, str]] = [
    # what must be said, stand-in, scene, role, the step, the point
    ("INV-5", acknowledge_before_fsync, "plain", "hub", "after commit", "cut:plain:hub:{n}:none:1"),
    ("INV-5", forget_the_folder, "plain", "hub", "after commit", "cut:plain:hub:{n}:none:1"),
    ("lost=1", discard_before_the_journal, "plain", "sender", "before commit", "kill:plain:sender:{n}"),
    ("silent=1", refuse_in_silence, "refused", "sender", "", "kill:refused:sender:100000"),
    ("twice=1", hand_over_again, "plain", "receiver", "", "kill:plain:receiver:100000"),
    ("twice=1", deliver_under_a_new_name, "plain", "receiver", "after rename .frontgate/staging", "kill:plain:receiver:{n}"),
    ("carried and never acknowledged", acknowledge_nothing, "ferry", "sender", "", "kill:ferry:sender:100000"),
    ("let go and never brought", take_for_all_below, "ferry", "sender", "", "kill:ferry:sender:100000"),
    ("let go and never brought", let_go_at_once, "ferry", "sender", "", "kill:ferry:sender:100000"),
    ("fsync again", sync_again, "plain", "receiver", "before fsync state/tmp", "fail:plain:receiver:{n}:EIO:once"),
]  # fmt: skip


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("said", "stand_in", "scene", "role", "step", "point"),
    CASES,
    ids=[c[1].__name__ for c in CASES],
)
def test_a_wrong_build_is_found(
    range_: Range,
    said: str,
    stand_in: Callable[[], None],
    scene: str,
    role: str,
    step: str,
    point: str,
) -> None:
    """At one of the places where the promise is broken the judge says so."""
    told, tried = "", []
    # A life's threads take turns otherwise each time, more so on a busy machine: steps move by a few.
    for moved in (0, 0, 0, 1, -1, 2):
        numbers = [n + moved for n in places(range_, scene, role, step, stand_in)] if step else [0]
        if point.startswith("fail:"):
            numbers = [(n + 1) // 2 for n in numbers]
        for n in numbers:
            told = words(ends(range_, point.format(n=n), stand_in))
            if said in told:
                return
        tried.append(numbers)
    pytest.fail(f"nobody noticed: {point} at {tried}: {told}")


def words(ended: Ended) -> str:
    judgement = ended.judgement
    counted = {name: len(getattr(judgement, name)) for name in ("lost", "twice", "silent")}
    said = [f"{name}={count}" for name, count in counted.items() if count]
    return " ".join([*said, *judgement.broken])


def test_the_processes_of_a_range_leave_nothing_behind(range_: Range) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for n in (20, 40, 60):
        assert ends(range_, f"kill:plain:hub:{n}", None).is_good
    assert len(os.listdir("/proc/self/fd")) == before
