"""Metrics against an independent library, against arithmetic by hand, and at the edges."""

import dataclasses
import math
import warnings
from decimal import Decimal
from types import ModuleType

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.journal.metrics import (
    DAY_NS,
    Metrics,
    day_ends,
    drawdowns,
    figures_of_days,
    measure,
    monthly_returns,
    risk_returns,
    share_held,
    sharpe_of,
    trade_stats,
    underwater,
)
from abidance.model.errors import InvariantError
from tests.unit.backtest.results import HOUR, START, make_fill, make_trip

HOURLY = 24 * 120


@pytest.fixture(scope="module")
def empyrical() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: ModuleType = pytest.importorskip("empyrical")
    return module


def closes(size: int, step: int = HOUR) -> np.ndarray:
    return START + (np.arange(size, dtype=np.int64) + 1) * step


def walk(size: int, seed: int, start: float = 10_000.0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return start * np.exp(np.cumsum(draw.normal(0.0001, 0.004, size)))


def numbers(metrics: Metrics) -> dict[str, float]:
    return {name: value for name, value in msgspec.structs.asdict(metrics).items() if value is not None}


def assert_near(found: float | None, expected: float | None, tolerance: float) -> None:
    assert (found is None) == (expected is None)
    assert found is None or found == pytest.approx(expected, rel=tolerance, abs=tolerance / 1000)


@pytest.mark.parametrize("seed", range(5))
def test_daily_ratios_equal_those_of_an_independent_library(empyrical: ModuleType, seed: int) -> None:
    equity = walk(HOURLY, seed)
    daily = np.r_[10_000.0, equity[23::24]]
    returns = daily[1:] / daily[:-1] - 1

    found = measure(closes(HOURLY), equity, start_equity=10_000.0)

    for name, expected in {
        "sharpe": empyrical.sharpe_ratio(returns, annualization=365),
        "sortino": empyrical.sortino_ratio(returns, annualization=365),
        "omega": empyrical.omega_ratio(returns, annualization=365),
        "volatility": empyrical.annual_volatility(returns, annualization=365),
        "cagr": empyrical.cagr(returns, annualization=365),
        "cvar_95": empyrical.conditional_value_at_risk(returns, 0.05),
        "total_return": empyrical.cum_returns_final(returns),
    }.items():
        assert getattr(found, name) == pytest.approx(expected, rel=1e-9), name


@pytest.mark.parametrize("seed", range(5))
def test_drawdown_and_calmar_equal_those_of_an_independent_library_on_daily_slices(
    empyrical: ModuleType, seed: int
) -> None:
    equity = walk(400, seed)
    returns = np.r_[10_000.0, equity][1:] / np.r_[10_000.0, equity][:-1] - 1

    found = measure(closes(400, DAY_NS), equity, start_equity=10_000.0)

    assert found.max_drawdown == pytest.approx(empyrical.max_drawdown(returns), rel=1e-9)
    assert found.calmar == pytest.approx(empyrical.calmar_ratio(returns, annualization=365), rel=1e-9)


def test_a_short_run_uses_the_returns_of_its_slices(empyrical: ModuleType) -> None:
    equity = walk(100, 3)
    returns = np.r_[10_000.0, equity][1:] / np.r_[10_000.0, equity][:-1] - 1

    found = measure(closes(100), equity, start_equity=10_000.0)

    assert found.returns_per_year == pytest.approx(365 * 24)
    assert found.sharpe == pytest.approx(empyrical.sharpe_ratio(returns, annualization=365 * 24), rel=1e-9)


def test_a_close_at_midnight_belongs_to_the_day_before() -> None:
    equity = np.full(24 * 12, 100.0)
    equity[24:] = 110.0

    returns, per_year = risk_returns(closes(24 * 12), equity, 100.0)

    assert per_year == 365
    assert returns.tolist() == pytest.approx([0.0, 0.1] + [0.0] * 10)


def test_days_without_slices_repeat_the_last_value() -> None:
    ts = np.r_[closes(24 * 10), closes(24 * 10) + 20 * DAY_NS]
    equity = np.r_[np.full(240, 100.0), np.full(240, 120.0)]

    returns, _ = risk_returns(ts, equity, 100.0)

    assert len(returns) == 30
    assert np.flatnonzero(returns).tolist() == [20]


def test_constant_equity_has_no_ratio_and_no_drawdown() -> None:
    found = measure(closes(HOURLY), np.full(HOURLY, 10_000.0), start_equity=10_000.0)

    assert (found.total_return, found.cagr, found.volatility, found.max_drawdown) == (0.0, 0.0, 0.0, 0.0)
    assert (found.sharpe, found.sortino, found.calmar, found.omega) == (None, None, None, None)
    assert (found.max_drawdown_days, found.longest_drawdown_days) == (0.0, 0.0)


def test_steady_growth_has_no_sharpe_made_of_rounding() -> None:
    equity = np.array([10_000 * 1.001**day for day in range(1, 401)])

    found = measure(closes(400, DAY_NS), equity, start_equity=10_000.0)

    assert found.sharpe is None
    assert found.cagr == pytest.approx(1.001**365 - 1)


def test_one_slice_tells_the_return_and_nothing_that_needs_time() -> None:
    found = measure(closes(1), np.array([11_000.0]), start_equity=10_000.0)

    assert found.total_return == pytest.approx(0.1)
    assert (found.cagr, found.sharpe, found.volatility, found.turnover) == (None, None, None, None)


def test_a_run_shorter_than_a_day_states_nothing_per_year() -> None:
    equity = 10_000.0 + np.cumsum(np.sin(np.arange(300)) * 5)

    short = measure(closes(300, DAY_NS // 1440), equity, start_equity=10_000.0, fills=[make_fill()])
    whole = measure(closes(300, DAY_NS // 300), equity, start_equity=10_000.0, fills=[make_fill()])

    names = ("cagr", "volatility", "sharpe", "sortino", "calmar", "turnover")
    assert [getattr(short, name) for name in names] == [None] * 6
    assert None not in [getattr(whole, name) for name in names]
    assert (short.omega, short.cvar_95) == (whole.omega, whole.cvar_95)


def test_no_slice_at_all_is_a_run_that_kept_its_money() -> None:
    found = measure(np.empty(0, np.int64), np.empty(0), start_equity=500.0)

    assert (found.final_equity, found.total_return, found.days) == (500.0, 0.0, 0.0)


@pytest.mark.parametrize("last", [0.0, -2_000.0])
def test_ruin_is_counted_once_and_leaves_only_numbers(last: float) -> None:
    equity = walk(HOURLY, 1)
    equity[HOURLY // 2 :] = last

    found = measure(closes(HOURLY), equity, start_equity=10_000.0)

    assert found.cagr == -1.0
    assert found.final_equity == last
    assert found.max_drawdown <= -1.0
    assert found.cvar_95 is not None
    assert found.cvar_95 <= -1 / 4
    assert all(math.isfinite(value) for value in numbers(found).values())


def test_an_unrecovered_drawdown_lasts_to_the_end() -> None:
    equity = np.array([100.0, 120.0, 90.0, 130.0, 117.0, 104.0])

    falls = drawdowns(closes(6, DAY_NS), equity, 100.0)

    assert [(fall.depth, fall.days) for fall in falls] == [(-0.25, 2.0), (pytest.approx(-0.2), 2.0)]
    assert falls[0].ts_recovered == START + 4 * DAY_NS
    assert falls[1].ts_recovered is None


def test_a_fall_from_the_start_counts_although_equity_never_rose() -> None:
    equity = np.array([90.0, 80.0])

    assert underwater(equity, 100.0).tolist() == pytest.approx([-0.1, -0.2])
    assert drawdowns(closes(2, DAY_NS), equity, 100.0)[0].ts_peak == START


def test_monthly_returns_compound_to_the_total_return() -> None:
    equity = walk(HOURLY, 4)

    months = monthly_returns(closes(HOURLY), equity, 10_000.0)

    assert [(year, month) for year, month, _ in months] == [(2024, 1), (2024, 2), (2024, 3), (2024, 4)]
    product = math.prod(1 + (change or 0.0) for _, _, change in months)
    assert product == pytest.approx(equity[-1] / 10_000)


def test_round_trips_are_summarised_without_the_open_ones() -> None:
    trips = [
        make_trip("30", hours=10),
        make_trip("-10", hours=20),
        make_trip("0", hours=30),
        make_trip("99", hours=None),
    ]

    stats = trade_stats(trips)

    assert (stats.trades, stats.open_trades) == (3, 1)
    assert (stats.profit, stats.open_profit) == (20.0, 99.0)
    assert stats.win_rate == pytest.approx(1 / 3)
    assert (stats.profit_factor, stats.average_win, stats.average_loss) == (3.0, 30.0, -10.0)
    assert (stats.best_trade, stats.worst_trade, stats.average_holding_hours) == (30.0, -10.0, 20.0)
    assert stats.expectancy == pytest.approx(20 / 3)
    assert stats.expectancy_share == pytest.approx(20 / 3 / 4000.05)


def test_without_trades_what_speaks_of_them_is_undefined() -> None:
    found = measure(closes(100), walk(100, 1), start_equity=10_000.0)

    assert (found.trades, found.open_trades) == (0, 0)
    assert (found.win_rate, found.profit_factor, found.expectancy, found.fees, found.mean_exposure) == (
        None,
    ) * 5


def test_only_wins_leave_the_profit_factor_undefined() -> None:
    assert trade_stats([make_trip("5"), make_trip("6")]).profit_factor is None


def test_turnover_is_value_traded_a_year_in_multiples_of_equity() -> None:
    fills = [make_fill(quantity=Decimal(1), price=Decimal(10_000))] * 3

    found = measure(closes(365, DAY_NS), np.full(365, 10_000.0), start_equity=10_000.0, fills=fills)

    assert found.turnover == pytest.approx(3.0)


def test_exposure_and_costs_are_reported_as_given() -> None:
    exposure = np.array([0.0, 0.5, 0.5, 0.0])
    costs = {"fees": 3.0, "slippage": 2.0, "funding": -1.0}

    found = measure(closes(4), np.full(4, 100.0), exposure=exposure, costs=costs)

    assert (found.time_in_market, found.mean_exposure) == (0.5, 0.25)
    assert (found.fees, found.slippage, found.funding) == (3.0, 2.0, -1.0)


@pytest.mark.parametrize(
    ("ts", "equity"),
    [
        (closes(3), np.array([1.0, np.nan, 1.0])),
        (closes(3), np.array([1.0, np.inf, 1.0])),
        (closes(3), np.array([1.0, 1.0])),
        (closes(3)[::-1].copy(), np.array([1.0, 1.0, 1.0])),
        (np.array([START, START]), np.array([1.0, 1.0])),
    ],
)
def test_a_broken_curve_is_refused(ts: np.ndarray, equity: np.ndarray) -> None:
    with pytest.raises(InvariantError):
        measure(ts, equity, start_equity=1.0)


def test_metrics_are_plain_json() -> None:
    found = measure(closes(HOURLY), walk(HOURLY, 2), start_equity=10_000.0)

    assert msgspec.json.decode(msgspec.json.encode(found), type=Metrics) == found
    assert not dataclasses.is_dataclass(found)


curves = st.lists(st.floats(0.5, 2.0), min_size=2, max_size=60).map(lambda values: np.array(values) * 1000)


@given(curves, st.sampled_from([2.0, 0.25, 1024.0]), st.sampled_from([HOUR, DAY_NS]))
def test_scaling_the_money_changes_no_ratio(equity: np.ndarray, scale: float, step: int) -> None:
    ts = closes(len(equity), step)

    one = measure(ts, equity, start_equity=1000.0)
    other = measure(ts, equity * scale, start_equity=1000.0 * scale)

    for name in (
        "total_return",
        "cagr",
        "volatility",
        "sharpe",
        "sortino",
        "omega",
        "calmar",
        "cvar_95",
        "max_drawdown",
    ):
        assert_near(getattr(other, name), getattr(one, name), 1e-9)


@given(curves, st.randoms(use_true_random=False))
def test_the_order_of_returns_does_not_matter_to_what_ignores_it(equity: np.ndarray, chance) -> None:
    ts = closes(len(equity), DAY_NS)
    steps = np.r_[1000.0, equity]
    changes = list(steps[1:] / steps[:-1])
    chance.shuffle(changes)
    shuffled = 1000.0 * np.cumprod(changes)

    one = measure(ts, equity, start_equity=1000.0)
    other = measure(ts, shuffled, start_equity=1000.0)

    for name in ("total_return", "volatility", "sharpe", "sortino", "omega", "cvar_95"):
        assert_near(getattr(other, name), getattr(one, name), 1e-6)


@given(st.lists(st.floats(-1e9, 1e9), max_size=40), st.floats(0, 1e9), st.sampled_from([HOUR, DAY_NS]))
def test_whatever_the_curve_every_figure_is_a_number_or_nothing(
    values: list[float], start: float, step: int
) -> None:
    found = measure(closes(len(values), step), np.array(values), start_equity=start)

    assert all(math.isfinite(value) for value in numbers(found).values())
    assert found.max_drawdown <= 0
    assert found.max_drawdown_days <= found.longest_drawdown_days


@given(st.permutations([make_trip(pnl) for pnl in ("5", "-3", "0.5", "12", "-7.25", "0")]))
def test_the_order_of_round_trips_does_not_matter(trips) -> None:
    ordered = trade_stats([make_trip(pnl) for pnl in ("5", "-3", "0.5", "12", "-7.25", "0")])

    assert numbers_of(trade_stats(trips)) == pytest.approx(numbers_of(ordered))


def numbers_of(stats: msgspec.Struct) -> dict[str, float]:
    return {name: value for name, value in msgspec.structs.asdict(stats).items() if value is not None}


def test_the_ends_of_days_tell_the_figures_that_all_slices_do() -> None:
    ts, equity = closes(HOURLY), walk(HOURLY, 3)
    whole = measure(ts, equity, start_equity=10_000.0)
    ends = day_ends(ts)

    found = figures_of_days(ts[ends], equity[ends], 10_000.0, whole.days, whole.max_drawdown)

    assert set(found) >= {"sharpe", "sortino", "cagr", "calmar", "total_return"}
    for name, value in found.items():
        assert_near(value, getattr(whole, name), 1e-9)
    assert sharpe_of(ts[ends], equity[ends], 10_000.0) == found["sharpe"]


def test_ends_of_few_days_tell_nothing() -> None:
    ts, equity = closes(9, DAY_NS), walk(9, 3)

    assert figures_of_days(ts, equity, 10_000.0, 9.0, -0.1) == {}
    assert sharpe_of(ts, equity, 10_000.0) is None
    assert monthly_returns(ts[:0], equity[:0], 10_000.0) == []


@given(st.lists(st.tuples(st.integers(-5, 40), st.integers(0, 20)), max_size=12), st.integers(1, 30))
def test_the_share_of_time_in_which_something_is_held_counts_no_moment_twice(
    held: list[tuple[int, int]], length: int
) -> None:
    starts = np.array([start for start, _ in held], dtype=np.int64)
    ends = np.array([start + span for start, span in held], dtype=np.int64)

    found = share_held(starts, ends, 0, length)

    moments = {at for start, span in held for at in range(start, start + span) if 0 <= at < length}
    assert found == pytest.approx(len(moments) / length)
    assert share_held(starts, ends, 5, 5) is None
