"""Whatever is asked, in whatever state: approved orders keep the limits even if the worst happens, exits pass."""

from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from abidance.model.intent import Target
from abidance.model.order import (
    PRICED,
    TRIGGERED,
    OrderRequest,
    OrderType,
    Protection,
    Purpose,
    Side,
    TimeInForce,
)
from abidance.model.outcome import Approved, RefusalCode, Refused
from abidance.risk.config import LimitsConfig, RiskConfig, SizingConfig
from abidance.risk.gate import Gate
from abidance.risk.limiting import loosened
from abidance.risk.sizing import size
from abidance.risk.state import ACTIVE, Standing, TradingState
from tests.unit.risk.world import ETH, OTHER_SPOT, PERP, SPOT, World

NAMES = (SPOT, OTHER_SPOT, ETH, PERP)
EXPOSURE_CODES = {
    RefusalCode.MAX_EXPOSURE, RefusalCode.MAX_ASSET_EXPOSURE, RefusalCode.MAX_VENUE_EXPOSURE, RefusalCode.MAX_POSITIONS,
    RefusalCode.MAX_LEVERAGE, RefusalCode.MAX_ORDER_VALUE, RefusalCode.INSUFFICIENT_FUNDS, RefusalCode.ORDER_RATE,
    RefusalCode.DUPLICATE, RefusalCode.STALE_DATA, RefusalCode.NO_PRICE, RefusalCode.UNKNOWN_ORDER_OPEN,
    RefusalCode.HALTED, RefusalCode.REDUCING,
}  # fmt: skip

quantities = st.integers(1, 80_000).map(lambda lots: Decimal(lots) / 1000)
shares = st.floats(0.05, 2.0)
limits = st.builds(
    LimitsConfig,
    max_exposure=shares,
    max_asset_exposure=shares,
    max_venue_exposure=shares,
    max_positions=st.integers(1, 5),
    max_leverage=st.floats(1.0, 3.0),
    max_order_value=st.none() | st.floats(100.0, 9_000.0),
    max_orders_per_minute=st.integers(1, 20),
    duplicate_window=st.just(0.0),
)
names = st.sampled_from(NAMES)
strategies = st.sampled_from(("s", "t"))


@st.composite
def entries(draw: st.DrawFn) -> OrderRequest:
    """Draw a well-formed request around the market of 100."""
    kind = draw(st.sampled_from(OrderType))
    prices = st.integers(9_000, 11_000).map(lambda ticks: Decimal(ticks) / 100)
    return OrderRequest(
        draw(strategies),
        draw(names),
        draw(st.sampled_from(Side)),
        draw(quantities),
        kind,
        price=draw(prices) if kind in PRICED else None,
        trigger=draw(prices) if kind in TRIGGERED else None,
        reduce_only=draw(st.booleans()),
    )


@st.composite
def holdings(draw: st.DrawFn) -> dict[tuple[str, str], Decimal]:
    """Draw positions; spot is never short."""
    found = {}
    for place in draw(st.lists(st.tuples(strategies, names), max_size=3, unique=True)):
        quantity = draw(quantities)
        found[place] = -quantity if place[1] == PERP and draw(st.booleans()) else quantity
    return found


# --- the oracle: nothing of it is shared with what it judges ----------------------------------------


@dataclass(frozen=True)
class Gross:
    """Gross values after some fills: in all, of one asset, on one venue; how many are held; the largest."""

    total: float
    asset: float
    venue: float
    count: int
    largest: float


def gross(held: dict[tuple[str, str], Decimal], fill_prices: dict[str, float], about: str) -> Gross:
    values = {place: abs(float(q)) * fill_prices[place[1]] for place, q in held.items() if q}
    base, venue = about.partition("/")[0], about.partition("@")[2]
    return Gross(
        sum(values.values()),
        sum(value for (_, name), value in values.items() if name.startswith(base + "/")),
        sum(value for (_, name), value in values.items() if name.endswith("@" + venue)),
        len(values),
        max((value for (_, name), value in values.items() if name == about), default=0.0),
    )


def after(held: dict[tuple[str, str], Decimal], fills: list[OrderRequest]) -> dict[tuple[str, str], Decimal]:
    """Fill orders in turn; the venue caps what is reduce-only."""
    result = dict(held)
    for order in fills:
        place = (order.strategy, order.instrument)
        now, quantity = result.get(place, Decimal(0)), order.quantity
        if order.reduce_only:
            quantity = (
                min(quantity, abs(now)) if now * (1 if order.side is Side.BUY else -1) < 0 else Decimal(0)
            )
        result[place] = now + (quantity if order.side is Side.BUY else -quantity)
    return result


