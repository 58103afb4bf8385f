"""What a venue's folder must say so that the one connection code of `venues.net` can speak to it.

A venue differs by what stands here: symbols, frames, limits and the rule by which its book updates follow each other.
Nothing here opens a socket. Decoders are pure: bytes in, values out, and never an exception for what a venue sends.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import msgspec

from abidance.market.book import BookRule
from abidance.model.errors import UsageError
from abidance.model.instrument import Instrument, InstrumentName, parse_instrument_id
from abidance.model.market import (
    BarUpdate,
    BookDelta,
    DataKind,
    FundingRate,
    MarkPrice,
    Quote,
    Trade,
)

Frame = bytes | str
"""What travels over a socket: text frames as str, binary ones as bytes."""


class Channel(msgspec.Struct, frozen=True, gc=False):
    """One stream of one instrument. `timeframe` is for bars alone, `depth` (levels a side, 0 = all) for books."""

    instrument: str
    kind: DataKind
    timeframe: str = ""
    depth: int = 0


class Answered(msgspec.Struct, frozen=True, gc=False):
    """The venue confirmed (or refused, with its reason) what was asked under `request`.

    `request` is -1 where the venue does not repeat the number: then `channels` holds the topics (`Dialect.topic`).
    """

    request: int
    error: str = ""
    channels: tuple[str, ...] = ()


class Alive(msgspec.Struct, frozen=True, gc=False):
    """A sign of life without data: a pong, a heartbeat, a status line. `reply` must be sent back when there is one."""

    reply: Frame | None = None


class Dropped(msgspec.Struct, frozen=True, gc=False):
    """A frame that means nothing we can trust: it is counted and logged, never guessed at."""

    reason: str
    sample: str = ""


class Closing(msgspec.Struct, frozen=True, gc=False):
    """The venue announces that it will end this connection: open another before it does."""

    reason: str = ""


Decoded = (
    Trade | Quote | BookDelta | BarUpdate | MarkPrice | FundingRate | Answered | Alive | Dropped | Closing
)


class Decoder(Protocol):
    """Turn the frames of one connection into values; unknown instruments and fields are dropped, not errors.

    A `ts` of 0 says that the venue names no time: whoever receives the value puts in the time of receipt. A quote may
    be crossed: whoever certifies it looks. A closed BarUpdate of a bar that was closed before corrects it.
    """

    def decode(self, frame: Frame) -> Sequence[Decoded]:
        """Return what a frame says, in its order. Never raises: what cannot be read is `Dropped`."""
        ...


@dataclass(frozen=True)
class StreamLimits:
    """What a venue lets one connection do; times are in seconds, 0 means no limit is known."""

    channels_per_connection: int
    channels_per_request: int
    requests_per_second: float
    connections_per_minute: float
    lifetime: float = 0.0
    """After so long the venue ends a connection: it is replaced before, with an overlap."""
    ping_every: float = 0.0
    """How often the client must send `Dialect.ping`; 0 when the protocol's own pings are enough."""


@dataclass(frozen=True)
class Endpoint:
    """Where to connect: the address and what the venue said about this very connection."""

    url: str
    ping_every: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)


Fetch = Callable[[str, str, Mapping[str, str]], Awaitable[bytes]]
"""`await fetch(method, path, query)`: one public REST request within the venue's budget, the body of its answer."""


class Dialect(Protocol):
    """One venue and market (`BINANCE` spot, `BINANCE` perpetuals, ...): everything that makes it different."""

    venue: str
    rest_url: str
    stream_url: str
    limits: StreamLimits
    books: BookRule
    kinds: frozenset[DataKind]
    """What the venue streams; asking for another kind raises UsageError."""
    timeframes: Mapping[str, str]
    """The bars it streams, with the venue's own name of each; asking for another raises UsageError."""

    tells_trades: bool = False
    """Whether `recent_trades` tells the last trades under the ids that they have in the stream."""
    renamed: Mapping[str, str] = MappingProxyType({})
    """The venue's names of instruments that do not follow its rule, by our id; reference data may set it."""

    def spelt(self, name: InstrumentName) -> str:
        """Return how the venue names an instrument as a rule."""
        ...

    def symbol_of(self, instrument: str) -> str:
        """Return the venue's own name of an instrument, given our id."""
        return self.renamed.get(instrument) or self.spelt(parse_instrument_id(instrument))

    def symbol(self, instrument: Instrument) -> str:
        """Return the venue's own name of an instrument."""
        return self.symbol_of(instrument.id)

    def decoder(self, instruments: Sequence[Instrument]) -> Decoder:
        """Return a new decoder that knows these instruments."""
        ...

    def topic(self, channel: Channel) -> str:
        """Return the venue's own name of a channel. Raises UsageError for what it does not stream."""
        ...

    def route(self, channel: Channel) -> str:  # noqa: ARG002 (most venues need not look)
        """Return which entrance of the venue serves a channel: one connection carries channels of one route only.

        Binance's perpetuals have two; everybody else has one, the empty text.
        """
        return ""

    async def endpoint(self, fetch: Fetch, route: str = "") -> Endpoint:  # noqa: ARG002 (KuCoin asks)
        """Return where to connect now; venues that hand out tokens are asked here. Raises VenueError."""
        return Endpoint(self.stream_url)

    def subscribe(self, channels: Sequence[Channel], request: int) -> Sequence[Frame]:
        """Return the frames that ask for channels; the venue answers under `request` (and the numbers after it)."""
        ...

    def unsubscribe(self, channels: Sequence[Channel], request: int) -> Sequence[Frame]:
        """Return the frames that end channels."""
        ...

    def ping(self, request: int) -> Frame | None:  # noqa: ARG002 (where there is none)
        """Return the venue's own ping, or None where the protocol's pings are enough."""
        return None

    async def recent_trades(self, fetch: Fetch, instrument: str) -> Sequence[Trade]:  # noqa: ARG002 (who tells none)
        """Return an instrument's last trades by REST, oldest first. Raises VenueError; only where `tells_trades`."""
        raise UsageError(f"{self.venue} does not tell which trades were missed.", "Leave the hole.")

    async def snapshot(self, fetch: Fetch, channel: Channel) -> BookDelta:  # noqa: ARG002 (where there is none)
        """Return the whole ladder by REST. Raises VenueError; only where `books.snapshot_in_stream` is False."""
        raise UsageError(f"{self.venue} sends the whole ladder in its stream.", "Subscribe again.")
