"""The local exchange counts requests as venues do: too many are refused, who goes on is banned, who waits gets in."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.model.instrument import SECOND_NS
from abidance.testing.exchange import Account, LocalExchange
from abidance.testing.exchange.house import Asked, counted
from abidance.testing.exchange.quota import BAN, PATIENCE, Quota
from abidance.venues.net.budget import Budgets
from abidance.venues.net.limits import Request, limits_of, table
from tests.unit.testing.exchange_stage import START, market
from tests.unit.venues.net_world import HandPulse
from tests.unit.venues.trading_world import SECRET

ASKED = {
    "BINANCE": "/api/v3/depth?symbol=BTCUSDT&limit=5000",
    "BYBIT": "/v5/market/orderbook?category=spot&symbol=BTCUSDT",
    "KRAKEN": "/0/public/Depth?pair=XBTUSDT",
    "KUCOIN": "/api/v1/market/orderbook/level2_100?symbol=BTC-USDT",
    "MEXC": "/api/v3/depth?symbol=BTCUSDT",
}


async def ask(client: aiohttp.ClientSession, exchange: LocalExchange, path: str) -> tuple[int, Any, int]:
    async with client.get(exchange.rest_url + path) as answer:
        return answer.status, await answer.json(), int(answer.headers.get("Retry-After", 0))


def is_refused(status: int, body: Any) -> bool:
    return status in (403, 418, 429) or bool(isinstance(body, dict) and body.get("error"))


@pytest.mark.parametrize("venue", sorted(ASKED))
async def test_too_many_requests_are_refused_and_whoever_waits_as_told_is_let_in_again(venue: str) -> None:
    async with (
        LocalExchange([market(f"BTC/USDT@{venue}")], start=START, limited=True) as exchange,
        aiohttp.ClientSession() as client,
    ):
        wait = 0
        for _ in range(2_000):
            status, body, wait = await ask(client, exchange, ASKED[venue])
            if is_refused(status, body):
                break
        served = len(exchange.requests) - 1
        await exchange.advance(wait)
        again, answer, _ = await ask(client, exchange, ASKED[venue])

    limits = next(each for each in table().values() if each.venue == venue)
    path, _, query = ASKED[venue].partition("?")
    draws = limits.draws(Request("GET", path, dict(each.split("=") for each in query.split("&"))))
    assert served == min(each.window.limit // each.weight for each in draws if each.weight)
    assert wait >= 1
    assert not is_refused(again, answer)


async def test_whoever_goes_on_is_banned_and_each_ban_is_twice_as_long() -> None:
    async with (
        LocalExchange([market("BTC/USDT@MEXC")], start=START, limited=True) as exchange,
        aiohttp.ClientSession() as client,
    ):
        bans, still, left = [], 0, 0
        for _ in range(2):
            answers = [await ask(client, exchange, "/api/v3/time") for _ in range(500 + PATIENCE)]
            bans.append(answers[-1])
            await exchange.advance(answers[-1][2] - 1)
            still, _, left = await ask(client, exchange, "/api/v3/time")
            await exchange.advance(1)

    assert [(status, wait) for status, _, wait in bans] == [(403, BAN), (403, 2 * BAN)]
    assert (still, left) == (403, 1)


def test_addresses_are_counted_apart_and_the_answer_tells_what_was_used() -> None:
    quota, now = Quota("BINANCE"), START
    one, other = (Asked("GET", "/api/v3/exchangeInfo", remote=each) for each in ("127.0.0.1", "127.0.0.2"))

    taken = [quota.take(one, now) for _ in range(301)]

    assert taken[:300] == [None] * 300
    assert taken[300] == (60, False)
    assert quota.take(other, now) is None
    assert quota.headers(one, now) == {"x-mbx-used-weight-1m": "6000"}
    assert quota.headers(other, now) == {"x-mbx-used-weight-1m": "20"}
    assert quota.take(one, now + 60 * SECOND_NS) is None


def test_a_count_that_falls_lets_one_more_in_after_each_step_and_orders_always() -> None:
    quota, now = Quota("KRAKEN"), START // (2 * SECOND_NS) * 2 * SECOND_NS
    asked, order = (Asked("POST", f"/0/private/{name}") for name in ("OpenOrders", "AddOrder"))

    at_once = [quota.take(asked, now) for _ in range(21)]
    later = [quota.take(asked, now + seconds * SECOND_NS) for seconds in (1, 2, 3, 4)]

    assert at_once == [None] * 20 + [(2, False)]
    assert later == [(1, False), None, (1, False), None]
    assert [quota.take(order, now) for _ in range(50)] == [None] * 50


@pytest.mark.parametrize("venue", sorted(ASKED))
async def test_our_own_client_asks_as_fast_as_it_may_and_is_never_refused(venue: str) -> None:
    host, limits = next((host, each) for host, each in table().items() if each.venue == venue)
    pulse, quota, draw = HandPulse(), Quota(venue), random.Random(7)
    budget = Budgets(pulse).of("http://127.0.0.1", limits_of(f"https://{host}"))
    paths = [rule.path for rule in limits.rules if rule.weight or rule.steps] or ["/v5/market/time"]
    refused, spent = [], 0.0

    async def client() -> None:
        nonlocal spent
        for _ in range(1_000):
            path, query = draw.choice(paths), {"limit": str(draw.choice([5, 100, 500]))}
            await budget.take(Request("GET", path, query))
            spent += limits.weight(path, query)
            refused.append(quota.take(Asked("GET", path, query), pulse.wall()))

    working = asyncio.ensure_future(client())
    while not working.done():
        await pulse.advance(0.25)
    await working

    window = next(each for each in limits.windows if paths[0].startswith(each.under))
    assert refused == [None] * 1_000
    assert spent >= window.limit * (1 - window.reserve) * (pulse.now // window.seconds)


# --- orders


def order(venue: str, number: int = 0, key: str = "a-key") -> Asked:
    """Return a request that places an order, as far as its count goes."""
    if venue == "KRAKEN":
        return Asked("POST", "/0/private/AddOrder", {}, {"API-Key": key}, b"pair=XBTUSDT&nonce=%d" % number)
    if venue == "BYBIT":
        return Asked("POST", "/v5/order/create", {}, {"X-BAPI-API-KEY": key}, b'{"category":"spot"}')
    return Asked("POST", "/api/v3/order", {"symbol": "BTCUSDT"}, {"X-MBX-APIKEY": key})


@pytest.mark.parametrize(
    ("venue", "most", "status", "words"),
    [
        (
            "BINANCE",
            100,
            429,
            {"code": -1015, "msg": "Too many new orders; current limit is 100 orders per 10 SECOND."},
        ),
        ("KRAKEN", 125, 200, {"error": ["EOrder:Rate limit exceeded"]}),
        ("BYBIT", 20, 200, {"retCode": 10006, "retMsg": "Too many visits!", "result": {}}),
    ],
)
def test_one_order_too_many_is_refused_in_the_words_of_the_venue_and_no_reason_for_a_ban(
    venue: str, most: int, status: int, words: object
) -> None:
    exchange = LocalExchange(
        [market(f"BTC/USDT@{venue}")], start=START, accounts=[Account("a-key", SECRET)], limited=True
    )

    answers = [exchange.answer(order(venue, number)) for number in range(most + 3 * PATIENCE)]

    refused = [each for each in answers if each is not None and msgspec.json.decode(each.body) == words]
    assert answers[most:] == refused
    assert {each.status for each in refused} == {status}


def test_orders_are_counted_by_the_clock_for_each_key_and_cancels_are_not() -> None:
    quota, now = Quota("BINANCE"), START // (10 * SECOND_NS) * 10 * SECOND_NS + 9 * SECOND_NS
    taken = [quota.take_order(order("BINANCE"), now) for _ in range(101)]
    cancel = Asked("DELETE", "/api/v3/order", {}, {"X-MBX-APIKEY": "a-key"})

    assert taken[:100] == [None] * 100
    assert taken[100] is not None
    assert (taken[100][0].name, taken[100][1]) == ("orders", 1)
    assert quota.headers(order("BINANCE"), now)["x-mbx-order-count-10s"] == "100"
    assert "x-mbx-order-count-10s" not in quota.headers(cancel, now)
    assert quota.take_order(cancel, now) is None
    assert quota.take_order(order("BINANCE", key="another"), now) is None
    assert quota.take_order(order("BINANCE"), now + SECOND_NS) is None
    assert quota.headers(order("BINANCE"), now + SECOND_NS)["x-mbx-order-count-10s"] == "1"
    assert quota.headers(order("BINANCE"), now + SECOND_NS)["x-mbx-order-count-1d"] == "101"


async def test_binance_tells_what_it_takes_of_orders_and_requests() -> None:
    async with (
        LocalExchange([market("BTC/USDT@BINANCE"), market("BTC/USDT:USDT@BINANCE")], start=START) as exchange,
        aiohttp.ClientSession() as client,
    ):
        told = {
            path: (await ask(client, exchange, path))[1]["rateLimits"]
            for path in ("/api/v3/exchangeInfo", "/fapi/v1/exchangeInfo")
        }

    assert {
        path: {
            (each["rateLimitType"], each["intervalNum"], each["interval"], each["limit"]) for each in limits
        }
        for path, limits in told.items()
    } == {
        "/api/v3/exchangeInfo": {
            ("REQUEST_WEIGHT", 1, "MINUTE", 6000),
            ("RAW_REQUESTS", 5, "MINUTE", 61000),
            ("ORDERS", 10, "SECOND", 100),
            ("ORDERS", 1, "DAY", 200000),
        },
        "/fapi/v1/exchangeInfo": {
            ("REQUEST_WEIGHT", 1, "MINUTE", 2400),
            ("ORDERS", 10, "SECOND", 300),
            ("ORDERS", 1, "MINUTE", 1200),
        },
    }


VENUES = {
    "BINANCE": "https://api.binance.com",
    "KRAKEN": "https://api.kraken.com",
    "BYBIT": "https://api.bybit.com",
}


@pytest.mark.parametrize("venue", sorted(VENUES))
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.01, 0.3, 1.7, 6.0]), st.booleans(), st.integers(0, 120)),
        max_size=60,
    )
)
def test_who_counts_as_we_do_is_never_refused_an_entry_nor_an_exit(
    venue: str, steps: Sequence[tuple[float, bool, int]]
) -> None:
    pulse = HandPulse()
    id = f"BTC/USDT@{venue}"

    def seen(asked: Asked) -> Request:
        return counted(asked)._replace(about=((id, 0.0),))

    quota = Quota(venue, request=seen)
    budget = Budgets(pulse).of("host", limits_of(VENUES[venue]))
    refused = 0
    for pause, urgent, many in steps:
        pulse.now += pause
        for _ in range(many):
            # A count that falls by whole units may be one behind ours: who leaves the reserve alone never meets that.
            if budget.delay(seen(order(venue)), urgent=urgent and venue != "KRAKEN") == 0.0:
                budget.recount(seen(order(venue)), 0.0)
                refused += quota.take_order(order(venue), pulse.wall()) is not None

    assert refused == 0
