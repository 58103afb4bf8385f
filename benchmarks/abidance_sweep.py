"""Abidance on the sweep workload: combinations of two averages and a stop, scored by the compiled executor.

One call of `sweep` with a grid, as a user writes it.

    python abidance_sweep.py 100000                # one thread
    python abidance_sweep.py 1000000 --workers 2
"""

from __future__ import annotations

import argparse


def main() -> None:
    """Run the workload and print the result."""
    from harness import CASH, Phases, emit, repeated, rough_file

    parser = argparse.ArgumentParser()
    parser.add_argument("bars", type=int)
    parser.add_argument("--pairs", type=int, default=None, help="the first so many pairs of averages")
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    phases = Phases()
    with phases.measure("import"):
        import numpy as np
        from abidance_setup import Memory, as_bars, one_unit
        from sweep_grid import FASTS, PAIRS, SLOWS, STOPS, told

        import abidance
        from abidance.backtest.compiled import Score
        from abidance.run.sweeping import sweep
    with phases.measure("load"), np.load(rough_file()) as stored:
        bars = as_bars({name: stored[name] for name in stored.files}, asked.bars)
    config, source = one_unit("EmaCross"), Memory(bars)
    pairs = PAIRS[: asked.pairs]
    grid = {"fast": FASTS, "slow": SLOWS, "exits.stop_loss": STOPS}
    if asked.pairs is not None:
        assert len({fast for fast, _ in pairs}) == 1 or len(pairs) % len(SLOWS) == 0, "whole rows of the grid"
        grid |= {"fast": list(dict.fromkeys(fast for fast, _ in pairs)), "slow": SLOWS[: len(pairs)]}

    def run() -> list[Score]:
        return [score for _, score in sweep(config, source, grid, workers=asked.workers)]

    with phases.measure("run"):
        scores, timed = repeated(run, least=1, seconds=0.0)
    figures = {
        "trades": np.array([score.trades for score in scores]),
        "pnl": np.array([score.equity[-1] - CASH for score in scores]),
        "max_drawdown": np.array([score.max_drawdown for score in scores]),
    }
    emit("abidance", abidance.__version__, len(scores), timed.wall_s, phases, told(figures), **timed.also)


if __name__ == "__main__":
    main()
