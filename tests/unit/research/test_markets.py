"""Generated markets: their moments, memory and ties, held to what was asked for and to what they were fitted to."""

from decimal import Decimal
from math import exp, log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.market.bars import Bars
from abidance.market.quality import Grade, checked, inspect_bars
from abidance.model.errors import DataError, InvariantError
from abidance.model.instrument import timeframe_ns
from abidance.research.calibration import FEWEST, degrees_of_freedom, fit, garch_weights
from abidance.research.markets import (
    Diffusion,
    Garch,
    Gbm,
    Maker,
    Market,
    Model,
    Regimes,
    Resampled,
    Shapes,
    Volume,
    aligned,
    on_tick,
)

IDS = ("BTC/USDT@BINANCE", "ETH/USDT@BINANCE")
START = 1_704_067_200_000_000_000
TIED = np.array([[1.0, 0.7], [0.7, 1.0]])
TICK = Decimal("0.01")


def draw(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def gbm(growth: float = 0.0, deviation: float = 0.01) -> Gbm:
    return Gbm(np.full(2, growth), np.array([deviation, 2 * deviation]), TIED)


def garch(alpha: float = 0.1, beta: float = 0.85, freedom: float = 6.0) -> Garch:
    two = np.ones(2)
    return Garch(0 * two, 1e-4 * two, alpha * two, beta * two, freedom, TIED)


def regimes() -> Regimes:
    growth = np.array([[0.001, 0.001], [-0.001, -0.001], [-0.02, -0.02]])
    covariance = np.array([1e-5 * TIED, 4e-5 * TIED, 9e-4 * TIED])
    transition = np.array([[0.98, 0.019, 0.001], [0.03, 0.95, 0.02], [0.2, 0.2, 0.6]])
    return Regimes(("bull", "bear", "crash"), growth, covariance, transition, np.array([0.6, 0.37, 0.03]))


def around(model: Model, reach: float = 1.0, gap: float = 0.0) -> Diffusion:
    return Diffusion(model, np.full(2, reach), np.full(2, gap), (Volume(noise=0.5), Volume(level=3.0)))


def market(maker: Maker, prices: tuple[float, float] = (40_000.0, 2_000.0), tick: Decimal = TICK) -> Market:
    return Market(IDS, "1h", START, np.array(prices), (tick, tick), maker)


def closes(bars: dict[str, Bars]) -> np.ndarray:
    return np.diff(np.log([each.close for each in bars.values()]), axis=1).T


def tie(values: np.ndarray) -> float:
    return float(np.corrcoef(values[:, 0], values[:, 1])[0, 1])


def squares_remember(returns: np.ndarray) -> float:
    squares = np.square(returns - returns.mean())
    return float(np.corrcoef(squares[1:], squares[:-1])[0, 1])


# --- how bars end


def test_gbm_has_the_deviation_and_the_correlation_that_were_asked_for() -> None:
    size = 40_000

    returns, _ = gbm().moves(size, draw())

    assert returns.std(axis=0) == pytest.approx([0.01, 0.02], rel=3 / sqrt(2 * size))
    assert tie(returns) == pytest.approx(0.7, abs=3 * (1 - 0.49) / sqrt(size))
    assert abs(squares_remember(returns[:, 0])) < 3 / sqrt(size)


@pytest.mark.parametrize("growth", [0.0, 0.002, -0.002])
def test_the_expected_change_of_a_price_is_its_growth(growth: float) -> None:
    size = 100_000

    returns, _ = gbm(growth).moves(size, draw())

    means, errors = np.mean(np.exp(returns), axis=0), np.exp(returns).std(axis=0) / sqrt(size)
    assert np.all(np.abs(means - exp(growth)) < 3 * errors)


def test_garch_keeps_its_mean_variance_remembers_its_squares_and_has_fat_tails() -> None:
    returns, deviations = garch().moves(60_000, draw())

    scaled = (returns - returns.mean(axis=0)) / returns.std(axis=0)
    assert returns.std(axis=0) == pytest.approx([0.01, 0.01], rel=0.1)
    assert all(squares_remember(column) > 0.05 for column in returns.T)
    assert np.all(np.mean(scaled**4, axis=0) > 4)
    assert np.corrcoef(np.abs(returns[:, 0]), deviations[:, 0])[0, 1] > 0.3


def test_extremes_of_a_garch_market_come_together() -> None:
    returns, _ = garch(freedom=3.5).moves(40_000, draw())
    calm, _ = gbm().moves(40_000, draw())

    def together(values: np.ndarray) -> float:
        low = values < np.quantile(values, 0.005, axis=0)
        return float(low.all(axis=1).sum() / low[:, 0].sum())

    assert together(returns) > 1.3 * together(calm)


@pytest.mark.parametrize("weights", [(0.3, 0.7, 5.0), (-0.1, 0.5, 5.0), (0.1, 0.8, 2.0)])
def test_a_garch_model_without_a_mean_variance_is_a_defect(weights: tuple[float, float, float]) -> None:
    with pytest.raises(InvariantError):
        garch(*weights)


def test_regimes_are_met_as_often_as_their_chain_says_and_last_as_long() -> None:
    model = regimes()

    states = model.states(200_000, draw())

    values, vectors = np.linalg.eig(model.transition.T)
    steady = np.real(vectors[:, np.argmax(np.real(values))])
    share = np.bincount(states) / len(states)
    stays = [np.mean(states[1:][states[:-1] == at] == at) for at in range(3)]
    assert share == pytest.approx(steady / steady.sum(), abs=0.02)
    assert stays == pytest.approx(np.diag(model.transition), abs=0.02)


def test_each_regime_has_its_own_volatility() -> None:
    model = regimes()

    returns, deviations = model.moves(50_000, draw())

    states = model.states(50_000, draw())
    for at, deviation in enumerate((sqrt(1e-5), sqrt(4e-5), sqrt(9e-4))):
        assert returns[states == at, 0].std() == pytest.approx(deviation, rel=0.1)
        assert deviations[states == at, 0] == pytest.approx(deviation)


# --- bars


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(0, 60),
    deviation=st.sampled_from([0.0, 1e-4, 0.02, 0.7, 5.0]),
    gap=st.sampled_from([0.0, 0.3, 1.0]),
    reach=st.sampled_from([0.0, 1.0, 4.0]),
    tick=st.sampled_from([Decimal("0.01"), Decimal("1E+1"), Decimal("0.00000001"), Decimal("0.25")]),
)
def test_generated_bars_are_bars_on_the_tick_and_on_the_grid(
    seed: int, count: int, deviation: float, gap: float, reach: float, tick: Decimal
) -> None:
    bars = market(around(gbm(deviation=deviation), reach, gap), (50.0, 0.5), tick).draw(count, draw(seed))

    for each in bars.values():
        assert len(each) == count
        assert len(checked(each)) == count
        assert np.all(each.ts == START + np.arange(count) * timeframe_ns("1h"))
        steps = np.concatenate(each.columns()[:4]) / float(tick)
        assert np.all(steps > 0.5)
        assert np.allclose(steps, np.round(steps), rtol=1e-9, atol=1e-6)


