"""Speak to Bybit V5: spot and linear perpetuals."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from abidance.market.book import BookRule, Continuity
from abidance.model.instrument import MS_NS, Instrument, InstrumentName
from abidance.model.market import DataKind, Trade
from abidance.venues.bybit.decode import TIMEFRAMES, BybitDecoder
from abidance.venues.dialect import Channel, Decoder, Dialect, Fetch, Frame, StreamLimits
from abidance.venues.frames import (
    Millis,
    Price,
    TradedSize,
    answered,
    check_streamed,
    names_of,
    portions,
    reader,
    said,
)


class _Print(msgspec.Struct, gc=False):
    execId: str  # noqa: N815 (the venue's own names)
    price: Price
    size: TradedSize
    side: Literal["Buy", "Sell"]
    time: Millis


class _Prints(msgspec.Struct):
    list: list[_Print]


class _PrintsAnswer(msgspec.Struct):
    """The newest first: `{"retCode": 0, "result": {"category": "spot", "list": [{"execId": "2100", ...}]}}`."""

    result: _Prints


_read_prints = reader(_PrintsAnswer)


class BybitSpot(Dialect):
    """Bybit spot. One channel a request, because Bybit refuses all that stand beside one that it does not know."""

    venue = "BYBIT"
    rest_url = "https://api.bybit.com"
    stream_url = "wss://stream.bybit.com/v5/public/spot"
    limits = StreamLimits(
        channels_per_connection=200,
        channels_per_request=1,
        requests_per_second=20.0,
        connections_per_minute=90.0,
        ping_every=20.0,
    )
    books = BookRule(Continuity.STEP, snapshot_in_stream=True, depths=(50, 200, 1000))
    kinds = frozenset({DataKind.TRADES, DataKind.QUOTES, DataKind.BOOK, DataKind.BARS})
    timeframes = TIMEFRAMES
    tells_trades = True
    _category, _most_trades = "spot", "60"

    def spelt(self, name: InstrumentName) -> str:
        return f"{name.base}{name.quote}"

    def decoder(self, instruments: Sequence[Instrument]) -> Decoder:
        return BybitDecoder(names_of(instruments, self.symbol))

    def topic(self, channel: Channel) -> str:
        check_streamed(self, channel)
        symbol = self.symbol_of(channel.instrument)
        return {
            DataKind.TRADES: f"publicTrade.{symbol}",
            DataKind.QUOTES: f"orderbook.1.{symbol}",
            DataKind.BOOK: f"orderbook.{self.books.depth_for(channel.depth)}.{symbol}",
            DataKind.BARS: f"kline.{self.timeframes.get(channel.timeframe)}.{symbol}",
            DataKind.MARK: f"tickers.{symbol}",
        }[channel.kind]

    def subscribe(self, channels: Sequence[Channel], request: int) -> Sequence[Frame]:
        return self._asked("subscribe", channels, request)

    def unsubscribe(self, channels: Sequence[Channel], request: int) -> Sequence[Frame]:
        return self._asked("unsubscribe", channels, request)

    def ping(self, request: int) -> Frame | None:
        return said({"op": "ping", "req_id": str(request)})

    async def recent_trades(self, fetch: Fetch, instrument: str) -> Sequence[Trade]:
        symbol = self.symbol_of(instrument)
        asked = {"category": self._category, "symbol": symbol, "limit": self._most_trades}
        body = await fetch("GET", "/v5/market/recent-trade", asked)
        found = answered("Bybit", body, _read_prints, f"trades of {symbol}").result.list
        return [
            Trade(t.time * MS_NS, instrument, t.price, t.size, t.side == "Buy", t.execId)
            for t in reversed(found)
        ]

    def _asked(self, op: str, channels: Sequence[Channel], request: int) -> Sequence[Frame]:
        topics = [self.topic(channel) for channel in channels]
        return [
            said({"op": op, "req_id": str(request + at), "args": portion})
            for at, portion in enumerate(portions(topics, self.limits.channels_per_request))
        ]


class BybitLinear(BybitSpot):
    """Bybit perpetuals that settle in USDT or USDC."""

    stream_url = "wss://stream.bybit.com/v5/public/linear"
    kinds = BybitSpot.kinds | {DataKind.MARK}
    _category, _most_trades = "linear", "1000"

    def spelt(self, name: InstrumentName) -> str:
        return f"{name.base}PERP" if name.settle == "USDC" else super().spelt(name)
