"""freqtrade on the single workload: a market order fills at the open of the next bar.

What is held at the end it sells at the last price. Its simulation and its statistics count, `bare_s` is without them.

    python freqtrade_single.py 200000
"""

from __future__ import annotations

import sys
from importlib.metadata import version

import numpy as np
from freqtrade_setup import backtesting, frame, run
from harness import CASH, Phases, bars_file, emit

PAIR = "BTC/USDT"


def main() -> None:
    """Run the workload once and print the result."""
    phases = Phases()
    count = int(sys.argv[1])
    with phases.measure("load"), np.load(bars_file(count)) as stored:
        bars = frame(stored["ts"], stored)
    with phases.measure("engine"):
        test = backtesting([PAIR], "OneUnit", dry_run_wallet=CASH, stake_amount=10_000, max_open_trades=1)
    content = run(test, {PAIR: bars}, phases)
    trades = content["results"]
    outcome = {
        "trades": len(trades),
        "closed": int((trades["exit_reason"] != "force_exit").sum()),
        "pnl": float(trades["profit_abs"].sum()),
        "fill": "next open",
    }
    bare_s = phases.seconds["run"]
    steady_s = bare_s + phases.seconds["metrics"]
    cpu_s = phases.processor["run"] + phases.processor["metrics"]
    emit("freqtrade", version("freqtrade"), count, steady_s, phases, outcome, bare_s=bare_s, cpu_s=cpu_s)


if __name__ == "__main__":
    main()
