"""Several exits of one position at a venue: one rests, the others are held by us, and none sells what is gone."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from abidance.model.instrument import SECOND_NS, InstrumentKind
from abidance.model.order import OrderType, Side
from abidance.testing.exchange import Fault, Wrong
from abidance.testing.exchange.desk import Placed, live
from abidance.venues.accounts import ACCOUNTS, account_of
from abidance.venues.net.transport import Answer
from abidance.venues.trading import keeping
from abidance.venues.trading.inquiry import LAG
from abidance.venues.trading.line import Safe
from abidance.venues.trading.tracked import Tracked
from tests.unit.venues.trading_world import SCENES, D, World

DIALECTS = {venue: account_of(venue, InstrumentKind.SPOT, ()) for venue in SCENES}
KEEPS_STOPS = [name for name, each in DIALECTS.items() if OrderType.STOP in each.capability.native]
"""Where stops stand at the venue; elsewhere we send them when they are due, never behind our back."""
CHANGES = [name for name in KEEPS_STOPS if DIALECTS[name].capability.amends]
"""Where stops at the venue can be changed."""
COUNTS = [name for name, each in DIALECTS.items() if each.counts]
"""Where requests wait for each other."""


@pytest.fixture(params=SCENES)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    made = await World(venue=request.param).start()
    yield made
    await made.stop()


def standing(world: World) -> list[Decimal]:
    """Return how much each order at the venue is for."""
    return [each.ticket.lots * world.btc.lot for each in live(world.exchange.desk.orders.values())]


def known(world: World, order_id: str) -> Tracked:
    tracked = world.gateway.register.get(order_id)
    assert tracked is not None
    return tracked


def is_native(world: World) -> bool:
    return world.btc.venue in KEEPS_STOPS


def answer_slowly(world: World, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let questions (not changes) take so long to be answered."""
    request, questions = world.request, ("OpenOrders", "ClosedOrders", "TradesHistory")

    async def slow(method: str, url: str, *rest: Any) -> Answer:
        if method == "GET" or url.rpartition("/")[2] in questions:
            await world.pulse.sleep(seconds)
        return await request(method, url, *rest)

    monkeypatch.setattr(world, "request", slow)


async def fired(world: World, placed: Placed) -> None:
    """Let a stop at the venue trade, as its price comes."""
    high = int((world.bid() + 500) / world.btc.tick)
    world.exchange.desk.amend(placed, world.exchange.now, trigger=high)
    while placed.state.is_working:
        await world.advance(0.25)


async def left_until_told(world: World, stop: str, after: float = 0) -> list[str]:
    """Leave a position that seems to stand bare every 3 s until it is told what its stop has sold; return the exits."""
    tries = list[str]()
    while not world.filled(stop):
        await world.advance(after)
        world.gateway.watch(world.btc.id, float(world.bid()), float(world.bid()) + 1)
        tries.append(world.submit(Side.SELL, "0.09", reduce_only=True))
        await world.advance(3 - after)
    return tries


async def at_its_goal(world: World, *, triggers: bool = False) -> tuple[str, str, float]:
    """Hold a position with a stop and a goal, and let the market come to that; return their ids and the bid before."""
    stop = await world.guarded()
    goal = world.goal(above=400, triggers=triggers)
    await world.advance(1)
    request, bid = known(world, goal).request, float(world.bid())
    price = request.trigger or request.price
    assert price is not None
    world.gateway.watch(world.btc.id, float(price) + 1, float(price) + 2)
    await world.advance(1.5)
    return stop, goal, bid


async def test_the_stops_of_two_strategies_stand_side_by_side(world: World) -> None:
    for strategy in ("one", "two"):
        world.submit(quantity="0.1", strategy=strategy)
        await world.advance(1)
        world.stop_loss(below=300, strategy=strategy)
        await world.advance(1)

    stood = standing(world)
    world.submit(Side.SELL, "0.09", "one", reduce_only=True)
    await world.advance(0.5)

    assert stood == [D("0.09")] * 2 * is_native(world)
    assert standing(world) == [D("0.09")] * is_native(world)  # that of the other one stays


