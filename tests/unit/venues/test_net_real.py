"""The real network: what an error tells, and what it must not."""

import asyncio
from collections.abc import Callable, Coroutine
from urllib.parse import quote

import pytest
import uvloop
from aiohttp import web
from aiohttp.test_utils import TestServer

from abidance.venues.dialect import Endpoint
from abidance.venues.net.real import AiohttpTransport
from abidance.venues.net.transport import Answer, DisconnectedError, NotSentError

TOKEN = quote("a-token/that+opens=the account", safe="")


async def refusal(status: int) -> str:
    """Return what is told of a stream that the other side refuses with this status."""

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status, text="no")

    app = web.Application()
    app.router.add_get("/ws", refuse)
    async with TestServer(app) as server, AiohttpTransport(heartbeat=0) as transport:
        with pytest.raises(DisconnectedError) as told:
            await transport.connect(Endpoint(f"{server.make_url('/ws')}?token={TOKEN}&listenKey={TOKEN}"))
    return str(told.value)


@pytest.mark.parametrize("status", [200, 401, 503])
def test_the_query_of_an_address_is_in_no_error(status: int) -> None:
    told = asyncio.run(refusal(status))

    assert "/ws?…" in told
    assert "token" not in told.lower()
    assert "account" not in told


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_stream_that_leads_elsewhere_is_not_followed(status: int) -> None:
    async def led() -> tuple[str, list[str]]:
        asked: list[str] = []

        async def elsewhere(request: web.Request) -> web.WebSocketResponse:
            asked.append(request.path)
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            return socket

        async def leads(_: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Location": str(other.make_url("/there"))})

        there, here = web.Application(), web.Application()
        there.router.add_get("/there", elsewhere)
        here.router.add_get("/ws", leads)
        async with (
            TestServer(there) as other,
            TestServer(here) as server,
            AiohttpTransport(heartbeat=0) as transport,
        ):
            with pytest.raises(DisconnectedError) as told:
                await transport.connect(Endpoint(str(server.make_url("/ws"))))
            return str(told.value), asked

    told, asked = asyncio.run(led())

    assert f"leads elsewhere (HTTP {status})" in told
    assert asked == []


class Listener:
    """A port at which every byte is noted with whether its sender had said that it leaves."""

    def __init__(self) -> None:
        self.has_said = False
        self.heard: list[bool] = []
        self.connections = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while head := await reader.readline():
            self.heard.append(self.has_said)
            length = 0
            while (line := await reader.readline()).strip():
                name, _, value = line.decode().partition(":")
                length = int(value) if name.lower() == "content-length" else length
            assert head.startswith(b"POST /order")
            await reader.readexactly(length)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()


async def posted(listener: Listener, port: int, transport: AiohttpTransport, body: bytes | None) -> Answer:
    """Send a request that says when it leaves."""
    listener.has_said = False

    def leaving() -> None:
        listener.has_said = True

    return await transport.request(
        "POST", f"http://127.0.0.1:{port}/order", {}, {"Accept": "*/*"}, body, leaving
    )


@pytest.mark.parametrize("body", [None, b"quantity=1", b"x" * 1_000_000], ids=["none", "short", "long"])
@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_request_says_that_it_leaves_before_its_first_byte_and_once_it_has_a_connection(
    runner: Callable[[Coroutine[None, None, None]], None], body: bytes | None
) -> None:
    async def played() -> None:
        listener = Listener()
        server = await asyncio.start_server(listener.take, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with AiohttpTransport(heartbeat=0) as transport:
            for _ in range(3):  # by a new connection, then by the one that stands
                assert (await posted(listener, port, transport, body)).status == 200
            server.close()
        assert (listener.heard, listener.connections) == ([True] * 3, 1)

    runner(played())


async def test_a_request_that_is_stopped_as_it_leaves_sends_no_byte_and_harms_none_after_it() -> None:
    listener = Listener()
    server = await asyncio.start_server(listener.take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    def stopped() -> None:
        raise NotSentError("it was taken back before it left", "Send another one.")

    async with AiohttpTransport(heartbeat=0) as transport:
        where = f"http://127.0.0.1:{port}/order"
        for _ in range(2):
            with pytest.raises(NotSentError, match="taken back"):
                await transport.request("POST", where, {}, {"Accept": "*/*"}, b"quantity=1", stopped)
        assert listener.heard == []
        assert (await posted(listener, port, transport, b"quantity=1")).status == 200
        quiet = await transport.request("POST", where, {}, {"Accept": "*/*"}, b"quantity=1")
        server.close()
    assert (quiet.status, listener.heard) == (200, [True, True])


async def test_nothing_leaves_where_there_is_no_connection() -> None:
    said = list[None]()
    server = await asyncio.start_server(Listener().take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()

    async with AiohttpTransport(heartbeat=0) as transport:
        with pytest.raises(NotSentError):
            await transport.request(
                "POST", f"http://127.0.0.1:{port}/order", {}, {}, b"", lambda: said.append(None)
            )

    assert said == []


class Breaking(Listener):
    """A port that ends a connection on which a second request comes, and then listens no more."""

    def __init__(self) -> None:
        super().__init__()
        self.server: asyncio.Server | None = None

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        for is_last in (False, True):
            await reader.readuntil(b"\r\n\r\n")
            self.heard.append(self.has_said)
            if is_last:
                assert self.server is not None
                self.server.close()
                writer.close()
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


async def test_what_has_left_is_not_told_as_unsent_though_a_second_attempt_finds_no_connection() -> None:
    said = list[None]()
    breaking = Breaking()
    breaking.server = await asyncio.start_server(breaking.take, "127.0.0.1", 0)
    where = f"http://127.0.0.1:{breaking.server.sockets[0].getsockname()[1]}/order"

    async with AiohttpTransport(heartbeat=0) as transport:
        await transport.request("PUT", where, {}, {"Accept": "*/*"}, None, lambda: said.append(None))
        with pytest.raises(DisconnectedError) as told:
            await transport.request("PUT", where, {}, {"Accept": "*/*"}, None, lambda: said.append(None))

    assert not isinstance(told.value, NotSentError)
    assert (len(breaking.heard), len(said)) == (2, 2)
