from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from abidance.model.order import OrderRequest, OrderType, Protection, Purpose, TimeInForce
from abidance.model.outcome import Approved, RefusalCode, Refused, Verdict
from abidance.risk.config import LimitsConfig, RiskConfig
from abidance.risk.gate import Gate
from abidance.risk.limits import case_of
from abidance.risk.state import ACTIVE, Standing, TradingState, strictest
from tests.unit.risk.world import ETH, HOUR_NS, OTHER_SPOT, PERP, SPOT, World, buy, instrument, sell

Code = RefusalCode
D = Decimal
OPEN = {"max_exposure": 1.0, "max_asset_exposure": 1.0, "max_venue_exposure": 1.0, "duplicate_window": 0.0}
HALTED = Standing(TradingState.HALTED, Code.HALTED, "Halted.")
REDUCING = Standing(TradingState.REDUCING, Code.REDUCING, "Reducing.")


def gate(**limits: object) -> Gate:
    return Gate(RiskConfig(limits=LimitsConfig.model_validate(OPEN | limits)))


def verdict(
    request: OrderRequest, world: World | None = None, standing: Standing = ACTIVE, **limits: object
) -> Verdict:
    return gate(**limits).check(request, world or World(), standing)


def code(found: Verdict) -> RefusalCode | None:
    return found.code if isinstance(found, Refused) else None


def codes(found: Iterable[Verdict]) -> list[RefusalCode | None]:
    return [code(each) for each in found]


def holding(quantity: str, name: str = SPOT, **more: object) -> World:
    return World(positions={("s", name): D(quantity)}, **more)  # type: ignore[arg-type]


# --- verdicts -------------------------------------------------------------------------------------


def test_an_ordinary_entry_is_approved_as_it_was_asked() -> None:
    request = buy("10")

    assert verdict(request) == Approved(request)


def test_a_refusal_carries_the_request_the_numbers_and_the_key() -> None:
    request = buy("60")

    found = verdict(request, max_exposure=0.5)

    assert isinstance(found, Refused)
    assert found.request is request
    assert found.code is Code.MAX_EXPOSURE
    assert "6000" in found.reason
    assert "5000" in found.reason
    assert "`risk.limits.max_exposure`" in found.reason


# --- form -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "quantity", ["NaN", "sNaN", "Infinity", "-1", "1E+999999", "1E-999999", "0.0001", "1E+19"]
)
def test_an_impossible_quantity_is_malformed(quantity: str) -> None:
    assert code(verdict(msgspec.structs.replace(buy(), quantity=D(quantity)))) is Code.MALFORMED


@pytest.mark.parametrize("quantity", ["0", "-0", "0E+10"])
def test_no_quantity_is_told_as_such(quantity: str) -> None:
    found = verdict(buy(quantity))

    assert isinstance(found, Refused)
    assert found.code is Code.ZERO_QUANTITY
    assert found.reason.startswith(
        "Nothing is left of the quantity: there is nothing to size it by, or it is below"
    )
    assert "the smallest order that BINANCE takes (" in found.reason


LIMIT = {"type": OrderType.LIMIT, "price": D(100)}
STOP = {"type": OrderType.STOP, "trigger": D(100)}


@pytest.mark.parametrize(
    "more",
    [
        {"type": OrderType.LIMIT},
        {"price": D(100)},
        {"trigger": D(100)},
        {"type": OrderType.STOP},
        {"type": OrderType.STOP_LIMIT, "price": D(100)},
        {"type": OrderType.STOP_LIMIT, "trigger": D(100)},
        {"type": OrderType.STOP, "trigger": D(100), "price": D(100)},
        {"type": OrderType.LIMIT, "price": D("100.001")},
        {"type": OrderType.LIMIT, "price": D(0)},
        {"type": OrderType.LIMIT, "price": D(-1)},
        {"type": OrderType.LIMIT, "price": D("NaN")},
        {"type": OrderType.LIMIT, "price": 100.0},
        {"type": OrderType.STOP, "trigger": D("sNaN")},
        LIMIT | {"post_only": True, "time_in_force": TimeInForce.IOC},
        LIMIT | {"post_only": True, "time_in_force": TimeInForce.FOK},
        STOP | {"post_only": True},
        {"post_only": True},
        {"expire_after": 0},
        {"expire_after": "soon"},
        {"expected": Decimal("sNaN")},
        {"part": Decimal("sNaN")},
        {"part": ["1/3"]},
        {"confidence": float("nan")},
        {"confidence": 1.5},
        {"confidence": "high"},
        {"decision_price": D("NaN")},
        {"decision_price": 100.0},
        {"protection": Protection(stop=float("nan"))},
        {"protection": Protection(trailing=-1.0)},
        {"protection": Protection(take_profit=float("inf"))},
        {"protection": Protection(break_even=10**400)},
        {"protection": Protection(max_bars=0)},
        {"protection": "tight"},
        {"side": "buy"},
        {"type": "market"},
        {"time_in_force": None},
        {"purpose": "entry"},
        {"quantity": 1.0},
        {"quantity": None},
        {"strategy": None},
        {"instrument": ["BTC"]},
    ],
)
def test_a_contradiction_is_malformed(more: dict[str, object]) -> None:
    request = msgspec.structs.replace(buy(), **more)

    assert code(verdict(request)) is Code.MALFORMED


