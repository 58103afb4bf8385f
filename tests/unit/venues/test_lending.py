"""Loans of an account at the local exchange: asked for once, proven by what is owed, interest booked hour by hour."""

from collections.abc import AsyncIterator, Sequence
from decimal import Decimal

import pytest

from abidance.model.event import BalanceChanged, DebtChanged, LoanTold, OrderRejected
from abidance.model.instrument import SECOND_NS
from abidance.model.loan import Loan, LoanState
from abidance.model.order import Side
from abidance.testing.exchange import Fault, Wrong, lending
from abidance.testing.exchange.accounts import Charge
from abidance.testing.exchange.lending import CHARGED_AT, HOUR, RATE
from abidance.venues.account import Call, Funds
from abidance.venues.net.transport import Answer
from abidance.venues.trading.lending import FAILED, LOAN
from tests.unit.venues.borrower import ASK, BACK, BYBIT, FUNDS, Borrower
from tests.unit.venues.trading_world import D


@pytest.fixture
async def borrower() -> AsyncIterator[Borrower]:
    made = await Borrower().start()
    yield made
    await made.stop()


async def test_a_loan_is_asked_for_once_and_booked_as_asset_and_debt(borrower: Borrower) -> None:
    id = borrower.ask("250.5")

    await borrower.world.advance(1)

    assert borrower.states(id) == [LoanState.DONE]
    assert borrower.lent() == [D("250.5")]
    assert (borrower.wallet("USDT"), borrower.owed("USDT")) == (D("250.5"), D("250.5"))
    assert borrower.departed == [id]
    assert borrower.gaps() == []
    borrower.agrees()


async def test_what_is_repaid_is_no_longer_owed(borrower: Borrower) -> None:
    borrower.ask("100")
    await borrower.world.advance(1)

    part = borrower.ask("-40")
    await borrower.world.advance(1)
    rest = borrower.ask("-60", is_whole=True)
    await borrower.world.advance(1)

    assert borrower.states(part) == borrower.states(rest) == [LoanState.DONE]
    assert borrower.lent("repayment") == [D(-40), D(-60)]
    assert borrower.ledger.debts(BYBIT.venue) == {}
    borrower.agrees()


@pytest.mark.parametrize("wrong", [Wrong.LOST, Wrong.FAIL])
@pytest.mark.parametrize("amount", ["100", "-50"])
async def test_a_loan_whose_answer_was_lost_is_proven_by_what_is_owed_and_never_asked_for_again(
    borrower: Borrower, wrong: Wrong, amount: str
) -> None:
    if amount.startswith("-"):
        borrower.ask("90")
        await borrower.world.advance(1)
    borrower.world.exchange.faults.add(Fault(wrong, BACK if amount.startswith("-") else ASK))

    id = borrower.ask(amount)
    await borrower.world.advance(30)

    assert borrower.world.exchange.faults.unhit() == []
    assert borrower.states(id) == [LoanState.UNKNOWN, LoanState.DONE]
    assert borrower.lent("loan" if D(amount) > 0 else "repayment") == [D(amount)]
    assert borrower.doubts == {}
    borrower.agrees()


async def test_a_loan_that_never_arrived_comes_to_nothing_only_by_proof(borrower: Borrower) -> None:
    borrower.world.exchange.faults.add(Fault(Wrong.DEAF, ASK))

    id = borrower.ask("100")
    await borrower.world.advance(15)
    early, doubted = borrower.states(id), borrower.doubts[LOAN]
    await borrower.world.advance(15)

    assert early == [LoanState.UNKNOWN]
    assert "borrowing 100 USDT" in doubted
    assert borrower.states(id) == [LoanState.UNKNOWN, LoanState.REFUSED]
    assert borrower.lent() == []
    assert borrower.doubts == {}


async def test_copies_that_lag_are_no_proof_that_a_loan_was_not_done(borrower: Borrower) -> None:
    faults = borrower.world.exchange.faults
    faults.add(Fault(Wrong.LOST, ASK))
    faults.add(Fault(Wrong.LAG, FUNDS, after=1, times=8, seconds=10))

    id = borrower.ask("100")
    await borrower.world.advance(40)

    assert faults.unhit() == []
    assert borrower.states(id) == [LoanState.UNKNOWN, LoanState.DONE]
    assert borrower.lent() == [D(100)]
    borrower.agrees()


