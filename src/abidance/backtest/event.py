"""The event backtest: the truth. A replay goes through the pump, a recorder keeps what reports need."""

from array import array
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from abidance.engine.digest import OutcomeDigest
from abidance.engine.engine import Engine
from abidance.engine.pump import Pump
from abidance.model.instrument import SECOND_NS
from abidance.model.market import BarSlice, BookSnapshot, MarketEvent, Quote, Trade
from abidance.model.outcome import Notice, Outcome, Refused


class Recorder:
    """Keeps one point per time slice, and every refusal and notice of a run.

    Ticks add a point at most once a minute, so that memory does not grow with the length of a tick replay; none with
    `ticks` off, where every bar has its own.
    """

    def __init__(
        self, engine: Engine, strategies: Sequence[str], *, digest: bool = True, ticks: bool = True
    ) -> None:
        self.ts = array("q")
        self.equity = array("d")
        self.exposure = array("d")
        # What a lone strategy earned is the equity's change: no need to ask for it at each slice.
        self.profits = {name: array("d") for name in strategies if len(strategies) > 1}
        self.refusals: list[tuple[int, Refused]] = []
        self.notices: list[Notice] = []
        self.digest = OutcomeDigest()
        self._engine = engine
        self._portfolio = engine.state.portfolio
        self._hash = digest
        self._ticks = ticks
        self._next_point = 0

    def observe(self, outcome: Outcome) -> None:
        """Take the next outcome."""
        event = outcome.event
        if type(event) is BarSlice:
            self._point(event.ts, self._engine.equity)
        elif self._ticks and isinstance(event, Trade | Quote | BookSnapshot) and event.ts >= self._next_point:
            self._next_point = event.ts + 60 * SECOND_NS
            self._point(event.ts, self._engine.equity)
        if outcome.verdicts:
            self.refusals.extend((event.ts, v) for v in outcome.verdicts if isinstance(v, Refused))
        if outcome.notices:
            self.notices.extend(outcome.notices)
        if self._hash:
            self.digest.update(outcome)

    def _point(self, ts: int, equity: float) -> None:
        if self.ts and ts <= self.ts[-1]:
            # Live, slices that were waited for are given out at one moment: the last of them counts.
            ts = self.ts.pop()
            for column in (self.equity, self.exposure, *self.profits.values()):
                column.pop()
        self.ts.append(ts)
        self.equity.append(equity)
        portfolio = self._portfolio
        self.exposure.append(portfolio.exposure() / equity if equity > 0 else 0.0)
        if self.profits:
            for name, profits in self.profits.items():
                profits.append(portfolio.profit_of(name))


def columns(values: "array[float]") -> NDArray[np.float64]:
    """Return a recorded column as an array."""
    return np.frombuffer(values, dtype=np.float64) if len(values) else np.empty(0)


def run(pump: Pump, events: Iterable[MarketEvent]) -> None:
    """Run a whole replay."""
    pump.run(events)
