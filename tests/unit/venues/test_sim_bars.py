"""What a bar does to orders: one story per rule, on a venue without costs unless the rule is about costs."""

from typing import Any

import pytest

from abidance.model.command import Amend, Cancel
from abidance.model.event import AccountEvent, OrderFilled
from abidance.model.market import Bar, BarSlice
from abidance.model.order import TimeInForce
from tests.unit.venues.scene import ETHER, HOUR, SPOT, D, Scene, costing, fees, fills_of, once

IOC, FOK = TimeInForce.IOC, TimeInForce.FOK


@pytest.mark.parametrize(
    ("side", "price", "trigger", "bar", "filled_at"),
    [
        ("buy", "", "", (100, 110, 90, 105), "100"),
        ("sell", "", "", (100, 110, 90, 105), "100"),
        ("buy", "95", "", (100, 110, 90, 105), "95"),
        ("buy", "90", "", (100, 110, 90, 105), None),
        ("buy", "90.1", "", (100, 110, 90, 105), "90.1"),
        ("sell", "110", "", (100, 110, 90, 105), None),
        ("sell", "109.9", "", (100, 110, 90, 105), "109.9"),
        ("buy", "102", "", (100, 110, 90, 105), "100"),
        ("sell", "98", "", (100, 110, 90, 105), "100"),
        ("buy", "", "105", (100, 110, 90, 105), "105"),
        ("buy", "", "110", (100, 110, 90, 105), "110"),
        ("buy", "", "110.1", (100, 110, 90, 105), None),
        ("sell", "", "90", (100, 110, 90, 105), "90"),
        ("sell", "", "89.9", (100, 110, 90, 105), None),
        ("sell", "", "104", (100, 110, 90, 105), "100"),
        ("buy", "", "97", (100, 110, 90, 105), "100"),
        # A stop-limit takes at its trigger when its limit allows it.
        ("buy", "107", "105", (100, 110, 90, 105), "105"),
        ("sell", "93", "95", (100, 110, 90, 105), "95"),
        # It gapped past its limit and the close came back through it.
        ("buy", "97", "95", (100, 110, 90, 96), "97"),
        # It gapped past its limit and the close did not come back.
        ("buy", "97", "95", (100, 110, 90, 99), None),
        ("sell", "103", "101", (100, 110, 90, 99), None),
        ("sell", "103", "101", (100, 110, 90, 104), "103"),
    ],
)
def test_one_order_meets_one_bar(
    side: str, price: str, trigger: str, bar: tuple[float, float, float, float], filled_at: str | None
) -> None:
    scene = Scene(base="10")

    scene.order(side, "1", price, trigger)
    scene.bar(bar)

    assert [fill.price for fill in scene.fills] == ([D(filled_at)] if filled_at else [])


@pytest.mark.parametrize(
    ("side", "price", "trigger", "bar", "filled_at"),
    [
        ("sell", "", "105", (100, 110, 90, 105), "105"),
        ("sell", "", "110", (100, 110, 90, 105), "110"),
        ("sell", "", "110.1", (100, 110, 90, 105), None),
        ("buy", "", "90", (100, 110, 90, 105), "90"),
        ("buy", "", "89.9", (100, 110, 90, 105), None),
        # A gap past the trigger trades at the open, also where no price of the bar is on its near side.
        ("sell", "", "97", (100, 110, 98, 105), "100"),
        ("buy", "", "104", (100, 103, 90, 95), "100"),
        ("sell", "", "97", (100, 110, 90, 105), "100"),
        ("buy", "", "104", (100, 110, 90, 105), "100"),
        # With a limit it takes at its trigger when that allows it.
        ("sell", "103", "105", (100, 110, 90, 105), "105"),
        ("buy", "97", "95", (100, 110, 90, 105), "95"),
        # A better limit waits; the close counts as coming after the touch.
        ("sell", "107", "105", (100, 110, 90, 108), "107"),
        ("sell", "107", "105", (100, 110, 90, 106), None),
        ("buy", "93", "95", (100, 110, 90, 92), "93"),
        ("buy", "93", "95", (100, 110, 90, 96), None),
    ],
)
def test_one_take_profit_with_a_trigger_meets_one_bar(
    side: str, price: str, trigger: str, bar: tuple[float, float, float, float], filled_at: str | None
) -> None:
    scene = Scene(base="10")

    scene.order(side, "1", price, trigger, goal=True)
    scene.bar(bar)

    assert [fill.price for fill in scene.fills] == ([D(filled_at)] if filled_at else [])


