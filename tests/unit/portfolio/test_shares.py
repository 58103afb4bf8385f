"""What a venue does to an account's position as a whole is shared out to the last unit."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from abidance.model.account import Position
from abidance.model.event import BalanceChanged, FundingPaid, OrderFilled
from abidance.model.instrument import Instrument
from abidance.model.order import Fill, Purpose, Side
from abidance.portfolio.portfolio import Portfolio
from abidance.portfolio.shares import is_forced, shared_fill, shared_payment

D = Decimal
BTC = Instrument("BTC/USDT:USDT@BYBIT", D("0.01"), D("0.01"), D("0.01"), D(5))
QUANTITIES = st.lists(st.integers(-1000, 1000).filter(bool), min_size=1, max_size=5)


def positions(*quantities: str | int) -> list[Position]:
    return [Position(f"s{number}", BTC.id, D(quantity)) for number, quantity in enumerate(quantities)]


def forced(quantity: str, side: Side = Side.SELL, fee: str = "1", id: str = "7") -> Fill:
    amounts = (D(quantity), D(100), D(fee))
    return Fill(id, "m", BTC.id, "manual", side, *amounts, "USDT", 5, purpose=Purpose.LIQUIDATION)


def test_a_payment_is_borne_by_quantity_and_side() -> None:
    assert shared_payment(D(-3), positions(2, 1)) == {"s0": D(-2), "s1": D(-1)}
    assert shared_payment(D(-1), positions(2, -1)) == {"s0": D(-2), "s1": D(1)}
    assert shared_payment(D(-1), positions(1, -1)) == {}
    assert shared_payment(D(-1), []) == {}


@given(st.decimals(-(10**9), 10**9, places=8), QUANTITIES)
def test_the_shares_of_a_payment_add_up_to_it(amount: Decimal, quantities: list[int]) -> None:
    shares = shared_payment(amount, positions(*quantities))

    assert not shares or sum(shares.values()) == amount
    assert bool(shares) == bool(sum(quantities))


def test_what_the_venue_closes_is_taken_from_the_oldest_that_held_it() -> None:
    parts = shared_fill(forced("3"), positions(2, -4, 5))

    assert [(each.id, each.strategy, each.quantity) for each in parts] == [
        ("7", "s0", D(2)),
        ("7/1", "s2", D(1)),
    ]
    assert sum(each.fee for each in parts) == 1


@given(st.decimals("1e-12", 10**9, places=12), QUANTITIES)
def test_what_the_fee_of_a_fill_stands_for_is_shared_out_to_the_last_unit(
    worth: Decimal, held: list[int]
) -> None:
    fill = replace(forced("7"), fee_asset="BNB", fee_worth=worth)

    parts = shared_fill(fill, positions(*held))

    assert sum(each.fee_worth or 0 for each in parts) == worth
    assert sum(each.fee for each in parts) == fill.fee


def test_what_nobody_holds_stays_with_whom_the_fill_names() -> None:
    parts = shared_fill(forced("3", Side.BUY), positions(2, -1))

    assert [(each.strategy, each.quantity) for each in parts] == [("s1", D(1)), ("manual", D(2))]
    assert [each.strategy for each in shared_fill(forced("3"), [])] == ["manual"]


@given(st.integers(1, 10**6), st.decimals(0, 10**6, places=8), QUANTITIES, st.sampled_from(Side))
def test_the_parts_of_a_fill_add_up_to_it_and_close_no_more_than_was_held(
    quantity: int, fee: Decimal, quantities: list[int], side: Side
) -> None:
    held = {each.strategy: each.quantity for each in positions(*quantities)}
    parts = shared_fill(forced(str(quantity), side, str(fee)), positions(*quantities))

    assert sum(each.quantity for each in parts) == quantity
    assert sum(each.fee for each in parts) == fee
    assert len({each.id for each in parts}) == len(parts)
    for each in parts:
        assert each.quantity > 0
        assert each.strategy == "manual" or abs(held[each.strategy]) >= each.quantity
        assert each.strategy == "manual" or held[each.strategy] * side.sign < 0


def test_only_a_liquidation_that_names_none_of_ours_is_shared() -> None:
    assert is_forced(forced("1"), {"s0": 0})
    assert not is_forced(forced("1"), {"manual": 0})
    assert not is_forced(Fill("1", "m", BTC.id, "manual", Side.BUY, D(1), D(1), D(0), "USDT", 5), {})


def held(*quantities: str) -> Portfolio:
    portfolio = Portfolio({BTC.id: BTC}, "USDT")
    portfolio.apply(BalanceChanged(0, "BYBIT", "USDT", D(1_000), "start"))
    for number, quantity in enumerate(quantities):
        side = Side.BUY if D(quantity) > 0 else Side.SELL
        fill = Fill(
            f"a{number}", "o", BTC.id, f"s{number}", side, abs(D(quantity)), D(100), D(0), "USDT", number
        )
        portfolio.apply(OrderFilled(number, fill))
    return portfolio


def test_funding_of_the_whole_position_is_booked_once_and_shared() -> None:
    portfolio = held("2", "-1")
    paid = FundingPaid(9, BTC.id, "", D("-0.5"), "USDT")

    for _ in range(2):
        portfolio.apply(paid)

    assert portfolio.balance("BYBIT", "USDT") == D("999.5")
    assert [each.funding for each in portfolio.positions_of(BTC.id)] == [D(-1), D("0.5")]
    assert portfolio.profit_of("s0") == pytest.approx(-1)
    assert portfolio.equity() == pytest.approx(999.5)


def test_funding_that_comes_after_the_position_was_closed_goes_to_who_closed_last() -> None:
    portfolio = held("1", "2")
    for number, strategy, quantity in ((5, "s1", "2"), (6, "s0", "1")):
        fill = Fill(f"b{number}", "o", BTC.id, strategy, Side.SELL, D(quantity), D(100), D(0), "USDT", number)
        portfolio.apply(OrderFilled(number, fill))

    portfolio.apply(FundingPaid(9, BTC.id, "", D("-0.5"), "USDT"))

    assert (portfolio.profit_of("s0"), portfolio.profit_of("s1")) == (-0.5, 0.0)
    assert portfolio.round_trips[-1].funding == D("-0.5")


def test_funding_of_what_nobody_ever_held_is_the_runs_own_affair() -> None:
    portfolio = held()

    portfolio.apply(FundingPaid(9, BTC.id, "", D("-0.5"), "USDT"))

    assert portfolio.equity() == portfolio.funds() == 999.5
