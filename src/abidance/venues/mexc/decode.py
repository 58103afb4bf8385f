"""Read MEXC's V3 streams: protobuf pushes, JSON answers.

A push names its channel, symbol and times, and carries one body. As JSON it would read: {"channel":
"spot@public.aggre.depth.v3.api.pb@100ms@BTCUSDT","symbol":"BTCUSDT","sendTime":"1782208005090","publicAggreDepths":
{"bids":[{"price":"61759.73","quantity":"0.0001778"}],"fromVersion":"74891313263","toVersion":"74891313263"}}
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from abidance.model.instrument import MS_NS, SECOND_NS
from abidance.model.market import BookDelta, Quote, Trade
from abidance.venues.course import Bars
from abidance.venues.dialect import Alive, Answered, Decoded, Frame
from abidance.venues.frames import (
    UNREADABLE,
    Level,
    Millis,
    Price,
    Size,
    TradedSize,
    UpdateId,
    bar_of,
    dropped,
    plain,
    reader,
)
from abidance.venues.mexc.schema import push_class

TIMEFRAMES: Mapping[str, str] = {
    "1m": "Min1",
    "5m": "Min5",
    "15m": "Min15",
    "30m": "Min30",
    "1h": "Min60",
    "4h": "Hour4",
    "8h": "Hour8",
    "1d": "Day1",
    "1w": "Week1",
}
_TIMEFRAME_OF = {theirs: ours for ours, theirs in TIMEFRAMES.items()}
_TOPIC = re.compile(r"spot@[\w.@]+")
_BUY, _SELL = 1, 2
_Push = push_class()


class _Notice(msgspec.Struct, gc=False):
    """An answer to a request, which repeats no number of ours but the topics."""

    code: int
    msg: str


_DEAL = tuple[Price, TradedSize, int, Millis, str]
_read_notice = reader(_Notice)


def _whole(value: object, kind: Any) -> Any:
    """Return texts as numbers under the rules that hold for JSON."""
    return msgspec.convert(value, kind, strict=False)


class MexcDecoder:
    """Read the frames of one connection; `instruments` maps MEXC's symbols to our ids."""

    def __init__(self, instruments: Mapping[str, str]) -> None:
        self._instruments = dict(instruments)
        self._bars = Bars()
        self._ways: tuple[tuple[str, Callable[[Any, str], Sequence[Decoded]]], ...] = (
            ("depths", self._book),
            ("deals", self._trades),
            ("bookTicker", self._quote),
            ("kline", self._bar),
        )

    def decode(self, frame: Frame) -> Sequence[Decoded]:
        """Return what a frame says; what cannot be read is `Dropped`."""
        try:
            if isinstance(frame, str) or frame[:1] == b"{":
                return (self._notice(frame),)
            return self._read(frame)
        except (*UNREADABLE, DecodeError) as error:
            return (dropped(frame, str(error)),)

    def _notice(self, frame: Frame) -> Decoded:
        seen = _read_notice(frame)
        if seen.msg == "PONG":
            return Alive()
        refused = seen.code != 0 or not seen.msg.startswith("spot@")
        return Answered(-1, plain(seen.msg) if refused else "", tuple(_TOPIC.findall(seen.msg)))

    def _read(self, frame: bytes) -> Sequence[Decoded]:
        push = _Push.FromString(frame)
        instrument = self._instruments.get(push.symbol)
        if instrument is None:
            return (dropped(frame, f"unknown symbol {plain(push.symbol)}"),)
        for body, read in self._ways:
            if push.HasField(body):
                return read(push, instrument)
        return (dropped(frame, f"unknown channel {plain(push.channel)}"),)

    def _book(self, push: Any, instrument: str) -> Sequence[Decoded]:
        told = push.depths
        bids = _whole([(each.price, each.quantity) for each in told.bids], list[Level])
        asks = _whole([(each.price, each.quantity) for each in told.asks], list[Level])
        first, last = _whole((told.fromVersion, told.toVersion), tuple[UpdateId, UpdateId])
        return (BookDelta(_sent(push), instrument, bids, asks, False, first, last),)

    def _trades(self, push: Any, instrument: str) -> Sequence[Decoded]:
        deals = [
            _whole((each.price, each.quantity, each.tradeType, each.time, each.tradeId), _DEAL)
            for each in push.deals.deals
        ]
        if any(kind not in {_BUY, _SELL} for _, _, kind, _, _ in deals):
            return (dropped("", "a trade that neither buys nor sells"),)
        return [
            Trade(time * MS_NS, instrument, price, size, kind == _BUY, name)
            for price, size, kind, time, name in deals
        ]

    def _quote(self, push: Any, instrument: str) -> Sequence[Decoded]:
        told = push.bookTicker
        sides = (told.bidPrice, told.bidQuantity), (told.askPrice, told.askQuantity)
        (bid, bid_size), (ask, ask_size) = _whole(sides, tuple[Level, Level])
        return (Quote(_sent(push), instrument, bid, bid_size, ask, ask_size),)

    def _bar(self, push: Any, instrument: str) -> Sequence[Decoded]:
        told = push.kline
        timeframe = _TIMEFRAME_OF.get(told.interval)
        if timeframe is None:
            return (dropped("", f"a bar of {plain(told.interval)}"),)
        texts = told.openingPrice, told.highestPrice, told.lowestPrice, told.closingPrice, told.volume
        opened, high, low, closed, volume = _whole(texts, tuple[Price, Price, Price, Price, Size])
        start = _whole(told.windowStart * 1_000, Millis) // 1_000 * SECOND_NS
        prices = opened, high, low, closed
        return self._bars.see(bar_of((instrument, timeframe), start, prices, volume))


def _sent(push: Any) -> int:
    return int(_whole(push.sendTime or push.createTime, Millis)) * MS_NS
