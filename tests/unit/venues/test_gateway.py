"""Orders through the gateway to a local exchange: sent once, found when unknown, ended only when every fill is told."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Never

import pytest

from abidance.model.account import OWNER
from abidance.model.errors import VenueError
from abidance.model.event import BalanceChanged, OrderAbandoned, OrderFilled, OrderRejected
from abidance.model.instrument import InstrumentKind
from abidance.model.order import OrderType, Side
from abidance.testing.exchange import Fault, Wrong
from abidance.testing.exchange.core import BUY, SELL, Force
from abidance.testing.exchange.desk import live
from abidance.venues.accounts import ACCOUNTS
from abidance.venues.net.transport import Answer
from tests.unit.venues.trading_world import EPOCH, SCENES, D, World

WITHOUT_STOPS = sorted(
    venue
    for venue in SCENES
    if OrderType.STOP not in ACCOUNTS[venue, InstrumentKind.SPOT]([]).capability.native
)


@pytest.fixture(params=SCENES)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    made = await World(venue=request.param).start()
    yield made
    await made.stop()


async def test_a_market_order_is_accepted_and_each_fill_is_told_once(world: World) -> None:
    order = world.submit(quantity="0.5")

    await world.advance(2)

    assert world.told(order)[0] == "OrderFilled" or world.told(order)[0] == "OrderAccepted"
    assert world.filled(order) == D("0.5")
    assert world.placed(order) == 1
    assert world.gateway.doubts == {}


async def test_a_resting_order_is_taken_back(world: World) -> None:
    order = world.rest()
    await world.advance(1)

    world.cancel(order)
    await world.advance(1)

    assert world.told(order) == ["OrderAccepted", "OrderCancelled"]


@pytest.mark.parametrize("wrong", [Wrong.LOST, Wrong.FAIL])
async def test_an_order_whose_answer_was_lost_is_found_and_never_sent_again(
    world: World, wrong: Wrong
) -> None:
    world.exchange.faults.add(Fault(wrong, world.scene.order))

    order = world.rest()
    await world.advance(5)

    assert world.exchange.faults.unhit() == []
    assert world.told(order)[:1] in (["OrderUnknown"], ["OrderAccepted"])
    assert world.told(order)[-1] == "OrderAccepted"
    assert world.placed(order) == 1


async def test_an_order_that_never_arrived_is_abandoned_only_by_proof(world: World) -> None:
    world.exchange.faults.add(Fault(Wrong.DEAF, world.scene.order))

    order = world.rest()
    await world.advance(4)
    early = world.told(order)
    await world.advance(40)

    assert early == ["OrderUnknown"]
    assert world.told(order) == ["OrderUnknown", "OrderAbandoned"]
    assert [type(e) for e in world.events if getattr(e, "order_id", "") == order][-1] is OrderAbandoned
    assert world.placed(order) == 0


async def test_a_copy_that_lags_is_no_proof_of_absence(world: World) -> None:
    world.exchange.faults.add(Fault(Wrong.LOST, world.scene.order))
    world.exchange.faults.add(Fault(Wrong.LAG, world.scene.every, times=0, seconds=4.0))
    world.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))

    order = world.rest()
    await world.advance(30)

    assert world.told(order) == ["OrderUnknown", "OrderAccepted"]
    assert world.placed(order) == 1


async def test_nor_is_one_that_lags_for_long_however_soon_it_is_asked_again(world: World) -> None:
    world.gateway.dialect.ask_again = (8.0, 2.1, 20.0)
    world.exchange.faults.add(Fault(Wrong.LOST, world.scene.order))
    world.exchange.faults.add(Fault(Wrong.LAG, world.scene.every, times=0, seconds=11.0))
    world.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))

    order = world.rest()
    await world.advance(40)

    assert world.told(order) == ["OrderUnknown", "OrderAccepted"]


async def test_an_order_that_never_left_is_rejected_at_once(world: World) -> None:
    world.is_up = False

    order = world.rest()
    await world.advance(0.25)

    assert world.told(order) == ["OrderRejected"]
    assert isinstance(world.events[-1], OrderRejected)
    assert "not sent" in world.events[-1].reason


async def test_a_refusal_is_told_with_the_venues_words(world: World) -> None:
    order = world.submit(quantity="1000", type=OrderType.LIMIT, price=D(20_000))
    await world.advance(1)

    assert world.told(order) == ["OrderRejected"]
    assert world.scene.poor in world.events[-1].reason  # type: ignore[union-attr]


async def test_fills_that_the_stream_lost_are_found(world: World) -> None:
    world.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))
    world.exchange.faults.add(Fault(Wrong.LOST, world.scene.order))

    order = world.submit(quantity="0.3")
    await world.advance(30)

    assert world.exchange.faults.unhit() == []
    assert world.filled(order) == D("0.3")


async def test_frames_twice_or_out_of_order_change_nothing(world: World) -> None:
    world.exchange.faults.add(Fault(Wrong.DUPLICATE, world.scene.own, times=0))
    world.exchange.faults.add(Fault(Wrong.REORDER, world.scene.own, after=1, times=3))

    order = world.submit(quantity="0.3")
    await world.advance(5)

    assert world.exchange.faults.unhit() == []
    assert world.filled(order) == D("0.3")
    ids = [event.fill.id for event in world.events if isinstance(event, OrderFilled)]
    assert len(ids) == len(set(ids))


async def test_a_cancel_that_comes_after_the_fill_ends_in_the_fill(world: World) -> None:
    order = world.rest(below=20, quantity="0.2")
    await world.advance(1)
    before = world.told(order)

    world.cancel(order)
    (resting,) = live(world.exchange.desk.orders.values())
    book, price = world.market.book, resting.ticket.price
    book.submit(world.exchange.now, "somebody", SELL, book.available(SELL, price), price, Force.IOC)
    await world.advance(20)

    assert before[-1] == "OrderAccepted"
    assert world.filled(order) == D("0.2")
    assert "OrderCancelled" not in world.told(order)


async def test_an_order_taken_back_before_it_left_never_leaves(world: World) -> None:
    order = world.submit(quantity="0.2")
    world.cancel(order)
    await world.advance(20)

    assert world.told(order) == ["OrderRejected"]
    assert not world.exchange.desk.orders


def standing(world: World) -> list[D]:
    """Return how much each order that works at the exchange is to trade."""
    return [each.ticket.lots * world.btc.lot for each in live(world.exchange.desk.orders.values())]


async def test_a_stop_stands_where_it_can_and_gives_way_to_an_exit(world: World) -> None:
    is_native = OrderType.STOP in world.gateway.dialect.capability.native
    stop = await world.guarded()
    stood = world.placed(stop)

    leave = world.submit(Side.SELL, "0.09", reduce_only=True)
    await world.advance(0.9)
    held = world.gateway.register.get(stop)

    assert stood == is_native
    assert world.filled(leave) == D("0.09")
    assert world.told(stop) == ["OrderAccepted"]
    assert held is not None
    assert held.held


async def test_a_stop_that_gave_way_goes_back_when_the_exit_was_refused(world: World) -> None:
    is_native = OrderType.STOP in world.gateway.dialect.capability.native
    stop = await world.guarded()

    leave = world.submit(Side.SELL, "5", reduce_only=True)
    await world.advance(4)
    tracked = world.gateway.register.get(stop)

    assert world.told(leave) == ["OrderRejected"]
    assert world.told(stop) == ["OrderAccepted"]
    assert standing(world) == [D("0.09")] * is_native
    assert tracked is not None
    assert tracked.held != is_native


async def test_a_stop_that_gave_way_goes_back_as_large_as_it_is_to_be(world: World) -> None:
    is_native = OrderType.STOP in world.gateway.dialect.capability.native
    stop = await world.guarded()

    leave = world.submit(Side.SELL, "0.05", reduce_only=True)
    await world.advance(0.25)
    world.amend(stop, quantity=D("0.04"))
    await world.advance(4)

    assert world.filled(leave) == D("0.05")
    assert world.told(stop) == ["OrderAccepted", "OrderAmended"]
    assert standing(world) == [D("0.04")] * is_native


async def test_a_stop_that_cannot_go_back_yet_is_watched_by_us(world: World) -> None:
    if OrderType.STOP not in world.gateway.dialect.capability.native:
        return  # it never goes anywhere
    stop = await world.guarded()
    world.submit(Side.SELL, "5", reduce_only=True)
    await world.advance(0.25)
    world.is_up = False

    await world.advance(4)
    tracked = world.gateway.register.get(stop)
    told, held = world.told(stop), tracked is not None and tracked.held
    world.is_up = True
    await world.advance(4)

    assert (told, held) == (["OrderAccepted"], True)
    assert world.told(stop) == ["OrderAccepted"]
    assert standing(world) == [D("0.09")]


async def test_a_stop_on_its_way_back_to_us_is_not_sent_by_a_price(world: World) -> None:
    stop = await world.guarded()
    stood = world.placed(stop)
    world.exchange.faults.add(Fault(Wrong.LATE, "", 0, 0, 3.0))
    world.submit(Side.SELL, "0.05", reduce_only=True)
    await world.advance(0.5)
    tracked = world.gateway.register.get(stop)
    assert tracked is not None
    was_moving, low = tracked.moving, float(world.bid()) - 1_000

    world.gateway.watch(world.btc.id, low, low)
    await world.advance(0.25)

    assert was_moving == bool(stood)
    assert world.placed(stop) <= 1


async def test_a_held_order_is_sent_when_its_price_comes(world: World) -> None:
    world.submit(quantity="0.2")
    await world.advance(1)
    first = world.stop_loss(below=300, quantity="0.09")
    await world.advance(1)
    second = world.stop_loss(below=200, quantity="0.05")
    await world.advance(1)
    before = world.placed(second)

    trigger = world.gateway.register.get(second).request.trigger  # type: ignore[union-attr]
    assert trigger is not None
    world.gateway.watch(world.btc.id, float(trigger) - 1, float(trigger) + 5)
    await world.advance(2)

    assert before == 0
    assert world.filled(second) == D("0.05")
    assert world.told(first) == ["OrderAccepted"]


@pytest.mark.parametrize("world", WITHOUT_STOPS, indirect=True)
async def test_a_stop_that_the_venue_does_not_have_is_watched_by_us(world: World) -> None:
    stop = await world.guarded()
    told = world.told(stop)

    request = world.gateway.register.get(stop).request  # type: ignore[union-attr]
    assert request.trigger is not None
    world.gateway.watch(world.btc.id, float(request.trigger) + 1, float(request.trigger) + 2)
    await world.advance(1)
    early = world.placed(stop)
    world.gateway.watch(world.btc.id, float(request.trigger), float(request.trigger) + 2)
    world.gateway.watch(world.btc.id, float(request.trigger) - 1, float(request.trigger))
    await world.advance(2)

    assert (told, early) == (["OrderAccepted"], 0)
    assert world.filled(stop) == D("0.09")
    assert world.placed(stop) == 1


async def test_a_held_order_is_changed_and_taken_back_here(world: World) -> None:
    world.submit(quantity="0.2")
    await world.advance(1)
    world.stop_loss(below=300)
    await world.advance(1)
    held = world.stop_loss(below=200, quantity="0.05")

    world.amend(held, quantity=D("0.04"))
    world.cancel(held)

    assert world.told(held) == ["OrderAccepted", "OrderAmended", "OrderCancelled"]
    assert world.placed(held) == 0


async def test_a_resting_order_is_changed_where_the_venue_can(world: World) -> None:
    order = world.rest()
    await world.advance(1)
    (placed,) = world.exchange.desk.orders.values()
    before = placed.ticket

    world.amend(order, quantity=D("0.2"), price=D(20_000))
    await world.advance(2)

    if world.gateway.dialect.capability.amends:
        assert world.told(order) == ["OrderAccepted", "OrderAmended"]
        assert (placed.ticket.lots, placed.ticket.price) == (
            world.lots("0.2"),
            int(D(20_000) / world.btc.tick),
        )
    else:
        assert world.told(order) == ["OrderAccepted", "ChangeRejected"]
        assert placed.ticket == before


async def test_more_fills_than_a_page_holds_are_found_page_by_page(world: World) -> None:
    world.exchange.faults.add(Fault(Wrong.GAP, "account", times=0))
    from abidance.testing.exchange.core import BUY, Force
    from abidance.testing.exchange.desk import Ticket

    for step in range(60):
        for nth in range(4):
            ticket = Ticket(f"by-hand-{step}-{nth}", BUY, world.lots("0.001"), force=Force.IOC)
            world.exchange.desk.place(world.account, world.market, ticket, world.exchange.now)
        await world.advance(0.25)
    await world.advance(
        100 if world.gateway.dialect.counts else 45
    )  # it may be asked once in two seconds there

    truth = [part.id for order in world.exchange.desk.orders.values() for part in order.parts]
    told = [event.fill.id for event in world.events if isinstance(event, OrderFilled)]
    assert len(truth) >= 240
    assert sorted(told) == sorted(map(world.scene.execution, truth))


async def test_an_order_leaves_though_a_question_is_not_answered(world: World) -> None:
    world.exchange.faults.add(Fault(Wrong.LATE, world.scene.asked, times=0, seconds=9.0))
    await world.advance(12)

    order = world.rest()
    await world.advance(0.5)

    assert world.exchange.faults.unhit() == []
    assert world.placed(order) == 1


async def test_somebody_who_trades_by_hand_is_recognised(world: World) -> None:
    from abidance.testing.exchange.core import BUY, Force
    from abidance.testing.exchange.desk import Ticket

    ticket = Ticket("by-hand", BUY, world.lots("0.01"), force=Force.IOC)
    world.exchange.desk.place(world.account, world.market, ticket, world.exchange.now)
    await world.advance(40)

    fills = [event.fill for event in world.events if isinstance(event, OrderFilled)]
    assert {fill.strategy for fill in fills} == {OWNER}
    assert sum(fill.quantity for fill in fills) == D("0.01")


async def test_an_order_of_ours_that_no_record_tells_of_is_taken_back(world: World) -> None:
    from abidance.testing.exchange.core import BUY
    from abidance.testing.exchange.desk import State, Ticket

    last = world.market.tape.price[-1]
    ticket = Ticket(world.ids.make(999), BUY, world.lots("0.01"), last - last // 50)
    await world.stop()
    placed = world.exchange.desk.place(world.account, world.market, ticket, world.exchange.now)
    await world.restart()
    await world.advance(12)

    assert placed.state is State.CANCELLED
    assert world.gateway.doubts == {}


@pytest.mark.parametrize("end", ["cancelled", "filled"])
@pytest.mark.parametrize("world", sorted(SCENES.keys() - WITHOUT_STOPS), indirect=True)
async def test_a_stop_of_ours_that_no_record_tells_of_stays_and_is_told_until_it_is_gone(
    world: World, end: str
) -> None:
    from abidance.testing.exchange.desk import State, Ticket

    last = world.market.tape.price[-1]
    await world.stop()
    world.exchange.desk.transfer(world.account, "BTC", D(1), world.exchange.now)
    ticket = Ticket(world.ids.make(999), SELL, world.lots("0.01"), trigger=last - last // 50)
    placed = world.exchange.desk.place(world.account, world.market, ticket, world.exchange.now)
    await world.restart()
    await world.advance(25)
    doubted, stands = dict(world.gateway.doubts), placed.state
    if end == "cancelled":
        world.exchange.desk.cancel(placed, world.exchange.now)
    else:
        price = last - last // 25
        book = world.market.book
        book.submit(world.exchange.now, "somebody", BUY, world.lots("1"), price, Force.GTC)
        sold = book.available(SELL, price) - world.lots("0.5")
        book.submit(world.exchange.now, "somebody", SELL, sold, price, Force.IOC)
    await world.advance(25)

    assert stands is State.WAITING
    assert placed.state is (State.CANCELLED if end == "cancelled" else State.FILLED)
    assert "left standing (sell 0.01" in doubted["stops"]
    assert world.gateway.doubts == {}


async def test_money_that_comes_and_goes_by_no_order_is_told_once_as_the_owners(world: World) -> None:
    world.submit(quantity="0.1")
    await world.advance(1)
    world.exchange.faults.add(Fault(Wrong.DUPLICATE, "account", times=0))

    world.exchange.desk.transfer(world.account, "USDT", D("12.5"), world.exchange.now)
    world.exchange.desk.transfer(world.account, "USDT", D("-2.5"), world.exchange.now)
    await world.advance(5)

    told = [(e.asset, e.amount) for e in world.events if isinstance(e, BalanceChanged) and e.is_owners]
    assert told == ([("USDT", D("12.5")), ("USDT", D("-2.5"))] if world.scene.tells_money else [])
    if not world.scene.tells_money:
        assert world.gateway.scales.funds["USDT"].total == world.account.purses["USDT"].total


async def test_the_stream_outlives_the_hour_of_a_key(world: World) -> None:
    await world.advance(3_900, step=15)
    ears = len(world.ears)

    order = world.submit(quantity="0.1")
    world.exchange.faults.add(Fault(Wrong.DEAF, world.scene.asked, times=0))
    await world.advance(3)

    assert ears == 1
    assert world.filled(order) == D("0.1")
    assert world.told(order)[0] in ("OrderAccepted", "OrderFilled")


async def test_a_stream_that_lasted_makes_up_for_the_failures_before_it(world: World) -> None:
    world.is_up = False
    for ear in world.ears:
        await ear.close()
    await world.advance(40)
    world.is_up = True
    await world.advance(40)

    for ear in world.ears:
        await ear.close()
    await world.advance(2)

    assert "stream" not in world.gateway.doubts


async def test_while_the_stream_is_down_the_account_is_in_doubt(world: World) -> None:
    world.is_up = False
    for ear in world.ears:
        await ear.close()
    await world.advance(1)
    down = dict(world.gateway.doubts)
    world.is_up = True
    await world.advance(60)

    assert "stream" in down
    assert world.gateway.doubts == {}


async def test_a_new_process_finds_what_became_of_the_orders_of_the_old_one(world: World) -> None:
    resting = world.rest()
    await world.advance(1)
    fine = world.gateway.register.get(resting)
    assert fine is not None
    known = fine.view()
    await world.stop()
    placed = next(iter(world.exchange.desk.orders.values()))
    world.exchange.desk.cancel(placed, world.exchange.now)
    world.events.clear()

    world.gateway = world.made()
    world.gateway.recover([known], [], world.pulse.wall())
    await world.start()
    await world.advance(5)

    assert world.told(resting)[-1] == "OrderCancelled"
    assert world.placed(resting) == 1


class Unsafe:
    """A record that is never safe: who waits for it dies before."""

    seq = 1
    has_failed = False

    async def done(self, seq: int) -> None:
        await asyncio.Event().wait()


async def test_an_order_that_the_last_process_did_not_send_is_known_not_to_have_left(world: World) -> None:
    world.gateway._way.record = Unsafe()
    order = world.rest()
    await world.restart()

    await world.advance(30)

    assert world.told(order) == ["OrderRejected"]
    assert world.placed(order) == 0


async def test_an_order_that_the_last_process_may_have_sent_is_absent_only_by_proof(world: World) -> None:
    world.gateway._way.record = Unsafe()
    order = world.rest()
    world.departed.add(order)  # and its request never arrived
    await world.restart()

    await world.advance(4)
    early, doubts = world.told(order), set(world.gateway.doubts)
    await world.advance(60)

    assert early == ["OrderUnknown"]
    assert doubts == {"start"}  # an account of which something is under way is not proven to agree
    assert not world.gateway.doubts
    assert world.told(order) == ["OrderUnknown", "OrderAbandoned"]


async def test_a_stop_that_the_last_process_did_not_send_is_sent_now(world: World) -> None:
    bought = world.submit(Side.BUY, "0.1")
    await world.advance(1)
    world.gateway._way.record = Unsafe()
    stop = world.stop_loss(500)

    await world.restart()

    assert world.told(bought)[-1] == "OrderFilled"
    assert world.told(stop) == ["OrderAccepted"]


async def test_the_orders_of_the_last_process_are_found_by_one_question(world: World) -> None:
    resting = [world.rest(below=500 + n, quantity="0.01") for n in range(3)]
    await world.advance(2)
    asked = world.asked["GET"] + world.asked["POST"]

    await world.restart()
    await world.advance(2)

    assert all(world.told(each) == ["OrderAccepted", "OrderUnknown", "OrderAccepted"] for each in resting)
    assert world.asked["GET"] + world.asked["POST"] - asked <= 12


async def test_the_kill_switch_takes_everything_back(world: World) -> None:
    orders = [world.rest(below=500 + 10 * n, quantity="0.01") for n in range(15)]
    await world.advance(2)

    await world.gateway.cancel_all()
    await world.advance(1)

    assert all(world.told(order)[-1] == "OrderCancelled" for order in orders)


async def test_the_kill_switch_asks_until_everything_is_taken_back(world: World) -> None:
    orders = [world.rest(below=500 + 10 * n, quantity="0.01") for n in range(5)]
    await world.advance(2)
    world.exchange.faults.add(Fault(Wrong.ERROR, times=0))

    killed = world.gateway.cancel_all()
    await world.advance(20)
    stood = len(standing(world))
    world.exchange.faults.clear()
    await world.advance(45)

    assert stood == 5
    assert killed.done()
    assert all(world.told(order)[-1] == "OrderCancelled" for order in orders)
    assert standing(world) == []


async def test_a_clock_that_is_off_is_measured_and_corrected(world: World) -> None:
    world.wire.offset = -20_000_000_000

    first = world.rest()
    await world.advance(50)
    second = world.rest()
    await world.advance(2)

    assert world.told(first)[-1] in ("OrderRejected", "OrderAbandoned")
    assert world.placed(first) == 0
    assert abs(world.wire.offset) < 1_000_000_000
    assert world.told(second) == ["OrderAccepted"]


async def test_a_question_for_the_time_that_had_to_wait_measures_no_clock_that_is_off() -> None:
    world = await World().start()

    world.exchange.faults.add(Fault(Wrong.BAN, "/api/v3", 0, 1, 20.0))
    with suppress(VenueError):
        await world.gateway.compare_orders()
    measuring = asyncio.ensure_future(world.gateway.set_clock())
    await world.advance(130)
    await measuring

    assert world.wire.offset == 0
    assert "clock" not in world.gateway.doubts
    await world.stop()


async def test_what_a_venue_says_may_break_its_comparisons_and_nothing_else() -> None:
    world = await World().start()
    listed = world.gateway.dialect.read_orders

    def broken(answer: Answer) -> Never:
        raise KeyError(answer.status)

    world.gateway.dialect.read_orders = broken  # type: ignore[method-assign]
    order = world.submit()
    await world.advance(15)
    doubted = dict(world.gateway.doubts)
    world.gateway.dialect.read_orders = listed  # type: ignore[method-assign]
    await world.advance(10)

    assert "the program failed (KeyError" in doubted["compare_orders"]
    assert world.filled(order) == D("0.1")
    assert world.gateway.doubts == {}
    await world.stop()


async def test_a_clock_that_cannot_be_read_after_a_comparison_failed_ends_nothing() -> None:
    world = await World().start()
    dialect = world.gateway.dialect
    reads = dialect.read_orders, dialect.read_clock

    def broken(answer: Answer) -> Never:
        raise KeyError(answer.status)

    dialect.read_orders = dialect.read_clock = broken  # type: ignore[method-assign]
    await world.advance(15)
    doubted = dict(world.gateway.doubts)
    dialect.read_orders, dialect.read_clock = reads  # type: ignore[method-assign]
    await world.advance(30)

    assert "the program failed (KeyError" in doubted["compare_orders"]
    assert world.gateway.doubts == {}
    await world.stop()


async def test_work_that_is_called_off_before_its_first_step_leaves_nothing_behind(world: World) -> None:
    asked = world.gateway.set_clock()
    task = world.gateway._way.spawn(asked)

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert task.cancelled()
    assert inspect.getcoroutinestate(asked) == inspect.CORO_CLOSED


@pytest.mark.parametrize(
    ("venue", "coin"), [("BINANCE", "BNB"), ("BYBIT", "MNT"), ("KUCOIN", "KCS"), ("MEXC", "MX")]
)
async def test_a_fee_in_a_coin_of_the_venue_is_told_in_that_coin_and_is_no_doubt(
    venue: str, coin: str
) -> None:
    world = World(venue=venue)
    world.account.fee_asset = coin
    world.exchange.desk.transfer(world.account, coin, D(100), EPOCH)
    await world.start()

    world.submit(quantity="0.1")
    await world.advance(70)

    (order,) = world.exchange.desk.orders.values()
    told = {
        (event.fill.fee, event.fill.fee_asset) for event in world.events if isinstance(event, OrderFilled)
    }
    assert told == {(part.fee, coin) for part in order.parts}
    assert world.gateway.doubts == {}
    await world.stop()
