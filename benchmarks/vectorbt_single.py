"""vectorbt on the single workload: indicators, crosses, portfolio, then trades, return, Sharpe ratio, drawdown.

`bare_s` stops after the portfolio. Signals are moved by one bar and filled at its open.

    python vectorbt_single.py 1000000
    python vectorbt_single.py 1000000 once     # for the whole process
"""

from __future__ import annotations

import sys

import vectorbt as vbt
from harness import CASH, FAST, FEE, QUANTITY, SLOW, Phases, bars_file, emit, repeated
from vectorbt_setup import quick, series


def main() -> None:
    """Run the workload and print the result."""
    phases = Phases()
    count = int(sys.argv[1])
    quick()
    with phases.measure("load"):
        prices = series(bars_file(count))

    def simulate() -> vbt.Portfolio:
        fast = vbt.MA.run(prices["close"], FAST, ewm=True)
        slow = vbt.MA.run(prices["close"], SLOW, ewm=True)
        return vbt.Portfolio.from_signals(
            prices["close"],
            fast.ma_crossed_above(slow).vbt.signals.fshift(1),
            fast.ma_crossed_below(slow).vbt.signals.fshift(1),
            price=prices["open"],
            size=QUANTITY,
            fees=FEE,
            init_cash=CASH,
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

    if "once" in sys.argv:
        with phases.measure("run"):
            outcome = run()
        emit("vectorbt", vbt.__version__, count, phases.seconds["run"], phases, outcome)
        return
    with phases.measure("run"):
        outcome, timed = repeated(run)
        _, bare = repeated(simulate)
    emit("vectorbt", vbt.__version__, count, timed.wall_s, phases, outcome, bare_s=bare.wall_s, **timed.also)


if __name__ == "__main__":
    main()
