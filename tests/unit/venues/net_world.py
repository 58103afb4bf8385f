"""A venue that a test scripts, a clock that it moves, and a live feed between them: no socket, no waiting."""

import asyncio
import heapq
from collections.abc import Awaitable, Mapping, Sequence, Sized
from decimal import Decimal
from itertools import count
from typing import Self, TypeVar

from abidance.kernel.log import logger
from abidance.market.book import BookRule, Continuity
from abidance.model.errors import VenueError
from abidance.model.instrument import SECOND_NS, Instrument, InstrumentName
from abidance.model.market import (
    BookDelta,
    BookSnapshot,
    DataKind,
    FeedState,
    FeedStatus,
    MarketEvent,
    Quote,
    Trade,
)
from abidance.venues.dialect import (
    Alive,
    Answered,
    Channel,
    Decoded,
    Decoder,
    Dialect,
    Endpoint,
    Fetch,
    Frame,
    StreamLimits,
)
from abidance.venues.net.budget import Budgets
from abidance.venues.net.feed import History, LiveFeed, Wanted
from abidance.venues.net.line import World
from abidance.venues.net.rest import Rest
from abidance.venues.net.transport import Answer, DisconnectedError

T = TypeVar("T")
EPOCH = 1_700_000_000 * SECOND_NS
BTC = Instrument("BTC/USDT@FAKE", Decimal("0.1"), Decimal("0.001"), Decimal("0.001"), Decimal(1))
ETH = Instrument("ETH/USDT@FAKE", Decimal("0.1"), Decimal("0.001"), Decimal("0.001"), Decimal(1))
_MOST_TURNS = 40
_IDLE_TURNS = 4
"""Turns of the loop without anything to run or to read after which all has settled: a socket is looked at in each."""


async def settle() -> None:
    """Let everything run that can, until nothing is left to run nor to be read."""
    ready: Sized = getattr(asyncio.get_running_loop(), "_ready")  # noqa: B009  what will run at the next turn
    idle = 0
    for _ in range(_MOST_TURNS):
        await asyncio.sleep(0)
        idle = 0 if ready else idle + 1
        if idle == _IDLE_TURNS:
            return