def test_a_market_without_gaps_opens_where_it_closed() -> None:
    bars = market(around(gbm())).draw(500, draw())

    for each in bars.values():
        assert np.array_equal(each.open[1:], each.close[:-1])


def test_gaps_take_their_share_of_the_variance_and_leave_its_sum() -> None:
    bars = market(around(gbm(), gap=0.25), tick=Decimal("0.00000001")).draw(40_000, draw())

    for at, each in enumerate(bars.values()):
        gaps = np.log(each.open[1:] / each.close[:-1])
        assert closes(bars)[:, at].std() == pytest.approx((at + 1) * 0.01, rel=0.02)
        assert gaps.var() == pytest.approx(0.25 * ((at + 1) * 0.01) ** 2, rel=0.05)


def test_high_and_low_go_as_far_as_a_brownian_motion_goes() -> None:
    bars = market(around(gbm())).draw(40_000, draw())[IDS[0]]

    up = np.log(bars.high / bars.open)
    assert up.mean() == pytest.approx(0.01 * sqrt(2 / np.pi), rel=0.02)  # the law of the running maximum
    assert np.mean(up**2) == pytest.approx(1e-4, rel=0.03)


def test_equal_seeds_give_equal_bars_and_others_do_not() -> None:
    for maker in (around(gbm()), around(garch()), around(regimes())):
        first, again, other = (market(maker).draw(50, draw(seed)) for seed in (1, 1, 2))

        for id in IDS:
            assert np.array_equal(first[id].columns(), again[id].columns())
            assert not np.array_equal(first[id].close, other[id].close)


