"""Filters, balances, reservations, fees, margin, funding and liquidation of the simulated venue."""

from decimal import Decimal
from typing import Any

import pytest

from abidance.model.errors import ConfigError, InvariantError
from abidance.model.event import ChangeRejected, FundingPaid, OrderRejected
from abidance.model.instrument import SECOND_NS, Instrument
from abidance.model.market import Bar, BarSlice, FundingRate
from abidance.model.order import Purpose, TimeInForce
from abidance.venues.sim.config import FeeTier, VenueConfig
from abidance.venues.sim.venue import SimVenue
from tests.unit.venues.scene import FREE, HOUR, PERP, SPOT, D, Scene, costing, fees, fills_of

FLAT = (100.0, 100.0, 100.0, 100.0)
DAY = 86_400 * SECOND_NS


def reason_of(scene: Scene) -> str:
    first = scene.log[0]
    assert isinstance(first, OrderRejected)
    return first.reason


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({"quantity": "0.0005"}, "not a multiple of 0.001"),
        ({"quantity": "0"}, "not above zero"),
        ({"quantity": "-1"}, "not above zero"),
        ({"quantity": "NaN"}, "not above zero"),
        ({"quantity": "Infinity"}, "not above zero"),
        ({"quantity": "1E+40"}, "too large"),
        ({"quantity": "1", "price": "100.05"}, "price 100.05 is not a multiple of 0.1"),
        ({"quantity": "1", "trigger": "100.05"}, "trigger 100.05 is not a multiple of 0.1"),
        ({"quantity": "0.001", "price": "100"}, "below the minimum 5"),
        ({"quantity": "1", "post_only": True}, "post-only"),
        ({"quantity": "1", "price": "100", "post_only": True, "time_in_force": TimeInForce.IOC}, "post-only"),
        ({"quantity": "1", "reduce_only": True}, "without a position"),
        ({"quantity": "1", "instrument": "DOGE/USDT@SIM"}, "unknown instrument"),
        ({"quantity": "10001", "price": "100"}, "needs 1000100 USDT, 1000000 is free"),
        ({"side": "sell", "quantity": "1", "price": "100"}, "needs 1 BTC, 0 is free"),
        ({"quantity": "1", "price": "100", "expire_after": 0}, "expiry"),
    ],
)
def test_an_order_that_breaks_a_filter_is_rejected_with_the_reason(
    order: dict[str, Any], reason: str
) -> None:
    scene = Scene()

    scene.order(**({"side": "buy"} | order))
    scene.bar((100, 110, 90, 105))

    assert reason in reason_of(scene)
    assert len(scene.log) == 1


def test_a_minimum_quantity_is_held() -> None:
    scene = Scene(instruments=[Instrument(SPOT.id, D("0.1"), D("0.001"), D("0.01"), D(5))])

    scene.order("buy", "0.009", "1000")

    assert "below the minimum 0.01" in reason_of(scene)


def test_the_last_price_values_a_market_order_that_names_none() -> None:
    scene = Scene()
    scene.bar(FLAT)

    scene.order("buy", "0.01")

    assert "value 1.0" in reason_of(scene)


def test_working_orders_hold_money_back_and_give_it_back_when_they_go() -> None:
    scene = Scene(cash="1000")

    first = scene.order("buy", "6", "100")
    scene.order("buy", "5", "100")
    held = scene.free()
    scene.cancel(first)

    assert scene.names == ["OrderAccepted", "OrderRejected", "OrderCancelled"]
    assert held == 400
    assert scene.free() == 1000


def test_an_amendment_that_the_balance_does_not_cover_changes_nothing() -> None:
    scene = Scene(cash="1000")
    order = scene.order("buy", "6", "100")

    scene.amend(order, quantity="11")
    scene.bar((100, 110, 90, 105))

    assert isinstance(scene.log[1], ChangeRejected)
    assert scene.fills[0].quantity == 6


def test_an_amendment_may_use_what_the_order_holds_back_itself() -> None:
    scene = Scene(cash="1000")
    order = scene.order("buy", "6", "100")

    scene.amend(order, quantity="9")

    assert scene.names == ["OrderAccepted", "OrderAmended"]
    assert scene.free() == 100


