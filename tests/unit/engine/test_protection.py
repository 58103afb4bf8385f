"""The exits that ride with a position, through the whole core: sized, moved, restored, and never left behind."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from abidance.market.bars import Bars
from abidance.model.event import (
    ChangeRejected,
    OrderAbandoned,
    OrderAmended,
    OrderRejected,
    OrderUnknown,
)
from abidance.model.market import Bar
from abidance.model.order import OrderState, OrderType, Purpose
from abidance.strategy.base import Signals
from tests.unit.engine.rig import PERP, SPOT, D, Rig, Scripted, flat, rig_of

NAN = float("nan")
DEEP = 1e6


def thin(price: float, volume: float) -> tuple[float, ...]:
    return price, price, price, price, volume


def test_a_stop_that_the_volume_fills_in_part_goes_on_until_the_position_is_flat() -> None:
    rows = [*flat(100, 100, 100), (100, 100, 80, 85, 0.4), thin(85, 0.2), thin(85, 0.2), thin(85, DEEP)]

    rig = rig_of(Scripted([1], stop=5.0), rows).run()

    assert rig.trades == [
        ("buy", "1.000", "100.0", "entry"),
        ("sell", "0.400", "95.0", "stop_loss"),
        ("sell", "0.200", "85.0", "stop_loss"),
        ("sell", "0.200", "85.0", "stop_loss"),
        ("sell", "0.200", "85.0", "stop_loss"),
    ]
    assert rig.open() == []


def test_a_take_profit_that_fills_in_part_keeps_its_rest_and_the_stop_shrinks() -> None:
    rows = [*flat(100, 100), (100, 120, 100, 100, 0.3), *flat(100), thin(94, DEEP)]

    rig = rig_of(Scripted([1], stop=5.0, take_profit=10.0), rows).run()

    assert rig.trades[1:] == [
        ("sell", "0.300", "110.0", "take_profit"),
        ("sell", "0.700", "94.0", "stop_loss"),
    ]
    assert [amend.quantity for amend in rig.amends] == [D("0.7")]


def test_an_entry_that_fills_in_parts_is_protected_from_the_first_part_on() -> None:
    rows = [*flat(100), thin(100, 0.4), thin(102, 0.4), thin(104, DEEP), *flat(104)]
    rig = rig_of(Scripted([1], stop=5.0), rows)

    rig.step(2)
    first = [(o.request.quantity, o.request.trigger) for o in rig.open() if o.request.type is OrderType.STOP]
    rig.run()

    assert first == [(D("0.400"), D("95.0"))]
    stop = rig.open()[0].request
    assert stop.quantity == rig.position() == D("1.000")
    assert stop.trigger == D("96.6")  # 5 below the mean entry of 101.6


def test_a_stop_that_the_venue_rejects_leads_to_a_market_exit_and_a_notice() -> None:
    rig = held()

    rig.tell(OrderRejected(rig.ts, rig.submits[1].order_id, "no stops today"))

    exit = rig.submits[-1].request
    assert (exit.type, exit.quantity, exit.purpose) == (OrderType.MARKET, D("1.000"), Purpose.STOP_LOSS)
    assert exit.reduce_only
    assert rig.notices[-1].code == "order_rejected"


@pytest.mark.parametrize("news", [OrderAbandoned, OrderRejected])
def test_a_stop_that_the_venue_never_held_leads_to_a_market_exit(news: type) -> None:
    rig = bought("1.000", "100")
    rig.tell(OrderUnknown(rig.ts, rig.submits[1].order_id, "timeout"))

    rig.tell(news(rig.ts, rig.submits[1].order_id, "gone"))

    assert rig.submits[-1].request.type is OrderType.MARKET
    assert rig.submits[-1].request.purpose is Purpose.STOP_LOSS


def test_a_rejected_market_exit_is_not_sent_again_and_again() -> None:
    rig = held()
    rig.tell(OrderRejected(rig.ts, rig.submits[1].order_id, "no stops today"))
    exits = len(rig.submits)

    for place in itertools.count(exits - 1):
        if place == min(len(rig.submits), exits + 10):
            break
        rig.tell(OrderRejected(rig.ts, rig.submits[place].order_id, "no orders at all"))

    # The stop is tried once more, and what leaves in its place; then there is nothing to do before the next bar.
    assert [each.request.type for each in rig.submits[exits:]] == [OrderType.STOP, OrderType.MARKET]


def test_an_exit_that_came_to_nothing_leaves_no_position_without_its_stop() -> None:
    rig = rig_of(Scripted([1.0, 0.0], stop=5.0), flat(*([100.0] * 4)), venue=False)
    rig.step()
    rig.fill(rig.submits[0], "1.000", "100")
    stop = rig.submits[1]
    rig.accept(stop)
    rig.step()
    assert rig.submits[-1].request.purpose is Purpose.SIGNAL
    rig.tell(OrderUnknown(rig.ts, stop.order_id, "nothing was heard of it"))
    rig.tell(OrderAbandoned(rig.ts, stop.order_id, "it is not there"))

    exit = rig.submits[-1].order_id
    rig.tell(OrderUnknown(rig.ts, exit, "nothing was heard of it"))
    rig.tell(OrderAbandoned(rig.ts, exit, "it never arrived"))

    assert rig.submits[-1].request.type is OrderType.STOP
    assert rig.engine.actions.owed


def test_a_stop_is_resized_again_when_a_fill_came_while_its_amendment_was_under_way() -> None:
    rig = bought("0.3", "100")
    stop = rig.submits[1]
    rig.accept(stop)
    rig.fill(rig.submits[0], "0.3", "100", "b")
    rig.fill(rig.submits[0], "0.4", "100", "c")

    waiting = [amend.quantity for amend in rig.amends]
    rig.tell(OrderAmended(rig.ts, stop.order_id, D("0.6"), None, D("95.0")))

    assert waiting == [D("0.6")]
    assert [amend.quantity for amend in rig.amends] == [D("0.6"), D("1.0")]


def test_a_refused_amendment_is_not_asked_for_again_at_once() -> None:
    rig = bought("0.3", "100")
    stop = rig.submits[1]
    rig.accept(stop)
    rig.fill(rig.submits[0], "0.7", "100", "b")

    rig.tell(ChangeRejected(rig.ts, stop.order_id, "no"))

    assert len(rig.amends) == 1


def test_an_unknown_stop_is_resized_once_it_is_found() -> None:
    rig = bought("0.3", "100")
    stop = rig.submits[1]
    rig.tell(OrderUnknown(rig.ts, stop.order_id, "timeout"))
    rig.fill(rig.submits[0], "0.7", "100", "b")
    asked = list(rig.amends)

    rig.accept(stop)

    assert asked == []
    assert [amend.quantity for amend in rig.amends] == [D("1.0")]


def test_a_trailing_stop_follows_the_best_price_and_never_moves_away() -> None:
    rows = [*flat(100, 100), (100, 108, 100, 106), *flat(104, 103), (103, 103, 90, 95)]

    rig = rig_of(Scripted([1], trailing=6.0), rows).run()

    assert rig.trades[1] == ("sell", "1.000", "102.0", "trailing_stop")


def test_the_bar_of_an_entry_inside_it_counts_with_its_close_alone() -> None:
    rows = [*flat(100), (101, 120, 99, 101), *flat(101)]

    rig = rig_of(Scripted([1], trailing=6.0), rows, config={"order_type": "limit"}).run()

    assert [(o.request.purpose, o.request.trigger) for o in rig.open()] == [(Purpose.STOP_LOSS, D("95.0"))]


def test_break_even_moves_the_stop_to_the_entry_and_says_so() -> None:
    rows = [*flat(100, 100), (100, 106, 100, 104), (104, 104, 90, 95)]

    rig = rig_of(Scripted([1], stop=8.0, break_even=5.0), rows).run()

    assert rig.trades[1] == ("sell", "1.000", "100.0", "break_even")


def test_max_bars_leaves_at_the_open_after_the_last_of_them() -> None:
    rig = rig_of(Scripted([1], max_bars=2), flat(100, 101, 102, 103, 104)).run()

    assert rig.trades == [("buy", "1.000", "101.0", "entry"), ("sell", "1.000", "103.0", "time")]


@pytest.mark.parametrize("ahead", [True, False])
def test_distances_are_read_again_at_each_close_with_and_without_a_known_tape(ahead: bool) -> None:
    rig = rig_of(Scripted([NAN, 1], trailing=5.0), flat(100, 101, 102, 103, 104, 104), ahead=ahead).run()

    assert [order.request.trigger for order in rig.open()] == [D("99.0")]


def test_bars_without_a_sound_price_move_no_stop_and_break_nothing() -> None:
    broken = [(100, float("inf"), 100, 100), (NAN, NAN, NAN, NAN), (100, 90, 110, 100), (0, 0, 0, 0)]
    rows = [*flat(100, 100), *broken, *flat(100, 100)]

    rig = rig_of(Scripted([1, *[NAN] * 5, 0], trailing=5.0), rows).run()

    assert rig.trades == [("buy", "1.000", "100.0", "entry"), ("sell", "1.000", "100.0", "signal")]
    assert rig.amends == []


def test_a_time_exit_at_a_bar_without_a_price_still_leaves() -> None:
    rig = rig_of(Scripted([1], max_bars=2), [*flat(100, 100), (NAN,) * 4, *flat(100, 100)]).run()

    assert rig.trades[-1] == ("sell", "1.000", "100.0", "time")


def test_a_long_that_turns_short_takes_its_own_exits_along() -> None:
    rows = [*flat(100, 101, 102, 103, 104), (104, 119, 104, 118), *flat(118)]
    strategy = Scripted([1, NAN, -1], stop=15.0, take_profit=30.0)

    rig = rig_of(strategy, rows, PERP, config={"allow_short": True, "leverage": 2}).run()

    assert rig.trades == [
        ("buy", "1.000", "101.0", "entry"),
        ("sell", "1.000", "103.0", "signal"),
        ("sell", "1.000", "103.0", "entry"),
        ("buy", "1.000", "118.0", "stop_loss"),
    ]
    assert rig.open() == []


def test_a_stopped_strategy_keeps_its_trailing_stop_moving() -> None:
    from abidance.model.event import ControlAction

    rig = rig_of(Scripted([1], trailing=5.0), flat(100, 100, 110, 120))
    rig.step(2)

    rig.control(ControlAction.STOP)
    rig.step(2)

    assert [order.request.trigger for order in rig.open()] == [D("115.0")]


def test_the_exits_of_an_unsold_rest_below_one_lot_are_taken_back() -> None:
    rig = held()

    rig.fill(rig.submits[1], "0.9996", "95", "s")

    assert [cancel.order_id for cancel in rig.cancels] == [rig.submits[1].order_id]


def bought(quantity: str, price: str) -> Rig:
    """Return a rig without a venue, whose strategy holds a part of its entry of 1."""
    rig = rig_of(Scripted([1], stop=5.0), flat(100, 100, 100), venue=False)
    rig.step()
    rig.accept(rig.submits[0])
    rig.fill(rig.submits[0], quantity, price, "a")
    return rig


def held() -> Rig:
    """Return a rig without a venue, whose strategy holds 1 with a stop at the venue."""
    rig = bought("1.000", "100")
    rig.accept(rig.submits[1])
    assert rig.submits[1].request.type is OrderType.STOP
    return rig


def test_a_bar_of_another_instrument_moves_nothing() -> None:
    rig = held()

    unmoved = rig.engine.exits.on_bar(
        Bar("ETH/USDT@SIM", "1h", rig.ts, 1, 2, 1, 2, 1),
        rig.state.position("one", "ETH/USDT@SIM"),
        None,
        SPOT,
    )

    assert unmoved == []


def test_what_waits_of_an_entry_is_taken_back_when_its_first_part_was_stopped_out() -> None:
    rows = [*flat(100), (101, 101, 99.8, 101, 0.4), (101, 101, 94, 95, 0.8), *flat(95, 95)]

    rig = rig_of(Scripted([1], stop=3.0), rows, config={"order_type": "limit"}).run()

    assert [trade[3] for trade in rig.trades] == ["entry", "stop_loss"]
    assert rig.position() == 0
    assert [order.state for order in rig.state.orders.all()] == [OrderState.CANCELLED, OrderState.FILLED]


def test_a_stop_that_new_measures_do_not_give_stays_where_it_is() -> None:
    rows = [*flat(100), (100, 103, 100, 103, 0.4), thin(103, 0.4), *flat(103)]

    rig = rig_of(Scripted([1], break_even=3.0), rows).run()

    stop = rig.open()[0].request
    assert (stop.purpose, stop.quantity, stop.trigger) == (Purpose.STOP_LOSS, rig.position(), D("100.0"))


class Forgetful(Scripted):
    """Names a goal for what it enters first, and none for what it adds."""

    def signals(self, bars: Bars) -> Signals:
        goal = np.full(len(bars), np.nan)
        goal[:1] = 10.0
        return replace(super().signals(bars), take_profit=goal)


def test_a_goal_that_new_measures_do_not_give_stays_where_it_is_and_follows_the_position() -> None:
    rig = rig_of(Forgetful([0.5, 1.0, 0.4], stop=50.0), flat(100, 100, 104, 104, 104))

    rig.step(3)
    grown = [each.request for each in rig.open() if each.request.purpose is Purpose.TAKE_PROFIT]
    rig.run()
    shrunk = [each.request for each in rig.open() if each.request.purpose is Purpose.TAKE_PROFIT]

    assert [(each.quantity, each.price) for each in grown] == [(D("1.000"), D("110.0"))]
    assert [(each.quantity, each.price) for each in shrunk] == [(D("0.400"), D("110.0"))]
    assert rig.position() == D("0.400")


def test_a_stop_that_misses_the_grid_by_float_noise_alone_keeps_its_tick() -> None:
    rig = rig_of(Scripted([1], stop=0.7), flat(100.1, 100.1, 100.1)).run()

    assert 100.1 - 0.7 < 99.4  # what floats make of it
    assert [order.request.trigger for order in rig.open()] == [D("99.4")]
