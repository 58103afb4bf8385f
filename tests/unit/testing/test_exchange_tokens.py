"""Keys and tokens of private streams end as venues say: after their time, unless they are kept alive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest

from abidance.testing.exchange import LocalExchange
from tests.unit.testing.test_exchange_accounts import D, trading

HOUR, DAY = 3_600, 86_400
CONTRACT, MEXC, KUCOIN, KRAKEN = (
    "BTC/USDT:USDT@BINANCE",
    "BTC/USDT@MEXC",
    "BTC/USDT@KUCOIN",
    "BTC/USDT@KRAKEN",
)
CHANNEL = "spot@private.orders.v3.api.pb"


class Heard:
    """One connection to a stream of an account, and all that was told on it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.frames: list[str | bytes] = []
        self.socket = socket
        self._reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            self.frames.append(message.data)

    async def has(self, word: str) -> bool:
        """Say whether a frame with a word has come; what crosses a socket takes its time."""
        for _ in range(100):
            if any(word.encode() in (f.encode() if isinstance(f, str) else f) for f in self.frames):
                return True
            await asyncio.sleep(0.002)
        return False


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Heard]:
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        yield Heard(socket)


def pays(exchange: LocalExchange, amount: int) -> None:
    """Let the account's balance change, so that its streams have something to tell."""
    exchange.desk.transfer(exchange.desk.accounts["a-key"], "USDT", D(amount), exchange.now)


class Keyed:
    """A venue with listen keys: how one is asked for, kept alive and used."""

    def __init__(self, client: Any, exchange: LocalExchange) -> None:
        self._client, self._exchange = client, exchange
        self.is_mexc = client.id == "mexc"

    async def key(self) -> str:
        ask = (
            self._client.spotPrivatePostUserDataStream
            if self.is_mexc
            else self._client.fapiPrivatePostListenKey
        )
        return str((await ask())["listenKey"])

    async def keep(self, key: str) -> None:
        if self.is_mexc:
            await self._client.spotPrivatePutUserDataStream({"listenKey": key})
        else:
            await self._client.fapiPrivatePutListenKey()

    def address(self, key: str) -> str:
        way = f"/ws?listenKey={key}" if self.is_mexc else f"/private/ws/{key}"
        return self._exchange.stream_url + way

    async def listen(self, heard: Heard) -> None:
        if self.is_mexc:
            names = [CHANNEL, "spot@private.account.v3.api.pb"]
            await heard.socket.send_json({"method": "SUBSCRIPTION", "params": names})
            assert await heard.has("spot@private.account")


OVER = {CONTRACT: "listenKeyExpired", MEXC: "Invalid listen key"}
TOLD = {CONTRACT: "ACCOUNT_UPDATE", MEXC: "USDT"}


@pytest.mark.parametrize("id", OVER)
async def test_a_listen_key_that_nobody_keeps_alive_ends_after_an_hour_and_says_so(id: str) -> None:
    async with trading(id, pace=0.01) as (exchange, _, client, _):
        venue = Keyed(client, exchange)
        key = await venue.key()
        async with connected(venue.address(key)) as heard:
            await venue.listen(heard)
            await exchange.advance(HOUR - 5)
            pays(exchange, 1)
            was_told, was_over = await heard.has(TOLD[id]), await heard.has(OVER[id])
            await exchange.advance(10)
            ended = await heard.has(OVER[id])
            before = len(heard.frames)
            pays(exchange, 2)
            await exchange.advance(1)
            await asyncio.sleep(0.02)
            more = heard.frames[before:]

        with pytest.raises(Exception, match=r"listenKey|700008"):
            await venue.keep(key)
        assert (was_told, was_over, ended) == (True, False, True)
        assert more == []
        assert await venue.key() != key  # another one, and with it the stream goes on
        assert not exchange.house.accepts(f"/private/ws/{key}") or venue.is_mexc


@pytest.mark.parametrize("id", OVER)
async def test_a_listen_key_that_is_kept_alive_lasts_another_hour_from_then(id: str) -> None:
    async with trading(id, pace=0.01) as (exchange, _, client, _):
        venue = Keyed(client, exchange)
        key = await venue.key()
        async with connected(venue.address(key)) as heard:
            await venue.listen(heard)
            for _ in range(3):
                await exchange.advance(HOUR - 5)
                await venue.keep(key)
            pays(exchange, 1)
            was_told = await heard.has(TOLD[id])
            await exchange.advance(HOUR - 5)
            was_over = await heard.has(OVER[id])
            await exchange.advance(10)
            ended = await heard.has(OVER[id])

    assert (was_told, was_over, ended) == (True, False, True)


async def test_kucoins_token_of_an_account_lets_in_for_a_day() -> None:
    async with trading(KUCOIN, pace=0.01) as (exchange, _, client, _), aiohttp.ClientSession() as session:
        token = (await client.privatePostBulletPrivate())["data"]["token"]
        entrance = f"{exchange.stream_url}/endpoint?token={token}"
        await exchange.advance(DAY - 10)
        async with session.ws_connect(entrance) as socket:
            welcome = msgspec.json.decode(await socket.receive_str(timeout=5))
        await exchange.advance(10)

        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(entrance)

    assert welcome["type"] == "welcome"


async def test_krakens_token_is_to_be_used_within_a_quarter_of_an_hour_and_then_lasts() -> None:
    async with trading(KRAKEN, pace=0.01) as (exchange, _, client, _):
        token = (await client.private_post_getwebsocketstoken())["result"]["token"]
        asked = {"method": "subscribe", "params": {"channel": "balances", "token": token}}
        async with (
            connected(f"{exchange.stream_url}/v2") as used,
            connected(f"{exchange.stream_url}/v2") as late,
        ):
            await exchange.advance(895)
            await used.socket.send_json(asked)
            is_in = await used.has('"success":true')
            await exchange.advance(10)
            await late.socket.send_json(asked)
            is_refused = await late.has("ESession:Invalid session")
            seen = len(used.frames)
            pays(exchange, 1)
            for _ in range(100):
                if any("deposit" in str(each) for each in used.frames[seen:]):
                    break
                await asyncio.sleep(0.002)
            still = [each for each in used.frames[seen:] if "deposit" in str(each)]

    assert (is_in, is_refused) == (True, True)
    assert len(still) == 1
