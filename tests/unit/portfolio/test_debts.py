"""Debts in the ledger: asset up, debt up, interest a cost; each change once, and equity is what is left after them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.model.errors import InvariantError
from abidance.model.event import BalanceChanged, DebtChanged
from abidance.model.instrument import Instrument
from abidance.portfolio.ledger import AccountKind, Ledger, debt_ref
from abidance.portfolio.portfolio import Portfolio

D = Decimal
SPOT = Instrument("BTC/USDT@BYBIT", D("0.01"), D("0.00001"), D("0.00001"), D(5))
amounts = st.decimals(-1_000, 1_000, places=9, allow_nan=False)


def changed(owed: str | Decimal, received: str | Decimal, ref: str = "r", asset: str = "USDT") -> DebtChanged:
    return DebtChanged(5, "BYBIT", asset, D(owed), D(received), "borrowed", ref, "")


def portfolio() -> Portfolio:
    held = Portfolio({SPOT.id: SPOT}, "USDT")
    held.apply(BalanceChanged(1, "BYBIT", "USDT", D(1000), "opening"))
    held.mark(SPOT.id, 50_000.0)
    return held


@pytest.mark.parametrize(("asset", "amount"), [("USDT", "400"), ("BTC", "0.1")])
def test_a_loan_makes_nobody_richer_or_poorer(asset: str, amount: str) -> None:
    held = portfolio()

    held.apply(changed(amount, amount, asset=asset))

    assert held.equity() == 1000
    assert held.balance("BYBIT", asset) == D(amount) + (1000 if asset == "USDT" else 0)
    assert held.ledger.debts("BYBIT") == {asset: D(amount)}
    assert held.borrowed() == pytest.approx(400 if asset == "USDT" else 5000)


def test_interest_is_a_cost_whether_it_is_owed_or_taken() -> None:
    held = portfolio()
    held.apply(changed("100", "100"))

    held.apply(changed("0.5", "0", "hour 1"))
    held.apply(changed("0", "-0.25", "hour 2"))

    costs = [each.amount for each in held.ledger.entries() if each.account.kind is AccountKind.INTEREST]
    assert costs == [D("0.5"), D("0.25")]
    assert held.ledger.owed == {("BYBIT", "USDT"): D("100.5")}
    assert held.balance("BYBIT", "USDT") == D("1099.75")
    assert held.equity() == 999.25


def test_what_is_told_twice_is_booked_once() -> None:
    held, event = portfolio(), changed("100", "100")

    held.apply(event)
    held.apply(event)

    assert held.ledger.owed == {("BYBIT", "USDT"): D(100)}
    assert debt_ref(event) in held.ledger


def test_what_is_paid_back_is_no_debt_any_more_and_a_new_one_begins_anew() -> None:
    ledger = Ledger()
    ledger.post_debt(changed("3", "3", "a"))
    ledger.post_debt(changed("-3", "-3", "b"))
    gone = dict(ledger.owed_since)
    ledger.post_debt(DebtChanged(9, "BYBIT", "USDT", D(1), D(1), "borrowed", "c"))

    assert gone == {}
    assert ledger.owed_since == {("BYBIT", "USDT"): 9}


@given(
    changes=st.lists(st.tuples(amounts, amounts, st.sampled_from("abc"), st.sampled_from(["USDT", "BTC"])))
)
def test_every_change_balances_and_rounding_never_favours_us(
    changes: list[tuple[Decimal, Decimal, str, str]],
) -> None:
    ledger, owed, came = Ledger(), dict[str, Decimal](), dict[str, Decimal]()

    for number, (more, received, ref, asset) in enumerate(changes):
        fine = more + D("0.0000000000004")
        known = debt_ref(changed(fine, received, ref, asset)) in ledger
        cost = ledger.post_debt(changed(fine, received, ref, asset))
        assert (cost is None) is known, number
        if not known:
            owed[asset] = owed.get(asset, D(0)) + fine
            came[asset] = came.get(asset, D(0)) + received

    assert not any(ledger.totals().values())
    for asset, amount in owed.items():
        assert D(0) <= ledger.owed.get(("BYBIT", asset), D(0)) - amount <= len(changes) * D("1e-12")
        assert ledger.balance("BYBIT", asset) == came[asset]


@pytest.mark.parametrize("wrong", ["NaN", "Infinity", "1e30"])
def test_what_is_no_amount_of_money_is_never_booked(wrong: str) -> None:
    ledger = Ledger()

    with pytest.raises(InvariantError):
        ledger.post_debt(changed(wrong, "0"))

    assert list(ledger.entries()) == []


def test_a_debt_without_a_price_is_more_than_any_limit() -> None:
    held = Portfolio({SPOT.id: SPOT}, "USDT")

    held.apply(changed("0.1", "0.1", asset="BTC"))

    assert held.borrowed() == float("inf")
