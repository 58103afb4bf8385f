"""Loans on the local exchange: ccxt and Bybit's own words, the interest of each hour, and what is turned away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from decimal import Decimal
from typing import Any

import ccxt  # type: ignore[import-untyped]
import pytest

from abidance.model.instrument import MS_NS, SECOND_NS
from abidance.testing.exchange import Account, LocalExchange, generated
from abidance.testing.exchange.accounts import Line
from abidance.testing.exchange.desk import Desk
from abidance.testing.exchange.lending import CHARGED_AT, HOUR, RATE, DeclinedLoan, Loans, No
from abidance.venues.ccxt.loading import exchange_class

D = Decimal
START = 1_700_000_000 * SECOND_NS


@asynccontextmanager
async def stranger() -> AsyncIterator[tuple[LocalExchange, Account, Any]]:
    """Open a local Bybit and a client of ccxt with a key to an account of it."""
    account = Account("a-key", "a-secret")
    market = generated("BTC/USDT@BYBIT", 7, START, pace=5.0, past_seconds=600)
    async with LocalExchange([market], start=START, accounts=[account]) as exchange:
        client = exchange_class("bybit", streaming=False)(
            {"apiKey": "a-key", "secret": "a-secret", "enableRateLimit": False, "timeout_on_exit": 0,
             "options": {"fetchMarkets": {"types": ["spot"]}}}
        )  # fmt: skip
        client.urls["api"] = exchange.redirect(client.urls["api"])
        client.milliseconds = client.nonce = lambda: exchange.now // MS_NS
        try:
            yield exchange, account, client
        finally:
            await client.close()


async def test_ccxt_borrows_sees_its_debt_and_repays() -> None:
    async with stranger() as (_, account, client):
        await client.load_markets()
        lent = await client.borrow_cross_margin("BTC", 0.25)
        owing = await client.fetch_balance()
        await client.repay_cross_margin("BTC", 0.25)
        after = await client.fetch_balance()

    assert (lent["currency"], lent["amount"]) == ("BTC", 0.25)
    assert (owing["BTC"]["total"], owing["BTC"]["debt"]) == (0.25, 0.25)
    assert after["BTC"]["debt"] == 0
    assert account.debts == {}
    assert [(line.amount, line.why) for line in account.ledger] == [
        (D("0.25"), "loan"),
        (D("-0.25"), "repayment"),
    ]


async def test_ccxt_reads_the_interest_of_each_hour() -> None:
    async with stranger() as (exchange, account, client):
        await client.load_markets()
        await client.borrow_cross_margin("USDT", 1000)
        await exchange.advance(((CHARGED_AT - START) % HOUR) / SECOND_NS + 1)

        answer = await client.privateGetV5AccountBorrowHistory({"currency": "USDT"})

    (row,) = answer["result"]["list"]
    assert D(row["borrowCost"]) == 1000 * RATE
    assert D(row["InterestBearingBorrowSize"]) == 1000
    assert (int(row["createdTime"]) * MS_NS - CHARGED_AT) % HOUR == 0
    assert account.debts["USDT"] == 1000 * (1 + RATE)


async def test_a_wrong_signature_borrows_nothing() -> None:
    async with stranger() as (_, account, client):
        client.secret = "another"

        with pytest.raises(ccxt.AuthenticationError):
            await client.privatePostV5AccountBorrow({"coin": "USDT", "amount": "10"})

    assert account.ledger == []


@pytest.mark.parametrize(
    ("path", "asked", "told"),
    [
        ("Borrow", {"coin": "DOGE", "amount": "1"}, "176022"),
        ("Borrow", {"coin": "USDT", "amount": "100000.1"}, "176029"),
        ("Borrow", {"coin": "USDT", "amount": "0.123456789"}, "176031"),
        ("Borrow", {"coin": "USDT", "amount": "-1"}, "10001"),
        ("Borrow", {"coin": "USDT"}, "10001"),
        ("NoConvertRepay", {"coin": "USDT", "amount": "1"}, "176016"),
        ("NoConvertRepay", {"amount": "1"}, "10001"),
    ],
)
async def test_what_cannot_be_lent_or_repaid_is_refused_in_bybits_words(
    path: str, asked: dict[str, str], told: str
) -> None:
    async with stranger() as (_, account, client):
        with pytest.raises(ccxt.BaseError, match=told):
            await getattr(client, f"privatePostV5Account{path}")(asked)

    assert account.ledger == []


async def test_a_margin_order_is_not_taken_here_so_that_none_borrows() -> None:
    async with stranger() as (_, account, client):
        await client.load_markets()

        with pytest.raises(ccxt.BaseError):
            await client.create_order("BTC/USDT", "market", "sell", 0.1, None, {"isLeverage": 1})

    assert account.debts == {}


def test_while_interest_is_reckoned_nobody_repays_and_the_rest_of_the_hour_everybody_may() -> None:
    account = Account("k", "s")
    desk = Desk([account])
    loans, hour = Loans(desk), START - START % HOUR
    loans.borrow(account, "USDT", D(10), hour)

    for second in range(0, 3600, 15):
        is_shut = 240 <= second < 330
        expected = pytest.raises(DeclinedLoan, match=No.RECKONING) if is_shut else nullcontext()
        with expected:
            loans.repay(account, "USDT", D("0.01"), hour + second * SECOND_NS)


def test_what_is_repaid_without_an_amount_is_what_there_is_of_it() -> None:
    account = Account("k", "s")
    desk = Desk([account])
    loans = Loans(desk)
    loans.borrow(account, "BTC", D(2), START)
    account.move(Line(START, "BTC", D("-1.5"), "withdrawal"))

    assert loans.repay(account, "BTC", None, START) == D("0.5")
    assert account.debts == {"BTC": D("1.5")}
