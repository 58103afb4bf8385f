"""Speak to Kraken: spot, WebSocket v2."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from abidance.market.book import BookRule, Continuity
from abidance.model.instrument import Instrument, InstrumentName
from abidance.model.market import DataKind, Trade
from abidance.venues.dialect import Channel, Decoder, Dialect, Fetch, Frame, StreamLimits
from abidance.venues.frames import (
    Price,
    TradedSize,
    UpdateId,
    answered,
    names_of,
    reader,
    said,
    unknown_channel,
)
from abidance.venues.kraken.decode import TIMEFRAMES, KrakenDecoder

_OLD_NAMES = {"BTC": "XBT", "DOGE": "XDG"}
"""What REST calls an asset that the streams have another name for."""
_Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=9e9)]
_Print = tuple[Price, TradedSize, _Seconds, str, str, str, UpdateId]


class _Prints(msgspec.Struct):
    """`{"error": [], "result": {"XXBTZUSD": [["30243.4", "0.3", 1688669597.8, "b", "m", "", 61044]], "last": "1"}}`."""

    result: dict[str, list[_Print] | str]
    error: list[str] = []


_read_prints = reader(_Prints)


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
    tells_trades = True

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

    async def recent_trades(self, fetch: Fetch, instrument: str) -> Sequence[Trade]:
        symbol = self.symbol_of(instrument)
        pair = "".join(_OLD_NAMES.get(asset, asset) for asset in symbol.split("/"))
        body = await fetch("GET", "/0/public/Trades", {"pair": pair, "count": "1000"})
        found = answered("Kraken", body, _read_prints, f"trades of {symbol}").result
        rows = next((rows for rows in found.values() if not isinstance(rows, str)), [])
        return [
            Trade(round(seconds * 1e6) * 1_000, instrument, price, size, side == "b", str(id))
            for price, size, seconds, side, _, _, id in rows
        ]

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
