"""What is sent again: exits at market that came to nothing, limit entries that timed out."""

import itertools
import math
from decimal import Decimal

import pytest

from abidance.engine.actions import ATTEMPTS
from abidance.model.event import (
    ControlAction,
    OrderAbandoned,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
    OrderUnknown,
)
from abidance.model.order import OrderState, Purpose
from abidance.model.outcome import RefusalCode, Refused
from tests.unit.engine.rig import SPOT, Rig, Scripted, flat, rig_of

NAN = math.nan


def leaving(bars: int) -> Rig:
    """Return a rig that holds one unit and has just asked to leave it at market."""
    rig = rig_of(Scripted([1.0, 0.0]), flat(*([100.0] * bars)), venue=False)
    rig.step()
    rig.fill(rig.submits[0], "1.000", "100")
    rig.step()
    return rig


def test_a_rejected_exit_is_sent_again_at_the_next_bars_and_then_people_are_told() -> None:
    rig = leaving(8)

    for _ in range(6):
        if rig.submits[-1].request.reduce_only and rig.open():
            rig.tell(OrderRejected(rig.ts, rig.submits[-1].order_id, "no orders today"))
        rig.step()

    exits = [submit for submit in rig.submits if submit.request.reduce_only]
    assert len(exits) == 1 + ATTEMPTS
    assert [notice.code for notice in rig.notices].count("exit_failed") == 1


def test_an_exit_that_works_at_the_second_try_is_forgotten() -> None:
    rig = leaving(6)
    rig.tell(OrderRejected(rig.ts, rig.submits[-1].order_id, "not now"))

    rig.step()
    rig.fill(rig.submits[-1], "1.000", "100")
    rig.step(2)

    assert rig.position() == 0
    assert not rig.engine.actions.owed
    assert "exit_failed" not in [notice.code for notice in rig.notices]


def test_a_failed_exit_is_dropped_when_the_wish_returns() -> None:
    rig = rig_of(Scripted([1.0, 0.0, 1.0]), flat(*([100.0] * 6)), venue=False)
    rig.step()
    rig.fill(rig.submits[0], "1.000", "100")
    rig.step()
    rig.tell(OrderRejected(rig.ts, rig.submits[-1].order_id, "not now"))
    rig.step(1)
    again = rig.submits[-1]
    rig.tell(OrderRejected(rig.ts, again.order_id, "not now"))

    rig.step(2)

    assert rig.submits[-1] is again
    assert rig.position() == 1


def entering(retries: int) -> Rig:
    """Return a rig whose limit entry at 100 never fills because the price has gone up; each bar is an hour."""
    rows = flat(100.0, 110.0, 111.0, 112.0, 113.0, 114.0)
    config = {"order_type": "limit", "entry_timeout": 3_600, "entry_retries": retries}
    return rig_of(Scripted([1.0]), rows, config=config).run()


def test_an_entry_that_timed_out_is_not_sent_again_unless_asked_for() -> None:
    rig = entering(0)

    assert [str(submit.request.price) for submit in rig.submits] == ["100.0"]
    assert not rig.fills


def test_an_entry_that_timed_out_is_sent_again_at_the_price_of_now_as_often_as_allowed() -> None:
    rig = entering(2)

    prices = [submit.request.price for submit in rig.submits]
    assert len(prices) == 3
    assert all(later > earlier for earlier, later in itertools.pairwise(prices))  # type: ignore[operator]
    assert {submit.request.purpose for submit in rig.submits} == {Purpose.ENTRY}


def test_an_entry_is_not_sent_again_once_the_wish_has_gone() -> None:
    rows = flat(100.0, 110.0, 111.0, 112.0)
    config = {"order_type": "limit", "entry_timeout": 3_600, "entry_retries": 5}

    rig = rig_of(Scripted([1.0, 0.0]), rows, config=config).run()

    assert len(rig.submits) == 1
    assert rig.state.orders.all()[0].state in (OrderState.CANCELLED, OrderState.EXPIRED)


