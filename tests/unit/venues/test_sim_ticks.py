"""Prints, quotes and ladders that drive fills."""

import math

import pytest

from abidance.model.market import Bar, BarSlice, BookSnapshot, Quote, Trade
from abidance.model.order import Purpose, TimeInForce
from tests.unit.venues.scene import PERP, SPOT, D, Scene, costing, fills_of

IOC, FOK = TimeInForce.IOC, TimeInForce.FOK


def show(scene: Scene, *prints: tuple[int, float, float]) -> None:
    for ts, price, size in prints:
        scene.send(Trade(ts, SPOT.id, price, size, True))


def prices(scene: Scene) -> list[tuple[str, str]]:
    return [(f"{fill.quantity.normalize():f}", f"{fill.price.normalize():f}") for fill in scene.fills]


def test_a_market_order_takes_the_first_print_after_its_arrival_worsened_by_half_the_spread() -> None:
    scene = Scene(
        costing(latency_ms=1, slippage={"spread": 0.002, "fixed": 0, "volume_share": 0}), drive="trade"
    )

    scene.order("buy", "2", at=0)
    show(scene, (999_999, 100.0, 1.0), (1_000_000, 110.0, 1.0))

    assert prices(scene) == [("2", "110.2")]
    assert scene.fills[0].ts == 1_000_000


def test_a_limit_fills_when_a_print_goes_through_it_and_at_most_what_was_printed() -> None:
    scene = Scene(costing(unlimited_volume=False), drive="trade")

    scene.order("buy", "2", "100")
    show(scene, (1, 101.0, 5.0), (2, 100.0, 5.0), (3, 99.9, 0.5), (4, 99.0, 5.0))

    assert prices(scene) == [("0.5", "100"), ("1.5", "100")]
    assert all(fill.is_maker for fill in scene.fills)


def test_two_limits_share_one_print() -> None:
    scene = Scene(costing(unlimited_volume=False), drive="trade")

    scene.order("buy", "2", "100")
    scene.order("buy", "2", "100")
    show(scene, (1, 101.0, 5.0), (2, 99.0, 3.0))

    assert [str(fill.quantity) for fill in scene.fills] == ["2.000", "1.000"]


def test_a_stop_is_pulled_by_a_print_and_takes_it() -> None:
    scene = Scene(drive="trade", base="1")

    scene.order("sell", "1", trigger="95")
    show(scene, (1, 100.0, 1.0), (2, 94.0, 1.0))

    assert prices(scene) == [("1", "94")]


def test_a_take_profit_is_pulled_by_a_print_and_takes_it() -> None:
    scene = Scene(drive="trade", base="1")

    scene.order("sell", "1", trigger="105", goal=True)
    show(scene, (1, 104.0, 1.0), (2, 106.0, 1.0))

    assert prices(scene) == [("1", "106")]


def test_a_take_profit_waits_until_the_side_that_it_trades_with_is_there() -> None:
    scene = Scene(drive="quote", base="1")

    scene.order("sell", "1", trigger="105", goal=True)
    scene.send(Quote(1, SPOT.id, 104.0, 9.0, 105.0, 9.0))
    early = list(scene.fills)
    scene.send(Quote(2, SPOT.id, 105.0, 9.0, 106.0, 9.0))

    assert not early
    assert [fill.price for fill in scene.fills] == [D(105)]


def test_a_market_order_takes_the_quote_and_waits_for_more_of_it() -> None:
    scene = Scene(costing(unlimited_volume=False), drive="quote", base="5")

    scene.order("buy", "3")
    scene.order("sell", "1")
    scene.send(Quote(1, SPOT.id, 99.0, 5.0, 101.0, 2.0))
    scene.send(Quote(2, SPOT.id, 99.0, 5.0, 102.0, 2.0))

    assert prices(scene) == [("2", "101"), ("1", "99"), ("1", "102")]


def test_a_limit_fills_when_the_opposite_quote_crosses_it() -> None:
    scene = Scene(drive="quote")

    scene.order("buy", "1", "100")
    scene.send(Quote(1, SPOT.id, 99.0, 5.0, 101.0, 5.0))
    touched = scene.send(Quote(2, SPOT.id, 99.0, 5.0, 100.0, 5.0))
    scene.send(Quote(3, SPOT.id, 98.0, 5.0, 99.9, 5.0))

    assert touched == []
    assert prices(scene) == [("1", "100")]


def test_a_market_order_walks_the_ladder() -> None:
    scene = Scene(costing(unlimited_volume=False), drive="book")
    book = BookSnapshot(1, SPOT.id, ((99.0, 1.0),), ((101.0, 1.0), (102.0, 1.0), (103.0, 5.0)))

    scene.order("buy", "2.5")
    scene.order("buy", "1")
    scene.send(book)

    assert prices(scene) == [("1", "101"), ("1", "102"), ("0.5", "103"), ("1", "103")]


