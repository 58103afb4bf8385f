"""ccxt behind the port of a socket: a scripted exchange in place of ccxt's own."""

import asyncio
import subprocess
import sys
from collections import deque
from typing import Any

import pytest

from abidance.kernel.log import logger
from abidance.model.errors import UsageError
from abidance.model.market import Bar, BarUpdate, BookDelta, DataKind, FeedStatus, MarkPrice, Quote, Trade
from abidance.venues.ccxt.dialect import CcxtDialect
from abidance.venues.ccxt.loading import exchange_class, streamed_venues
from abidance.venues.ccxt.socket import CcxtSocket, CcxtTransport
from abidance.venues.dialect import Answered, Channel, Decoded, Dropped, Endpoint
from abidance.venues.dialects import dialect_of
from abidance.venues.net.budget import Budgets
from abidance.venues.net.feed import LiveFeed
from abidance.venues.net.line import World
from abidance.venues.net.rest import Rest
from abidance.venues.net.transport import Answer, DisconnectedError, Socket
from tests.unit.venues.net_world import HandPulse, wanted
from tests.unit.venues.wire import traded

SPOT, SWAP = "BTC/USDT@OKX", "BTC/USDT:USDT@OKX"
MS = 1_000_000


class ExchangeError(Exception):
    """Stands for ccxt's error of the same name."""


class Script:
    """What ccxt's exchange would answer, call by call; when nothing is left, it waits for ever."""

    id = "okx"

    def __init__(self, **answers: list[Any]) -> None:
        self.has = {"watchTrades": True, "watchOrderBook": True, "watchOHLCV": True, "watchFundingRate": True}
        self.markets = {
            "BTC/USDT": {"contractSize": None},
            "BTC/USDT:USDT": {"contractSize": 0.01, "inverse": False},
            "BTC/USD:BTC": {"contractSize": 100.0, "inverse": True},
        }
        self.answers = {name: deque(each) for name, each in answers.items()}
        self.is_closed = False

    async def answer(self, name: str) -> Any:
        waiting = self.answers.get(name)
        if not waiting:
            await asyncio.Event().wait()
        assert waiting is not None
        found = waiting.popleft()
        if isinstance(found, Exception):
            raise found
        return found

    async def watch_trades(self, symbol: str) -> Any:
        return await self.answer("trades")

    async def watch_order_book(self, symbol: str) -> Any:
        return await self.answer("book")

    async def watch_ohlcv(self, symbol: str, timeframe: str) -> Any:
        return await self.answer("bars")

    async def watch_funding_rate(self, symbol: str) -> Any:
        return await self.answer("mark")

    async def close(self) -> None:
        self.is_closed = True


async def heard(exchange: Script, channel: Channel, count: int) -> list[Decoded]:
    """Subscribe to a channel and return the first values that come after the answer."""
    dialect, socket = CcxtDialect("OKX"), CcxtSocket(exchange)
    decoder = dialect.decoder([traded(SPOT), traded(SWAP)])
    for frame in dialect.subscribe([channel], 4):
        await socket.send(frame)
    found: list[Decoded] = []
    while len(found) < count + 1:
        found += decoder.decode(await asyncio.wait_for(socket.receive(), 5))
    await socket.close()
    assert found[0] == Answered(4)
    return found[1:]


async def test_trades_of_contracts_are_told_in_the_base_coin() -> None:
    told = [{"id": "7", "timestamp": 5, "price": 100.5, "amount": 300.0, "side": "sell"}]

    found = await heard(Script(trades=[told]), Channel(SWAP, DataKind.TRADES), 1)

    assert found == [Trade(5 * MS, SWAP, 100.5, 3.0, buyer_is_taker=False, id="7")]


async def test_a_book_comes_whole_and_cut_to_the_depth_that_was_asked_for() -> None:
    told = {"bids": [[99.0, 1.0], [98.0, 2.0], [97.0, 3.0]], "asks": [[101.0, 4.0]], "timestamp": None}

    found = await heard(Script(book=[told]), Channel(SPOT, DataKind.BOOK, depth=2), 1)

    assert found == [BookDelta(0, SPOT, [(99.0, 1.0), (98.0, 2.0)], [(101.0, 4.0)], is_snapshot=True)]


