"""Compiled runs whose bars come piece by piece, and from the store: the same as with all bars in memory."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from abidance.backtest import reel
from abidance.backtest.parity import first_difference
from abidance.engine.config import StrategyConfig
from abidance.market import stored as stored_bars
from abidance.market.bars import FIELDS, Bars
from abidance.market.live.gaps import GapSpan
from abidance.market.store import BarStore, Catalog
from abidance.market.stored import StoredBars
from abidance.model.errors import DataError
from abidance.model.market import DataKind, FeedState
from abidance.model.outcome import RefusalCode
from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig, SizingConfig
from abidance.run.backtest import backtest
from abidance.run.compiled import compiled_backtest, fallback_of
from abidance.run.config import RunConfig
from abidance.strategy.config import ExitsConfig
from abidance.venues.sim.config import VenueConfig
from tests.parity.markets import COINS, START, Memory, Shape, market
from tests.parity.tally import RUNS

pytestmark = [pytest.mark.usefixtures("kernels_are_compiled"), pytest.mark.timeout(400)]
HERE = "tests/parity/markets.py"
HOUR = 3_600_000_000_000
IDS = tuple(f"{coin}/USDT@BINANCE" for coin in COINS)
SHAPE = Shape(seed=5, length=150, wild=0.01, thin=0.0, holes=0.05, price=101.25)


def run(count: int, seed: int = 1, **changes: Any) -> RunConfig:
    strategy = StrategyConfig(
        strategy=f"{HERE}:Scripted",
        name="s",
        parameters={"seed": seed, "often": 0.3, "protect": "stg"},
        sizing=SizingConfig(method="fixed_notional", amount=300.0),
        exits=ExitsConfig(trailing_stop=0.02),
    )
    limits = LimitsConfig(max_exposure=1.0, max_asset_exposure=1.0, max_venue_exposure=1.0, price_collar=0.5)
    quiet = BreakersConfig(daily_loss=None, max_drawdown=None, data_anomaly=None)
    whole = {
        "instruments": IDS[:count],
        "timeframe": "1h",
        "detail_timeframe": "15m",
        "strategies": (strategy,),
        "risk": RiskConfig(limits=limits, breakers=quiet),
        "venue": VenueConfig(unlimited_volume=True),
    }
    return RunConfig(**whole | changes)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reel, "ROWS", 50)


@settings(
    max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(
    seed=st.integers(0, 1_000),
    count=st.integers(1, 3),
    holes=st.sampled_from([0.0, 0.2]),
    detail=st.sampled_from([None, "15m"]),
)
def test_runs_in_pieces_trade_as_the_event_engine(
    seed: int, count: int, holes: float, detail: str | None
) -> None:
    config = run(count, seed, detail_timeframe=detail)
    bars = market(replace(SHAPE, seed=seed, holes=holes), IDS[:count], "1h", detail)

    truth, other = backtest(config, bars), compiled_backtest(config, bars)

    RUNS.count(not fallback_of(other))
    assert first_difference(truth, other) is None, str(first_difference(truth, other))
    assert other.fingerprint == truth.fingerprint


def stored(folder: Path, memory: Memory) -> Catalog:
    catalog = Catalog(BarStore(folder))
    for (_, timeframe), bars in memory.series.items():
        if timeframe == "15m":
            catalog.store.write(bars)
    return catalog


@pytest.mark.parametrize("timerange", ["", "20240102-20240106"])
def test_detail_that_stays_in_the_store_trades_as_detail_in_memory(tmp_path: Path, timerange: str) -> None:
    config = run(3, timerange=timerange)
    catalog = stored(tmp_path, market(SHAPE, IDS, "1h", "15m"))

    truth, other = backtest(config, catalog), compiled_backtest(config, catalog)

    assert not fallback_of(other)
    assert len(other.fills) > 20
    assert first_difference(truth, other) is None, str(first_difference(truth, other))
    assert other.fingerprint == truth.fingerprint
    assert other.costs == pytest.approx(truth.costs)


class Reads:
    """A store that notes which bars are asked for, and knows rules and holes."""

    def __init__(self, memory: Memory) -> None:
        self.memory, self.left = memory, set[str]()

    def read(self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None) -> Bars:
        return self.memory.read(instrument, timeframe)

    def stored(
        self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None
    ) -> Bars:
        self.left.add(timeframe)
        return self.memory.read(instrument, timeframe)

    def funding(self, instrument: str, start: int | None = None, end: int | None = None) -> None:
        return None

    def gaps(self, instrument: str, start: int | None = None, end: int | None = None) -> tuple[GapSpan, ...]:
        return (GapSpan(instrument, DataKind.QUOTES, START, START + 60 * HOUR, FeedState.GAP, "cut"),)


def test_a_source_that_spares_memory_still_tells_of_holes_in_what_it_has() -> None:
    source = Reads(market(SHAPE, IDS[:1], "1h", "15m"))

    found = compiled_backtest(run(1), source)

    assert source.left == {"15m"}
    assert not fallback_of(found)
    refused = [each.code for ts, each in found.refusals if ts <= START + 60 * HOUR]
    assert RefusalCode.FEED_NOT_CERTIFIED in refused
    assert all(fill.ts > START + 60 * HOUR for fill in found.fills)


def test_pieces_hold_every_bar_once_in_its_order() -> None:
    series = list(market(SHAPE, IDS, "1h", "15m").series.values())
    found = reel.Reel(series)

    moments = found.when

    assert np.array_equal(moments, np.unique(np.concatenate([bars.ts_close for bars in series])))


def test_columns_that_lie_side_by_side_are_not_copied() -> None:
    block = np.arange(12.0).reshape(3, 4)

    together, apart = reel.joined(list(block)), reel.joined([block[0], block[2]])

    assert np.shares_memory(together, block)
    assert together.tolist() == block.ravel().tolist()
    assert not np.shares_memory(apart, block)
    assert apart.tolist() == [0, 1, 2, 3, 8, 9, 10, 11]


def make_bars(count: int) -> Bars:
    ts = np.arange(count) * HOUR
    return Bars("BTC/USDT@BINANCE", "1h", ts, [np.linspace(n, n + 1, count) for n in range(len(FIELDS))])


def test_stored_bars_are_read_when_they_are_looked_at() -> None:
    whole, asked = make_bars(10), []

    def read(start: int, end: int) -> Bars:
        asked.append((start, end))
        return whole.slice(*np.searchsorted(whole.ts, (start, end)).tolist())

    bars = StoredBars(whole, read)
    bars.leave()

    part, close = bars.slice(2, 5), bars.close

    assert asked == [(2 * HOUR, 4 * HOUR + 1), (0, 9 * HOUR + 1)]
    assert part.close.tolist() == whole.close[2:5].tolist()
    assert (close.tolist(), len(bars)) == (whole.close.tolist(), 10)
    assert bars.slice(7, 3).close.tolist() == []


def test_stored_bars_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make_bars(10)
    bars = StoredBars(
        whole, lambda start, end: whole.slice(*np.searchsorted(whole.ts, (start, end)).tolist())
    )
    bars.leave()
    monkeypatch.setattr(stored_bars, "_PART", 3)

    columns = bars.columns()

    assert [column.tolist() for column in columns] == [column.tolist() for column in whole.columns()]


def test_stored_bars_that_change_meanwhile_are_refused() -> None:
    whole = make_bars(10)
    bars = StoredBars(whole, lambda start, end: whole.slice(0, 3))
    bars.leave()

    with pytest.raises(DataError, match="changed while"):
        bars.slice(0, 5)
