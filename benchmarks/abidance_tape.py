"""Abidance on the tape workload: trades become bars, a strategy decides on them, the trades fill its orders.

A plain `compiled_backtest` with `detail_timeframe = "trades"`: the steady figure is from the columns of the tape to a
result with every order and fill, the making of the bars included.

    python abidance_tape.py 5000000
"""

from __future__ import annotations

import sys
from collections import Counter

from harness import (
    TAPE_FAST,
    TAPE_QUANTITY,
    TAPE_SLOW,
    TAPE_STOP,
    TAPE_TARGET,
    TAPE_WALLET,
    Phases,
    emit,
    repeated,
    tape_file,
)  # fmt: skip


def main() -> None:
    """Run the workload and print the result."""
    phases = Phases()
    count = int(sys.argv[1])
    with phases.measure("import"):
        import numpy as np
        from abidance_setup import ID, Memory, one_unit

        import abidance
        from abidance.market.build import Tape
        from abidance.model.order import Purpose
        from abidance.risk.config import SizingConfig
        from abidance.run.compiled import compiled_backtest, fallback_of
        from abidance.strategy.config import ExitsConfig

    class Trades(Memory):
        """A tape that is in memory already."""

        def trades(self, instrument: str, start: int | None = None, end: int | None = None) -> Tape:
            """Return the whole tape."""
            return tape

    with phases.measure("load"), np.load(tape_file()) as stored:
        tape = Tape(stored["ts"][:count] * 1_000_000, stored["price"][:count], stored["qty"][:count])
    exits = ExitsConfig(stop_loss=TAPE_STOP, take_profit=TAPE_TARGET)
    config = one_unit("EmaCross", {"fast": TAPE_FAST, "slow": TAPE_SLOW}, exits)
    sizing = SizingConfig(method="fixed_quantity", quantity=TAPE_QUANTITY, max_fraction=1e9)
    config = config.model_copy(
        update={
            "detail_timeframe": "trades",
            "dry_run_wallet": TAPE_WALLET,
            "strategies": (config.strategies[0].model_copy(update={"sizing": sizing}),),
            "venue": config.venue.model_copy(update={"fill_on_touch": True}),
        }
    )
    source = Trades()
    assert config.instruments == (ID,)

    def run() -> dict[str, float]:
        result = compiled_backtest(config, source)
        assert not fallback_of(result), fallback_of(result)
        purposes = {order.id: order.request.purpose for order in result.orders}
        made = Counter(purposes[fill.order_id] for fill in result.fills)
        return {
            "entries": made[Purpose.ENTRY],
            "stops": made[Purpose.STOP_LOSS],
            "targets": made[Purpose.TAKE_PROFIT],
            "left": made[Purpose.SIGNAL],
            "fills": sum(made.values()),
            "pnl": float(result.equity[-1]) - TAPE_WALLET,
        }

    with phases.measure("run"):
        outcome, timed = repeated(run)
    emit("abidance", abidance.__version__, count, timed.wall_s, phases, outcome, **timed.also)


if __name__ == "__main__":
    main()
