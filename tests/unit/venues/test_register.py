"""What the register of one account tells of an order that was at the venue, then with us, and is to end."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from abidance.model.account import OWNER
from abidance.model.event import AccountEvent, OrderFilled
from abidance.model.order import OrderRequest, OrderState, OrderType, Side
from abidance.venues.account import Execution, OrderReport
from abidance.venues.trading.register import Register, may_have_traded
from abidance.venues.trading.tracked import Tracked

ID, PAIR = "ab" * 16, "BTC/USDT@BINANCE"
D = Decimal


class Told:
    """A register with one stop that stood at the venue as number 7, and what was told of it."""

    def __init__(self) -> None:
        self.events: list[AccountEvent] = []
        self.register = Register(self.events.append, lambda id: not id.startswith("web"), lambda _id: None)
        request = OrderRequest(
            "s", PAIR, Side.SELL, D(1), OrderType.STOP, trigger=D(50_000), reduce_only=True
        )
        self.stop: Tracked = self.register.sent(ID, request, 0)
        self.stop.left = True
        self.register.named(self.stop, "7", 0)
        self.register.accepted(self.stop, 0)

    def report(self, state: OrderState, filled: str) -> None:
        self.register.report(OrderReport(ID, "7", PAIR, state, Side.SELL, D(1), D(filled), 1), 1)

    def execution(self, quantity: str, name: str = "e") -> None:
        found = Execution(name, ID, "7", PAIR, Side.SELL, D(quantity), D(50_000), D(0), "USDT", 1)
        self.register.execution(found, 1)

    @property
    def said(self) -> list[str]:
        """Return what was told after the order was accepted."""
        return [type(each).__name__ for each in self.events[1:]]


@pytest.mark.parametrize("first", ["report", "execution"])
def test_a_withdrawn_order_ends_once_all_is_told_that_it_had_filled(first: str) -> None:
    told = Told()
    told.stop.withdraw()

    told.register.gone(told.stop, "taken back", 2)
    early = told.said
    told.execution("0.4") if first == "execution" else told.report(OrderState.CANCELLED, "0.4")
    middle = told.said
    told.report(OrderState.CANCELLED, "0.4") if first == "execution" else told.execution("0.4")

    assert early == []
    assert middle == ["OrderFilled"] * (first == "execution")
    assert told.said == ["OrderFilled", "OrderCancelled"]
    assert told.stop.filled == D("0.4")


def test_a_withdrawn_order_of_which_the_venue_told_its_end_ends_at_once() -> None:
    told = Told()
    told.stop.held = told.stop.moving = True
    told.report(OrderState.CANCELLED, "0")
    told.stop.moving = False
    told.stop.withdraw()

    told.register.gone(told.stop, "taken back", 2)

    assert told.said == ["OrderCancelled"]


def test_an_end_of_which_nobody_says_more_is_told_and_what_fills_after_it_too() -> None:
    told = Told()
    told.stop.withdraw()
    told.register.gone(told.stop, "taken back", 2)

    told.stop.unsettled.clear()
    told.register.gone(told.stop, "taken back", 3)
    told.execution("0.4")

    assert told.said == ["OrderCancelled", "OrderFilled"]


def test_an_order_that_had_filled_whole_before_it_was_taken_back_is_filled_not_cancelled() -> None:
    told = Told()
    told.stop.withdraw()
    told.register.gone(told.stop, "taken back", 2)

    told.report(OrderState.FILLED, "1")
    told.execution("0.3", "one")
    told.execution("0.7", "two")

    assert told.said == ["OrderFilled"] * 2
    assert sum(each.fill.quantity for each in told.events if isinstance(each, OrderFilled)) == 1
    assert told.stop.told is OrderState.FILLED


def test_an_order_is_accounted_for_only_while_nothing_about_it_is_open() -> None:
    told = Told()
    seen = [told.stop.is_accounted]
    told.stop.withdraw()
    seen.append(told.stop.is_accounted)
    told.report(OrderState.CANCELLED, "0.4")
    seen.append(told.stop.is_accounted)
    told.execution("0.4")
    seen.append(told.stop.is_accounted)

    assert seen == [True, False, False, True]
    assert told.stop.in_question == 0


def test_an_execution_that_was_thought_by_hand_counts_once_when_its_order_becomes_known_as_ours() -> None:
    told = Told()
    found = Execution("e", "", "8", PAIR, Side.SELL, D("0.4"), D(50_000), D(2), "USDT", 1)
    told.register.execution(found, 1)
    told.register.disown((PAIR, "8"), 2)
    late = told.register.sent("cd" * 16, told.stop.request, 0)

    told.register.report(OrderReport(late.id, "8", PAIR, OrderState.PARTIAL, Side.SELL, D(1), D("0.4"), 3), 3)
    for _ in range(2):
        told.register.execution(found, 4)

    fills = [each.fill for each in told.events if isinstance(each, OrderFilled)]
    sums: dict[str, Decimal] = {}
    for fill in fills:
        sums[fill.strategy] = sums.get(fill.strategy, D(0)) + fill.side.sign * fill.quantity
    assert sums == {OWNER: D(0), "s": D("-0.4")}
    assert sum(fill.fee for fill in fills) == D(2)
    assert len({fill.id for fill in fills}) == 3
    again = Register(lambda _event: None, lambda _id: True, lambda _id: None)
    again.recover([replace(late.view(), filled=late.filled)], fills)
    again.named(again.get(late.id) or late, "8", 5)
    assert not again.execution(found, 5)
    assert (late.filled, late.owes) == (D("0.4"), False)


@pytest.mark.parametrize("is_later_process", [False, True])
def test_a_fill_that_a_person_accepted_is_not_told_again_when_it_is_listed(is_later_process: bool) -> None:
    told = Told()
    told.report(OrderState.PARTIAL, "0.4")

    told.register.concede(told.stop, D(49_000), "adjustment 7", 5)
    (fill,) = [each.fill for each in told.events if isinstance(each, OrderFilled)]
    if is_later_process:
        told.register = Register(told.events.append, lambda _id: True, lambda _id: None)
        told.register.recover([replace(told.stop.view(), filled=told.stop.filled)], [fill])
        told.stop = told.register.get(ID) or told.stop
    told.execution("0.3", "a")
    told.execution("0.1", "b")
    late = Execution("c", ID, "7", PAIR, Side.SELL, D("0.6"), D(50_000), D(0), "USDT", 9)
    told.register.execution(late, 9)

    fills = [each.fill for each in told.events if isinstance(each, OrderFilled)]
    assert [(each.id, each.quantity, each.price) for each in fills] == [
        (f"adjustment 7 {ID}", D("0.4"), D(49_000)),
        ("c", D("0.6"), D(50_000)),
    ]
    assert fills[0].fee_asset == "USDT"
    assert told.stop.told is OrderState.FILLED


def test_what_is_asked_of_orders_each_second_does_not_grow_with_those_that_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told, looked = Told(), list[Tracked]()
    for number in range(1_000):
        ended = told.register.sent(f"{number:032x}", told.stop.request, 0)
        told.register.came_to_nothing(ended, "refused", 0)
    told.register.owing()

    def counted(tracked: Tracked) -> bool:
        looked.append(tracked)
        return tracked.told.is_closed

    monkeypatch.setattr(Tracked, "is_closed", property(counted))
    standing, owing = list(told.register.open()), told.register.owing()

    assert (standing, owing) == ([told.stop], [])
    assert {each.id for each in looked} == {told.stop.id}


def test_an_ended_order_of_which_the_venue_reports_more_owes_that_until_it_is_told() -> None:
    told = Told()
    told.report(OrderState.CANCELLED, "0")
    before = told.register.owing()

    told.report(OrderState.CANCELLED, "0.4")
    meanwhile = told.register.owing()
    told.execution("0.4")

    assert (before, meanwhile, told.register.owing()) == ([], [told.stop], [])
    assert list(told.register.open()) == []
    assert told.said == ["OrderCancelled", "OrderFilled"]


def test_a_change_that_was_done_shows_that_the_venue_has_an_order_of_unknown_outcome() -> None:
    told = Told()
    told.register.unknown(told.stop, "no answer", 2)

    told.register.amended(told.stop, replace(told.stop.request, quantity=D(2)), 3)

    assert told.said == ["OrderUnknown", "OrderAccepted", "OrderAmended"]
    assert told.stop.told is OrderState.OPEN


def test_two_orders_that_have_the_same_number_in_two_instruments_are_two() -> None:
    told, other = Told(), "ETH/USDT@BINANCE"
    request = replace(told.stop.request, instrument=other)
    ours = told.register.sent("cd" * 16, request, 0)

    told.register.execution(Execution("f", "", "7", other, Side.SELL, D("0.3"), D(3_000), D(0), "USDT", 1), 1)
    waiting = {key: sum(each.quantity for each in found) for key, found in told.register.strays.items()}
    told.register.report(
        OrderReport(ours.id, "7", other, OrderState.PARTIAL, Side.SELL, D(1), D("0.3"), 2), 2
    )
    told.register.execution(Execution("g", "", "7", PAIR, Side.SELL, D("0.2"), D(50_000), D(0), "USDT", 3), 3)

    assert waiting == {(other, "7"): D("0.3")}
    assert (told.stop.filled, ours.filled) == (D("0.2"), D("0.3"))
    fills = [each.fill for each in told.events if isinstance(each, OrderFilled)]
    assert [(each.instrument, each.order_id) for each in fills] == [(other, ours.id), (PAIR, ID)]
    assert not told.register.strays


@pytest.mark.parametrize(
    ("instrument", "side", "theirs", "expected"),
    [
        (PAIR, Side.SELL, None, True),
        (PAIR, Side.SELL, "", True),
        (PAIR, Side.SELL, "web_1", False),
        (PAIR, Side.BUY, None, False),
        ("ETH/USDT@BINANCE", Side.SELL, None, False),
    ],
)
def test_an_execution_may_be_of_an_order_unless_it_is_told_to_be_anothers_or_is_of_something_else(
    instrument: str, side: Side, theirs: str | None, expected: bool
) -> None:
    told = Told()
    told.register.execution(Execution("f", "", "8", instrument, side, D(1), D(1), D(0), "USDT", 1), 1)

    if theirs is not None:
        told.register.report(OrderReport(theirs, "8", instrument, OrderState.FILLED, side, D(1), D(1), 1), 1)

    assert may_have_traded(told.register, told.stop) is expected