@pytest.mark.parametrize(
    "more",
    [
        LIMIT,
        LIMIT | {"post_only": True},
        LIMIT | {"time_in_force": TimeInForce.FOK, "expire_after": 60},
        STOP,
        {"type": OrderType.STOP_LIMIT, "price": D(101), "trigger": D(100)},
        {"time_in_force": TimeInForce.IOC},
        {"protection": Protection(stop=1.0, take_profit=2, trailing=3.0, break_even=1.0, max_bars=5)},
    ],
)
def test_every_kind_of_order_can_pass(more: dict[str, object]) -> None:
    assert code(verdict(msgspec.structs.replace(buy(), **more))) is None


def test_steps_of_eighteen_decimals_are_exact_at_any_size() -> None:
    fine = World(instruments={SPOT: instrument(SPOT, lot="1E-18")}, money=1e25, cash=D(10) ** 25)

    assert code(verdict(buy("1E+18"), fine)) is None
    assert code(verdict(buy("999999999999999999.0000000000000000001"), fine)) is Code.MALFORMED


def test_an_instrument_that_the_run_does_not_hold_is_refused() -> None:
    assert code(verdict(buy(name="XRP/USDT@BINANCE"))) is Code.UNKNOWN_INSTRUMENT
    assert code(verdict(buy(name="nonsense"))) is Code.UNKNOWN_INSTRUMENT


# --- state ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [Code.HALTED, Code.REDUCING, Code.ENTRIES_PAUSED, Code.STRATEGY_STOPPED])
def test_entries_meet_the_code_of_the_state_and_exits_pass(refusal: RefusalCode) -> None:
    standing = Standing(TradingState.REDUCING, refusal, "Because.")

    found = verdict(buy(), standing=standing)

    assert found == Refused(buy(), refusal, "Because.")
    assert code(verdict(sell(reduce_only=True), holding("1"), standing)) is None


def test_the_strictest_standing_wins() -> None:
    assert strictest(ACTIVE, REDUCING, HALTED, REDUCING) is HALTED
    assert strictest(ACTIVE, REDUCING) is REDUCING
    assert strictest() is ACTIVE


def test_a_perpetual_sale_that_could_flip_is_no_exit_while_reducing() -> None:
    world = holding("1", PERP)

    assert code(verdict(sell("1", PERP), world, REDUCING)) is Code.REDUCING
    assert code(verdict(sell("1", PERP, reduce_only=True), world, REDUCING)) is None


def test_selling_what_is_held_on_spot_is_an_exit_with_or_without_the_flag() -> None:
    assert code(verdict(sell("1"), holding("1"), HALTED)) is None


# --- the world is not known well enough -----------------------------------------------------------


@pytest.mark.parametrize("price", [None, float("nan"), float("inf"), 0.0, -1.0])
def test_without_a_price_entries_are_refused_and_exits_pass(price: float | None) -> None:
    prices = {} if price is None else {SPOT: price}

    assert code(verdict(buy(), World(prices=prices))) is Code.NO_PRICE
    assert code(verdict(sell(reduce_only=True), holding("1", prices=prices))) is None


def test_a_quote_of_unknown_worth_refuses_entries() -> None:
    assert code(verdict(buy(), World(rate=None))) is Code.NO_PRICE


def test_stale_prices_refuse_entries_only_and_only_beyond_the_limit() -> None:
    assert code(verdict(buy(), World(age=2 * HOUR_NS))) is None
    assert code(verdict(buy(), World(age=2 * HOUR_NS + 1))) is Code.STALE_DATA
    assert code(verdict(sell(reduce_only=True), holding("1", age=99 * HOUR_NS))) is None


