"""Accounts of every venue that is played: ccxt trades unchanged on each dialect, and the ledger is what it reads."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from abidance.model.errors import UsageError
from abidance.model.instrument import MS_NS
from abidance.testing.exchange import Account, Fault, LocalExchange, Market, Wrong, generated
from abidance.testing.exchange.core import BUY, SELL, Force
from abidance.testing.exchange.desk import State
from tests.unit.testing.exchange_stage import START, market, trader

D = Decimal
SECRET = "a2V5IG9mIGEgdGVzdCB0aGF0IHNpZ25z"
PLAYED = [
    "BTC/USDT@BINANCE",
    "BTC/USDT:USDT@BINANCE",
    "BTC/USDT@BYBIT",
    "BTC/USDT:USDT@BYBIT",
    "BTC/USDT@KUCOIN",
    "BTC/USDT@KRAKEN",
    "BTC/USDT@MEXC",
]
SPOT = [id for id in PLAYED if ":" not in id]
PERPETUAL = [id for id in PLAYED if ":" in id]
HEARD = PLAYED
_PLAIN = {"fetchMarkets": {"types": ["spot", "linear"]}, "fetchCurrencies": False}
_OPTIONS: dict[str, dict[str, Any]] = {"kucoin": {"fetchMarkets": {"types": ["spot"]}}}


@asynccontextmanager
async def trading(
    id: str, *, pace: float = 50.0, **given: Any
) -> AsyncIterator[tuple[LocalExchange, Market, Any, str]]:
    """Open an exchange with one funded account and a client of ccxt that trades for it."""
    truth, account = market(id, pace=pace), Account("a-key", SECRET, "a-phrase", **given)
    venue = truth.instrument.venue.lower()
    async with LocalExchange([truth], start=START, accounts=[account]) as exchange:
        exchange.desk.transfer(account, "USDT", D(1_000_000), exchange.now)
        options = _OPTIONS.get(venue, _PLAIN) | {"defaultType": "swap" if ":" in id else "spot"}
        async with trader(exchange, account, venue, options) as client:
            yield exchange, truth, client, id.partition("@")[0]


async def look(client: Any, id: str, symbol: str) -> dict[str, Any]:
    """Ask for one order, as ccxt wants it asked."""
    if client.id == "bybit":
        return dict(await client.fetch_order(id, symbol, {"acknowledged": True}))
    return dict(await client.fetch_order(id, symbol))


def number(id: str) -> int:
    """Return the number in an id: Kraken writes them as `OLOCAL-00004-000000`, MEXC as `C02__4000000`."""
    return int("".join(each for each in id.rpartition("__")[2] if each.isdecimal()))


def account_of(exchange: LocalExchange) -> Account:
    return exchange.desk.accounts["a-key"]


@pytest.mark.parametrize("id", PLAYED)
async def test_ccxt_buys_and_sells_and_reads_the_ledgers_own_fills_and_money(id: str) -> None:
    async with trading(id) as (exchange, truth, client, symbol):
        price = truth.ladder(1).asks[0][0]
        made = await client.create_order(
            symbol, "limit", "buy", 0.5, round(price * 1.02, 1), {"clientOrderId": "mine1"}
        )
        found = await look(client, made["id"], symbol)
        await client.create_order(symbol, "limit", "sell", 0.2, round(price * 0.98, 1))

        trades = await client.fetch_my_trades(symbol)
        balance = await client.fetch_balance()

        assert (found["status"], found["filled"], found["clientOrderId"]) == ("closed", 0.5, "mine1")
        parts = [(o, p) for o in exchange.desk.of(account_of(exchange)) for p in o.parts]
        assert sorted(number(each["id"]) for each in trades) == sorted(part.id for _, part in parts)
        assert sum(each["cost"] for each in trades) == pytest.approx(
            float(sum(o.paid for o in {o.id: o for o, _ in parts}.values()))
        )
        for each in trades:
            part = next(part for _, part in parts if part.id == number(each["id"]))
            assert each["fee"]["cost"] == pytest.approx(float(part.fee))
            assert each["fee"]["currency"] == part.fee_asset
        for asset, total in account_of(exchange).totals().items():
            if id == "BTC/USDT:USDT@BINANCE":
                total, _ = exchange.desk.clearing.equity(account_of(exchange), asset)
            assert balance[asset]["total"] == pytest.approx(float(total))


@pytest.mark.parametrize("id", SPOT)
async def test_ccxt_buys_at_market(id: str) -> None:
    async with trading(id) as (exchange, _, client, symbol):
        client.options["createMarketBuyOrderRequiresPrice"] = False
        if client.id in ("bybit", "mexc"):
            made = await client.create_market_buy_order_with_cost(symbol, 6_000)
        else:
            made = await client.create_order(symbol, "market", "buy", 0.1)

        order = exchange.desk.of(account_of(exchange))[0]
        assert order.state is State.FILLED
        assert (await look(client, made["id"], symbol))["filled"] == pytest.approx(
            float(order.filled * order.market.instrument.lot)
        )
        assert float(order.paid) == pytest.approx(6_000, rel=0.2)


@pytest.mark.parametrize("id", PLAYED)
async def test_ccxt_rests_lists_queries_and_takes_back_a_limit_order(id: str) -> None:
    async with trading(id) as (exchange, truth, client, symbol):
        price = round(truth.ladder(1).bids[0][0] - 500, 1)
        made = await client.create_order(symbol, "limit", "buy", 0.1, price, {"clientOrderId": "low1"})

        listed = await client.fetch_open_orders(symbol)
        found = await look(client, made["id"], symbol)
        locked = account_of(exchange).purse("USDT").locked
        await client.cancel_order(made["id"], symbol)
        gone = await look(client, made["id"], symbol)

        assert [each["clientOrderId"] for each in listed] == ["low1"]
        assert (found["status"], found["price"], found["amount"]) == ("open", price, 0.1)
        assert gone["status"] == "canceled"
        assert locked > 0 == account_of(exchange).purse("USDT").locked
        assert await client.fetch_open_orders(symbol) == []
        with pytest.raises(Exception, match=r"(?i)not.?exist|unknown|not found"):
            await client.cancel_order(made["id"], symbol)


@pytest.mark.parametrize("id", PLAYED)
async def test_an_order_fills_in_parts_as_others_come_to_it(id: str) -> None:
    async with trading(id) as (exchange, truth, client, symbol):
        bid = truth.ladder(1).bids[0][0]
        made = await client.create_order(symbol, "limit", "buy", 0.5, bid + 0.1)
        ticks, lots = truth.ticks.count(bid + 0.1), truth.lots.count(0.2)
        truth.book.submit(exchange.now, "somebody", SELL, lots, ticks, Force.IOC)

        found = await look(client, made["id"], symbol)
        (trade,) = await client.fetch_my_trades(symbol)
        await client.cancel_order(made["id"], symbol)
        gone = await look(client, made["id"], symbol)

        assert (found["status"], found["filled"]) == ("open", 0.2)
        assert (trade["takerOrMaker"], trade["amount"], trade["price"]) == (
            "maker",
            0.2,
            pytest.approx(bid + 0.1),
        )
        assert gone["filled"] == 0.2
        assert gone["status"] in ("canceled", "closed")
        assert account_of(exchange).purse("USDT").locked == 0


@pytest.mark.parametrize("id", PLAYED)
async def test_what_cannot_be_paid_or_comes_twice_is_refused(id: str) -> None:
    async with trading(id) as (exchange, _, client, symbol):
        before = account_of(exchange).totals()
        with pytest.raises(Exception, match=r"(?i)insufficient|not enough|oversold"):
            await client.create_order(symbol, "limit", "buy", 5000, 20_000)
        await client.create_order(symbol, "limit", "buy", 0.1, 20_000, {"clientOrderId": "once1"})
        with pytest.raises(Exception, match=r"(?i)duplicate|not unique|already"):
            await client.create_order(symbol, "limit", "buy", 0.1, 20_000, {"clientOrderId": "once1"})

        assert account_of(exchange).totals() == before
        assert len(exchange.desk.of(account_of(exchange))) == 1


@pytest.mark.parametrize("id", HEARD)
async def test_ccxt_hears_of_orders_fills_and_balances(id: str) -> None:
    async with trading(id) as (exchange, truth, client, symbol):
        price = round(truth.ladder(1).asks[0][0] * 1.02, 1)
        heard = [
            asyncio.ensure_future(each())
            for each in (client.watch_orders, client.watch_my_trades, client.watch_balance)
        ]
        async with asyncio.timeout(15):
            # Nothing tells when ccxt is ready to hear: small orders follow one another until it has heard of one.
            while not all(each.done() for each in heard):
                await client.create_order(symbol, "limit", "buy", 0.01, price)
            orders, trades, balance = await asyncio.gather(*heard)

        ids = {order.id for order in exchange.desk.of(account_of(exchange))}
        assert number(orders[-1]["id"]) in ids
        assert number(trades[-1]["order"]) in ids
        sizes = {part.id: part.lots for order in exchange.desk.orders.values() for part in order.parts}
        assert trades[-1]["amount"] == pytest.approx(
            float(sizes[number(trades[-1]["id"])] * truth.instrument.lot)
        )
        assert balance["USDT"]["total"] < 1_000_000


@pytest.mark.parametrize("id", PLAYED)
async def test_a_wrong_secret_an_old_time_and_a_revoked_key_are_turned_away(id: str) -> None:
    async with trading(id) as (exchange, _, client, symbol):
        client.secret = "YW5vdGhlcg=="
        with pytest.raises(Exception, match=r"(?i)sign"):
            await client.fetch_open_orders(symbol)
        client.secret = SECRET
        await client.fetch_open_orders(symbol)
        client.milliseconds = lambda: exchange.now // MS_NS - 600_000
        client.options["lastNonce"] = 0
        client.last_nonce = 0
        with pytest.raises(Exception, match=r"(?i)recv_?window|timestamp|nonce"):
            await client.fetch_open_orders(symbol)
        account_of(exchange).permissions.is_revoked = True
        with pytest.raises(Exception, match=r"(?i)key"):
            await client.fetch_open_orders(symbol)


@pytest.mark.parametrize("id", PLAYED)
async def test_a_key_is_taken_from_the_addresses_of_its_list_only(id: str) -> None:
    async with trading(id) as (exchange, truth, client, symbol):
        await client.fetch_open_orders(symbol)
        account_of(exchange).permissions.addresses = ("10.1.2.3",)

        with pytest.raises(Exception, match=r"(?i)\bip\b|permission"):
            await client.create_order(symbol, "limit", "buy", 0.5, truth.ladder(1).bids[0][0])

        assert not exchange.desk.of(account_of(exchange))


@pytest.mark.parametrize("id", PERPETUAL)
async def test_ccxt_holds_a_position_with_leverage_and_closes_it_by_reducing(id: str) -> None:
    async with trading(id) as (exchange, truth, client, symbol):
        price = truth.ladder(1).asks[0][0]
        await client.set_leverage(5, symbol)
        await client.create_order(symbol, "market", "buy", 0.5)
        (held,) = await client.fetch_positions([symbol])
        with pytest.raises(Exception, match=r"(?i)reduce"):
            await client.create_order(
                symbol, "limit", "buy", 0.1, round(price * 0.9, 1), {"reduceOnly": True}
            )
        await client.create_order(symbol, "market", "sell", 5, None, {"reduceOnly": True})

        account = account_of(exchange)
        assert (held["side"], held["contracts"], held["leverage"]) == ("long", 0.5, 5)
        assert held["initialMargin"] == pytest.approx(0.5 * price / 5, rel=0.01)
        assert not any(exchange.desk.clearing.open_of(account))
        realised = sum(line.amount for line in account.ledger if line.why == "realised")
        fees = sum(line.amount for line in account.ledger if line.why == "fee")
        assert account.purse("USDT").free == 1_000_000 + realised + fees
        assert [each for each in await client.fetch_positions([symbol]) if each["contracts"]] == []


@pytest.mark.parametrize("id", PERPETUAL)
async def test_a_position_that_is_not_covered_is_taken_over(id: str) -> None:
    async with trading(id) as (exchange, _, client, symbol):
        account = account_of(exchange)
        exchange.desk.transfer(account, "USDT", D(-999_000), exchange.now)
        await client.set_leverage(50, symbol)
        await client.create_order(symbol, "market", "buy", 0.5)
        # All but the margin of a second or so goes: the crowd's next moves decide.
        spare = exchange.desk.clearing.equity(account, "USDT")
        exchange.desk.transfer(account, "USDT", -(spare[0] - spare[1] - 5), exchange.now)
        for _ in range(900):
            await exchange.advance(1)
            if not any(exchange.desk.clearing.open_of(account)):
                break

        last = exchange.desk.of(account)[-1]
        assert last.is_liquidation
        assert last.state is State.FILLED
        assert account.purse("USDT").total >= 0


@pytest.mark.parametrize("id", PLAYED)
@pytest.mark.parametrize(("wrong", "done"), [(Wrong.LOST, True), (Wrong.FAIL, True), (Wrong.DEAF, False)])
async def test_an_answer_that_never_comes_says_nothing_about_the_order(
    id: str, wrong: Wrong, done: bool
) -> None:
    async with trading(id) as (exchange, _, client, symbol):
        await client.fetch_open_orders(symbol)
        exchange.faults.add(Fault(wrong, "rder"))

        with pytest.raises(Exception):  # noqa: B017, PT011 (whatever ccxt makes of it)
            await client.create_order(symbol, "limit", "buy", 0.1, 20_000, {"clientOrderId": "low1"})

        found = [order.ticket.client_id for order in exchange.desk.orders.values()]
        assert exchange.faults.unhit() == []
        assert found == (["low1"] if done else [])


STOPS: dict[str, tuple[str, dict[str, Any]]] = {
    "BTC/USDT@BINANCE": ("stop_loss", {}),
    "BTC/USDT:USDT@BINANCE": ("market", {}),
    "BTC/USDT@BYBIT": ("market", {"triggerDirection": "descending"}),
    "BTC/USDT:USDT@BYBIT": ("market", {"triggerDirection": "descending"}),
    "BTC/USDT@KUCOIN": ("market", {}),
    "BTC/USDT@KRAKEN": ("market", {}),
}


@pytest.mark.parametrize("id", STOPS)
async def test_a_stop_waits_until_the_market_touches_it(id: str) -> None:
    async with trading(id) as (exchange, truth, client, symbol):
        price = truth.ladder(1).asks[0][0]
        await client.create_order(symbol, "limit", "buy", 0.2, round(price * 1.02, 1))
        kind, params = STOPS[id]
        trigger = round(truth.ladder(1).bids[0][0] - 200, 1)
        await client.create_order(symbol, kind, "sell", 0.1, None, {"stopLossPrice": trigger, **params})
        stop = exchange.desk.of(account_of(exchange))[-1]
        before = stop.state
        touch = truth.ticks.count(trigger)
        truth.book.submit(exchange.now, "somebody", BUY, truth.lots.count(0.01), touch)
        truth.book.submit(exchange.now, "somebody", BUY, truth.lots.count(1), touch - 10)
        truth.book.submit(exchange.now, "another", SELL, truth.lots.count(900), touch, Force.IOC)
        await exchange.advance(1)

        assert before is State.WAITING
        assert stop.state is State.FILLED
        assert stop.parts[0].ts >= stop.ts


@pytest.mark.parametrize("id", PLAYED)
async def test_a_halted_market_and_new_filters_refuse_what_was_good_before(id: str) -> None:
    async with trading(id) as (exchange, truth, client, symbol):
        price = round(truth.ladder(1).bids[0][0] - 500, 1)
        await client.create_order(symbol, "limit", "buy", 0.1, price)
        truth.change_filters(min_quantity=D("0.2"))
        with pytest.raises(Exception, match=r"(?i)min|limit|LOT_SIZE|quantity"):
            await client.create_order(symbol, "limit", "buy", 0.1, price)
        exchange.desk.delist(truth, exchange.now)
        with pytest.raises(Exception, match=client.id):
            await client.create_order(symbol, "limit", "buy", 0.3, price)
        listed = [each["active"] for each in await client.fetch_markets() if each["symbol"] == symbol]

        assert {*listed} == {False}
        (only,) = exchange.desk.of(account_of(exchange))
        assert only.state is State.CANCELLED
        assert account_of(exchange).purse("USDT").locked == 0


@pytest.mark.parametrize("id", PLAYED)
async def test_coarser_steps_refuse_what_was_good_before_and_are_told_to_who_asks(id: str) -> None:
    async with trading(id) as (exchange, truth, client, symbol):
        price = truth.ladder(1).bids[0][0] // 10 * 10 - 500
        before = await client.fetch_markets()
        truth.change_filters(tick=D(10), lot=D("0.1"))

        for quantity, at in ((0.2, price + 1), (0.15, price)):
            with pytest.raises(Exception, match=client.id):
                await client.create_order(symbol, "limit", "buy", quantity, at)
        placed = len(exchange.desk.of(account_of(exchange)))
        after = await client.fetch_markets()
        await client.create_order(symbol, "limit", "buy", 0.2, price)

        assert placed == 0
        assert len(exchange.desk.of(account_of(exchange))) == 1
        changed = [each["precision"] for each in after if each["symbol"] == symbol]
        assert changed != [each["precision"] for each in before if each["symbol"] == symbol]


def test_steps_that_are_no_multiple_of_the_first_are_refused() -> None:
    market = generated("BTC/USDT@BINANCE", 1, 0)

    with pytest.raises(UsageError, match="began with steps of"):
        market.change_filters(tick=D("0.015"))

    market.change_filters(tick=D("0.05"))
    market.change_filters(tick=D("0.01"))
    assert market.rules == market.instrument


@pytest.mark.parametrize("id", HEARD)
async def test_a_key_that_may_not_trade_reads_but_places_nothing(id: str) -> None:
    async with trading(id) as (exchange, _, client, symbol):
        account_of(exchange).permissions.trade = False

        with pytest.raises(Exception, match=r"(?i)permission|more permission"):
            await client.create_order(symbol, "limit", "buy", 0.1, 20_000)
        assert await client.fetch_open_orders(symbol) == []
        assert exchange.desk.orders == {}


@pytest.mark.parametrize("id", ["BTC/USDT@BYBIT", "BTC/USDT:USDT@BINANCE"])
@pytest.mark.parametrize(("wrong", "times"), [(Wrong.DUPLICATE, 2), (Wrong.GAP, 0)])
async def test_frames_about_an_account_come_twice_or_never_as_the_script_says(
    id: str, wrong: Wrong, times: int
) -> None:
    async with trading(id) as (exchange, truth, client, symbol):
        listening = asyncio.ensure_future(client.watch_my_trades())
        price = round(truth.ladder(1).asks[0][0] * 1.02, 1)
        async with asyncio.timeout(15):
            while not listening.done():
                await client.create_order(symbol, "limit", "buy", 0.001, price)
                await asyncio.sleep(0)
        await exchange.drain()
        sent = [session.sent for session in exchange.sessions]
        fault = exchange.faults.add(Fault(wrong, "account ", times=0))
        await client.create_order(symbol, "limit", "buy", 0.001, price)
        await exchange.drain()

        more = sum(session.sent for session in exchange.sessions) - sum(sent)
        assert fault.hits > 0
        assert more == fault.hits * times


async def test_krakens_nonces_must_rise_and_its_tokens_end() -> None:
    async with trading("BTC/USDT@KRAKEN") as (exchange, _, client, symbol):
        await client.fetch_open_orders(symbol)
        client.nonce = lambda: 5
        client.options["lastNonce"] = 0

        with pytest.raises(Exception, match="Invalid nonce"):
            await client.fetch_open_orders(symbol)

        del client.nonce
        await exchange.advance(1)
        held = await client.private_post_getwebsocketstoken()
        await exchange.advance(901)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{exchange.stream_url}/v2") as socket,
        ):
            asked = {"channel": "executions", "token": held["result"]["token"]}
            await socket.send_json({"method": "subscribe", "params": asked})
            heard = [await socket.receive_json(timeout=5) for _ in range(2)]

        assert heard[1]["error"] == "ESession:Invalid session"


@pytest.mark.parametrize("id", PLAYED)
async def test_ccxt_trades_with_nothing_set_but_key_and_address(id: str) -> None:
    truth, account = market(id), Account("a-key", SECRET, "a-phrase")
    venue, symbol = truth.instrument.venue.lower(), id.partition("@")[0]
    async with LocalExchange([truth], start=START, accounts=[account]) as exchange:
        exchange.desk.transfer(account, "USDT", D(1_000_000), exchange.now)
        async with trader(exchange, account, venue, {}) as client:
            price = round(truth.ladder(1).bids[0][0] - 500, 1)
            made = await client.create_order(symbol, "limit", "buy", 0.1, price)

            (order,) = exchange.desk.of(account)
            assert order.state is State.OPEN
            assert number(made["id"]) == number(str(order.id)) or venue == "kraken"
            assert symbol in client.markets
            assert client.currencies["BTC"]["active"] is not False
