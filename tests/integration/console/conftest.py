"""One running console for all tests of this folder."""

from collections.abc import Iterator

import pytest
from console_site import Site

from frontgate import clock


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("console"))
    clock.use(None, None)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _time_of_the_ledger(request: pytest.FixtureRequest) -> Iterator[None]:
    """The site's own time, for no longer than a test of it."""
    if "site" in request.fixturenames:
        request.getfixturevalue("site").ledger.take_time()
    yield
    clock.use(None, None)