def test_a_stale_price_is_no_reason_to_hold_a_limit_exit_back() -> None:
    exit_far_below = sell(reduce_only=True, type=OrderType.LIMIT, price=D(80))

    assert code(verdict(exit_far_below, holding("1"))) is Code.PRICE_COLLAR
    assert code(verdict(exit_far_below, holding("1", age=3 * HOUR_NS))) is None


def test_an_unknown_order_blocks_entries_on_its_instrument_only() -> None:
    world = holding("1", unknown=frozenset({SPOT}))

    assert code(verdict(buy(), world)) is Code.UNKNOWN_ORDER_OPEN
    assert code(verdict(buy(name=ETH), world)) is None
    assert code(verdict(sell(reduce_only=True), world)) is None


# --- the order cannot be right --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "request_"),
    [
        ("0", sell(reduce_only=True)),
        ("1", sell("1.001", reduce_only=True)),
        ("1", buy(reduce_only=True)),
        ("-1", buy("1.001", PERP, reduce_only=True)),
        ("1", sell("1.001", reduce_only=True, type=OrderType.STOP, trigger=D(90))),
    ],
)
def test_reduce_only_that_does_not_reduce_is_refused(held: str, request_: OrderRequest) -> None:
    assert code(verdict(request_, holding(held, request_.instrument))) is Code.NOT_REDUCING


def test_a_position_is_not_closed_twice_at_market_but_stops_do_not_count() -> None:
    closing = holding("1", pending=[sell("0.6", reduce_only=True)])
    stopped = holding("1", pending=[sell("1", reduce_only=True, type=OrderType.STOP, trigger=D(90))])

    assert code(verdict(sell("1", reduce_only=True), closing)) is Code.NOT_REDUCING
    assert code(verdict(sell("0.4", reduce_only=True), closing)) is None
    assert code(verdict(sell("1", reduce_only=True), stopped)) is None
    assert code(verdict(sell("1", reduce_only=True, type=OrderType.STOP, trigger=D(90)), closing)) is None


def test_spot_cannot_be_short() -> None:
    assert code(verdict(sell())) is Code.SHORT_NOT_ALLOWED
    assert code(verdict(sell("2"), holding("1"))) is Code.SHORT_NOT_ALLOWED


def test_spot_sales_together_may_not_exceed_the_holding() -> None:
    resting = sell("0.7", type=OrderType.LIMIT, price=D(110))

    assert code(verdict(sell("0.4"), holding("1", pending=[resting]))) is Code.SHORT_NOT_ALLOWED
    assert code(verdict(sell("0.3"), holding("1", pending=[resting]))) is None


def test_perpetuals_may_be_short_when_the_strategy_may() -> None:
    assert code(verdict(sell(name=PERP), World(shorts=True))) is None
    assert code(verdict(sell(name=PERP), World(shorts=False))) is Code.SHORT_NOT_ALLOWED
    assert code(verdict(sell("2", PERP), holding("1", PERP, shorts=False))) is Code.SHORT_NOT_ALLOWED
    assert code(verdict(sell("1", PERP), holding("1", PERP, shorts=False))) is None


def test_the_venues_minima_hold() -> None:
    world = World(instruments={SPOT: msgspec.structs.replace(instrument(SPOT), min_quantity=D("0.5"))})

    assert code(verdict(buy("0.499"), world)) is Code.MIN_QUANTITY
    assert code(verdict(buy("0.5"), world)) is None
    assert code(verdict(buy("0.049"))) is Code.MIN_NOTIONAL
    assert code(verdict(sell("0.049", reduce_only=True), holding("1"))) is Code.MIN_NOTIONAL


def test_what_reduces_a_perpetual_has_no_minimum_value() -> None:
    assert code(verdict(sell("0.001", PERP, reduce_only=True), holding("1", PERP))) is None


def test_the_minimum_value_is_measured_where_the_order_would_trade() -> None:
    at_trigger = sell("0.06", reduce_only=True, type=OrderType.STOP, trigger=D(80))

    assert code(verdict(at_trigger, holding("1"))) is Code.MIN_NOTIONAL


def test_an_entry_must_leave_enough_to_be_sold_after_its_stop() -> None:
    assert code(verdict(buy("0.055"))) is None
    assert code(verdict(buy("0.054"))) is Code.EXIT_NOT_FEASIBLE
    assert code(verdict(buy("0.06", protection=Protection(stop=10.0)))) is Code.EXIT_NOT_FEASIBLE
    assert code(verdict(buy("0.062", protection=Protection(stop=10.0)))) is None
    assert code(verdict(buy("1", protection=Protection(stop=100.0)))) is Code.EXIT_NOT_FEASIBLE
    assert code(verdict(buy("0.055", protection=Protection(stop=1.0)), holding("1"))) is None
    assert code(verdict(buy("0.05"), exit_margin=1.0)) is None