@pytest.mark.parametrize("triggers", [False, True])
@pytest.mark.parametrize("key", ACCOUNTS)
async def test_a_goal_beside_a_stop_is_where_the_table_of_venues_says(
    key: tuple[str, InstrumentKind], triggers: bool
) -> None:
    venue, kind = key
    world = await World(venue=venue, is_perpetual=kind is InstrumentKind.PERPETUAL).start()
    capability = world.gateway.dialect.capability

    stop = await world.guarded()
    goal = world.goal(above=400, triggers=triggers)
    await world.advance(2)
    stood = {each.ticket.client_id: each.ticket for each in live(world.exchange.desk.orders.values())}
    await world.stop()

    assert (stop in stood) == (OrderType.STOP in capability.native)
    there = not capability.holds_goals and (not triggers or OrderType.TAKE_PROFIT in capability.native)
    assert (goal in stood) == there
    assert all(stood[each].rising is True for each in {goal} & set(stood) if triggers)
    assert all((stood[each].trigger is not None) == triggers for each in {goal} & set(stood))


@pytest.mark.parametrize("world", KEEPS_STOPS, indirect=True)
async def test_a_triggered_take_profit_at_the_venue_gives_way_to_a_stop_that_is_set_later(
    world: World,
) -> None:
    world.submit(quantity="0.1")
    await world.advance(1)
    goal = world.goal(above=2_000, triggers=True)
    await world.advance(2)
    alone = known(world, goal).held, standing(world)

    world.gateway.watch(world.btc.id, float(world.bid()), float(world.bid()) + 1)
    stop = world.stop_loss(below=2_000)
    await world.advance(3)

    assert alone == (False, [D("0.09")])
    assert (known(world, stop).held, known(world, goal).held) == (False, True)
    assert standing(world) == [D("0.09")]
    assert set(world.told(goal) + world.told(stop)) == {"OrderAccepted"}


async def test_a_triggered_take_profit_whose_price_comes_sells_at_market_in_the_place_of_the_stop(
    world: World,
) -> None:
    _, goal, _ = await at_its_goal(world, triggers=True)

    await world.advance(5)

    placed = [o for o in world.exchange.desk.orders.values() if o.ticket.client_id.startswith(goal)]
    assert world.told(goal)[-1] == "OrderFilled"
    assert world.filled(goal) == D("0.09")
    assert [(each.ticket.trigger, each.ticket.price) for each in placed if each.filled] == [(None, None)]


async def test_a_held_take_profit_is_not_due_where_a_stop_would_be(world: World) -> None:
    stop = await world.guarded()
    goal = world.goal(above=400, triggers=True)
    await world.advance(1)

    bid = float(world.bid())
    world.gateway.watch(world.btc.id, bid - 100, bid - 99)
    await world.advance(2)

    assert known(world, goal).held
    assert world.filled(goal) == 0
    assert world.told(stop) == ["OrderAccepted"]


@pytest.mark.parametrize("triggers", [False, True])
async def test_a_goal_that_we_held_is_held_by_the_next_process_too(world: World, triggers: bool) -> None:
    stop = await world.guarded()
    goal = world.goal(above=400, triggers=triggers)
    await world.advance(1)
    was_held = known(world, goal).held

    await world.restart(down=3)
    await world.advance(40)

    assert was_held == (is_native(world) or triggers)
    assert known(world, goal).held == was_held
    assert "OrderAbandoned" not in world.told(goal) + world.told(stop)
    assert set(world.told(goal)) == {"OrderAccepted"} | ({"OrderUnknown"} if not was_held else set())


@pytest.mark.parametrize("world", KEEPS_STOPS, indirect=True)
@pytest.mark.parametrize("takes", [0.0, 1.2])
async def test_an_exit_is_not_sent_when_the_stop_that_it_replaces_has_just_sold(
    world: World, takes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_slowly(world, monkeypatch, takes)
    world.submit(quantity="0.5", strategy="another")
    stop = await world.guarded()
    placed = next(each for each in live(world.exchange.desk.orders.values()))
    world.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))  # the stream tells nothing of it
    await fired(world, placed)
    world.exchange.faults.clear()
    assert "OrderFilled" not in world.told(stop)

    leave = world.submit(Side.SELL, "0.09", reduce_only=True)
    await world.advance(20)

    assert world.filled(leave) == 0
    assert world.placed(leave) == 0
    assert world.told(leave)[-1] == "OrderRejected"
    assert known(world, stop).is_closed


