"""The dead man's switch: what rests is taken back once nobody is heard, where no stop of ours can be taken along."""

from collections.abc import AsyncIterator

import pytest

from abidance.market.reference import instrument
from abidance.model.instrument import InstrumentKind
from abidance.model.order import STOP_TYPES
from abidance.testing.exchange import Fault, Wrong
from abidance.testing.exchange.core import BUY
from abidance.testing.exchange.desk import Ticket, live
from abidance.venues.accounts import ACCOUNTS, account_of
from abidance.venues.trading.countdown import CAUSE
from tests.unit.venues.trading_world import World

PATH = "/api/v1/hf/orders/dead-cancel-all"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = await World(venue="KUCOIN").start()
    yield made
    await made.stop()


def standing(world: World) -> int:
    """Return how many orders stand at the exchange."""
    return sum(1 for _ in live(world.exchange.desk.of(world.account, world.market)))


async def test_an_entry_of_a_process_that_died_is_gone_once_nobody_was_heard_for_a_minute(
    world: World,
) -> None:
    world.rest()
    await world.advance(1)

    await world.stop()
    await world.advance(44)
    early = standing(world)
    await world.advance(20)

    assert early == 1
    assert standing(world) == 0


async def test_an_order_of_a_program_that_lives_stays(world: World) -> None:
    order = world.rest()

    await world.advance(200)

    assert standing(world) == 1
    assert world.told(order) == ["OrderAccepted"]
    assert world.gateway.doubts == {}


async def test_a_process_that_comes_back_in_time_keeps_its_orders(world: World) -> None:
    order = world.rest()
    await world.advance(1)

    await world.restart(down=30)
    await world.advance(100)

    assert standing(world) == 1
    assert world.told(order)[-1] == "OrderAccepted"


async def test_a_process_that_comes_back_too_late_hears_that_its_order_was_taken_back(world: World) -> None:
    order = world.rest()
    await world.advance(1)

    await world.restart(down=90)
    await world.advance(5)

    assert standing(world) == 0
    assert world.told(order)[-1] == "OrderCancelled"


async def test_a_switch_that_cannot_be_renewed_is_a_doubt_until_it_can(world: World) -> None:
    world.exchange.faults.add(Fault(Wrong.ERROR, PATH, times=5))

    await world.advance(16)
    doubted = world.gateway.doubts.get(CAUSE, "")
    await world.advance(30)

    assert "the dead man's switch cannot be renewed" in doubted
    assert world.exchange.faults.unhit() == []
    assert world.gateway.doubts == {}


async def test_a_renewal_that_is_lost_now_and_then_costs_no_order(world: World) -> None:
    order = world.rest()
    world.exchange.faults.add(Fault(Wrong.DEAF, PATH, times=2))

    await world.advance(120)

    assert world.exchange.faults.unhit() == []
    assert world.told(order) == ["OrderAccepted"]


async def test_a_program_that_ends_with_nothing_at_the_venue_calls_the_switch_off(world: World) -> None:
    order = world.rest()
    await world.advance(1)
    world.cancel(order)
    await world.advance(1)

    await world.stop()
    await world.gateway.dead_man.release()
    price = int((world.bid() - 500) / world.btc.tick)
    ticket = Ticket("by-hand", BUY, world.lots("0.1"), price)
    by_hand = world.exchange.desk.place(world.account, world.market, ticket, world.exchange.now)
    await world.advance(90)

    assert by_hand.state.is_working


async def test_a_program_that_ends_while_an_entry_rests_leaves_the_switch_to_take_it(world: World) -> None:
    world.rest()
    await world.advance(1)

    await world.stop()
    await world.gateway.dead_man.release()
    await world.advance(65)

    assert standing(world) == 0


@pytest.mark.parametrize(("venue", "kind"), ACCOUNTS)
def test_no_switch_is_set_where_a_stop_of_ours_may_stand(venue: str, kind: InstrumentKind) -> None:
    quote = "USDT" if kind is InstrumentKind.SPOT else "USDT:USDT"
    account = account_of(venue, kind, [instrument(f"BTC/{quote}@{venue}")])

    assert account.countdown is None or not account.capability.native & STOP_TYPES