def test_an_order_executes_at_the_open_of_the_bar_after_its_decision() -> None:
    scene = Scene()

    scene.bar((100, 110, 90, 105))
    scene.order("buy", "1")
    scene.bar((106, 110, 90, 105))

    assert [(fill.price, fill.ts) for fill in scene.fills] == [(D(106), HOUR)]


def test_latency_makes_an_order_wait_for_the_first_bar_that_opens_after_its_arrival() -> None:
    scene = Scene(costing(latency_ms=50))

    scene.order("buy", "1")
    early = scene.bar((100, 110, 90, 105))
    late = scene.bar((106, 110, 90, 105))

    assert early == []
    assert fills_of(late)[0].ts == HOUR


def test_a_stop_that_arrives_during_a_bar_is_held_against_the_whole_of_it() -> None:
    scene = Scene(costing(latency_ms=50), base="1")

    scene.order("sell", "1", trigger="95")
    scene.bar((100, 110, 90, 105))

    assert [fill.price for fill in scene.fills] == [D(95)]


def test_a_taker_pays_half_the_spread_the_fixed_part_and_impact_rounded_against_it() -> None:
    costs = costing(
        slippage={"spread": 0.002, "fixed": 0.001, "volume_share": 0.1},
        unlimited_volume=False,
        max_volume_share=1.0,
    )
    scene = Scene(costs, base="10")

    scene.order("buy", "1")
    scene.bar((1000, 1100, 900, 1050), volume=10)
    scene.order("sell", "1")
    scene.bar((1000, 1100, 900, 1050), volume=10)

    assert [fill.price for fill in scene.fills] == [D("1003.0"), D("997.0")]


def test_orders_of_one_bar_pay_for_the_impact_of_those_before_them() -> None:
    costs = costing(
        slippage={"spread": 0, "fixed": 0, "volume_share": 0.1}, unlimited_volume=False, max_volume_share=1.0
    )
    scene = Scene(costs)

    scene.order("buy", "5")
    scene.order("buy", "5")
    scene.bar((1000, 1100, 900, 1050), volume=10)

    assert [fill.price for fill in scene.fills] == [D("1025.0"), D("1100.0")]


def test_a_taking_limit_is_never_filled_beyond_its_limit() -> None:
    scene = Scene(costing(slippage={"spread": 0.0, "fixed": 0.05, "volume_share": 0}))

    scene.order("buy", "1", "101")
    scene.bar((100, 110, 90, 105))

    assert [(fill.price, fill.is_maker) for fill in scene.fills] == [(D(101), False)]


def test_a_resting_limit_that_the_open_gapped_past_fills_at_its_own_price_at_the_open() -> None:
    scene = Scene()

    scene.order("buy", "1", "95")
    scene.bar((100, 110, 96, 105))
    scene.bar((90, 93, 80, 85))

    assert [(fill.price, fill.ts, fill.is_maker) for fill in scene.fills] == [(D(95), HOUR, True)]


def test_an_intrabar_fill_carries_the_last_nanosecond_of_the_bar() -> None:
    scene = Scene()

    scene.order("buy", "1", "95")
    scene.bar((100, 110, 90, 105))

    assert scene.fills[0].ts == HOUR - 1


def test_a_touch_fills_a_limit_when_asked() -> None:
    scene = Scene(costing(fill_on_touch=True))

    scene.order("buy", "1", "90")
    scene.bar((100, 110, 90, 105))

    assert [fill.price for fill in scene.fills] == [D(90)]


def test_a_post_only_order_that_would_take_is_refused_on_arrival() -> None:
    scene = Scene()

    scene.order("buy", "1", "100", post_only=True)
    scene.order("buy", "1", "99", post_only=True)
    scene.bar((100, 110, 98, 105))

    assert scene.names == ["OrderAccepted", "OrderAccepted", "OrderRejected", "OrderFilled"]
    assert scene.fills[0].is_maker