def test_closing_a_part_of_a_perpetual_without_the_flag_needs_no_feasible_exit() -> None:
    assert code(verdict(sell("0.05", PERP), holding("1", PERP))) is None


def test_a_shorts_stop_lies_above_and_shrinks_nothing() -> None:
    assert code(verdict(sell("0.055", PERP, protection=Protection(stop=50.0)))) is None


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (buy(type=OrderType.LIMIT, price=D(105)), None),
        (buy(type=OrderType.LIMIT, price=D("105.01")), Code.PRICE_COLLAR),
        (buy(type=OrderType.LIMIT, price=D(10)), None),
        (buy(type=OrderType.STOP, trigger=D(106)), Code.PRICE_COLLAR),
        (buy(type=OrderType.STOP_LIMIT, trigger=D(104), price=D(106)), Code.PRICE_COLLAR),
        (sell(name=PERP, type=OrderType.LIMIT, price=D("94.99")), Code.PRICE_COLLAR),
        (sell(name=PERP, type=OrderType.LIMIT, price=D(500)), Code.MAX_LEVERAGE),
        (sell(name=PERP, type=OrderType.STOP, trigger=D(94)), Code.PRICE_COLLAR),
    ],
)
def test_the_collar_is_on_the_side_that_would_cost_us(
    request_: OrderRequest, expected: RefusalCode | None
) -> None:
    # a position worth 500 is above the equity of 450 times 1, which only the short far above the market reaches
    assert code(verdict(request_, World(money=450.0), max_leverage=1.0, max_exposure=9.0)) is expected


def test_a_protective_stop_may_be_far_away_but_its_limit_not_far_from_it() -> None:
    far = sell(reduce_only=True, type=OrderType.STOP, trigger=D(50))
    near = sell(reduce_only=True, type=OrderType.STOP_LIMIT, trigger=D(50), price=D(48))
    wide = sell(reduce_only=True, type=OrderType.STOP_LIMIT, trigger=D(50), price=D(40))

    assert codes(verdict(each, holding("1")) for each in (far, near, wide)) == [None, None, Code.PRICE_COLLAR]


def test_a_stop_is_required_when_configured() -> None:
    assert code(verdict(buy(), require_stop=True)) is Code.MISSING_STOP
    assert code(verdict(buy(protection=Protection(take_profit=1.0)), require_stop=True)) is Code.MISSING_STOP
    assert code(verdict(buy(protection=Protection(trailing=1.0)), require_stop=True)) is None
    assert code(verdict(sell(reduce_only=True), holding("1"), require_stop=True)) is None


# --- it would be too much -------------------------------------------------------------------------


def test_pending_orders_count_as_filled() -> None:
    world = World(pending=[buy("30", ETH)])

    assert code(verdict(buy("20"), world, max_exposure=0.5)) is None
    assert code(verdict(buy("20.001"), world, max_exposure=0.5)) is Code.MAX_EXPOSURE


def test_an_asset_is_counted_over_all_venues_and_a_venue_over_all_assets() -> None:
    world = World(positions={("s", OTHER_SPOT): D(20), ("s", ETH): D(10)})

    assert code(verdict(buy("5"), world, max_asset_exposure=0.25)) is None
    assert code(verdict(buy("5.001"), world, max_asset_exposure=0.25)) is Code.MAX_ASSET_EXPOSURE
    assert code(verdict(buy("10.001"), world, max_venue_exposure=0.2)) is Code.MAX_VENUE_EXPOSURE


def test_a_limit_above_the_market_counts_at_its_own_price() -> None:
    request = buy("10", type=OrderType.LIMIT, price=D(104))

    assert code(verdict(request, max_exposure=0.1)) is Code.MAX_EXPOSURE
    assert code(verdict(request, max_exposure=0.104)) is None


def test_orders_that_reduce_pass_although_every_exposure_is_exceeded() -> None:
    world = holding("500", cash=D(0))

    found = verdict(
        sell("500", reduce_only=True), world, max_exposure=0.01, max_positions=1, max_order_value=1.0
    )

    assert code(found) is None