def test_a_limit_walks_the_ladder_to_its_price_and_rests() -> None:
    scene = Scene(costing(unlimited_volume=False), drive="book")
    book = BookSnapshot(1, SPOT.id, ((99.0, 1.0),), ((101.0, 1.0), (102.0, 1.0), (103.0, 5.0)))

    scene.order("buy", "3", "102")
    scene.send(book)
    resting = scene.send(BookSnapshot(2, SPOT.id, ((99.0, 1.0),), ((101.5, 0.4), (103.0, 5.0))))

    assert prices(scene) == [("1", "101"), ("1", "102"), ("0.4", "102")]
    assert fills_of(resting)[0].is_maker


def test_now_or_never_orders_meet_the_ladder() -> None:
    scene = Scene(costing(unlimited_volume=False), drive="book")

    scene.order("buy", "2", time_in_force=FOK)
    scene.order("buy", "2", time_in_force=IOC)
    scene.order("buy", "2", "100", time_in_force=IOC)
    scene.send(BookSnapshot(1, SPOT.id, ((99.0, 1.0),), ((101.0, 1.0),)))

    assert prices(scene) == [("1", "101")]
    assert scene.names[3:] == ["OrderExpired", "OrderFilled", "OrderExpired", "OrderExpired"]


def test_a_post_only_order_that_would_cross_the_quote_is_refused() -> None:
    scene = Scene(drive="quote")

    scene.order("buy", "1", "101", post_only=True)
    scene.send(Quote(1, SPOT.id, 99.0, 5.0, 101.0, 5.0))

    assert scene.names == ["OrderAccepted", "OrderRejected"]


def test_an_empty_side_fills_and_liquidates_nothing() -> None:
    scene = Scene(drive="book", leverage="10")
    scene.order("buy", "1", instrument=PERP.id)
    scene.send(BookSnapshot(1, PERP.id, ((99.0, 9.0),), ((100.0, 9.0),)))

    scene.order("buy", "1", instrument=PERP.id)
    news = scene.send(BookSnapshot(2, PERP.id, (), ()))

    assert news == []
    assert len(scene.fills) == 1


@pytest.mark.parametrize(
    ("price", "size"),
    [(math.nan, 1.0), (math.inf, 1.0), (0.0, 1.0), (-5.0, 1.0), (1e300, 1.0), (100.0, math.nan)],
)
def test_a_print_without_a_sound_price_and_size_fills_nothing(price: float, size: float) -> None:
    scene = Scene(costing(unlimited_volume=False), drive="trade")
    scene.order("buy", "1")
    scene.order("buy", "1", "200")
    scene.order("buy", "1", trigger="90")

    show(scene, (1, price, size))

    assert scene.fills == []


def test_a_tick_past_the_liquidation_price_liquidates() -> None:
    scene = Scene(drive="trade", leverage="10")
    scene.order("buy", "1", instrument=PERP.id)

    for ts, price in ((1, 100.0), (2, 91.0), (3, 90.5)):
        scene.send(Trade(ts, PERP.id, price, 1.0, False))

    assert [fill.purpose for fill in scene.fills] == [Purpose.ENTRY, Purpose.LIQUIDATION]
    assert scene.fills[1].ts == 3


def test_only_the_kind_of_data_that_drives_an_instrument_fills_its_orders() -> None:
    scene = Scene(drive="trade")

    scene.order("buy", "1")
    scene.send(BarSlice(1, (Bar(SPOT.id, "1h", 0, 100, 101, 99, 100, 1e9),)))
    scene.send(Quote(1, SPOT.id, 99.0, 5.0, 101.0, 5.0))

    assert scene.fills == []


def test_an_order_expires_with_the_first_tick_after_its_time() -> None:
    scene = Scene(drive="trade")

    scene.order("buy", "1", "50", expire_after=1)
    show(scene, (999_999_999, 100.0, 1.0), (1_000_000_000, 40.0, 1.0))

    assert scene.names == ["OrderAccepted", "OrderExpired"]


def test_a_stop_limit_takes_within_its_limit_when_a_print_pulls_it() -> None:
    scene = Scene(drive="trade")

    scene.order("buy", "1", "102", trigger="100")
    show(scene, (1, 99.0, 1.0), (2, 101.0, 1.0))

    assert prices(scene) == [("1", "101")]
    assert not scene.fills[0].is_maker


def test_two_limits_share_what_the_crossing_quote_brought() -> None:
    scene = Scene(costing(unlimited_volume=False), drive="quote")
    scene.order("buy", "2", "100")
    scene.order("buy", "2", "100")
    scene.send(Quote(1, SPOT.id, 99.0, 5.0, 101.0, 5.0))

    scene.send(Quote(2, SPOT.id, 98.0, 5.0, 99.0, 3.0))

    assert prices(scene) == [("2", "100"), ("1", "100")]


def test_an_order_sent_between_ticks_arrives_by_its_own_moment() -> None:
    scene = Scene(costing(latency_ms=1), drive="trade")
    scene.order("buy", "1", "50", at=0)
    show(scene, (0, 100.0, 1.0))

    scene.order("buy", "1", at=2_000_000)
    show(scene, (2_500_000, 100.0, 1.0), (3_000_000, 101.0, 1.0))

    assert prices(scene) == [("1", "101")]
