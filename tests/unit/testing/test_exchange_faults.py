"""What the script of faults says happens, happens: to the named frame, as often as it says, and visibly to a client."""

import asyncio

import aiohttp
import msgspec
import pytest

from abidance.market.book import Taken
from abidance.model.instrument import SECOND_NS
from abidance.model.market import DataKind
from abidance.testing.exchange import Fault, Faults, LocalExchange, Wrong
from tests.unit.testing.exchange_stage import SPOKEN, START, connected, joined, market

BOOK, TRADES = DataKind.BOOK, DataKind.TRADES
BYBIT, KRAKEN, BINANCE = "BTC/USDT@BYBIT", "BTC/USDT@KRAKEN", "BTC/USDT@BINANCE"


@pytest.mark.parametrize("id", [each for each in SPOKEN if each != KRAKEN])
async def test_a_missing_frame_is_a_gap_in_the_book_wherever_updates_are_numbered(id: str):
    async with connected(id, BOOK) as (exchange, _, client):
        await exchange.advance(1)
        await client.settle()
        await client.snapshot()
        gap = exchange.faults.add(Fault(Wrong.GAP, after=5))
        await exchange.advance(5)
        await client.until(lambda: Taken.GAP in client.taken)

        assert gap.hits == 1


async def test_a_missing_frame_of_kraken_is_a_wrong_checksum():
    gap = Fault(Wrong.GAP, "book", after=20)
    async with connected(KRAKEN, BOOK, faults=[gap]) as (exchange, _, client):
        await exchange.advance(10)
        await client.until(lambda: {Taken.CHECKSUM, Taken.CROSSED} & set(client.taken))

        assert gap.hits == 1


async def test_a_wrong_checksum_is_seen_at_once():
    wrong = Fault(Wrong.CHECKSUM, after=5)
    async with connected(KRAKEN, BOOK, TRADES, faults=[wrong]) as (exchange, _, client):
        await exchange.advance(2)
        await client.settle()

        assert client.taken[:6] == [Taken.APPLIED] * 5 + [Taken.CHECKSUM]
        assert wrong.hits == 1


async def test_a_wrong_checksum_never_hits_a_venue_without_checksums():
    wrong = Fault(Wrong.CHECKSUM, times=0)
    async with connected(BYBIT, BOOK, faults=[wrong]) as (exchange, _, client):
        await exchange.advance(2)
        await client.settle()

        assert exchange.faults.unhit() == [wrong]
        assert client.book.is_whole


async def test_a_frame_that_comes_twice_is_the_same_trade_twice():
    twice = Fault(Wrong.DUPLICATE, "publicTrade", after=1, times=2)
    async with connected(BYBIT, TRADES, faults=[twice]) as (exchange, truth, client):
        await exchange.advance(3)
        await client.settle()

        extra = len(client.trades) - len(truth.trades(START))
        assert extra >= 2
        assert list(dict.fromkeys(client.trades)) == truth.trades(START)


async def test_a_frame_that_comes_late_changes_the_order_and_loses_nothing():
    late = Fault(Wrong.REORDER, "publicTrade", after=2, times=3)
    async with connected(BYBIT, TRADES, faults=[late]) as (exchange, truth, client):
        await exchange.advance(3)
        await client.settle()

        assert client.trades != truth.trades(START)
        assert sorted(client.trades, key=lambda each: int(each.id)) == truth.trades(START)


@pytest.mark.parametrize("id", SPOKEN)
async def test_half_a_frame_is_dropped_by_a_decoder_and_the_rest_is_read(id: str):
    half = Fault(Wrong.TRUNCATE, after=3)
    async with connected(id, TRADES, faults=[half]) as (exchange, truth, client):
        await exchange.advance(5)
        await client.settle()

        assert half.hits == 1
        assert len(client.dropped) == 1
        assert 0 < len(client.trades) < len(truth.trades(START))


async def test_a_broken_connection_ends_without_a_word():
    broken = Fault(Wrong.DISCONNECT, after=5)
    async with connected(BYBIT, TRADES, faults=[broken]) as (exchange, _, client):
        await exchange.advance(5)
        await client.until(lambda: client.closed)

        assert client.closed == [aiohttp.WSCloseCode.ABNORMAL_CLOSURE]
        await client.until(lambda: not exchange.sessions)
        assert not exchange.topics()


async def test_a_planned_end_is_announced_and_in_order():
    planned = Fault(Wrong.CLOSE, after=5)
    async with connected(BINANCE, TRADES, faults=[planned]) as (exchange, _, client):
        await exchange.advance(5)
        await client.until(lambda: client.closed)

        assert client.closed == [aiohttp.WSCloseCode.GOING_AWAY]
        assert [type(each).__name__ for each in client.other][-1] == "Closing"


@pytest.mark.parametrize("id", [BINANCE, "BTC/USDT@MEXC"])
async def test_after_a_day_the_venue_ends_the_connection(id: str):
    async with connected(id, TRADES, pace=0.01) as (exchange, _, client):
        await exchange.advance(86_399)
        await client.settle()
        is_open = not client.closed
        await exchange.advance(2)
        await client.until(lambda: client.closed)

        assert is_open


