"""freqtrade on the detail workload: bars of five minutes, perhaps with bars of one minute inside them.

python freqtrade_detail.py            # fills decided by the bars of five minutes
python freqtrade_detail.py detail     # by those of one minute
"""

from __future__ import annotations

import sys
from importlib.metadata import version

import numpy as np
import pandas as pd
from freqtrade_setup import FIELDS, backtesting, frame, run
from harness import CASH, MINUTES_OF_YEAR, STAKE, YEAR_PAIRS, Phases, emit, set_file

RULES = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}


def five_minutes(bars: pd.DataFrame) -> pd.DataFrame:
    """Return bars of one minute in fives."""
    return bars.resample("5min", on="date").agg(RULES).reset_index()


def main() -> None:
    """Run the workload once and print the result."""
    phases = Phases()
    pairs = [f"P{number:02d}/USDT" for number in range(YEAR_PAIRS)]
    with phases.measure("load"), np.load(set_file("year")) as stored:
        columns = {name: stored[name] for name in FIELDS}
        minutes = {
            pair: frame(stored["ts"], {name: values[number] for name, values in columns.items()})
            for number, pair in enumerate(pairs)
        }
        frames = {pair: five_minutes(bars) for pair, bars in minutes.items()}
        del columns
    settings = {"dry_run_wallet": CASH, "stake_amount": STAKE, "max_open_trades": YEAR_PAIRS}
    with phases.measure("engine"):
        test = backtesting(pairs, "WithExits", timeframe="5m", **settings)
        if "detail" in sys.argv:
            test.config["timeframe_detail"] = "1m"
            test.init_backtest_detail()
            test.detail_data = minutes
        else:
            del minutes
    content = run(test, frames, phases)
    trades = content["results"]
    closed = trades["exit_reason"] != "force_exit"
    outcome = {
        "trades": len(trades),
        "closed": int(closed.sum()),
        "pnl": float(trades["profit_abs"].sum()),
        "pnl, closed": float(trades["profit_abs"][closed].sum()),
        **{f"by {reason}": int(count) for reason, count in trades["exit_reason"].value_counts().items()},
    }
    bare_s = phases.seconds["run"]
    steady_s = bare_s + phases.seconds["metrics"]
    cpu_s = phases.processor["run"] + phases.processor["metrics"]
    items = len(pairs) * MINUTES_OF_YEAR // 5
    emit("freqtrade", version("freqtrade"), items, steady_s, phases, outcome, bare_s=bare_s, cpu_s=cpu_s)


if __name__ == "__main__":
    main()