async def test_nothing_leaves_before_its_record_is_on_the_disk(borrower: Borrower) -> None:
    borrower.disk.answers.clear()

    id = borrower.ask("100")
    await borrower.world.advance(3)
    early = (borrower.lent(), list(borrower.departed), list(borrower.disk.waited))
    borrower.disk.answers.set()
    await borrower.world.advance(1)

    assert early == ([], [], [7])
    assert borrower.states(id) == [LoanState.DONE]


async def test_nothing_leaves_that_cannot_be_recorded(borrower: Borrower) -> None:
    borrower.disk.is_dead = True

    id = borrower.ask("100")
    await borrower.world.advance(3)

    assert borrower.states(id) == [LoanState.REFUSED]
    assert (borrower.lent(), borrower.departed) == ([], [])


async def test_a_loan_that_may_not_leave_is_refused_and_nothing_is_asked(borrower: Borrower) -> None:
    borrower.bars = "the account may be another one's"

    id = borrower.ask("100")
    await borrower.world.advance(1)

    assert borrower.states(id) == [LoanState.REFUSED]
    assert borrower.lent() == []


async def test_no_connection_is_a_refusal_at_once(borrower: Borrower) -> None:
    borrower.world.is_up = False

    id = borrower.ask("100")
    await borrower.world.advance(1)

    assert borrower.states(id) == [LoanState.REFUSED]
    assert borrower.departed == []


async def test_what_the_venue_declines_is_refused_with_its_words(borrower: Borrower) -> None:
    id = borrower.ask("500000")
    await borrower.world.advance(1)

    (told,) = [each for each in borrower.events if isinstance(each, LoanTold)]
    assert (told.loan_id, told.state) == (id, LoanState.REFUSED)
    assert "176029" in told.reason
    assert borrower.ledger.debts(BYBIT.venue) == {}


async def test_nothing_leaves_while_the_venue_says_another_debt_than_our_books(borrower: Borrower) -> None:
    borrower.world.account.debts["USDT"] = D(7)  # somebody borrowed by hand

    id = borrower.ask("100")
    await borrower.world.advance(1)

    assert borrower.states(id) == [LoanState.REFUSED]
    assert borrower.departed == []
    assert borrower.gaps() == ["USDT owed: the venue says 7, our books 0."]


async def test_coins_of_strategies_are_not_repaid_with(borrower: Borrower) -> None:
    borrower.ask("0.5", "BTC")
    await borrower.world.advance(1)
    borrower.coins = D("0.2")

    id = borrower.ask("-0.4", "BTC")
    await borrower.world.advance(1)

    assert borrower.state(id) is LoanState.REFUSED
    assert borrower.lent("repayment") == []


async def test_a_process_that_dies_after_a_loan_left_finds_it_and_asks_for_nothing_again(
    borrower: Borrower,
) -> None:
    borrower.world.exchange.faults.add(Fault(Wrong.LATE, ASK, seconds=5))
    id = borrower.ask("100")
    await borrower.world.advance(1)
    assert borrower.departed == [id]

    await borrower.restart()
    await borrower.world.advance(30)

    assert borrower.states(id) == [LoanState.UNKNOWN, LoanState.DONE]
    assert borrower.lent() == [D(100)]
    borrower.agrees()


async def test_a_process_that_dies_before_a_loan_left_asks_for_nothing(borrower: Borrower) -> None:
    id = "f" * 32
    borrower.loans[id] = Loan(id, BYBIT.venue, "USDT", D(100), 0)

    await borrower.restart()
    await borrower.world.advance(30)

    assert borrower.states(id) == [LoanState.REFUSED]
    assert borrower.lent() == []


async def until_charged(borrower: Borrower, hours: int = 1) -> None:
    """Let time pass until interest of so many hours was charged and is old enough to be booked."""
    world = borrower.world
    for _ in range(hours):
        left = (CHARGED_AT - world.pulse.wall()) % HOUR
        await world.advance(left / SECOND_NS + 185, step=30)


async def test_interest_is_booked_once_as_a_cost_and_the_debt_is_the_venues_to_the_last_digit(
    borrower: Borrower,
) -> None:
    borrower.ask("1234.5678")
    await borrower.world.advance(1)

    await until_charged(borrower, hours=3)
    before = list(borrower.events)
    await borrower.restart()
    await borrower.world.advance(120, step=30)

    booked = [each for each in borrower.events if isinstance(each, DebtChanged) and each.reason == "interest"]
    assert len(booked) == 3
    assert borrower.events == before
    assert borrower.wallet("USDT") == D("1234.5678")
    assert D("1234.5678") * RATE * 3 <= borrower.owed("USDT") - D("1234.5678") <= D("0.0371")
    assert borrower.gaps() == []
    borrower.agrees()