def test_a_flip_counts_only_what_it_adds() -> None:
    world = holding("40", PERP)

    assert code(verdict(sell("90", PERP), world, max_exposure=0.5)) is None
    assert code(verdict(sell("90.001", PERP), world, max_exposure=0.5)) is Code.MAX_EXPOSURE


def test_a_flip_is_counted_as_if_the_resting_stop_filled_first() -> None:
    stop = sell("40", PERP, reduce_only=True, type=OrderType.STOP, trigger=D(90))

    found = verdict(sell("90", PERP), holding("40", PERP, pending=[stop]), max_exposure=0.5)

    assert code(found) is Code.MAX_EXPOSURE


def test_further_positions_are_counted_and_additions_are_not() -> None:
    world = World(positions={("s", ETH): D(1)}, pending=[buy(name=OTHER_SPOT)])

    assert code(verdict(buy(), world, max_positions=2)) is Code.MAX_POSITIONS
    assert code(verdict(buy(), world, max_positions=3)) is None
    assert code(verdict(buy(name=ETH), world, max_positions=2)) is None
    assert code(verdict(buy(name=OTHER_SPOT), world, max_positions=2)) is None
    assert code(verdict(buy(name=ETH, strategy="t"), world, max_positions=2)) is Code.MAX_POSITIONS


def test_leverage_is_limited_by_us_and_by_the_instrument() -> None:
    tame = World(leverages=3.0)
    tame.instruments[PERP] = msgspec.structs.replace(instrument(PERP), max_leverage=D(2))

    assert code(verdict(buy(name=PERP), World(leverages=3.0))) is None
    assert code(verdict(buy(name=PERP), World(leverages=3.1))) is Code.MAX_LEVERAGE
    assert code(verdict(buy(name=PERP), tame)) is Code.MAX_LEVERAGE
    assert code(verdict(buy(name=SPOT), World(leverages=3.1))) is None
    assert code(verdict(buy(name=PERP), World(leverages=float("nan")))) is Code.MAX_LEVERAGE


def test_a_position_is_limited_in_multiples_of_equity() -> None:
    wide: dict[str, Any] = {
        "max_exposure": 99.0,
        "max_asset_exposure": 99.0,
        "max_venue_exposure": 99.0,
        "max_leverage": 2.0,
    }
    rich = D(10**9)

    assert code(verdict(buy("200"), World(cash=rich), **wide)) is None
    assert code(verdict(buy("200.001"), World(cash=rich), **wide)) is Code.MAX_LEVERAGE
    assert code(verdict(buy("100.001"), holding("100", cash=rich), **wide)) is Code.MAX_LEVERAGE


def test_the_value_of_one_order_is_limited() -> None:
    assert code(verdict(buy("10"), max_order_value=1000.0)) is None
    assert code(verdict(buy("10.001"), max_order_value=1000.0)) is Code.MAX_ORDER_VALUE


def test_funds_must_cover_value_and_costs() -> None:
    assert code(verdict(buy("10"), World(cash=D(1002)))) is None
    assert code(verdict(buy("10"), World(cash=D("1001.9")))) is Code.INSUFFICIENT_FUNDS


def test_a_perpetual_needs_its_margin_only() -> None:
    world = World(leverages=3.0, cash=D(340))

    assert code(verdict(buy("10", PERP), world)) is None
    assert code(verdict(buy("10"), world)) is Code.INSUFFICIENT_FUNDS


@pytest.mark.parametrize("money", [0.0, -1.0, float("nan")])
def test_without_equity_no_risk_is_taken(money: float) -> None:
    assert isinstance(verdict(buy(), World(money=money)), Refused)
    assert code(verdict(sell(reduce_only=True), holding("1", money=money))) is None


# --- rate and duplicates --------------------------------------------------------------------------


def test_entries_are_limited_within_any_minute_and_exits_are_not() -> None:
    subject, world = gate(max_orders_per_minute=2), holding("1", ETH)

    first = [subject.check(buy(each), world, ACTIVE) for each in ("1", "2", "3")]
    exits = [subject.check(sell(name=ETH, reduce_only=True), world, ACTIVE) for _ in range(9)]
    world.now += 60_000_000_000 - 1
    late = subject.check(buy("4"), world, ACTIVE)
    world.now += 1
    later = subject.check(buy("5"), world, ACTIVE)

    assert codes(first) == [None, None, Code.ORDER_RATE]
    assert codes(exits) == [None] * 9
    assert code(late) is Code.ORDER_RATE
    assert code(later) is None


