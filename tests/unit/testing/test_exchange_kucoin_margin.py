"""KuCoin's cross margin accounts on the local exchange: ccxt trades, borrows and repays there unchanged."""

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

ID, SYMBOL = "BTC/USDT@KUCOIN", "BTC/USDT"
D = Decimal
CROSS = {"marginMode": "cross"}
HF = {"isHf": True}


@asynccontextmanager
async def trading(*, funded: int = 100_000) -> AsyncIterator[tuple[LocalExchange, Market, Account, Any]]:
    """Open an exchange with an account that has a margin account, and a client of ccxt that trades from it."""
    truth, owner = market(ID), Account("a-key", "a-secret", "a-phrase")
    account = owner.open_margin()
    async with LocalExchange([truth], start=START, accounts=[owner]) as exchange:
        exchange.desk.transfer(account, "USDT", D(funded), exchange.now)
        options = {"fetchMarkets": {"types": ["spot"]}, "hf": True, "uta": False}
        async with trader(exchange, owner, "kucoin", options) as client:
            yield exchange, truth, account, client


async def told(client: Any) -> Any:
    return (await client.privateGetMarginAccounts({"queryType": "MARGIN_V2"}))["data"]


async def test_ccxt_borrows_buys_sees_its_debt_and_repays_with_the_first_interest() -> None:
    async with trading() as (exchange, _, account, client):
        lent = await client.borrow_cross_margin("USDT", 1000, HF)
        await client.create_order(SYMBOL, "market", "buy", 0.5, params={**CROSS, "clientOrderId": "mine"})
        bought = await client.fetch_order(None, SYMBOL, {**CROSS, "clientOid": "mine"})
        trades = await client.fetch_my_trades(SYMBOL, params=CROSS)
        owing = {row["currency"]: row for row in (await told(client))["accounts"]}
        await client.repay_cross_margin("USDT", 1000.01, HF)
        after = {row["currency"]: row for row in (await told(client))["accounts"]}

        assert lent["currency"] == "USDT"
        assert (bought["status"], bought["filled"], bought["clientOrderId"]) == ("closed", 0.5, "mine")
        assert bought["info"]["tradeType"] == trades[0]["info"]["tradeType"] == "MARGIN_TRADE"
        assert sum(each["amount"] for each in trades) == pytest.approx(0.5)
        assert [owing["USDT"][f"liability{what}"] for what in ("", "Principal", "Interest")] == [
            "1000.01",
            "1000",
            "0.01",
        ]
        assert D(owing["BTC"]["total"]) == account.purse("BTC").total == D("0.5")
        assert after["USDT"]["liability"] == "0"
        assert account.debts == {}
        moved = [(line.amount, line.why) for line in account.ledger if line.why in ("loan", "repayment")]
        assert moved == [(D(1000), "loan"), (D("-1000.01"), "repayment")]
        assert exchange.desk.accounts["a-key"].ledger == []


async def test_ccxt_rests_queries_and_asks_off_orders_of_the_margin_account_alone() -> None:
    async with trading() as (_, truth, account, client):
        price = truth.ladder(1).bids[0][0]
        low = await client.create_order(SYMBOL, "limit", "buy", 0.1, price - 500, CROSS)
        lower = await client.create_order(SYMBOL, "limit", "buy", 0.1, price - 600, CROSS)

        listed = await client.fetch_open_orders(SYMBOL, params=CROSS)
        spot = (await client.privateGetHfOrdersActive({"symbol": "BTC-USDT"}))["data"]
        gone = await client.cancel_order(low["id"], SYMBOL, CROSS)
        found = await client.fetch_order(low["id"], SYMBOL, CROSS)
        await client.privateDeleteHfMarginOrders({"symbol": "BTC-USDT", "tradeType": "MARGIN_TRADE"})

        assert {each["id"] for each in listed} == {low["id"], lower["id"]}
        assert spot == []
        assert set(gone["info"]) == {"orderId"}
        assert found["status"] == "canceled"
        assert await client.fetch_open_orders(SYMBOL, params=CROSS) == []
        assert account.purse("USDT").locked == 0


