"""vectorbt on the sweep workload, chunked by hand as a skilled user does: it holds a matrix of bars by combinations.

Each average is computed once, each pair's crosses once; a chunk is a few pairs with all their stops. `bare_s` is the
portfolios alone, without metrics.

Fills are at the close of the bar that decides, where in this data the next bar opens. With signals moved by a bar
instead, vectorbt would let a stop of that bar go before the exit at its open.

    python vectorbt_sweep.py 100000
    python vectorbt_sweep.py 100000 --pairs 40 --chunk 4
"""

from __future__ import annotations

import argparse
import gc
import time
from typing import Any

import numpy as np
import pandas as pd
import vectorbt as vbt
from harness import CASH, FEE, QUANTITY, Phases, emit, rough_file
from sweep_grid import COMBINATIONS, FASTS, PAIRS, SLOWS, STOPS, told
from vectorbt_setup import quick, series

Prices = dict[str, pd.Series]


def averages(prices: Prices) -> tuple[np.ndarray, np.ndarray]:
    """Return the averages of the closes, a column a length."""
    close = prices["close"]
    fast = vbt.MA.run(close, list(FASTS), ewm=True).ma.to_numpy()
    slow = vbt.MA.run(close, list(SLOWS), ewm=True).ma.to_numpy()
    return fast, slow


def portfolio(prices: Prices, entries: np.ndarray, exits: np.ndarray) -> vbt.Portfolio:
    """Simulate a chunk: every pair's crosses with every stop."""
    stops = np.array([np.nan if each is None else each for each in STOPS])
    times = len(STOPS)
    return vbt.Portfolio.from_signals(
        prices["close"],
        pd.DataFrame(np.repeat(entries, times, 1)),
        pd.DataFrame(np.repeat(exits, times, 1)),
        price=prices["close"],
        open=prices["open"],
        high=prices["high"],
        low=prices["low"],
        sl_stop=np.tile(stops, entries.shape[1])[None, :],
        size=QUANTITY,
        fees=FEE,
        init_cash=CASH,
        freq="1min",
    )


def run(prices: Prices, pairs: list[tuple[int, int]], chunk: int) -> tuple[dict[str, np.ndarray], float]:
    """Return the metrics of all combinations, and the seconds that the portfolios took."""
    fast, slow = averages(prices)
    found: list[Any] = []
    bare_s = 0.0
    for first in range(0, len(pairs), chunk):
        part = pairs[first : first + chunk]
        above = fast[:, [FASTS.index(pair[0]) for pair in part]]
        below = slow[:, [SLOWS.index(pair[1]) for pair in part]]
        is_above, known = above > below, ~np.isnan(below)
        entries, exits = np.zeros(is_above.shape, bool), np.zeros(is_above.shape, bool)
        entries[1:] = is_above[1:] & ~is_above[:-1] & known[:-1]
        exits[1:] = ~is_above[1:] & is_above[:-1]
        began = time.perf_counter()
        result = portfolio(prices, entries, exits)
        bare_s += time.perf_counter() - began
        figures = (
            result.trades.closed.count(),
            result.total_profit(),
            result.max_drawdown(),
            result.sharpe_ratio(),
        )
        found.append([np.asarray(figure) for figure in figures])
        del result, entries, exits, is_above
        gc.collect()  # without it the matrices of several chunks are in memory at once
    columns = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return dict(zip(("trades", "pnl", "max_drawdown", "sharpe"), columns, strict=True)), bare_s


def main() -> None:
    """Run the workload and print the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bars", type=int)
    parser.add_argument("--pairs", type=int, default=len(PAIRS), help="the first so many pairs of averages")
    parser.add_argument("--chunk", type=int, default=4, help="pairs at a time: 4 (20 columns) is best")
    asked = parser.parse_args()
    phases = Phases()
    quick()
    with phases.measure("load"):
        prices = series(rough_file(), asked.bars)
        prices = {name: each.reset_index(drop=True) for name, each in prices.items()}
    with phases.measure("warm-up"):
        run(prices, PAIRS[: asked.chunk], asked.chunk)
    pairs = PAIRS[: asked.pairs]
    busy = time.process_time()
    with phases.measure("run"):
        figures, bare_s = run(prices, pairs, asked.chunk)
    cpu_s = time.process_time() - busy
    count = len(pairs) * len(STOPS)
    assert asked.pairs < len(PAIRS) or count == COMBINATIONS
    steady_s = phases.seconds["run"]
    emit("vectorbt", vbt.__version__, count, steady_s, phases, told(figures), bare_s=bare_s, cpu_s=cpu_s)


if __name__ == "__main__":
    main()