class HandPulse:
    """Time that only moves when it is advanced; the wall clock may be `skew` ns off."""

    def __init__(self) -> None:
        self.now, self.skew = 0.0, 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()

    def true(self) -> int:
        return EPOCH + round(self.now * 1e9)

    def wall(self) -> int:
        return self.true() + self.skew

    def steady(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._numbers), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move time, waking each sleeper at its own moment."""
        until = self.now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            at, _, future = heapq.heappop(self._sleepers)
            self.now = max(self.now, at)
            if not future.done():
                future.set_result(None)
                await settle()
        self.now = until
        await settle()


class FakeSocket:
    """One connection as the venue sees it: what it was asked, and what it says."""

    def __init__(self, venue: "FakeVenue", number: int) -> None:
        self.number = number
        self.sent: list[str] = []
        self.topics: list[str] = []
        self.is_open = True
        self._venue = venue
        self._frames: asyncio.Queue[str | None] = asyncio.Queue()

    async def send(self, frame: Frame) -> None:
        if not self.is_open:
            raise DisconnectedError("gone")
        assert isinstance(frame, str)
        self.sent.append(frame)
        verb, request, *topics = frame.split(" ")
        if verb == "subscribe":
            self.topics += topics
            if self._venue.answers:
                self.push(Answered(int(request), self._venue.refusals.get(topics[0], "")))
        elif verb == "unsubscribe":
            self.topics = [topic for topic in self.topics if topic not in topics]
        elif verb == "ping" and self._venue.answers:
            self.push(Alive())

    async def receive(self) -> Frame:
        frame = await self._frames.get() if self.is_open or not self._frames.empty() else None
        if frame is None:
            raise DisconnectedError("The connection ended (1006).")
        return frame

    async def close(self) -> None:
        self.cut()

    def push(self, *values: Decoded) -> None:
        """Let the venue say something in one frame."""
        frame = f"frame {next(self._venue.numbers)}"
        self._venue.said[frame] = values
        self._frames.put_nowait(frame)

    def cut(self) -> None:
        """End the connection without a word."""
        if self.is_open:
            self.is_open = False
            self._frames.put_nowait(None)


class FakeVenue:
    """What the venue does when it is spoken to, and every connection that was ever made."""

    def __init__(self) -> None:
        self.sockets: list[FakeSocket] = []
        self.said: dict[str, Sequence[Decoded]] = {}
        self.answers = True
        self.is_up = True
        self.refusals: dict[str, str] = {}
        self.requests: list[tuple[str, Mapping[str, str]]] = []
        self.replies: list[Answer] = []
        self.snapshots: list[BookDelta] = []
        self.numbers = count()
        self.attempts: list[float] = []
        self.pulse = HandPulse()

    @property
    def open(self) -> list[FakeSocket]:
        return [socket for socket in self.sockets if socket.is_open]

    @property
    def last(self) -> FakeSocket:
        return self.sockets[-1]

    async def connect(self, endpoint: Endpoint) -> FakeSocket:
        self.attempts.append(self.pulse.now)
        if not self.is_up:
            raise DisconnectedError("No connection: refused.")
        self.sockets.append(FakeSocket(self, len(self.sockets)))
        return self.sockets[-1]

    async def request(self, method: str, url: str, query: Mapping[str, str], *signed: object) -> Answer:
        self.requests.append((url, query))
        return self.replies.pop(0) if self.replies else Answer(200, {}, b"")


class FakeDecoder(Decoder):
    def __init__(self, said: Mapping[str, Sequence[Decoded]]) -> None:
        self._said = said

    def decode(self, frame: Frame) -> Sequence[Decoded]:
        assert isinstance(frame, str)
        return self._said[frame]


class FakeDialect(Dialect):
    """Frames that name what they mean; a book that is begun by REST."""

    venue = "FAKE"
    rest_url = "https://fake"
    stream_url = "wss://fake"
    limits = StreamLimits(
        channels_per_connection=0, channels_per_request=10, requests_per_second=0, connections_per_minute=0
    )
    books = BookRule(Continuity.RANGE, snapshot_in_stream=False, depths=(0,), snapshot_levels=100)
    kinds = frozenset(DataKind)
    timeframes: Mapping[str, str] = {"1m": "1m", "5m": "5m"}

    def __init__(self, venue: FakeVenue) -> None:
        self._venue = venue

    def spelt(self, name: InstrumentName) -> str:
        return name.base

    def decoder(self, instruments: Sequence[Instrument]) -> Decoder:
        return FakeDecoder(self._venue.said)

    def topic(self, channel: Channel) -> str:
        return f"{channel.kind}:{channel.instrument}:{channel.timeframe}"

    def subscribe(self, channels: Sequence[Channel], request: int) -> Sequence[Frame]:
        return [f"subscribe {request} {' '.join(map(self.topic, channels))}"]

    def unsubscribe(self, channels: Sequence[Channel], request: int) -> Sequence[Frame]:
        return [f"unsubscribe {request} {' '.join(map(self.topic, channels))}"]

    def ping(self, request: int) -> Frame | None:
        return f"ping {request}"

    async def snapshot(self, fetch: Fetch, channel: Channel) -> BookDelta:
        await fetch("GET", "/depth", {"symbol": channel.instrument})
        if not self._venue.snapshots:
            raise VenueError("no snapshot today")
        return self._venue.snapshots.pop(0)


class Bench:
    """A live feed in front of a fake venue. `events` is all that it handed over so far."""

    def __init__(
        self,
        wanted: Wanted,
        *,
        history: History | None = None,
        limits: StreamLimits | None = None,
        books: BookRule | None = None,
    ) -> None:
        self.venue = FakeVenue()
        self.pulse = self.venue.pulse
        self.dialect = FakeDialect(self.venue)
        if limits is not None:
            self.dialect.limits = limits
        if books is not None:
            self.dialect.books = books
        budgets = Budgets(self.pulse)
        self.world = World(self.venue, self.pulse, budgets, lambda: 0.5, logger("test"))
        self.feed = LiveFeed(wanted, lambda _: self.dialect, self._rest, self.world, history)
        self.events: list[MarketEvent] = []
        self._task: asyncio.Task[None] | None = None

    def _rest(self, dialect: Dialect) -> Rest:
        return Rest(dialect.rest_url, self.venue, self.world.budgets, self.pulse)

    async def __aenter__(self) -> Self:
        self._task = asyncio.ensure_future(self.feed.run())
        await self.advance(0.5)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def advance(self, seconds: float) -> None:
        await self.pulse.advance(seconds)
        self.collect()

    async def say(self, *values: Decoded, socket: FakeSocket | None = None) -> None:
        """Let the venue say each value in a frame of its own, and everybody hear it."""
        for value in values:
            (socket or self.venue.last).push(value)
        await settle()
        self.collect()

    async def hum(self, seconds: float, socket: FakeSocket | None = None, instrument: str = BTC.id) -> None:
        """Let quotes flow, four a second."""
        for _ in range(round(seconds * 4)):
            await self.advance(0.25)
            await self.say(self.quote(instrument), socket=socket)

    def collect(self) -> None:
        while (event := self.feed.next()) is not None:
            self.events.append(event)

    # --- what it says, and what came of it

    def quote(self, instrument: str = BTC.id, bid: float = 100.0, ask: float = 100.1) -> Quote:
        return Quote(self.pulse.wall(), instrument, bid, 1.0, ask, 1.0)

    def trade(self, id: str, price: float = 100.0, instrument: str = BTC.id) -> Trade:
        return Trade(self.pulse.wall(), instrument, price, 1.0, True, id)

    def states(self, kind: DataKind, instrument: str = BTC.id) -> list[FeedState]:
        return [status.state for status in self.statuses(kind, instrument)]

    def statuses(self, kind: DataKind, instrument: str = BTC.id) -> list[FeedStatus]:
        return [
            event
            for event in self.events
            if isinstance(event, FeedStatus) and event.kind is kind and event.instrument == instrument
        ]

    @property
    def trades(self) -> list[str]:
        return [event.id for event in self.events if isinstance(event, Trade)]

    @property
    def quotes(self) -> list[Quote]:
        return [event for event in self.events if isinstance(event, Quote)]

    @property
    def books(self) -> list[BookSnapshot]:
        return [event for event in self.events if isinstance(event, BookSnapshot)]


async def result_of(work: Awaitable[T], pulse: HandPulse, seconds: float = 60.0) -> T:
    """Return what `work` returns within so many seconds of test time."""
    task = asyncio.ensure_future(work)
    await pulse.advance(seconds)
    assert task.done()
    return task.result()


def wanted(*kinds: DataKind, instruments: Sequence[Instrument] = (BTC,), **more: object) -> Wanted:
    """Return what a run wants that needs these kinds of each instrument."""
    return Wanted(
        {each.id: each for each in instruments},
        {each.id: frozenset(kinds) for each in instruments},
        **more,  # type: ignore[arg-type]
    )
