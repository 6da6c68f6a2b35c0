"""Fixtures over the toy standard. Tests are imported by path, so its folder is put on the path."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from frontgate.standard import Catalogue, Checker, Standards
from frontgate.standard.handbook import write_handbook

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


@pytest.fixture(scope="session")
def handbook(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Catalogue], tuple[Path, ...]]:
    """The pages of a version's handbook, written once: to be read, not to be changed."""
    written: dict[str, tuple[Path, ...]] = {}

    def pages(catalogue: Catalogue) -> tuple[Path, ...]:
        if catalogue.version not in written:
            written[catalogue.version] = write_handbook(
                catalogue, tmp_path_factory.mktemp("handbook")
            )
        return written[catalogue.version]

    return pages
