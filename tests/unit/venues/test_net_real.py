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