async def test_interest_comes_with_the_loan_at_its_time_and_as_each_hour_begins() -> None:
    async with trading() as (exchange, _, account, client):
        await client.borrow_cross_margin("USDT", 1000, HF)
        lent_at = exchange.now
        await exchange.advance((-START % HOUR) / SECOND_NS + 7_201)

        listed = (await client.privateGetMarginInterest({"currency": "USDT", "isIsolated": "false"}))["data"]

        rows = listed["items"]
        assert {D(row["interestAmount"]) for row in rows} == {1000 * RATE}
        times = [int(row["createdTime"]) * MS_NS for row in rows]
        assert times == sorted(times, reverse=True)
        assert abs(times[-1] - lent_at) < 5 * SECOND_NS
        assert {each % HOUR for each in times[:-1]} == {0}
        assert int(listed["totalNum"]) == len(rows) == 4
        assert account.debts == {"USDT": 1000 + 4 * 1000 * RATE}


async def test_a_repayment_pays_interest_first_and_is_listed_so() -> None:
    async with trading() as (_, _, account, client):
        await client.borrow_cross_margin("USDT", 1000, HF)
        await client.repay_cross_margin("USDT", 500, HF)

        (lent,) = (await client.privateGetMarginBorrow({"currency": "USDT"}))["data"]["items"]
        (paid,) = (await client.privateGetMarginRepay({"currency": "USDT"}))["data"]["items"]

        assert (D(lent["actualSize"]), lent["status"]) == (D(1000), "SUCCESS")
        assert (D(paid["interest"]), D(paid["principal"])) == (D("0.01"), D("499.99"))
        assert account.debts == {"USDT": D("500.01")}


async def test_no_more_is_lent_than_four_times_what_is_there() -> None:
    async with trading(funded=1000) as (_, _, _, client):
        with pytest.raises(ccxt.BaseError, match="210014"):
            await client.borrow_cross_margin("USDT", 4000.01, HF)
        await client.borrow_cross_margin("USDT", 4000, HF)

        assert D((await told(client))["debtRatio"]) == pytest.approx(D("0.8"), abs=D("0.0001"))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"currency": "DOGE"}, "400100"),
        ({"size": "100000.1"}, "210014"),
        ({"size": "0.123456789"}, "400100"),
        ({"size": "-1"}, "400100"),
        ({"timeInForce": "GTC"}, "400100"),
        ({"isHf": False}, "400100"),
        ({"isIsolated": True}, "400100"),
    ],
)
async def test_what_cannot_be_lent_is_refused(change: dict[str, Any], code: str) -> None:
    async with trading() as (_, _, account, client):
        asked = {"currency": "USDT", "size": "1", "timeInForce": "FOK", "isIsolated": False, **HF}
        before = len(account.ledger)

        with pytest.raises(ccxt.BaseError, match=code):
            await client.privatePostMarginBorrow({**asked, **change})

        assert len(account.ledger) == before


@pytest.mark.parametrize("wish", ["autoBorrow", "autoRepay"])
async def test_an_order_that_would_borrow_or_repay_is_not_taken_here(wish: str) -> None:
    async with trading() as (_, _, account, client):
        with pytest.raises(ccxt.BaseError, match="autoBorrow"):
            await client.create_order(SYMBOL, "market", "buy", 0.1, params={**CROSS, wish: True})

        assert account.debts == {}
        assert "BTC" not in account.totals()


async def test_a_key_without_the_right_and_an_account_without_margin_are_turned_away() -> None:
    async with trading() as (exchange, _, account, client):
        account.permissions.borrow = False
        with pytest.raises(ccxt.BaseError, match="400007"):
            await told(client)

        account.permissions.borrow = True
        exchange.desk.accounts["a-key"].margin = None
        with pytest.raises(ccxt.BaseError, match="130306"):
            await told(client)


async def test_a_wrong_signature_borrows_nothing() -> None:
    async with trading() as (_, _, account, client):
        client.secret = "another"

        with pytest.raises(ccxt.AuthenticationError):
            await client.borrow_cross_margin("USDT", 10, HF)

        assert account.debts == {}
