"""Changes of orders at a venue: told as the venue has them, whatever becomes of the answer."""

import pytest

from abidance.model.event import OrderAmended
from abidance.model.instrument import InstrumentKind
from abidance.testing.exchange import Fault, Wrong
from abidance.venues.accounts import ACCOUNTS
from tests.unit.venues.trading_world import SCENES, D, World

AMENDING = sorted(v for v in SCENES if ACCOUNTS[v, InstrumentKind.SPOT]([]).capability.amends)
PATHS = {"BYBIT": "/v5/order/amend", "KRAKEN": "/0/private/AmendOrder"}


async def resting(venue: str, fault: Wrong | None = None, *, hears: bool = True) -> tuple[World, str]:
    """Return a world in which an order rests whose change goes wrong."""
    world = await World(venue=venue).start()
    order = world.rest()
    await world.advance(3)
    if fault is not None:
        world.exchange.faults.add(Fault(fault, PATHS[venue]))
    if not hears:
        world.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))
    return world, order


def test_each_venue_that_changes_orders_is_tried() -> None:
    assert sorted(PATHS) == AMENDING


@pytest.mark.parametrize("hears", [True, False])
@pytest.mark.parametrize("fault", [Wrong.LOST, Wrong.FAIL])
@pytest.mark.parametrize("venue", AMENDING)
async def test_a_change_whose_answer_was_lost_is_told_as_what_the_venue_did(
    venue: str, fault: Wrong, *, hears: bool
) -> None:
    world, order = await resting(venue, fault, hears=hears)

    world.amend(order, quantity=D("0.2"), price=D(20_000))
    await world.advance(30)

    assert world.exchange.faults.script[0].hits
    assert world.told(order) == ["OrderAccepted", "OrderAmended"]
    known = world.orders.get(order)
    assert known is not None
    assert (known.request.quantity, known.request.price) == (D("0.2"), D(20_000))
    await world.stop()


@pytest.mark.parametrize("venue", AMENDING)
async def test_a_change_that_never_arrived_is_refused_once_the_venue_has_shown_that(venue: str) -> None:
    world, order = await resting(venue, Wrong.DEAF)

    world.amend(order, price=D(20_000))
    await world.advance(40)

    assert world.told(order) == ["OrderAccepted", "ChangeRejected"]
    known, (placed,) = world.orders.get(order), world.exchange.desk.orders.values()
    assert known is not None
    assert placed.ticket.price is not None
    assert known.request.price == placed.ticket.price * world.btc.tick != D(20_000)
    await world.stop()


@pytest.mark.parametrize("venue", sorted(SCENES))
async def test_what_somebody_changed_of_our_order_is_taken_over(venue: str) -> None:
    world, order = await resting(venue, hears=False)
    (placed,) = world.exchange.desk.orders.values()

    world.exchange.desk.amend(placed, world.exchange.now, lots=world.lots("0.3"))
    await world.advance(45)

    (told,) = [each for each in world.events if isinstance(each, OrderAmended)]
    known = world.orders.get(order)
    assert known is not None
    assert told.quantity == known.request.quantity == D("0.3")
    await world.stop()
