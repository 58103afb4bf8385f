"""Loans in the engine: risk answers what a person asks, the record knows it, and what the venue says is booked once."""

from decimal import Decimal
from typing import Any

import pytest

from abidance.model.event import (
    BalanceChanged,
    CircuitMoved,
    CircuitState,
    ControlAction,
    DebtChanged,
    LoanTold,
    Part,
    VenueStatus,
)
from abidance.model.loan import Loan, LoanState
from abidance.model.outcome import RefusalCode, Refused
from abidance.risk.config import LimitsConfig
from tests.unit.engine.rig import LOOSE, SPOT, Rig, Scripted, bars_of, flat, material_of

D = Decimal
BORROW, REPAY = ControlAction.BORROW, ControlAction.REPAY


def borrower(share: float = 0.5, *, lends: bool = True, equity: int = 10_000) -> Rig:
    """Return a run at a venue that lends, which its account trusts; Bitcoin is worth 100."""
    limits = LOOSE.limits.model_copy(update={"max_borrowed": share})
    risk = LOOSE.model_copy(update={"limits": limits})
    tape = {SPOT: bars_of(SPOT.id, flat(100, 100, 100))}
    rig = Rig(material_of({"one": Scripted([])}, tape, risk=risk))
    rig.step()
    have = rig.engine.state.equity()
    rig.tell(BalanceChanged(rig.ts, "SIM", "USDT", D(equity) - D(str(have)), "so that it is round"))
    if lends:
        rig.engine.state.debts.lenders = {"SIM": frozenset({"BTC", "USDT"})}
        rig.tell(VenueStatus(rig.ts, "SIM"))
    return rig


def asked(
    rig: Rig, action: ControlAction, amount: object, asset: str = "USDT", **more: Any
) -> list[tuple[str, str]]:
    outcome = rig.control(action, asset=asset, amount=amount, **more)
    return [(each.code, each.text) for each in outcome.notices]


def under_way(rig: Rig) -> list[Loan]:
    return list(rig.engine.state.debts.loans.open())


def lent(rig: Rig, amount: str, asset: str = "USDT") -> None:
    """Borrow, and let the venue do it."""
    assert asked(rig, BORROW, amount, asset)[0][0] == "loan_asked"
    (loan,) = under_way(rig)
    rig.tell(DebtChanged(rig.ts, "SIM", asset, D(amount), D(amount), "borrowed", loan.id, loan.id))


def test_what_may_be_borrowed_is_under_way_and_counts_until_the_venue_has_answered() -> None:
    rig = borrower()

    ((code, text),) = asked(rig, BORROW, "2000")

    (loan,) = under_way(rig)
    assert code == "loan_asked"
    assert "borrowing 2000 USDT at SIM" in text
    assert (loan.venue, loan.asset, loan.amount, loan.state) == ("SIM", "USDT", D(2000), LoanState.SENT)
    assert len(loan.id) == 32
    assert rig.engine.state.debts.borrowed() == 2000
    assert rig.commands == []


@pytest.mark.parametrize(
    ("amount", "asset", "told"),
    [
        ("5000.01", "USDT", "`risk.limits.max_borrowed`"),
        ("50.0001", "BTC", "`risk.limits.max_borrowed`"),
        ("1", "ETH", "trades nothing in ETH"),
        ("1", "", "trades nothing in"),
        ("0", "USDT", "is no amount"),
        ("-5", "USDT", "is no amount"),
        ("nan", "USDT", "is no amount"),
        ("1e99", "USDT", "is no amount"),
        ("all", "USDT", "is no amount"),
        ("0.123456789", "USDT", "more than 8 places"),
        (100, "USDT", "is no amount"),
    ],
)
def test_what_may_not_be_borrowed_is_refused_with_the_reason(amount: object, asset: str, told: str) -> None:
    rig = borrower()

    ((code, text),) = asked(rig, BORROW, amount, asset)

    assert code == "loan_refused"
    assert told in text
    assert under_way(rig) == []


def test_nothing_is_borrowed_by_default() -> None:
    assert LimitsConfig().max_borrowed == 0
    assert asked(borrower(share=0.0), BORROW, "0.01")[0][0] == "loan_refused"


def test_a_run_that_trades_on_paper_borrows_nothing() -> None:
    rig = borrower(lends=False)

    ((code, text),) = asked(rig, BORROW, "1")

    assert code == "loan_refused"
    assert "No venue of this run lends" in text


def test_nothing_is_borrowed_from_a_venue_in_doubt_or_while_the_switch_is_thrown() -> None:
    doubted, killed = borrower(), borrower()
    doubted.tell(VenueStatus(doubted.ts, "SIM", ("its books differ.",)))
    killed.control(ControlAction.KILL)

    assert "its books differ" in asked(doubted, BORROW, "1")[0][1]
    assert asked(killed, BORROW, "1")[0][0] == "loan_refused"


def test_nothing_is_borrowed_where_a_circuit_is_open_or_no_account_was_compared() -> None:
    broken, unheard = borrower(), borrower(lends=False)
    broken.tell(CircuitMoved(broken.ts, "SIM", Part.ORDERS, CircuitState.OPEN, "Orders were refused."))
    unheard.engine.state.debts.lenders = {"SIM": frozenset({"USDT"})}

    assert "Orders were refused." in asked(broken, BORROW, "1")[0][1]
    assert "was not compared yet" in asked(unheard, BORROW, "1")[0][1]


