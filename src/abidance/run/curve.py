"""The equity curve of a run, and how far below its highest it is: what came from outside is neither profit nor loss."""

from array import array
from collections.abc import Iterator
from typing import NamedTuple

from abidance.risk.breaker import moved


class Point(NamedTuple):
    """The equity at a moment, in the run's currency, and the gross exposure as a share of it."""

    ts: int
    equity: float
    exposure: float


class Curve:
    """Points in the order of time, with the drawdown at each as a share: zero or negative."""

    def __init__(self) -> None:
        self.ts, self.equity, self.exposure, self.fallen = array("q"), array("d"), array("d"), array("d")
        self.peak = 0.0

    def put(self, point: Point) -> None:
        """Add a point; of those of one moment the last counts, as in the run's own curve."""
        ts = point.ts
        if self.ts and ts <= self.ts[-1]:
            ts = self.ts[-1]
            for each in (self.ts, self.equity, self.exposure, self.fallen):
                each.pop()
        self.peak = max(self.peak, point.equity)
        self.ts.append(ts)
        self.equity.append(point.equity)
        self.exposure.append(point.exposure)
        self.fallen.append(self.drawdown(point.equity))

    def on_external(self, equity: float, amount: float) -> None:
        """Take what came to an equity from outside, or went (negative): losses stay the same share, as for breakers."""
        self.peak = moved(max(self.peak, equity), equity, amount)

    def drawdown(self, equity: float) -> float:
        """Return how far an equity is below the highest so far, as a share: zero or negative."""
        peak = max(self.peak, equity)
        return equity / peak - 1 if peak > 0 else 0.0

    def __iter__(self) -> Iterator[Point]:
        return (Point(*row) for row in zip(self.ts, self.equity, self.exposure, strict=True))


__all__ = ["Curve", "Point"]
