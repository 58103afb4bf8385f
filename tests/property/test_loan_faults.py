"""Whatever goes wrong while a person borrows and repays: nothing is asked for twice, and both books agree at last."""

import asyncio
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from abidance.model.instrument import SECOND_NS
from abidance.model.loan import LoanState
from abidance.model.money import ZERO
from abidance.testing.exchange import Fault, Wrong
from abidance.testing.exchange.kucoin import KuCoin
from abidance.testing.exchange.lending import CHARGED_AT, HOUR
from tests.unit.venues.borrower import BYBIT, KUCOIN, MARGIN, Borrower, Place
from tests.unit.venues.trading_world import D

ON_LOANS = (Wrong.LOST, Wrong.FAIL, Wrong.DEAF, Wrong.LATE, Wrong.ERROR, Wrong.PAGE, Wrong.LIMIT)
ON_QUESTIONS = (Wrong.LAG, Wrong.ERROR, Wrong.PAGE, Wrong.LOST, Wrong.DEAF)
SHORT = 150
"""Seconds within which every loan is proven once nothing goes wrong any more."""
UNTIL_BOOKED = 400
"""Seconds within which all interest is booked then, that which no list has, too."""


def wish(borrower: Borrower, random: Random) -> None:
    """Borrow or repay, as risk would let a person."""
    asset = random.choice(["USDT", "BTC"])
    owed = borrower.owed(asset).quantize(D("1e-8"))
    most = D(2_000) if asset == "USDT" else D("0.05")
    match random.randrange(4):
        case 0 if owed:
            borrower.ask(f"-{owed}", asset, is_whole=True)
        case 1 if owed:
            borrower.ask(f"-{max(owed * random.randint(2, 99) / 100, D('1e-6')):.8f}", asset)
        case _:
            borrower.ask(f"{max(owed / 50, most * random.randint(1, 100) / 100):.8f}", asset)


async def live(seed: int, place: Place) -> Borrower:
    """Let a person borrow and repay while things go wrong, then let nothing go wrong any more."""
    random, borrower = Random(seed), await Borrower(place).start()
    world, faults = borrower.world, borrower.world.exchange.faults
    if isinstance(world.exchange.house, KuCoin):  # nothing says whether it lists what comes with a loan
        world.exchange.house.loans.lists_first = random.random() < 0.5
    world.exchange.desk.transfer(world.account, "BTC", D(1), world.exchange.now)
    world.exchange.desk.transfer(world.account, "USDT", D(10_000), world.exchange.now)
    for _ in range(random.randint(3, 8)):
        for where, kinds in (
            (place.ask, ON_LOANS),
            (place.back, ON_LOANS),
            (place.funds, ON_QUESTIONS),
        ):
            if random.random() < 0.4:
                faults.add(
                    Fault(random.choice(kinds), where, random.randint(0, 2), random.randint(1, 3), 8.0)
                )
        if not borrower.open():
            wish(borrower, random)
        if random.random() < 0.2:
            world.is_up = not world.is_up
        if random.random() < 0.2:  # to the moment at which interest is charged
            charged = CHARGED_AT if place is BYBIT else 0
            await world.advance(((charged - world.pulse.wall()) % HOUR) / SECOND_NS - 3, step=20)
        await world.advance(random.choice([0.25, 1.0, 9.0, 40.0, 130.0]))
        if random.random() < 0.3:
            await borrower.restart()
    faults.clear()
    world.is_up = True
    await world.advance(SHORT, step=1)
    await borrower.restart()
    await world.advance(UNTIL_BOOKED, step=5)
    await borrower.stop()
    return borrower


@pytest.mark.parametrize("place", [BYBIT, MARGIN, KUCOIN], ids=lambda place: place.venue)
@given(seed=st.integers(0, 2**32))
@example(seed=0)
@settings(max_examples=8, deadline=None)
def test_in_any_faulty_world_each_loan_is_asked_for_once_and_both_books_agree(
    seed: int, place: Place
) -> None:
    borrower = asyncio.run(live(seed, place))

    account = borrower.world.account
    states = {id: borrower.states(id) for id in borrower.loans}
    done = [loan for id, loan in borrower.loans.items() if states[id][-1] is LoanState.DONE]
    moved = [line for line in account.ledger if line.why in ("loan", "repayment")]
    assert all(found and found[-1].is_closed for found in states.values()), seed
    assert all(sum(each.is_closed for each in found) == 1 for found in states.values()), seed
    assert len(borrower.departed) == len(set(borrower.departed)), seed
    assert len(moved) == len(done), seed
    for line, loan in zip(moved, done, strict=True):
        assert line.asset == loan.asset
        assert loan.is_whole or line.amount == loan.amount, seed
    borrower.agrees()
    assert borrower.gaps() == [], seed
    for asset in ("USDT", "BTC"):
        charged = sum((each.cost for each in account.charges if each.asset == asset), ZERO)
        interest = sum(
            (amount for each, amount in borrower.ledger.accounts().items()
             if each.asset == asset and each.kind == "interest"), ZERO,
        )  # fmt: skip
        assert abs(interest - charged) <= D("1e-6"), seed