async def test_an_exit_is_not_sent_while_a_copy_that_lags_knows_nothing_of_the_goal_that_has_just_sold(
    world: World,
) -> None:
    world.submit(quantity="0.5", strategy="another")
    world.submit()
    await world.advance(1)
    goal = world.goal(above=400)
    await world.advance(1)
    placed = next(each for each in live(world.exchange.desk.orders.values()))
    world.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))  # the stream tells nothing of it
    world.exchange.faults.add(Fault(Wrong.LAG, "", times=0, seconds=30))
    low = int((world.bid() - 100) / world.btc.tick)
    world.exchange.desk.amend(placed, world.exchange.now, price=low)
    assert not placed.state.is_working
    assert "OrderFilled" not in world.told(goal)
    world.gateway.watch(world.btc.id, float(world.bid()), float(world.bid()) + 1)  # away from its price again

    leave = world.submit(Side.SELL, "0.09", reduce_only=True)
    await world.advance(5)
    world.exchange.faults.clear()
    await world.advance(40)

    assert world.filled(goal) == D("0.09")
    assert world.placed(leave) == 0
    assert world.told(leave)[-1] == "OrderRejected"


@pytest.mark.parametrize("world", KEEPS_STOPS, indirect=True)
async def test_an_exit_is_not_sent_while_copies_may_lag_behind_a_stop_whose_answer_was_lost(
    world: World,
) -> None:
    world.submit(quantity="0.5", strategy="another")
    world.submit()
    await world.advance(1)
    lost = world.exchange.faults.add(Fault(Wrong.LOST, world.scene.order, 0, 1))
    world.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))  # the stream tells nothing of it
    world.exchange.faults.add(Fault(Wrong.LAG, "", times=0, seconds=10))
    stop = world.stop_loss(below=300)
    await world.advance(0.25)
    (placed,) = (each for each in world.exchange.desk.orders.values() if each.ticket.client_id == stop)
    await fired(world, placed)

    tries = await left_until_told(world, stop, after=2)

    assert lost.hits == 1
    assert world.filled(stop) == D("0.09")
    assert len(tries) > 1
    assert [world.placed(each) for each in tries] == [0] * len(tries)


@pytest.mark.parametrize("world", KEEPS_STOPS, indirect=True)
async def test_an_exit_is_not_sent_for_what_another_sold_before_its_wisher_had_heard_of_it(
    world: World,
) -> None:
    world.submit(quantity="0.5", strategy="another")
    stop = await world.guarded()
    world.is_busy = True
    await fired(world, next(each for each in live(world.exchange.desk.orders.values())))
    await world.advance(1)
    assert known(world, stop).is_closed

    leave = world.submit(Side.SELL, "0.09", reduce_only=True)
    world.hear_all()
    await world.advance(5)

    assert world.filled(stop) == D("0.09")
    assert world.placed(leave) == 0
    assert world.told(leave) == ["OrderRejected"]


@pytest.mark.parametrize("world", CHANGES, indirect=True)
@pytest.mark.parametrize(("wish", "stays"), [("0.1", "0.05"), ("0.05", "0.04")])
async def test_a_stop_is_not_made_larger_than_what_is_left_though_its_wisher_has_not_heard_what_was_sold(
    world: World, wish: str, stays: str
) -> None:
    world.submit(quantity="0.5", strategy="another")
    stop = await world.guarded()
    world.is_busy = True
    world.submit(Side.SELL, "0.05", reduce_only=True)
    await world.advance(3)
    assert standing(world) == [D("0.04")]  # it is back, for what the exit has left

    world.amend(stop, quantity=D(wish))
    world.hear_all()
    await world.advance(3)

    assert standing(world) == [D(stays)]