async def test_a_quote_is_the_top_of_the_book() -> None:
    told = {"bids": [[99.0, 1.0], [98.0, 2.0]], "asks": [[101.0, 4.0]], "timestamp": 6}
    empty = {"bids": [], "asks": [[101.0, 4.0]], "timestamp": 6}

    found = await heard(Script(book=[told, empty]), Channel(SPOT, DataKind.QUOTES), 2)

    assert found[0] == Quote(6 * MS, SPOT, 99.0, 1.0, 101.0, 4.0)
    assert isinstance(found[1], Dropped)


async def test_a_bar_closes_when_the_next_one_begins() -> None:
    bars = [
        [[60_000, 1.0, 2.0, 0.5, 1.5, 10.0]],
        [[60_000, 1.0, 3.0, 0.5, 2.5, 20.0], [120_000, 2.5, 2.5, 2.5, 2.5, 0.0]],
    ]

    found = await heard(Script(bars=bars), Channel(SPOT, DataKind.BARS, "1m"), 4)

    closed = [each.bar for each in found if isinstance(each, BarUpdate) and each.is_closed]
    assert closed == [Bar(SPOT, "1m", 60_000 * MS, 1.0, 3.0, 0.5, 2.5, 20.0)]


async def test_a_funding_rate_comes_with_its_mark_price() -> None:
    told = {
        "timestamp": 5,
        "markPrice": 100.0,
        "indexPrice": None,
        "fundingRate": 0.0001,
        "fundingTimestamp": 28_800_000,
    }

    (found,) = await heard(Script(mark=[told]), Channel(SWAP, DataKind.MARK), 1)

    assert isinstance(found, MarkPrice)
    assert (found.mark, found.rate, found.ts_funding) == (100.0, 0.0001, 28_800_000 * MS)


async def test_what_ccxt_makes_up_is_dropped() -> None:
    told = [
        [{"id": None, "timestamp": None, "price": 1.0, "amount": 1.0, "side": "buy"}],
        [{"id": "1", "timestamp": 5, "price": float("nan"), "amount": 1.0, "side": "buy"}],
        [{"id": "1", "timestamp": 5, "price": 1.0, "amount": None, "side": "buy"}],
        [{"id": "1", "timestamp": 5, "price": 1.0, "amount": 1.0, "side": None}],
    ]

    found = await heard(Script(trades=told), Channel(SPOT, DataKind.TRADES), 4)

    assert [type(each) for each in found] == [Dropped] * 4


@pytest.mark.parametrize(
    ("channel", "reason"),
    [
        (Channel("ABC/USDT@OKX", DataKind.TRADES), "okx has no market ABC/USDT."),
        (Channel("BTC/USD:BTC@OKX", DataKind.TRADES), "another coin"),
        (Channel(SPOT, DataKind.MARK), "streams no mark"),
    ],
)
async def test_what_cannot_be_followed_is_refused(channel: Channel, reason: str) -> None:
    exchange = Script()
    exchange.has["watchFundingRate"] = False
    socket, dialect = CcxtSocket(exchange), CcxtDialect("OKX")

    for frame in dialect.subscribe([channel], 9):
        await socket.send(frame)
    (found,) = dialect.decoder([]).decode(await socket.receive())

    assert isinstance(found, Answered)
    assert found.request == 9
    assert reason in found.error


async def test_a_venue_that_changes_its_mind_refuses_the_topic() -> None:
    found = await heard(Script(trades=[ExchangeError("halted")]), Channel(SPOT, DataKind.TRADES), 1)

    topic = CcxtDialect("OKX").topic(Channel(SPOT, DataKind.TRADES))
    assert found == [Answered(-1, "ccxt lost BTC/USDT: ExchangeError halted.", (topic,))]


async def test_a_lost_network_ends_the_connection_and_closes_ccxt() -> None:
    exchange = Script(trades=[ConnectionError("reset")])
    socket = CcxtSocket(exchange)
    for frame in CcxtDialect("OKX").subscribe([Channel(SPOT, DataKind.TRADES)], 1):
        await socket.send(frame)
    await socket.receive()

    with pytest.raises(DisconnectedError, match="ConnectionError reset"):
        await socket.receive()

    assert exchange.is_closed
    with pytest.raises(DisconnectedError):
        await socket.receive()
    with pytest.raises(DisconnectedError):
        await socket.send(b'{"request":1,"channels":[]}')


