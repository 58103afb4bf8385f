"""The shipped strategies: no look-ahead, no repaint, honest docstrings, and each trades."""

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import abidance
from abidance.market.bars import Bars
from abidance.model.errors import StrategyError
from abidance.strategy import library
from abidance.strategy.base import BarStrategy, Signals
from abidance.strategy.config import ExitsConfig
from abidance.strategy.decisions import Decisions, decide
from abidance.strategy.parameters import parameters_of, set_parameters

SAMPLE = Path(abidance.__file__).parent / "data" / "binance_spot_7coins_1h_2023-01_2025-06.parquet"
EXITS = ExitsConfig(stop_atr=2.0, trailing_stop=0.1, take_profit=0.2)
BTC, SOL = "BTC/USDT@BINANCE", "SOL/USDT@BINANCE"
STRATEGIES: dict[str, type[BarStrategy]] = {
    name: cls for name in library.__all__ if issubclass(cls := getattr(library, name), BarStrategy)
}


@cache
def market(rows: int) -> dict[str, Bars]:
    """Return the first real bars of two coins, which know each other."""
    frame = pl.read_parquet(SAMPLE)
    universe: dict[str, Bars] = {}
    for symbol in sorted(set(frame["symbol"].unique())):
        name = next(
            (n for n in (BTC, SOL) if n.partition("/")[0] == symbol.replace("-", "/").partition("/")[0]), ""
        )
        if name:
            part = frame.filter(pl.col("symbol") == symbol).head(rows)
            columns = [part[column].to_numpy() for column in ("open", "high", "low", "close", "volume")]
            universe[name] = Bars(name, "1h", part["ts"].to_numpy() * 1_000_000, columns, universe)
    return universe


def configured(name: str, short: bool = False) -> BarStrategy:
    """Make a strategy that uses everything it has."""
    strategy = STRATEGIES[name]()
    if "short" in parameters_of(type(strategy)):
        strategy.short = short  # type: ignore[attr-defined]
    if isinstance(strategy, library.TrendFilter):
        strategy.reference = BTC
    return strategy


def columns(decisions: Decisions, stop: int | None = None) -> list[bytes]:
    names = ("target", "confidence", "stop", "take_profit", "trailing", "break_even")
    return [np.ascontiguousarray(getattr(decisions, name)[:stop]).tobytes() for name in names]


def rows_that_change(strategy: BarStrategy, bars: Bars) -> list[int]:
    """Return the cuts at which what was decided before differs from what the whole history decides."""
    whole = decide(strategy, bars, EXITS)
    cuts = [*range(0, 700, 41), *np.random.default_rng(7).integers(700, len(bars), 40).tolist()]
    return [
        cut for cut in cuts if columns(decide(strategy, bars.slice(0, cut), EXITS)) != columns(whole, cut)
    ]


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("name", STRATEGIES)
def test_what_was_decided_on_the_past_never_changes(name: str, short: bool) -> None:
    assert rows_that_change(configured(name, short), market(3000)[SOL]) == []


class Peeking(BarStrategy):
    """A strategy that looks one bar ahead."""

    def signals(self, bars: Bars) -> Signals:
        return Signals((np.append(bars.close[1:], 0.0) > bars.close).astype(float))


class Centring(BarStrategy):
    """A strategy that measures the past by the whole history's mean."""

    def signals(self, bars: Bars) -> Signals:
        return Signals((bars.close > bars.close.mean()).astype(float))


@pytest.mark.parametrize("strategy", [Peeking(), Centring()])
def test_a_strategy_that_looks_ahead_would_be_seen(strategy: BarStrategy) -> None:
    assert rows_that_change(strategy, market(3000)[SOL])


