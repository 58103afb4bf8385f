"""The real world behind the ports of `net.transport`: aiohttp and the machine's clocks."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar

import aiohttp
from yarl import URL

from abidance.venues.dialect import Endpoint, Frame
from abidance.venues.net.transport import NONE, Answer, Departure, DisconnectedError, NotSentError

_LARGEST_FRAME = 1 << 24
_LARGEST_BODY = 1 << 26
_PATIENCE = aiohttp.ClientTimeout(total=30, connect=10)
_QUERY = re.compile(r"\?[^'\s]*=[^'\s]*")
_NETWORK = "Check the network; it is tried again."
_DEPARTURE: ContextVar[Departure | None] = ContextVar("departure", default=None)


class RealPulse:
    """The machine's clocks."""

    def wall(self) -> int:
        """Return the time in ns UTC."""
        return time.time_ns()

    def steady(self) -> float:
        """Return seconds that only ever go forward."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after so long."""
        await asyncio.sleep(seconds)


class AiohttpSocket:
    """A WebSocket of aiohttp; text is left as bytes, which decoders read faster."""

    def __init__(self, inner: "aiohttp.ClientWebSocketResponse[bool]") -> None:
        self._inner = inner

    async def send(self, frame: Frame) -> None:
        """Send a frame: str as text, bytes as binary."""
        try:
            if isinstance(frame, str):
                await self._inner.send_str(frame)
            else:
                await self._inner.send_bytes(frame)
        except (aiohttp.ClientError, ConnectionError) as error:
            raise _ended(error) from error

    async def receive(self) -> Frame:
        """Return the next frame."""
        message = await self._inner.receive()
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            data: Frame = message.data
            return data
        reason = message.data if message.type is aiohttp.WSMsgType.ERROR else self._inner.close_code
        raise _ended(reason or self._inner.exception() or "no reason given")

    async def close(self) -> None:
        """End the connection."""
        try:
            await self._inner.close()
        except (aiohttp.ClientError, OSError):
            return


class _Request(aiohttp.ClientRequest):
    """A request that tells when it leaves: once its connection stands, and before its first byte is written."""

    async def send(self, conn: "aiohttp.connector.Connection") -> aiohttp.ClientResponse:
        """Write the request."""
        if (departure := _DEPARTURE.get()) is not None:
            departure()
        return await super().send(conn)


async def _stay(_: object, __: object, told: aiohttp.TraceRequestRedirectParams) -> None:
    """Follow no redirect of a stream: what logs in there would be told to whoever it leads to."""
    if "Sec-WebSocket-Key" in told.headers:
        raise DisconnectedError(f"No connection: it leads elsewhere (HTTP {told.response.status}).", _NETWORK)


class AiohttpTransport:
    """Connections and requests over one aiohttp session; enter it before use, within a running loop.

    Every `heartbeat` seconds (0 = never) the other side must answer a ping of the protocol.
    """

    def __init__(self, heartbeat: float = 15.0) -> None:
        self._heartbeat = heartbeat
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "AiohttpTransport":
        tracing = aiohttp.TraceConfig()
        tracing.on_request_redirect.append(_stay)
        self._session = aiohttp.ClientSession(
            timeout=_PATIENCE,
            headers={"User-Agent": "abidance"},
            trace_configs=[tracing],
            request_class=_Request,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def connect(self, endpoint: Endpoint) -> AiohttpSocket:
        """Open a WebSocket that is closed when the other side stops answering the protocol's pings."""
        assert self._session is not None
        try:
            inner = await self._session.ws_connect(
                endpoint.url,
                headers=dict(endpoint.headers),
                heartbeat=self._heartbeat or None,
                max_msg_size=_LARGEST_FRAME,
                timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
                decode_text=False,
            )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise DisconnectedError(f"No connection: {_told(error)}.", _NETWORK) from error
        return AiohttpSocket(inner)

    async def request(
        self,
        method: str,
        url: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] = NONE,
        body: bytes | None = None,
        leaving: Callable[[], None] | None = None,
    ) -> Answer:
        """Make a request; bodies of answers beyond 64 MB are refused."""
        assert self._session is not None
        # What is signed is sent as it was signed, and to nobody else.
        where, params = URL(url, encoded=True), dict(query) or None
        departure = Departure(leaving)
        before = _DEPARTURE.set(departure)
        try:
            async with self._session.request(
                method, where, params=params, headers=dict(headers), data=body, allow_redirects=not headers
            ) as response:
                found = bytearray()
                async for chunk in response.content.iter_chunked(1 << 16):
                    found += chunk
                    if len(found) > _LARGEST_BODY:
                        raise DisconnectedError("The answer is longer than 64 MB.", "Report it.")
                named = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, named, bytes(found))
        except aiohttp.ClientConnectorError as error:
            kind = DisconnectedError if departure.has_left else NotSentError  # aiohttp may have tried twice
            raise kind(f"No connection: {_told(error)}.", _NETWORK) from error
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise DisconnectedError(f"No answer: {_told(error)}.", _NETWORK) from error
        finally:
            _DEPARTURE.reset(before)


def _told(error: object) -> str:
    """Return what an error says, less the queries of addresses: they may bear what opens an account."""
    return _QUERY.sub("?…", str(error)) or type(error).__name__


def _ended(reason: object) -> DisconnectedError:
    return DisconnectedError(f"The connection ended ({_told(reason)}).", _NETWORK)
