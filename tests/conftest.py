"""Tests that make system accounts need root; elsewhere they are left out, and that is said."""

import os

import pytest

_left_out = 0


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