async def test_a_channel_that_was_given_up_is_not_followed_any_longer() -> None:
    exchange, dialect = Script(), CcxtDialect("OKX")
    socket, channel = CcxtSocket(exchange), Channel(SPOT, DataKind.TRADES)
    for frame in (*dialect.subscribe([channel], 1), *dialect.unsubscribe([channel], 2)):
        await socket.send(frame)

    answers = [dialect.decoder([]).decode(await socket.receive()) for _ in range(2)]

    assert answers == [(Answered(1),), (Answered(2),)]
    assert not socket._tasks


class Elsewhere:
    """A transport that notes what it was asked for."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    async def connect(self, endpoint: Endpoint) -> Socket:
        self.opened.append(endpoint.url)
        raise DisconnectedError("No.")

    async def request(self, method: str, url: str, query: object, *signed: object) -> Answer:
        return Answer(200, {}, b"")


async def test_the_transport_leaves_other_addresses_to_the_one_within() -> None:
    elsewhere = Elsewhere()

    async def make(venue: str) -> Script:
        assert venue == "okx"
        return Script()

    transport = CcxtTransport(elsewhere, make)
    opened = await transport.connect(Endpoint("ccxt://okx"))
    with pytest.raises(DisconnectedError):
        await transport.connect(Endpoint("wss://elsewhere"))

    assert isinstance(opened, CcxtSocket)
    assert elsewhere.opened == ["wss://elsewhere"]


async def test_a_venue_that_cannot_be_reached_is_a_lost_connection() -> None:
    async def make(venue: str) -> Script:
        raise TimeoutError("no answer")

    with pytest.raises(DisconnectedError, match="ccxt reaches no okx: TimeoutError no answer"):
        await CcxtTransport(Elsewhere(), make).connect(Endpoint("ccxt://okx"))


async def test_a_live_feed_certifies_what_comes_through_ccxt_and_begins_anew_when_it_is_lost() -> None:
    pulse = HandPulse()
    made: list[Script] = []
    told = {"bids": [[99.0, 1.0]], "asks": [[101.0, 4.0]], "timestamp": None}

    async def make(venue: str) -> Script:
        made.append(Script(book=[told, ConnectionError("reset")] if not made else [told]))
        return made[-1]

    world = World(CcxtTransport(Elsewhere(), make), pulse, Budgets(pulse), lambda: 0.5, logger("test"))
    rest = Rest("", world.transport, world.budgets, pulse)
    feed = LiveFeed(wanted(DataKind.QUOTES, instruments=[traded(SPOT)]), dialect_of, lambda _: rest, world)
    running = asyncio.ensure_future(feed.run())

    await pulse.advance(40)

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    events = []
    while (event := feed.next()) is not None:
        events.append(event)
    states = [event.state.value for event in events if isinstance(event, FeedStatus)]
    quotes = [event for event in events if isinstance(event, Quote)]
    assert states[:4] == ["stale", "certified", "stale", "certified"]
    assert {(each.bid, each.ask) for each in quotes} == {(99.0, 101.0)}
    assert [each.is_closed for each in made] == [True] * len(made)


def test_only_the_wanted_venue_of_ccxt_is_loaded() -> None:
    program = """
import sys
from abidance.venues.ccxt.loading import exchange_class
found = exchange_class("okx", streaming=True)
venues = [name for name in sys.modules if name.startswith(("ccxt.pro.", "ccxt.async_support.")) and name.count(".") == 2]
import ccxt
assert issubclass(found, ccxt.async_support.Exchange)
assert ccxt.pro.okx is found
assert ccxt.pro.kraken.__name__ == "kraken"
assert issubclass(ccxt.BadSymbol, ccxt.ExchangeError)
print(len(venues), ccxt.__version__ != "")
"""

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    venues, has_version = done.stdout.split()
    assert int(venues) <= 4
    assert has_version == "True"


def test_a_venue_that_ccxt_does_not_know_is_refused() -> None:
    assert "okx" in streamed_venues()

    with pytest.raises(UsageError, match="ccxt knows no venue 'nowhere'"):
        exchange_class("nowhere", streaming=True)
