"""Speak to KuCoin: spot. Every connection needs a token, which is asked for by REST."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Annotated, Literal
from urllib.parse import quote

import msgspec

from abidance.market.book import BookRule, Continuity
from abidance.model.instrument import MS_NS, Instrument, InstrumentName
from abidance.model.market import BookDelta, DataKind, Trade
from abidance.venues.dialect import Channel, Decoder, Dialect, Endpoint, Fetch, Frame, StreamLimits
from abidance.venues.frames import (
    Level,
    Millis,
    Nanos,
    Price,
    TradedSize,
    UpdateId,
    answered,
    check_streamed,
    names_of,
    reader,
    said,
)
from abidance.venues.kucoin.decode import TIMEFRAMES, KuCoinDecoder

_LEVELS = 100


class _Server(msgspec.Struct, rename="camel"):
    endpoint: Annotated[str, msgspec.Meta(pattern="^wss?://")]
    ping_interval: Annotated[int, msgspec.Meta(ge=1_000)] = 18_000


class _Admission(msgspec.Struct, rename="camel"):
    token: Annotated[str, msgspec.Meta(min_length=1)]
    instance_servers: Annotated[list[_Server], msgspec.Meta(min_length=1)]


class _AdmissionAnswer(msgspec.Struct):
    data: _Admission


class _Ladder(msgspec.Struct, gc=False):
    sequence: UpdateId
    bids: list[Level]
    asks: list[Level]
    time: Millis = 0


class _Print(msgspec.Struct, gc=False):
    sequence: UpdateId
    price: Price
    size: TradedSize
    side: Literal["buy", "sell"]
    time: Nanos


class _PrintsAnswer(msgspec.Struct):
    data: list[_Print]


class _LadderAnswer(msgspec.Struct):
    data: _Ladder


read_admission = reader(_AdmissionAnswer)
_read_ladder = reader(_LadderAnswer)
_read_prints = reader(_PrintsAnswer)


class KuCoin(Dialect):
    """KuCoin spot. One channel a request, because KuCoin refuses all that stand beside one that it does not know."""

    venue = "KUCOIN"
    rest_url = "https://api.kucoin.com"
    stream_url = "wss://ws-api-spot.kucoin.com"
    limits = StreamLimits(
        channels_per_connection=300,
        channels_per_request=1,
        requests_per_second=9.0,
        connections_per_minute=25.0,
        lifetime=86_400.0,
        ping_every=18.0,
    )
    books = BookRule(Continuity.RANGE, snapshot_in_stream=False, depths=(0,), snapshot_levels=_LEVELS)
    kinds = frozenset({DataKind.TRADES, DataKind.QUOTES, DataKind.BOOK, DataKind.BARS})
    timeframes = TIMEFRAMES
    tells_trades = True
    renamed = MappingProxyType({"BSV/USDT@KUCOIN": "BCHSV-USDT"})

    def spelt(self, name: InstrumentName) -> str:
        return f"{name.base}-{name.quote}"

    def decoder(self, instruments: Sequence[Instrument]) -> Decoder:
        return KuCoinDecoder(names_of(instruments, self.symbol))

    def topic(self, channel: Channel) -> str:
        check_streamed(self, channel)
        symbol = self.symbol_of(channel.instrument)
        return {
            DataKind.TRADES: f"/market/match:{symbol}",
            DataKind.QUOTES: f"/spotMarket/level1:{symbol}",
            DataKind.BOOK: f"/market/level2:{symbol}",
            DataKind.BARS: f"/market/candles:{symbol}_{self.timeframes.get(channel.timeframe)}",
        }[channel.kind]

    async def endpoint(self, fetch: Fetch, route: str = "") -> Endpoint:  # noqa: ARG002 (there is one)
        found = answered(
            "KuCoin", await fetch("POST", "/api/v1/bullet-public", {}), read_admission, "stream token"
        )
        server = found.data.instance_servers[0]
        token = quote(found.data.token, safe="")
        return Endpoint(f"{server.endpoint}?token={token}", server.ping_interval / 1000.0)

    def subscribe(self, channels: Sequence[Channel], request: int) -> Sequence[Frame]:
        return self._asked("subscribe", channels, request)

    def unsubscribe(self, channels: Sequence[Channel], request: int) -> Sequence[Frame]:
        return self._asked("unsubscribe", channels, request)

    def ping(self, request: int) -> Frame | None:
        return said({"id": str(request), "type": "ping"})

    async def snapshot(self, fetch: Fetch, channel: Channel) -> BookDelta:
        symbol = self.symbol_of(channel.instrument)
        body = await fetch("GET", f"/api/v1/market/orderbook/level2_{_LEVELS}", {"symbol": symbol})
        found = answered("KuCoin", body, _read_ladder, f"ladder of {symbol}").data
        return BookDelta(
            found.time * MS_NS,
            channel.instrument,
            found.bids,
            found.asks,
            is_snapshot=True,
            last=found.sequence,
        )

    async def recent_trades(self, fetch: Fetch, instrument: str) -> Sequence[Trade]:
        symbol = self.symbol_of(instrument)
        body = await fetch("GET", "/api/v1/market/histories", {"symbol": symbol})
        found = answered("KuCoin", body, _read_prints, f"trades of {symbol}").data
        return [
            Trade(t.time, instrument, t.price, t.size, t.side == "buy", str(t.sequence))
            for t in sorted(found, key=lambda t: t.sequence)
        ]

    def _asked(self, what: str, channels: Sequence[Channel], request: int) -> Sequence[Frame]:
        topics = [self.topic(channel) for channel in channels]
        return [
            said({"id": str(request + at), "type": what, "topic": topic, "response": True})
            for at, topic in enumerate(topics)
        ]
