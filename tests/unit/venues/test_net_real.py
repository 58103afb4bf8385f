"""The real network: what an error tells, and what it must not."""

import asyncio
from urllib.parse import quote

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from abidance.venues.dialect import Endpoint
from abidance.venues.net.real import AiohttpTransport
from abidance.venues.net.transport import DisconnectedError

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