def test_a_market_without_volume_stays_without() -> None:
    silent = Volume(level=-np.inf)

    assert np.all(silent.of(np.full(10, 0.01), draw()) == 0)


def test_a_tick_of_nothing_is_a_defect() -> None:
    with pytest.raises(InvariantError):
        on_tick(np.ones(3), Decimal(0))


# --- resampled


def history(size: int = 400) -> Shapes:
    steps = draw(9).normal(0, 0.01, (size, 2))
    steps[:, 1] = 0.9 * steps[:, 0] + 0.1 * steps[:, 1]
    return Shapes(np.zeros_like(steps), abs(steps) + 0.01, -abs(steps) - 0.01, steps, 1 + abs(steps))


def test_resampling_keeps_rows_whole_and_so_what_moves_together() -> None:
    past = history()

    drawn = Resampled(past, 10.0, np.zeros(2)).shapes(20_000, draw())

    rows = {tuple(row) for row in past.close.tolist()}
    assert all(tuple(row) in rows for row in drawn.close.tolist())
    assert tie(drawn.close) == pytest.approx(tie(past.close), abs=0.01)


@pytest.mark.parametrize("length", [1.0, 5.0, 50.0])
def test_blocks_are_as_long_as_asked_for_on_average(length: float) -> None:
    rows = Resampled(history(), length, np.zeros(2)).rows(200_000, draw())

    follows = np.mean(rows[1:] == (rows[:-1] + 1) % 400)
    assert follows == pytest.approx(1 - 1 / length + 1 / length / 400, abs=0.005)


def test_a_shift_moves_every_return_alike() -> None:
    plain = Resampled(history(), 5.0, np.zeros(2)).shapes(100, draw())

    moved = Resampled(history(), 5.0, np.array([0.01, -0.02])).shapes(100, draw())

    assert moved.returns() - plain.returns() == pytest.approx(np.repeat([[0.01, -0.02]], 100, axis=0))


def test_nothing_cannot_be_resampled() -> None:
    with pytest.raises(InvariantError):
        Resampled(history(0), 5.0, np.zeros(2))


# --- fitted


def drawn(model: Model, count: int, seed: int = 3) -> list[Bars]:
    return list(market(around(model, 0.8, 0.1), tick=Decimal("0.000001")).draw(count, draw(seed)).values())


@pytest.mark.parametrize("kind", FEWEST)
def test_a_fitted_market_moves_like_the_bars_it_was_fitted_to(kind: str) -> None:
    real = drawn(garch(), 6_000)

    found = fit(kind, real, (TICK, TICK), 0.0).draw(20_000, draw())

    before, after = (closes(dict(zip(IDS, each, strict=True))) for each in (real, list(found.values())))
    assert after.std(axis=0) == pytest.approx(before.std(axis=0), rel=0.1)
    assert tie(after) == pytest.approx(tie(before), abs=0.06)
    for old, new in zip(real, found.values(), strict=True):
        ranges = [np.log(bars.high / bars.low).mean() for bars in (old, new)]
        assert ranges[1] == pytest.approx(ranges[0], rel=0.2)
        assert np.median(new.volume) == pytest.approx(np.median(old.volume), rel=0.2)
        assert new.ts[0] == old.ts[0]
        assert new.open[0] == pytest.approx(old.open[0], rel=0.05)
        assert inspect_bars(new).grade is not Grade.REFUSED


