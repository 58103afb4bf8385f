"""The fill rules as numbers in, numbers out."""

import pytest

from abidance.venues.sim import fills


@pytest.mark.parametrize(
    ("price", "tick", "side", "ticks"),
    [
        (100.3, 0.1, 1, 1003),
        (100.3, 0.1, -1, 1003),
        (100.34, 0.1, 1, 1004),
        (100.34, 0.1, -1, 1003),
        (0.00001234, 1e-8, 1, 1234),
        (0.00001234, 1e-8, -1, 1234),
        (97_123.45, 1e-8, 1, 9_712_345_000_000),
        (1e-12, 0.1, -1, 1),
    ],
)
def test_a_price_is_rounded_to_the_tick_against_us_and_float_noise_moves_nothing(
    price: float, tick: float, side: int, ticks: int
) -> None:
    assert fills.ticks_against(price, tick, side) == ticks


@pytest.mark.parametrize(("share", "rate"), [(0.0, 0.0011), (0.1, 0.0021), (1.0, 0.1011), (7.0, 0.1011)])
def test_slippage_adds_half_the_spread_the_fixed_part_and_the_square_of_our_share(
    share: float, rate: float
) -> None:
    assert fills.slippage_rate(0.0002, 0.001, 0.1, share) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    ("low", "on_touch", "passed"),
    [(99.9, False, True), (100.0, False, False), (100.0, True, True), (100.1, True, False)],
)
def test_a_buy_limit_fills_a_tick_beyond_it_or_at_a_touch_when_asked(
    low: float, on_touch: bool, passed: bool
) -> None:
    assert fills.is_passed(100.0, low, 120.0, 0.1, 1, on_touch) is passed
    assert fills.is_passed(100.0, 80.0, 200.0 - low, 0.1, -1, on_touch) is passed


@pytest.mark.parametrize(
    ("trigger", "reference", "side", "price"),
    [(99.0, 100.0, -1, 99.0), (99.0, 95.0, -1, 95.0), (101.0, 100.0, 1, 101.0), (101.0, 105.0, 1, 105.0)],
)
def test_what_waits_for_a_trigger_trades_there_or_at_the_open_past_it(
    trigger: float, reference: float, side: int, price: float
) -> None:
    assert fills.trigger_price(trigger, reference, side) == price


@pytest.mark.parametrize(
    ("volume", "used", "room"),
    [
        (10.0, 0, 1000),
        (10.0, 400, 600),
        (10.0, 5000, 0),
        (0.0, 0, 0),
        (-1.0, 0, 0),
        (float("nan"), 0, 0),
        (float("inf"), 1, fills.UNBOUNDED - 1),
    ],
)
def test_room_is_a_share_of_the_volume_less_what_was_used(volume: float, used: int, room: int) -> None:
    assert fills.room_lots(volume, 0.1, 0.001, used) == room


def test_a_position_is_liquidated_when_its_equity_is_its_maintenance_margin() -> None:
    long, short = (fills.liquidation_price(100.0, 10.0, 0.02, side) for side in (1, -1))

    assert 10.0 + (long - 100.0) == pytest.approx(0.02 * long)
    assert 10.0 - (short - 100.0) == pytest.approx(0.02 * short)
