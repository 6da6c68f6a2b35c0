"""What a loop shows of a turn that fails."""

import errno

from frontgate.pipeline.loop import Loop


def test_an_error_of_the_disk_is_shown_as_one_and_goes_away() -> None:
    faults = [OSError(errno.ENOSPC, "full")]

    def turn() -> float | None:
        if faults:
            raise faults.pop()
        return 7.0

    loop = Loop("x", turn)
    assert 0 < loop.step() <= 1.0
    assert loop.trouble is not None
    assert loop.trouble.code == "FG-JRN-004"
    assert loop.trouble.is_transient
    loop.wake()
    assert not loop.is_woken, "a failing loop waits out its back-off"
    assert loop.step() == 7.0
    assert loop.trouble is None
    loop.wake()
    assert loop.is_woken
