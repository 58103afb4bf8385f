"""Abidance on the single workload: one strategy over one series, by the compiled executor.

`steady_s` is from the columns of bars to the metrics, as a search does it: signals, simulation, return, drawdown,
Sharpe ratio. `full_s` is a whole `compiled_backtest`, which also tells every order, fill, round trip and refusal, and
takes the fingerprint of the data.

    python abidance_single.py 1000000
"""

from __future__ import annotations

import sys

from harness import CASH, FAST, SLOW, Phases, bars_file, emit, repeated


def main() -> None:
    """Run the workload and print the result."""
    phases = Phases()
    count = int(sys.argv[1])
    with phases.measure("import"):
        import numpy as np
        from abidance_setup import Memory, as_bars, one_unit

        import abidance
        from abidance.backtest.compiled import Score, sweep
        from abidance.journal.metrics import YEAR_DAYS
        from abidance.run.compiled import compiled_backtest, fallback_of, scene_of
        from abidance.run.setup import gather
        from abidance.strategy.base import BarStrategy
        from abidance.strategy.decisions import decide
    with phases.measure("load"), np.load(bars_file(count)) as stored:
        bars = as_bars({name: stored[name] for name in stored.files})
    config = one_unit("EmaCross", {"fast": FAST, "slow": SLOW})
    source = Memory(bars)
    with phases.measure("full"):
        full, full_s, full_first_s = repeated(lambda: compiled_backtest(config, source))
    assert not fallback_of(full), fallback_of(full)
    with phases.measure("scene"):
        material = gather(config, source, None)
        scene = scene_of(material)
    strategy = material.strategies["EmaCross"]
    exits = config.strategies[0].exits
    assert isinstance(strategy, BarStrategy)

    def run() -> tuple[Score, float]:
        score = next(iter(sweep(scene, [[decide(strategy, bars, exits)]], workers=1)))
        returns = np.diff(score.equity, prepend=CASH) / np.append(CASH, score.equity[:-1])
        return score, float(returns.mean() / returns.std(ddof=1) * YEAR_DAYS**0.5)

    with phases.measure("run"):
        (score, sharpe), steady_s, _ = repeated(run)
    profit = float(score.equity[-1]) - CASH
    assert score.trades == sum(trip.ts_exit is not None for trip in full.round_trips)
    assert abs(profit - (float(full.equity[-1]) - CASH)) < 1e-6
    outcome = {
        "trades": len(full.round_trips),
        "closed": score.trades,
        "pnl": profit,
        "max_drawdown": score.max_drawdown,
        "sharpe_daily": sharpe,
    }
    emit(
        "abidance", abidance.__version__, count, steady_s, phases, outcome,
        first_s=full_first_s, full_s=full_s,
    )  # fmt: skip


if __name__ == "__main__":
    main()
