"""Read Binance's streams, spot and USD-M.

{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":50093239189,
"u":50093239202,"b":[["61737.63000000","0.00000000"]],"a":[["61837.64000000","1.54698000"]]}}
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from abidance.model.instrument import MS_NS
from abidance.model.market import BarUpdate, BookDelta, MarkPrice, Quote, Trade
from abidance.venues.course import Marks
from abidance.venues.dialect import Answered, Closing, Decoded, Frame
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

_INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w")
TIMEFRAMES: Mapping[str, str] = {each: each for each in _INTERVALS}
_HEAD = b'{"stream":"'
_MOST_ROUTES = 20_000

Payload = TypeVar("Payload")


class _Framed(msgspec.Struct, Generic[Payload], gc=False):
    data: Payload


class _Depth(msgspec.Struct, gc=False):
    E: Millis
    s: str
    U: UpdateId
    u: UpdateId
    b: list[Level]
    a: list[Level]
    pu: UpdateId = 0


class _Trade(msgspec.Struct, gc=False):
    s: str
    t: UpdateId
    p: Price
    q: TradedSize
    T: Millis
    m: bool


class _AggregateTrade(msgspec.Struct, gc=False):
    s: str
    a: UpdateId
    p: Price
    q: TradedSize
    T: Millis
    m: bool


class _BookTicker(msgspec.Struct, gc=False):
    s: str
    b: Price
    B: Size
    a: Price
    A: Size
    T: Millis = 0


class _Candle(msgspec.Struct, gc=False):
    t: Millis
    i: str
    o: Price
    h: Price
    l: Price  # noqa: E741 (the venue's own name)
    c: Price
    v: Size
    x: bool


class _Kline(msgspec.Struct, gc=False):
    s: str
    k: _Candle


class _MarkPrice(msgspec.Struct, gc=False):
    E: Millis
    s: str
    p: Price
    i: Price = math.nan
    r: Rate = math.nan
    T: Millis = 0


class _Refusal(msgspec.Struct, gc=False):
    code: int = 0
    msg: str = ""


class _Envelope(msgspec.Struct, gc=False):
    """Every field by which a frame shows what it is."""

    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()
    e: str = ""
    s: str = ""
    B: msgspec.Raw = msgspec.Raw()
    id: int | str | msgspec.UnsetType | None = msgspec.UNSET
    result: msgspec.Raw = msgspec.Raw()
    error: _Refusal | None = None
    code: int = 0
    msg: str = ""


def _book(found: _Depth, instrument: str) -> tuple[Decoded, ...]:
    return (BookDelta(found.E * MS_NS, instrument, found.b, found.a, False, found.U, found.u, found.pu),)


def _trade(found: _Trade, instrument: str) -> tuple[Decoded, ...]:
    return (Trade(found.T * MS_NS, instrument, found.p, found.q, not found.m, str(found.t)),)


def _aggregate_trade(found: _AggregateTrade, instrument: str) -> tuple[Decoded, ...]:
    return (Trade(found.T * MS_NS, instrument, found.p, found.q, not found.m, str(found.a)),)


def _quote(found: _BookTicker, instrument: str) -> tuple[Decoded, ...]:
    return (Quote(found.T * MS_NS, instrument, found.b, found.B, found.a, found.A),)


def _bar(found: _Kline, instrument: str) -> tuple[Decoded, ...]:
    bar = found.k
    if bar.i not in TIMEFRAMES:
        return (dropped("", f"a bar of {plain(bar.i)}"),)
    prices = bar.o, bar.h, bar.l, bar.c
    return (BarUpdate(bar_of((instrument, bar.i), bar.t * MS_NS, prices, bar.v), bar.x),)


class _Kind(NamedTuple):
    """How one kind of event is read, alone and in a combined stream, and what becomes of it."""

    bare: Callable[[Any], Any]
    framed: Callable[[Any], Any]
    build: Callable[[Any, str], tuple[Decoded, ...]] | None


class _Route(NamedTuple):
    read: Callable[[Frame], Any]
    build: Callable[[Any, str], tuple[Decoded, ...]]
    symbol: str
    instrument: str


_KINDS = {
    "depth": _Kind(reader(_Depth), reader(_Framed[_Depth]), _book),
    "trade": _Kind(reader(_Trade), reader(_Framed[_Trade]), _trade),
    "aggTrade": _Kind(reader(_AggregateTrade), reader(_Framed[_AggregateTrade]), _aggregate_trade),
    "bookTicker": _Kind(reader(_BookTicker), reader(_Framed[_BookTicker]), _quote),
    "kline": _Kind(reader(_Kline), reader(_Framed[_Kline]), _bar),
    "markPrice": _Kind(reader(_MarkPrice), reader(_Framed[_MarkPrice]), None),
}
_EVENTS = {"depthUpdate": "depth", "markPriceUpdate": "markPrice"}
_read_envelope = reader(_Envelope)


class BinanceDecoder:
    """Read the frames of one connection; `instruments` maps Binance's symbols to our ids."""

    def __init__(self, instruments: Mapping[str, str]) -> None:
        self._instruments = dict(instruments)
        self._routes: dict[bytes, _Route] = {}
        self._marks = Marks()

    def decode(self, frame: Frame) -> Sequence[Decoded]:
        """Return what a frame says; what cannot be read is `Dropped`."""
        try:
            return self._read(bytes_of(frame))
        except UNREADABLE as error:
            return (dropped(frame, str(error)),)

    def _read(self, text: bytes) -> Sequence[Decoded]:
        """Know a frame by its first words, which spares a second look at nearly all of them."""
        if text.startswith(_HEAD):
            route = self._routes.get(text[11 : text.find(b'"', 11)])
            if route is not None:
                return self._follow(route, text)
        return self._look(text)

    @staticmethod
    def _follow(route: _Route, text: bytes) -> Sequence[Decoded]:
        """Read a frame of a known stream."""
        found = route.read(text).data
        if found.s == route.symbol:
            return route.build(found, route.instrument)
        return (dropped(text, f"{plain(found.s)} in the stream of {route.symbol}"),)

    def _look(self, text: bytes) -> Sequence[Decoded]:
        """Read a frame whose kind is not known yet, or whose words stand in another order."""
        seen = _read_envelope(text)
        payload: Any = text
        if seen.stream:
            route = self._routes.get(seen.stream.encode()) or self._learn(seen.stream)
            if route is not None:
                return self._follow(route, text)
            payload = bytes(seen.data)
            seen = _read_envelope(payload)
        if seen.e == "serverShutdown":
            return (Closing("the server announces its shutdown"),)
        if not seen.e and seen.id is not msgspec.UNSET:
            refusal = seen.error or (_Refusal(seen.code, seen.msg) if seen.code or seen.msg else None)
            reason = f"{refusal.code}: {plain(refusal.msg)}" if refusal else ""
            return (Answered(request_of(seen.id), reason),)
        name = _EVENTS.get(seen.e, seen.e) or ("bookTicker" if bytes(seen.B) else "")
        kind, instrument = _KINDS.get(name), self._instruments.get(seen.s)
        if kind is None or instrument is None:
            return (dropped(text, f"unknown event {plain(seen.e)} of {plain(seen.s)}"),)
        return (kind.build or self._mark)(kind.bare(payload), instrument)

    def _learn(self, stream: str) -> _Route | None:
        """Remember how to read a stream such as `btcusdt@depth@100ms`; None when we know no such thing."""
        name, _, event = stream.partition("@")
        kind = _KINDS.get(event.partition("@")[0].partition("_")[0])
        symbol = name.upper()
        if kind is None or symbol not in self._instruments:
            return None
        if len(self._routes) >= _MOST_ROUTES:
            self._routes.clear()
        route = _Route(kind.framed, kind.build or self._mark, symbol, self._instruments[symbol])
        self._routes[stream.encode()] = route
        return route

    def _mark(self, found: _MarkPrice, instrument: str) -> tuple[Decoded, ...]:
        return self._marks.see(
            MarkPrice(found.E * MS_NS, instrument, found.p, found.i, found.r, found.T * MS_NS)
        )