def test_the_worse_of_a_stop_and_a_take_profit_in_one_bar_comes_first() -> None:
    scene = Scene(base="1")
    scene.order("buy", "1")
    scene.bar((100, 100, 100, 100))
    goal = scene.order("sell", "1", "110", reduce_only=True)
    stop = scene.order("sell", "1", trigger="90", reduce_only=True)

    scene.bar((100, 120, 80, 100), answer=once(Cancel(goal, 0)))

    assert [fill.order_id for fill in scene.fills[1:]] == [stop]
    assert scene.names[-1] == "OrderCancelled"


def test_the_worse_of_a_stop_and_a_triggered_take_profit_in_one_bar_comes_first() -> None:
    scene = Scene(base="5")
    scene.order("buy", "1")
    scene.bar((100, 100, 100, 100))
    scene.order("sell", "1", trigger="110", goal=True, reduce_only=True)
    stop = scene.order("sell", "1", trigger="90", reduce_only=True)

    scene.bar((100, 120, 80, 100))

    assert [(fill.order_id, fill.price) for fill in scene.fills[1:]] == [(stop, D(90))]
    assert scene.names[-1] == "OrderCancelled"


def test_a_triggered_take_profit_that_is_amended_waits_at_its_new_price() -> None:
    scene = Scene(base="1")
    goal = scene.order("sell", "1", trigger="110", goal=True)

    scene.amend(goal, trigger="120")
    scene.bar((100, 115, 99, 100))
    untouched = list(scene.fills)
    scene.bar((100, 125, 99, 100))

    assert not untouched
    assert [fill.price for fill in scene.fills] == [D(120)]


def test_a_take_profit_without_a_position_left_is_cancelled_not_turned_round() -> None:
    scene = Scene(base="5")
    scene.order("buy", "1")
    scene.bar((100, 100, 100, 100))
    scene.order("sell", "1", "110", reduce_only=True)
    scene.order("sell", "1", trigger="90", reduce_only=True)

    scene.bar((100, 120, 80, 100))

    assert [fill.price for fill in scene.fills] == [D(100), D(90)]
    assert scene.names[-2:] == ["OrderFilled", "OrderCancelled"]


def test_an_open_beyond_the_take_profit_fills_it_before_the_stop_that_comes_later() -> None:
    scene = Scene()
    scene.order("buy", "1")
    scene.bar((100, 100, 100, 100))
    goal = scene.order("sell", "1", "110", reduce_only=True)
    scene.order("sell", "1", trigger="90", reduce_only=True)
    scene.bar((100, 101, 99, 100))

    scene.bar((115, 120, 80, 100))

    assert [(fill.order_id, fill.price) for fill in scene.fills[1:]] == [(goal, D(110))]


def test_finer_bars_decide_between_stop_and_take_profit() -> None:
    scene = Scene(drive="1m")
    minute = HOUR // 60
    scene.order("buy", "1")
    scene.send(BarSlice(minute, (Bar(SPOT.id, "1m", 0, 100, 100, 100, 100, 1e9),)))
    scene.order("sell", "1", trigger="90", reduce_only=True)
    goal = scene.order("sell", "1", "110", reduce_only=True)

    scene.send(BarSlice(2 * minute, (Bar(SPOT.id, "1m", minute, 100, 120, 99, 100, 1e9),)))
    hour = Bar(SPOT.id, "1h", 0, 100, 120, 80, 100, 1e9)
    scene.send(BarSlice(HOUR, (Bar(SPOT.id, "1m", HOUR - minute, 100, 100, 80, 80, 1e9), hour)))

    assert [fill.order_id for fill in scene.fills[1:]] == [goal]


def test_a_stop_sent_in_answer_to_a_fill_at_the_open_works_in_the_same_bar() -> None:
    scene = Scene()
    stop = scene.submit("sell", "1", trigger="95", reduce_only=True)

    scene.order("buy", "1")
    scene.bar((100, 110, 90, 105), answer=once(stop))

    assert [fill.price for fill in scene.fills] == [D(100), D(95)]


def test_a_limit_sent_in_answer_to_a_fill_at_the_open_works_in_the_same_bar() -> None:
    scene = Scene()
    goal = scene.submit("sell", "1", "108", reduce_only=True)

    scene.order("buy", "1")
    scene.bar((100, 110, 90, 105), answer=once(goal))

    assert [fill.price for fill in scene.fills] == [D(100), D(108)]


