"""The ports through which connections reach the world: a transport for bytes, a pulse for time.

Tests give a transport that scripts the venue and a pulse that they move themselves. The real ones are in `net.real`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar

from abidance.model.errors import VenueError
from abidance.venues.dialect import Endpoint, Frame

T = TypeVar("T")
NONE: Mapping[str, str] = MappingProxyType({})


class DisconnectedError(VenueError):
    """A connection could not be made, or has ended."""


class NotSentError(DisconnectedError):
    """There was no connection: not a byte of the request left."""


class Socket(Protocol):
    """One open WebSocket. Every method raises DisconnectedError once it has ended."""

    async def send(self, frame: Frame) -> None:
        """Send a frame."""
        ...

    async def receive(self) -> Frame:
        """Return the next frame; pings of the protocol are answered on the way and not returned."""
        ...

    async def close(self) -> None:
        """End the connection; a second call does nothing, and none raises."""
        ...


class Answer(NamedTuple):
    """What a venue answered to a request; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    told: Any = None
    """What whoever asked wanted to know again when the answer is read; no venue says it."""
    left_at: float = 0.0
    """When the request left, in steady seconds."""


class Departure:
    """Whether a request has left, or was stopped: `leaving` hears once that its first byte does next, and may raise."""

    def __init__(self, leaving: Callable[[], None] | None) -> None:
        self.has_left = self.is_stopped = False
        self._leaving = leaving

    def __call__(self) -> None:
        """Let the request leave, or leave again."""
        if self.has_left:
            return
        self.is_stopped = True
        if self._leaving is not None:
            self._leaving()
        self.is_stopped, self.has_left = False, True


class Transport(Protocol):
    """How bytes travel."""

    async def connect(self, endpoint: Endpoint) -> Socket:
        """Open a WebSocket. Raises DisconnectedError."""
        ...

    async def request(
        self,
        method: str,
        url: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] = NONE,
        body: bytes | None = None,
        leaving: Callable[[], None] | None = None,
    ) -> Answer:
        """Make a request; nothing is added to a `url` whose `query` is empty, for it may be signed.

        There is a connection when `leaving` is called, and a byte leaves next; if it raises, none does.
        Raises NotSentError when nothing can have left, another DisconnectedError when there is no answer.
        """
        ...


class Pulse(Protocol):
    """How time passes: two clocks and a way to wait."""

    def wall(self) -> int:
        """Return the time in ns UTC; it may be set back."""
        ...

    def steady(self) -> float:
        """Return seconds that only ever go forward."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so long."""
        ...


async def within(pulse: Pulse, seconds: float, work: Awaitable[T], what: str) -> T:
    """Return what `work` returns. Raises DisconnectedError naming `what` when it takes longer than `seconds`."""
    task = asyncio.ensure_future(work)
    alarm = asyncio.ensure_future(pulse.sleep(seconds))
    try:
        await asyncio.wait((task, alarm), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise DisconnectedError(f"{what} took longer than {seconds:g} s.", "Check the network.")
    finally:
        alarm.cancel()
        await stop(task)


async def stop(*tasks: "asyncio.Future[T]") -> None:
    """Cancel tasks and wait until they have ended, whatever they end with."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Backoff:
    """How long to wait before the next attempt: longer with each failure, never twice the same.

    `draw` returns a number in [0, 1); a connection that lasted `steady` seconds makes up for all failures before it.
    """

    draw: Callable[[], float]
    first: float = 0.5
    longest: float = 60.0
    steady: float = 60.0
    failures: int = field(default=0, init=False)

    def delay(self, lasted: float = 0.0) -> float:
        """Return how long to wait after a connection that lasted so long, in seconds."""
        if lasted >= self.steady:
            self.failures = 0
        ceiling = min(self.longest, self.first * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return ceiling * (0.5 + self.draw() / 2)
