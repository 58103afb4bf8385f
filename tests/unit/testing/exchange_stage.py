"""A local exchange with one market, and a client made of our own dialect that keeps all it is told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from abidance.market.book import OrderBook, Taken
from abidance.market.reference import instrument
from abidance.model.instrument import MS_NS, SECOND_NS
from abidance.model.market import BarUpdate, BookDelta, DataKind, MarkPrice, Quote, Trade
from abidance.testing.exchange import Account, Fault, Faults, LocalExchange, Market, generated
from abidance.venues.ccxt.loading import exchange_class
from abidance.venues.dialect import Channel, Decoded, Dialect, Dropped
from abidance.venues.dialects import dialect_of

START = 1_700_000_000 * SECOND_NS
SPOKEN = (
    "BTC/USDT@BINANCE",
    "BTC/USDT:USDT@BINANCE",
    "BTC/USDT@BYBIT",
    "BTC/USDT:USDT@BYBIT",
    "BTC/USDT@KRAKEN",
    "BTC/USDT@KUCOIN",
    "BTC/USDT@MEXC",
)


def market(id: str, seed: int = 7, pace: float = 50.0, past_seconds: int = 7200) -> Market:
    return generated(id, seed, START, pace=pace, past_seconds=past_seconds)


@asynccontextmanager
async def trader(
    exchange: LocalExchange, owner: Account, venue: str, options: Mapping[str, object]
) -> AsyncIterator[Any]:
    """Open a client of ccxt that trades for an account by the exchange's clock."""
    client = exchange_class(venue, streaming=True)(
        {
            "apiKey": owner.key,
            "secret": owner.secret,
            "password": owner.passphrase,
            "enableRateLimit": False,
            "timeout_on_exit": 0,
            "options": dict(options),
        }
    )
    client.urls["api"] = exchange.redirect(client.urls["api"])
    client.milliseconds = lambda: exchange.now // MS_NS
    try:
        await client.load_markets()
        await exchange.advance(2)
        yield client
    finally:
        await client.close()


class Client:
    """Everything one reader of one market was told, sorted by what it is."""

    def __init__(self, exchange: LocalExchange, session: aiohttp.ClientSession, id: str) -> None:
        self.exchange = exchange
        self.instrument = instrument(id)
        self.dialect: Dialect = exchange.point(dialect_of(self.instrument))
        self.book = OrderBook(self.instrument, self.dialect.books, self.dialect.books.depth_for(10))
        self.trades: list[Trade] = []
        self.quotes: list[Quote] = []
        self.bars: list[BarUpdate] = []
        self.marks: list[MarkPrice] = []
        self.taken: list[Taken] = []
        self.dropped: list[Dropped] = []
        self.other: list[Decoded] = []
        self.raw: list[bytes | str] = []
        self.closed: list[int | None] = []
        self._session = session
        self._pumps: list[asyncio.Task[None]] = []
        self._sockets: list[aiohttp.ClientWebSocketResponse] = []

    async def fetch(self, method: str, path: str, query: Mapping[str, str]) -> bytes:
        async with self._session.request(method, self.exchange.rest_url + path, params=dict(query)) as answer:
            return await answer.read()

    async def listen(self, *kinds: DataKind) -> None:
        routes: dict[str, list[Channel]] = {}
        for kind in kinds or sorted(self.dialect.kinds):
            timeframe = "1m" if kind is DataKind.BARS else ""
            depth = 10 if kind is DataKind.BOOK else 0
            channel = Channel(self.instrument.id, kind, timeframe, depth)
            routes.setdefault(self.dialect.route(channel), []).append(channel)
        for route, channels in routes.items():
            endpoint = await self.dialect.endpoint(self.fetch, route)
            socket = await self._session.ws_connect(endpoint.url)
            self._sockets.append(socket)
            self._pumps.append(asyncio.create_task(self._pump(socket)))
            for frame in self.dialect.subscribe(channels, 1):
                await socket.send_str(str(frame))
        await self.until(lambda: self._lines() >= len(routes))

    async def snapshot(self) -> None:
        if not self.dialect.books.snapshot_in_stream:
            channel = Channel(self.instrument.id, DataKind.BOOK)
            self.taken.append(self.book.apply(await self.dialect.snapshot(self.fetch, channel)))

    async def until(self, happened: Callable[[], object], seconds: float = 10.0) -> None:
        """Return once something is so; what crosses a socket takes its time."""
        async with asyncio.timeout(seconds):
            while not happened():  # noqa: ASYNC110 (there is no event to wait for: the condition is the test's)
                await asyncio.sleep(0.001)

    async def settle(self) -> None:
        """Return when everything that was sent has been read; there must be no other client."""
        await self.exchange.drain()
        sent = sum(session.sent for session in self.exchange.sessions)
        await self.until(lambda: len(self.raw) >= sent)

    async def heard(self, truth: Market) -> None:
        """Return when the newest trade, and the ladder if there is one, have been read."""
        await self.until(lambda: self.trades[-1:] == truth.trades()[-1:])
        if self.book.is_whole:
            await self.until(lambda: self.book.top(10).asks == truth.ladder(10).asks)
            await self.until(lambda: self.book.top(10).bids == truth.ladder(10).bids)

    def _lines(self) -> int:
        answers = [each for each in self.other if type(each).__name__ == "Answered"]
        return len(answers)

    async def _pump(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        decoder = self.dialect.decoder([self.instrument])
        async for message in socket:
            self.raw.append(message.data)
            for each in decoder.decode(message.data):
                self._take(each)
        self.closed.append(socket.close_code)

    def _take(self, each: Decoded) -> None:
        match each:
            case Trade():
                self.trades.append(each)
            case Quote():
                self.quotes.append(each)
            case BookDelta():
                self.taken.append(self.book.apply(each))
            case BarUpdate():
                self.bars.append(each)
            case MarkPrice():
                self.marks.append(each)
            case Dropped():
                self.dropped.append(each)
            case _:
                self.other.append(each)

    async def leave(self) -> None:
        for socket in self._sockets:
            await socket.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)


@asynccontextmanager
async def joined(exchange: LocalExchange, id: str, *kinds: DataKind) -> AsyncIterator[Client]:
    """Open one more reader."""
    async with aiohttp.ClientSession() as session:
        client = Client(exchange, session, id)
        try:
            await client.listen(*kinds)
            yield client
        finally:
            await client.leave()


@asynccontextmanager
async def connected(
    id: str, *kinds: DataKind, faults: Sequence[Fault] = (), seed: int = 7, pace: float = 50.0
) -> AsyncIterator[tuple[LocalExchange, Market, Client]]:
    """Open an exchange of one market with one reader of some kinds of data (none named: all)."""
    played = market(id, seed, pace)
    async with (
        LocalExchange([played], start=START, faults=Faults(faults)) as exchange,
        joined(exchange, id, *kinds) as client,
    ):
        yield exchange, played, client
