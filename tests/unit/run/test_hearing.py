"""What accounts tell is made ready for the record."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from abidance.execution.cost import Costs
from abidance.model.event import OrderFilled, OrderRejected
from abidance.model.order import Fill, Side
from abidance.run.config import RunConfig
from abidance.run.hearing import as_recorded, status_of
from abidance.run.setup import costs_of
from abidance.venues.account import Rates
from abidance.venues.sim.config import FeeTier, VenueConfig
from tests.unit.venues.trading_world import World

SPOT, CONTRACT = "BTC/USDT@BINANCE", "BTC/USDT:USDT@BINANCE"
FILL = Fill(
    "1", "o", SPOT, "trend", Side.BUY, Decimal("0.5"), Decimal(60_000), Decimal("0.0375"), "BNB", 7
)  # fmt: skip


def costs(*tiers: tuple[float, float], id: str = SPOT) -> Mapping[str, Costs]:
    fees = tuple(FeeTier(volume=n, maker=maker, taker=taker) for n, (maker, taker) in enumerate(tiers))
    return {id: costs_of(VenueConfig(fees=fees))}


def worth(fill: Fill, known: Mapping[str, Costs]) -> object:
    event = as_recorded(OrderFilled(9, fill), known)
    assert isinstance(event, OrderFilled)
    assert (event.ts, replace(event.fill, fee_worth=UNSET)) == (9, fill)
    return event.fill.fee_worth


@pytest.mark.parametrize(
    ("tiers", "expected"),
    [
        ([(0.001, 0.001)], "30"),
        ([(0.0, 0.0005)], "15"),
        ([(0.002, 0.001)], "60"),
        ([(0.001, 0.0015), (0.0002, 0.0004)], "45"),
    ],
)
def test_a_fee_in_a_third_coin_stands_for_the_largest_fee_that_is_configured(
    tiers: list[tuple[float, float]], expected: str
) -> None:
    assert worth(FILL, costs(*tiers)) == Decimal(expected)


@pytest.mark.parametrize("is_maker", [True, False])
def test_it_stands_for_as_much_whoever_waited(is_maker: bool) -> None:
    assert worth(replace(FILL, is_maker=is_maker), costs((0.0002, 0.001))) == 30


@pytest.mark.parametrize(
    "change", [{"fee_asset": "USDT"}, {"fee_asset": "BTC"}, {"fee": Decimal(0)}, {"fee": Decimal(-1)}]
)
def test_a_fee_in_what_is_traded_and_what_is_no_cost_stand_for_nothing_else(
    change: dict[str, object],
) -> None:
    assert worth(replace(FILL, **change), costs((0.001, 0.001))) is UNSET


def test_where_no_fee_is_configured_nothing_is_known() -> None:
    assert worth(FILL, costs((0.0, 0.0))) is UNSET
    assert worth(FILL, costs((0.001, 0.001), id=CONTRACT)) is UNSET


@pytest.mark.parametrize("broken", ["NaN", "Infinity", "-1", "0"])
@pytest.mark.parametrize("name", ["quantity", "price", "fee"])
def test_what_cannot_be_is_left_to_whoever_refuses_it(name: str, broken: str) -> None:
    fill = replace(FILL, **{name: Decimal(broken)})

    event = as_recorded(OrderFilled(9, fill), costs((0.001, 0.001)))

    assert isinstance(event, OrderFilled)
    assert event.fill.fee_worth is UNSET


amounts = st.decimals("1e-8", "1e9", places=8)


@given(amounts, amounts, st.sampled_from([0.0001, 0.001, 0.0026]))
def test_it_is_never_less_than_the_share_of_the_value_and_more_by_no_unit(
    quantity: Decimal, price: Decimal, rate: float
) -> None:
    found = worth(replace(FILL, quantity=quantity, price=price), costs((rate, rate)))

    assert isinstance(found, Decimal)
    above = Fraction(found) - Fraction(quantity) * Fraction(price) * Fraction(repr(rate))
    assert 0 <= above < Fraction("1e-12")


def test_the_fees_of_a_run_are_those_of_its_venue() -> None:
    config = RunConfig(venue=VenueConfig(fees=(FeeTier(volume=0, maker=0.001, taker=0.002),)))

    assert worth(FILL, {SPOT: costs_of(config.venue_of("BINANCE"))}) == 60


@pytest.mark.parametrize(
    ("known", "paid", "expected"),
    [
        ((0.001, 0.001), ("0.001", "0.003"), "90"),
        ((0.001, 0.001), ("0.002", "0.0005"), "60"),
        ((0.001, 0.001), ("-0.0001", "0.0004"), "30"),
        ((0.0, 0.0), ("0.001", "0.001"), "30"),
    ],
)
def test_who_pays_more_than_is_configured_has_his_fees_count_for_what_he_pays(
    known: tuple[float, float], paid: tuple[str, str], expected: str
) -> None:
    rates = {SPOT: Rates(*map(Decimal, paid))}

    event = as_recorded(OrderFilled(9, FILL), costs(known), rates)
    unconfigured = as_recorded(OrderFilled(9, FILL), {}, rates)

    assert isinstance(event, OrderFilled)
    assert isinstance(unconfigured, OrderFilled)
    assert event.fill.fee_worth == Decimal(expected)
    assert unconfigured.fill.fee_worth == 30_000 * max(map(Decimal, paid))


def test_other_events_are_as_they_were() -> None:
    event = OrderRejected(1, "o", "too small")

    assert as_recorded(event, {}) is event


async def test_a_venue_is_away_if_none_of_its_accounts_that_hold_blind_stops_is_answered() -> None:
    away, answered, idle = (World(venue="KUCOIN").gateway for _ in range(3))
    away.sight.blind, away.sight.is_away = ("a",), True
    answered.sight.blind = ("b",)

    both = status_of("KUCOIN", (away, answered, idle))
    alone = status_of("KUCOIN", (away, idle))

    assert (both.blind, both.is_away) == (("a", "b"), False)
    assert (alone.blind, alone.is_away) == (("a",), True)
    assert not status_of("KUCOIN", (idle,)).is_away