CANCELS = {"KRAKEN": "/CancelOrder", "BYBIT": "/order/cancel"}
"""Where orders are taken back, if not where they are placed."""


@pytest.mark.parametrize("world", KEEPS_STOPS, indirect=True)
async def test_an_exit_is_not_sent_while_a_copy_that_lags_shows_a_stop_that_nobody_was_seen_to_take_back(
    world: World,
) -> None:
    world.submit(quantity="0.5", strategy="another")
    stop = await world.guarded()
    await world.advance(15)
    placed = next(each for each in live(world.exchange.desk.orders.values()))
    world.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))  # the stream tells nothing of it
    await fired(world, placed)
    world.exchange.faults.add(Fault(Wrong.LAG, "", times=0, seconds=10))
    broken = world.exchange.faults.add(
        Fault(Wrong.FAIL, CANCELS.get(world.btc.venue, world.scene.order), 0, 1)
    )

    tries = await left_until_told(world, stop)

    assert broken.hits == 1
    assert world.filled(stop) == D("0.09")
    assert len(tries) > 1
    assert [world.placed(each) for each in tries] == [0] * len(tries)


@pytest.mark.parametrize("world", CANCELS, indirect=True)
async def test_an_exit_leaves_in_time_though_the_venue_takes_no_stop_back(world: World) -> None:
    world.submit(quantity="0.5", strategy="another")
    stop = await world.guarded()
    world.exchange.faults.add(Fault(Wrong.ERROR, CANCELS[world.btc.venue], 0, 0))

    tries = list[str]()
    while not sum(world.filled(each) for each in tries):
        world.gateway.watch(world.btc.id, float(world.bid()), float(world.bid()) + 1)
        tries.append(world.submit(Side.SELL, "0.09", reduce_only=True))
        await world.advance(3)

    assert 3 * len(tries) < LAG + 6
    assert world.filled(stop) == 0


@pytest.mark.parametrize("world", ["BINANCE"], indirect=True)  # it tells at once what the account has
@pytest.mark.parametrize("has_sold", [False, True])
async def test_an_exit_of_all_there_is_waits_for_no_proof_as_nothing_can_be_sold_twice(
    world: World, has_sold: bool
) -> None:
    world.submit()
    await world.advance(1)
    lost = Wrong.LOST if has_sold else Wrong.DEAF
    world.exchange.faults.add(Fault(lost, world.scene.order, 0, 1))
    world.exchange.faults.add(Fault(Wrong.GAP, world.scene.own, times=0))  # the stream tells nothing of it
    world.exchange.faults.add(Fault(Wrong.LAG, "", times=0, seconds=10))
    stop = world.stop_loss(below=300, quantity="0.0999")
    await world.advance(0.25)
    for placed in (each for each in world.exchange.desk.orders.values() if each.ticket.client_id == stop):
        high = int((world.bid() + 500) / world.btc.tick)
        world.exchange.desk.amend(placed, world.exchange.now, trigger=high)
    await world.advance(5)
    world.gateway.watch(world.btc.id, float(world.bid()), float(world.bid()) + 1)

    leave = world.submit(Side.SELL, "0.0999", reduce_only=True)
    await world.advance(1)

    assert world.filled(leave) == (0 if has_sold else D("0.0999"))
    await world.advance(40)
    assert world.filled(stop) + world.filled(leave) == D("0.0999")


@pytest.mark.parametrize("world", KEEPS_STOPS, indirect=True)
async def test_an_exit_overtakes_no_stop_that_is_on_its_way(world: World) -> None:
    world.submit(quantity="0.5", strategy="another")
    world.submit()
    await world.advance(1)
    slow = world.exchange.faults.add(Fault(Wrong.SLOW, world.scene.order, 0, 1, 1.0))
    stop = world.stop_loss(below=300)
    await world.advance(0.25)

    leave = world.submit(Side.SELL, "0.09", reduce_only=True)
    while not world.filled(leave):
        await world.advance(0.25)

    assert slow.hits == 1
    assert world.placed(stop) == 1  # it was there, and was taken back
    assert standing(world) == []