@pytest.mark.parametrize(("kind", "remembers"), [("gbm", False), ("garch", True), ("bootstrap", True)])
def test_calm_and_storm_last_where_the_model_has_a_memory(kind: str, remembers: bool) -> None:
    real = drawn(garch(alpha=0.2, beta=0.75), 6_000)

    found = closes(fit(kind, real, (TICK, TICK), 0.0).draw(20_000, draw()))

    assert (squares_remember(np.abs(found[:, 0])) > 0.08) is remembers


@pytest.mark.parametrize("kind", FEWEST)
@pytest.mark.parametrize("wished", [None, 0.0, 0.5])
def test_prices_grow_as_they_did_unless_told_otherwise(kind: str, wished: float | None) -> None:
    real = drawn(gbm(growth=0.0004, deviation=0.004), 3_000)
    past = closes(dict(zip(IDS, real, strict=True)))
    size = 100_000

    shapes = fit(kind, real, (TICK, TICK), wished).maker.shapes(size, draw())

    expected = np.log(np.exp(past).mean(axis=0)) if wished is None else np.full(2, log(1 + wished) / 8_760)
    errors = shapes.returns().std(axis=0) / sqrt(size)
    assert np.all(np.abs(np.log(np.exp(shapes.returns()).mean(axis=0)) - expected) < 4 * errors)


def test_garch_weights_and_tails_are_found_again() -> None:
    returns, _ = garch(alpha=0.1, beta=0.85, freedom=8.0).moves(20_000, draw(5))

    alpha, beta, left = garch_weights(returns - returns.mean(axis=0))

    assert alpha == pytest.approx([0.1, 0.1], abs=0.03)
    assert beta == pytest.approx([0.85, 0.85], abs=0.05)
    assert left.std(axis=0) == pytest.approx([1.0, 1.0], abs=0.05)
    assert 6.0 <= degrees_of_freedom(left) <= 10.0
    assert degrees_of_freedom(draw().standard_normal((20_000, 1))) >= 30


@pytest.mark.parametrize(("kind", "least"), FEWEST.items())
def test_too_little_history_is_refused_with_a_remedy(kind: str, least: int) -> None:
    fit_of = [bars.slice(0, least) for bars in drawn(garch(), least)]

    with pytest.raises(DataError, match=f"{least - 1:,} neighbouring bars") as refused:
        fit(kind, fit_of, (TICK, TICK))

    assert f"{least:,}" in refused.value.remedy


def test_only_times_that_all_have_and_moves_between_neighbours_count() -> None:
    first, second = drawn(gbm(), 900)
    holed = Bars(
        second.instrument, "1h", np.delete(second.ts, 500), [np.delete(c, 500) for c in second.columns()]
    )

    common = aligned([first, holed])
    facts = fit("gbm", [first, holed], (TICK, TICK)).facts

    assert [len(bars) for bars in common] == [899, 899]
    assert facts["bars"] == 898  # one move across the hole is left out


@pytest.mark.parametrize("kind", ["gbm", "garch", "bootstrap"])
def test_a_price_that_never_moves_is_drawn_that_way(kind: str) -> None:
    moving, _ = drawn(gbm(), 900)
    flat = Bars(IDS[1], "1h", moving.ts, [np.full(900, 5.0)] * 4 + [np.zeros(900)])

    found = fit(kind, [moving, flat], (TICK, TICK), 0.0).draw(300, draw())

    assert np.all(found[IDS[1]].close == 5.0)
    assert np.all(found[IDS[1]].volume == 0.0)
    assert found[IDS[0]].close.std() > 0


def test_a_rise_without_a_bear_is_told() -> None:
    bars = drawn(Gbm(np.full(2, 0.01), np.full(2, 1e-4), TIED), 1_500)

    with pytest.raises(DataError, match="bear"):
        fit("regimes", bars, (TICK, TICK))
