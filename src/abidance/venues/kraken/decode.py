"""Read Kraken's WebSocket v2.

{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"asks":[{"price":66732.5,"qty":5.48256063}],
"checksum":2855135483,"timestamp":"2024-05-19T16:32:26.777454Z"}]}
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from abidance.model.market import BookDelta, Quote, Trade
from abidance.venues.course import Bars
from abidance.venues.dialect import Alive, Answered, Decoded, Frame
from abidance.venues.frames import (
    UNREADABLE,
    Moment,
    Price,
    Size,
    TradedSize,
    UpdateId,
    bar_of,
    bytes_of,
    dropped,
    nanoseconds,
    plain,
    reader,
    request_of,
)

TIMEFRAMES: Mapping[str, str] = {
    "1m": "1",
    "5m": "5",
    "15m": "15",
    "30m": "30",
    "1h": "60",
    "4h": "240",
    "1d": "1440",
    "1w": "10080",
}
_TIMEFRAME_OF = {int(theirs): ours for ours, theirs in TIMEFRAMES.items()}


class _Level(msgspec.Struct, gc=False):
    price: Price
    qty: Size


class _Ladder(msgspec.Struct, gc=False):
    symbol: str
    bids: list[_Level]
    asks: list[_Level]
    checksum: Annotated[int, msgspec.Meta(ge=-1, lt=2**32)] = -1
    timestamp: Moment | None = None


class _Book(msgspec.Struct, gc=False):
    type: Literal["snapshot", "update"]
    data: list[_Ladder]


class _Print(msgspec.Struct, gc=False):
    symbol: str
    side: Literal["buy", "sell"]
    price: Price
    qty: TradedSize
    trade_id: UpdateId
    timestamp: Moment


class _Trades(msgspec.Struct, gc=False):
    data: list[_Print]


class _Ticker(msgspec.Struct, gc=False):
    symbol: str
    bid: Price
    bid_qty: Size
    ask: Price
    ask_qty: Size
    timestamp: Moment | None = None


class _Tickers(msgspec.Struct, gc=False):
    data: list[_Ticker]


class _Candle(msgspec.Struct, gc=False):
    symbol: str
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Size
    interval_begin: Moment
    interval: int


class _Candles(msgspec.Struct, gc=False):
    data: list[_Candle]


class _Envelope(msgspec.Struct, gc=False):
    """Every field by which a frame shows what it is."""

    channel: str = ""
    method: str = ""
    success: bool = True
    error: str = ""
    req_id: int | None = None


_read_envelope = reader(_Envelope)
_HEAD = b'{"channel":"'
_ALIVE = frozenset({"heartbeat", "status"})


class KrakenDecoder:
    """Read the frames of one connection; `instruments` maps Kraken's symbols to our ids."""

    def __init__(self, instruments: Mapping[str, str]) -> None:
        self._instruments = dict(instruments)
        self._bars = Bars()
        self._ways: dict[
            bytes, tuple[Callable[[Frame], Any], Callable[[Any, Any, str], Sequence[Decoded]]]
        ] = {
            b"book": (reader(_Book), self._book),
            b"trade": (reader(_Trades), self._trade),
            b"ticker": (reader(_Tickers), self._quote),
            b"ohlc": (reader(_Candles), self._bar),
        }

    def decode(self, frame: Frame) -> Sequence[Decoded]:
        """Return what a frame says; what cannot be read is `Dropped`."""
        try:
            return self._read(bytes_of(frame))
        except UNREADABLE as error:
            return (dropped(frame, str(error)),)

    def _read(self, text: bytes) -> Sequence[Decoded]:
        way = None
        if text.startswith(_HEAD):
            way = self._ways.get(text[12 : text.find(b'"', 12)])
        if way is None:
            seen = _read_envelope(text)
            way = self._ways.get(seen.channel.encode())
            if way is None:
                return (self._notice(seen, text),)
        read, build = way
        found = read(text)
        said: list[Decoded] = []
        for each in found.data:
            instrument = self._instruments.get(each.symbol)
            if instrument is None:
                return (dropped(text, f"unknown symbol {plain(each.symbol)}"),)
            said += build(found, each, instrument)
        return said

    def _notice(self, seen: _Envelope, text: bytes) -> Decoded:
        """Read what carries no data."""
        if seen.channel in _ALIVE or seen.method == "pong":
            return Alive()
        if seen.method in {"subscribe", "unsubscribe"}:
            refused = seen.error or not seen.success
            return Answered(request_of(seen.req_id), plain(seen.error) if refused else "")
        return dropped(text, f"unknown channel {plain(seen.channel or seen.method)}")

    def _book(self, found: _Book, ladder: _Ladder, instrument: str) -> Sequence[Decoded]:
        bids = [(level.price, level.qty) for level in ladder.bids]
        asks = [(level.price, level.qty) for level in ladder.asks]
        ts = nanoseconds(ladder.timestamp) if ladder.timestamp else 0
        whole = found.type == "snapshot"
        return (BookDelta(ts, instrument, bids, asks, whole, checksum=ladder.checksum),)

    def _trade(self, found: _Trades, each: _Print, instrument: str) -> Sequence[Decoded]:
        del found
        ts = nanoseconds(each.timestamp)
        return (Trade(ts, instrument, each.price, each.qty, each.side == "buy", str(each.trade_id)),)

    def _quote(self, found: _Tickers, each: _Ticker, instrument: str) -> Sequence[Decoded]:
        del found
        ts = nanoseconds(each.timestamp) if each.timestamp else 0
        return (Quote(ts, instrument, each.bid, each.bid_qty, each.ask, each.ask_qty),)

    def _bar(self, found: _Candles, bar: _Candle, instrument: str) -> Sequence[Decoded]:
        del found
        timeframe = _TIMEFRAME_OF.get(bar.interval)
        if timeframe is None:
            return (dropped("", f"a bar of {bar.interval} minutes"),)
        ts = nanoseconds(bar.interval_begin)
        prices = bar.open, bar.high, bar.low, bar.close
        return self._bars.see(bar_of((instrument, timeframe), ts, prices, bar.volume))
