"""Orders that leave a venue and go back to it: which of their lives news is of, and what it says of the order."""

from decimal import Decimal
from itertools import accumulate

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from abidance.execution.orders import Orders
from abidance.model.account import OWNER
from abidance.model.event import AccountEvent, OrderAccepted, OrderAmended, OrderFilled
from abidance.model.instrument import SECOND_NS
from abidance.model.order import Fill, Order, OrderRequest, OrderState, OrderType, Side
from abidance.model.outcome import Approved
from abidance.testing.exchange import Fault, Wrong
from abidance.testing.exchange.desk import live
from abidance.venues.account import Execution, OrderReport
from abidance.venues.trading.register import Register
from abidance.venues.trading.tracked import Tracked
from tests.unit.venues.trading_world import World

D = Decimal
ID, PAIR, DIED = "ab" * 16, "BTC/USDT@KRAKEN", 1_000


class Recovered:
    """A register that knows of one stop what the record of an earlier process says, until it died."""

    def __init__(self) -> None:
        self.events: list[AccountEvent] = []
        self.register = Register(self.events.append, lambda _id: True, lambda _id: None)
        request = OrderRequest(
            "s", PAIR, Side.SELL, D(1), OrderType.STOP, trigger=D(50_000), reduce_only=True
        )
        self.register.recover([Order(ID, request, OrderState.OPEN, 0)], [])
        found = self.register.get(ID)
        assert found is not None
        self.stop: Tracked = found
        self.stop.left, self.stop.left_by = True, DIED
        self.stop.may_have_returned = True
        self.register.unknown(self.stop, "the program was not running", DIED)

    def report(self, life: str, state: OrderState, ts: int, filled: str = "0", quantity: str = "1") -> None:
        self.register.report(OrderReport(ID, life, PAIR, state, Side.SELL, D(quantity), D(filled), ts), ts)

    def execution(self, life: str, quantity: str, name: str = "e") -> None:
        found = Execution(name, "", life, PAIR, Side.SELL, D(quantity), D(50_000), D(0), "USDT", DIED + 9)
        self.register.execution(found, DIED + 9)

    @property
    def said(self) -> list[str]:
        """Return what was told after the order was in question."""
        return [type(each).__name__ for each in self.events[1:]]


@pytest.mark.parametrize("state", [OrderState.CANCELLED, OrderState.EXPIRED])
def test_the_end_of_a_life_after_which_another_process_may_have_sent_an_order_again_is_not_its_end(
    state: OrderState,
) -> None:
    told = Recovered()

    told.report("2", state, DIED - 5)
    early = told.said
    told.report("3", OrderState.FILLED, DIED - 1, filled="1")
    told.execution("3", "1")

    assert early == []
    assert told.said == ["OrderAccepted", "OrderFilled"]
    assert told.stop.told is OrderState.FILLED


def test_the_end_of_a_life_that_outlived_the_process_is_the_end_of_the_order() -> None:
    told = Recovered()

    told.report("3", OrderState.CANCELLED, DIED + 1)

    assert told.said == ["OrderCancelled"]


def test_an_end_of_which_the_venue_does_not_say_when_it_was_is_that_of_what_stood() -> None:
    told = Recovered()

    told.report("2", OrderState.OPEN, DIED - 9)
    told.report("2", OrderState.CANCELLED, 0)

    assert told.said == ["OrderAccepted", "OrderCancelled"]


def test_a_life_that_a_copy_still_showed_is_in_question_again_once_it_had_ended_before() -> None:
    told = Recovered()

    told.report("2", OrderState.OPEN, DIED - 9)
    told.report("2", OrderState.CANCELLED, DIED - 5)
    in_question = told.stop.told, told.stop.venue_id
    told.report("3", OrderState.OPEN, DIED - 4)

    assert in_question == (OrderState.UNKNOWN, "")
    assert told.said == ["OrderAccepted", "OrderUnknown", "OrderAccepted"]
    assert told.stop.venue_id == "3"


def test_an_order_of_which_no_later_life_is_found_ends_as_what_was_there() -> None:
    told = Recovered()
    told.execution("2", "0.25")

    told.report("2", OrderState.CANCELLED, DIED - 5, filled="0.25")
    told.register.abandoned(told.stop, "absent", DIED + 20)

    assert told.said == ["OrderFilled", "OrderCancelled"]


def test_executions_that_came_before_anybody_knew_their_life_are_those_of_the_order() -> None:
    told = Recovered()
    told.execution("2", "0.5")
    waited = list(told.register.strays)

    told.report("2", OrderState.CANCELLED, DIED - 5, filled="0.5")

    assert waited == [(PAIR, "2")]
    assert told.said == ["OrderFilled"]
    assert told.stop.filled == D("0.5")


