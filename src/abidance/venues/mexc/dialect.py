"""Speak to MEXC: spot V3."""

from collections.abc import Sequence

import msgspec

from abidance.market.book import BookRule, Continuity
from abidance.model.instrument import MS_NS, Instrument, InstrumentName
from abidance.model.market import BookDelta, DataKind
from abidance.venues.dialect import Channel, Decoder, Dialect, Fetch, Frame, StreamLimits
from abidance.venues.frames import (
    Level,
    Millis,
    UpdateId,
    answered,
    check_streamed,
    names_of,
    portions,
    reader,
    said,
)
from abidance.venues.mexc.decode import TIMEFRAMES, MexcDecoder

_LEVELS = 1000
_SPEED = "100ms"


class _Ladder(msgspec.Struct, gc=False, rename="camel"):
    last_update_id: UpdateId
    bids: list[Level]
    asks: list[Level]
    timestamp: Millis = 0


_read_ladder = reader(_Ladder)


class Mexc(Dialect):
    """MEXC spot. It answers subscriptions by topic, not by number."""

    venue = "MEXC"
    rest_url = "https://api.mexc.com"
    stream_url = "wss://wbs-api.mexc.com/ws"
    limits = StreamLimits(
        channels_per_connection=30,
        channels_per_request=30,
        requests_per_second=20.0,
        connections_per_minute=30.0,
        lifetime=86_400.0,
        ping_every=20.0,
    )
    books = BookRule(Continuity.RANGE, snapshot_in_stream=False, depths=(0,), snapshot_levels=_LEVELS)
    kinds = frozenset({DataKind.TRADES, DataKind.QUOTES, DataKind.BOOK, DataKind.BARS})
    timeframes = TIMEFRAMES

    def spelt(self, name: InstrumentName) -> str:
        return f"{name.base}{name.quote}"

    def decoder(self, instruments: Sequence[Instrument]) -> Decoder:
        return MexcDecoder(names_of(instruments, self.symbol))

    def topic(self, channel: Channel) -> str:
        check_streamed(self, channel)
        symbol = self.symbol_of(channel.instrument)
        return {
            DataKind.TRADES: f"spot@public.aggre.deals.v3.api.pb@{_SPEED}@{symbol}",
            DataKind.QUOTES: f"spot@public.aggre.bookTicker.v3.api.pb@{_SPEED}@{symbol}",
            DataKind.BOOK: f"spot@public.aggre.depth.v3.api.pb@{_SPEED}@{symbol}",
            DataKind.BARS: f"spot@public.kline.v3.api.pb@{symbol}@{self.timeframes.get(channel.timeframe)}",
        }[channel.kind]

    def subscribe(self, channels: Sequence[Channel], request: int) -> Sequence[Frame]:  # noqa: ARG002
        return self._asked("SUBSCRIPTION", channels)

    def unsubscribe(self, channels: Sequence[Channel], request: int) -> Sequence[Frame]:  # noqa: ARG002
        return self._asked("UNSUBSCRIPTION", channels)

    def ping(self, request: int) -> Frame | None:  # noqa: ARG002 (MEXC numbers nothing)
        return said({"method": "PING"})

    async def snapshot(self, fetch: Fetch, channel: Channel) -> BookDelta:
        symbol = self.symbol_of(channel.instrument)
        body = await fetch("GET", "/api/v3/depth", {"symbol": symbol, "limit": str(_LEVELS)})
        found = answered("MEXC", body, _read_ladder, f"ladder of {symbol}")
        return BookDelta(
            found.timestamp * MS_NS,
            channel.instrument,
            found.bids,
            found.asks,
            is_snapshot=True,
            last=found.last_update_id,
        )

    def _asked(self, method: str, channels: Sequence[Channel]) -> Sequence[Frame]:
        topics = [self.topic(channel) for channel in channels]
        return [
            said({"method": method, "params": portion})
            for portion in portions(topics, self.limits.channels_per_request)
        ]