@pytest.mark.parametrize("name", STRATEGIES)
def test_each_parameter_may_stand_at_either_end_of_its_range(name: str) -> None:
    bars = market(3000)[SOL]
    for parameter in parameters_of(STRATEGIES[name]).values():
        for end in (parameter.low, parameter.high, *parameter.choices):
            if end is None or end == "15m":  # no multiple of the sample's hour
                continue
            strategy = configured(name)
            if parameter.name == "fast":
                set_parameters(strategy, {"slow": 300})
            elif parameter.name == "slow":
                set_parameters(strategy, {"fast": 2})
            set_parameters(strategy, {parameter.name: end})

            decisions = decide(strategy, bars, ExitsConfig())

            assert len(decisions) == len(bars)


@pytest.mark.parametrize("name", STRATEGIES)
def test_each_strategy_enters_on_real_bars_and_only_after_its_warm_up(name: str) -> None:
    strategy = configured(name)

    target = decide(strategy, market(9000)[SOL], ExitsConfig()).target

    assert (target > 0).any()
    assert name == "BuyAndHold" or (target == 0).any()
    assert not (target < 0).any(), "long only unless told otherwise"
    assert not (~np.isnan(target[: strategy.warmup])).any()


@pytest.mark.parametrize("name", [n for n, cls in STRATEGIES.items() if "short" in parameters_of(cls)])
def test_a_strategy_that_may_go_short_does_so_when_told(name: str) -> None:
    target = decide(configured(name, short=True), market(9000)[SOL], ExitsConfig()).target

    assert (target < 0).any()


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_dead_market_is_no_error(name: str) -> None:
    flat = np.full(1500, 3e-8)
    ts = np.arange(1500, dtype=np.int64) * 3_600 * 10**9
    bars = Bars(BTC, "1h", ts, [flat, flat, flat, flat, np.zeros(1500)])

    target = decide(configured(name), bars, EXITS).target

    assert name == "BuyAndHold" or not (target > 0).any()


@pytest.mark.parametrize("name", library.__all__)
def test_each_docstring_says_idea_market_and_known_failure(name: str) -> None:
    text = getattr(library, name).__doc__

    assert all(f"    {word}: " in text for word in ("Idea", "Market", "Known failure"))


@pytest.mark.parametrize("name", library.__all__)
def test_each_number_among_the_parameters_has_a_range(name: str) -> None:
    for parameter in parameters_of(getattr(library, name)).values():
        if type(parameter.default) in {int, float}:
            low, high = parameter.low, parameter.high
            assert low is not None
            assert high is not None
            assert low < high


@pytest.mark.parametrize("name", ["EmaCross", "Macd", "TrendFilter"])
def test_a_fast_average_that_is_not_faster_is_refused(name: str) -> None:
    strategy = configured(name)
    before = {each: getattr(strategy, each) for each in parameters_of(type(strategy))}

    with pytest.raises(StrategyError, match=r"fast = 50 is not below slow = 50.*shorter"):
        set_parameters(strategy, {"fast": 50, "slow": 50})

    assert {each: getattr(strategy, each) for each in before} == before


def test_the_filter_takes_only_crosses_that_the_larger_trends_agree_with() -> None:
    bars = market(9000)[SOL]
    plain = decide(library.EmaCross(), bars, ExitsConfig()).target
    strategy = library.TrendFilter()
    alone = decide(strategy, bars, ExitsConfig()).target
    strategy.reference = BTC
    both = decide(strategy, bars, ExitsConfig()).target

    entries = [set(np.flatnonzero(target > 0).tolist()) for target in (both, alone, plain)]

    assert entries[0] < entries[1] < entries[2]


def test_momentum_speaks_once_a_day_and_in_quarters() -> None:
    bars = market(9000)[SOL]

    target = decide(library.TimeSeriesMomentum(), bars, ExitsConfig()).target

    spoken = np.flatnonzero(~np.isnan(target))
    assert set(np.unique(target[spoken] * 4) % 1) == {0.0}
    assert set((bars.ts_close[spoken] // (3_600 * 10**9) % 24).tolist()) == {0}