async def test_a_silent_connection_stays_open_and_does_not_even_answer_pings_until_it_is_over():
    silence = Fault(Wrong.SILENCE, after=5, seconds=30.0)
    async with connected(BYBIT, TRADES, faults=[silence]) as (exchange, truth, client):
        await exchange.advance(10)
        before = len(client.raw)
        await client._sockets[0].send_str('{"op":"ping","req_id":"77"}')
        await exchange.advance(10)
        async with joined(exchange, BYBIT, TRADES) as other:
            # The other connection has been answered, so the ping of the first has been heard, too.
            told = len(client.raw)
            await exchange.advance(20)
            await client.until(lambda: client.trades[-1:] == truth.trades()[-1:])

            assert told <= before + 6
            assert other.trades
        assert not client.closed


async def test_only_the_named_topic_is_hit():
    gap = Fault(Wrong.GAP, "publicTrade", times=0)
    async with connected(BYBIT, TRADES, BOOK, faults=[gap]) as (exchange, _, client):
        await exchange.advance(3)
        await client.settle()

        assert client.book.is_whole
        assert not client.trades
        assert gap.hits > 3


LIMITED = {
    "BTC/USDT@BINANCE": ("/api/v3/time", 429, 418),
    "BTC/USDT@BYBIT": ("/v5/market/time", 429, 403),
    "BTC/USDT@KRAKEN": ("/0/public/Time", 200, 429),
    "BTC/USDT@KUCOIN": ("/api/v1/timestamp", 429, 403),
    "BTC/USDT@MEXC": ("/api/v3/time", 429, 403),
}


@pytest.mark.parametrize("id", sorted(LIMITED))
async def test_requests_are_refused_as_the_venue_refuses_them_and_then_answered_again(id: str):
    path, limited, banned = LIMITED[id]
    script = [
        Fault(Wrong.LIMIT, path, seconds=7),
        Fault(Wrong.BAN, path, seconds=60),
        Fault(Wrong.ERROR, path),
        Fault(Wrong.PAGE, path),
    ]
    async with (
        LocalExchange([market(id)], start=START, faults=Faults(script)) as exchange,
        aiohttp.ClientSession() as session,
    ):
        answers = []
        for _ in range(5):
            async with session.get(exchange.rest_url + path) as answer:
                answers.append((answer.status, answer.headers.get("Retry-After"), await answer.read()))

        assert [(status, wait) for status, wait, _ in answers] == [
            (limited, "7"),
            (banned, "60"),
            (502, None),
            (200, None),
            (200, None),
        ]
        assert [answer[2].startswith(b"<html>") for answer in answers[2:]] == [True, True, False]
        assert msgspec.json.decode(answers[4][2])
        assert not exchange.faults.unhit()


async def test_a_slow_answer_comes_late_and_others_do_not_wait_for_it():
    slow = Fault(Wrong.SLOW, "depth", seconds=0.3)
    async with (
        LocalExchange([market(BINANCE)], start=START, faults=Faults([slow])) as exchange,
        aiohttp.ClientSession() as session,
    ):
        done: list[str] = []

        async def ask(path: str) -> None:
            async with session.get(f"{exchange.rest_url}/api/v3/{path}") as answer:
                await answer.read()
                done.append(path)

        await asyncio.gather(ask("depth?symbol=BTCUSDT"), ask("time"))

        assert done == ["time", "depth?symbol=BTCUSDT"]


async def test_a_connection_can_be_refused_once():
    refuse = Fault(Wrong.REFUSE, "/v5/public")
    async with LocalExchange([market(BYBIT)], start=START, faults=Faults([refuse])) as exchange:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            async with joined(exchange, BYBIT, TRADES):
                pass
        async with joined(exchange, BYBIT, TRADES) as client:
            assert client.other

        assert error.value.status == 503


async def test_kucoin_lets_nobody_in_without_a_token_or_with_one_of_yesterday():
    id = "BTC/USDT@KUCOIN"
    async with (
        LocalExchange([market(id, pace=0.01)], start=START) as exchange,
        aiohttp.ClientSession() as session,
    ):
        entrance = f"{exchange.stream_url}/endpoint"
        async with session.post(f"{exchange.rest_url}/api/v1/bullet-public") as answer:
            token = {"token": msgspec.json.decode(await answer.read())["data"]["token"]}
        for bad in ("", "?token=", "?token=made-up"):
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(entrance + bad)
        socket = await session.ws_connect(entrance, params=token)
        await socket.close()

        await exchange.advance(86_401)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(entrance, params=token)


async def test_the_same_script_hits_the_same_frames_in_every_run():
    async def run() -> list[bytes | str]:
        script = [
            Fault(Wrong.GAP, after=10, times=2),
            Fault(Wrong.DUPLICATE, after=30),
            Fault(Wrong.TRUNCATE, after=50),
        ]
        async with connected(KRAKEN, BOOK, TRADES, faults=script) as (exchange, _, client):
            await exchange.advance(5)
            await client.settle()
            return client.raw

    assert await run() == await run()


async def test_with_a_clock_the_exchange_runs_by_itself():
    from abidance.kernel.clock import EventClock

    clock, truth = EventClock(START), market(BYBIT)
    async with (
        LocalExchange([truth], start=START, clock=clock) as exchange,
        joined(exchange, BYBIT, TRADES) as client,
    ):
        clock.set(START + 5 * SECOND_NS)
        await client.until(lambda: exchange.now == START + 5 * SECOND_NS)
        await client.until(lambda: client.trades == truth.trades(START))

        assert client.trades
