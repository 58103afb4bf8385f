"""Abidance on the bars workload: the event backtest, event by event, with its default journal of outcomes (digest).

python abidance_bars.py 200000
"""

from __future__ import annotations

import sys

from harness import CASH, FAST, FEE, QUANTITY, SLOW, Phases, bars_file, emit

ID = "BTC/USDT@BINANCE"


def main() -> None:
    """Run the workload once and print the result."""
    phases = Phases()
    count = int(sys.argv[1])
    with phases.measure("import"):
        import numpy as np

        import abidance
        from abidance.engine.config import StrategyConfig
        from abidance.market.bars import FIELDS, Bars
        from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig, SizingConfig
        from abidance.run.backtest import backtest
        from abidance.run.config import RunConfig
        from abidance.venues.sim.config import FeeTier, SlippageConfig, VenueConfig
    with phases.measure("load"):
        stored = np.load(bars_file(count))
        columns = [stored[name].astype(np.float64) for name in FIELDS]
        bars = Bars(ID, "1m", stored["ts"] * 1_000_000, columns)

    class Memory:
        """The one series of the workload."""

        def read(
            self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None
        ) -> Bars:
            return bars

        def funding(self, instrument: str, start: int | None = None, end: int | None = None) -> None:
            """Return None: a spot pair has no funding."""

    everything = 1e9
    config = RunConfig(
        instruments=(ID,),
        timeframe="1m",
        dry_run_wallet=CASH,
        strategies=(
            StrategyConfig(
                strategy="EmaCross",
                parameters={"fast": FAST, "slow": SLOW},
                sizing=SizingConfig(method="fixed_quantity", quantity=QUANTITY),
            ),
        ),
        risk=RiskConfig(
            limits=LimitsConfig(
                max_exposure=everything, max_asset_exposure=everything, max_venue_exposure=everything
            ),
            breakers=BreakersConfig(daily_loss=None, max_drawdown=None),
        ),
        venue=VenueConfig(
            fees=(FeeTier(volume=0, maker=FEE, taker=FEE),),
            slippage=SlippageConfig(spread=0, fixed=0, volume_share=0),
        ),
    )
    with phases.measure("backtest"):
        result = backtest(config, Memory())
    closed = [trip for trip in result.round_trips if trip.ts_exit is not None]
    outcome = {
        "trades": len(result.round_trips),
        "closed": len(closed),
        "pnl": float(result.equity[-1]) - CASH,
        "fill": "next open",
    }
    emit(
        "abidance",
        abidance.__version__,
        count,
        result.timings["simulate"],
        phases,
        outcome,
        cpu_s=phases.processor["backtest"],
    )


if __name__ == "__main__":
    main()
