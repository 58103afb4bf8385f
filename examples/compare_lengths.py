"""Use Abidance from Python: run backtests over the bundled data and read what they return.

Try it from the project's folder:

    .venv/bin/python examples/compare_lengths.py
"""

import tempfile
from collections import Counter
from pathlib import Path

from abidance.backtest.breakdown import metrics_of
from abidance.backtest.result import BacktestResult
from abidance.engine.config import StrategyConfig
from abidance.market.store import BarStore, Catalog
from abidance.run.backtest import backtest
from abidance.run.config import RunConfig

LENGTHS = ((10, 50), (20, 50), (50, 200))


def crossing(fast: int, slow: int) -> RunConfig:
    """Return a run of one EMA cross over two coins; what is not said keeps its default."""
    return RunConfig(
        instruments=("BTC/USDT@BINANCE", "ETH/USDT@BINANCE"),
        timeframe="4h",
        timerange="20240101-20250101",
        strategies=(StrategyConfig(strategy="EmaCross", parameters={"fast": fast, "slow": slow}),),
    )


def show(name: str, result: BacktestResult) -> None:
    """Print one line about a result."""
    run, benchmark = metrics_of(result)
    print(
        f"{name:>10}  return {run.total_return:+7.2%}  (held: {benchmark.total_return:+.2%})"
        f"  worst fall {run.max_drawdown:7.2%}  round trips {run.trades:3d}  digest {result.digest[:12]}"
    )


def main() -> None:
    """Compare three pairs of lengths, then look closer at the last."""
    with tempfile.TemporaryDirectory() as nothing:
        source = Catalog(BarStore(Path(nothing)))  # an empty store of our own: the bundled bars are behind it
        results = {f"{fast}/{slow}": backtest(crossing(fast, slow), source) for fast, slow in LENGTHS}
    for name, result in results.items():
        show(name, result)

    name, result = results.popitem()
    print(
        f"\nHow {name} left its positions: {dict(Counter(trip.exit_reason for trip in result.round_trips))}"
    )
    best = max(result.round_trips, key=lambda trip: trip.pnl)
    print(f"Its best round trip earned {best.pnl:.2f} {result.currency} in {best.instrument}.")
    print(f"Fees were {result.costs['fees']:.2f}, slippage {result.costs['slippage']:.2f} {result.currency}.")
    for ts, refusal in result.refusals[:3]:
        print(f"Refused at {ts}: {refusal.code}: {refusal.reason}")


if __name__ == "__main__":
    main()
