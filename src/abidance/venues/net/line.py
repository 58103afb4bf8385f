"""One connection to a venue from its opening to its end: subscriptions and their confirmation, heartbeat, data.

A line never comes back: when it has ended, `net.streams` opens another. What it hears goes to its `Listener`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Protocol, TypeVar

from structlog.stdlib import BoundLogger

from abidance.market.live.pace import UNTRIED, Pace
from abidance.model.errors import VenueError
from abidance.model.instrument import Instrument
from abidance.model.market import (
    BarUpdate,
    BookDelta,
    DataKind,
    FeedState,
    FundingRate,
    MarkPrice,
    Quote,
    Trade,
)
from abidance.venues.dialect import Alive, Answered, Channel, Closing, Dialect, Dropped, Endpoint, Frame
from abidance.venues.net.budget import Budgets
from abidance.venues.net.rest import Rest
from abidance.venues.net.stream import BookStream, Stream
from abidance.venues.net.transport import Backoff, DisconnectedError, Pulse, Socket, Transport, stop, within

A = TypeVar("A")
CONNECT = 10.0
"""Seconds in which a connection must stand."""
CONFIRM = 10.0
"""Seconds in which a venue must confirm a subscription; then it is asked once more, then the line is given up."""
DEAD = 45.0
"""Seconds without any frame at all after which the other side is taken as gone."""
_BURST = 64
Data = Trade | Quote | BarUpdate | MarkPrice | FundingRate
_KINDS: dict[type, DataKind] = {
    Trade: DataKind.TRADES,
    Quote: DataKind.QUOTES,
    BarUpdate: DataKind.BARS,
    MarkPrice: DataKind.MARK,
    FundingRate: DataKind.MARK,
}


class Listener(Protocol):
    """Who hears what lines have to say; `line` is the number of the line."""

    @property
    def has_room(self) -> bool:
        """Return False while nothing more should be read: the venue then feels that we are slow."""
        ...

    def on_data(self, line: int, value: Data, received: int) -> None:
        """Take market data, received at `received` (ns UTC)."""
        ...

    def on_book(self, line: int, stream: BookStream, received: int) -> None:
        """Take note of a ladder that changed and is whole."""
        ...

    def on_finding(self, line: int, channel: Channel, state: FeedState, reason: str) -> None:
        """Take what a line makes of one of its streams."""
        ...

    def on_end(self, line: int, reason: str) -> None:
        """Take note that a line has ended."""
        ...


@dataclass(frozen=True)
class World:
    """What all lines of a process share: the way out, the clocks, budgets, chance (`draw`, in [0, 1)), log, numbers."""

    transport: Transport
    pulse: Pulse
    budgets: Budgets
    draw: Callable[[], float]
    log: BoundLogger
    numbers: "count[int]" = field(default_factory=lambda: count(1))


class Line:
    """One connection that carries `channels` of one route; it may be silent for `untried` seconds at first."""

    def __init__(
        self,
        dialect: Dialect,
        instruments: Mapping[str, Instrument],
        channels: Sequence[Channel],
        rest: Rest,
        world: World,
        listener: Listener,
        untried: float = UNTRIED,
    ) -> None:
        self.number = next(world.numbers)
        self.opened = world.pulse.steady()
        self.leaving = ""
        """Why the line should be replaced, empty while it should not."""
        self.dropped = 0
        self.task: asyncio.Task[str] | None = None
        self._dialect = dialect
        self._channels = tuple(channels)
        self._rest = rest
        self._world = world
        self._listener = listener
        self._log = world.log.bind(venue=dialect.venue, line=self.number)
        self.is_silent = False
        self._pace = Pace(self.opened, untried)
        self._heard = self._pinged = self.opened
        self._request = 1
        self._turn = asyncio.Lock()
        self._asked: dict[int, _Asked] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket: Socket | None = None
        self._endpoint: Endpoint | None = None
        names = dict.fromkeys(channel.instrument for channel in channels)
        self._decode = dialect.decoder([instruments[name] for name in names]).decode
        self._topics = {dialect.topic(channel): channel for channel in channels}
        self._streams: dict[tuple[str, DataKind], Stream] = {
            (channel.instrument, channel.kind): self._stream(channel, instruments) for channel in channels
        }
        self._snapshots = {
            channel: Backoff(world.draw, first=1.0, longest=30.0, steady=30.0) for channel in channels
        }
        self._asking: set[Channel] = set()

    def _stream(self, channel: Channel, instruments: Mapping[str, Instrument]) -> Stream:
        now = self.opened
        if channel.kind is DataKind.BOOK:
            return BookStream(channel, self._find, now, instruments[channel.instrument], self._dialect.books)
        return Stream(channel, self._find, now)

    def _find(self, channel: Channel, state: FeedState, reason: str) -> None:
        self._listener.on_finding(self.number, channel, state, reason)

    @property
    def is_ready(self) -> bool:
        """Return True when the line carries everything that it was opened for."""
        return all(stream.is_ready for stream in self._streams.values())

    # --- life

    async def run(self) -> str:
        """Connect, subscribe and read until the end; return why it ended."""
        reason = "closed by us"
        try:
            reason = await self._live()
        except VenueError as error:
            reason = error.found
        except Exception as error:  # noqa: BLE001 - see below
            # A line is expendable, what it is a part of is not: a defect ends it like any other failure, and is told.
            self._log.exception("line_failed")
            reason = f"{type(error).__name__}: {error}"
        finally:
            await stop(*self._tasks)
            if self._socket is not None:
                await self._socket.close()
            self._log.info(
                "line_ended", reason=reason, after=round(self._world.pulse.steady() - self.opened, 1)
            )
            self._listener.on_end(self.number, reason)
        return reason

    async def _live(self) -> str:
        world, dialect = self._world, self._dialect
        route = dialect.route(self._channels[0])
        asking = dialect.endpoint(self._rest.fetch, route)
        self._endpoint = await within(world.pulse, 2 * CONNECT, asking, "Asking where to connect")
        opening = world.transport.connect(self._endpoint)
        self._socket = await within(world.pulse, CONNECT, opening, "Connecting")
        self._heard = self._pinged = world.pulse.steady()
        self._spawn(self._subscribe, self._channels)
        return await self._read(self._socket)

    async def _read(self, socket: Socket) -> str:
        pulse, read = self._world.pulse, 0
        while True:
            frame = await socket.receive()
            self._take(frame, pulse.wall(), pulse.steady())
            read += 1
            if read % _BURST == 0:
                await asyncio.sleep(0)  # a full buffer never suspends us by itself
                while not self._listener.has_room:
                    await pulse.sleep(0.01)

    def _spawn(self, work: Callable[[A], Coroutine[object, object, None]], about: A) -> None:
        task = asyncio.ensure_future(self._guarded(work, about))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Callable[[A], Coroutine[object, object, None]], about: A) -> None:
        """Do work beside reading; when it fails the line is of no use any more."""
        try:
            await work(about)
        except VenueError as error:
            self.leaving = self.leaving or error.found
            if isinstance(error, DisconnectedError) and self._socket is not None:
                await self._socket.close()

    # --- what is heard

    def _take(self, frame: Frame, received: int, now: float) -> None:
        self._heard = now
        for value in self._decode(frame):
            kind = _KINDS.get(type(value))
            if kind is not None:
                self._on_data(kind, value, received, now)  # type: ignore[arg-type]
            elif type(value) is BookDelta:
                self._on_delta(value, received, now)
            else:
                self._on_word(value)  # type: ignore[arg-type]

    def _on_data(self, kind: DataKind, value: Data, received: int, now: float) -> None:
        is_bar = type(value) is BarUpdate
        instrument = value.bar.instrument if is_bar else value.instrument  # type: ignore[union-attr]
        stream = self._streams.get((instrument, kind))
        if stream is None:
            return
        self._pace.heard(now)
        if type(value) is Quote and not value.bid < value.ask:
            stream.pace.heard(now)
            if stream.state is not FeedState.CROSSED:
                stream.become(FeedState.CROSSED, f"Bid {value.bid:g} is not below ask {value.ask:g}.")
            return
        # A bar's time is its opening, and funding's is when it falls due: neither says when it was sent.
        ts = 0 if is_bar or type(value) is FundingRate else value.ts  # type: ignore[union-attr]
        on_time = stream.hear(ts, received, now)
        if on_time or kind is DataKind.TRADES or is_bar:
            self._listener.on_data(self.number, value, received)

    def _on_delta(self, delta: BookDelta, received: int, now: float) -> None:
        stream = self._streams.get((delta.instrument, DataKind.BOOK))
        if not isinstance(stream, BookStream):
            return
        self._pace.heard(now)
        if stream.take(delta, received, now):
            self._listener.on_book(self.number, stream, received)
        if stream.wants_snapshot and stream.channel not in self._asking:
            self._asking.add(stream.channel)
            self._spawn(self._renew, stream)

    def _on_word(self, value: Answered | Alive | Dropped | Closing) -> None:
        if isinstance(value, Answered):
            self._on_answer(value)
        elif isinstance(value, Alive):
            if value.reply is not None:
                self._spawn(self._send, value.reply)
        elif isinstance(value, Closing):
            self.leaving = self.leaving or f"the venue announced the end ({value.reason})"
        else:
            self.dropped += 1
            if self.dropped <= 10 or self.dropped % 1000 == 0:
                self._log.warning(
                    "dropped", reason=value.reason, sample=value.sample[:200], count=self.dropped
                )

    def _on_answer(self, answer: Answered) -> None:
        asked = self._asked.pop(answer.request, None)
        if asked is not None:
            asked.left -= 1
            channels: Sequence[Channel] = asked.channels if asked.left <= 0 or answer.error else ()
        else:
            channels = [self._topics[topic] for topic in answer.channels if topic in self._topics]
        for channel in channels:
            stream = self._streams[channel.instrument, channel.kind]
            if not answer.error:
                stream.confirm()
            elif not stream.is_confirmed:
                stream.refuse(answer.error)
        if answer.error:
            self._log.warning(
                "refused", reason=answer.error, channels=[self._dialect.topic(c) for c in channels]
            )

    # --- what is said

    async def _send(self, frame: Frame) -> None:
        if self._socket is not None:
            await self._socket.send(frame)

    async def _request_of(self, frame: Frame) -> None:
        """Send a request, no faster than the venue takes them from one connection."""
        rate = self._dialect.limits.requests_per_second
        async with self._turn:
            await self._send(frame)
            if rate:
                await self._world.pulse.sleep(1.0 / rate)

    async def _subscribe(self, channels: Sequence[Channel]) -> None:
        """Ask for channels and see to it that they are confirmed. Raises DisconnectedError when they are not."""
        for _attempt in range(2):
            await self._ask(channels)
            await self._world.pulse.sleep(CONFIRM)
            open_ = [c for c in channels if not self._streams[c.instrument, c.kind].is_answered]
            if not open_:
                return
            channels = open_
        names = ", ".join(self._dialect.topic(channel) for channel in channels[:3])
        raise DisconnectedError(
            f"The venue did not confirm {len(channels)} subscriptions ({names}).", "It is tried again."
        )

    async def _ask(self, channels: Sequence[Channel]) -> None:
        rest = iter(channels)
        while batch := tuple(islice(rest, self._dialect.limits.channels_per_request or None)):
            frames = self._dialect.subscribe(batch, self._request)
            asked = _Asked(batch, len(frames))
            first, self._request = self._request, self._request + max(1, len(frames))
            for number, frame in enumerate(frames, first):
                self._asked[number] = asked
                await self._request_of(frame)

    async def _renew(self, stream: BookStream) -> None:
        """Get a new ladder for a book, by REST or by subscribing anew, no faster than its backoff allows."""
        channel, backoff = stream.channel, self._snapshots[stream.channel]
        try:
            while stream.wants_snapshot:
                if self._dialect.books.snapshot_in_stream:
                    await self._resubscribe(channel)
                else:
                    await self._fetch(stream)
                if stream.wants_snapshot:
                    await self._world.pulse.sleep(backoff.delay())
        finally:
            self._asking.discard(channel)

    async def _resubscribe(self, channel: Channel) -> None:
        stream = self._streams[channel.instrument, channel.kind]
        if (
            isinstance(stream, BookStream)
            and not stream.book.last
            and stream.book.reason == "no snapshot yet"
        ):
            return  # it has just been subscribed to: the ladder is on its way
        frames = self._dialect.unsubscribe((channel,), self._request)
        self._request += max(1, len(frames))
        for frame in frames:
            await self._request_of(frame)
        await self._ask((channel,))

    async def _fetch(self, stream: BookStream) -> None:
        stream.prepare()
        try:
            snapshot = await self._dialect.snapshot(self._rest.fetch, stream.channel)
        except VenueError as error:
            self._log.warning("no_snapshot", instrument=stream.channel.instrument, reason=error.found)
            return
        pulse = self._world.pulse
        if stream.take(snapshot, pulse.wall(), pulse.steady()):
            self._listener.on_book(self.number, stream, pulse.wall())

    # --- watching

    def beat(self, now: float) -> None:
        """Look at the age of everything and send the venue's ping when it is due; call this a few times a second."""
        if self._socket is None:
            return
        is_silent = self._pace.is_silent(now)
        for stream in self._streams.values():
            if is_silent:
                stream.doubt(f"Nothing on its connection for {now - self._pace.last:.1f} s.")
            elif stream.watch(now):
                self._nudge(stream, now)
        if is_silent:
            self.is_silent = True
            self.leaving = self.leaving or f"no data for {now - self._pace.last:.1f} s"
        elif now - self._heard > DEAD:
            self.leaving = self.leaving or "the other side is gone"
        every = (self._endpoint.ping_every if self._endpoint else 0.0) or self._dialect.limits.ping_every
        if every and now - self._pinged >= every:
            self._pinged = now
            self._request += 1
            ping = self._dialect.ping(self._request - 1)
            if ping is not None:
                self._spawn(self._send, ping)

    def _nudge(self, stream: Stream, now: float) -> None:
        """Subscribe anew to a channel that fell silent on a line that has not; each time it is given longer."""
        silence = now - stream.pace.last
        stream.begin_anew(Pace(now, 2 * silence))
        self._log.info("silent", topic=self._dialect.topic(stream.channel), seconds=round(silence, 1))
        self._spawn(self._resubscribe, stream.channel)


@dataclass
class _Asked:
    channels: Sequence[Channel]
    left: int