@pytest.mark.parametrize("world", KEEPS_STOPS, indirect=True)
async def test_an_exit_of_which_nobody_says_what_is_left_to_sell_is_not_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.submit(quantity="0.5", strategy="another")
    stop = await world.guarded()
    lost = world.exchange.faults.add(Fault(Wrong.LOST, CANCELS.get(world.btc.venue, world.scene.order), 0, 1))
    world.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))
    with monkeypatch.context() as slow:
        answer_slowly(world, slow, 20.0)
        leave = world.submit(Side.SELL, "0.09", reduce_only=True)
        await world.advance(10)
    told, placed = world.told(leave), world.placed(leave)

    world.exchange.faults.clear()
    await world.advance(60)
    again = world.submit(Side.SELL, "0.09", reduce_only=True)
    await world.advance(10)

    assert lost.hits == 1
    assert (told, placed) == (["OrderRejected"], 0)
    assert world.filled(again) + world.filled(stop) == D("0.09")
    assert world.filled(again)


async def test_the_kill_switch_takes_an_order_back_that_was_on_its_way(world: World) -> None:
    slow = world.exchange.faults.add(Fault(Wrong.SLOW, world.scene.order, 0, 1, 1.0))
    order = world.rest()
    await world.advance(0.25)

    world.gateway.cancel_all()
    await world.advance(0.25)
    early = world.placed(order)
    await world.advance(2)

    assert slow.hits == 1
    assert (early, world.placed(order)) == (
        0,
        world.btc.venue not in COUNTS,
    )  # there it comes out of its turn
    assert standing(world) == []
    assert known(world, order).is_closed


async def test_the_kill_switch_takes_a_stop_back_that_is_on_its_way_to_us(world: World) -> None:
    stop = await world.guarded()
    world.exchange.faults.add(Fault(Wrong.LATE, "", 0, 0, 1.5))
    world.submit(Side.SELL, "0.05", reduce_only=True)
    await world.advance(0.5)
    was_moving = known(world, stop).moving

    world.gateway.cancel_all()
    await world.advance(30)
    world.exchange.faults.clear()
    await world.advance(30)

    assert was_moving == is_native(world)
    assert known(world, stop).is_closed
    assert standing(world) == []


@pytest.mark.parametrize("has_left", [True, False])
async def test_an_order_that_was_called_off_as_the_process_died_is_called_off_by_the_next_one(
    world: World, has_left: bool
) -> None:
    """What it protected is gone: it would close a part of the next position."""
    stop = await world.guarded()
    goal = world.goal(above=400)
    await world.advance(1)
    assert standing(world)
    world.instead = lambda _: Answer(502, {}, b"")
    world.is_busy = True  # what is told from here on is on no record
    world.cancel(stop)
    world.cancel(goal)
    await world.advance(0.25 if has_left else 0.0)
    await world.stop()
    world.unheard.clear()
    world.is_busy, world.instead = False, lambda _: None

    await world.restart()
    await world.advance(20)

    assert standing(world) == []
    assert known(world, stop).is_closed
    assert known(world, goal).is_closed
    assert world.placed(goal) <= 1


@pytest.mark.parametrize("world", ["BYBIT"], indirect=True)  # an order that goes back gets another id there
async def test_an_order_that_could_not_be_called_off_under_its_old_id_is_told_to_stand(world: World) -> None:
    """Who wished it does so again then."""
    world.submit(quantity="0.5", strategy="another")
    stop = await world.guarded()
    world.submit(Side.SELL, "0.02", reduce_only=True)
    await world.advance(6)  # the stop gave way, and is back
    world.instead = lambda _: Answer(502, {}, b"")
    world.is_busy = True
    world.cancel(stop)
    await world.advance(0.25)
    await world.stop()
    world.unheard.clear()
    world.is_busy, world.instead = False, lambda _: None
    world.exchange.faults.add(Fault(Wrong.LAG, "", times=0, seconds=8))  # a copy shows the life before

    await world.restart()
    await world.advance(20)

    assert "ChangeRejected" in world.told(stop)
    assert not world.orders.is_called_off(stop)
    assert standing(world)
    world.cancel(stop)
    await world.advance(5)
    assert standing(world) == []


