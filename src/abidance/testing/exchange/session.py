"""One connection of a client to the local exchange: what is on its way to it, and the faults that befall it."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from typing import Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from abidance.model.instrument import SECOND_NS
from abidance.testing.exchange.faults import Fault, Faults, Wrong, truncated, with_wrong_checksum
from abidance.testing.exchange.house import House, Line
from abidance.testing.exchange.market import NEVER, Market
from abidance.venues.dialect import Channel, Frame

_ROOM = 100_000


class Host(Protocol):
    """What a connection needs of the exchange that it leads to."""

    now: int
    faults: Faults
    house: House

    def catch_up(self) -> None:
        """Bring the markets to the clock's time."""
        ...

    def join(self, session: "Session", line: Line) -> None:
        """Let a session listen to a topic."""
        ...

    def part(self, session: "Session", topic: str) -> bool:
        """Let a session no longer listen to a topic."""
        ...


class Session(ABC):
    """One connection of a client, with the faults that befall it; how frames travel is for those below to say."""

    def __init__(self, exchange: Host, path: str, number: int) -> None:
        self.path = path
        self.number = number
        self.topics: set[str] = set()
        self.born = exchange.now
        self.sent = 0
        self.is_over = False
        self._exchange = exchange
        self._held: list[Frame] = []
        self._silent_until = 0

    def say(self, frame: Frame) -> None:
        """Send a frame to this client alone."""
        self.push("", frame)

    def listen(self, topic: str, market: Market, channel: Channel, every: int = 0) -> None:
        """Push a topic to this client from now on."""
        self._exchange.join(self, Line(topic, market, channel, every))

    def leave(self, topic: str) -> bool:
        """Push a topic no longer."""
        return self._exchange.part(self, topic)

    def push(self, topic: str, frame: Frame) -> None:
        """Send a frame unless the script of faults has other plans with it."""
        if self.is_silent or self.is_over:
            return
        script = self._exchange.faults
        if script.script:
            for fault in script.on_frame(topic, frame):
                if self._befall(fault, topic, frame):
                    return
                if fault.what is Wrong.TRUNCATE:
                    frame = truncated(frame)
                elif fault.what is Wrong.CHECKSUM:
                    frame = with_wrong_checksum(frame)
        self._put(frame)
        held, self._held = self._held, []
        for late in held:
            self._put(late)

    @property
    def is_silent(self) -> bool:
        """Return True while nothing is said at all."""
        return self._exchange.now < self._silent_until

    @abstractmethod
    async def drained(self) -> None:
        """Return when every frame is on the wire, or the connection is over."""

    @abstractmethod
    def abort(self) -> None:
        """Break the connection without a word."""

    @abstractmethod
    def _put(self, frame: Frame | None) -> None:
        """Let a frame travel to the client; None closes the connection in order, after what is on its way."""

    def end(self) -> None:
        """Say farewell and close in order."""
        for frame in self._exchange.house.farewell():
            self._put(frame)
        self._put(None)
        self.is_over = True

    def _befall(self, fault: Fault, topic: str, frame: Frame) -> bool:
        """Let a fault do what it does; True when the frame itself goes no further."""
        match fault.what:
            case Wrong.SILENCE:
                self._silent_until = (
                    self._exchange.now + int(fault.seconds * SECOND_NS) if fault.seconds else NEVER
                )
            case Wrong.GAP:
                pass
            case Wrong.REORDER:
                self._held.append(frame)
            case Wrong.DISCONNECT:
                self.abort()
            case Wrong.CLOSE:
                self.end()
            case Wrong.DUPLICATE:
                self._put(frame)
                return False
            case _:
                return False
        del topic
        return True


class SocketSession(Session):
    """A connection over a real socket."""

    def __init__(self, exchange: Host, socket: web.WebSocketResponse, path: str, number: int) -> None:
        super().__init__(exchange, path, number)
        self._socket = socket
        self._queue: deque[Frame | None] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._transport: asyncio.Transport | None = None

    async def drained(self) -> None:
        """Return when every frame is on the wire, or the connection is over."""
        await self._idle.wait()

    def abort(self) -> None:
        """Break the connection without a word."""
        self.is_over = True
        self._queue.clear()
        self._idle.set()
        if self._transport is not None:
            self._transport.abort()

    async def serve(self, transport: asyncio.Transport | None) -> None:
        """Hear the client until it leaves."""
        self._transport = transport
        writer = asyncio.create_task(self._write())
        try:
            async for message in self._socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    self._exchange.catch_up()
                    if not self.is_silent:
                        self._exchange.house.hear(self, message.data)
                elif message.type is WSMsgType.PING and not self.is_silent:
                    await self._socket.pong(message.data)
        except ConnectionError:
            pass
        finally:
            self.is_over = True
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    def _put(self, frame: Frame | None) -> None:
        if len(self._queue) >= _ROOM:
            # A client that does not read is let go, as venues do.
            self.abort()
            return
        self._queue.append(frame)
        self._idle.clear()
        self._wake.set()

    async def _write(self) -> None:
        queue, socket = self._queue, self._socket
        try:
            while True:
                self._wake.clear()
                while queue:
                    frame = queue[0]
                    if frame is None:
                        await socket.close(code=WSCloseCode.GOING_AWAY)
                        return
                    if isinstance(frame, str):
                        await socket.send_str(frame)
                    else:
                        await socket.send_bytes(frame)
                    self.sent += 1
                    if queue:
                        queue.popleft()
                self._idle.set()
                await self._wake.wait()
        except ConnectionError:
            return
        finally:
            self._idle.set()
