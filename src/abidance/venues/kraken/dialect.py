"""Speak to Kraken: spot, WebSocket v2."""

from collections.abc import Sequence
from typing import Any

from abidance.market.book import BookRule, Continuity
from abidance.model.instrument import Instrument, InstrumentName
from abidance.model.market import DataKind
from abidance.venues.dialect import Channel, Decoder, Dialect, Frame, StreamLimits
from abidance.venues.frames import names_of, said, unknown_channel
from abidance.venues.kraken.decode import TIMEFRAMES, KrakenDecoder


class Kraken(Dialect):
    """Kraken spot. One channel a request, because Kraken answers every symbol on its own under the same number."""

    venue = "KRAKEN"
    rest_url = "https://api.kraken.com"
    stream_url = "wss://ws.kraken.com/v2"
    limits = StreamLimits(
        channels_per_connection=200,
        channels_per_request=1,
        requests_per_second=20.0,
        connections_per_minute=15.0,
        ping_every=30.0,
    )
    books = BookRule(Continuity.CHECKSUM, snapshot_in_stream=True, depths=(10, 25, 100, 500, 1000))
    kinds = frozenset({DataKind.TRADES, DataKind.QUOTES, DataKind.BOOK, DataKind.BARS})
    timeframes = TIMEFRAMES

    def spelt(self, name: InstrumentName) -> str:
        return f"{name.base}/{name.quote}"

    def decoder(self, instruments: Sequence[Instrument]) -> Decoder:
        return KrakenDecoder(names_of(instruments, self.symbol))

    def topic(self, channel: Channel) -> str:
        asked = self._params(channel)
        detail = asked.get("depth", asked.get("interval", ""))
        return " ".join(str(each) for each in (asked["channel"], *asked["symbol"], detail) if each)

    def subscribe(self, channels: Sequence[Channel], request: int) -> Sequence[Frame]:
        return self._asked("subscribe", channels, request)

    def unsubscribe(self, channels: Sequence[Channel], request: int) -> Sequence[Frame]:
        return self._asked("unsubscribe", channels, request)

    def ping(self, request: int) -> Frame | None:
        return said({"method": "ping", "req_id": request})

    def _asked(self, method: str, channels: Sequence[Channel], request: int) -> Sequence[Frame]:
        frames = []
        for at, channel in enumerate(channels):
            params = self._params(channel)
            if method == "unsubscribe":
                params.pop("snapshot", None)
            frames.append(said({"method": method, "params": params, "req_id": request + at}))
        return frames

    def _params(self, channel: Channel) -> dict[str, Any]:
        """Return what one channel asks for: old trades and bars come from history, not from the stream."""
        symbol = [self.symbol_of(channel.instrument)]
        match channel.kind:
            case DataKind.TRADES:
                return {"channel": "trade", "symbol": symbol, "snapshot": False}
            case DataKind.QUOTES:
                return {"channel": "ticker", "symbol": symbol, "event_trigger": "bbo", "snapshot": True}
            case DataKind.BOOK:
                depth = self.books.depth_for(channel.depth)
                return {"channel": "book", "symbol": symbol, "depth": depth, "snapshot": True}
            case DataKind.BARS if channel.timeframe in self.timeframes:
                interval = int(self.timeframes[channel.timeframe])
                return {"channel": "ohlc", "symbol": symbol, "interval": interval, "snapshot": False}
        raise unknown_channel(self.venue, channel)