def test_an_order_that_filled_more_than_was_known_is_told_as_larger_before_it_is_told_as_filled() -> None:
    told = Recovered()

    told.report("3", OrderState.FILLED, DIED - 1, filled="1.7", quantity="1.7")
    told.execution("3", "0.9", "one")
    told.execution("3", "0.8", "two")

    assert told.said == ["OrderAccepted", "OrderFilled", "OrderAmended", "OrderFilled"]
    (larger,) = [each for each in told.events if isinstance(each, OrderAmended)]
    assert larger.quantity == sum(each.fill.quantity for each in told.events if isinstance(each, OrderFilled))
    assert told.stop.told is OrderState.FILLED


PARTS = st.lists(st.integers(1, 9), min_size=2, max_size=6)


@given(PARTS, st.data(), st.sampled_from(("fills", "list", "quantity", "record")))
def test_no_part_of_an_order_that_was_made_larger_is_told_beyond_its_quantity(
    parts: list[int], data: st.DataObject, known_by: str
) -> None:
    """What it fills is reported or listed, or it is known how large an earlier process had it made."""
    asked, whole, orders = D(data.draw(st.integers(1, sum(parts) - 1))), D(sum(parts)), Orders()
    request = OrderRequest("s", PAIR, Side.SELL, asked, OrderType.STOP, trigger=D(50_000), reduce_only=True)
    orders.create(Approved(request), ID, 0)
    orders.apply(OrderAccepted(1, ID))

    def hear(event: AccountEvent) -> None:
        orders.apply(event)

    register = Register(hear, lambda _id: True, lambda _id: None)
    register.recover(orders.all(), [])
    if known_by in ("quantity", "record"):
        assume(int(asked) not in accumulate(parts))
    if known_by in ("fills", "quantity"):
        filled = whole if known_by == "fills" else D(0)
        register.report(OrderReport(ID, "3", PAIR, OrderState.PARTIAL, Side.SELL, whole, filled, 3), 4)
    if known_by == "record" and (stop := register.get(ID)) is not None:
        stop.most = whole
    executions = [
        Execution(str(number), ID, "3", PAIR, Side.SELL, D(part), D(50_000), D(0), "USDT", 3)
        for number, part in enumerate(parts)
    ]
    for each in executions:
        register.execution(each, 4, executions if known_by == "list" else ())

    order = orders.get(ID)
    assert order is not None
    assert not orders.take_anomalies()
    assert (order.state, order.filled, order.request.quantity) == (OrderState.FILLED, whole, whole)


@pytest.mark.parametrize("venue", ["BYBIT", "KRAKEN"])
async def test_a_change_of_which_a_process_that_died_did_not_hear_says_how_much_a_stop_may_fill(
    venue: str,
) -> None:
    world = await World(venue=venue).start()
    stop = await world.guarded()
    world.exchange.faults.add(Fault(Wrong.GAP, world.scene.own, times=0))
    world.amend(stop, quantity=D("0.2"))
    await world.restart()
    tracked = world.gateway.register.get(stop)

    assert tracked is not None
    assert tracked.most == D("0.2")
    await world.stop()


def test_an_order_that_had_filled_as_much_as_it_was_changed_to_ends() -> None:
    told = Recovered()
    told.report("3", OrderState.OPEN, DIED + 1)
    told.stop.wish = replace(told.stop.request, quantity=D("0.6"))
    told.execution("3", "0.6")

    told.report("3", OrderState.FILLED, DIED + 9, filled="0.6", quantity="0.6")

    assert told.said == ["OrderAccepted", "OrderFilled", "OrderAmended", "OrderCancelled"]


def test_what_is_said_of_one_earlier_life_settles_no_other_one() -> None:
    told = Recovered()
    told.report("3", OrderState.OPEN, DIED + 1)
    told.stop.withdraw()
    told.report("3", OrderState.CANCELLED, DIED + 2)
    told.stop.release(DIED + 3, ids_once=False)
    told.stop.withdraw()  # before anybody said its name

    told.report("3", OrderState.CANCELLED, DIED + 2)
    of_the_one_before = set(told.stop.unsettled)
    told.report("4", OrderState.OPEN, DIED + 4)
    named = set(told.stop.unsettled)
    told.report("4", OrderState.CANCELLED, DIED + 5)

    assert (of_the_one_before, named, told.stop.unsettled) == ({""}, {"4"}, set())