def test_what_nobody_can_value_is_not_borrowed() -> None:
    rig = borrower()
    rig.engine.state.debts.lenders = {"SIM": frozenset({"ETH"})}

    ((code, text),) = asked(rig, BORROW, "1", "ETH")

    assert code == "loan_refused"
    assert "What ETH is worth is not known" in text


def test_the_lender_is_named_where_there_are_several() -> None:
    rig = borrower()
    rig.engine.state.debts.lenders = {each: frozenset({"USDT"}) for each in ("SIM", "ELSEWHERE")}

    unnamed, wrong, named = (
        asked(rig, BORROW, "1", **more) for more in ({}, {"venue": "X"}, {"venue": "SIM"})
    )

    assert "Name one of: ELSEWHERE, SIM." in unnamed[0][1]
    assert "No loans are asked for at X" in wrong[0][1]
    assert named[0][0] == "loan_asked"


def test_one_loan_at_a_time_is_asked_for() -> None:
    rig = borrower()
    asked(rig, BORROW, "100")

    ((code, text),) = asked(rig, BORROW, "100")

    assert code == "loan_refused"
    assert "is not known yet" in text
    assert len(under_way(rig)) == 1


def test_all_debts_together_are_held_to_the_limit() -> None:
    rig = borrower()
    lent(rig, "3000")

    over, within = asked(rig, BORROW, "2001"), asked(rig, BORROW, "2000")

    assert over[0][0] == "loan_refused"
    assert within[0][0] == "loan_asked"


def test_what_the_venue_did_is_booked_once_and_equity_stays() -> None:
    rig = borrower()
    before = rig.engine.state.equity()

    asked(rig, BORROW, "400")
    (loan,) = under_way(rig)
    for _ in range(2):
        rig.tell(DebtChanged(rig.ts, "SIM", "USDT", D(400), D(400), "borrowed", loan.id, loan.id))

    assert under_way(rig) == []
    assert rig.engine.state.debts.owed("SIM", "USDT") == 400
    assert rig.engine.state.equity() == before


def test_a_loan_of_unknown_outcome_counts_until_it_is_proven_to_be_nothing() -> None:
    rig = borrower()
    asked(rig, BORROW, "700")
    (loan,) = under_way(rig)

    unknown = rig.tell(LoanTold(rig.ts, loan.id, LoanState.UNKNOWN, "no answer"))
    counted = rig.engine.state.debts.borrowed()
    ended = rig.tell(LoanTold(rig.ts, loan.id, LoanState.REFUSED, "absent"))
    again = rig.tell(LoanTold(rig.ts, loan.id, LoanState.UNKNOWN, "late"))

    assert [each.code for each in unknown.notices] == ["loan_unknown"]
    assert counted == 700
    assert [each.code for each in ended.notices] == ["loan_refused"]
    assert again.notices == ()
    assert rig.engine.state.debts.borrowed() == 0


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        ("400", "loan_asked"),
        ("all", "loan_asked"),
        ("4", "loan_asked"),
        ("3.9", "loan_refused"),
        ("401", "loan_refused"),
    ],
)
def test_what_is_owed_may_be_repaid_and_no_more_nor_what_interest_would_hide(amount: str, code: str) -> None:
    rig = borrower()
    lent(rig, "400")

    ((told, _),) = asked(rig, REPAY, amount)

    assert told == code


def test_a_repayment_is_taken_though_the_venue_is_in_doubt_and_everything_is_killed() -> None:
    rig = borrower()
    lent(rig, "400")
    rig.tell(VenueStatus(rig.ts, "SIM", ("its books differ.",)))
    rig.control(ControlAction.KILL)

    assert asked(rig, REPAY, "all")[0][0] == "loan_asked"
    assert under_way(rig)[0].is_whole


def test_what_is_not_there_is_not_repaid() -> None:
    rig = borrower()
    lent(rig, "2", "BTC")
    rig.tell(BalanceChanged(rig.ts, "SIM", "BTC", D("-1.5"), "gone"))

    ((code, text),) = asked(rig, REPAY, "all", "BTC")

    assert code == "loan_refused"
    assert "2 BTC are needed, and 0.5 are there" in text


def test_nothing_is_repaid_where_nothing_is_owed() -> None:
    ((code, text),) = asked(borrower(), REPAY, "all")

    assert code == "loan_refused"
    assert "No USDT is owed at SIM" in text


def test_coins_that_a_strategy_holds_are_not_there_to_be_repaid() -> None:
    rig = borrower()
    lent(rig, "2", "BTC")
    rig.control(ControlAction.ORDER, "one", instrument=SPOT.id, side="buy", quantity="1")
    rig.step()
    rig.tell(BalanceChanged(rig.ts, "SIM", "BTC", D("-0.5"), "gone"))

    ((code, text),) = asked(rig, REPAY, "all", "BTC")

    assert rig.position() == 1
    assert code == "loan_refused"
    assert "2 BTC are needed, and 1.5 are there" in text


def test_no_entry_is_taken_while_more_is_owed_than_may_be() -> None:
    rig = borrower()
    lent(rig, "3000")
    entry = {"instrument": SPOT.id, "side": "buy", "quantity": "1"}

    before = rig.control(ControlAction.ORDER, "one", **entry)
    rig.control(ControlAction.SET_LIMITS, max_borrowed=0.1)
    after = rig.control(ControlAction.ORDER, "one", **entry)

    assert not any(isinstance(each, Refused) for each in before.verdicts)
    assert [each.code for each in after.verdicts if isinstance(each, Refused)] == [RefusalCode.MAX_BORROWED]
