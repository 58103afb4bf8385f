"""What every workload gives Abidance: bars from memory, and a run without limits, breakers or slippage.

The peers have no limits and no breakers, so that those that would change what is traded are set aside here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness import CASH, FEE, QUANTITY

from abidance.engine.config import StrategyConfig
from abidance.market.bars import FIELDS, Bars
from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig, SizingConfig
from abidance.run.config import RunConfig
from abidance.strategy.config import ExitsConfig
from abidance.venues.sim.config import FeeTier, SlippageConfig, VenueConfig

ID = "BTC/USDT@BINANCE"
EVERYTHING = 1e9


class Memory:
    """Series that are in memory already, as a source of bars."""

    def __init__(self, *series: Bars) -> None:
        self.series = {(bars.instrument, bars.timeframe): bars for bars in series}

    def read(self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None) -> Bars:
        """Return a whole series."""
        return self.series[instrument, timeframe]

    def funding(self, instrument: str, start: int | None = None, end: int | None = None) -> None:
        """Return None: spot pairs have no funding."""


def as_bars(stored: Mapping[str, Any], count: int | None = None, instrument: str = ID) -> Bars:
    """Return the first `count` rows of stored arrays as bars of one minute; what is left out stays in no memory."""
    columns = [stored[name] if count is None else stored[name][:count].copy() for name in FIELDS]
    return Bars(instrument, "1m", stored["ts"][:count] * 1_000_000, columns)


def set_of_bars(stored: Mapping[str, Any], count: int, ids: Sequence[str]) -> list[Bars]:
    """Return the first `count` columns of stored tables, one row an instrument, as bars that share their times.

    Volumes, which no peer is given and the workloads' venue does not look at, are shared too.
    """
    ts, volume = stored["ts"][:count] * 1_000_000, stored["volume"][0, :count].copy()
    prices = [stored[name][:, :count] for name in FIELDS[:-1]]
    return [Bars(id, "1m", ts, [*(table[row] for table in prices), volume]) for row, id in enumerate(ids)]


def venue() -> VenueConfig:
    """Return the workloads' venue: one fee for every fill, no slippage."""
    return VenueConfig(
        fees=(FeeTier(volume=0, maker=FEE, taker=FEE),),
        slippage=SlippageConfig(spread=0, fixed=0, volume_share=0),
        unlimited_volume=True,
    )


def unlimited(**limits: Any) -> RiskConfig:
    """Return a risk configuration in which only the named limits can bind."""
    shares = dict.fromkeys(
        ("max_exposure", "max_asset_exposure", "max_venue_exposure", "max_leverage"), EVERYTHING
    )
    rest = {"max_positions": 1_000, "max_orders_per_minute": 1_000_000, "price_collar": 1.0}
    return RiskConfig(
        limits=LimitsConfig(**(shares | rest | limits)),
        breakers=BreakersConfig(daily_loss=None, max_drawdown=None, data_anomaly=None),
    )


def one_unit(
    strategy: str, parameters: dict[str, Any] | None = None, exits: ExitsConfig | None = None
) -> RunConfig:
    """Return a run of one strategy that buys one unit of one pair."""
    return RunConfig(
        instruments=(ID,),
        timeframe="1m",
        dry_run_wallet=CASH,
        strategies=(
            StrategyConfig(
                strategy=strategy,
                parameters=parameters or {},
                sizing=SizingConfig(method="fixed_quantity", quantity=QUANTITY, max_fraction=EVERYTHING),
                exits=exits or ExitsConfig(),
            ),
        ),
        risk=unlimited(),
        venue=venue(),
    )
