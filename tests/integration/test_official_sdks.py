"""The exchanges' own Python libraries trade on the local exchange as they are: only the address is another one."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest

from abidance.kernel.clock import WallClock
from abidance.testing.exchange import Account, LocalExchange, Market, generated
from abidance.testing.exchange.desk import Placed, State

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # within those libraries
]
D = Decimal
KEY, SECRET, PHRASE = "a-key", "a-secret", "a-phrase"


class Stage:
    """One venue that runs by itself on a thread, with an account that has money."""

    def __init__(self, venue: str, exchange: LocalExchange, market: Market, account: Account) -> None:
        self.url = exchange.rest_url
        self.exchange, self.market, self.account = exchange, market, account

    @property
    def ask(self) -> Decimal:
        return D(str(self.market.ladder(1).asks[0][0]))

    def orders(self) -> list[Placed]:
        return self.exchange.desk.of(self.account)


@contextmanager
def played(venue: str) -> Iterator[Stage]:
    opened, closing = threading.Event(), threading.Event()
    clock = WallClock()
    market, account = generated(f"BTC/USDT@{venue}", 7, clock.now()), Account(KEY, SECRET, PHRASE)
    exchange = LocalExchange([market], start=clock.now(), clock=clock, accounts=[account])
    exchange.desk.transfer(account, "USDT", D(1_000_000), exchange.now)

    async def serve() -> None:
        async with exchange:
            opened.set()
            await asyncio.to_thread(closing.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert opened.wait(20)
    try:
        yield Stage(venue, exchange, market, account)
    finally:
        closing.set()
        thread.join()


def test_binances_own_library_trades() -> None:
    from binance.spot import Spot

    with played("BINANCE") as stage:
        client = Spot(api_key=KEY, api_secret=SECRET, base_url=stage.url)
        given = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.5"}

        bought = client.new_order(**given, price=str(round(stage.ask * D("1.02"), 2)), newClientOrderId="one")
        rests = client.new_order(**given, price=str(round(stage.ask * D("0.98"), 2)))
        listed = client.get_open_orders("BTCUSDT")
        gone = client.cancel_order("BTCUSDT", orderId=rests["orderId"])
        found = client.get_order("BTCUSDT", origClientOrderId="one")
        trades = client.my_trades("BTCUSDT")
        balances = {each["asset"]: D(each["free"]) for each in client.account()["balances"]}
        first, second = stage.orders()

    assert (bought["status"], found["status"], gone["status"]) == ("FILLED", "FILLED", "CANCELED")
    assert [each["orderId"] for each in listed] == [rests["orderId"]]
    assert (first.state, second.state) == (State.FILLED, State.CANCELLED)
    assert sum(D(each["qty"]) for each in trades) == D("0.5")
    assert balances["BTC"] == stage.account.totals()["BTC"]
    assert balances["USDT"] == stage.account.totals()["USDT"]


def test_bybits_own_library_trades() -> None:
    from pybit.unified_trading import HTTP

    with played("BYBIT") as stage:
        client = HTTP(api_key=KEY, api_secret=SECRET)
        client.endpoint = stage.url
        given = {"category": "spot", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.5"}

        client.place_order(**given, price=str(round(stage.ask * D("1.02"), 1)), orderLinkId="one")
        rests = client.place_order(**given, price=str(round(stage.ask * D("0.98"), 1)))["result"]["orderId"]
        listed = client.get_open_orders(category="spot", symbol="BTCUSDT")["result"]["list"]
        client.cancel_order(category="spot", symbol="BTCUSDT", orderId=rests)
        trades = client.get_executions(category="spot", symbol="BTCUSDT")["result"]["list"]
        (wallet,) = client.get_wallet_balance(accountType="UNIFIED")["result"]["list"]
        first, second = stage.orders()

    balances = {each["coin"]: D(each["walletBalance"]) for each in wallet["coin"]}
    assert [each["orderId"] for each in listed] == [rests]
    assert (first.state, second.state) == (State.FILLED, State.CANCELLED)
    assert {each["orderLinkId"] for each in trades} == {"one"}
    assert sum(D(each["execQty"]) for each in trades) == D("0.5")
    assert balances == stage.account.totals()


def test_kucoins_own_library_trades() -> None:
    from kucoin_universal_sdk.api import DefaultClient
    from kucoin_universal_sdk.generate.account.account import GetSpotAccountListReqBuilder
    from kucoin_universal_sdk.generate.spot.order import (
        AddOrderSyncReqBuilder,
        CancelOrderByOrderIdSyncReqBuilder,
        GetOpenOrdersReqBuilder,
        GetOrderByOrderIdReqBuilder,
    )
    from kucoin_universal_sdk.model import ClientOptionBuilder, TransportOptionBuilder

    with played("KUCOIN") as stage:
        option = (
            ClientOptionBuilder()
            .set_key(KEY)
            .set_secret(SECRET)
            .set_passphrase(PHRASE)
            .set_spot_endpoint(stage.url)
            .set_transport_option(TransportOptionBuilder().build())
            .build()
        )
        service = DefaultClient(option).rest_service()
        orders, accounts = service.get_spot_service().get_order_api(), service.get_account_service()

        def placed(price: Decimal, name: str) -> str:
            made = (
                AddOrderSyncReqBuilder()
                .set_client_oid(name)
                .set_side("buy")
                .set_symbol("BTC-USDT")
                .set_type("limit")
                .set_price(str(round(price, 1)))
                .set_size("0.5")
                .build()
            )
            return str(orders.add_order_sync(made).order_id)

        bought, rests = placed(stage.ask * D("1.02"), "one"), placed(stage.ask * D("0.98"), "two")
        listed = orders.get_open_orders(GetOpenOrdersReqBuilder().set_symbol("BTC-USDT").build()).data
        orders.cancel_order_by_order_id_sync(
            CancelOrderByOrderIdSyncReqBuilder().set_symbol("BTC-USDT").set_order_id(rests).build()
        )
        found = orders.get_order_by_order_id(
            GetOrderByOrderIdReqBuilder().set_symbol("BTC-USDT").set_order_id(bought).build()
        )
        held = accounts.get_account_api().get_spot_account_list(
            GetSpotAccountListReqBuilder().set_type("trade").build()
        )
        first, second = stage.orders()

    assert [each.id for each in listed] == [rests]
    assert (first.state, second.state) == (State.FILLED, State.CANCELLED)
    assert (D(found.deal_size), found.active, found.client_oid) == (D("0.5"), False, "one")
    assert {each.currency: D(each.balance) for each in held.data} == stage.account.totals()
