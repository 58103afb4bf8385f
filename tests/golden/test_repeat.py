"""The same run in another process, with another hash seed, gives the same digest."""

import os
import subprocess
import sys

CODE = """
from pathlib import Path
from abidance.engine.config import StrategyConfig
from abidance.market.bars import Bars
from abidance.market.store import BarStore, Catalog
from abidance.run.backtest import backtest
from abidance.run.config import RunConfig

store = Catalog(BarStore(Path("no-store-here")))

class TwoVenues:
    def read(self, instrument, timeframe, start=None, end=None):
        pair = instrument.partition("@")[0]
        bars = store.read(f"{pair}@BINANCE", timeframe, start, end)
        return Bars(instrument, timeframe, bars.ts, bars.columns())

    def funding(self, instrument, start=None, end=None):
        return None

ids = [f"{pair}@{venue}" for venue in ("BINANCE", "KRAKEN") for pair in ("BTC/USDT", "ETH/USDT", "SOL/USDT")]
names = ("EmaCross", "Donchian", "Grid", "TimeSeriesMomentum", "CandleTrend")
config = RunConfig(
    instruments=tuple(ids), timerange="20240101-20240601",
    strategies=tuple(StrategyConfig(strategy=name, allocation=0.2) for name in names),
)
result = backtest(config, TwoVenues())
print(result.digest, len(result.fills), len(result.refusals))
"""


def digest_with(seed: str) -> list[str]:
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_two_processes_with_different_hash_seeds_give_one_digest() -> None:
    first, second = digest_with("1"), digest_with("4242")

    assert first == second
    assert int(first[1]) > 300
    assert int(first[2]) > 10
