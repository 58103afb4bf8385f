"""Changes of orders at a venue: told as the venue has them, whatever becomes of the answer."""

import asyncio
from decimal import Decimal

import pytest

from abidance.model.command import Amend
from abidance.model.event import OrderAmended
from abidance.model.instrument import InstrumentKind
from abidance.testing.exchange import Fault, Wrong
from abidance.venues.accounts import ACCOUNTS
from abidance.venues.net.transport import NotSentError
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


async def test_a_change_that_an_earlier_process_had_made_is_told_as_done_though_the_venue_refuses_it() -> (
    None
):
    world, order = await resting("BYBIT", Wrong.LOST, hears=False)
    world.amend(order, quantity=D("0.2"), price=D(20_000))
    await world.advance(0.5)
    await world.restart()
    before = world.told(order)

    world.gateway.execute([Amend(order, D("0.2"), D(20_000), None, world.pulse.wall())])
    await world.advance(5)

    assert world.exchange.faults.script[0].hits
    assert "OrderAmended" not in before
    assert world.told(order)[len(before) :] == ["OrderAmended"]
    await world.stop()


@pytest.mark.parametrize("venue", AMENDING)
async def test_a_change_that_the_venue_refuses_is_looked_at_once_and_told_as_refused(venue: str) -> None:
    world, order = await resting(venue)

    world.amend(order, quantity=D("1000"))
    await world.advance(10)

    assert world.told(order) == ["OrderAccepted", "ChangeRejected"]
    await world.stop()


def forbidden(_order_id: str) -> None:
    raise NotSentError("The account may be another one's by now.", "Only exits leave meanwhile.")


@pytest.mark.parametrize("venue", AMENDING)
@pytest.mark.parametrize("given", [{"quantity": D("0.2")}, {"price": D(20_000)}])
async def test_a_change_that_may_risk_more_passes_the_last_look_before_it_leaves(
    venue: str, given: dict[str, Decimal]
) -> None:
    world, order = await resting(venue)
    (placed,) = world.exchange.desk.orders.values()
    ticket = placed.ticket
    world.gateway._way.departs = forbidden

    world.amend(order, **given)
    await world.advance(5)

    assert world.told(order) == ["OrderAccepted", "ChangeRejected"]
    assert placed.ticket == ticket
    await world.stop()


@pytest.mark.parametrize("venue", AMENDING)
async def test_a_change_that_makes_an_entry_smaller_leaves_whatever_the_last_look_says(venue: str) -> None:
    world, order = await resting(venue)
    world.gateway._way.departs = forbidden

    world.amend(order, quantity=D("0.05"))
    await world.advance(5)

    assert world.told(order) == ["OrderAccepted", "OrderAmended"]
    await world.stop()


async def test_the_stop_of_an_account_that_may_be_another_ones_follows_its_position() -> None:
    world = await World(venue="KRAKEN").start()
    stop = await world.guarded()
    world.gateway._way.departs = forbidden

    world.amend(stop, quantity=D("0.095"))
    await world.advance(5)

    assert world.told(stop) == ["OrderAccepted", "OrderAmended"]
    await world.stop()


class Slow:
    """A record that is safe once somebody says so."""

    has_failed = False

    def __init__(self) -> None:
        self.seq, self.safe = 1, asyncio.Event()

    async def done(self, seq: int) -> None:
        del seq
        await self.safe.wait()


@pytest.mark.parametrize("venue", AMENDING)
async def test_what_is_taken_back_while_its_change_waits_for_the_disk_is_not_changed_any_more(
    venue: str,
) -> None:
    world, order = await resting(venue)
    (placed,) = world.exchange.desk.orders.values()
    ticket, record = placed.ticket, Slow()
    world.gateway._way.record = record
    world.amend(order, quantity=D("0.2"))
    await world.advance(0.25)
    tracked = world.gateway.register.get(order)
    assert tracked is not None

    tracked.is_unwanted = True  # the kill switch
    record.safe.set()
    await world.advance(5)

    assert placed.ticket == ticket
    assert world.told(order) == ["OrderAccepted", "ChangeRejected"]
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
