"""The way to a local exchange inside one process: requests and streams without sockets, late, lost, cut and refused.

Bytes travel through `Network`, whose delays a seed decides; what befalls a request or a frame at the venue stands in
the exchange's own script of faults. Each process that trades has its own `Plug`: pulled, nothing reaches it any more,
and what it had sent arrives all the same.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from math import inf, nextafter
from random import Random
from urllib.parse import parse_qsl, urlsplit

from abidance.testing.exchange.house import Asked
from abidance.testing.exchange.server import LocalExchange
from abidance.testing.exchange.session import Session
from abidance.venues.dialect import Endpoint, Frame
from abidance.venues.net.transport import NONE, Answer, DisconnectedError, NotSentError

HEARTBEAT = 22.5
"""Seconds after which a client finds out that nobody is at the other end of a connection that stays open."""


class Network:
    """All that lies between processes and the exchange. `is_up` is whether connections can be made.

    `fast` and `slow` bound in seconds how long one way takes; `delay` may be set to let some requests travel longer.
    """

    def __init__(
        self, exchange: LocalExchange, random: Random, fast: float = 0.005, slow: float = 0.06
    ) -> None:
        self.exchange = exchange
        self.is_up = True
        self.fast = fast
        self.slow = slow
        self.delay: Callable[[str, str], tuple[float, float, int]] = lambda _method, _path: (0.0, 0.0, 1)
        """For a request's method and path: seconds more on its way, seconds more of its answer, times it arrives."""
        self.leaving: Callable[[Asked], None] = lambda _: None
        """Called with each request as its first byte leaves."""
        self.arrived: Callable[[Frame], None] = lambda _: None
        """Called with each frame that a process is handed."""
        self.answered: Callable[[Answer], None] = lambda _: None
        """Called with each answer of the venue as it begins its way back."""
        self.turned_away: Callable[[], None] = lambda: None
        """Called when somebody finds no way to the venue."""
        self._random = random
        self._sockets: list[MemorySession] = []

    def takes(self) -> float:
        """Return how long one way takes now."""
        return self._random.uniform(self.fast, self.slow)

    def cut(self) -> int:
        """Break every connection, and return how many there were."""
        found = list(self._sockets)
        for socket in found:
            socket.abort()
        return len(found)

    def admit(self, socket: "MemorySession") -> None:
        """Keep a connection in mind, so that it can be cut."""
        self._sockets.append(socket)

    def dismiss(self, socket: "MemorySession") -> None:
        """Forget a connection that has ended."""
        if socket in self._sockets:
            self._sockets.remove(socket)
        self.exchange.let_out(socket)


class MemorySession(Session):
    """One connection, as the exchange sees it; `receive`, `send` and `close` are the client's side (`Socket`)."""

    def __init__(self, network: Network, plug: "Plug", path: str, number: int) -> None:
        super().__init__(network.exchange, path, number)
        self._network = network
        self._plug = plug
        self._arrived: deque[Frame | None] = deque()
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._last = self._last_said = 0.0
        self._quiet: asyncio.TimerHandle | None = None
        network.admit(self)

    async def drained(self) -> None:
        """Return at once: no frame waits to be on its way."""

    def abort(self) -> None:
        """Break the connection without a word."""
        self.is_over = True
        self._network.dismiss(self)
        self._loop.call_soon(self._arrive, None)

    def push(self, topic: str, frame: Frame) -> None:
        """Send a frame; a client that hears nothing at all finds out in the end."""
        super().push(topic, frame)
        if self.is_silent and self._quiet is None:
            self._quiet = self._loop.call_later(HEARTBEAT, self.abort)

    def _put(self, frame: Frame | None) -> None:
        self._last = self._after(self._last)
        self._loop.call_at(self._last, self._arrive, frame)

    def _after(self, last: float) -> float:
        """Return when a frame comes that leaves now: nothing overtakes another on one connection, or is as soon."""
        return max(nextafter(last, inf), self._loop.time() + self._network.takes())

    def _arrive(self, frame: Frame | None) -> None:
        if frame is None:
            self.is_over = True
            self._network.dismiss(self)
        self._arrived.append(frame)
        self._wake.set()

    # --- the client's side

    async def send(self, frame: Frame) -> None:
        """Send a frame to the venue."""
        if self.is_over or self._plug.is_pulled:
            raise DisconnectedError("The connection ended.", "It is tried again.")
        self._last_said = self._after(self._last_said)
        self._loop.call_at(self._last_said, self._heard, frame)

    def _heard(self, frame: Frame) -> None:
        if not self.is_over and not self.is_silent:
            self._network.exchange.catch_up()
            self._network.exchange.house.hear(self, frame)

    async def receive(self) -> Frame:
        """Return the next frame."""
        while not self._arrived:
            self._wake.clear()
            await self._wake.wait()
        frame = self._arrived.popleft()
        if frame is None or self._plug.is_pulled:
            self._arrived.append(None)
            raise DisconnectedError("The connection ended.", "It is tried again.")
        self._network.arrived(frame)
        return frame

    async def close(self) -> None:
        """End the connection."""
        if not self.is_over:
            self.is_over = True
            self._network.dismiss(self)
        self._arrive(None)


class Plug:
    """One process's way out (`net.transport.Transport`), to exchanges by their hosts. Raises what the port says."""

    def __init__(self, networks: Mapping[str, Network]) -> None:
        self.is_pulled = False
        self._networks = networks

    async def connect(self, endpoint: Endpoint) -> MemorySession:
        """Open a stream."""
        parts = urlsplit(endpoint.url)
        network = self._networks[str(parts.hostname)]
        await asyncio.sleep(network.takes())
        self._check(network)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        if network.exchange.is_refused(path):
            raise DisconnectedError("No connection: 503.", "It is tried again.")
        found = network.exchange.let_in(path, lambda number: MemorySession(network, self, path, number))
        if not isinstance(found, MemorySession):
            raise DisconnectedError("No connection: 404.", "Check the address.")
        return found

    async def request(
        self,
        method: str,
        url: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] = NONE,
        body: bytes | None = None,
        leaving: Callable[[], None] | None = None,
    ) -> Answer:
        """Make a request. Once it has left it arrives, whoever still waits for its answer."""
        parts = urlsplit(url)
        network, loop = self._networks[str(parts.hostname)], asyncio.get_running_loop()
        self._check(network)
        raw = parts.query or "&".join(f"{name}={value}" for name, value in query.items())
        named = dict(parse_qsl(raw, keep_blank_values=True))
        asked = Asked(method, parts.path, named, dict(headers), body or b"", raw)
        if leaving is not None:
            leaving()
        network.leaving(asked)
        there, back, times = network.delay(method, parts.path)
        waiting: asyncio.Future[Answer | None] = loop.create_future()

        def arrive() -> None:
            answer = network.exchange.answer(asked)
            if answer is not None:
                network.answered(answer)
            if not waiting.done():
                loop.call_later(back + network.takes(), told, answer)

        def told(answer: Answer | None) -> None:
            if not waiting.done():
                waiting.set_result(answer)

        for time in range(times):
            loop.call_later(there + network.takes() * (1 + time), arrive)
        answer = await waiting
        if answer is None or self.is_pulled:
            raise DisconnectedError("No answer: the connection broke.", "It is tried again.")
        return answer._replace(headers={name.lower(): value for name, value in answer.headers.items()})

    def _check(self, network: Network) -> None:
        """Raise NotSentError where there is no way."""
        if network.is_up and not self.is_pulled:
            return
        if not self.is_pulled:
            network.turned_away()
        raise NotSentError("No connection: refused.", "It is tried again.")
