"""Fixtures over the toy standard. Tests are imported by path, so its folder is put on the path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from frontgate.standard import Checker, Standards

sys.path.insert(0, str(Path(__file__).parent))

from toy_standard import write_standard


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """Root folder of the toy standard; its path holds a space and Chinese on purpose."""
    return write_standard(tmp_path / "标准 folder")


@pytest.fixture
def standards(toy: Path) -> Standards:
    return Standards.load(toy)


@pytest.fixture
def checker(standards: Standards) -> Checker:
    return Checker(standards)
