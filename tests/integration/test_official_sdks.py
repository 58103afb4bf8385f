"""The exchanges' own Python libraries trade on the local exchange as they are: only the address is another one."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from queue import Queue
from typing import Any

import pytest

from abidance.kernel.clock import WallClock
from abidance.testing.exchange import Account, LocalExchange, Market, generated
from abidance.testing.exchange.bybit_orders import BybitOrders
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
        self.url, self.stream_url = exchange.rest_url, exchange.stream_url
        self.exchange, self.market, self.account = exchange, market, account

    @property
    def ask(self) -> Decimal:
        return D(str(self.market.ladder(1).asks[0][0]))

    def orders(self) -> list[Placed]:
        return self.exchange.desk.of(self.account)


@contextmanager
def played(venue: str, *, is_perpetual: bool = False) -> Iterator[Stage]:
    opened, closing = threading.Event(), threading.Event()
    clock = WallClock()
    market, account = (
        generated(f"BTC/USDT{':USDT' * is_perpetual}@{venue}", 7, clock.now()),
        Account(KEY, SECRET, PHRASE),
    )
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
    from binance_common.configuration import ConfigurationRestAPI
    from binance_common.errors import BadRequestError
    from binance_sdk_spot.spot import Spot

    with played("BINANCE") as stage:
        reach = ConfigurationRestAPI(api_key=KEY, api_secret=SECRET, base_path=stage.url)
        client = Spot(config_rest_api=reach).rest_api
        given = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "time_in_force": "GTC", "quantity": 0.5}
        stop = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_LOSS", "quantity": 0.2}
        below, above = (float(round(stage.ask * D(by), 2)) for by in ("0.98", "1.02"))

        bought = client.new_order(**given, price=above, new_client_order_id="one").data()
        rests = client.new_order(**given, price=below).data()
        listed = client.get_open_orders(symbol="BTCUSDT").data()
        gone = client.delete_order(symbol="BTCUSDT", order_id=rests.order_id).data()
        guard = client.new_order(**stop, stop_price=below, new_client_order_id="two").data()
        with pytest.raises(BadRequestError, match="insufficient balance"):
            client.new_order(**given | {"quantity": 100.0}, price=below)
        found = client.get_order(symbol="BTCUSDT", orig_client_order_id="one").data()
        trades = client.my_trades(symbol="BTCUSDT").data()
        balances = {
            each.asset: D(each.free) + D(each.locked) for each in client.get_account().data().balances
        }
        first, second, waiting = stage.orders()

    assert (bought.status, found.status, gone.status, guard.status) == ("FILLED", "FILLED", "CANCELED", "NEW")
    assert [each.order_id for each in listed] == [rests.order_id]
    assert (first.state, second.state, waiting.state) == (State.FILLED, State.CANCELLED, State.WAITING)
    assert sum(D(each.qty) for each in trades) == D("0.5")
    assert balances == {asset: stage.account.totals()[asset] for asset in ("USDT", "BTC")}


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


def test_binances_own_library_trades_perpetuals() -> None:
    from binance_common.configuration import ConfigurationRestAPI
    from binance_common.errors import BadRequestError
    from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import (
        DerivativesTradingUsdsFutures,
    )

    with played("BINANCE", is_perpetual=True) as stage:
        reach = ConfigurationRestAPI(api_key=KEY, api_secret=SECRET, base_path=stage.url)
        client = DerivativesTradingUsdsFutures(config_rest_api=reach).rest_api
        given = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "time_in_force": "GTC", "quantity": 0.5}
        stop = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "quantity": 0.5}
        below, above = (float(round(stage.ask * D(by), 1)) for by in ("0.9", "1.02"))

        leverage = client.change_initial_leverage(symbol="BTCUSDT", leverage=5).data()
        client.new_order(**given, price=above, new_client_order_id="one")
        rests = client.new_order(**given, price=below).data()
        listed = client.current_all_open_orders(symbol="BTCUSDT").data()
        counted = client.auto_cancel_all_open_orders(symbol="BTCUSDT", countdown_time=60_000).data()
        with pytest.raises(BadRequestError, match="Algo Order API"):  # stops have an entrance of their own
            client.new_order(**stop)
        guard = client.new_algo_order(
            algo_type="CONDITIONAL", **stop, trigger_price=below, reduce_only="true", client_algo_id="two"
        ).data()
        gone = client.cancel_order(symbol="BTCUSDT", order_id=rests.order_id).data()
        trades = client.account_trade_list(symbol="BTCUSDT").data()
        (held,) = client.position_information_v3(symbol="BTCUSDT").data()
        bought, resting, waiting = stage.orders()

    assert (leverage.leverage, counted.countdown_time) == (5, "60000")
    assert [each.order_id for each in listed] == [rests.order_id]
    assert (gone.status, guard.client_algo_id) == ("CANCELED", "two")
    assert (bought.state, resting.state, waiting.state) == (State.FILLED, State.CANCELLED, State.WAITING)
    assert sum(D(each.qty) for each in trades) == D(held.position_amt) == D("0.5")


@pytest.fixture
def way_back(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return what lets the answers to subscriptions come back; until then they are on their way, as if from afar.

    pybit 5.17.0 notes a question once it is sent, and an answer that comes before that ends its reading thread.
    """
    listen, way = BybitOrders.listen, threading.Event()

    def heard(self: BybitOrders, listener: Any, asked: Mapping[str, Any]) -> None:
        loop, say = asyncio.get_running_loop(), listener.say
        with monkeypatch.context() as patch:
            if asked.get("op") == "subscribe":
                patch.setattr(
                    listener,
                    "say",
                    lambda frame: loop.run_in_executor(None, way.wait).add_done_callback(
                        lambda _: say(frame)
                    ),
                )
            listen(self, listener, asked)

    monkeypatch.setattr(BybitOrders, "listen", heard)
    return way


