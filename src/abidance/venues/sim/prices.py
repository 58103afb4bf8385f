"""The newest price known of each instrument, looked up only when somebody asks; never one of the future."""

import math
from collections.abc import Mapping
from decimal import Decimal

from abidance.model.market import BarSlice, BookSnapshot, Quote, Trade
from abidance.model.money import to_decimal
from abidance.venues.sim.fills import HIGHEST_PRICE

TickEvent = Trade | Quote | BookSnapshot


class Prices:
    """What the market last said.

    `slice` is the newest slice that has ended; set `opens` while a slice is worked through: of the bars in hand only
    their opens are known.
    """

    def __init__(self) -> None:
        self.slice: BarSlice | None = None
        self.opens: Mapping[str, float] = {}
        self.ticks: dict[str, TickEvent] = {}
        self._known: dict[str, Decimal] = {}

    def last(self, instrument: str) -> Decimal | None:
        """Return the newest price of an instrument, or None when none was seen."""
        price = self.opens.get(instrument)
        if price is None and self.slice is not None:
            price = next((bar.close for bar in self.slice.bars if bar.instrument == instrument), None)
        if price is None and (tick := self.ticks.get(instrument)) is not None:
            price = middle(tick)
        if price is not None and 0 < price < HIGHEST_PRICE:
            self._known[instrument] = to_decimal(price)
        return self._known.get(instrument)


def middle(tick: TickEvent) -> float:
    """Return a print's price, or the middle of the best bid and ask; NaN when a side is missing."""
    if isinstance(tick, Trade):
        return tick.price
    bids, asks = sides(tick)
    return (bids[0][0] + asks[0][0]) / 2 if bids and asks else math.nan


def sides(tick: TickEvent) -> tuple[tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]]:
    """Return bids and asks as (price, size) levels, best first; a print stands on both sides."""
    if isinstance(tick, BookSnapshot):
        return tick.bids, tick.asks
    if isinstance(tick, Quote):
        return ((tick.bid, tick.bid_size),), ((tick.ask, tick.ask_size),)
    level = ((tick.price, tick.size),)
    return level, level
