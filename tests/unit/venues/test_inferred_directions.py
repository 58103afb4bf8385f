"""Stops where the venue takes the direction from the side on which it meets the market: none waits on the wrong one."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from abidance.testing.exchange import Fault, Wrong
from abidance.testing.exchange.desk import Placed, State, live
from tests.unit.venues.trading_world import D, World

CANCEL = "/v5/order/cancel"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = await World(venue="BYBIT").start()
    yield made
    await made.stop()


def watch(world: World, above: Decimal | int = 0) -> None:
    """Let the gateway see the market, or one that is so much higher."""
    bid = float(world.bid() + above)
    world.gateway.watch(world.btc.id, bid, bid + 1)


async def crossed(world: World) -> str:
    """Hold a position whose stop was crossed on its way, as the gateway finds out; return the stop's id."""
    world.submit(quantity="0.1")
    await world.advance(1)
    watch(world, above=200)  # what is known when the stop leaves
    stop = world.stop_loss(below=-100)
    await world.advance(0.5)
    return stop


def waiting(world: World) -> list[Placed]:
    return [each for each in live(world.exchange.desk.orders.values()) if each.state is State.WAITING]


def taken_back(world: World) -> int:
    return sum(each.path == CANCEL for each in world.exchange.requests)


async def test_a_stop_that_was_crossed_on_its_way_waits_there_for_the_price_to_come_back(
    world: World,
) -> None:
    stop = await crossed(world)

    await world.advance(10)  # nobody sees the market: nothing is done

    (placed,) = waiting(world)
    assert (placed.ticket.client_id, placed.rising) == (stop, True)
    assert world.filled(stop) == 0


async def test_a_stop_that_was_crossed_on_its_way_is_taken_back_and_sells_at_market(world: World) -> None:
    stop = await crossed(world)

    for _ in range(8):
        watch(world)
        await world.advance(0.5)

    assert world.filled(stop) == D("0.09")
    assert waiting(world) == []
    assert set(world.told(stop)) == {"OrderAccepted", "OrderFilled"}


async def test_a_stop_that_the_market_passes_for_a_moment_stays_at_the_venue(world: World) -> None:
    stop = await crossed(world)

    for _ in range(6):
        watch(world)
        await world.advance(1.5)
        watch(world, above=200)

    assert [each.ticket.client_id for each in waiting(world)] == [stop]
    assert taken_back(world) == 0


@pytest.mark.parametrize("wrong", [Wrong.LOST, Wrong.FAIL, Wrong.DEAF, Wrong.ERROR])
async def test_a_crossed_stop_whose_taking_back_is_in_doubt_sells_once_or_ends(
    world: World, wrong: Wrong
) -> None:
    stop = await crossed(world)
    fault = world.exchange.faults.add(Fault(wrong, CANCEL, 0, 2, 2.0))

    for _ in range(80):
        watch(world)
        await world.advance(0.5)

    was_done = wrong in (Wrong.LOST, Wrong.FAIL)  # then whoever wished it hears so, and decides anew
    sold = sum(each.filled for each in world.exchange.desk.orders.values() if each.ticket.side < 0)
    assert fault.hits
    assert world.told(stop)[-1] == ("OrderCancelled" if was_done else "OrderFilled")
    assert world.filled(stop) == sold * world.btc.lot == (0 if was_done else D("0.09"))
    assert waiting(world) == []


async def test_a_stop_whose_price_is_known_to_be_passed_is_not_sent_and_sells_at_market(world: World) -> None:
    world.submit(quantity="0.1")
    await world.advance(1)
    watch(world)

    stop = world.stop_loss(below=-100)
    await world.advance(1)
    sent = world.placed(stop)
    watch(world)
    await world.advance(1)

    assert sent == 0
    assert world.filled(stop) == D("0.09")
    assert [each.ticket.trigger for each in world.exchange.desk.orders.values()] == [None, None]


async def test_a_stop_whose_price_was_passed_and_is_not_any_more_goes_to_the_venue(world: World) -> None:
    world.submit(quantity="0.1")
    await world.advance(1)
    watch(world, above=-500)

    stop = world.stop_loss(below=300)
    await world.advance(0.1, step=0.1)
    held = world.placed(stop)
    watch(world)
    await world.advance(2)

    (placed,) = waiting(world)
    assert (held, placed.ticket.client_id, placed.rising) == (0, stop, False)


async def test_a_stop_that_is_moved_past_the_market_sells_at_market(world: World) -> None:
    stop = await world.guarded()
    watch(world)

    world.amend(stop, trigger=world.bid() + 100)
    for _ in range(10):
        await world.advance(0.5)
        watch(world)

    assert world.filled(stop) == D("0.09")


async def test_a_stop_that_trades_by_itself_is_left_alone(world: World) -> None:
    stop = await world.guarded(below=5)

    while not world.filled(stop):
        watch(world)
        await world.advance(0.25)
    await world.advance(5)

    assert world.filled(stop) == D("0.09")
    assert world.placed(stop) == 1


async def test_the_kill_switch_takes_back_what_waits_apart_and_what_rests(world: World) -> None:
    stop, entry = await world.guarded(), world.rest()
    await world.advance(1)
    before = len(list(live(world.exchange.desk.orders.values())))

    killed = world.gateway.cancel_all()
    await world.advance(5)

    assert before == 2
    assert list(live(world.exchange.desk.orders.values())) == []
    assert {world.told(each)[-1] for each in (stop, entry)} == {"OrderCancelled"}
    assert killed.done()