def test_a_market_order_that_the_open_made_too_dear_fills_what_the_cash_buys() -> None:
    scene = Scene(costing(fees=fees(0.001, 0.001)), cash="1000")
    scene.bar(FLAT)

    scene.order("buy", "10")
    scene.bar((120, 121, 119, 120))

    assert scene.fills[0].quantity == D("8.325")
    assert scene.names[-1] == "OrderCancelled"
    assert 0 <= scene.total() < D("0.13")


def test_a_reduce_only_sale_leaves_alone_what_another_order_holds_back() -> None:
    scene = Scene()
    scene.order("buy", "1", strategy="t")
    scene.bar(FLAT)
    scene.order("sell", "1", "200")

    scene.order("sell", "2", reduce_only=True, strategy="t")
    scene.bar(FLAT)

    assert len(scene.fills) == 1
    assert scene.names[-1] == "OrderCancelled"
    assert scene.free("BTC") == 0


def test_a_fill_or_kill_order_that_the_cash_cannot_buy_whole_buys_nothing() -> None:
    scene = Scene(cash="1000")
    scene.bar(FLAT)

    scene.order("buy", "10", time_in_force=TimeInForce.FOK)
    scene.bar((120, 121, 119, 120))

    assert scene.fills == []
    assert scene.total() == 1000


def test_fees_are_taken_in_quote_units_and_rounded_up() -> None:
    scene = Scene(costing(fees=fees(0.0, 0.0001234567)))

    scene.order("buy", "0.333")
    scene.bar((100.1, 101, 99, 100))

    exact = D("0.333") * D("100.1") * D("0.0001234567")
    assert exact <= scene.fills[0].fee < exact + D("1e-12")
    assert scene.total() == 1_000_000 - D("0.333") * D("100.1") - scene.fills[0].fee


def test_resting_fills_pay_the_maker_rate_and_a_rebate_is_income() -> None:
    scene = Scene(costing(fees=fees(-0.0002, 0.001)))

    scene.order("buy", "1", "95")
    scene.bar((100, 110, 90, 105))

    assert scene.fills[0].fee == D("-0.019")
    assert scene.total() == 1_000_000 - 95 + D("0.019")


def test_a_fee_in_what_was_received_makes_the_position_smaller() -> None:
    scene = Scene(costing(fees=fees(0.001, 0.001), fee_asset="received"))

    scene.order("buy", "1")
    scene.bar(FLAT)
    scene.order("sell", "1", reduce_only=True)
    scene.bar(FLAT)

    buy, sell = scene.fills
    assert (buy.fee, buy.fee_asset) == (D("0.001"), "BTC")
    assert (sell.quantity, sell.fee_asset) == (D("0.999"), "USDT")
    assert scene.total("BTC") == 0
    assert scene.venue.positions() == {}


def test_a_named_fee_asset_pays_while_it_lasts_and_the_quote_after_that() -> None:
    coin = Instrument("BNB/USDT@SIM", D("0.1"), D("0.001"), D("0.001"), D(5))
    venue = SimVenue(
        costing(fees=fees(0.01, 0.01), fee_asset="BNB"),
        {SPOT.id: SPOT, coin.id: coin},
        {"SIM": {"USDT": D(10_000), "BNB": D("0.003")}},
        {SPOT.id: "1h", coin.id: "1h"},
    )
    scene = Scene()
    scene.venue = venue

    for _ in range(2):
        scene.order("buy", "1")
        bars = (
            Bar(SPOT.id, "1h", scene.now, 100, 100, 100, 100, 1e9),
            Bar(coin.id, "1h", scene.now, 500, 500, 500, 500, 1),
        )
        scene.send(BarSlice(scene.now + HOUR, bars))

    assert [(fill.fee, fill.fee_asset) for fill in scene.fills] == [(D("0.002"), "BNB"), (D(1), "USDT")]
    assert scene.total("BNB") == D("0.001")