async def test_a_stop_of_whose_earlier_life_nobody_spoke_goes_back_all_the_same() -> None:
    world = await World(venue="KRAKEN").start()
    stop = await world.guarded()
    world.exchange.faults.add(Fault(Wrong.GAP, world.scene.own, times=0))
    world.exchange.faults.add(Fault(Wrong.PAGE, "/0/private/ClosedOrders", 0, 0))
    known = world.gateway.register.get(stop)
    assert known is not None
    known.asked_off_at = known.denied_at = world.pulse.steady()  # a copy that lagged did not know it

    world.submit(Side.SELL, "0.04", reduce_only=True)
    await world.advance(1)
    in_doubt = set(known.unsettled)
    world.amend(stop, quantity=D("0.05"))
    await world.advance(60)

    assert in_doubt
    assert not known.unsettled
    assert world.placed(stop) == 2
    await world.stop()


async def test_an_exit_waits_while_a_copy_that_lags_may_not_know_the_stop_whose_cancel_found_none() -> None:
    world = await World().start()
    stop = await world.guarded()
    world.exchange.faults.add(Fault(Wrong.GAP, world.scene.own, times=0))
    lag = world.exchange.faults.add(Fault(Wrong.LAG, "", 0, 0, 10.0))
    world.gateway.watch(world.btc.id, float(world.bid()), float(world.bid()) + 1)
    (standing,) = live(world.exchange.desk.of(world.account, world.market))
    world.exchange.desk.cancel(standing, world.exchange.now)  # or it has filled: nobody tells

    early = world.submit(Side.SELL, "0.04", reduce_only=True)
    await world.advance(6)
    stood = world.told(stop)[-1]
    await world.advance(8)
    late = world.submit(Side.SELL, "0.04", reduce_only=True)
    await world.advance(6)

    assert lag.hits
    assert (stood, world.told(early)[-1], world.placed(early)) == ("OrderAccepted", "OrderRejected", 0)
    assert world.placed(late) == 1
    await world.stop()


def test_an_order_that_left_goes_back_under_another_id_though_nobody_named_its_lives() -> None:
    stop = Recovered().stop
    stop.may_have_returned, stop.wire_id = False, ""
    ids = []
    for _ in range(3):  # sent, no answer, taken back by our id
        stop.release(DIED, ids_once=True)
        ids.append(stop.wire_id or ID)
        stop.left = True
        stop.withdraw()
        stop.unsettled.clear()

    assert ids == [f"{ID}r1", f"{ID}r2", f"{ID}r3"]


def test_an_order_that_never_left_goes_under_its_own_id() -> None:
    stop = Recovered().stop
    stop.may_have_returned, stop.left, stop.held = False, False, True

    stop.release(DIED, ids_once=True)

    assert (stop.wire_id, stop.view().id) == ("", ID)


def _lives(world: World, order_id: str) -> list[str]:
    """Return the marks of an order's lives at the exchange, oldest first."""
    found = [order.ticket.client_id for order in world.exchange.desk.orders.values()]
    return [each.removeprefix(order_id) for each in found if each.startswith(order_id)]


def _standing(world: World) -> list[str]:
    return [each.ticket.client_id for each in live(world.exchange.desk.of(world.account, world.market))]


@pytest.mark.parametrize("venue", ["KUCOIN", "BYBIT"])
async def test_a_goal_that_was_sent_again_before_a_restart_gives_way_after_it(venue: str) -> None:
    world = await World(venue=venue).start()
    world.submit(quantity="0.1")
    await world.advance(1)
    goal = world.goal(above=2000, quantity="0.03")
    await world.advance(1)
    world.submit(Side.SELL, "0.02", reduce_only=True)
    await world.advance(20)
    before = _standing(world)

    await world.restart(down=3)
    await world.advance(3)
    sold = world.submit(Side.SELL, "0.02", reduce_only=True)
    await world.advance(20)
    again = _standing(world)
    world.cancel(goal)
    await world.advance(20)

    assert before == [f"{goal}r1"]
    assert world.filled(sold) == D("0.02")
    assert again == [f"{goal}r2"]
    assert _lives(world, goal) == ["", "r1", "r2"]
    assert _standing(world) == []
    assert world.told(goal)[-1] == "OrderCancelled"
    await world.stop()


async def test_a_quantity_is_changed_of_the_life_that_stands_after_a_restart() -> None:
    world = await World(venue="BYBIT").start()
    world.submit(quantity="0.1")
    await world.advance(1)
    goal = world.goal(above=2000, quantity="0.03")
    await world.advance(1)
    world.submit(Side.SELL, "0.02", reduce_only=True)
    await world.advance(20)

    await world.restart(down=3)
    await world.advance(3)
    world.amend(goal, quantity=D("0.02"))
    await world.advance(10)

    (order,) = live(world.exchange.desk.of(world.account, world.market))
    assert (order.ticket.client_id, order.left) == (f"{goal}r1", world.lots("0.02"))
    assert world.told(goal)[-1] == "OrderAmended"
    await world.stop()


