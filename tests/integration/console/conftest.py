"""One running console for all tests of this folder."""

from collections.abc import Iterator

import pytest
from console_site import Site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("console"))
    yield made
    made.close()