def test_a_fee_asset_that_is_sold_out_pays_no_fee() -> None:
    scene = Scene(costing(fees=fees(0.01, 0.01), fee_asset="BTC"))

    scene.order("buy", "1")
    scene.bar(FLAT)
    scene.order("sell", "1", reduce_only=True)
    scene.bar(FLAT)

    assert [fill.fee_asset for fill in scene.fills] == ["USDT", "USDT"]
    assert scene.total("BTC") == 0


def test_the_fee_tier_follows_the_value_traded_in_the_last_thirty_days() -> None:
    tiers = (FeeTier(volume=150, maker=0, taker=0.005), FeeTier(volume=0, maker=0, taker=0.01))
    scene = Scene(costing(fees=[tier.model_dump() for tier in tiers]))

    rates = []
    for wait in (0, 0, 0, 31 * DAY):
        scene.now += wait
        scene.order("buy", "1")
        rates.append(fills_of(scene.bar(FLAT))[0].fee / 100)

    assert rates == [D("0.01"), D("0.01"), D("0.005"), D("0.01")]


def test_an_order_id_that_is_working_is_not_taken_twice() -> None:
    scene = Scene()
    submit = scene.submit("buy", "1", "90")
    scene.venue.execute([submit])

    with pytest.raises(InvariantError, match="o1 is working already"):
        scene.venue.execute([submit])


def test_an_instrument_needs_a_drive_and_its_venue_a_configuration() -> None:
    with pytest.raises(ConfigError, match="Nothing drives"):
        SimVenue(FREE, {SPOT.id: SPOT}, {}, {})
    with pytest.raises(ConfigError, match="No configuration"):
        SimVenue({"OTHER": FREE}, {SPOT.id: SPOT}, {}, {SPOT.id: "1h"})


def test_venues_keep_their_own_costs_and_wallets() -> None:
    twin = Instrument("BTC/USDT@TWIN", D("0.1"), D("0.001"), D("0.001"), D(5))
    venue = SimVenue(
        {"SIM": FREE, "TWIN": costing(fees=fees(0.01, 0.01))},
        {SPOT.id: SPOT, twin.id: twin},
        {"SIM": {"USDT": D(1000)}, "TWIN": {"USDT": D(1000)}},
        {SPOT.id: "1h", twin.id: "1h"},
    )
    scene = Scene()
    scene.venue = venue

    scene.order("buy", "1")
    scene.order("buy", "1", instrument=twin.id)
    scene.send(BarSlice(HOUR, tuple(Bar(key, "1h", 0, *FLAT, 1e9) for key in (SPOT.id, twin.id))))

    totals = {key: balance.total for key, balance in venue.balances().items() if key[1] == "USDT"}
    assert totals == {("SIM", "USDT"): D(900), ("TWIN", "USDT"): D(899)}


def perp_scene(leverage: str, cash: str = "1000", config: VenueConfig = FREE) -> Scene:
    return Scene(config, cash=cash, leverage=leverage)


def trade(scene: Scene, side: str, quantity: str, price: float, **fields: Any) -> str:
    order = scene.order(side, quantity, instrument=PERP.id, **fields)
    scene.bar((price,) * 4, instrument=PERP)
    return order


def test_a_perpetual_position_holds_margin_and_settles_its_profit_in_quote() -> None:
    scene = perp_scene("10")

    trade(scene, "sell", "10", 100.0)
    held = scene.free()
    trade(scene, "buy", "4", 90.0, reduce_only=True)
    part = scene.free()
    trade(scene, "buy", "6", 105.0, reduce_only=True)

    assert held == 900
    assert part == 1000 + 40 - 60
    assert scene.total() == scene.free() == 1000 + 40 - 30
    assert scene.venue.positions() == {}


def test_a_perpetual_order_turns_a_position_round_in_one_fill() -> None:
    scene = perp_scene("5")

    trade(scene, "buy", "10", 100.0)
    trade(scene, "sell", "25", 110.0)

    position = scene.venue.positions()["s", PERP.id]
    assert (position.quantity, position.average_price) == (D(-15), D(110))
    assert scene.total() == 1100
    assert scene.free() == 1100 - 330


