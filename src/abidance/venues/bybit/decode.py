"""Read Bybit's V5 public streams, spot and linear.

{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1672304484978,"data":{"s":"BTCUSDT","b":[["16493.50","0.006"]],
"a":[["16611.00","0.029"]],"u":177400507,"seq":66544703342},"cts":1672304484976}
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from abidance.model.instrument import MS_NS
from abidance.model.market import BarUpdate, BookDelta, MarkPrice, Quote, Trade
from abidance.venues.course import Marks
from abidance.venues.dialect import Alive, Answered, Decoded, Frame
from abidance.venues.frames import (
    UNREADABLE,
    Level,
    Millis,
    Price,
    Rate,
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
    "1m": "1",
    "3m": "3",
    "5m": "5",
    "15m": "15",
    "30m": "30",
    "1h": "60",
    "2h": "120",
    "4h": "240",
    "6h": "360",
    "12h": "720",
    "1d": "D",
    "1w": "W",
}
_TIMEFRAME_OF = {theirs: ours for ours, theirs in TIMEFRAMES.items()}
_HEAD = b'{"topic":"'
_MOST_ROUTES = 20_000
_QUOTE_DEPTH = "1"


class _Ladder(msgspec.Struct, gc=False):
    s: str
    b: list[Level]
    a: list[Level]
    u: UpdateId


class _Book(msgspec.Struct, gc=False):
    type: Literal["snapshot", "delta"]
    ts: Millis
    data: _Ladder
    cts: Millis = 0


class _Print(msgspec.Struct, gc=False):
    T: Millis
    s: str
    S: Literal["Buy", "Sell"]
    v: TradedSize
    p: Price
    i: str


class _Trades(msgspec.Struct, gc=False):
    data: list[_Print]


class _Candle(msgspec.Struct, gc=False):
    start: Millis
    interval: str
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Size
    confirm: bool


class _Candles(msgspec.Struct, gc=False):
    data: list[_Candle]


class _Ticker(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    mark_price: Price = math.nan
    index_price: Price = math.nan
    funding_rate: Rate = math.nan
    next_funding_time: Millis = 0


class _Tickers(msgspec.Struct, gc=False):
    ts: Millis
    data: _Ticker


class _Envelope(msgspec.Struct, gc=False):
    """Every field by which a frame shows what it is."""

    topic: str = ""
    op: str = ""
    success: bool = True
    ret_msg: str = ""
    req_id: str = ""


class _Route(NamedTuple):
    read: Callable[[Frame], Any]
    build: Callable[[Any, str, str], Sequence[Decoded]]
    symbol: str
    instrument: str


def _foreign(symbol: str, expected: str) -> Sequence[Decoded]:
    return (dropped("", f"{plain(symbol)} in the stream of {expected}"),)


def _book(found: _Book, instrument: str, symbol: str) -> Sequence[Decoded]:
    ladder = found.data
    if ladder.s != symbol:
        return _foreign(ladder.s, symbol)
    ts = (found.cts or found.ts) * MS_NS
    whole = found.type == "snapshot"
    return (BookDelta(ts, instrument, ladder.b, ladder.a, whole, ladder.u, ladder.u),)


class _Top(NamedTuple):
    """The ladder of one level as it stands, and the number of the update that made it."""

    update: int
    bid: Level | None
    ask: Level | None


def _trades(found: _Trades, instrument: str, symbol: str) -> Sequence[Decoded]:
    for each in found.data:
        if each.s != symbol:
            return _foreign(each.s, symbol)
    return [Trade(each.T * MS_NS, instrument, each.p, each.v, each.S == "Buy", each.i) for each in found.data]


def _bars(found: _Candles, instrument: str, symbol: str) -> Sequence[Decoded]:
    del symbol  # candles do not repeat it
    if any(each.interval not in _TIMEFRAME_OF for each in found.data):
        return (dropped("", "a bar of an unknown interval"),)
    bars = []
    for each in found.data:
        stream = instrument, _TIMEFRAME_OF[each.interval]
        prices = each.open, each.high, each.low, each.close
        bars.append(BarUpdate(bar_of(stream, each.start * MS_NS, prices, each.volume), each.confirm))
    return bars


_read_envelope = reader(_Envelope)
_read_book = reader(_Book)
_read_trades = reader(_Trades)
_read_bars = reader(_Candles)
_read_tickers = reader(_Tickers)


class BybitDecoder:
    """Read the frames of one connection; `instruments` maps Bybit's symbols to our ids."""

    def __init__(self, instruments: Mapping[str, str]) -> None:
        self._instruments = dict(instruments)
        self._routes: dict[bytes, _Route] = {}
        self._marks = Marks()
        self._tops: dict[str, _Top] = {}

    def decode(self, frame: Frame) -> Sequence[Decoded]:
        """Return what a frame says; what cannot be read is `Dropped`."""
        try:
            return self._read(bytes_of(frame))
        except UNREADABLE as error:
            return (dropped(frame, str(error)),)

    def _read(self, text: bytes) -> Sequence[Decoded]:
        """Know a frame by its first words, which spares a second look at nearly all of them."""
        if text.startswith(_HEAD):
            route = self._routes.get(text[10 : text.find(b'"', 10)])
            if route is not None:
                return route.build(route.read(text), route.instrument, route.symbol)
        return self._look(text)

    def _look(self, text: bytes) -> Sequence[Decoded]:
        """Read a frame whose kind is not known yet."""
        seen = _read_envelope(text)
        if seen.topic:
            route = self._routes.get(seen.topic.encode()) or self._learn(seen.topic)
            if route is None:
                return (dropped(text, f"unknown topic {plain(seen.topic)}"),)
            return route.build(route.read(text), route.instrument, route.symbol)
        if seen.op in {"ping", "pong"}:
            return (Alive(),)
        if seen.op in {"subscribe", "unsubscribe"}:
            reason = "" if seen.success else plain(seen.ret_msg)
            return (Answered(request_of(seen.req_id), reason),)
        return (dropped(text, f"unknown answer {plain(seen.op)}"),)

    def _learn(self, topic: str) -> _Route | None:
        """Remember how to read a topic such as `orderbook.50.BTCUSDT`; None when we know no such thing."""
        kind, _, rest = topic.partition(".")
        detail, _, symbol = rest.rpartition(".")
        instrument = self._instruments.get(symbol)
        if instrument is None:
            return None
        ways: dict[str, tuple[Callable[[Frame], Any], Callable[[Any, str, str], Sequence[Decoded]]]] = {
            "orderbook": (_read_book, self._quote if detail == _QUOTE_DEPTH else _book),
            "publicTrade": (_read_trades, _trades),
            "kline": (_read_bars, _bars),
            "tickers": (_read_tickers, self._mark),
        }
        if kind not in ways:
            return None
        if len(self._routes) >= _MOST_ROUTES:
            self._routes.clear()
        self._routes[topic.encode()] = route = _Route(*ways[kind], symbol, instrument)
        return route

    def _quote(self, found: _Book, instrument: str, symbol: str) -> Sequence[Decoded]:
        """Read the ladder of one level: whole nowadays, changes too in former years."""
        ladder = found.data
        if ladder.s != symbol:
            return _foreign(ladder.s, symbol)
        if found.type == "snapshot":
            before = _Top(ladder.u, None, None)
        else:
            known = self._tops.get(symbol)
            if known is None or ladder.u != known.update + 1:
                self._tops.pop(symbol, None)
                return (dropped("", f"a change of {symbol}'s quote that follows nothing known"),)
            before = known
        bid = max((level for level in ladder.b if level[1]), default=None) if ladder.b else before.bid
        ask = min((level for level in ladder.a if level[1]), default=None) if ladder.a else before.ask
        self._tops[symbol] = _Top(ladder.u, bid, ask)
        if bid is None or ask is None:
            return (dropped("", f"a quote of {symbol} without both sides"),)
        return (Quote((found.cts or found.ts) * MS_NS, instrument, *bid, *ask),)

    def _mark(self, found: _Tickers, instrument: str, symbol: str) -> Sequence[Decoded]:
        """Read a ticker: whole at first, then only what changed."""
        told = found.data
        if told.symbol != symbol:
            return _foreign(told.symbol, symbol)
        if math.isnan(told.mark_price) and math.isnan(told.funding_rate) and not told.next_funding_time:
            return ()
        return self._marks.see(
            MarkPrice(
                found.ts * MS_NS,
                instrument,
                told.mark_price,
                told.index_price,
                told.funding_rate,
                told.next_funding_time * MS_NS,
            )
        )
