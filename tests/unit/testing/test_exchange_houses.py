"""Our own decoders read from the local exchange exactly what happened on it."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.market.reference import instrument
from abidance.model.errors import UsageError
from abidance.model.instrument import timeframe_ns
from abidance.model.market import DataKind
from abidance.testing.exchange import LocalExchange, Market
from abidance.testing.exchange.desk import Desk
from abidance.testing.exchange.house import Asked, Refusal
from abidance.testing.exchange.houses import house_of
from abidance.venues.dialect import Answered, Channel
from tests.unit.testing.exchange_stage import SPOKEN, START, connected, joined, market

MINUTE = timeframe_ns("1m")


@pytest.mark.parametrize("id", SPOKEN)
async def test_a_client_of_ours_ends_up_with_the_very_trades_book_quote_and_bars(id: str):
    async with connected(id) as (exchange, truth, client):
        await exchange.advance(2)
        await client.settle()
        await client.snapshot()

        for _ in range(25):
            await exchange.advance(3)
        await client.settle()

        assert client.trades == truth.trades(START)
        assert client.book.is_whole, client.book.reason
        assert client.book.top(10).bids == truth.ladder(10).bids
        assert client.book.top(10).asks == truth.ladder(10).asks
        quote, last = truth.quote(), client.quotes[-1]
        assert quote is not None
        assert (last.bid, last.bid_size, last.ask, last.ask_size) == (
            quote.bid,
            quote.bid_size,
            quote.ask,
            quote.ask_size,
        )
        closed = [each.bar for each in client.bars if each.is_closed]
        assert closed
        wanted = [bar for bar in truth.bars("1m", closed[0].ts) if bar.ts_close <= exchange.now]
        assert closed == wanted[: len(closed)]
        assert not client.dropped


@pytest.mark.parametrize("id", ["BTC/USDT:USDT@BINANCE", "BTC/USDT:USDT@BYBIT"])
async def test_marks_name_the_funding_rate_and_when_it_falls_due(id: str):
    async with connected(id, DataKind.MARK) as (exchange, truth, client):
        await exchange.advance(5)
        await client.settle()

        mark = truth.mark()
        assert client.marks[-1].mark == truth.ticks.value(mark.price)
        assert (client.marks[-1].rate, client.marks[-1].ts_funding) == (mark.rate, mark.ts_funding)


@pytest.mark.parametrize("id", SPOKEN)
async def test_two_clients_are_told_the_same(id: str):
    async with connected(id, DataKind.TRADES, DataKind.BOOK) as (exchange, truth, first):
        await exchange.advance(3)
        async with joined(exchange, id, DataKind.TRADES, DataKind.BOOK) as second:
            await exchange.advance(3)
            for client in (first, second):
                await client.heard(truth)
                await client.snapshot()
            await exchange.advance(3)
            for client in (first, second):
                await client.heard(truth)
                assert client.book.top(10).bids == truth.ladder(10).bids
                assert client.book.top(10).asks == truth.ladder(10).asks

            common = [each for each in first.trades if each.ts >= second.trades[0].ts]
            assert second.trades == common[-len(second.trades) :]


@pytest.mark.parametrize("id", [each for each in SPOKEN if "BINANCE" not in each])
async def test_a_topic_that_is_not_there_is_refused_in_the_venues_words(id: str):
    async with connected(id, DataKind.TRADES) as (exchange, _, client):
        odd = Channel(id.replace("BTC", "NOPE"), DataKind.TRADES)
        socket = client._sockets[0]

        for frame in client.dialect.subscribe([odd], 9):
            await socket.send_str(str(frame))
        await client.until(lambda: any(isinstance(each, Answered) and each.error for each in client.other))

        assert not exchange.faults.script


@pytest.mark.parametrize("id", SPOKEN)
async def test_after_unsubscribing_nothing_more_is_told(id: str):
    async with connected(id, DataKind.TRADES) as (exchange, _, client):
        await exchange.advance(1)
        await client.settle()
        before = len(client.trades)

        for frame in client.dialect.unsubscribe([Channel(id, DataKind.TRADES)], 5):
            await client._sockets[0].send_str(str(frame))
        await client.until(lambda: sum(isinstance(each, Answered) for each in client.other) >= 2)
        await exchange.advance(5)
        await client.settle()

        assert len(client.trades) == before > 0


@pytest.mark.parametrize("id", SPOKEN)
async def test_nonsense_from_a_client_is_answered_or_ignored_and_the_rest_goes_on(id: str):
    async with connected(id, DataKind.TRADES) as (exchange, truth, client):
        for nonsense in (
            "",
            "{",
            "[]",
            "null",
            '{"method":5,"op":[],"params":7,"args":{}}',
            "\x00" * 50,
            "[" * 9000,
        ):
            await client._sockets[0].send_str(nonsense)
            await client._sockets[0].send_bytes(nonsense.encode())
        await exchange.advance(2)
        await client.until(lambda: client.trades == truth.trades(START))

        assert not client.closed


class Place:
    now = START
    desk = Desk(())
    address = "127.0.0.1:1"

    def at(self, ts: int, work: object) -> None:
        raise NotImplementedError


class Ear:
    """A listener that hears and is told nothing."""

    number = 1

    def __init__(self, path: str) -> None:
        self.path = path
        self.said: list[object] = []
        self.topics: set[str] = set()
        self.is_over = False

    def say(self, frame: object) -> None:
        self.said.append(frame)

    def push(self, topic: str, frame: object) -> None:
        self.said.append(frame)

    def listen(self, topic: str, market: object, channel: object, every: int = 0) -> None:
        self.said.append(topic)

    def leave(self, topic: str) -> bool:
        return False


words = st.sampled_from(
    [
        "subscribe", "unsubscribe", "SUBSCRIBE", "UNSUBSCRIBE", "SUBSCRIPTION", "UNSUBSCRIPTION", "ping", "book", "ohlc",
        "trade", "BTC/USDT", "btcusdt@depth", "btcusdt@kline_1m", "publicTrade.BTCUSDT", "orderbook.x.BTCUSDT",
        "/market/level2:BTC-USDT", "/market/candles:BTC-USDT_", "spot@public.kline.v3.api.pb@BTCUSDT@", "", "@", ":", ".",
    ]
)  # fmt: skip
keys = st.sampled_from(
    [
        "method",
        "op",
        "type",
        "params",
        "args",
        "topic",
        "id",
        "req_id",
        "channel",
        "symbol",
        "depth",
        "interval",
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)
PATHS = {
    "BINANCE": "/stream",
    "BYBIT": "/v5/public/spot",
    "KRAKEN": "/v2",
    "KUCOIN": "/endpoint",
    "MEXC": "/ws",
}


@pytest.mark.parametrize("venue", sorted(PATHS))
@given(st.dictionaries(keys, values, max_size=6))
def test_no_message_of_a_client_makes_a_house_fail(venue: str, message: dict[str, object]):
    house = house_of(venue, [market(f"BTC/USDT@{venue}", past_seconds=60)], Place())
    house.hear(Ear(PATHS[venue]), json.dumps(message))


numbers = st.sampled_from(
    [
        "",
        "0",
        "-1",
        "1",
        "7",
        "1000",
        "99999",
        "1700000000",
        "1700000000000",
        "-1700000000000",
        "9" * 40,
        "9" * 5000,
        "x",
    ]
)
parameters = st.fixed_dictionaries(
    {},
    optional={
        "symbol": st.sampled_from(["BTCUSDT", "BTC-USDT", "NOPE", ""]),
        "pair": st.sampled_from(["XBTUSDT", "BTC/USDT", "NOPE", ""]),
        "symbols": st.sampled_from(['["BTCUSDT"]', "[", "5"]),
        "category": st.sampled_from(["spot", "linear", "inverse", "option", ""]),
        "interval": st.sampled_from(["1m", "1", "60", "60m", "1d", "D", "7", ""]),
        "type": st.sampled_from(["1min", "1hour", ""]),
        **dict.fromkeys(
            ["limit", "startTime", "endTime", "start", "end", "fromId", "since", "count", "startAt", "endAt"],
            numbers,
        ),
    },
)


@pytest.mark.parametrize("venue", sorted(PATHS))
@given(parameters, st.data())
def test_every_request_is_answered_or_refused(venue: str, query: dict[str, str], data: st.DataObject):
    kinds = ["BTC/USDT", "BTC/USDT:USDT"] if venue in {"BINANCE", "BYBIT"} else ["BTC/USDT"]
    markets = [market(f"{each}@{venue}", past_seconds=600) for each in kinds]
    for each in markets:
        each.begin(START)
    routes = house_of(venue, markets, Place()).routes
    method, path = data.draw(st.sampled_from(sorted(routes))).split()

    try:
        answer = routes[f"{method} {path}"](Asked(method, path, query))
    except Refusal as refusal:
        answer = refusal.body

    assert json.loads(msgspec.json.encode(answer)) is not None


def test_a_market_is_played_by_one_exchange():
    played = market(SPOKEN[0])
    LocalExchange([played], start=START)

    with pytest.raises(UsageError, match="played already"):
        LocalExchange([played], start=START)


def test_a_past_that_reaches_beyond_the_start_is_refused():
    with pytest.raises(UsageError, match="reaches beyond the start"):
        LocalExchange([market(SPOKEN[0])], start=START - 3600 * 10**9)


async def test_binance_tells_what_a_connection_listens_to():
    async with connected("BTC/USDT@BINANCE", DataKind.TRADES, DataKind.BOOK) as (_, _, client):
        await client._sockets[0].send_str('{"method":"LIST_SUBSCRIPTIONS","id":3}')
        await client.until(lambda: any(b"aggTrade" in bytes(str(raw), "utf-8") for raw in client.raw))

        assert json.loads(client.raw[-1]) == {"result": ["btcusdt@aggTrade", "btcusdt@depth@100ms"], "id": 3}


async def test_mexc_takes_several_topics_in_one_request():
    async with connected("BTC/USDT@MEXC", DataKind.TRADES) as (exchange, _, client):
        names = [
            f"spot@public.{kind}.v3.api.pb@{rest}"
            for kind, rest in [
                ("kline", f"BTCUSDT@{bar}") for bar in ("Min1", "Min5", "Min15", "Min30", "Min60")
            ]
        ]
        await client._sockets[0].send_str(json.dumps({"method": "SUBSCRIPTION", "params": names}))
        await client.until(lambda: len(exchange.topics()) == 6)

        assert len(exchange.sessions[0].topics) == 6


def test_an_exchange_is_one_venue():
    with pytest.raises(UsageError, match="one venue"):
        LocalExchange([market(SPOKEN[0]), market(SPOKEN[2])], start=START)
    with pytest.raises(UsageError, match="one venue"):
        LocalExchange([], start=START)


@pytest.mark.parametrize("id", ["BTC/USDT:USDT@KUCOIN", "BTC/USDT@OKX"])
def test_what_is_not_played_is_refused(id: str):
    rules = msgspec.structs.replace(instrument("BTC/USDT:USDT@BYBIT"), id=id)

    with pytest.raises(UsageError, match="is not played here"):
        LocalExchange([Market(rules, [])], start=START)
