"""Market data as events: bars, trades, quotes, books, funding rates, and how far each may be trusted.

Prices and sizes are float64, time is ns UTC.
"""

from enum import StrEnum

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

    `ts` is the close time, on live data the moment at which the slice was given out if that was later. Bars stand
    shortest timeframe first, then in the run's order of instruments.
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


class MarkPrice(msgspec.Struct, frozen=True, gc=False, tag="mark"):
    """A perpetual's mark price; `rate` is the funding rate that falls due at `ts_funding` (NaN and 0 when unknown)."""

    ts: int
    instrument: str
    mark: float
    index: float
    rate: float
    ts_funding: int


class DataKind(StrEnum):
    """What a stream carries."""

    TRADES = "trades"
    QUOTES = "quotes"
    BOOK = "book"
    BARS = "bars"
    MARK = "mark"


class FeedState(StrEnum):
    """Whether a stream may be acted on: only CERTIFIED lets new risk be taken."""

    CERTIFIED = "certified"
    STALE = "stale"
    GAP = "gap"
    CROSSED = "crossed"


class FeedStatus(msgspec.Struct, frozen=True, gc=False, tag="feed_status"):
    """From `ts` on a stream of one instrument is in `state`; `reason` is a sentence for people.

    While the stream is in doubt, `served_by` names the instrument of another venue whose data comes in its place, if
    any. `suffices` says that the user takes that data as good enough for new risk.
    """

    ts: int
    instrument: str
    kind: DataKind
    state: FeedState
    reason: str = ""
    served_by: str = ""
    suffices: bool = False


class Anomaly(msgspec.Struct, frozen=True, gc=False, tag="anomaly"):
    """Something unlikely in a live stream: `code` such as `price_jump`, `score` in deviations from the usual."""

    ts: int
    instrument: str
    code: str
    score: float
    text: str


MarketEvent = BarSlice | Trade | Quote | BookSnapshot | FundingRate | MarkPrice | FeedStatus | Anomaly


class BookDelta(msgspec.Struct, frozen=True, gc=False):
    """A change of a ladder as a venue tells it, or with `is_snapshot` the whole ladder. No event: books take it in.

    Levels are (price, size); size 0 removes the level. `first`, `last` and `previous` are the venue's update ids (0
    when it sends none), `checksum` is what the venue computes over the ladder after this change (-1 when none).
    """

    ts: int
    instrument: str
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]
    is_snapshot: bool = False
    first: int = 0
    last: int = 0
    previous: int = 0
    checksum: int = -1


class BarUpdate(msgspec.Struct, frozen=True, gc=False):
    """A venue's own bar, perhaps still open. No event: only closed bars become one."""

    bar: Bar
    is_closed: bool