async def test_everything_is_repaid_with_its_interest_and_what_is_missing_is_the_accounts(
    borrower: Borrower,
) -> None:
    borrower.world.exchange.desk.transfer(borrower.world.account, "BTC", D(1), borrower.world.exchange.now)
    borrower.ask("0.5", "BTC")
    await borrower.world.advance(1)
    await until_charged(borrower)

    id = borrower.ask(f"-{borrower.owed('BTC')}", "BTC", is_whole=True)
    await borrower.world.advance(1)

    (extra,) = [each for each in borrower.events if isinstance(each, BalanceChanged)]
    assert borrower.state(id) is LoanState.DONE
    assert D(0) < extra.amount < D("0.00001")
    assert borrower.wallet("BTC") == 0
    assert borrower.world.account.debts == {}
    borrower.agrees()


async def test_while_the_venue_reckons_interest_a_repayment_ends_without_harm(borrower: Borrower) -> None:
    borrower.ask("100")
    await borrower.world.advance(1)
    left = (CHARGED_AT - borrower.world.pulse.wall()) % HOUR
    await borrower.world.advance(left / SECOND_NS - 30, step=5)

    id = borrower.ask("-100", is_whole=True)
    await borrower.world.advance(40)

    assert borrower.states(id) == [LoanState.UNKNOWN, LoanState.REFUSED]
    assert borrower.world.account.debts.keys() == {"USDT"}
    assert borrower.gaps() == []


async def test_an_order_never_borrows_what_is_not_there(borrower: Borrower) -> None:
    world = await borrower.world.start()

    dear = world.submit(Side.BUY, "500")
    coins = world.submit(Side.SELL, "0.5")
    await world.advance(2)
    await world.stop()

    reasons = [event.reason for event in world.events if isinstance(event, OrderRejected)]
    assert world.told(dear) == world.told(coins) == ["OrderRejected"]
    assert all("Insufficient balance" in each for each in reasons)
    assert world.account.debts == {}


async def test_a_debt_that_somebody_else_changed_meanwhile_is_left_to_a_person(borrower: Borrower) -> None:
    account = borrower.world.account
    borrower.world.exchange.faults.add(Fault(Wrong.DEAF, ASK))

    id = borrower.ask("100")
    await borrower.world.advance(1)
    account.debts["USDT"] = D(33)
    before = borrower.gaps()
    await borrower.world.advance(300, step=1)

    assert before == []  # what is under way is compared afterwards
    assert borrower.states(id) == [LoanState.UNKNOWN, LoanState.UNKNOWN]
    assert "changed by 33" in borrower.doubts[LOAN]
    assert borrower.gaps() == ["USDT owed: the venue says 33, our books 0."]


async def test_a_loan_that_cannot_be_told_ends_once_a_person_has_accepted_what_is_owed(
    borrower: Borrower,
) -> None:
    borrower.world.exchange.faults.add(Fault(Wrong.DEAF, ASK))
    id = borrower.ask("100")
    await borrower.world.advance(1)
    borrower.world.account.debts["USDT"] = D(33)
    await borrower.world.advance(60, step=1)

    borrower.hear(
        DebtChanged(borrower.world.pulse.wall(), BYBIT.venue, "USDT", D(33), D(33), "accepted", "a 1")
    )
    await borrower.world.advance(150, step=1)

    assert borrower.states(id) == [LoanState.UNKNOWN, LoanState.UNKNOWN, LoanState.REFUSED]
    assert borrower.doubts == {}
    assert borrower.gaps() == []


async def test_interest_that_is_taken_from_the_wallet_is_booked_there(borrower: Borrower) -> None:
    world, account = borrower.world, borrower.world.account
    borrower.ask("1000")
    await world.advance(1)
    account.charges.append(Charge(world.exchange.now + SECOND_NS, "USDT", D("0.01"), D(1000), RATE))
    world.exchange.desk.transfer(account, "USDT", D("-0.01"), world.exchange.now, "interest")

    await world.advance(150, step=5)

    assert borrower.owed("USDT") == 1000
    assert borrower.wallet("USDT") == D("999.99")
    assert borrower.gaps() == []


async def test_interest_of_an_hour_before_anything_was_owed_is_nobodys(borrower: Borrower) -> None:
    world, account = borrower.world, borrower.world.account
    account.charges.append(Charge(world.exchange.now - 60 * SECOND_NS, "USDT", D(5), D(1), RATE))
    borrower.ask("1000")

    await world.advance(150, step=5)

    assert borrower.owed("USDT") == borrower.wallet("USDT") == 1000


