"""Binance counts orders of each instrument by themselves: two may have one number, and each keeps what it filled."""

import json
from collections.abc import Sequence
from decimal import Decimal

import pytest

from abidance.market.reference import instrument
from abidance.model.account import OWNER
from abidance.model.event import OrderFilled
from abidance.model.instrument import Instrument, InstrumentKind
from abidance.testing.exchange import LocalExchange, generated
from abidance.testing.exchange.house import Asked
from abidance.venues.account import AccountDialect
from abidance.venues.accounts import account_of
from abidance.venues.net.transport import Answer
from tests.unit.venues.net_world import EPOCH
from tests.unit.venues.other_venue import other
from tests.unit.venues.trading_world import Speaks, World, _Wall

ETH = instrument("ETH/USDT@BINANCE")


def with_ether(speaks: Speaks) -> Speaks:
    def account(venue: str, kind: InstrumentKind, traded: Sequence[Instrument]) -> AccountDialect:
        return speaks(venue, kind, [*traded, ETH])

    return account


@pytest.mark.parametrize("speaks", [account_of, other])
async def test_what_somebody_trades_by_hand_is_not_our_order_of_that_number_in_another_instrument(
    speaks: Speaks,
) -> None:
    world, by_hand = World(speaks=with_ether(speaks)), list[dict[str, object]]()
    markets = [generated(id, 7, EPOCH, pace=5.0, past_seconds=600) for id in (world.btc.id, ETH.id)]
    world.market = markets[0]
    world.exchange = LocalExchange(markets, start=EPOCH, clock=_Wall(world.pulse), accounts=[world.account])

    def ether(asked: Asked) -> Answer | None:
        if asked.query.get("symbol") != "ETHUSDT" or "ticker" in asked.path:
            return None
        if asked.path.endswith("/order"):
            return Answer(400, {}, b'{"code":-2013,"msg":"Order does not exist."}')
        return Answer(200, {}, json.dumps(by_hand if asked.path.endswith("/myTrades") else []).encode())

    world.instead = ether
    await world.start()
    try:
        ours = world.rest()
        await world.advance(5)
        (placed,) = (each for each in world.exchange.desk.orders.values() if each.ticket.client_id == ours)
        by_hand.append(
            {"symbol": "ETHUSDT", "id": 5, "orderId": placed.id, "price": "3000", "qty": "0.05", "commission": "0.1",
             "commissionAsset": "USDT", "time": world.pulse.wall() // 1_000_000, "isBuyer": True, "isMaker": False}
        )  # fmt: skip
        await world.advance(70)
    finally:
        await world.stop()

    assert placed.filled == 0
    fills = [each.fill for each in world.events if isinstance(each, OrderFilled)]
    assert [(each.strategy, each.instrument, each.quantity) for each in fills] == [
        (OWNER, ETH.id, Decimal("0.05"))
    ]
