"""Whole backtests on real bars: what the result says, and that a tape known in advance changes nothing."""

from collections.abc import Mapping
from functools import cache
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest

from abidance.backtest.event import Recorder
from abidance.backtest.result import BacktestResult
from abidance.engine.config import StrategyConfig
from abidance.engine.engine import Engine
from abidance.engine.pump import Pump
from abidance.engine.runners import LONG_SILENCE
from abidance.kernel.ids import OrderIds
from abidance.market.bars import Bars
from abidance.market.funding import Funding
from abidance.market.store import BarStore, Catalog
from abidance.model.errors import DataError, StrategyError
from abidance.model.instrument import timeframe_ns
from abidance.model.order import Purpose
from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig, SizingConfig
from abidance.run.backtest import backtest, buy_and_hold, check_opinions
from abidance.run.config import RunConfig
from abidance.run.setup import Key, assemble, gather
from abidance.strategy import library
from abidance.strategy.base import BarStrategy, Signals
from abidance.strategy.config import ExitsConfig
from tests.unit.engine.rig import SPOT, Rig, bars_of, flat, material_of

BTC, ETH, SOL = (f"{coin}/USDT@BINANCE" for coin in ("BTC", "ETH", "SOL"))
BUSY: Mapping[str, Mapping[str, int | float | str | bool]] = {
    "Donchian": {"entry": 30, "exit": 15},
    "TimeSeriesMomentum": {"lookback": 60, "volatility_period": 30, "every": 6},
    "TrendFilter": {"fast": 5, "slow": 12, "trend": 5, "reference": BTC},
    "EmaCross": {"fast": 5, "slow": 12},
    "CandleTrend": {"trend": 30},
}


class NoFunding:
    def funding(self, instrument: str, start: int | None = None, end: int | None = None) -> Funding | None:
        return None


@cache
def catalog() -> Catalog:
    return Catalog(BarStore(Path("no-store-here")))


def config(*names: str, span: str = "20240201-20240320", **given: object) -> RunConfig:
    strategies = tuple(
        StrategyConfig(
            strategy=name,
            name=f"{name}-{number}",
            allocation=1 / len(names),
            parameters=dict(BUSY.get(name, {})),
            sizing=SizingConfig(fraction=0.2),
            rebalance_threshold=0.1,
        )
        for number, name in enumerate(names)
    )
    return RunConfig(**{"instruments": (BTC, ETH, SOL), "timerange": span, "strategies": strategies, **given})


def digest_of(run: RunConfig, *, ahead: bool) -> tuple[str, int]:
    material = gather(run, catalog(), None)
    tape: Mapping[Key, Bars] | None = material.bars if ahead else None
    core = assemble(material, OrderIds(0, 0, b"t").make, tape=tape, isolate=False)
    recorder = Recorder(core.engine, tuple(material.strategies))
    pump = Pump(core.engine, core.venue, observe=recorder.observe)
    for event in core.opening:
        pump.step(event)
    pump.run(material.replay().events())
    return recorder.digest.hexdigest(), len(core.engine.fills)


@pytest.mark.parametrize("strategy", library.__all__)
def test_a_shipped_strategy_decides_the_same_bar_by_bar_as_with_a_known_tape(strategy: str) -> None:
    run = config(strategy, instruments=(ETH, BTC))

    ahead, along = digest_of(run, ahead=True), digest_of(run, ahead=False)

    assert ahead == along
    assert ahead[1] > 0


def test_trailing_exits_of_the_framework_are_read_the_same_bar_by_bar() -> None:
    exits = ExitsConfig(trailing_atr=2.0, break_even=0.01, max_bars=20, take_profit=0.05)
    run = config("EmaCross", "RsiThresholds")
    run = run.model_copy(
        update={"strategies": tuple(each.model_copy(update={"exits": exits}) for each in run.strategies)}
    )

    ahead, along = digest_of(run, ahead=True), digest_of(run, ahead=False)

    assert ahead == along
    assert ahead[1] > 40


@cache
def together() -> BacktestResult:
    return backtest(config("EmaCross", "Donchian", "Grid", span="20240101-20240601"), catalog())


def test_what_the_strategies_earn_adds_up_to_what_the_run_earns() -> None:
    result = together()

    earned = sum(profits for profits in result.strategy_equity.values())

    assert len(result.strategy_equity) == 3
    assert np.allclose(earned, result.equity - result.start_equity, rtol=0, atol=1e-6)


def test_round_trips_and_open_positions_add_up_to_the_profit() -> None:
    result = together()

    total = float(sum(trip.pnl for trip in result.round_trips))

    assert total == pytest.approx(result.equity[-1] - result.start_equity, abs=1e-6)


def test_two_strategies_hold_the_same_instrument_apart() -> None:
    result = together()

    holders = {(trip.strategy, trip.instrument) for trip in result.round_trips}

    assert {("EmaCross-0", BTC), ("Donchian-1", BTC)} <= holders


def test_an_allocation_scales_what_a_strategy_buys() -> None:
    limits = RiskConfig(limits=LimitsConfig(max_exposure=1.0, max_asset_exposure=1.0, max_venue_exposure=1.0))
    whole = backtest(config("EmaCross", risk=limits, instruments=(BTC,)), catalog())
    third = backtest(config("EmaCross", "Grid", "Donchian", risk=limits, instruments=(BTC,)), catalog())

    first = whole.fills[0]
    same = next(fill for fill in third.fills if fill.strategy == "EmaCross-0")

    assert first.ts == same.ts
    assert float(same.quantity) == pytest.approx(float(first.quantity) / 3, rel=0.01)