def test_a_market_order_sent_in_answer_to_a_fill_waits_for_the_next_open() -> None:
    scene = Scene()

    scene.order("buy", "1")
    first = scene.bar((100, 110, 90, 105), answer=once(scene.submit("sell", "1")))
    second = scene.bar((103, 110, 90, 105))

    assert [fill.price for fill in fills_of(first)] == [D(100)]
    assert [fill.price for fill in fills_of(second)] == [D(103)]


def test_after_an_intrabar_fill_a_stop_is_taken_as_hit_and_a_take_profit_waits() -> None:
    scene = Scene()
    goal = scene.submit("sell", "1", "107", reduce_only=True)
    stop = scene.submit("sell", "1", trigger="97", reduce_only=True)

    scene.order("buy", "1", "98")
    scene.bar((100, 110, 90, 105), answer=once(goal, stop))

    assert [fill.price for fill in scene.fills] == [D(98), D(97)]


@pytest.mark.parametrize("exit", [{"price": "107"}, {"trigger": "107", "goal": True}])
def test_a_take_profit_sent_after_an_intrabar_fill_may_fill_in_the_next_bar(exit: dict[str, Any]) -> None:
    scene = Scene()

    scene.order("buy", "1", "98")
    first = scene.bar((100, 110, 90, 105), answer=once(scene.submit("sell", "1", **exit, reduce_only=True)))
    second = scene.bar((105, 110, 100, 105))

    assert len(fills_of(first)) == 1
    assert [fill.price for fill in fills_of(second)] == [D(107)]


def test_a_stop_answering_an_intrabar_entry_ignores_the_open_that_was_before_it() -> None:
    scene = Scene()
    stop = scene.submit("sell", "1", trigger="103", reduce_only=True)

    scene.order("buy", "1", trigger="105")
    scene.bar((100, 110, 98, 104), answer=once(stop))

    assert [fill.price for fill in scene.fills] == [D(105), D(103)]


def test_a_stop_on_the_wrong_side_of_an_intrabar_entry_gains_nothing() -> None:
    scene = Scene()
    stop = scene.submit("sell", "1", trigger="103", reduce_only=True)

    scene.order("buy", "1", "98")
    scene.bar((105, 110, 90, 104), answer=once(stop))

    assert [fill.price for fill in scene.fills] == [D(98), D(98)]


def test_the_rest_of_a_market_order_continues_at_the_next_opens() -> None:
    scene = Scene(costing(unlimited_volume=False, max_volume_share=0.1))

    scene.order("buy", "1")
    scene.bar((100, 110, 90, 105), volume=4)
    scene.bar((101, 110, 90, 105), volume=0)
    scene.bar((102, 110, 90, 105), volume=100)

    assert [(fill.quantity, fill.price) for fill in scene.fills] == [(D("0.4"), D(100)), (D("0.6"), D(102))]


def test_all_orders_of_a_bar_share_one_cap() -> None:
    scene = Scene(costing(unlimited_volume=False, max_volume_share=0.1))

    scene.order("buy", "0.3")
    scene.order("buy", "0.3")
    scene.order("buy", "0.3", "95")
    scene.bar((100, 110, 90, 105), volume=5)

    assert [fill.quantity for fill in scene.fills] == [D("0.3"), D("0.2")]


@pytest.mark.parametrize(
    ("time_in_force", "price", "filled", "ends"),
    [(IOC, "", "0.4", "OrderExpired"), (FOK, "", None, "OrderExpired"), (IOC, "99", None, "OrderExpired"),
     (IOC, "101", "0.4", "OrderExpired"), (FOK, "101", None, "OrderExpired")],
)  # fmt: skip
def test_now_or_never_orders_do_not_wait(
    time_in_force: TimeInForce, price: str, filled: str | None, ends: str
) -> None:
    scene = Scene(costing(unlimited_volume=False, max_volume_share=0.1))

    scene.order("buy", "1", price, time_in_force=time_in_force)
    scene.bar((100, 110, 90, 105), volume=4)
    later = scene.bar((100, 110, 90, 105), volume=1e9)

    assert [fill.quantity for fill in scene.fills] == ([D(filled)] if filled else [])
    assert scene.names[-1] == ends
    assert later == []


