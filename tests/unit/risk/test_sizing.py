from decimal import Decimal

import pytest

from abidance.model.intent import Target
from abidance.model.order import Protection
from abidance.risk.config import SizingConfig
from abidance.risk.sizing import kelly_fraction, size, stop_distance
from tests.unit.risk.world import PERP, SPOT, World, instrument

NAN, INF = float("nan"), float("inf")


def target(strength: float = 1.0, name: str = SPOT, price: float = 100.0, **more: object) -> Target:
    return Target("s", name, strength, price, **more)  # type: ignore[arg-type]


def test_fixed_notional_buys_for_the_amount() -> None:
    config = SizingConfig(method="fixed_notional", amount=1234.56)

    assert size(config, target(), World()) == Decimal("12.345")


def test_fixed_fraction_buys_a_share_of_the_allotted_equity() -> None:
    config = SizingConfig(fraction=0.25)

    assert size(config, target(), World()) == Decimal(25)


def test_risk_per_trade_loses_the_wished_share_at_the_stop() -> None:
    config = SizingConfig(method="risk_per_trade", risk=0.01)

    quantity = size(config, target(protection=Protection(stop=4.0)), World())

    assert quantity * 4 == Decimal(100)


def test_risk_per_trade_takes_the_nearer_of_stop_and_trailing_stop() -> None:
    config = SizingConfig(method="risk_per_trade", risk=0.01)

    assert size(config, target(protection=Protection(stop=4.0, trailing=2.0)), World()) == Decimal(50)
    assert size(config, target(protection=Protection(trailing=5.0)), World()) == Decimal(20)


@pytest.mark.parametrize(
    "protection", [None, Protection(), Protection(stop=NAN), Protection(stop=0.0), Protection(stop=-1)]
)
def test_risk_per_trade_without_a_stop_buys_nothing(protection: Protection | None) -> None:
    config = SizingConfig(method="risk_per_trade")

    assert size(config, target(protection=protection), World()) == 0


def test_a_stop_at_no_distance_is_capped_at_the_full_stake() -> None:
    config = SizingConfig(method="risk_per_trade", max_fraction=0.5)

    assert size(config, target(protection=Protection(stop=5e-324)), World()) == Decimal(50)


def test_volatility_target_buys_less_of_what_is_wilder() -> None:
    config = SizingConfig(method="volatility_target", volatility=0.2)

    assert size(config, target(), World(wildness=0.8)) == Decimal(25)
    assert size(config, target(), World(wildness=0.4)) == Decimal(50)


@pytest.mark.parametrize("wildness", [None, 0.0, NAN])
def test_volatility_target_without_a_volatility_buys_nothing(wildness: float | None) -> None:
    assert size(SizingConfig(method="volatility_target"), target(), World(wildness=wildness)) == 0


def test_kelly_follows_the_edge_of_known_results() -> None:
    config = SizingConfig(method="kelly", kelly_cap=1.0)
    past = [0.02] * 12 + [-0.02] * 8

    assert kelly_fraction(config, past) == pytest.approx(0.6 - 0.4)
    assert size(config, target(), World(past=past)) == Decimal(20)


def test_kelly_is_capped_and_without_an_edge_zero() -> None:
    config = SizingConfig(method="kelly", kelly_cap=0.1)

    assert kelly_fraction(config, [0.05] * 19 + [-0.01]) == 0.1
    assert kelly_fraction(config, [0.05] * 20) == 0.1
    assert kelly_fraction(config, [0.01] * 10 + [-0.02] * 10) == 0
    assert kelly_fraction(config, [-0.01] * 20) == 0
    assert kelly_fraction(config, [0.0] * 20) == 0


def test_kelly_starts_with_a_quarter_of_its_cap_and_forgets_what_is_before_the_lookback() -> None:
    config = SizingConfig(method="kelly", kelly_cap=0.2, lookback=20)

    assert kelly_fraction(config, [0.05] * 19) == 0.05
    assert kelly_fraction(config, [NAN] + [0.05] * 19) == 0.05
    assert kelly_fraction(config, [0.05] * 100 + [-0.05] * 20) == 0
    assert kelly_fraction(SizingConfig(lookback=10, kelly_cap=0.2), [-0.05] * 10) == 0


def test_strength_and_confidence_scale_the_stake_and_the_sign_does_not_matter() -> None:
    config = SizingConfig(fraction=0.2)

    assert size(config, target(0.5), World()) == Decimal(10)
    assert size(config, target(-0.5, confidence=0.5), World()) == Decimal(5)
    assert size(config, target(7.0, confidence=9.0), World()) == Decimal(20)


def test_a_full_stake_leaves_room_for_its_costs() -> None:
    quantity = size(SizingConfig(fraction=1.0), target(), World(costs=0.01))

    assert quantity == Decimal("99.009")
    assert quantity * 100 * Decimal("1.01") <= 10_000


def test_leverage_widens_the_cap_of_perpetuals_only() -> None:
    config = SizingConfig(method="fixed_notional", amount=1e9)
    world = World(leverages=3.0, costs=0.0)

    assert size(config, target(name=PERP), world) == Decimal(300)
    assert size(config, target(name=SPOT), world) == Decimal(100)
    assert size(config.model_copy(update={"max_fraction": 0.5}), target(name=PERP), world) == Decimal(150)


def test_a_foreign_quote_is_converted() -> None:
    assert size(SizingConfig(fraction=0.1), target(price=0.05), World(rate=50_000.0)) == Decimal("0.4")
    assert size(SizingConfig(), target(), World(rate=None)) == 0


def test_the_quantity_is_shortened_to_the_lot() -> None:
    world = World(instruments={SPOT: instrument(SPOT, lot="0.7")})

    assert size(SizingConfig(method="fixed_notional", amount=200), target(), world) == Decimal("1.4")


@pytest.mark.parametrize(
    "wish",
    [
        target(0.0), target(NAN), target(confidence=NAN), target(confidence=-1.0), target(price=0.0), target(price=-1.0),
        target(price=NAN), target(price=INF), target(name="X/Y@Z"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "method", ["fixed_notional", "fixed_fraction", "risk_per_trade", "volatility_target", "kelly"]
)
def test_what_cannot_be_sized_is_zero_and_never_raises(wish: Target, method: str) -> None:
    config = SizingConfig.model_validate({"method": method})

    assert size(config, wish, World(wildness=0.5)) == 0


@pytest.mark.parametrize("money", [0.0, -5.0, NAN, INF])
def test_without_equity_nothing_is_bought(money: float) -> None:
    assert size(SizingConfig(method="fixed_notional"), target(), World(money=money)) == 0


def test_extreme_prices_do_not_raise() -> None:
    assert size(SizingConfig(), target(price=5e-324), World(money=1e-300)) >= 0
    assert size(SizingConfig(), target(price=1e308), World()) == 0


def test_the_distance_of_no_stop_is_none() -> None:
    assert stop_distance(Protection(take_profit=3.0)) is None
