"""Market data as events: bars, trades, quotes, books, funding rates. Prices and sizes are float64, time is ns UTC."""

import msgspec

from abidance.model.instrument import timeframe_ns


class Bar(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Open, high, low, close and base volume over one timeframe, labelled by its open time."""

    instrument: str
    timeframe: str
    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float

    @property
    def ts_close(self) -> int:
        """Return the moment from which this bar may be known, ns UTC."""
        return self.ts + timeframe_ns(self.timeframe)


class BarSlice(msgspec.Struct, frozen=True, gc=False, tag="bars"):
    """All bars that close at one moment: what a strategy that looks at several instruments may see together.

    `ts` is the close time. Bars stand shortest timeframe first, then in the run's order of instruments.
    """

    ts: int
    bars: tuple[Bar, ...]


class Trade(msgspec.Struct, frozen=True, gc=False, tag="trade"):
    """A print on the public tape. `buyer_is_taker` is the aggressor's side."""

    ts: int
    instrument: str
    price: float
    size: float
    buyer_is_taker: bool
    id: str = ""


class Quote(msgspec.Struct, frozen=True, gc=False, tag="quote"):
    """The best bid and ask with their sizes."""

    ts: int
    instrument: str
    bid: float
    bid_size: float
    ask: float
    ask_size: float


class BookSnapshot(msgspec.Struct, frozen=True, gc=False, tag="book"):
    """The ladder at one moment: (price, size) levels, best first on each side."""

    ts: int
    instrument: str
    bids: tuple[tuple[float, float], ...]
    asks: tuple[tuple[float, float], ...]


class FundingRate(msgspec.Struct, frozen=True, gc=False, tag="funding"):
    """A perpetual's funding falls due: longs pay `rate` times notional at `mark` (shorts receive it)."""

    ts: int
    instrument: str
    rate: float
    mark: float


MarketEvent = BarSlice | Trade | Quote | BookSnapshot | FundingRate
