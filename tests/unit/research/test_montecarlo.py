"""Resampling, disturbed bars and shifts, held to closed forms and to what must stay as it was."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.market.bars import Bars
from abidance.model.errors import DataError, InvariantError
from abidance.research.montecarlo import (
    Paths,
    band,
    block_length,
    bootstrap,
    bootstrap_rows,
    noisy,
    p_value,
    shifted_returns,
    shifts,
    shuffle_trades,
)


def draw(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def persistent(correlation: float, size: int, seed: int = 1) -> np.ndarray:
    shocks, found = draw(seed).normal(size=size), np.zeros(size)
    for at in range(1, size):
        found[at] = correlation * found[at - 1] + shocks[at]
    return found


def bars(size: int = 500, seed: int = 1) -> Bars:
    steps = draw(seed).normal(0, 0.01, (size, 4))
    close = 100 * np.exp(np.cumsum(steps[:, 0]))
    open_ = np.r_[100.0, close[:-1]]
    high = np.maximum(open_, close) * np.exp(np.abs(steps[:, 1]))
    low = np.minimum(open_, close) * np.exp(-np.abs(steps[:, 2]))
    ts = np.arange(size, dtype=np.int64) * 3_600_000_000_000
    return Bars("BTC/USDT@BINANCE", "1h", ts, (open_, high, low, close, np.ones(size)))


@pytest.mark.parametrize("correlation", [0.3, 0.7, -0.5])
def test_the_automatic_block_length_is_the_one_that_theory_gives_for_an_autoregression(
    correlation: float,
) -> None:
    size = 20_000

    found = np.mean([block_length(persistent(correlation, size, seed)) for seed in range(3)])

    theory = (2 * abs(correlation) / (1 - correlation**2)) ** (2 / 3) * size ** (1 / 3)
    assert found == pytest.approx(theory, rel=0.2)


@pytest.mark.parametrize("returns", [[], [0.1] * 5, [0.0] * 100, [0.01] * 100])
def test_returns_too_few_or_without_change_are_drawn_one_by_one(returns: list[float]) -> None:
    assert block_length(np.array(returns)) == 1.0


def test_blocks_are_as_long_as_asked_on_average_and_go_round_the_end() -> None:
    rows = bootstrap_rows(400, 500, 8.0, draw())

    goes_on = rows[1:] == (rows[:-1] + 1) % 400
    assert np.mean(goes_on) == pytest.approx(1 - 1 / 8 + 1 / 8 / 400, abs=0.005)
    assert ((rows[:-1] == 399) & (rows[1:] == 0)).any()
    assert np.bincount(rows.ravel(), minlength=400).min() > 0


def test_blocks_of_one_are_the_plain_bootstrap() -> None:
    returns = draw(2).normal(0.001, 0.02, 250)

    found = bootstrap(returns, 4_000, draw(), mean_block=1.0)

    logs = np.log(found.final)
    assert logs.mean() == pytest.approx(np.log1p(returns).sum(), abs=0.02)
    assert logs.std() == pytest.approx(np.log1p(returns).std() * sqrt(250), rel=0.05)


def test_longer_blocks_keep_the_spread_that_persistent_returns_have() -> None:
    returns = persistent(0.6, 1_000, 3) * 0.01

    single = bootstrap(returns, 1_000, draw(), mean_block=1.0)
    blocks = bootstrap(returns, 1_000, draw())

    assert np.log(blocks.final).std() > 1.5 * np.log(single.final).std()


def test_equal_seeds_draw_equal_paths() -> None:
    returns = draw(4).normal(0, 0.01, 100)

    first, again, other = (bootstrap(returns, 50, draw(seed)) for seed in (7, 7, 8))

    assert first.final.tolist() == again.final.tolist()
    assert first.final.tolist() != other.final.tolist()


def test_a_path_tells_its_end_its_fall_and_its_lowest() -> None:
    found = Paths.of(np.array([[1.0, 0.1], [-0.5, 0.1], [-0.2, -1.5], [0.25, 0.3]]))

    assert found.final.tolist() == pytest.approx([1.0, 0.0])
    assert found.drawdown.tolist() == pytest.approx([-0.6, -1.0])
    assert found.lowest.tolist() == pytest.approx([0.8, 0.0])
    assert found.ruined(0.2) == 1.0
    assert found.ruined(0.21) == 0.5
    assert found.fan.shape == (3, len(found.rows)) == (3, 5)


def test_ruin_comes_as_often_as_the_gamblers_closed_form_says() -> None:
    # Steps of one unit in the logarithm, up with 0.55: ruin after 10 down, whatever the horizon, has (0.45/0.55)**10.
    step = 0.02
    returns = np.exp(np.where(np.arange(2_000) < 1_100, step, -step)) - 1

    found = bootstrap(returns, 3_000, draw(5), mean_block=1.0)

    assert found.ruined(1 - np.exp(-10 * step) - 1e-9) == pytest.approx((0.45 / 0.55) ** 10, abs=0.015)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_loss_that_cannot_be_is_a_broken_promise(share: float) -> None:
    with pytest.raises(InvariantError):
        Paths.of(np.zeros((3, 1))).ruined(share)


def test_shuffled_trades_end_where_they_ended_and_fall_differently() -> None:
    gains = draw(6).normal(0.01, 0.05, 60)

    found = shuffle_trades(gains, 500, draw())

    assert np.allclose(found.final, np.prod(1 + gains))
    low, middle, high = band(found.drawdown)
    assert low < middle < high < 0


@pytest.mark.parametrize(
    "make", [lambda: bootstrap(np.zeros(1), 5, draw()), lambda: shuffle_trades(np.zeros(1), 5, draw())]
)
def test_too_little_to_draw_from_is_told(make) -> None:
    with pytest.raises(DataError, match=r"1 (returns are|trades cannot)"):
        make()


@given(st.integers(0, 1_000), st.floats(0.01, 3.0), st.sampled_from([0.0, 0.01, 7.0]))
def test_disturbed_bars_are_bars(seed: int, strength: float, tick: float) -> None:
    whole = bars(60, seed)

    found = noisy(whole, strength, draw(seed), tick=tick)

    assert (found.high >= np.maximum(found.open, found.close)).all()
    assert (found.low <= np.minimum(found.open, found.close)).all()
    assert (found.low > 0).all()
    assert found.ts.tolist() == whole.ts.tolist()
    assert found.volume.tolist() == whole.volume.tolist()
    if tick:
        assert np.allclose(found.close / tick, np.round(found.close / tick))
    else:
        assert np.allclose(
            np.log(found.open[1:] / whole.open[1:]), np.log(found.close[:-1] / whole.close[:-1])
        )


def test_the_noise_is_as_strong_as_asked() -> None:
    whole = bars(5_000)

    moves = np.log(noisy(whole, 0.25, draw()).close / whole.close)

    assert moves.std() == pytest.approx(0.25 * np.diff(np.log(whole.close)).std(), rel=0.05)


def test_no_noise_and_no_bars_change_nothing_and_impossible_prices_are_left_alone() -> None:
    whole = bars(50)
    broken = Bars(
        whole.instrument, "1h", whole.ts, [np.where(np.arange(50) == 7, np.nan, c) for c in whole.columns()]
    )

    found = noisy(broken, 0.5, draw())

    assert noisy(whole, 0.0, draw()) is whole
    assert len(noisy(whole.slice(0, 0), 0.5, draw())) == 0
    assert np.isnan(found.close).tolist() == (np.arange(50) == 7).tolist()


@given(st.integers(2, 500), st.integers(1, 100))
def test_shifts_differ_and_are_never_near_none(size: int, count: int) -> None:
    found = shifts(size, count, draw())

    nearest = max(1, size // 20)
    assert len(set(found.tolist())) == len(found) <= count
    assert ((found >= nearest) & (found <= size - nearest)).all()


def test_a_p_value_counts_the_observed_run_itself() -> None:
    assert p_value(2.0, np.array([1.0, 2.0, 3.0])) == 3 / 4
    assert p_value(9.0, np.zeros(99)) == 1 / 100


def test_weights_moved_in_time_earn_the_changes_they_then_meet_and_pay_for_what_they_trade() -> None:
    weights = np.array([[1.0], [1.0], [0.0], [0.0]])
    changes = np.array([[0.1], [0.2], [0.3], [0.4]])

    still = shifted_returns(weights, changes, np.array([0.01]), 0)
    moved = shifted_returns(weights, changes, np.array([0.01]), 1)

    assert still.tolist() == pytest.approx([0.09, 0.2, -0.01, 0.0])
    assert moved.tolist() == pytest.approx([0.0, 0.19, 0.3, -0.01])