class Unsafe:
    """A record that is never safe: who waits for it dies before."""

    seq = 1
    has_failed = False

    async def done(self, seq: int) -> None:
        await asyncio.Event().wait()


async def test_a_stop_that_never_left_does_not_leave_while_the_kill_switch_is_thrown(world: World) -> None:
    world.submit(Side.BUY, "0.1")
    await world.advance(1)
    world.gateway._way.record = Unsafe()
    stop = world.stop_loss(500)
    await world.stop()
    world.gateway = world.made()
    world.gateway.recover(
        world.orders.all(), world.orders.fills, world.pulse.wall(), world.departed.__contains__
    )

    killed = world.gateway.cancel_all()
    await world.start()
    await world.advance(20)

    assert world.placed(stop) == 0
    assert known(world, stop).is_closed
    assert killed.done()


class Failed(Safe):
    """A record in which nothing can be written any more: nobody acts upon what is told."""

    has_failed = True


@pytest.mark.parametrize("world", KEEPS_STOPS, indirect=True)
async def test_a_goal_does_not_go_to_the_venue_for_a_program_that_hears_of_no_fill_any_more(
    world: World,
) -> None:
    stop = await world.guarded()
    goal = world.goal(above=400)
    await world.advance(1)
    world.gateway._way.record = Failed()
    placed = next(each for each in live(world.exchange.desk.orders.values()))
    world.exchange.desk.cancel(placed, world.exchange.now)  # nothing is in the goal's way any more

    await world.advance(5)

    assert world.told(stop)[-1] == "OrderCancelled"
    assert world.placed(goal) == 0


async def test_a_goal_that_the_market_leaves_gives_way_to_the_stop(world: World) -> None:
    stop, goal, bid = await at_its_goal(world)
    up = known(world, stop).held, known(world, goal).held

    world.gateway.watch(world.btc.id, bid, bid + 1)
    await world.advance(5)
    early = known(world, stop).held
    await world.advance(15)

    if is_native(world):
        assert up == (True, False)
        assert early  # the price may come again
        assert (known(world, stop).held, known(world, goal).held) == (False, True)
    assert standing(world) == [D("0.09")]


@pytest.mark.parametrize("world", KEEPS_STOPS, indirect=True)
async def test_a_stop_that_was_refused_on_its_way_back_is_sent_again_soon_and_then_seldom(
    world: World,
) -> None:
    stop, _, bid = await at_its_goal(world)

    world.market.is_listed = False
    world.gateway.watch(world.btc.id, bid, bid + 1)
    before, kept = world.posted(), known(world, stop).held
    await world.advance(60)
    tries, kept = world.posted() - before, kept and known(world, stop).held
    world.market.is_listed = True
    await world.advance(35)

    assert kept
    assert 3 <= tries <= 6
    assert not known(world, stop).held
    assert standing(world) == [D("0.09")]
    assert "OrderRejected" not in world.told(stop)


@pytest.mark.parametrize("world", KEEPS_STOPS, indirect=True)
async def test_a_stop_goes_back_in_its_time_though_the_clock_was_ahead_when_it_was_refused(
    world: World,
) -> None:
    stop, _, bid = await at_its_goal(world)

    world.pulse.skew, world.market.is_listed = 600 * SECOND_NS, False
    world.gateway.watch(world.btc.id, bid, bid + 1)
    await world.advance(3)
    world.pulse.skew, world.market.is_listed = 0, True
    await world.advance(20)

    assert not known(world, stop).held
    assert standing(world) == [D("0.09")]


async def test_an_amendment_of_a_stop_that_has_come_to_us_is_made_here(world: World) -> None:
    stop = await world.guarded()
    world.exchange.faults.add(Fault(Wrong.LATE, "", 0, 0, 1.0))
    world.submit(Side.SELL, "0.05", reduce_only=True)
    await world.advance(0.5)

    world.amend(stop, quantity=D("0.04"))
    await world.advance(40)
    world.exchange.faults.clear()
    await world.advance(30)

    if world.gateway.dialect.capability.amends or not is_native(world):
        assert "OrderAmended" in world.told(stop)
    assert not {"OrderUnknown", "OrderAbandoned"} & set(world.told(stop))


