"""How much one SFTP request carries: large only where the line is quick and the server says that it may."""

import pytest

from frontgate.transports import blocks as sizes
from frontgate.transports.blocks import BIG_BLOCK, BLOCK, QUICK_BYTES, QUICK_S, Blocks


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that a test sets."""
    at = [0.0]
    monkeypatch.setattr(sizes.time, "monotonic", lambda: at[0])
    return at


def test_a_slow_line_keeps_small_requests_until_it_is_quick(now: list[float]) -> None:
    asked: list[int] = []

    def most() -> int:
        asked.append(1)
        return BIG_BLOCK

    blocks = Blocks(most)
    for _ in range(5):
        now[0] += QUICK_S * 1.1
        blocks.moved(QUICK_BYTES)
        assert blocks.size == BLOCK
    assert not asked, "a slow line is not asked for its limits"
    now[0] += QUICK_S * 0.9
    blocks.moved(QUICK_BYTES)
    assert blocks.size == BIG_BLOCK
    blocks.moved(QUICK_BYTES)
    assert asked == [1]


@pytest.mark.parametrize(
    ("most", "size"), [(0, BLOCK), (1000, BLOCK), (100_000, 100_000), (4 << 20, BIG_BLOCK)]
)
def test_the_server_says_how_much_it_takes(now: list[float], most: int, size: int) -> None:
    blocks = Blocks(lambda: most)
    blocks.moved(QUICK_BYTES)
    assert blocks.size == size