def test_bybits_own_library_trades_perpetuals_and_hears_of_it(
    monkeypatch: pytest.MonkeyPatch, way_back: threading.Event
) -> None:
    from pybit import unified_trading

    with played("BYBIT", is_perpetual=True) as stage:
        monkeypatch.setattr(unified_trading, "PRIVATE_WSS", f"{stage.stream_url}/v5/private")
        told: Queue[dict[str, Any]] = Queue()
        heard: dict[str, str] = {}
        stream = unified_trading.WebSocket("private", testnet=False, api_key=KEY, api_secret=SECRET)
        stream.order_stream(told.put)
        stream.execution_stream(told.put)
        way_back.set()
        client = unified_trading.HTTP(api_key=KEY, api_secret=SECRET)
        client.endpoint = stage.url
        market = {"category": "linear", "symbol": "BTCUSDT", "qty": "0.5"}
        below = str(round(stage.ask * D("0.9"), 1))

        client.set_leverage(category="linear", symbol="BTCUSDT", buyLeverage="5", sellLeverage="5")
        client.place_order(**market, side="Buy", orderType="Market", orderLinkId="one")
        stop = {"triggerPrice": below, "triggerDirection": 2, "reduceOnly": True, "orderLinkId": "two"}
        client.place_order(**market, side="Sell", orderType="Market", **stop)
        (held,) = client.get_positions(category="linear", symbol="BTCUSDT")["result"]["list"]
        (listed,) = client.get_open_orders(category="linear", symbol="BTCUSDT")["result"]["list"]
        while not ({"execution", "Filled", "Untriggered"} <= set(heard)):
            news = told.get(timeout=20)
            for each in news["data"]:
                name = "execution" if news["topic"] == "execution" else each["orderStatus"]
                heard[name] = each["orderLinkId"]
        stream.exit()
        bought, waiting = stage.orders()

    assert (bought.state, waiting.state) == (State.FILLED, State.WAITING)
    assert (D(held["size"]), held["leverage"], held["side"]) == (D("0.5"), "5", "Buy")
    assert (listed["orderLinkId"], listed["triggerPrice"], listed["reduceOnly"]) == ("two", below, True)
    assert (heard["execution"], heard["Filled"], heard["Untriggered"]) == ("one", "one", "two")


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