def test_equal_runs_give_equal_results_and_another_setting_another_digest() -> None:
    one, two = (backtest(config("EmaCross"), catalog()) for _ in range(2))
    other = backtest(config("EmaCross", dry_run_wallet=10_001.0), catalog())

    assert one.digest == two.digest != other.digest
    assert one.fingerprint == other.fingerprint
    assert np.array_equal(one.equity, two.equity)


def test_one_point_is_kept_per_close_and_progress_ends_at_the_end() -> None:
    seen: list[tuple[int, int]] = []

    result = backtest(config("EmaCross"), catalog(), progress=lambda done, total: seen.append((done, total)))

    assert len(result.ts) == len(result.equity) == len(result.exposure) == len(result.benchmark)
    assert (np.diff(result.ts) == timeframe_ns("1h")).all()
    assert seen[-1] == (len(result.ts), len(result.ts))


def test_costs_are_those_of_the_round_trips() -> None:
    result = together()

    assert result.costs["fees"] == pytest.approx(float(sum(trip.fees for trip in result.round_trips)))
    assert result.costs["fees"] > 0
    assert result.costs["funding"] == 0


def test_the_benchmark_pays_its_costs_and_follows_the_closes() -> None:
    material = gather(config("EmaCross", instruments=(BTC,)), catalog(), None)
    bars = material.bars[BTC, "1h"]
    ts = bars.ts_close

    worth = buy_and_hold(material, np.r_[bars.ts[0] - 1, ts], 1000.0)

    units = 1000.0 / (bars.open[0] * 1.0001 * 1.001)
    assert worth[0] == 1000.0
    assert worth[1:] == pytest.approx(units * bars.close)


def test_a_halt_by_drawdown_ends_entries_and_not_exits() -> None:
    risk = RiskConfig(breakers=BreakersConfig(daily_loss=None, max_drawdown=0.01))
    result = backtest(config("EmaCross", span="20240101-20240601", risk=risk), catalog())

    halted = next(notice.ts for notice in result.notices if notice.code == "max_drawdown")
    late = [fill for fill in result.fills if fill.ts > halted]

    assert late
    assert {fill.purpose for fill in late} == {Purpose.SIGNAL}


class Finer(NoFunding):
    """The bundled hours, and quarters of them that walk open, low, high, close (or high first when it falls)."""

    def read(self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None) -> Bars:
        hours = catalog().read(instrument, "1h", start, end)
        if timeframe == "1h":
            return hours
        assert timeframe == "15m"
        quarter = timeframe_ns("15m")
        rows = []
        for ts, open_, high, low, close, volume in zip(
            hours.ts.tolist(), *(column.tolist() for column in hours.columns()), strict=True
        ):
            first, second = (low, high) if close >= open_ else (high, low)
            path = (open_, first, second, (second + close) / 2, close)
            for at, (one, other) in enumerate(pairwise(path)):
                rows.append((ts + at * quarter, one, max(one, other), min(one, other), other, volume / 4))
        columns = np.array(rows, dtype=np.float64).T[1:]
        return Bars(instrument, timeframe, np.array([row[0] for row in rows], dtype=np.int64), columns)


def test_finer_bars_change_fills_and_not_signals() -> None:
    exits = ExitsConfig(stop_loss=0.003, take_profit=0.003)
    run = config("EmaCross", instruments=(ETH,))
    run = run.model_copy(
        update={"strategies": tuple(each.model_copy(update={"exits": exits}) for each in run.strategies)}
    )

    coarse = backtest(run, Finer())
    fine = backtest(run.model_copy(update={"detail_timeframe": "15m"}), Finer())

    entries = [[f.ts for f in result.fills if f.purpose is Purpose.ENTRY] for result in (coarse, fine)]
    assert entries[0] == entries[1]
    assert all(fill.ts % timeframe_ns("15m") in (0, timeframe_ns("15m") - 1) for fill in fine.fills)
    exits_at = [
        {f.ts // timeframe_ns("1h") for f in r.fills if f.purpose is not Purpose.ENTRY}
        for r in (coarse, fine)
    ]
    assert exits_at[0] == exits_at[1]
    assert [f.purpose for f in coarse.fills] != [f.purpose for f in fine.fills]


def test_a_lone_result_holds_every_fill_of_its_orders() -> None:
    result = together()

    filled = sum(order.filled for order in result.orders)

    assert filled == sum(fill.quantity for fill in result.fills)
    assert set(chain(*(bars.instrument for bars in result.bars.values()))) >= set("BTC")


class Silent(BarStrategy):
    """Has no opinion, ever."""

    def signals(self, bars: Bars) -> Signals:
        return Signals(np.full(len(bars), np.nan))


def silent_engine(bars: int) -> Engine:
    return Rig(material_of({"one": Silent()}, {SPOT: bars_of(SPOT.id, flat(*([100.0] * bars)))})).engine


def test_a_strategy_without_a_single_opinion_is_refused() -> None:
    with pytest.raises(StrategyError, match="one has no opinion on any bar"):
        check_opinions(silent_engine(LONG_SILENCE))


def test_a_short_silence_is_no_mistake() -> None:
    check_opinions(silent_engine(LONG_SILENCE - 1))


def test_a_strategy_that_would_still_be_warming_up_at_the_end_is_refused(tmp_path: Path) -> None:
    config = RunConfig(
        instruments=("BTC/USDT@BINANCE",), timeframe="1w", strategies=(StrategyConfig(strategy="Donchian"),)
    )

    with pytest.raises(DataError, match="Donchian needs more than 240 bars of 1w"):
        backtest(config, Catalog(BarStore(tmp_path)))
