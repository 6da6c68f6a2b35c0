"""For all tests: those that make system accounts need root, elsewhere they are left out, and that
is said; and none leaves another clock or a probe behind for the next."""

import os
from collections.abc import Iterator

import pytest

from frontgate import clock, durable

_left_out = 0


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
    global _left_out
    if os.geteuid() == 0:
        return
    keep = [item for item in items if not _needs_root(item)]
    dropped = [item for item in items if _needs_root(item)]
    _left_out = len(dropped)
    items[:] = keep
    config.hook.pytest_deselected(items=dropped)


def _needs_root(item: pytest.Item) -> bool:
    return item.get_closest_marker("needs_root") is not None or "[openssh" in item.name


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _left_out:
        terminalreporter.write_line(
            f"{_left_out} tests make system accounts and need root: run ./dev test as root for all"
        )