async def test_interest_that_is_charged_while_a_loan_is_under_way_is_booked_by_its_hour_alone(
    borrower: Borrower,
) -> None:
    borrower.ask("10000")
    await borrower.world.advance(1)
    left = (CHARGED_AT - borrower.world.pulse.wall()) % HOUR
    await borrower.world.advance(left / SECOND_NS - 2, step=1)
    borrower.world.exchange.faults.add(Fault(Wrong.LOST, ASK))
    borrower.world.exchange.faults.add(Fault(Wrong.ERROR, FUNDS, after=1, times=4))

    id = borrower.ask("500")
    await borrower.world.advance(5)
    early = borrower.ask("100")
    await borrower.world.advance(150, step=5)

    costs = [each.owed - each.received for each in borrower.events if isinstance(each, DebtChanged)]
    assert borrower.states(id) == [LoanState.UNKNOWN, LoanState.DONE]
    assert borrower.states(early) == [LoanState.REFUSED]  # its interest was not listed yet
    assert [each for each in costs if each] == [D("0.105")]
    borrower.agrees()


def dear(monkeypatch: pytest.MonkeyPatch, rate: str) -> None:
    """Let an hour cost so much."""
    monkeypatch.setattr(lending, "RATE", D(rate))


@pytest.mark.parametrize("had", ["", "1000"])
async def test_a_loan_that_was_done_is_found_after_a_pause_in_which_interest_grew(
    borrower: Borrower, monkeypatch: pytest.MonkeyPatch, had: str
) -> None:
    dear(monkeypatch, "0.0005")
    if had:
        borrower.ask(had)
        await borrower.world.advance(1)
    borrower.world.exchange.faults.add(Fault(Wrong.LATE, ASK, seconds=5))
    id = borrower.ask("100")
    await borrower.world.advance(1)
    await borrower.stop()

    await until_charged(borrower, hours=5)
    await borrower.restart()
    await borrower.world.advance(150, step=1)

    assert borrower.states(id) == [LoanState.UNKNOWN, LoanState.DONE]
    assert borrower.doubts == {}
    borrower.agrees()


async def test_a_loan_that_never_left_comes_to_nothing_after_a_pause_in_which_interest_grew(
    borrower: Borrower, monkeypatch: pytest.MonkeyPatch
) -> None:
    dear(monkeypatch, "0.0005")
    borrower.ask("1000")
    await borrower.world.advance(1)
    borrower.world.exchange.faults.add(Fault(Wrong.DEAF, BACK))
    id = borrower.ask("-400")
    await borrower.world.advance(1)
    await borrower.stop()

    await until_charged(borrower, hours=5)
    await borrower.restart()
    await borrower.world.advance(150, step=1)

    assert borrower.states(id) == [LoanState.UNKNOWN, LoanState.UNKNOWN, LoanState.REFUSED]  # by each process
    assert borrower.doubts == {}
    borrower.agrees()


async def test_interest_as_large_as_a_loan_is_not_taken_for_it(
    borrower: Borrower, monkeypatch: pytest.MonkeyPatch
) -> None:
    dear(monkeypatch, "0.005")
    borrower.ask("1000")
    await borrower.world.advance(1)
    borrower.world.exchange.faults.add(Fault(Wrong.DEAF, ASK))
    id = borrower.ask("20.15")
    await borrower.world.advance(1)
    await borrower.stop()

    await until_charged(borrower, hours=4)
    await borrower.restart()
    await borrower.world.advance(120, step=1)

    assert borrower.lent() == [D(1000)]
    assert set(borrower.states(id)) == {LoanState.UNKNOWN}
    assert LOAN in borrower.doubts


async def test_what_is_owed_of_another_asset_bears_interest_while_a_loan_cannot_be_told(
    borrower: Borrower,
) -> None:
    borrower.ask("0.5", "BTC")
    await borrower.world.advance(1)
    borrower.world.exchange.faults.add(Fault(Wrong.DEAF, ASK))
    borrower.ask("100")
    await borrower.world.advance(1)
    borrower.world.account.debts["USDT"] = D(33)

    await until_charged(borrower, hours=2)

    assert borrower.owed("BTC") == borrower.world.account.debts["BTC"] > D("0.5")


