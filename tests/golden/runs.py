"""The runs whose results are written down: every shipped strategy with its defaults on the whole bundled sample."""

import json
from pathlib import Path
from typing import TypedDict

from abidance.engine.config import StrategyConfig
from abidance.market.store import BarStore, Catalog
from abidance.run.backtest import backtest
from abidance.run.config import RunConfig
from abidance.strategy import library

FILE = Path(__file__).parent / "results.json"
COINS = ("BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "DOGE")
INSTRUMENTS = tuple(f"{coin}/USDT@BINANCE" for coin in COINS)


class Golden(TypedDict):
    digest: str
    fills: int
    round_trips: int
    refusals: int
    equity: float


def run(strategy: str) -> Golden:
    """Run one strategy with its defaults and default risk; only the bundled bars are read."""
    config = RunConfig(instruments=INSTRUMENTS, strategies=(StrategyConfig(strategy=strategy),))
    result = backtest(config, Catalog(BarStore(FILE.parent / "no-store-here")))
    return Golden(
        digest=result.digest,
        fills=len(result.fills),
        round_trips=len(result.round_trips),
        refusals=len(result.refusals),
        equity=float(result.equity[-1]),
    )


def written() -> dict[str, Golden]:
    found: dict[str, Golden] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def update() -> None:
    """Run everything and write it down."""
    results = {name: run(name) for name in library.__all__}
    FILE.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    update()
