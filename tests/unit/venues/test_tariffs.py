"""What an account pays is asked of each venue, and read as it is written there."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from abidance.market.reference import instrument
from abidance.model.errors import VenueError
from abidance.model.instrument import InstrumentKind
from abidance.venues.account import Call, Rates
from abidance.venues.accounts import ACCOUNTS, account_of
from abidance.venues.net.transport import Answer
from abidance.venues.tariff import ask_rates
from tests.unit.venues.trading_world import World

D = Decimal
Key = tuple[str, InstrumentKind]
SPOT, CONTRACT = InstrumentKind.SPOT, InstrumentKind.PERPETUAL
NO_COMMISSION = dict.fromkeys(("maker", "taker", "buyer", "seller"), "0.00000000")
ASKED: dict[Key, tuple[str, str, dict[str, str]]] = {
    ("BINANCE", SPOT): ("GET", "account/commission", {"symbol": "BTCUSDT"}),
    ("BINANCE", CONTRACT): ("GET", "commissionRate", {"symbol": "BTCUSDT"}),
    ("BYBIT", SPOT): ("GET", "v5/account/fee-rate", {"category": "spot", "symbol": "BTCUSDT"}),
    ("BYBIT", CONTRACT): ("GET", "v5/account/fee-rate", {"category": "linear", "symbol": "BTCUSDT"}),
    ("KRAKEN", SPOT): ("POST", "TradeVolume", {"pair": "XBTUSDT"}),
    ("KUCOIN", SPOT): ("GET", "trade-fees", {"symbols": "BTC-USDT"}),
    ("MEXC", SPOT): ("GET", "tradeFee", {"symbol": "BTCUSDT"}),
}
"""By the venues' documents; paths as ccxt writes them."""
TOLD: dict[Key, tuple[object, str, str]] = {
    ("BINANCE", SPOT): (
        {
            "symbol": "BTCUSDT",
            "standardCommission": {"maker": "0.0010", "taker": "0.0020", "buyer": "0.0001", "seller": "0.0003"},
            "specialCommission": {"maker": "0.0100", "taker": "0.0200", "buyer": "0", "seller": "0"},
            "taxCommission": {"maker": "0.0400", "taker": "0.0500", "buyer": "0.0700", "seller": "0.0600"},
            "discount": {"enabledForAccount": True, "enabledForSymbol": True, "discountAsset": "BNB", "discount": "0.75"},
        },
        "0.1213",
        "0.1423",
    ),
    ("BINANCE", CONTRACT): (
        {"symbol": "BTCUSDT", "makerCommissionRate": "0.0002", "takerCommissionRate": "0.0004"}, "0.0002", "0.0004",
    ),
    ("BYBIT", SPOT): (
        {"retCode": 0, "retMsg": "OK", "result": {"list": [{"symbol": "BTCUSDT", "takerFeeRate": "0.0006", "makerFeeRate": "0.0001"}]},
         "retExtInfo": {}, "time": 1676360412576}, "0.0001", "0.0006",
    ),
    ("BYBIT", CONTRACT): (
        {"retCode": 0, "retMsg": "OK", "result": {"list": [{"symbol": "BTCUSDT", "takerFeeRate": "0.00055", "makerFeeRate": "-0.0001"}]}},
        "-0.0001", "0.00055",
    ),
    ("KRAKEN", SPOT): (
        {"error": [], "result": {"currency": "ZUSD", "volume": "0.0000", "fees": {"XBTUSDT": {"fee": "0.2600", "minfee": "0.1000"}},
         "fees_maker": {"XBTUSDT": {"fee": "0.1600"}}}}, "0.0016", "0.0026",
    ),
    ("KUCOIN", SPOT): (
        {"code": "200000", "data": [{"symbol": "BTC-USDT", "takerFeeRate": "0.003", "makerFeeRate": "0.002"}]}, "0.002", "0.003",
    ),
    ("MEXC", SPOT): (
        {"data": {"makerCommission": 0.0, "takerCommission": 0.000500000000000000}, "code": 0, "msg": "success", "timestamp": 1669109672717},
        "0", "0.0005",
    ),
}  # fmt: skip
"""Answers in the form in which venues document them, and what they say: for orders that rest, and that take."""
REFUSED: dict[str, object] = {
    "BINANCE": {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."},
    "BYBIT": {"retCode": 10005, "retMsg": "Permission denied", "result": {}},
    "KRAKEN": {"error": ["EGeneral:Permission denied"]},
    "KUCOIN": {"code": "400007", "msg": "Access denied"},
    "MEXC": {"code": 700007, "msg": "No permission to access the endpoint"},
}


@pytest.fixture
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    venue, kind = request.param
    made = await World(venue=venue, is_perpetual=kind is CONTRACT).start()
    yield made
    await made.stop()


async def asked(key: Key, answer: Answer) -> tuple[Call, Rates | None]:
    """Ask, answer, and return both."""
    id = f"BTC/USDT{':USDT' * (key[1] is CONTRACT)}@{key[0]}"
    calls = list[Call]()

    async def ask(call: Call) -> Answer:
        calls.append(call)
        return answer

    found = await ask_rates(account_of(*key, [instrument(id)]), ask, id)
    return calls[0], found


def body(told: object) -> Answer:
    return Answer(200, {}, json.dumps(told).encode())


@pytest.mark.parametrize("key", ACCOUNTS)
async def test_fees_are_asked_for_and_read_as_the_venue_documents_it(key: Key) -> None:
    told, maker, taker = TOLD[key]

    call, found = await asked(key, body(told))

    assert (call.method, call.path) == ASKED[key][:2]
    assert call.params.items() >= ASKED[key][2].items()
    assert found == Rates(D(maker), D(taker))


@pytest.mark.parametrize("world", ACCOUNTS, indirect=True)
async def test_the_local_exchange_tells_what_it_takes_of_a_trade(world: World) -> None:
    world.account.maker, world.account.taker = D("0.0007"), D("0.0031")

    found = await ask_rates(world.gateway.dialect, world.gateway._way.wire.ask, world.btc.id)
    world.submit()
    await world.advance(3)

    assert found == Rates(D("0.0007"), D("0.0031"))
    parts = [
        part
        for order in world.exchange.desk.orders.values()
        if order.account is world.account
        for part in order.parts
    ]
    assert parts
    assert all(part.fee > 0 for part in parts)


@pytest.mark.parametrize("key", ACCOUNTS)
@pytest.mark.parametrize("answer", ["refused", "page", "503", "list", "NaN", "one", "none of it"])
async def test_what_tells_no_fees_is_no_answer(key: Key, answer: str) -> None:
    told = json.dumps(TOLD[key][0])
    taker = {"MEXC": "0.0005", "KRAKEN": '"0.2600"'}.get(key[0], f'"{TOLD[key][2]}"')
    told = told.replace('"0.0020"', taker) if key == ("BINANCE", SPOT) else told
    answers = {
        "refused": body(REFUSED[key[0]]),
        "page": Answer(200, {}, b"<html>"),
        "503": Answer(503, {}, json.dumps(TOLD[key][0]).encode()),
        "list": body([]),
        "NaN": Answer(200, {}, told.replace(taker, '"NaN"').encode()),
        "one": Answer(200, {}, told.replace(taker, '"100.0"').encode()),
        "none of it": body({"retCode": 0, "code": "200000", "error": [], "result": {"list": [], "fees": {}}, "data": []}),
    }  # fmt: skip
    assert answers["NaN"].body != told.encode()

    with pytest.raises(VenueError):
        await asked(key, answers[answer])
