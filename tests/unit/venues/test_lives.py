"""Orders that leave a venue and go back to it: which of their lives news is of, and what it says of the order."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from abidance.model.event import AccountEvent, OrderAmended, OrderFilled
from abidance.model.order import Order, OrderRequest, OrderState, OrderType, Side
from abidance.testing.exchange import Fault, Wrong
from abidance.venues.account import Execution, OrderReport
from abidance.venues.trading.register import Register, Tracked
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

    assert waited == ["2"]
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
    world.gateway._keeping._absent[stop] = world.pulse.steady() + 5  # a copy that lagged did not know it

    world.submit(Side.SELL, "0.04", reduce_only=True)
    await world.advance(1)
    in_doubt = set(known.unsettled)
    world.amend(stop, quantity=D("0.05"))
    await world.advance(60)

    assert in_doubt
    assert not known.unsettled
    assert world.placed(stop) == 2
    await world.stop()
