"""Abidance on the single workload: one strategy over one series, by the compiled executor.

`steady_s` is from the columns of bars to the metrics, as a search does it: signals, simulation, return, drawdown,
Sharpe ratio. With `full` it is `compiled_backtest`, which also tells every order, fill, round trip and refusal, and
takes the fingerprint of the data.

    python abidance_single.py 1000000
    python abidance_single.py 1000000 full
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
        from abidance.backtest.compiled import sweep
        from abidance.journal.metrics import YEAR_DAYS
        from abidance.run.compiled import compiled_backtest, fallback_of, scene_of
        from abidance.run.setup import gather
        from abidance.strategy.base import BarStrategy
        from abidance.strategy.decisions import decide
    with phases.measure("load"), np.load(bars_file(count)) as stored:
        bars = as_bars({name: stored[name] for name in stored.files})
    config = one_unit("EmaCross", {"fast": FAST, "slow": SLOW})
    source = Memory(bars)
    with phases.measure("scene"):
        material = gather(config, source, None)
        scene = scene_of(material)
    strategy = material.strategies["EmaCross"]
    exits = config.strategies[0].exits
    assert isinstance(strategy, BarStrategy)

    def whole() -> dict[str, float]:
        result = compiled_backtest(config, source)
        assert not fallback_of(result), fallback_of(result)
        closed = sum(trip.ts_exit is not None for trip in result.round_trips)
        return {"closed": closed, "pnl": float(result.equity[-1]) - CASH}

    def scored() -> dict[str, float]:
        score = next(iter(sweep(scene, [[decide(strategy, bars, exits)]], workers=1)))
        returns = np.diff(score.equity, prepend=CASH) / np.append(CASH, score.equity[:-1])
        return {
            "closed": score.trades,
            "pnl": float(score.equity[-1]) - CASH,
            "max_drawdown": score.max_drawdown,
            "sharpe_daily": float(returns.mean() / returns.std(ddof=1) * YEAR_DAYS**0.5),
        }

    with phases.measure("run"):
        outcome, steady_s, first_s = repeated(whole if "full" in sys.argv else scored)
    outcome["fill"] = "next open"
    emit("abidance", abidance.__version__, count, steady_s, phases, outcome, first_s=first_s)


if __name__ == "__main__":
    main()