def test_refused_entries_do_not_use_up_the_rate() -> None:
    subject, world = gate(max_orders_per_minute=1), World()

    refused = [subject.check(buy("0"), world, ACTIVE) for _ in range(5)]

    assert codes(refused) == [Code.ZERO_QUANTITY] * 5
    assert code(subject.check(buy(), world, ACTIVE)) is None


def test_exits_do_not_use_up_the_rate() -> None:
    subject, world = gate(max_orders_per_minute=1), holding("1", ETH)

    for _ in range(3):
        subject.check(sell(name=ETH, reduce_only=True), world, ACTIVE)

    assert code(subject.check(buy(), world, ACTIVE)) is None


def test_an_equal_entry_within_the_window_is_a_mistake() -> None:
    subject, world = gate(duplicate_window=0.5), World()

    first = subject.check(buy("1"), world, ACTIVE)
    again = subject.check(buy("1.000"), world, ACTIVE)
    other = subject.check(buy("2"), world, ACTIVE)
    world.now += 500_000_000
    later = subject.check(buy("1"), world, ACTIVE)

    assert codes((first, again, other, later)) == [None, Code.DUPLICATE, None, None]


def test_time_that_goes_backwards_opens_no_door() -> None:
    subject, world = gate(duplicate_window=0.5, max_orders_per_minute=1), World()

    subject.check(buy("1"), world, ACTIVE)
    world.now -= HOUR_NS

    assert code(subject.check(buy("2"), world, ACTIVE)) is Code.ORDER_RATE


def test_the_memory_is_bounded() -> None:
    subject, world = gate(duplicate_window=1e9, max_orders_per_minute=10**9), World()

    for at in range(1, 10_200):
        subject.check(buy(D(at) / 1000 + 1), world, ACTIVE)
        world.now += HOUR_NS

    assert len(subject._recent) == 10_000
    assert len(subject._sent) == 1


# --- baskets and amendments -----------------------------------------------------------------------


def test_a_basket_is_approved_whole() -> None:
    legs = [buy("10"), sell("10", PERP)]

    assert gate().check_all(legs, World(), ACTIVE) == (Approved(legs[0]), Approved(legs[1]))
    assert gate().check_all([], World(), ACTIVE) == ()


def test_a_basket_is_refused_whole_and_leaves_no_trace() -> None:
    subject = gate(max_orders_per_minute=2, duplicate_window=9.0)

    found = subject.check_all([buy("1"), buy("0"), buy("2")], World(), ACTIVE)

    assert codes(found) == [Code.BASKET, Code.ZERO_QUANTITY, Code.BASKET]
    assert "Request 2 of 3" in found[0].reason  # type: ignore[union-attr]
    assert codes(subject.check_all([buy("1"), buy("2")], World(), ACTIVE)) == [None, None]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"max_exposure": 0.3}, Code.MAX_EXPOSURE),
        ({"max_asset_exposure": 0.3}, Code.MAX_ASSET_EXPOSURE),
        ({"max_venue_exposure": 0.3}, Code.MAX_VENUE_EXPOSURE),
        ({"max_positions": 1}, None),
        ({"max_orders_per_minute": 1}, Code.ORDER_RATE),
    ],
)
def test_the_legs_of_a_basket_count_each_other(
    limits: dict[str, object], expected: RefusalCode | None
) -> None:
    legs = [buy("20"), buy("20.001")]

    found = gate(**limits).check_all(legs, World(), ACTIVE)

    assert codes(found) == ([None, None] if expected is None else [Code.BASKET, expected])


def test_legs_elsewhere_do_not_count_towards_an_asset_or_venue() -> None:
    legs = [buy("20"), buy("20", ETH), buy("20", OTHER_SPOT)]

    assert codes(gate(max_asset_exposure=0.2).check_all(legs[:2], World(), ACTIVE)) == [None, None]
    assert codes(gate(max_venue_exposure=0.2).check_all(legs[::2], World(), ACTIVE)) == [None, None]


def test_legs_share_positions_funds_and_holdings() -> None:
    two = [buy("20"), buy("20", ETH)]
    sales = [sell("1", reduce_only=True), sell("1", reduce_only=True)]
    plain = [sell("0.6"), sell("0.6")]

    assert codes(gate(max_positions=1).check_all(two, World(), ACTIVE)) == [Code.BASKET, Code.MAX_POSITIONS]
    assert codes(gate().check_all(two, World(cash=D(4000)), ACTIVE)) == [Code.BASKET, Code.INSUFFICIENT_FUNDS]
    assert codes(gate().check_all(sales, holding("1"), ACTIVE)) == [Code.BASKET, Code.NOT_REDUCING]
    assert codes(gate().check_all(plain, holding("1"), ACTIVE)) == [Code.BASKET, Code.SHORT_NOT_ALLOWED]


