"""Cross margin accounts on the local exchange: ccxt trades, borrows and repays there unchanged."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import ccxt  # type: ignore[import-untyped]
import pytest

from abidance.model.instrument import MS_NS, SECOND_NS
from abidance.testing.exchange import Account, LocalExchange, Market
from abidance.testing.exchange.lending import HOUR, RATE
from tests.unit.testing.exchange_stage import START, market, trader

ID, SYMBOL = "BTC/USDT@BINANCE", "BTC/USDT"
D = Decimal
CROSS = {"marginMode": "cross"}
"""What ccxt must be told with each order, whatever its options say."""


@asynccontextmanager
async def trading(*, funded: int = 100_000) -> AsyncIterator[tuple[LocalExchange, Market, Account, Any]]:
    """Open an exchange with an account that has a margin account, and a client of ccxt that trades from it."""
    truth, owner = market(ID), Account("a-key", "a-secret")
    account = owner.open_margin()
    async with LocalExchange([truth], start=START, accounts=[owner]) as exchange:
        exchange.desk.transfer(account, "USDT", D(funded), exchange.now)
        options = {
            "fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "defaultMarginMode": "cross",
        }  # fmt: skip
        async with trader(exchange, owner, "binance", options) as client:
            yield exchange, truth, account, client


async def test_ccxt_borrows_buys_sees_its_debt_sells_and_repays_with_the_first_interest() -> None:
    async with trading() as (exchange, _, account, client):
        lent = await client.borrow_cross_margin("USDT", 1000)
        bought = await client.create_order(
            SYMBOL, "market", "buy", 0.5, params={**CROSS, "clientOrderId": "mine"}
        )
        trades = await client.fetch_my_trades(SYMBOL)
        owing = await client.fetch_balance()
        interest = await client.fetch_borrow_interest("USDT")
        await client.repay_cross_margin("USDT", 1000.01)
        after = await client.fetch_balance()

        assert lent["currency"] == "USDT"
        assert (bought["status"], bought["filled"], bought["clientOrderId"]) == ("closed", 0.5, "mine")
        assert sum(each["amount"] for each in trades) == pytest.approx(0.5)
        assert owing["USDT"]["debt"] == 1000.01
        assert owing["BTC"]["total"] == float(account.purse("BTC").total) == pytest.approx(0.4995)
        assert [(each["interest"], each["amountBorrowed"]) for each in interest] == [(0.01, 1000.0)]
        assert after["USDT"]["debt"] == 0
        assert account.debts == {}
        moved = [(line.amount, line.why) for line in account.ledger if line.why in ("loan", "repayment")]
        assert moved == [(D(1000), "loan"), (D("-1000.01"), "repayment")]
        assert exchange.desk.accounts["a-key"].ledger == []


async def test_ccxt_rests_queries_and_takes_back_a_limit_order_and_a_stop_of_the_margin_account_alone() -> (
    None
):
    async with trading() as (exchange, truth, account, client):
        price = truth.ladder(1).bids[0][0]
        low = await client.create_order(
            SYMBOL, "limit", "buy", 0.1, price - 500, {**CROSS, "clientOrderId": "low"}
        )
        await client.create_order(SYMBOL, "market", "buy", 0.1, params=CROSS)
        stop = await client.create_order(
            SYMBOL, "market", "sell", 0.05, None, {**CROSS, "stopLossPrice": price - 300}
        )

        listed = await client.fetch_open_orders(SYMBOL)
        spot = await client.privateGetOpenOrders({"symbol": "BTCUSDT"})
        found = await client.fetch_order(low["id"], SYMBOL)
        gone = await client.cancel_order(low["id"], SYMBOL)
        await client.cancel_all_orders(SYMBOL)

        assert {each["id"] for each in listed} == {low["id"], stop["id"]}
        assert spot == []
        assert (found["status"], found["clientOrderId"]) == ("open", "low")
        assert gone["status"] == "canceled"
        assert await client.fetch_open_orders(SYMBOL) == []
        assert all(order.account is account for order in exchange.desk.orders.values())


async def test_money_goes_between_the_wallets_and_each_pays_its_own_orders() -> None:
    async with trading(funded=10) as (exchange, _, account, client):
        owner = exchange.desk.accounts["a-key"]
        exchange.desk.transfer(owner, "USDT", D(50_000), exchange.now)

        with pytest.raises(ccxt.InsufficientFunds):
            await client.create_order(SYMBOL, "market", "buy", 0.1, params=CROSS)
        await client.transfer("USDT", 40_000, "spot", "cross")
        await client.create_order(SYMBOL, "market", "buy", 0.1, params=CROSS)
        with pytest.raises(ccxt.BaseError):
            await client.transfer("USDT", 40_000, "cross", "spot")

        assert owner.totals() == {"USDT": D(10_000)}
        assert set(account.totals()) == {"USDT", "BTC"}


async def test_interest_comes_with_the_loan_and_as_each_hour_begins_on_the_loan_alone() -> None:
    async with trading() as (exchange, _, account, client):
        await client.borrow_cross_margin("USDT", 1000)
        await exchange.advance((-START % HOUR) / SECOND_NS + 7_201)

        told = await client.sapiGetMarginInterestHistory({"asset": "USDT", "size": 2, "current": 1})
        rest = await client.sapiGetMarginInterestHistory({"asset": "USDT", "size": 2, "current": 2})

        rows = told["rows"] + rest["rows"]
        assert [row["type"] for row in rows] == ["PERIODIC", "PERIODIC", "PERIODIC", "ON_BORROW"]
        assert {D(row["interest"]) for row in rows} == {1000 * RATE}
        assert len({row["txId"] for row in rows}) == 4
        assert {int(row["interestAccuredTime"]) * MS_NS % HOUR for row in rows} == {0}
        assert account.debts == {"USDT": 1000 + 4 * 1000 * RATE}


async def test_a_repayment_pays_interest_first_and_is_listed_so() -> None:
    async with trading() as (_, _, account, client):
        await client.borrow_cross_margin("USDT", 1000)
        await client.repay_cross_margin("USDT", 500)

        (lent,) = (await client.sapiGetMarginBorrowRepay({"type": "BORROW", "asset": "USDT"}))["rows"]
        (paid,) = (await client.sapiGetMarginBorrowRepay({"type": "REPAY", "asset": "USDT"}))["rows"]
        owed = next(
            row for row in (await client.sapiGetMarginAccount())["userAssets"] if row["asset"] == "USDT"
        )

        assert (D(lent["amount"]), lent["status"]) == (D(1000), "CONFIRMED")
        assert (D(paid["interest"]), D(paid["principal"])) == (D("0.01"), D("499.99"))
        assert (D(owed["borrowed"]), D(owed["interest"])) == (D("500.01"), D(0))
        assert account.debts == {"USDT": D("500.01")}


async def test_no_more_is_lent_than_what_is_there_covers() -> None:
    async with trading(funded=1000) as (_, _, account, client):
        room = await client.sapiGetMarginMaxBorrowable({"asset": "USDT"})

        with pytest.raises(ccxt.BaseError, match="-3006"):
            await client.borrow_cross_margin("USDT", 2000.01)
        await client.borrow_cross_margin("USDT", 2000)

        level = (await client.sapiGetMarginAccount())["marginLevel"]
        assert D(room["amount"]) == 2000
        assert D(level) == pytest.approx(D("1.5"), abs=D("0.0001"))
        assert account.debts["USDT"] == D("2000.02")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"type": "BORROW", "asset": "DOGE", "amount": "1"}, "-3027"),
        ({"type": "BORROW", "asset": "USDT", "amount": "100000.1"}, "-3006"),
        ({"type": "BORROW", "asset": "USDT", "amount": "0.123456789"}, "-1111"),
        ({"type": "BORROW", "asset": "USDT", "amount": "-1"}, "-1102"),
        ({"type": "BORROW", "asset": "USDT"}, "-1102"),
        ({"type": "LEND", "asset": "USDT", "amount": "1"}, "-1102"),
        ({"type": "REPAY", "asset": "USDT", "amount": "1"}, "-3015"),
        ({"type": "BORROW", "asset": "USDT", "amount": "1", "isIsolated": "TRUE"}, "-3003"),
    ],
)
async def test_what_cannot_be_lent_or_repaid_is_refused_in_binances_words(
    asked: dict[str, str], told: str
) -> None:
    async with trading() as (_, _, account, client):
        before = len(account.ledger)

        with pytest.raises(ccxt.BaseError, match=told):
            await client.sapiPostMarginBorrowRepay(asked)

        assert len(account.ledger) == before


async def test_an_order_that_would_borrow_is_not_taken_here() -> None:
    async with trading() as (_, _, account, client):
        with pytest.raises(ccxt.BaseError, match="sideEffectType"):
            await client.create_order(
                SYMBOL, "market", "buy", 0.1, params={**CROSS, "sideEffectType": "AUTO_BORROW_REPAY"}
            )

        assert account.debts == {}


async def test_a_key_without_the_right_and_an_account_without_margin_are_turned_away() -> None:
    async with trading() as (exchange, _, account, client):
        account.permissions.borrow = False
        with pytest.raises(ccxt.AuthenticationError):
            await client.fetch_balance()

        account.permissions.borrow = True
        exchange.desk.accounts["a-key"].margin = None
        with pytest.raises(ccxt.BaseError, match="-3003"):
            await client.fetch_balance()


async def test_a_wrong_signature_borrows_nothing() -> None:
    async with trading() as (_, _, account, client):
        client.secret = "another"

        with pytest.raises(ccxt.AuthenticationError):
            await client.borrow_cross_margin("USDT", 10)

        assert account.debts == {}


async def test_ccxt_hears_of_orders_of_the_margin_account_by_its_listen_token() -> None:
    async with trading() as (exchange, _, _, client):

        async def listen() -> Any:
            return await client.watch_orders(SYMBOL, params={**CROSS, "type": "margin"})

        heard = asyncio.create_task(listen())
        for _ in range(2_000):  # nothing tells when ccxt is ready to hear: small orders follow one another
            if heard.done():
                break
            await client.create_order(SYMBOL, "market", "buy", 0.001, params=CROSS)
            await exchange.drain()

        (order, *_) = await asyncio.wait_for(heard, 60)
        assert order["symbol"] == SYMBOL
        assert order["side"] == "buy"
