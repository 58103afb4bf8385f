"""Speak to Binance: spot, and USD-M perpetuals, which differ in addresses, limits and the rule of their books."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from abidance.market.book import BookRule, Continuity
from abidance.model.instrument import MS_NS, Instrument, InstrumentName
from abidance.model.market import BookDelta, DataKind, Trade
from abidance.venues.binance.decode import TIMEFRAMES, BinanceDecoder
from abidance.venues.dialect import Channel, Decoder, Dialect, Endpoint, Fetch, Frame, StreamLimits
from abidance.venues.frames import (
    Level,
    Millis,
    Price,
    TradedSize,
    UpdateId,
    answered,
    check_streamed,
    names_of,
    portions,
    reader,
    said,
)

_LEVELS = 1000


class _Ladder(msgspec.Struct, gc=False):
    lastUpdateId: UpdateId  # noqa: N815 (the venue's own name)
    bids: list[Level]
    asks: list[Level]
    T: Millis = 0


class _Trade(msgspec.Struct, gc=False):
    """One of `[{"a": 26129, "p": "0.01633102", "q": "4.70443515", "T": 1498793709153, "m": true}]`."""

    a: UpdateId
    p: Price
    q: TradedSize
    T: Millis
    m: bool


_read_ladder = reader(_Ladder)
_read_trades = reader(list[_Trade])


class BinanceSpot(Dialect):
    """Binance spot."""

    venue = "BINANCE"
    rest_url = "https://api.binance.com"
    stream_url = "wss://stream.binance.com:9443"
    limits = StreamLimits(
        channels_per_connection=1024,
        channels_per_request=100,
        requests_per_second=4.0,
        connections_per_minute=50.0,
        lifetime=86_400.0,
    )
    books = BookRule(Continuity.RANGE, snapshot_in_stream=False, depths=(0,), snapshot_levels=_LEVELS)
    kinds = frozenset({DataKind.TRADES, DataKind.QUOTES, DataKind.BOOK, DataKind.BARS})
    timeframes = TIMEFRAMES
    tells_trades = True
    _depth_path = "/api/v3/depth"
    _trades_path = "/api/v3/aggTrades"
    _events: ClassVar[Mapping[DataKind, str]] = {
        DataKind.TRADES: "aggTrade",
        DataKind.QUOTES: "bookTicker",
        DataKind.BOOK: "depth@100ms",
        DataKind.MARK: "markPrice@1s",
    }

    def spelt(self, name: InstrumentName) -> str:
        return f"{name.base}{name.quote}"

    def decoder(self, instruments: Sequence[Instrument]) -> Decoder:
        return BinanceDecoder(names_of(instruments, self.symbol))

    def topic(self, channel: Channel) -> str:
        check_streamed(self, channel)
        symbol = self.symbol_of(channel.instrument).lower()
        if channel.kind is not DataKind.BARS:
            return f"{symbol}@{self._events[channel.kind]}"
        return f"{symbol}@kline_{self.timeframes[channel.timeframe]}"

    async def endpoint(self, fetch: Fetch, route: str = "") -> Endpoint:  # noqa: ARG002 (nobody is asked)
        return Endpoint(f"{self.stream_url}/stream")

    def subscribe(self, channels: Sequence[Channel], request: int) -> Sequence[Frame]:
        return self._asked("SUBSCRIBE", channels, request)

    def unsubscribe(self, channels: Sequence[Channel], request: int) -> Sequence[Frame]:
        return self._asked("UNSUBSCRIBE", channels, request)

    async def snapshot(self, fetch: Fetch, channel: Channel) -> BookDelta:
        symbol = self.symbol_of(channel.instrument)
        body = await fetch("GET", self._depth_path, {"symbol": symbol, "limit": str(_LEVELS)})
        found = answered("Binance", body, _read_ladder, f"ladder of {symbol}")
        return BookDelta(
            found.T * MS_NS,
            channel.instrument,
            found.bids,
            found.asks,
            is_snapshot=True,
            last=found.lastUpdateId,
        )

    async def recent_trades(self, fetch: Fetch, instrument: str) -> Sequence[Trade]:
        symbol = self.symbol_of(instrument)
        body = await fetch("GET", self._trades_path, {"symbol": symbol, "limit": "1000"})
        found = answered("Binance", body, _read_trades, f"trades of {symbol}")
        return [Trade(t.T * MS_NS, instrument, t.p, t.q, not t.m, str(t.a)) for t in found]

    def _asked(self, method: str, channels: Sequence[Channel], request: int) -> Sequence[Frame]:
        topics = [self.topic(channel) for channel in channels]
        return [
            said({"method": method, "params": portion, "id": request + at})
            for at, portion in enumerate(portions(topics, self.limits.channels_per_request))
        ]


class BinancePerpetuals(BinanceSpot):
    """Binance USD-M perpetuals; books and quotes have an entrance of their own since 2026."""

    rest_url = "https://fapi.binance.com"
    stream_url = "wss://fstream.binance.com"
    limits = StreamLimits(
        channels_per_connection=200,
        channels_per_request=100,
        requests_per_second=8.0,
        connections_per_minute=50.0,
        lifetime=86_400.0,
    )
    books = BookRule(Continuity.PREVIOUS, snapshot_in_stream=False, depths=(0,), snapshot_levels=_LEVELS)
    kinds = BinanceSpot.kinds | {DataKind.MARK}
    _depth_path = "/fapi/v1/depth"
    _trades_path = "/fapi/v1/aggTrades"

    def route(self, channel: Channel) -> str:
        return "public" if channel.kind in {DataKind.BOOK, DataKind.QUOTES} else "market"

    async def endpoint(self, fetch: Fetch, route: str = "") -> Endpoint:  # noqa: ARG002 (nobody is asked)
        return Endpoint(f"{self.stream_url}/{route or 'market'}/stream")