async def test_what_an_earlier_life_sold_is_not_sold_again_by_a_change_after_a_restart() -> None:
    world = await World(5, venue="KRAKEN").start()
    world.submit(quantity="0.5")
    await world.advance(2)
    goal = world.goal(above=12, quantity="0.4")
    while not world.filled(goal):
        await world.advance(0.25)
    sold = world.filled(goal)
    world.submit(Side.SELL, "0.05", reduce_only=True)
    await world.advance(6)

    await world.restart(down=1)
    world.amend(goal, quantity=D("0.3"))
    await world.advance(5)

    assert sold < D("0.1")
    (order,) = live(world.exchange.desk.of(world.account, world.market))
    assert (order.filled + order.left) * world.btc.lot == D("0.3") - sold
    assert world.told(goal)[-1] == "OrderAmended"
    await world.stop()


class Resumed:
    """A register that knows of a goal of which 0.4 of 1.0 had filled in some life that ended before the restart."""

    def __init__(self) -> None:
        self.events: list[AccountEvent] = []
        self.register = Register(self.events.append, lambda _id: True, lambda _id: None)
        request = OrderRequest(
            "s", PAIR, Side.SELL, D(1), type=OrderType.LIMIT, price=D(100), reduce_only=True
        )
        fill = Fill("e1", ID, PAIR, "s", Side.SELL, D("0.4"), D(100), D(0), "USDT", 1)
        self.register.recover([Order(ID, request, OrderState.PARTIAL, 0, D("0.4"))], [fill])
        found = self.register.get(ID)
        assert found is not None
        self.goal: Tracked = found
        self.goal.may_have_returned, self.goal.left_by = True, DIED
        self.report(OrderState.OPEN, "0", DIED - 5)

    def report(self, state: OrderState, filled: str, ts: int) -> None:
        told = OrderReport(ID, "V2", PAIR, state, Side.SELL, D("0.6"), D(filled), ts, D(100))
        self.register.report(told, ts)

    def execution(self, life: str, name: str, quantity: str) -> None:
        done = Execution(name, "", life, PAIR, Side.SELL, D(quantity), D(100), D(0), "USDT", DIED + 1)
        self.register.execution(done, DIED + 2)

    @property
    def said(self) -> list[str]:
        return [type(each).__name__ for each in self.events]


@pytest.mark.parametrize("is_placed_first", [True, False])
def test_an_order_does_not_end_after_a_restart_before_its_last_fill_is_told(*, is_placed_first: bool) -> None:
    told = Resumed()
    if is_placed_first:
        told.execution("V1", "e1", "0.4")

    told.execution("V2", "e2", "0.3")
    told.report(OrderState.FILLED, "0.6", DIED + 9)
    if not is_placed_first:
        assert told.goal.is_to_be_sought
        told.execution("V1", "e1", "0.4")
        told.register.sought(told.goal, DIED + 10)
    owed = told.goal.missing
    told.execution("V2", "e3", "0.3")

    assert owed == D("0.3")
    assert told.said == ["OrderFilled", "OrderFilled"]
    assert told.goal.told is OrderState.FILLED


def test_an_order_ends_once_it_was_asked_in_which_life_it_had_filled_and_nobody_said() -> None:
    told = Resumed()

    told.report(OrderState.CANCELLED, "0", DIED + 9)
    waits = told.said
    told.register.sought(told.goal, DIED + 10)

    assert (waits, told.said) == ([], ["OrderCancelled"])


async def test_a_goal_that_fills_under_a_later_id_while_nobody_listens_is_not_taken_for_the_owners() -> None:
    world = await World(1, venue="KUCOIN").start()
    world.submit(quantity="0.1")
    await world.advance(1)
    goal = world.goal(above=60, quantity="0.06")
    await world.advance(1)
    world.submit(Side.SELL, "0.03", reduce_only=True)
    await world.advance(6)
    before = _standing(world)

    await world.stop()
    while _standing(world):
        await world.advance(1)
    for ear in world.ears:
        ear.is_over = True
    since, world.gateway = world.pulse.wall() - 600 * SECOND_NS, world.made()
    world.gateway.recover(world.orders.all(), world.orders.fills, since, world.departed.__contains__)
    await world.start()
    await world.advance(60)

    at_exchange = sum(
        each.filled for each in world.exchange.desk.orders.values() if each.ticket.client_id == before[0]
    )
    assert before == [f"{goal}r1"]
    assert world.filled(goal) == at_exchange * world.btc.lot > 0
    assert all(each.fill.strategy != OWNER for each in world.events if isinstance(each, OrderFilled))
    assert world.told(goal)[-1] in ("OrderFilled", "OrderCancelled")
    await world.stop()
