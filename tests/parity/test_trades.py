"""Trades that fill orders between bars built from them: the compiled executor against the event engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.backtest.parity import first_difference
from abidance.backtest.result import BacktestResult
from abidance.engine.config import StrategyConfig
from abidance.market.bars import Bars
from abidance.market.build import Tape
from abidance.market.funding import Funding
from abidance.market.live.gaps import GapSpan
from abidance.model.errors import DataError
from abidance.model.instrument import SECOND_NS
from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig, SizingConfig
from abidance.run.backtest import backtest
from abidance.run.compiled import compiled_backtest, fallback_of
from abidance.run.config import RunConfig
from abidance.run.sweeping import sweep
from tests.parity.markets import START, due
from tests.parity.tally import RUNS
from tests.parity.test_compiled import (
    HERE,
    LISTED,
    OPEN,
    TOLD,
    breakers,
    entries,
    ids,
    limits,
    remark,
    scripts,
    sizings,
    venues,
)

pytestmark = [pytest.mark.usefixtures("kernels_are_compiled"), pytest.mark.timeout(400)]


@dataclass(frozen=True)
class Tapes:
    """Trades by instrument, as a run asks for them, funding by perpetual, and holes; there are no bars."""

    tapes: Mapping[str, Tape]
    rates: Mapping[str, Funding] = field(default_factory=dict)
    spans: tuple[GapSpan, ...] = ()

    def gaps(self, instrument: str, start: int | None = None, end: int | None = None) -> tuple[GapSpan, ...]:
        return tuple(span for span in self.spans if span.instrument == instrument)

    def read(self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None) -> Bars:
        raise AssertionError("the bars are to be built from trades")

    def funding(self, instrument: str, start: int | None = None, end: int | None = None) -> Funding | None:
        return due(self.rates.get(instrument), start, end)

    def trades(self, instrument: str, start: int | None = None, end: int | None = None) -> Tape:
        tape = self.tapes[instrument]
        first = 0 if start is None else int(np.searchsorted(tape.ts, start))
        last = len(tape.ts) if end is None else int(np.searchsorted(tape.ts, end))
        return Tape(tape.ts[first:last], tape.price[first:last], tape.size[first:last])


@dataclass(frozen=True)
class Pace:
    """How trades come: how many, how far apart (s), how wild, how thin, how often at one moment or on a bar's edge."""

    seed: int
    count: int
    gap: float
    wild: float
    size: float
    price: float
    edge: float


paces = st.builds(
    Pace,
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(20, 2500),
    gap=st.sampled_from([0.05, 1.0, 9.0, 70.0]),
    wild=st.sampled_from([0.0002, 0.002, 0.01]),
    size=st.sampled_from([1e6, 300.0, 5.0]),
    price=st.sampled_from([61_234.5, 101.25, 0.0731]),
    edge=st.sampled_from([0.0, 0.02, 0.2]),
)


def tape_of(pace: Pace, number: int) -> Tape:
    rng = np.random.default_rng((pace.seed, number))
    gaps = rng.exponential(pace.gap * SECOND_NS, pace.count) * (rng.random(pace.count) < 0.8)
    ts = START + np.cumsum(gaps).astype(np.int64)
    minute = 60 * SECOND_NS
    ts = np.where(rng.random(pace.count) < pace.edge, ts // minute * minute, ts)
    ts.sort()
    moves = rng.normal(0.0, pace.wild, pace.count) * np.where(rng.random(pace.count) < 0.01, 8.0, 1.0)
    price = np.round(pace.price * (1 + 0.3 * number) * np.exp(np.clip(np.cumsum(moves), -3, 3)), 6)
    size = np.round(rng.exponential(pace.size / pace.price, pace.count) + 1e-4, 4)
    return Tape(ts, price, size)


def market(pace: Pace, instruments: Sequence[str]) -> Tapes:
    return Tapes({id: tape_of(pace, number) for number, id in enumerate(instruments)})


def agree(config: RunConfig, source: Tapes) -> BacktestResult | None:
    """Run both executors, hold them equal and return the event engine's result; None where there is no whole bar."""
    try:
        truth = backtest(config, source)
    except DataError:
        return None
    other = compiled_backtest(config, source)
    fell_back = fallback_of(other)
    RUNS.count(not fell_back)
    remark(fell_back[70:] or f"compiled, {min(len(truth.fills), 50) // 10 * 10} fills or more")
    assert first_difference(truth, other) is None, str(first_difference(truth, other))
    if not fell_back:
        assert [order.state for order in other.orders] == [order.state for order in truth.orders]
        assert [order.request for order in other.orders] == [order.request for order in truth.orders]
        assert [(n.ts, n.code) for n in other.notices] == [
            (n.ts, n.code) for n in truth.notices if n.code in TOLD
        ]
    return truth


def config_of(instruments: Sequence[str], strategies: Sequence[StrategyConfig], **given: Any) -> RunConfig:
    return RunConfig(
        **{
            "instruments": tuple(instruments),
            "timeframe": "1m",
            "detail_timeframe": "trades",
            "strategies": tuple(strategies),
            **given,
        }
    )


@LISTED
@given(paces, scripts, sizings, venues, breakers, limits, entries)
def test_one_strategy_in_one_instrument_is_told_alike(
    pace: Pace, script: Any, sizing: SizingConfig, venue: Any, stops: BreakersConfig, limited: LimitsConfig, entry: Any
) -> None:  # fmt: skip
    instruments = ids(1)
    strategy = StrategyConfig(strategy=f"{HERE}:Scripted", parameters=script, sizing=sizing, **entry)
    config = config_of(instruments, [strategy], venue=venue, risk=RiskConfig(limits=limited, breakers=stops))

    agree(config, market(pace, instruments))


@LISTED
@given(paces, scripts, scripts, sizings, venues, breakers, st.sampled_from(["1m", "5m"]), entries)
def test_strategies_that_share_the_money_of_several_instruments_are_told_alike(
    pace: Pace, one: Any, two: Any, sizing: SizingConfig, venue: Any, stops: BreakersConfig, longer: str, entry: Any
) -> None:  # fmt: skip
    instruments = ids(3)
    strategies = [
        StrategyConfig(strategy=f"{HERE}:Scripted", name="one", parameters=one, sizing=sizing, allocation=0.6),
        StrategyConfig(
            strategy=f"{HERE}:Scripted", name="two", parameters=two, allocation=0.4, timeframe=longer,
            instruments=instruments[:2], **entry,
        ),
    ]  # fmt: skip
    config = config_of(instruments, strategies, venue=venue, risk=RiskConfig(limits=OPEN, breakers=stops))

    agree(config, market(pace, instruments))


def test_settings_are_swept_over_trades_as_the_event_engine_runs_them() -> None:
    pace = Pace(seed=5, count=6000, gap=1.0, wild=0.0007, size=1e6, price=61_234.5, edge=0.02)
    source = market(pace, ids(1))
    strategy = StrategyConfig(strategy="EmaCross", parameters={"fast": 3, "slow": 8})
    config = config_of(ids(1), [strategy], risk=RiskConfig(limits=OPEN))

    for setting, score in sweep(config, source, {"fast": [3, 5], "slow": [8, 12]}):
        told = strategy.model_copy(update={"parameters": setting})
        truth = backtest(config.model_copy(update={"strategies": (told,)}), source)
        assert score.fills == len(truth.fills) > 0
        assert score.equity[-1] == pytest.approx(truth.equity[-1], rel=1e-9)