@pytest.mark.parametrize("world", COUNTS, indirect=True)
async def test_of_several_orders_that_wait_none_leaves_after_the_kill_switch(world: World) -> None:
    world.exchange.faults.add(Fault(Wrong.LATE, "", 0, 0, 0.5))
    orders = [world.rest(below=500 + n, quantity="0.01") for n in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    world.gateway.cancel_all()
    await world.advance(30)

    assert sum(world.placed(order) for order in orders) <= 1
    assert all(known(world, order).is_closed for order in orders)


@pytest.mark.parametrize("world", COUNTS, indirect=True)
async def test_what_is_taken_back_goes_before_questions_that_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = world.rest()
    await world.advance(1)
    asked, request = list[str](), world.request

    async def heard(method: str, url: str, *rest: Any) -> Answer:
        asked.append(url.rpartition("/")[2])
        return await request(method, url, *rest)

    monkeypatch.setattr(world, "request", heard)
    world.exchange.faults.add(Fault(Wrong.LATE, "", 0, 0, 0.5))
    calls = [world.gateway.dialect.executions(world.btc.id, n * 60 * SECOND_NS) for n in range(1, 4)]
    asking = [asyncio.ensure_future(world.wire.ask(call)) for call in calls]
    await asyncio.sleep(0)

    asking[1].cancel()
    world.cancel(order)
    await world.advance(40)
    await asyncio.gather(*asking, return_exceptions=True)

    assert asked[:3] == ["TradesHistory", "CancelOrder", "TradesHistory"]


async def test_an_exit_beside_one_that_is_under_way_leaves_for_what_it_was_worded(world: World) -> None:
    """The engine has taken off what leaves at market before it words another exit: it is not taken off twice."""
    world.submit(quantity="0.1")
    await world.advance(1)
    world.exchange.faults.add(Fault(Wrong.LATE, world.scene.order, 0, 0, 1.0))
    first = world.submit(Side.SELL, "0.05", reduce_only=True)
    await asyncio.sleep(0)
    second = world.submit(Side.SELL, "0.04", reduce_only=True)
    await world.advance(10)

    assert world.filled(first) == D("0.05")
    assert world.filled(second) == D("0.04")


async def test_a_stop_that_is_due_leaves_for_what_no_other_exit_may_sell(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "HEAR", 0.0)
    world.submit(quantity="0.5", strategy="another")
    stop = await world.guarded()
    trigger = known(world, stop).request.trigger
    assert trigger is not None
    is_cancelled_there = int(world.btc.venue == "BINANCE")  # the stop is taken back at the same address
    world.exchange.faults.add(Fault(Wrong.LOST, world.scene.order, is_cancelled_there, 1))
    world.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))  # nobody knows whether it has sold
    leave = world.submit(Side.SELL, "0.05", reduce_only=True)
    turns = count(1)
    while not known(world, leave).left:
        await (asyncio.sleep(0) if next(turns) % 50 else world.pulse.advance(0.01))

    world.gateway.watch(world.btc.id, float(trigger) - 1, float(trigger))
    await world.advance(40)

    assert world.filled(leave) == D("0.05")
    assert world.filled(stop) == D("0.04")


async def test_a_stop_that_krakens_cancel_did_not_take_back_is_not_taken_for_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await World(venue="KRAKEN").start()
    stop, request = await world.guarded("0.1"), world.request

    async def took_nothing(method: str, url: str, *rest: Any) -> Answer:
        if url.endswith("CancelOrder"):
            return Answer(200, {}, b'{"error":[],"result":{"count":0}}')
        return await request(method, url, *rest)

    monkeypatch.setattr(world, "request", took_nothing)
    world.submit(Side.SELL, "0.05", reduce_only=True)
    await world.advance(2)

    assert standing(world) == [D("0.09")]
    assert not known(world, stop).held
    await world.stop()
