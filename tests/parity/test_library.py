"""Every shipped strategy over all bundled prices: both executors tell the same story."""

from functools import cache
from pathlib import Path

import pytest

from abidance.backtest.parity import first_difference
from abidance.engine.config import StrategyConfig
from abidance.market.store import BarStore, Catalog
from abidance.risk.config import SizingConfig
from abidance.run.backtest import backtest
from abidance.run.compiled import compiled_backtest, fallback_of
from abidance.run.config import RunConfig
from abidance.strategy import library
from abidance.strategy.base import BarStrategy
from abidance.strategy.config import ExitsConfig

pytestmark = [pytest.mark.usefixtures("kernels_are_compiled"), pytest.mark.timeout(400)]
COINS = ("BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "DOGE")
STRATEGIES = [name for name in library.__all__ if issubclass(getattr(library, name), BarStrategy)]


@cache
def catalog() -> Catalog:
    return Catalog(BarStore(Path("no-store-here")))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_shipped_strategy_trades_the_same_on_all_bundled_prices(strategy: str) -> None:
    exits = ExitsConfig(stop_atr=3.0, take_profit=0.09, trailing_atr=4.0, break_even=0.03, max_bars=240)
    config = RunConfig(
        instruments=tuple(f"{coin}/USDT@BINANCE" for coin in COINS),
        strategies=(
            StrategyConfig(strategy=strategy, name="bare", allocation=0.5),
            StrategyConfig(
                strategy=strategy,
                name="guarded",
                allocation=0.5,
                exits=exits,
                sizing=SizingConfig(method="risk_per_trade", risk=0.02),
            ),
        ),
    )

    truth, other = backtest(config, catalog()), compiled_backtest(config, catalog())

    assert fallback_of(other) == ""
    assert first_difference(truth, other) is None, str(first_difference(truth, other))
    assert len(other.fills) > 5
