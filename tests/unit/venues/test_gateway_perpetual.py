"""Perpetuals through the gateway to a local exchange: exits only make smaller, stops stay at the venue beside them."""

from collections.abc import AsyncIterator

import pytest

from abidance.model.event import OrderFilled
from abidance.model.order import OrderType, Side
from abidance.testing.exchange import Fault, Wrong
from tests.unit.venues.trading_world import PERPETUALS, D, World


@pytest.fixture(params=PERPETUALS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    made = await World(venue=request.param, is_perpetual=True).start()
    yield made
    await made.stop()


async def exposed(world: World) -> list[tuple[str, object]]:
    """Return what the venue says of positions."""
    dialect = world.gateway.dialect
    call = dialect.exposures()
    assert call is not None
    found = dialect.read_exposures(await world.wire.ask(call))
    return [(each.instrument, each.quantity) for each in found]


async def test_a_position_is_opened_and_read_back_with_its_leverage(world: World) -> None:
    order = world.submit(Side.SELL, "0.5")
    await world.advance(2)

    call = world.gateway.dialect.exposures()
    assert call is not None
    (found,) = world.gateway.dialect.read_exposures(await world.wire.ask(call))

    assert world.filled(order) == D("0.5")
    assert (found.instrument, found.quantity) == (world.btc.id, D("-0.5"))
    assert found.entry > 0
    assert found.leverage >= 1
    assert not found.is_hedged
    assert world.gateway.doubts == {}


async def test_a_stop_stays_at_the_venue_while_an_exit_goes(world: World) -> None:
    world.submit(quantity="0.2")
    await world.advance(1)
    stop = world.stop_loss(below=2_000)
    await world.advance(1)

    leave = world.submit(Side.SELL, "0.05", reduce_only=True)
    await world.advance(2)

    tracked = world.gateway.register.get(stop)
    assert tracked is not None
    assert (world.placed(stop), tracked.held, world.told(stop)) == (1, False, ["OrderAccepted"])
    assert world.filled(leave) == D("0.05")
    assert await exposed(world) == [(world.btc.id, D("0.15"))]


async def test_an_exit_never_opens_a_position_the_other_way(world: World) -> None:
    leave = world.submit(Side.SELL, "0.05", reduce_only=True)
    await world.advance(5)

    assert world.told(leave)[-1] in ("OrderRejected", "OrderCancelled", "OrderExpired")
    assert world.filled(leave) == 0
    assert await exposed(world) == []


async def test_an_order_in_hedge_mode_is_refused(world: World) -> None:
    world.account.is_hedged = True

    order = world.submit(quantity="0.1")
    await world.advance(1)

    assert world.told(order) == ["OrderRejected"]


async def test_a_stop_and_a_resting_order_are_changed_and_taken_back(world: World) -> None:
    world.submit(quantity="0.1")
    await world.advance(1)
    stop, order = world.stop_loss(below=2_000), world.rest()
    await world.advance(1)

    world.amend(stop, quantity=D("0.05"), trigger=world.bid() - 1_000)
    world.amend(order, quantity=D("0.2"), price=D(20_000))
    await world.advance(2)
    changed = [each.ticket.lots for each in world.exchange.desk.orders.values() if each.state.is_working]
    await world.gateway.cancel_all()
    await world.advance(2)

    assert changed == [world.lots("0.05"), world.lots("0.2")]
    for each in (stop, order):
        assert world.told(each) == ["OrderAccepted", "OrderAmended", "OrderCancelled"]


@pytest.mark.parametrize("wrong", [Wrong.LOST, Wrong.FAIL])
async def test_an_order_whose_answer_was_lost_is_found_and_never_sent_again(
    world: World, wrong: Wrong
) -> None:
    world.exchange.faults.add(Fault(wrong, world.scene.order))

    order = world.rest()
    await world.advance(5)

    assert world.told(order)[-1] == "OrderAccepted"
    assert world.placed(order) == 1


async def test_an_order_that_never_arrived_is_abandoned_only_by_proof(world: World) -> None:
    world.exchange.faults.add(Fault(Wrong.DEAF, world.scene.order))

    order = world.submit(type=OrderType.LIMIT, price=world.bid() - 500)
    await world.advance(44)

    assert world.told(order) == ["OrderUnknown", "OrderAbandoned"]


async def test_fills_that_the_stream_lost_are_found_once(world: World) -> None:
    world.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))

    order = world.submit(quantity="0.3")
    await world.advance(40)

    ids = [event.fill.id for event in world.events if isinstance(event, OrderFilled)]
    assert world.filled(order) == D("0.3")
    assert len(ids) == len(set(ids))
    assert {event.fill.fee_asset for event in world.events if isinstance(event, OrderFilled)} == {"USDT"}