def test_equal_legs_are_a_mistake() -> None:
    found = gate(duplicate_window=1.0).check_all([buy(), buy()], World(), ACTIVE)

    assert codes(found) == [Code.BASKET, Code.DUPLICATE]


def test_an_amendment_counts_instead_of_what_it_replaces() -> None:
    before = buy("40", type=OrderType.LIMIT, price=D(100))
    world = World(pending=[before], cash=D(1002))
    limits = gate(max_exposure=0.5, max_positions=1)

    smaller = limits.check(msgspec.structs.replace(before, quantity=D(30)), world, ACTIVE, replaces=before)
    larger = limits.check(msgspec.structs.replace(before, quantity=D(50)), world, ACTIVE, replaces=before)
    too_large = limits.check(msgspec.structs.replace(before, quantity=D(51)), world, ACTIVE, replaces=before)

    assert codes((smaller, larger, too_large)) == [None, None, Code.MAX_EXPOSURE]


def test_amending_a_sale_does_not_count_the_old_one_as_for_sale() -> None:
    before = sell("1", type=OrderType.LIMIT, price=D(110))
    world = holding("1", pending=[before])

    assert (
        code(gate().check(msgspec.structs.replace(before, price=D(109)), world, ACTIVE))
        is Code.SHORT_NOT_ALLOWED
    )
    assert (
        code(gate().check(msgspec.structs.replace(before, price=D(109)), world, ACTIVE, replaces=before))
        is None
    )


def test_replacing_an_order_against_the_position_earns_no_credit() -> None:
    before, amended = (sell(quantity, PERP, type=OrderType.LIMIT, price=D(110)) for quantity in ("80", "90"))
    world = holding("45", PERP, pending=[before])

    case = case_of(amended, instrument(PERP), world, LimitsConfig(), replaces=before)

    assert case.replaced is None
    assert case.added == 0
    assert code(gate(max_exposure=0.5).check(amended, world, ACTIVE, replaces=before)) is None


def test_exits_of_different_positions_may_share_a_basket() -> None:
    world = World(positions={("s", SPOT): D(1), ("s", ETH): D(1)})
    exits = [sell(reduce_only=True), sell(name=ETH, reduce_only=True)]

    assert codes(gate().check_all(exits, world, HALTED)) == [None, None]


def test_protective_orders_of_every_purpose_pass_when_all_is_halted() -> None:
    for purpose in Purpose:
        request = sell(reduce_only=True, purpose=purpose)

        assert code(verdict(request, holding("1"), HALTED)) is None, purpose


def test_a_short_is_closed_by_buying() -> None:
    world = holding("-1", PERP)

    assert code(verdict(buy("1", PERP, reduce_only=True), world, HALTED)) is None
    assert code(verdict(sell("1", PERP, reduce_only=True), world, HALTED)) is Code.NOT_REDUCING


# --- room among the venue's open orders -----------------------------------------------------------

STOPPED = Protection(stop=2.0)


def crowded(orders: int = 0, stops: int = 0, **more: Any) -> World:
    """A market that takes so many orders; strategies that hold something there have or await a stop."""
    world = World(**more)
    world.instruments[SPOT] = msgspec.structs.replace(
        world.instruments[SPOT], max_orders=orders, max_stops=stops
    )
    return world


def stop_of(strategy: str) -> OrderRequest:
    return sell("1", strategy=strategy, type=OrderType.STOP, trigger=D(90), reduce_only=True)


def resting(strategy: str, **more: Any) -> OrderRequest:
    return buy("1", strategy=strategy, type=OrderType.LIMIT, price=D(90), **more)


def test_an_entry_whose_stop_would_be_one_too_many_is_refused_and_one_without_a_stop_is_not() -> None:
    world = crowded(
        stops=2,
        positions={("a", SPOT): D(1)},
        pending=[stop_of("a"), buy("1", strategy="b", protection=STOPPED)],
    )

    assert code(verdict(buy("1", protection=STOPPED), world)) is Code.OPEN_ORDERS
    assert code(verdict(buy("1"), world)) is None
    assert code(verdict(buy("1", protection=STOPPED), crowded(stops=3, pending=world.pending))) is None


