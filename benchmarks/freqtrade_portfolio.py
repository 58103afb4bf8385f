"""freqtrade on the portfolio workload: ten positions at most, a target and a trailing stop.

python freqtrade_portfolio.py 20000
"""

from __future__ import annotations

import sys
from importlib.metadata import version

import numpy as np
from freqtrade_setup import FIELDS, backtesting, frame, run
from harness import CASH, PAIRS, STAKE, Phases, emit, set_file


def main() -> None:
    """Run the workload once and print the result."""
    phases = Phases()
    count, positions = int(sys.argv[1]), int(sys.argv[2])
    pairs = [f"P{number:02d}/USDT" for number in range(PAIRS)]
    with phases.measure("load"), np.load(set_file("portfolio")) as stored:
        columns = {name: stored[name][:, :count] for name in FIELDS}
        ts = stored["ts"][:count]
        frames = {
            pair: frame(ts, {name: values[number] for name, values in columns.items()})
            for number, pair in enumerate(pairs)
        }
    settings = {"dry_run_wallet": CASH, "stake_amount": STAKE, "max_open_trades": positions}
    with phases.measure("engine"):
        test = backtesting(pairs, "WithExits", **settings)
    content = run(test, frames, phases)
    trades = content["results"]
    outcome = {
        "closed": int((trades["exit_reason"] != "force_exit").sum()),
        "pnl": float(trades["profit_abs"].sum()),
        "refused": int(content["rejected_signals"]),
        **{f"by {reason}": int(count) for reason, count in trades["exit_reason"].value_counts().items()},
    }
    bare_s = phases.seconds["run"]
    steady_s = bare_s + phases.seconds["metrics"]
    cpu_s = phases.processor["run"] + phases.processor["metrics"]
    items = len(pairs) * count
    emit("freqtrade", version("freqtrade"), items, steady_s, phases, outcome, bare_s=bare_s, cpu_s=cpu_s)


if __name__ == "__main__":
    main()