async def test_interest_of_months_is_asked_for_in_as_many_questions_as_the_venue_needs(
    borrower: Borrower, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, account, asked = borrower.world, borrower.world.account, []
    borrower.ask("1000")
    await world.advance(1)
    lender, began = borrower.lending._lender, world.pulse.wall()
    interest = lender.interest
    account.charges.append(Charge(began + SECOND_NS, "USDT", D("0.5"), D(1000), RATE))
    account.debts["USDT"] += D("0.5")
    await borrower.stop()
    await world.advance(90)
    borrower.lending._since = began - 70 * 24 * HOUR

    def noted(_: object, since: int) -> Call:
        asked.append(since)
        return interest(since)

    monkeypatch.setattr(type(lender), "interest", noted)

    await borrower.lending.ask_interest()

    assert [round((began - since) / HOUR / 24) for since in asked] == [70, 41, 12]
    assert borrower.owed("USDT") == account.debts["USDT"]


async def test_one_answer_without_a_debt_is_no_proof_that_it_was_repaid(borrower: Borrower) -> None:
    borrower.ask("100")
    await borrower.world.advance(1)
    borrower.world.exchange.faults.add(Fault(Wrong.DEAF, BACK))
    dialect = borrower.world.gateway.dialect
    reads, left_out = dialect.read_funds, iter([False, True])

    def reads_partly(answer: Answer) -> Sequence[Funds]:
        return [] if next(left_out, False) else reads(answer)

    dialect.read_funds = reads_partly  # type: ignore[method-assign]
    id = borrower.ask("-100", is_whole=True)
    await borrower.world.advance(60, step=1)

    assert next(left_out, None) is None
    assert borrower.states(id) == [LoanState.UNKNOWN, LoanState.REFUSED]
    borrower.agrees()


async def test_a_loan_bears_the_moment_at_which_it_was_asked_for_and_the_interest_of_each_hour_since(
    borrower: Borrower,
) -> None:
    """Its outcome is known only after an hour has ended: what that hour cost is booked nevertheless."""
    world = borrower.world
    left = (CHARGED_AT - world.pulse.wall()) % HOUR
    await world.advance(left / SECOND_NS - 3, step=1)
    world.exchange.faults.add(Fault(Wrong.LOST, ASK))
    world.exchange.faults.add(Fault(Wrong.ERROR, FUNDS, after=1, times=5))
    asked_at = world.pulse.wall()

    id = borrower.ask("1000")
    await world.advance(240, step=1)

    (done,) = [each for each in borrower.events if isinstance(each, DebtChanged) and each.loan_id == id]
    (cost,) = [
        each for each in borrower.events if isinstance(each, DebtChanged) and each.reason == "interest"
    ]
    (charge,) = world.account.charges
    assert done.ts == borrower.ledger.owed_since[BYBIT.venue, "USDT"] == asked_at < charge.ts == cost.ts
    borrower.agrees()


async def test_whatever_fails_within_the_program_is_a_doubt_and_interest_is_booked_once_it_does_not(
    borrower: Borrower, monkeypatch: pytest.MonkeyPatch
) -> None:
    borrower.ask("1000")
    await borrower.world.advance(1)

    def fails(*_: object) -> Decimal:
        raise ZeroDivisionError("so that it fails")

    with monkeypatch.context() as patched:
        patched.setattr(type(borrower.lending._lender), "read_interest", fails)
        await until_charged(borrower)
        during = dict(borrower.doubts)
    await borrower.world.advance(65, step=5)

    assert "ZeroDivisionError: so that it fails" in during[FAILED]
    assert borrower.doubts == {}
    borrower.agrees()


async def test_a_loan_over_whose_answer_the_program_fails_is_proven_and_never_asked_for_again(
    borrower: Borrower, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> Decimal:
        raise ZeroDivisionError("so that it fails")

    with monkeypatch.context() as patched:
        patched.setattr(type(borrower.lending._lender), "proof", fails)
        id = borrower.ask("100")
        await borrower.world.advance(1)
        during = borrower.states(id), LOAN in borrower.doubts
    await borrower.world.advance(65, step=5)

    assert during == ([LoanState.UNKNOWN], True)
    assert borrower.states(id) == [LoanState.UNKNOWN, LoanState.DONE]
    assert borrower.lent() == [D(100)]
    assert borrower.doubts == {}


async def test_a_loan_over_which_the_program_fails_before_it_leaves_comes_to_nothing(
    borrower: Borrower, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> Decimal:
        raise ZeroDivisionError("so that it fails")

    with monkeypatch.context() as patched:
        patched.setattr(type(borrower.lending._lender), "borrow", fails)
        id = borrower.ask("100")
        await borrower.world.advance(1)

    assert borrower.states(id) == [LoanState.REFUSED]
    assert borrower.departed == []