def test_a_turn_that_the_money_does_not_carry_closes_and_opens_what_it_can() -> None:
    scene = perp_scene("2")

    trade(scene, "buy", "20", 100.0, decision_price=D(100))
    trade(scene, "sell", "40", 80.0, decision_price=D(100))

    position = scene.venue.positions()["s", PERP.id]
    assert position.quantity == -15
    assert scene.total() == 600
    assert scene.free() == 0
    assert scene.names[-1] == "OrderCancelled"


def test_opening_more_than_the_margin_allows_is_rejected() -> None:
    scene = perp_scene("10")
    scene.bar(FLAT, instrument=PERP)

    scene.order("buy", "101", instrument=PERP.id)

    assert "needs 1010" in reason_of(scene)


def test_leverage_above_the_instruments_is_rejected() -> None:
    scene = perp_scene("51")
    scene.bar(FLAT, instrument=PERP)

    scene.order("buy", "1", instrument=PERP.id)

    assert "leverage 51 is above 50" in reason_of(scene)


@pytest.mark.parametrize(("side", "bar"), [("buy", (100, 101, 90, 95)), ("sell", (100, 110, 99, 105))])
def test_a_position_past_its_liquidation_price_loses_its_margin_and_its_orders(
    side: str, bar: tuple[float, float, float, float]
) -> None:
    scene = perp_scene("20")
    trade(scene, side, "10", 100.0)
    other = "sell" if side == "buy" else "buy"
    scene.order(other, "10", "80" if side == "sell" else "120", reduce_only=True, instrument=PERP.id)

    scene.bar(bar, instrument=PERP)

    fill = scene.fills[-1]
    assert (fill.purpose, fill.price, fill.fee) == (
        Purpose.LIQUIDATION,
        D(95 if side == "buy" else 105),
        D(0),
    )
    assert scene.total() == scene.free() == 950
    assert scene.names[-2:] == ["OrderFilled", "OrderCancelled"]
    assert scene.venue.positions() == {}


@pytest.mark.parametrize(
    ("trigger", "bar", "purpose", "price"),
    [
        ("97", (100, 101, 90, 95), Purpose.STOP_LOSS, "97"),
        ("95.9", (100, 101, 90, 95), Purpose.LIQUIDATION, "95"),
        ("97", (94, 96, 90, 95), Purpose.LIQUIDATION, "95"),
        ("97", (96.5, 97, 90, 95), Purpose.STOP_LOSS, "96.5"),
    ],
)
def test_stop_and_liquidation_come_in_the_order_in_which_the_price_meets_them(
    trigger: str, bar: tuple[float, float, float, float], purpose: Purpose, price: str
) -> None:
    scene = perp_scene("20")
    trade(scene, "buy", "10", 100.0)
    scene.order(
        "sell", "10", trigger=trigger, reduce_only=True, instrument=PERP.id, purpose=Purpose.STOP_LOSS
    )

    scene.bar(bar, instrument=PERP)

    assert (scene.fills[-1].purpose, scene.fills[-1].price) == (purpose, D(price))


def test_a_take_profit_that_the_bar_of_a_liquidation_touches_is_no_rescue() -> None:
    scene = perp_scene("20")
    trade(scene, "buy", "10", 100.0)
    scene.order("sell", "10", trigger="100.5", goal=True, reduce_only=True, instrument=PERP.id)

    scene.bar((100, 101, 90, 95), instrument=PERP)

    assert (scene.fills[-1].purpose, scene.fills[-1].price) == (Purpose.LIQUIDATION, D(95))


def test_what_a_stop_could_not_sell_for_want_of_volume_is_liquidated() -> None:
    scene = perp_scene("20", config=costing(unlimited_volume=False, max_volume_share=0.1))
    trade(scene, "buy", "10", 100.0)
    scene.order("sell", "10", trigger="97", reduce_only=True, instrument=PERP.id, purpose=Purpose.STOP_LOSS)

    scene.bar((100, 101, 90, 95), volume=40, instrument=PERP)

    assert [(fill.purpose, fill.quantity) for fill in scene.fills[1:]] == [
        (Purpose.STOP_LOSS, D(4)),
        (Purpose.LIQUIDATION, D(6)),
    ]
    assert scene.total() == 1000 - 12 - 30


