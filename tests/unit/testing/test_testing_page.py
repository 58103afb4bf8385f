"""What docs/testing.md shows works as it stands there."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from abidance.model.market import DataKind
from abidance.testing import exchange as kit
from abidance.testing.exchange.__main__ import _account
from tests.unit.testing.exchange_stage import Client, joined

PAGE = Path(__file__).parents[3] / "docs" / "testing.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


class Reader:
    """The page's client, made of ours."""

    opened: "Reader"

    def __init__(self, client: Client) -> None:
        self._client = client

    async def has_read_everything(self) -> None:
        await self._client.snapshot()
        await self._client.settle()

    @property
    def trades(self) -> Any:
        return self._client.trades

    @property
    def bids(self) -> Any:
        return self._client.book.top(10).bids


async def test_the_first_example_runs_and_holds():
    found: dict[str, Any] = {}
    exec(BLOCKS[0], found)
    exchanges: list[kit.LocalExchange] = []

    class Opened(kit.LocalExchange):
        async def __aenter__(self) -> kit.LocalExchange:
            exchanges.append(self)
            return await super().__aenter__()

    class MyClient:
        @staticmethod
        async def connected_to(rest_url: str, stream_url: str) -> Reader:
            exchange = exchanges[0]
            assert (rest_url, stream_url) == (exchange.rest_url, exchange.stream_url)
            client = await sessions.__aenter__()
            return Reader(client)

    @asynccontextmanager
    async def reading() -> AsyncIterator[Client]:
        async with joined(exchanges[0], "BTC/USDT@BINANCE", DataKind.TRADES, DataKind.BOOK) as client:
            yield client

    sessions = reading()
    found |= {"LocalExchange": Opened, "MyClient": MyClient}

    await found["test_my_client_reads_what_was_traded"]()
    await sessions.__aexit__(None, None, None)


async def test_the_faults_that_it_shows_can_be_written_so():
    market = kit.generated("BTC/USDT@BINANCE", seed=7, start=10**18)
    async with kit.LocalExchange([market], start=10**18) as exchange, aiohttp.ClientSession() as session:
        exec(BLOCKS[1], {"exchange": exchange, "Fault": kit.Fault, "Wrong": kit.Wrong})
        url = f"{exchange.rest_url}/api/v3/klines?symbol=BTCUSDT&interval=1m"
        statuses = []
        for _ in range(4):
            async with session.get(url) as answer:
                statuses.append(answer.status)

        assert statuses == [429, 429, 429, 200]
        assert [fault.what for fault in exchange.faults.unhit()] == [kit.Wrong.GAP]


def test_every_fault_is_on_the_page():
    text = PAGE.read_text(encoding="utf-8")

    assert all(f"`{wrong.name}`" in text for wrong in kit.Wrong)


def test_the_trial_without_money_is_typed_with_the_key_that_the_exchange_prints():
    page = (PAGE.parent / "live-trading.md").read_text(encoding="utf-8")
    account = _account("BINANCE")

    assert f"printf '{account.key}\\n{account.secret}\\n' | abidance keys add BINANCE local" in page
