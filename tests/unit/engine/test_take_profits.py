"""Take-profits with a trigger, through the whole core: goals at market, and what strategies and people send."""

import pytest

from abidance.model.event import ControlAction, OrderCancelled, OrderRejected
from abidance.model.instrument import Instrument
from abidance.model.intent import Intent
from abidance.model.market import Bar
from abidance.model.order import OrderRequest, OrderType, Purpose, Side
from abidance.strategy.base import EventStrategy, View
from tests.unit.engine.rig import PERP, SPOT, D, Rig, Scripted, flat, rig_of

AT_MARKET: dict[str, object] = {"exits": {"take_profit_order": "market"}, "allow_short": True}
PROTECTED = {"stop": 5.0, "take_profit": 10.0}


def goal_of(rig: Rig) -> OrderRequest:
    (found,) = (each.request for each in rig.open() if each.request.purpose is Purpose.TAKE_PROFIT)
    return found


def held(patience: float | None = None, **config: object) -> Rig:
    """Return a rig without a venue, whose strategy holds 1 with its stop and its goal at the venue."""
    rig = rig_of(Scripted([1], **PROTECTED), flat(100, 100, 100), config=AT_MARKET | config, venue=False)
    rig.engine.vigil.be_patient(patience)
    rig.step()
    rig.accept(rig.submits[0])
    rig.fill(rig.submits[0], "1.000", "100", "a")
    for submit in rig.submits[1:3]:
        rig.accept(submit)
    return rig


@pytest.mark.parametrize("instrument", [SPOT, PERP])
def test_a_goal_is_a_limit_order_unless_it_is_wished_at_market(instrument: Instrument) -> None:
    tape = flat(100, 100, 100)
    price = D("110.0")

    plain = rig_of(Scripted([1], **PROTECTED), tape, instrument).run()
    wished = rig_of(Scripted([1], **PROTECTED), tape, instrument, config=AT_MARKET).run()

    limit, trigger = goal_of(plain), goal_of(wished)
    assert (limit.type, limit.price, limit.trigger) == (OrderType.LIMIT, price, None)
    assert (trigger.type, trigger.price, trigger.trigger) == (OrderType.TAKE_PROFIT, None, price)
    assert trigger.reduce_only
    assert trigger.quantity == D("1.000")


@pytest.mark.parametrize(
    ("targets", "row", "trade"),
    [
        # touched exactly, which would not fill a limit
        ([1], (100, 110, 99, 105), ("sell", "1.000", "110.0", "take_profit")),
        # a gap past it trades at the open
        ([1], (115, 120, 112, 118), ("sell", "1.000", "115.0", "take_profit")),
        ([-1], (100, 101, 90, 95), ("buy", "1.000", "90.0", "take_profit")),
        ([-1], (85, 88, 80, 82), ("buy", "1.000", "85.0", "take_profit")),
        # the worse of the two comes first
        ([1], (100, 120, 90, 100), ("sell", "1.000", "95.0", "stop_loss")),
        ([-1], (100, 120, 80, 100), ("buy", "1.000", "105.0", "stop_loss")),
    ],
)
def test_a_goal_at_market_trades_once_its_price_is_touched_and_takes_the_stop_along(
    targets: list[float], row: tuple[float, float, float, float], trade: tuple[str, ...]
) -> None:
    tape = [*flat(100, 100), row, *flat(100)]

    rig = rig_of(Scripted(targets, **PROTECTED), tape, PERP, config=AT_MARKET).run()

    assert rig.trades[1:] == [trade]
    assert rig.open() == []
    assert rig.position(PERP) == 0


def test_a_goal_at_market_follows_the_size_of_its_position() -> None:
    rig = held()

    rig.fill(rig.submits[1], "0.4", "95", "b")

    assert (rig.amends[-1].quantity, rig.amends[-1].trigger) == (D("0.6"), D("110.0"))


def test_a_goal_whose_trigger_the_venue_refuses_goes_on_as_a_limit_order() -> None:
    rig = held()
    assert rig.submits[2].request.type is OrderType.TAKE_PROFIT

    rig.tell(OrderRejected(rig.ts, rig.submits[2].order_id, "Order would immediately trigger."))
    again = [each.request for each in rig.submits[3:]]
    rig.tell(OrderCancelled(rig.ts, rig.submits[3].order_id, "by the venue"))

    assert [(each.type, each.price, each.trigger) for each in again] == [(OrderType.LIMIT, D("110.0"), None)]
    assert [each.request.type for each in rig.submits[4:]] == [OrderType.LIMIT]
    assert [each.request.type for each in rig.open()].count(OrderType.STOP) == 1


def test_a_goal_that_is_refused_as_a_limit_too_is_not_sent_again_and_again() -> None:
    rig = held()

    for place in range(2, 6):
        if place < len(rig.submits):
            rig.tell(OrderRejected(rig.ts, rig.submits[place].order_id, "no orders of this kind"))

    assert [each.request.type for each in rig.submits[2:]] == [OrderType.TAKE_PROFIT, OrderType.LIMIT]
    assert rig.position() == D("1.000")


def test_a_goal_at_market_that_the_venue_ends_is_set_anew() -> None:
    rig = held()

    rig.tell(OrderCancelled(rig.ts, rig.submits[2].order_id, "by the venue"))

    assert [each.request.type for each in rig.submits[3:]] == [OrderType.TAKE_PROFIT]


def test_a_take_profit_does_not_cover_a_position_in_the_place_of_its_stop() -> None:
    rig = held(patience=5.0)

    rig.tell(OrderRejected(rig.ts, rig.submits[1].order_id, "no stops today"))

    exit = rig.submits[-1].request
    assert (exit.type, exit.purpose, exit.quantity) == (OrderType.MARKET, Purpose.STOP_LOSS, D("1.000"))


class Buyer(EventStrategy):
    """Buys once, by a take-profit below the market."""

    def on_bar(self, bar: Bar, view: View) -> list[Intent]:
        if view.orders(SPOT.id) or view.position(SPOT.id).quantity:
            return []
        request = OrderRequest(
            self.name,
            SPOT.id,
            Side.BUY,
            D(1),
            OrderType.TAKE_PROFIT,
            trigger=D("95.0"),
            decision_price=D(100),
        )
        return [request]


def test_a_strategy_may_enter_by_a_take_profit() -> None:
    rig = rig_of(Buyer(), [*flat(100, 100), (100, 101, 94, 96), *flat(96)]).run()

    assert rig.trades == [("buy", "1.000", "95.0", "entry")]


def test_a_person_may_send_a_take_profit() -> None:
    rig = rig_of(Scripted([1]), [*flat(100, 100, 100), (100, 111, 99, 105), *flat(105)])
    rig.step(2)
    typed = {"instrument": SPOT.id, "side": "sell", "quantity": "1", "reduce_only": True}

    rig.control(ControlAction.ORDER, "one", **typed, type="take_profit", trigger="110")
    rig.run()

    assert rig.trades[1:] == [("sell", "1.000", "110.0", "flatten")]
