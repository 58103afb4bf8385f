"""Speak to any venue that ccxt streams, in words that only `venues.ccxt.socket` understands."""

from collections.abc import Sequence

import msgspec

from abidance.market.book import BookRule, Continuity
from abidance.model.instrument import Instrument, InstrumentName, parse_instrument_id
from abidance.model.market import DataKind
from abidance.venues.ccxt.decode import TIMEFRAMES, CcxtDecoder
from abidance.venues.dialect import Channel, Decoder, Dialect, Frame, StreamLimits
from abidance.venues.frames import names_of, unknown_channel

SCHEME = "ccxt://"


class Asked(msgspec.Struct):
    """A request to the socket: begin or end channels."""

    request: int
    channels: tuple[Channel, ...]
    begin: bool = True


class CcxtDialect(Dialect):
    """A venue by the name that ccxt gives it; every update of a book is the whole ladder: none can be missed."""

    rest_url = ""
    limits = StreamLimits(
        channels_per_connection=50,
        channels_per_request=1,
        requests_per_second=5.0,
        connections_per_minute=6.0,
    )
    books = BookRule(Continuity.WHOLE, snapshot_in_stream=True, depths=(5, 10, 20, 50, 100))
    kinds = frozenset(DataKind)
    timeframes = TIMEFRAMES

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self.stream_url = f"{SCHEME}{venue.lower()}"

    def spelt(self, name: InstrumentName) -> str:
        return spelt(name)

    def decoder(self, instruments: Sequence[Instrument]) -> Decoder:
        return CcxtDecoder({each: each for each in names_of(instruments, self.symbol).values()})

    def topic(self, channel: Channel) -> str:
        if channel.kind is DataKind.BARS and channel.timeframe not in self.timeframes:
            raise unknown_channel(self.venue, channel)
        return topic_of(channel)

    def subscribe(self, channels: Sequence[Channel], request: int) -> Sequence[Frame]:
        return self._asked(channels, request, begin=True)

    def unsubscribe(self, channels: Sequence[Channel], request: int) -> Sequence[Frame]:
        return self._asked(channels, request, begin=False)

    def _asked(self, channels: Sequence[Channel], request: int, *, begin: bool) -> Sequence[Frame]:
        for channel in channels:
            self.topic(channel)
        return [
            msgspec.json.encode(Asked(request + at, (channel,), begin)) for at, channel in enumerate(channels)
        ]


def spelt(name: InstrumentName) -> str:
    """Return an instrument as ccxt names it: our own way, without the venue."""
    return f"{name.base}/{name.quote}:{name.settle}" if name.settle else f"{name.base}/{name.quote}"


def topic_of(channel: Channel) -> str:
    """Return what a channel is called between this dialect and its socket."""
    symbol = spelt(parse_instrument_id(channel.instrument))
    return f"{channel.kind.value} {symbol} {channel.timeframe or channel.depth or ''}".rstrip()