def test_a_fill_or_kill_order_that_fits_fills_in_whole() -> None:
    scene = Scene(costing(unlimited_volume=False, max_volume_share=0.1))

    scene.order("buy", "1", time_in_force=FOK)
    scene.bar((100, 110, 90, 105), volume=10)

    assert [fill.quantity for fill in scene.fills] == [D(1)]
    assert scene.names == ["OrderAccepted", "OrderFilled"]


def test_an_order_expires_at_the_first_open_after_its_time() -> None:
    scene = Scene()

    scene.order("buy", "1", "50", expire_after=3600)
    first = scene.bar((100, 110, 90, 105))
    second = scene.bar((100, 110, 40, 105))

    assert first == []
    assert [type(each).__name__ for each in second] == ["OrderExpired"]


def test_a_limit_does_not_fill_in_the_bar_in_which_its_time_runs_out() -> None:
    scene = Scene()

    scene.order("buy", "1", "95", expire_after=1800)
    scene.bar((100, 110, 90, 105))

    assert scene.names == ["OrderAccepted", "OrderExpired"]


def test_stops_act_before_limits_and_each_kind_in_order_of_arrival() -> None:
    scene = Scene(base="10")

    ids = [
        scene.order("buy", "1", "95"),
        scene.order("sell", "1", trigger="92"),
        scene.order("buy", "1", "96"),
        scene.order("sell", "1", trigger="94"),
    ]
    scene.bar((100, 110, 90, 105))

    assert [fill.order_id for fill in scene.fills] == [ids[1], ids[3], ids[0], ids[2]]


def test_cancel_and_amend_act_at_once() -> None:
    scene = Scene(base="10")
    gone, moved = scene.order("sell", "1", trigger="95"), scene.order("sell", "1", trigger="80")

    scene.cancel(gone)
    scene.amend(moved, quantity="2", trigger="93")
    scene.bar((100, 110, 90, 105))

    assert [(fill.order_id, fill.price, fill.quantity) for fill in scene.fills] == [(moved, D(93), D(2))]
    assert scene.names == ["OrderAccepted", "OrderAccepted", "OrderCancelled", "OrderAmended", "OrderFilled"]


def test_a_limit_amended_through_the_market_takes_at_the_open() -> None:
    scene = Scene(costing(fees=fees(0.0, 0.01)))
    order = scene.order("buy", "1", "80")
    scene.bar((100, 110, 90, 100))

    scene.amend(order, price="120")
    scene.bar((100, 110, 90, 105))

    assert [(fill.price, fill.is_maker, fill.fee) for fill in scene.fills] == [(D(100), False, D(1))]


def test_changes_of_orders_that_are_not_there_are_rejected() -> None:
    scene = Scene()
    order = scene.order("buy", "1")
    scene.bar((100, 110, 90, 105))

    scene.cancel(order)
    scene.amend("never", price="1")

    assert scene.names[-2:] == ["ChangeRejected", "ChangeRejected"]


def test_an_answer_may_trade_another_instrument_whose_bar_concerned_nobody() -> None:
    scene = Scene()
    other = scene.submit("buy", "1", "50", instrument=ETHER.id)
    bars = (Bar(ETHER.id, "1h", 0, 55, 60, 40, 50, 1e9), Bar(SPOT.id, "1h", 0, 100, 110, 90, 105, 1e9))

    scene.order("buy", "1")
    scene.send(BarSlice(HOUR, bars), once(other))

    assert [(fill.instrument, fill.price) for fill in scene.fills] == [(SPOT.id, D(100)), (ETHER.id, D(50))]


