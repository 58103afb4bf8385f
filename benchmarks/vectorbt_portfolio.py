"""vectorbt on the portfolio workload: pairs that share cash, a target and a trailing stop.

It has no limit on open positions, and one column cannot have a fixed and a trailing stop; the trailing stop, which is
the nearer, stands for both. Fills are at the close of the bar that decides, where in this data the next bar opens.

    python vectorbt_portfolio.py
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import vectorbt as vbt
from harness import CASH, FAST, FEE, SLOW, STAKE, TAKE_PROFIT, TRAILING, Phases, emit, repeated, set_file
from vectorbt_setup import FIELDS, quick


def main() -> None:
    """Run the workload and print the result."""
    phases = Phases()
    quick()
    with phases.measure("load"), np.load(set_file("portfolio")) as stored:
        prices = {name: pd.DataFrame(np.ascontiguousarray(stored[name].T)) for name in FIELDS}
    close = prices["close"]

    def simulate() -> vbt.Portfolio:
        fast = vbt.MA.run(close, FAST, ewm=True).ma.to_numpy()
        slow = vbt.MA.run(close, SLOW, ewm=True).ma.to_numpy()
        above, known = fast > slow, ~np.isnan(slow)
        entries, exits = np.zeros(above.shape, bool), np.zeros(above.shape, bool)
        entries[1:] = above[1:] & ~above[:-1] & known[:-1]
        exits[1:] = ~above[1:] & above[:-1]
        return vbt.Portfolio.from_signals(
            close,
            entries,
            exits,
            price=close,
            open=prices["open"],
            high=prices["high"],
            low=prices["low"],
            sl_stop=TRAILING,
            sl_trail=True,
            tp_stop=TAKE_PROFIT,
            size=STAKE,
            size_type="value",
            fees=FEE,
            init_cash=CASH,
            cash_sharing=True,
            group_by=True,
            call_seq="auto",
            freq="1min",
        )

    def run() -> dict[str, float]:
        portfolio = simulate()
        return {
            "trades": int(portfolio.trades.count()),
            "closed": int(portfolio.trades.closed.count()),
            "pnl": float(portfolio.total_profit()),
            "max_drawdown": float(portfolio.max_drawdown()),
            "sharpe_by_bar": float(portfolio.sharpe_ratio()),
        }

    with phases.measure("run"):
        outcome, timed = repeated(run, least=2, seconds=0.0)
    with phases.measure("simulate"):
        _, bare = repeated(simulate, least=1, seconds=0.0)
    emit(
        "vectorbt",
        vbt.__version__,
        close.size,
        timed.wall_s,
        phases,
        outcome,
        bare_s=bare.wall_s,
        **timed.also,
    )


if __name__ == "__main__":
    main()