def worst(held: dict[tuple[str, str], Decimal], orders: list[OrderRequest], about: str) -> Gross:
    """Return the largest of each number over every set of orders that may fill."""
    market = dict.fromkeys(NAMES, 100.0)
    seen = [gross(held, market, about)]
    for mask in product((False, True), repeat=len(orders)):
        fills = [order for order, filled in zip(orders, mask, strict=True) if filled]
        # exits may fill first and leave the entries to open in full
        exits_first = sorted(fills, key=lambda order: not order.reduce_only)
        seen += [gross(after(held, sequence), market, about) for sequence in (fills, exits_first)]
    return Gross(
        *(max(getattr(each, key) for each in seen) for key in ("total", "asset", "venue", "count", "largest"))
    )


def keeps(before: Gross, now: Gross, config: LimitsConfig, equity: float) -> bool:
    """Return whether each limit is kept, or was broken before and is not broken further."""
    slack = 1 + 1e-6
    return (
        now.total <= max(config.max_exposure * equity, before.total) * slack
        and now.asset <= max(config.max_asset_exposure * equity, before.asset) * slack
        and now.venue <= max(config.max_venue_exposure * equity, before.venue) * slack
        and now.count <= max(config.max_positions, before.count)
        and now.largest <= max(config.max_leverage * equity, before.largest) * slack
    )


@given(limits, holdings(), st.lists(entries(), max_size=5), st.floats(100.0, 20_000.0))
def test_no_approved_order_breaks_a_limit_even_if_the_worst_happens(
    config: LimitsConfig, held: dict[tuple[str, str], Decimal], requests: list[OrderRequest], equity: float
) -> None:
    world = World(positions=held, money=equity, cash=Decimal(10**6))
    gate = Gate(RiskConfig(limits=config))

    for request in requests:
        before = worst(held, world.pending, request.instrument)
        if isinstance(gate.check(request, world, ACTIVE), Approved):
            now = worst(held, [*world.pending, request], request.instrument)
            world.pending.append(request)
            assert keeps(before, now, config, equity), (before, now)


@given(limits, holdings(), st.lists(entries(), max_size=4), st.floats(100.0, 20_000.0))
def test_no_approved_basket_breaks_a_limit_and_none_is_approved_in_part(
    config: LimitsConfig, held: dict[tuple[str, str], Decimal], requests: list[OrderRequest], equity: float
) -> None:
    world = World(positions=held, money=equity, cash=Decimal(10**6))

    found = Gate(RiskConfig(limits=config)).check_all(requests, world, ACTIVE)

    approved = [isinstance(each, Approved) for each in found]
    assert all(approved) or not any(approved)
    if approved and all(approved):
        for request in requests:
            now = worst(held, requests, request.instrument)
            assert keeps(worst(held, [], request.instrument), now, config, equity)


@given(limits, holdings(), st.lists(entries(), max_size=6), st.integers(0, 100_000))
def test_approved_purchases_never_exceed_the_money(
    config: LimitsConfig, held: dict[tuple[str, str], Decimal], requests: list[OrderRequest], cents: int
) -> None:
    world = World(positions=held, cash=Decimal(cents) / 10)
    gate = Gate(RiskConfig(limits=config))
    spent = 0.0

    for request in requests:
        if isinstance(gate.check(request, world, ACTIVE), Approved) and request.side is Side.BUY:
            named = [float(price) for price in (request.price, request.trigger) if price is not None]
            if not request.reduce_only and request.instrument != PERP:
                spent += float(request.quantity) * max(100.0, *named, 0.0) * 1.002
                world.cash = Decimal(cents) / 10 - Decimal(spent)
        assert spent <= cents / 10 * (1 + 1e-6)


@given(
    limits,
    st.sampled_from(NAMES),
    quantities,
    st.integers(1, 80_000),
    st.sampled_from([ACTIVE, *(Standing(state, RefusalCode.HALTED) for state in TradingState)]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([{}, {"prices": {}}, {"rate": None}, {"age": 10**18}, {"unknown": frozenset(NAMES)}]),
)
def test_an_exit_is_never_refused_for_exposure_state_or_data(
    config: LimitsConfig,
    name: str,
    held: Decimal,
    lots: int,
    standing: Standing,
    equity: float,
    more: dict[str, Any],
) -> None:
    quantity = min(held, Decimal(lots) / 1000)
    request = OrderRequest("s", name, Side.SELL, quantity, reduce_only=True, purpose=Purpose.FLATTEN)
    world = World(positions={("s", name): held}, money=equity, cash=Decimal(0), **more)

    found = Gate(RiskConfig(limits=config)).check(request, world, standing)

    if isinstance(found, Refused):
        assert found.code not in EXPOSURE_CODES
        assert found.code is RefusalCode.MIN_NOTIONAL
        assert quantity * 100 < 5


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=3),
    st.decimals(), st.just(Decimal("sNaN")), st.just(Decimal("1E+999999")), st.just(Decimal("1E-999999")),
    st.just(10**400), st.lists(st.integers(), max_size=2), st.builds(Protection, stop=st.floats() | st.text(max_size=2)),
    st.sampled_from([*Side, *OrderType, *TimeInForce, *Purpose]),
)  # fmt: skip
fields = st.sampled_from(OrderRequest.__struct_fields__)