@pytest.mark.parametrize("news", [OrderAbandoned, OrderExpired, OrderCancelled])
def test_an_exit_that_came_to_nothing_is_sent_again_however_it_ended(news: type) -> None:
    rig = leaving(6)
    exit = rig.submits[-1]
    rig.tell(OrderUnknown(rig.ts, exit.order_id, "no answer"))

    rig.tell(news(rig.ts, exit.order_id, "it did not trade"))
    rig.step()
    again = rig.submits[-1]
    rig.fill(again, "1.000", "100")

    assert again.order_id != exit.order_id
    assert again.request.reduce_only
    assert "exit_tried_again" in [notice.code for notice in rig.notices]
    assert rig.position() == 0


def test_the_rest_of_an_exit_that_ended_half_filled_is_left_at_the_next_bar() -> None:
    rig = leaving(6)
    exit = rig.submits[-1]
    rig.fill(exit, "0.400", "100")

    rig.tell(OrderExpired(rig.ts, exit.order_id, "nobody buys"))
    rig.step()

    assert rig.submits[-1].request.quantity == Decimal("0.6")


def test_a_time_exit_beside_one_that_somebody_typed_sells_no_more_than_is_held() -> None:
    rig = rig_of(Scripted([1.0], max_bars=2), flat(*([100.0] * 8)), venue=False)
    rig.step()
    rig.fill(rig.submits[0], "1.000", "100")
    rig.step()
    typed = {"instrument": SPOT.id, "side": "sell", "quantity": "0.4", "reduce_only": True}
    rig.control(ControlAction.ORDER, "one", **typed)

    rig.step(3)
    too_much = rig.control(ControlAction.ORDER, "one", **typed)
    exits = [submit for submit in rig.submits if submit.request.reduce_only]
    for each in exits:
        rig.fill(each, str(each.request.quantity), "100")

    assert [each.request.quantity for each in exits] == [Decimal("0.4"), Decimal("0.6")]
    assert [each.request.purpose for each in exits] == [Purpose.FLATTEN, Purpose.TIME]
    assert [each.code for each in too_much.verdicts if isinstance(each, Refused)] == [
        RefusalCode.NOT_REDUCING
    ]
    assert rig.position() == 0


def test_a_goal_that_the_venue_ends_is_stated_anew_and_not_again_at_once() -> None:
    rig = rig_of(Scripted([1.0], stop=5.0, take_profit=10.0), flat(*([100.0] * 4)), venue=False)
    rig.step()
    rig.fill(rig.submits[0], "1.000", "100")
    goals = [each for each in rig.submits if each.request.purpose is Purpose.TAKE_PROFIT]
    rig.accept(goals[0])

    rig.tell(OrderCancelled(rig.ts, goals[0].order_id, "by hand"))
    goals = [each for each in rig.submits if each.request.purpose is Purpose.TAKE_PROFIT]
    rig.accept(goals[1])
    rig.tell(OrderCancelled(rig.ts, goals[1].order_id, "by hand"))

    assert goals[0].request == goals[1].request
    assert [each.request.purpose for each in rig.submits].count(Purpose.TAKE_PROFIT) == 2


def test_a_stop_that_had_stood_and_is_proven_absent_is_set_anew() -> None:
    rig = rig_of(Scripted([1.0], stop=5.0), flat(*([100.0] * 4)), venue=False)
    rig.step()
    rig.fill(rig.submits[0], "1.000", "100")
    stop = rig.submits[-1]
    rig.accept(stop)
    rig.tell(OrderUnknown(rig.ts, stop.order_id, "the program was not running"))

    rig.tell(OrderAbandoned(rig.ts, stop.order_id, "it is not there"))

    assert rig.submits[-1].request == stop.request
    assert rig.submits[-1].order_id != stop.order_id
