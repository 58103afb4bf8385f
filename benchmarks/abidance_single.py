"""Abidance on the single workload: one strategy over one series, by the compiled executor.

`steady_s` is what a search does for each setting: signals, simulation, return, drawdown, Sharpe ratio. Laying the bars
out for the executor comes before, once, and is told as the phase `scene`. With `full` it is `compiled_backtest`, which
also tells every order, fill, round trip and refusal, and takes the fingerprint of the data; there the layout is part of
what is timed.

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
        from abidance.run.compiled import compiled_backtest, fallback_of
        from abidance.run.sweeping import Arena
    with phases.measure("load"), np.load(bars_file(count)) as stored:
        bars = as_bars({name: stored[name] for name in stored.files})
    config = one_unit("EmaCross", {"fast": FAST, "slow": SLOW})
    source = Memory(bars)
    with phases.measure("scene"):
        arena = Arena(config, source, remembers=False)

    def whole() -> dict[str, float]:
        result = compiled_backtest(config, source)
        assert not fallback_of(result), fallback_of(result)
        closed = sum(trip.ts_exit is not None for trip in result.round_trips)
        return {"closed": closed, "pnl": float(result.equity[-1]) - CASH}

    def scored() -> dict[str, float]:
        score = arena.score(arena.config)
        return {
            "closed": score.trades,
            "pnl": float(score.equity[-1]) - CASH,
            "max_drawdown": score.max_drawdown,
            "sharpe_daily": score.sharpe or 0.0,
        }

    with phases.measure("run"):
        outcome, timed = repeated(whole if "full" in sys.argv else scored)
    outcome["fill"] = "next open"
    emit("abidance", abidance.__version__, count, timed.wall_s, phases, outcome, **timed.also)


if __name__ == "__main__":
    main()
