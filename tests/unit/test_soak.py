"""The soak's judge: what grows is seen through the scatter, what only scatters isn't accused."""

import random

import pytest

from benchmarks.soak import MOST_MIB_AN_HOUR, slope_of

HOUR = [5.0 * n for n in range(720)]


def series(mib_an_hour: float, *, scatter: float, warm_up: float, seed: int) -> list[float]:
    luck = random.Random(seed)
    return [
        60 + min(warm_up, at / 60) + mib_an_hour * at / 3600 + luck.uniform(-scatter, scatter)
        for at in HOUR
    ]


@pytest.mark.parametrize("seed", range(20))
def test_a_leak_is_told_from_scatter_and_from_warming_up(seed: int) -> None:
    steady = slope_of("steady", HOUR, series(0, scatter=0.8, warm_up=15, seed=seed))
    leaking = slope_of("leaking", HOUR, series(3, scatter=0.8, warm_up=15, seed=seed))
    assert not steady.grows
    assert abs(steady.mib_an_hour) < MOST_MIB_AN_HOUR
    assert leaking.grows
    assert leaking.mib_an_hour == pytest.approx(3, abs=0.7)


def test_what_scatters_more_than_it_grows_is_not_judged_to_grow() -> None:
    noisy = slope_of("noisy", HOUR[:30], series(1.5, scatter=5, warm_up=0, seed=1)[:30])
    assert not noisy.grows


@pytest.mark.parametrize("seed", range(20))
def test_what_stays_up_for_minutes_and_comes_down_again_is_not_judged_to_grow(seed: int) -> None:
    luck = random.Random(seed)
    heights = [luck.uniform(0, 1.5) for _ in range(12)]
    wandering = [60 + heights[int(at // 300)] + luck.uniform(-0.05, 0.05) for at in HOUR]
    assert not slope_of("wandering", HOUR, wandering).grows
