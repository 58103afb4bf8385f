"""Answers to a submit that do not say what was done, at each venue: nothing is believed, and nothing is sent again."""

import json
from typing import Any

import pytest

from abidance.testing.exchange.house import Asked
from abidance.venues.net.transport import Answer
from tests.unit.venues.trading_world import World

ORDER = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "origQty": "0.1",
    "executedQty": "0",
    "price": "1",
    "status": "NEW",
}
NAMELESS = [
    ("BINANCE", "spot", []),
    ("BINANCE", "spot", ORDER | {"orderId": 1, "clientOrderId": "another"}),
    ("BINANCE", "perpetual", {"code": 200, "msg": "The operation is done."}),
    ("BINANCE", "cross_margin", []),
    ("BYBIT", "spot", {"retCode": 0, "retMsg": "OK", "result": {"success": "1"}}),
    ("BYBIT", "perpetual", {"retCode": 0, "retMsg": "OK", "result": {"success": "1"}}),
    ("KRAKEN", "spot", {"error": [], "result": {"count": 1}}),
    ("KRAKEN", "spot", {"error": [], "result": {"txid": []}}),
    ("KUCOIN", "spot", {"code": "200000", "data": "success"}),
    ("KUCOIN", "spot", {"code": "200000", "data": {"clientOid": "a", "status": "done"}}),
    ("KUCOIN", "cross_margin", {"code": "200000", "data": {"clientOid": "a"}}),
    ("MEXC", "spot", []),
    ("MEXC", "spot", {"symbol": "BTCUSDT", "orderId": "", "side": "BUY"}),
]


@pytest.mark.parametrize(("venue", "market", "told"), NAMELESS)
async def test_an_answer_that_names_no_order_of_ours_proves_nothing(
    venue: str, market: str, told: object
) -> None:
    wallet = market if market == "cross_margin" else ""
    world = await World(venue=venue, is_perpetual=market == "perpetual", wallet=wallet).start()
    submits: list[Asked] = []

    def nothing_done(asked: Asked) -> Answer | None:
        if (asked.method, asked.path) != ("POST", world.scene.order):
            return None
        submits.append(asked)
        return Answer(200, {}, json.dumps(told).encode())

    world.instead = nothing_done
    order = world.rest()
    await world.advance(1)
    early: list[Any] = world.told(order)
    await world.advance(60)

    assert early == ["OrderUnknown"]
    assert world.told(order) == ["OrderUnknown", "OrderAbandoned"]
    assert len(submits) == 1
    await world.stop()