def test_an_exit_that_slippage_takes_past_the_margin_is_a_liquidation() -> None:
    scene = perp_scene("20", config=costing(slippage={"spread": 0, "fixed": 0.04, "volume_share": 0}))
    scene.order("buy", "10", "100", instrument=PERP.id)
    scene.bar((100.2, 101, 99.8, 100), instrument=PERP)
    scene.order("sell", "10", trigger="97", reduce_only=True, instrument=PERP.id)

    scene.bar((100, 101, 96.5, 97), instrument=PERP)

    assert scene.fills[-1].purpose is Purpose.LIQUIDATION
    assert scene.total() == 950


def test_a_fee_takes_no_more_than_an_exit_left() -> None:
    costs = costing(fees=fees(0.0, 0.01), slippage={"spread": 0, "fixed": 0.007, "volume_share": 0})
    scene = perp_scene("20", cash="50", config=costs)
    scene.order("buy", "10", "100", instrument=PERP.id)
    scene.bar((100.2, 101, 99.8, 100), instrument=PERP)
    scene.order("sell", "10", trigger="96", reduce_only=True, instrument=PERP.id)

    scene.bar((100, 101, 95.99, 97), instrument=PERP)

    assert (scene.fills[-1].price, scene.fills[-1].fee) == (D("95.3"), D(3))
    assert scene.total() == 0


def test_a_position_opened_in_a_bar_may_be_liquidated_in_it() -> None:
    scene = perp_scene("20")

    scene.order("buy", "10", "99", instrument=PERP.id)
    scene.bar((100, 101, 90, 95), instrument=PERP)

    assert [fill.purpose for fill in scene.fills] == [Purpose.ENTRY, Purpose.LIQUIDATION]


@pytest.mark.parametrize(("side", "amount"), [("buy", "-0.1"), ("sell", "0.1")])
def test_funding_moves_cash_between_longs_and_shorts(side: str, amount: str) -> None:
    scene = perp_scene("10")
    trade(scene, side, "10", 100.0)

    news = scene.send(FundingRate(scene.now, PERP.id, 0.0001, 100.0))

    assert news == [FundingPaid(scene.now, PERP.id, "s", D(amount), "USDT")]
    assert scene.total() == 1000 + D(amount)
    assert scene.venue.positions()["s", PERP.id].funding == D(amount)


def test_funding_that_the_free_cash_cannot_pay_comes_out_of_the_margin() -> None:
    scene = perp_scene("10", cash="100")
    trade(scene, "buy", "10", 100.0)

    scene.send(FundingRate(scene.now, PERP.id, 0.06, 100.0))
    left = (scene.total(), scene.free())
    survived = scene.bar((100, 101, 96, 97), instrument=PERP)

    assert left == (D(40), D(0))
    assert fills_of(survived)[0].purpose is Purpose.LIQUIDATION
    assert scene.total() == 0


@pytest.mark.parametrize(
    ("rate", "mark"), [(float("nan"), 100.0), (0.1, float("inf")), (0.1, 0.0), (0.0, 100.0)]
)
def test_funding_without_a_sound_number_moves_nothing(rate: float, mark: float) -> None:
    scene = perp_scene("10")
    trade(scene, "buy", "10", 100.0)

    assert scene.send(FundingRate(scene.now, PERP.id, rate, mark)) == []


def test_the_money_of_strategies_in_one_perpetual_is_kept_apart() -> None:
    scene = perp_scene("10")
    trade(scene, "buy", "5", 100.0)
    trade(scene, "sell", "5", 100.0, strategy="t")

    positions = scene.venue.positions()

    assert {key: position.quantity for key, position in positions.items()} == {
        ("s", PERP.id): Decimal(5),
        ("t", PERP.id): Decimal(-5),
    }
    assert scene.free() == 1000 - 50 - 500
