"""Accounts on the local exchange: ccxt, which nobody here wrote, trades on it unchanged, and no money comes or goes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.model.instrument import MS_NS, SECOND_NS
from abidance.testing.exchange import Account, Fault, LocalExchange, Market, Wrong
from abidance.testing.exchange.core import BUY, SELL, Force
from abidance.testing.exchange.desk import Declined, Desk, State, Ticket
from tests.unit.testing.exchange_stage import START, market, trader

ID, SYMBOL = "BTC/USDT@BINANCE", "BTC/USDT"
D = Decimal


def rich(**given: Any) -> Account:
    return Account("a-key", "a-secret", "a-phrase", **given)


@asynccontextmanager
async def trading(account: Account) -> AsyncIterator[tuple[LocalExchange, Market, Any]]:
    """Open an exchange with one funded account and a client of ccxt that trades for it."""
    truth = market(ID)
    async with LocalExchange([truth], start=START, accounts=[account]) as exchange:
        exchange.desk.transfer(account, "USDT", D(1_000_000), exchange.now)
        options = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False}
        async with trader(exchange, account, "binance", options) as client:
            yield exchange, truth, client


async def test_ccxt_buys_at_market_and_finds_its_fills_and_its_money() -> None:
    account = rich()
    async with trading(account) as (_, _, client):
        order = await client.create_order(SYMBOL, "market", "buy", 0.5, params={"clientOrderId": "mine"})

        trades = await client.fetch_my_trades(SYMBOL)
        balance = await client.fetch_balance()

        assert (order["status"], order["filled"], order["clientOrderId"]) == ("closed", 0.5, "mine")
        assert sum(each["amount"] for each in trades) == pytest.approx(0.5)
        assert {each["order"] for each in trades} == {order["id"]}
        assert balance["BTC"]["total"] == float(account.purse("BTC").total) == pytest.approx(0.4995)
        assert balance["USDT"]["total"] == pytest.approx(1_000_000 - order["cost"])


async def test_ccxt_rests_queries_and_takes_back_a_limit_order() -> None:
    async with trading(rich()) as (exchange, truth, client):
        price = truth.ladder(1).bids[0][0] - 500
        order = await client.create_order(SYMBOL, "limit", "buy", 0.1, price, {"clientOrderId": "low"})

        listed = await client.fetch_open_orders(SYMBOL)
        found = await client.fetch_order(order["id"], SYMBOL)
        gone = await client.cancel_order(order["id"], SYMBOL)

        assert [each["clientOrderId"] for each in listed] == ["low"]
        assert (found["status"], found["price"]) == ("open", price)
        assert gone["status"] == "canceled"
        assert exchange.desk.accounts["a-key"].purse("USDT").locked == 0
        with pytest.raises(Exception, match="-2011"):
            await client.cancel_order(order["id"], SYMBOL)


async def test_a_limit_order_fills_when_the_market_comes_to_it() -> None:
    account = rich()
    async with trading(account) as (exchange, truth, client):
        bid = truth.ladder(1).bids[0][0]
        order = await client.create_order(SYMBOL, "limit", "buy", 0.01, bid, {"postOnly": True})

        for _ in range(300):
            await exchange.advance(1)
            if not (await client.fetch_open_orders(SYMBOL)):
                break

        found = await client.fetch_order(order["id"], SYMBOL)
        assert found["status"] == "closed"
        assert all(each["takerOrMaker"] == "maker" for each in await client.fetch_my_trades(SYMBOL))


async def test_a_stop_waits_until_a_print_touches_it_and_then_trades_at_market() -> None:
    account = rich()
    async with trading(account) as (exchange, truth, client):
        await client.create_order(SYMBOL, "market", "buy", 0.2)
        trigger = round(truth.ladder(1).bids[0][0] - 3, 2)
        params = {"stopPrice": trigger}
        order = await client.create_order(SYMBOL, "STOP_LOSS", "sell", 0.19, None, params)
        before = (await client.fetch_order(order["id"], SYMBOL))["status"]

        for _ in range(600):
            await exchange.advance(1)
            if exchange.desk.orders[int(order["id"])].state is State.FILLED:
                break

        found = exchange.desk.orders[int(order["id"])]
        printed = [each.price for each in truth.trades() if each.ts <= found.parts[0].ts]
        assert before == "open"
        assert found.state is State.FILLED
        assert min(printed) <= trigger


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (("limit", "buy", 1000.0, 20_000.0, {}), "insufficient balance"),
        (("limit", "sell", 1.0, 20_000.0, {}), "insufficient balance"),
        (("limit", "buy", 0.00001, 10_000.0, {}), "-1013"),
    ],
)
async def test_what_cannot_be_is_refused_in_binances_words(made: tuple[Any, ...], told: str) -> None:
    account = rich()
    async with trading(account) as (_, _, client):
        before = dict(account.totals())
        with pytest.raises(Exception, match=told):
            await client.create_order(SYMBOL, *made)

        assert account.totals() == before


async def test_a_wrong_secret_an_old_time_and_a_revoked_key_are_turned_away() -> None:
    account = rich()
    async with trading(account) as (exchange, _, client):
        client.secret = "another"
        with pytest.raises(Exception, match="-1022"):
            await client.fetch_balance()
        client.secret = account.secret
        client.milliseconds = lambda: exchange.now // MS_NS - 60_000
        with pytest.raises(Exception, match="-1021"):
            await client.fetch_balance()
        account.permissions.is_revoked = True
        with pytest.raises(Exception, match="-2015"):
            await client.fetch_balance()


async def test_ccxt_hears_of_orders_fills_and_balances_on_its_own_stream() -> None:
    account = rich()
    async with trading(account) as (_, _, client):
        heard = [asyncio.ensure_future(each()) for each in (client.watch_orders, client.watch_my_trades)]
        async with asyncio.timeout(10):
            # Nothing tells when ccxt is ready to hear: small orders follow one another until it has heard of one.
            while not all(each.done() for each in heard):
                await client.create_order(SYMBOL, "market", "buy", 0.01, params={"clientOrderId": "mine"})
            orders, trades = await asyncio.gather(*heard)

        assert orders[-1]["clientOrderId"] == "mine"
        assert trades[-1]["amount"] > 0


@pytest.mark.parametrize(("wrong", "done"), [(Wrong.LOST, True), (Wrong.FAIL, True), (Wrong.DEAF, False)])
async def test_an_answer_that_never_comes_says_nothing_about_the_order(wrong: Wrong, done: bool) -> None:
    async with trading(rich()) as (exchange, truth, client):
        exchange.faults.add(Fault(wrong, "/api/v3/order"))
        price = truth.ladder(1).bids[0][0] - 500

        with pytest.raises((aiohttp.ClientError, Exception)):
            await client.create_order(SYMBOL, "limit", "buy", 0.1, price, {"clientOrderId": "low"})

        found = [order.ticket.client_id for order in exchange.desk.orders.values()]
        assert exchange.faults.unhit() == []
        assert found == (["low"] if done else [])


async def test_a_copy_that_lags_does_not_know_the_newest_order() -> None:
    async with trading(rich()) as (exchange, truth, client):
        price = truth.ladder(1).bids[0][0] - 500
        await exchange.advance(1)
        order = await client.create_order(SYMBOL, "limit", "buy", 0.1, price)
        exchange.faults.add(Fault(Wrong.LAG, "/api/v3/order", seconds=0.5))

        with pytest.raises(Exception, match="-2013"):
            await client.fetch_order(order["id"], SYMBOL)

        assert (await client.fetch_order(order["id"], SYMBOL))["status"] == "open"


tickets = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from([BUY, SELL]),
        st.integers(1, 40_000),
        st.one_of(st.none(), st.integers(-300, 300)),
        st.sampled_from(list(Force)),
        st.booleans(),
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(tickets, st.booleans())
def test_no_money_comes_or_goes_whatever_accounts_do(told: list[Any], pays_in_coin: bool) -> None:
    truth = market(ID, past_seconds=600)
    one = Account("1", "s", fee_asset="BNB" if pays_in_coin else "")
    two = Account("2", "s")
    desk = Desk([one, two])
    truth.on_print = lambda found: desk.on_print(truth, found)
    truth.begin(START)
    for account in (one, two):
        for asset in ("USDT", "BTC", "BNB"):
            desk.transfer(account, asset, D(100_000 if asset == "USDT" else 5), START)
    now = START
    for second, side, lots, offset, force, cancels in told:
        now += SECOND_NS
        truth.advance(now)
        account = two if second else one
        last = truth.tape.price[-1]
        ticket = Ticket(f"c{now}", side, lots, None if offset is None else last + offset * 10, force=force)
        try:
            order = desk.place(account, truth, ticket, now)
        except Declined:
            continue
        while desk.release(now):
            pass
        if cancels and order.state.is_working:
            desk.cancel(order, now)

    for account in (one, two):
        for asset, purse in account.purses.items():
            assert purse.total == sum(line.amount for line in account.ledger if line.asset == asset)
            keeps = sum(
                order.locked
                for order in desk.of(account)
                if asset == (truth.instrument.quote if order.ticket.side == BUY else truth.instrument.base)
            )
            assert purse.locked == keeps >= 0
            assert purse.free >= 0
    for order in desk.orders.values():
        assert order.filled <= order.ticket.lots
        assert (order.state is State.FILLED) == (order.left == 0)
