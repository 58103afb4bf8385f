"""The private stream of an account, kept open: log in, listen, renew the key, come back after each end."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import urlsplit

from structlog.stdlib import BoundLogger

from abidance.model.errors import JournalError, VenueError
from abidance.model.event import AccountEvent
from abidance.venues.account import KeyExpired, News, PrivateStream
from abidance.venues.dialect import Answered, Closing, Endpoint
from abidance.venues.net.transport import (
    Answer,
    Backoff,
    DisconnectedError,
    Pulse,
    Socket,
    Transport,
    stop,
    within,
)
from abidance.venues.trading.signs import Signs, unheeded
from abidance.venues.trading.wire import Wire

LONGEST = 15.0
"""Seconds between two attempts at most: while nobody tells of fills, nothing new is risked."""
_CONNECT = 10.0
_CONFIRM = 10.0
_BURST = 64


class Recording(Protocol):
    """Where it is on record what may leave."""

    @property
    def seq(self) -> int:
        """Return the number of the newest record."""
        ...

    @property
    def has_failed(self) -> bool:
        """Return True once nothing can be recorded any more: what is told from then on nobody acts upon."""
        ...

    async def done(self, seq: int) -> None:
        """Return once the record of this number is safe. Raises NotSentError when that takes too long."""
        ...


def _unnoted(_order_id: str) -> None:
    """Take no note of what leaves: after a restart it is not known then."""


class Safe:
    """A record that is always safe already."""

    seq = 0
    has_failed = False

    async def done(self, seq: int) -> None:
        """Return at once."""


@dataclass
class Way:
    """What a gateway needs of the world."""

    wire: Wire
    transport: Transport
    pulse: Pulse
    draw: Callable[[], float]
    log: BoundLogger
    stream_url: str = ""
    """Stands in for the address of the private stream."""
    record: Recording = Safe()  # noqa: RUF009 (it has no state)
    signs: Signs = unheeded
    departs: Callable[[str], None] = _unnoted
    """Hears of an order just before the first byte of its request leaves; raises NotSentError when it must not."""
    unheard: Callable[[], Iterable[AccountEvent]] = tuple
    """What was told of the account and who words orders has not heard yet."""
    tasks: set["asyncio.Task[Any]"] = field(default_factory=set)

    def spawn(self, work: Coroutine[object, object, object]) -> "asyncio.Future[None]":
        """Do something beside everything else; a failure is told and harms nobody else."""
        task = asyncio.ensure_future(self._guarded(work))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        task.add_done_callback(lambda _: work.close())  # one that ends before its first step awaits nothing
        return task

    async def _guarded(self, work: Coroutine[object, object, object]) -> None:
        try:
            await work
        except (
            VenueError,
            JournalError,
        ) as error:  # what cannot be recorded is not done; the run ends by itself
            self.log.warning("gateway_task_failed", reason=error.found)
        except Exception:
            self.log.exception("gateway_task_failed")


class PrivateLine:
    """One account's stream: `hear` takes its news, `on_up` and `on_down` (with the reason) whether it can be heard."""

    def __init__(
        self,
        stream: PrivateStream,
        way: Way,
        hear: Callable[[News], None],
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
    ) -> None:
        if way.stream_url:
            way.wire.check_stream(way.stream_url)
        self._stream = stream
        self._way = way
        self._hear = hear
        self._on_up = on_up
        self._on_down = on_down
        self._socket: Socket | None = None

    async def restart(self) -> None:
        """End the connection: it is made anew, as after any other end."""
        if self._socket is not None:
            await self._socket.close()

    async def run(self) -> None:
        """Follow the stream for ever."""
        # Who was heard for as long as the longest pause is no longer the one who could not be reached.
        pulse, backoff = self._way.pulse, Backoff(self._way.draw, longest=LONGEST, steady=LONGEST)
        while True:
            opened, reason = pulse.steady(), "it ended"
            try:
                await self._follow()
            except VenueError as error:
                reason = error.found
            except Exception as error:
                self._way.log.exception("private_stream_failed")
                reason = type(error).__name__
            self._on_down(reason)
            await pulse.sleep(backoff.delay(pulse.steady() - opened))

    async def _follow(self) -> None:
        way, stream = self._way, self._stream
        token = None if (call := stream.token()) is None else await way.wire.ask(call)
        endpoint = self._placed(stream.endpoint(token))
        way.wire.check_stream(endpoint.url)  # some venues name it in an answer
        opening = way.transport.connect(endpoint)
        socket = await within(way.pulse, _CONNECT, opening, "Connecting the private stream")
        beside: list[asyncio.Task[None]] = []
        self._socket = socket
        try:
            for frame in stream.login(way.wire.credentials, way.wire.now()):
                await socket.send(frame)
            beside += [
                asyncio.ensure_future(each) for each in (self._renew(token, socket), self._ping(socket))
            ]
            await self._read(socket)
        finally:
            self._socket = None
            await stop(*beside)
            await socket.close()

    async def _read(self, socket: Socket) -> None:
        is_up, read = not self._stream.confirms, 0
        until = self._way.pulse.steady() + _CONFIRM
        if is_up:
            self._on_up()
        while True:
            receiving = socket.receive()
            frame = await (
                receiving
                if is_up
                else within(self._way.pulse, _CONFIRM, receiving, "The answer to the login")
            )
            for news in self._stream.hear(frame):
                if isinstance(news, Answered):
                    if news.error:
                        raise DisconnectedError(f"{self._stream.venue} refused the login: {news.error}")
                    if not is_up:
                        is_up = True
                        self._on_up()
                elif isinstance(news, KeyExpired | Closing):
                    raise DisconnectedError("its key ran out, or the venue ends it")
                else:
                    self._hear(news)
            if not is_up and self._way.pulse.steady() > until:  # the answer is lost, whatever else is told
                raise DisconnectedError(f"the login was not answered within {_CONFIRM:g} s")
            read += 1
            if read % _BURST == 0:
                await asyncio.sleep(0)  # a full buffer never suspends us by itself

    async def _renew(self, token: Answer | None, socket: Socket) -> None:
        while (due := self._stream.renew(token)) is not None:
            call, seconds = due
            await self._way.pulse.sleep(seconds)
            try:
                failed = (await self._way.wire.ask(call)).status >= 400
            except VenueError:
                failed = True
            if failed:
                await socket.close()
                return

    async def _ping(self, socket: Socket) -> None:
        while (due := self._stream.ping()) is not None:
            frame, seconds = due
            await self._way.pulse.sleep(seconds)
            try:
                await socket.send(frame)
            except DisconnectedError:
                return

    def _placed(self, endpoint: Endpoint) -> Endpoint:
        """Return where to connect: at the address that stands in for the venue's, if one does.

        It may have the path already with which the venue's own address begins.
        """
        stand_in = self._way.stream_url.rstrip("/").removesuffix(self._stream.beside)
        if not stand_in:
            return endpoint
        parts = urlsplit(endpoint.url)
        rest = endpoint.url[len(f"{parts.scheme}://{parts.netloc}") :]
        return replace(endpoint, url=stand_in + rest.removeprefix(urlsplit(stand_in).path))
