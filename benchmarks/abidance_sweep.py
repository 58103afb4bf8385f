"""Abidance on the sweep workload: combinations of two averages and a stop, scored by the compiled executor.

Each average and each pair's crosses are computed once, as in the peer's script; stops share their columns.

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
        from collections.abc import Iterator
        from dataclasses import replace

        import numpy as np
        from abidance_setup import Memory, as_bars, one_unit
        from sweep_grid import FASTS, PAIRS, SLOWS, STOPS, told

        import abidance
        from abidance.backtest.compiled import Score, sweep
        from abidance.indicators.trend import ema
        from abidance.run.compiled import scene_of
        from abidance.run.setup import gather
        from abidance.strategy.base import BarStrategy, Signals
        from abidance.strategy.config import ExitsConfig
        from abidance.strategy.decisions import Decisions, decide
    with phases.measure("load"), np.load(rough_file()) as stored:
        bars = as_bars({name: stored[name] for name in stored.files}, asked.bars)
    pairs = PAIRS[: asked.pairs]
    with phases.measure("scene"):
        scene = scene_of(gather(one_unit("EmaCross"), Memory(bars), None))

    class Given(BarStrategy):
        """Crosses of averages that are already there."""

        def signals(self, bars: object) -> Signals:
            """Return the crosses of the pair in hand."""
            return Signals(self.target)

    def choices() -> Iterator[list[Decisions]]:
        averages = {length: ema(bars.close, length) for length in (*FASTS, *SLOWS)}
        nothing = np.full(len(bars), np.nan)
        stops = [nothing if each is None else bars.close * each for each in STOPS]
        strategy = Given()
        for fast, slow in pairs:
            strategy.target = Signals.crossing(averages[fast], averages[slow])
            decisions = decide(strategy, bars, ExitsConfig())
            for stop in stops:
                yield [replace(decisions, stop=stop)]

    def run() -> list[Score]:
        return list(sweep(scene, choices(), workers=asked.workers))

    with phases.measure("run"):
        scores, steady_s, first_s = repeated(run, least=1, seconds=0.0)
    figures = {
        "trades": np.array([score.trades for score in scores]),
        "pnl": np.array([score.equity[-1] - CASH for score in scores]),
        "max_drawdown": np.array([score.max_drawdown for score in scores]),
    }
    emit("abidance", abidance.__version__, len(scores), steady_s, phases, told(figures), first_s=first_s)


if __name__ == "__main__":
    main()
