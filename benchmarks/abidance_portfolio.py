"""Abidance on the portfolio workload: pairs that share cash, a stop, a target and a trailing stop.

As on the single workload, laying the bars out comes before what is timed (phase `scene`), but not with `--full`.

python abidance_portfolio.py                            # as many positions as there are pairs
python abidance_portfolio.py --positions 10 --bars 20000
python abidance_portfolio.py --full                     # with every order, fill and round trip told
"""

from __future__ import annotations

import argparse

from harness import (
    CASH,
    FAST,
    MAX_OPEN,
    PAIRS,
    PORTFOLIO_BARS,
    SLOW,
    STAKE,
    STOP,
    TAKE_PROFIT,
    TRAILING,
    Phases,
    emit,
    repeated,
    set_file,
)  # fmt: skip


def main() -> None:
    """Run the workload and print the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bars", type=int, default=PORTFOLIO_BARS)
    parser.add_argument("--positions", type=int, default=PAIRS, help=f"{MAX_OPEN} against freqtrade")
    parser.add_argument("--full", action="store_true")
    asked = parser.parse_args()
    phases = Phases()
    with phases.measure("import"):
        import numpy as np
        from abidance_setup import EVERYTHING, Memory, set_of_bars, unlimited, venue

        import abidance
        from abidance.engine.config import StrategyConfig
        from abidance.risk.config import SizingConfig
        from abidance.run.compiled import compiled_backtest, fallback_of
        from abidance.run.config import RunConfig
        from abidance.run.sweeping import Arena
        from abidance.strategy.config import ExitsConfig
    with phases.measure("load"), np.load(set_file("portfolio")) as stored:
        ids = [f"P{number:02d}/USDT@BINANCE" for number in range(PAIRS)]
        series = set_of_bars(stored, asked.bars, ids)
    sizing = SizingConfig(method="fixed_notional", amount=STAKE, max_fraction=EVERYTHING)
    exits = ExitsConfig(stop_loss=STOP, take_profit=TAKE_PROFIT, trailing_stop=TRAILING)
    strategy = StrategyConfig(
        strategy="EmaCross", parameters={"fast": FAST, "slow": SLOW}, sizing=sizing, exits=exits
    )
    config = RunConfig(
        instruments=tuple(ids),
        timeframe="1m",
        dry_run_wallet=CASH,
        strategies=(strategy,),
        risk=unlimited(max_positions=asked.positions),
        venue=venue().model_copy(update={"fill_on_touch": True}),
    )
    source = Memory(*series)

    def whole() -> dict[str, float]:
        result = compiled_backtest(config, source)
        assert not fallback_of(result), fallback_of(result)
        closed = sum(trip.ts_exit is not None for trip in result.round_trips)
        return {"closed": closed, "pnl": float(result.equity[-1]) - CASH, "refused": len(result.refusals)}

    with phases.measure("scene"):
        arena = None if asked.full else Arena(config, source, remembers=False)

    def scored() -> dict[str, float]:
        assert arena is not None
        score = arena.score(arena.config)
        return {
            "closed": score.trades,
            "pnl": float(score.equity[-1]) - CASH,
            "refused": score.refusals,
            "max_drawdown": score.max_drawdown,
        }

    with phases.measure("run"):
        outcome, timed = repeated(whole if asked.full else scored)
    items = len(ids) * asked.bars
    emit("abidance", abidance.__version__, items, timed.wall_s, phases, outcome, **timed.also)


if __name__ == "__main__":
    main()