@given(
    entries(),
    st.dictionaries(fields, anything, max_size=4),
    holdings(),
    st.sampled_from([0.0, 1e-300, 1e308, 100.0]),
)
def test_the_gate_answers_every_request_and_never_raises(
    request_: OrderRequest, broken: dict[str, Any], held: dict[tuple[str, str], Decimal], price: float
) -> None:
    request = msgspec.structs.replace(request_, **broken)
    world = World(positions=held, prices=dict.fromkeys(NAMES, price))
    gate = Gate(RiskConfig())

    found = gate.check(request, world, ACTIVE)
    basket = gate.check_all([request, request_], world, ACTIVE)

    assert found.request is request
    assert [verdict.request for verdict in basket] == [
        request,
        request_,
    ] or request != request  # NaN is not itself
    assert isinstance(found, Approved) or (found.reason and found.code in RefusalCode)


configs = st.builds(
    SizingConfig,
    method=st.sampled_from(
        ["fixed_notional", "fixed_fraction", "risk_per_trade", "volatility_target", "kelly"]
    ),
    amount=st.floats(1.0, 1e9),
    max_fraction=st.floats(0.01, 5.0),
    risk=st.floats(0.001, 1.0),
)
extremes = st.floats(allow_nan=True, allow_infinity=True)


@given(configs, extremes, extremes, extremes, names, extremes | st.none(), extremes, extremes | st.none())
def test_sizing_never_raises_never_exceeds_its_cap_and_keeps_the_lot(
    config: SizingConfig, strength: float, price: float, confidence: float, name: str, stop: float | None,
    money: float, wildness: float | None,
) -> None:  # fmt: skip
    wish = Target("s", name, strength, price, confidence, Protection(stop=stop))
    world = World(money=money, wildness=wildness, leverages=3.0)

    quantity = size(config, wish, world)

    assert quantity >= 0
    if quantity:
        assert quantity > 10**20 or quantity % Decimal("0.001") == 0
        leverage = 3.0 if name == PERP else 1.0
        assert float(quantity) * price <= config.max_fraction * leverage * money * (1 + 1e-9)


@given(st.integers(1, 10_000_000), st.integers(1, 100), st.floats(0, 0.1))
def test_a_full_stake_can_always_be_paid(cents: int, price: int, costs: float) -> None:
    money = cents / 100
    config = LimitsConfig(max_exposure=1.0, max_asset_exposure=1.0, max_venue_exposure=1.0)
    world = World(money=money, cash=Decimal(cents) / 100, costs=costs, prices={SPOT: float(price)})

    quantity = size(SizingConfig(fraction=1.0), Target("s", SPOT, 1.0, float(price)), world)
    found = Gate(RiskConfig(limits=config)).check(OrderRequest("s", SPOT, Side.BUY, quantity), world, ACTIVE)

    assert isinstance(found, Approved) or found.code in {
        RefusalCode.ZERO_QUANTITY,
        RefusalCode.MIN_NOTIONAL,
        RefusalCode.EXIT_NOT_FEASIBLE,
    }


@given(limits, limits, entries(), st.dictionaries(st.tuples(strategies, names), quantities, max_size=3))
def test_limits_that_are_not_called_looser_let_nothing_through_that_was_refused(
    before: LimitsConfig,
    after: LimitsConfig,
    request: OrderRequest,
    positions: dict[tuple[str, str], Decimal],
) -> None:
    world = World(positions=positions)
    kept = {name: getattr(before, name) for name in loosened(before, after)}
    tighter = after.model_copy(update=kept)
    gate = Gate(RiskConfig(limits=before))

    first = gate.check(request, world, ACTIVE)
    gate.limits = tighter
    second = Gate(RiskConfig(limits=tighter)).check(request, world, ACTIVE)

    assert gate.limits == tighter
    assert not (isinstance(first, Refused) and isinstance(second, Approved))