def test_moments_of_answers_never_go_back_though_a_longer_bar_opened_earlier() -> None:
    scene = Scene()
    scene.order("buy", "1")
    scene.venue.advance(BarSlice(HOUR // 2, (Bar(ETHER.id, "30m", 0, 1, 1, 1, 1, 1),)))

    news = scene.bar((100, 110, 90, 105))

    assert isinstance(news[0], OrderFilled)
    assert (news[0].ts, news[0].fill.ts) == (HOUR // 2, 0)


@pytest.mark.parametrize(
    "bar",
    [
        (float("nan"), 110, 90, 105),
        (100, float("nan"), 90, 105),
        (100, 110, float("nan"), 1),
        (0, 0, 0, 0),
        (1, float("inf"), 1, 1),
        (1e300, 1e301, 1e299, 1e300),
    ],
)
def test_a_bar_without_a_sound_price_fills_nothing(bar: tuple[float, float, float, float]) -> None:
    scene = Scene()
    scene.order("buy", "1")

    assert scene.bar(bar) == []


def test_an_engine_that_answers_every_fill_with_an_order_comes_to_an_end() -> None:
    scene = Scene()
    sides = iter(["sell", "buy"] * 50)

    def flip(event: AccountEvent) -> list:
        return [scene.submit(next(sides), "1")] if isinstance(event, OrderFilled) else []

    scene.order("buy", "1")
    for _ in range(3):
        scene.bar((100, 110, 90, 105), answer=flip)

    assert len(scene.fills) == 3


def two_bars(start: int = 0) -> BarSlice:
    """Return a slice in which ether comes before bitcoin."""
    ether = Bar(ETHER.id, "1h", start, 55, 60, 40, 50, 1e9)
    return BarSlice(start + HOUR, (ether, Bar(SPOT.id, "1h", start, 100, 110, 90, 105, 1e9)))


def test_the_open_of_another_instrument_is_missed_whatever_the_order_of_the_bars() -> None:
    scene = Scene()
    hedge = scene.submit("buy", "1", instrument=SPOT.id)
    scene.order("buy", "1", instrument=ETHER.id)
    scene.order("buy", "9", "1")

    first = scene.send(two_bars(), once(hedge))
    second = scene.send(two_bars(HOUR))

    assert [fill.instrument for fill in fills_of(first)] == [ETHER.id]
    assert [fill.instrument for fill in fills_of(second)] == [SPOT.id]


def test_a_stop_answering_another_instruments_intrabar_fill_is_held_against_its_own_bar() -> None:
    scene = Scene()
    follow = scene.submit("buy", "1", trigger="58", instrument=ETHER.id)

    scene.order("buy", "1", "95")
    scene.send(two_bars(), once(follow))

    assert [(fill.instrument, fill.price) for fill in scene.fills] == [(SPOT.id, D(95)), (ETHER.id, D(58))]


def test_a_stop_that_arrives_after_the_close_waits() -> None:
    scene = Scene(costing(latency_ms=3_600_000), base="1")

    scene.order("sell", "1", trigger="95")
    first = scene.bar((100, 110, 90, 105))
    second = scene.bar((100, 110, 90, 105))

    assert first == []
    assert len(fills_of(second)) == 1


def test_volume_that_the_cash_left_over_is_there_for_the_next_order() -> None:
    scene = Scene(costing(unlimited_volume=False, max_volume_share=0.1), cash="100", base="1")
    scene.bar((100, 100, 100, 100))

    scene.order("buy", "1")
    scene.order("sell", "1")
    scene.bar((200, 200, 200, 200), volume=10)

    assert [fill.quantity for fill in scene.fills] == [D("0.5"), D("0.5")]


def test_a_limit_amended_after_an_intrabar_fill_waits_for_the_next_bar() -> None:
    scene = Scene(base="1")
    goal = scene.order("sell", "1", "150")
    scene.order("buy", "1", "95")

    first = scene.bar((100, 110, 90, 105), answer=once(Amend(goal, None, D(108), None, 0)))
    second = scene.bar((105, 110, 104, 105))

    assert [fill.price for fill in fills_of(first)] == [D(95)]
    assert [fill.price for fill in fills_of(second)] == [D(108)]


def test_an_order_that_no_bar_comes_near_expires_all_the_same() -> None:
    scene = Scene()
    scene.order("buy", "1", "50", expire_after=3 * 3600)

    news = [scene.bar((100, 110, 90, 105)) for _ in range(4)]

    assert [len(each) for each in news] == [0, 0, 0, 1]
    assert scene.names[-1] == "OrderExpired"


def test_an_order_that_joins_a_far_stop_is_seen() -> None:
    scene = Scene(base="1")
    scene.order("sell", "1", trigger="10")
    scene.bar((100, 110, 90, 105))

    scene.order("buy", "1", trigger="107")
    scene.bar((100, 110, 90, 105))

    assert [fill.price for fill in scene.fills] == [D(107)]
