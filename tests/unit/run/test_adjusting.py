"""Entries that bring our books in line with an account: they close the gap, and nothing else."""

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.model.event import BalanceChanged, DebtChanged, OrderFilled
from abidance.model.instrument import Instrument
from abidance.model.order import Fill, Side
from abidance.portfolio.portfolio import Portfolio
from abidance.run.adjusting import adjustments
from abidance.run.byhand import exposed
from abidance.venues.trading.books import Gap

D = Decimal
SPOT = Instrument("BTC/USDT@BINANCE", D("0.01"), D("0.00001"), D("0.00001"), D(5))
PERPETUAL = Instrument("BTC/USDT:USDT@BINANCE", D("0.1"), D("0.001"), D("0.001"), D(5), max_leverage=D(10))
INSTRUMENTS = {each.id: each for each in (SPOT, PERPETUAL)}
lots = st.integers(1, 500_000).map(lambda n: n * SPOT.lot)
prices = st.integers(1, 9_000_000).map(lambda n: n * SPOT.tick)


def portfolio(bought: Sequence[tuple[str, Decimal, Decimal]], instrument: Instrument = SPOT) -> Portfolio:
    held = Portfolio(INSTRUMENTS, "USDT", {})
    held.apply(BalanceChanged(1, "BINANCE", "USDT", D(10) ** 9, "opening"))
    for number, (strategy, quantity, price) in enumerate(bought):
        side = Side.BUY if quantity > 0 else Side.SELL
        fill = Fill(
            f"f{number}",
            f"o{number}",
            instrument.id,
            strategy,
            side,
            abs(quantity),
            price,
            D(0),
            "USDT",
            number + 2,
        )
        held.apply(OrderFilled(fill.ts, fill))
    return held


def adjust(held: Portfolio, gaps: Sequence[Gap], price: Decimal | None) -> None:
    positions = held.open_positions()
    for event in adjustments(gaps, positions, INSTRUMENTS, lambda _: price, "adjustment 7", 99):
        assert isinstance(event, OrderFilled | BalanceChanged | DebtChanged)
        held.apply(event)


@given(
    bought=st.lists(st.tuples(st.sampled_from(["a", "b"]), lots, prices), max_size=5),
    kept=st.floats(0, 1),
    price=st.none() | prices,
)
def test_our_books_hold_what_the_account_holds_and_no_other_amount_moved(
    bought: list[tuple[str, Decimal, Decimal]], kept: float, price: Decimal | None
) -> None:
    held = portfolio(bought)
    ours, cash = held.balance("BINANCE", "BTC"), held.balance("BINANCE", "USDT")
    there = (ours * D(kept)).quantize(D("1e-12"))

    adjust(held, [Gap("BTC", there, ours)] if there < ours else [], price)

    assert held.balance("BINANCE", "BTC") == there
    assert held.balance("BINANCE", "USDT") == cash
    assert sum((each.quantity for each in held.open_positions()), D(0)) <= there
    assert not any(held.ledger.totals().values())


@given(quantity=lots, price=prices, later=prices)
def test_a_strategy_is_held_to_what_its_coins_were_worth_and_the_run_bears_the_loss(
    quantity: Decimal, price: Decimal, later: Decimal
) -> None:
    held = portfolio([("a", quantity, price)])
    held.mark(SPOT.id, float(later))
    earned, funds = held.profit_of("a"), held.funds()

    adjust(held, [Gap("BTC", D(0), quantity)], later)

    value = float(quantity * later)
    assert abs(held.profit_of("a") - earned) <= 1e-6 * max(1.0, value)
    assert abs(held.funds() - (funds - value)) <= 1e-6 * max(1.0, value, funds)


def test_what_was_bought_last_goes_first() -> None:
    held = portfolio([("old", D(1), D(100)), ("other", D(1), D(100)), ("new", D(1), D(100))])

    adjust(held, [Gap("BTC", D("1.5"), D(3))], D(100))

    left = {each.strategy: each.quantity for each in held.open_positions()}
    assert left == {"old": D(1), "other": D("0.5")}


def test_money_that_is_gone_is_money_from_outside_that_went() -> None:
    held = portfolio([])

    adjust(held, [Gap("USDT", D(400), D(10) ** 9)], None)

    assert held.balance("BINANCE", "USDT") == 400
    assert [each.ref for each in held.ledger.entries()][-1].endswith("adjustment 7")


@given(owed=st.integers(0, 900), there=st.integers(0, 900), gone=st.integers(0, 900))
def test_a_debt_becomes_that_of_the_venue_and_the_wallet_too(owed: int, there: int, gone: int) -> None:
    held = portfolio([])
    held.apply(DebtChanged(2, "BINANCE", "USDT", D(owed), D(owed), "borrowed", "l", "l"))
    cash, equity = held.balance("BINANCE", "USDT"), held.equity()
    gaps = [Gap("USDT", D(there), D(owed), is_debt=True)] if there != owed else []
    gaps += [Gap("USDT", cash - gone, cash)] if gone else []

    adjust(held, gaps, None)

    assert held.ledger.debts("BINANCE") == ({"USDT": D(there)} if there else {})
    if gone >= owed - there:  # what went to repay is part of what is gone
        assert held.balance("BINANCE", "USDT") == (cash - gone if gone else cash + there - owed)
        assert held.equity() == pytest.approx(equity - gone + (owed - there if gone else 0))
    assert not any(held.ledger.totals().values())


@given(ours=st.integers(-50, 50), there=st.integers(-50, 50))
def test_a_position_becomes_that_of_the_venue(ours: int, there: int) -> None:
    bought = [("a", ours * PERPETUAL.lot, D(100))] if ours else []
    held = portfolio(bought, PERPETUAL)
    gap = Gap(PERPETUAL.id, there * PERPETUAL.lot, ours * PERPETUAL.lot, is_position=True)

    adjust(held, [gap] if ours != there else [], D(90))

    assert exposed(held, INSTRUMENTS).get(PERPETUAL.id, D(0)) == there * PERPETUAL.lot
    assert bool(held.owner.positions()) is (not ours and there != 0)  # nobody here opened it
