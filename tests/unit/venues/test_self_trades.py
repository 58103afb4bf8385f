"""Nobody trades with himself: what a venue's self-trade prevention ends is told as ended, and no fill is made up.

Binance, Bybit, Kraken and KuCoin have such a prevention; the one that is played here, in each dialect, takes the order
that rests (Binance's default, and what we ask of Kraken).
"""

from collections.abc import AsyncIterator

import pytest

from abidance.model.event import OrderCancelled, OrderExpired, OrderFilled
from abidance.model.order import OrderType, Side
from abidance.testing.exchange import Fault, Wrong
from tests.unit.venues.trading_world import D, World


@pytest.fixture(params=["BINANCE", "BYBIT", "KRAKEN", "KUCOIN"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    made = await World(venue=request.param).start()
    yield made
    await made.stop()


async def meets_itself(world: World) -> tuple[str, str]:
    """Let a sale rest, then buy so much that the purchase would meet it; return both orders."""
    world.submit(quantity="0.1")
    await world.advance(2)
    rests = world.submit(Side.SELL, "0.05", type=OrderType.LIMIT, price=world.bid() + 30)
    await world.advance(1)
    assert world.told(rests)[0] == "OrderAccepted"
    takes = world.submit(Side.BUY, "2", type=OrderType.LIMIT, price=world.bid() + 80)
    return rests, takes


def checked(world: World, rests: str, takes: str) -> None:
    """Check that the sale ended, and that the fills are those of the exchange's books."""
    endings = [
        e for e in world.events if isinstance(e, OrderExpired | OrderCancelled) and e.order_id == rests
    ]
    assert len(endings) == 1
    fills = {e.fill.id: e.fill for e in world.events if isinstance(e, OrderFilled)}
    theirs = {o.ticket.client_id: o for o in world.exchange.desk.orders.values()}
    assert theirs[rests].is_self_trade
    for order_id in (rests, takes):
        told = sum((fill.quantity for fill in fills.values() if fill.order_id == order_id), D(0))
        assert told == theirs[order_id].filled * world.btc.lot
    assert world.filled(takes) > 0
    if world.btc.venue in ("BINANCE", "BYBIT"):
        assert any(word in endings[0].reason for word in ("self-trade prevention", "CancelBySmp"))


async def test_an_order_that_would_have_met_our_own_ends_and_nothing_is_traded_with_ourselves(
    world: World,
) -> None:
    rests, takes = await meets_itself(world)
    await world.advance(3)

    checked(world, rests, takes)


async def test_what_self_trade_prevention_ended_is_found_though_the_stream_did_not_tell(world: World) -> None:
    world.exchange.faults.add(Fault(Wrong.GAP, world.scene.own, times=50))

    rests, takes = await meets_itself(world)
    await world.advance(45)

    checked(world, rests, takes)