@pytest.mark.parametrize("wish", [Protection(trailing=1.0), Protection(break_even=1.0)])
def test_a_stop_that_comes_later_counts_from_the_start(wish: Protection) -> None:
    world = crowded(stops=1, positions={("a", SPOT): D(1)})

    assert code(verdict(buy("1", protection=wish), world)) is Code.OPEN_ORDERS
    assert code(verdict(buy("1", protection=Protection(take_profit=1.0)), world)) is None


def test_who_has_a_stop_there_needs_no_second_one() -> None:
    world = crowded(stops=1, positions={("s", SPOT): D(1)}, pending=[stop_of("s")])

    assert code(verdict(buy("1", protection=STOPPED), world)) is None
    assert code(verdict(buy("1", strategy="t", protection=STOPPED), world)) is Code.OPEN_ORDERS


def test_an_entry_with_a_trigger_leaves_its_place_to_its_stop() -> None:
    waiting = buy("1", type=OrderType.STOP, trigger=D(101), protection=STOPPED)

    assert code(verdict(waiting, crowded(stops=1))) is None
    assert code(verdict(waiting, crowded(stops=1, pending=[waiting]))) is Code.OPEN_ORDERS


def test_orders_that_fill_in_part_leave_room_for_the_stop_of_what_has_filled() -> None:
    grid = [resting("g", protection=STOPPED), resting("g", protection=STOPPED)]

    assert code(verdict(resting("g", protection=STOPPED), crowded(orders=4, pending=grid))) is None
    assert (
        code(verdict(resting("g", protection=STOPPED), crowded(orders=3, pending=grid))) is Code.OPEN_ORDERS
    )


def test_what_is_too_many_already_holds_nobody_back_who_adds_none_and_no_exit() -> None:
    held = {("s", SPOT): D(1), ("t", SPOT): D(1)}
    world = crowded(stops=1, positions=held, pending=[stop_of("s")])

    assert code(verdict(buy("1", protection=STOPPED), world)) is None
    assert code(verdict(stop_of("t"), world)) is None


def test_a_change_of_what_stands_takes_no_further_place() -> None:
    before = resting("s")
    after = msgspec.structs.replace(before, price=D(95))

    assert code(verdict(after, crowded(orders=1, pending=[before]))) is Code.OPEN_ORDERS
    assert code(gate().check(after, crowded(orders=1, pending=[before]), ACTIVE, before)) is None


def test_the_requests_of_one_basket_share_the_room_of_their_market() -> None:
    two = [buy("1", strategy=name, protection=STOPPED) for name in ("a", "b")]

    assert codes(gate().check_all(two, crowded(stops=1), ACTIVE)) == [Code.BASKET, Code.OPEN_ORDERS]
    assert codes(gate().check_all(two, crowded(stops=2), ACTIVE)) == [None, None]


def goal_of(strategy: str, name: str = SPOT) -> OrderRequest:
    return sell("1", name, strategy=strategy, type=OrderType.TAKE_PROFIT, trigger=D(110), reduce_only=True)


def test_a_take_profit_is_no_stop_and_on_a_perpetual_takes_a_place_of_its_own() -> None:
    def code_on_perpetual(stops: int, *pending: OrderRequest, at_market: frozenset[str]) -> Code | None:
        world = World(positions={("a", PERP): D(1)}, pending=list(pending))
        world.at_market = at_market
        world.instruments[PERP] = msgspec.structs.replace(world.instruments[PERP], max_stops=stops)
        return code(verdict(buy("1", PERP, protection=STOPPED), world))

    nobody, everybody = frozenset[str](), frozenset({"a", "s"})
    assert code_on_perpetual(2, at_market=nobody) is None
    assert code_on_perpetual(2, goal_of("a", PERP), at_market=nobody) is Code.OPEN_ORDERS
    assert code_on_perpetual(3, goal_of("a", PERP), at_market=nobody) is None
    assert code_on_perpetual(3, goal_of("a", PERP), at_market=everybody) is Code.OPEN_ORDERS
    assert code_on_perpetual(4, at_market=everybody) is None


def test_a_take_profit_that_gives_way_to_its_stop_takes_no_place() -> None:
    world = crowded(stops=2, positions={("a", SPOT): D(1)}, pending=[stop_of("a"), goal_of("a")])
    alone = crowded(stops=1, pending=[goal_of("b")])

    assert code(verdict(buy("1", protection=STOPPED), world)) is None
    assert code(verdict(buy("1", protection=STOPPED), alone)) is Code.OPEN_ORDERS
