"""For all tests: those that need root or the kernel's FUSE are left out where there is none, and the
summary says so; and none leaves another clock or a probe behind for the next."""

import os
from collections.abc import Iterator

import pytest

from frontgate import clock, durable

_NEEDS = {
    "needs_root": "tests that make system accounts were left out: run ./dev test as root for all",
    "needs_fuse": "tests that mount by FUSE were left out: no /dev/fuse here (modprobe fuse)",
}


@pytest.fixture(autouse=True)
def _leaves_nothing_behind() -> Iterator[None]:
    """Set up first and so torn down last: the culprit fails, not whoever comes after it."""
    real = (clock.now, clock.monotonic, durable.probe)
    yield
    left = (clock.now, clock.monotonic, durable.probe)
    clock.use(None, None)
    durable.probe = None
    assert left == real, "the clock or the durable steps' probe stayed replaced"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    lacking = _lacking()
    dropped = [item for item in items if lacking & _needs(item)]
    items[:] = [item for item in items if not lacking & _needs(item)]
    config.hook.pytest_deselected(items=dropped)


def _lacking() -> set[str]:
    lacking = set() if os.geteuid() == 0 else {"needs_root"}
    return lacking if os.path.exists("/dev/fuse") else {*lacking, "needs_fuse"}


def _needs(item: pytest.Item) -> set[str]:
    found = {name for name in _NEEDS if item.get_closest_marker(name) is not None}
    return {*found, "needs_root"} if "[openssh" in item.name else found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for need in sorted(_lacking()):
        terminalreporter.write_line(_NEEDS[need])
