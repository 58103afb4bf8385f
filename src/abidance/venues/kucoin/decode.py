"""Read KuCoin's public spot streams.

{"topic":"/market/level2:BTC-USDT","type":"message","subject":"trade.l2update","data":{"changes":{"asks":[["67993.3",
"1.21427407","14701689783"]],"bids":[]},"sequenceEnd":14701689783,"sequenceStart":14701689783,"symbol":"BTC-USDT",
"time":1729816425625}}
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from abidance.model.instrument import MS_NS, SECOND_NS
from abidance.model.market import BookDelta, Quote, Trade
from abidance.venues.course import Bars
from abidance.venues.dialect import Alive, Answered, Closing, Decoded, Frame
from abidance.venues.frames import (
    UNREADABLE,
    Level,
    Millis,
    Nanos,
    Price,
    Size,
    TradedSize,
    UpdateId,
    bar_of,
    bytes_of,
    dropped,
    plain,
    reader,
    request_of,
)

TIMEFRAMES: Mapping[str, str] = {
    "1m": "1min",
    "3m": "3min",
    "5m": "5min",
    "15m": "15min",
    "30m": "30min",
    "1h": "1hour",
    "2h": "2hour",
    "4h": "4hour",
    "6h": "6hour",
    "8h": "8hour",
    "12h": "12hour",
    "1d": "1day",
    "1w": "1week",
}
_TIMEFRAME_OF = {theirs: ours for ours, theirs in TIMEFRAMES.items()}
_MOST_ROUTES = 20_000
_EXPIRED = "token"

_MaybePrice = Annotated[float, msgspec.Meta(ge=0.0, le=1e15)]
_Change = tuple[_MaybePrice, Size, UpdateId]
_Seconds = Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000)]


class _Changes(msgspec.Struct, gc=False):
    asks: list[_Change]
    bids: list[_Change]


class _Ladder(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    changes: _Changes
    sequence_start: UpdateId
    sequence_end: UpdateId
    time: Millis = 0


class _Print(msgspec.Struct, gc=False, rename="camel"):
    side: Literal["buy", "sell"]
    price: Price
    size: TradedSize
    time: Nanos
    symbol: str = ""
    trade_id: str = ""


class _Level1(msgspec.Struct, gc=False):
    asks: Level
    bids: Level
    timestamp: Millis


class _Ticker(msgspec.Struct, gc=False, rename="camel"):
    best_ask: Price
    best_ask_size: Size
    best_bid: Price
    best_bid_size: Size
    time: Millis


class _Candle(msgspec.Struct, gc=False):
    symbol: str
    candles: tuple[_Seconds, Price, Price, Price, Price, Size, Size]


class _BookFrame(msgspec.Struct, gc=False):
    data: _Ladder


class _TradeFrame(msgspec.Struct, gc=False):
    data: _Print


class _Level1Frame(msgspec.Struct, gc=False):
    data: _Level1


class _TickerFrame(msgspec.Struct, gc=False):
    data: _Ticker


class _CandleFrame(msgspec.Struct, gc=False):
    data: _Candle


class _Envelope(msgspec.Struct, gc=False):
    """Every field by which a frame shows what it is."""

    topic: str = ""
    type: str = ""
    id: str = ""
    code: int | str = 0
    data: Any = None


class _Route(NamedTuple):
    read: Callable[[Frame], Any]
    build: Callable[[Any, "_Route"], Sequence[Decoded]]
    symbol: str
    instrument: str
    timeframe: str


_read_envelope = reader(_Envelope)
_HEAD = b'{"topic":"'


def _levels(changes: list[_Change]) -> list[tuple[float, float]]:
    """Return the changes in the order in which they happened; a price of 0 only counts the sequence up."""
    if len(changes) > 1:
        changes.sort(key=itemgetter(2))
    return [(price, size) for price, size, _ in changes if price]


def _book(found: _BookFrame, route: _Route) -> Sequence[Decoded]:
    told = found.data
    if told.symbol != route.symbol:
        return (dropped("", f"{plain(told.symbol)} in the stream of {route.symbol}"),)
    bids, asks = _levels(told.changes.bids), _levels(told.changes.asks)
    ts = told.time * MS_NS
    return (BookDelta(ts, route.instrument, bids, asks, False, told.sequence_start, told.sequence_end),)


def _trade(found: _TradeFrame, route: _Route) -> Sequence[Decoded]:
    told = found.data
    if told.symbol not in {route.symbol, ""}:
        return (dropped("", f"{plain(told.symbol)} in the stream of {route.symbol}"),)
    buys = told.side == "buy"
    return (Trade(told.time, route.instrument, told.price, told.size, buys, told.trade_id),)


def _level1(found: _Level1Frame, route: _Route) -> Sequence[Decoded]:
    (bid, bid_size), (ask, ask_size) = found.data.bids, found.data.asks
    return (Quote(found.data.timestamp * MS_NS, route.instrument, bid, bid_size, ask, ask_size),)


def _ticker(found: _TickerFrame, route: _Route) -> Sequence[Decoded]:
    told = found.data
    bid, ask = (told.best_bid, told.best_bid_size), (told.best_ask, told.best_ask_size)
    return (Quote(told.time * MS_NS, route.instrument, *bid, *ask),)


class KuCoinDecoder:
    """Read the frames of one connection; `instruments` maps KuCoin's symbols to our ids."""

    def __init__(self, instruments: Mapping[str, str]) -> None:
        self._instruments = dict(instruments)
        self._routes: dict[bytes, _Route] = {}
        self._bars = Bars()
        self._ways: dict[str, tuple[Callable[[Frame], Any], Callable[[Any, _Route], Sequence[Decoded]]]] = {
            "/market/level2": (reader(_BookFrame), _book),
            "/market/match": (reader(_TradeFrame), _trade),
            "/spotMarket/level1": (reader(_Level1Frame), _level1),
            "/market/ticker": (reader(_TickerFrame), _ticker),
            "/market/candles": (reader(_CandleFrame), self._bar),
        }

    def decode(self, frame: Frame) -> Sequence[Decoded]:
        """Return what a frame says; what cannot be read is `Dropped`."""
        try:
            return self._read(bytes_of(frame))
        except UNREADABLE as error:
            return (dropped(frame, str(error)),)

    def _read(self, text: bytes) -> Sequence[Decoded]:
        """Know a frame by its first words, which spares a second look at nearly all of them."""
        route = self._routes.get(text[10 : text.find(b'"', 10)]) if text.startswith(_HEAD) else None
        if route is None:
            seen = _read_envelope(text)
            if seen.type != "message":
                return (self._notice(seen, text),)
            route = self._routes.get(seen.topic.encode()) or self._learn(seen.topic)
            if route is None:
                return (dropped(text, f"unknown topic {plain(seen.topic)}"),)
        return route.build(route.read(text), route)

    def _notice(self, seen: _Envelope, text: bytes) -> Decoded:
        """Read what carries no data."""
        if seen.type in {"welcome", "pong"}:
            return Alive()
        if seen.type == "ack":
            return Answered(request_of(seen.id))
        if seen.type == "error":
            reason = f"{seen.code}: {plain(seen.data)}"
            expired = not seen.id and _EXPIRED in reason
            return Closing(reason) if expired else Answered(request_of(seen.id), reason)
        return dropped(text, f"unknown message {plain(seen.type)}")

    def _learn(self, topic: str) -> _Route | None:
        """Remember how to read a topic such as `/market/candles:BTC-USDT_1min`; None when we know no such thing."""
        name, _, rest = topic.partition(":")
        symbol, _, interval = rest.partition("_")
        instrument, way = self._instruments.get(symbol), self._ways.get(name)
        if instrument is None or way is None or (interval and interval not in _TIMEFRAME_OF):
            return None
        if len(self._routes) >= _MOST_ROUTES:
            self._routes.clear()
        self._routes[topic.encode()] = route = _Route(
            *way, symbol, instrument, _TIMEFRAME_OF.get(interval, "")
        )
        return route

    def _bar(self, found: _CandleFrame, route: _Route) -> Sequence[Decoded]:
        told = found.data
        if told.symbol != route.symbol or not route.timeframe:
            return (dropped("", f"a bar of {plain(told.symbol)} in the stream of {route.symbol}"),)
        start, opened, closed, high, low, volume, _ = told.candles
        stream = route.instrument, route.timeframe
        return self._bars.see(bar_of(stream, start * SECOND_NS, (opened, high, low, closed), volume))
