"""Loans in a running engine: what a person asks for, risk's answer, and what the venue says became of it.

What is approved is told as a loan that is open (`Debts.loans`); whoever has the account then asks the venue. A replay
decides the same again and asks nobody.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from hashlib import sha256

from abidance.engine.actions import Actions
from abidance.engine.state import State
from abidance.model.errors import UsageError
from abidance.model.event import Control, ControlAction, DebtChanged, LoanTold
from abidance.model.loan import Loan, LoanState
from abidance.risk.borrowing import flaw_of_loan
from abidance.risk.gate import Gate
from abidance.risk.state import TradingState

ACTIONS = frozenset({ControlAction.BORROW, ControlAction.REPAY})
WHOLE = "all"
"""The amount of a repayment of everything."""
REFUSED, ASKED, DONE, UNKNOWN = "loan_refused", "loan_asked", "loan_done", "loan_unknown"
"""The codes of what people are told."""


class Lending:
    """Takes what people ask of lenders, and what these answer; ids of loans come of those of orders (`order_id`)."""

    def __init__(self, state: State, actions: Actions, gate: Gate, order_id: Callable[[int], str]) -> None:
        self._state = state
        self._actions = actions
        self._gate = gate
        self._order_id = order_id
        self._count = 0

    def take(self, event: Control) -> None:
        """Ask for a loan or give one back, unless something speaks against it."""
        try:
            loan = self._wished(event)
            if flaw := self._flaw(loan):
                raise UsageError(flaw, "Nothing was asked for.")
        except UsageError as error:
            self._actions.note("warning", REFUSED, f"{event.actor}: {error}")
            return
        self._state.debts.loans.begin(loan)
        self._actions.note("warning", ASKED, f"{event.actor} asks for {loan}.")

    def _wished(self, event: Control) -> Loan:
        """Return what an order asks for. Raises UsageError, naming what does not fit."""
        state, values = self._state, event.values
        asset, repays = str(values.get("asset", "")), event.action is ControlAction.REPAY
        venue = str(values.get("venue", "")) or _only(state.debts.lenders)
        if venue not in state.debts.lenders:
            raise UsageError(f"No loans are asked for at {venue}.", _offered(state.debts.lenders))
        if asset not in state.debts.lenders[venue]:
            found = ", ".join(sorted(state.debts.lenders[venue]))
            raise UsageError(f"This run trades nothing in {asset} at {venue}.", f"Name one of: {found}.")
        if others := state.debts.loans.open(venue):
            raise UsageError(f"What came of {others[0]} is not known yet.", "Wait until it is.")
        owed, given = state.debts.owed(venue, asset), values.get("amount", "")
        is_whole = repays and given == WHOLE
        if repays and not owed:
            raise UsageError(f"No {asset} is owed at {venue}.", "Nothing was asked for.")
        amount = owed if is_whole else _amount(given)
        self._count += 1
        id = sha256(f"loan {self._count} {self._order_id(0)}".encode()).hexdigest()[:32]
        return Loan(id, venue, asset, -amount if repays else amount, state.now, is_whole=is_whole)

    def _flaw(self, loan: Loan) -> str | None:
        if not loan.is_repayment:
            standing = self._actions.standing()
            if standing.state is not TradingState.ACTIVE:
                return standing.reason or f"Trading is {standing.state}."
        return flaw_of_loan(loan, self._state.debts, self._gate.limits)

    def on_debt(self, event: DebtChanged) -> None:
        """Book that a debt changed, and end the loan that did it."""
        state = self._state
        state.now = max(state.now, event.ts)
        state.portfolio.apply(event)
        if (loan := state.debts.loans.apply(event)) is not None:
            self._actions.note("info", DONE, f"{event.venue} has done it: {loan}.")

    def on_told(self, event: LoanTold) -> None:
        """Take that nothing came of a loan, or that nobody knows."""
        state = self._state
        state.now = max(state.now, event.ts)
        if (loan := state.debts.loans.apply(event)) is None:
            return
        if loan.state is LoanState.UNKNOWN:
            text = f"What came of {loan} is not known: {event.reason}"
            self._actions.note("warning", UNKNOWN, text)
        else:
            self._actions.note("warning", REFUSED, f"Nothing came of {loan}: {event.reason}")


def _only(lenders: Mapping[str, object]) -> str:
    """Return the venue that is meant when none is named. Raises UsageError when that is not clear."""
    if len(lenders) != 1:
        raise UsageError(
            "No venue is named." if lenders else "No venue of this run lends.", _offered(lenders)
        )
    return next(iter(lenders))


def _offered(lenders: Mapping[str, object]) -> str:
    return f"Name one of: {', '.join(sorted(lenders))}." if lenders else "See abidance venues."


def _amount(given: object) -> Decimal:
    """Return an amount above zero. Raises UsageError for what is none."""
    try:
        amount = Decimal(given) if isinstance(given, str) and len(given) < 40 else Decimal("NaN")
    except InvalidOperation:
        amount = Decimal("NaN")
    if not (amount.is_finite() and 0 < amount < Decimal(10) ** 15):
        raise UsageError(f"{given!r} is no amount.", "Give a number above zero, such as 0.5.")
    return amount


__all__ = ["ACTIONS", "ASKED", "DONE", "REFUSED", "UNKNOWN", "WHOLE", "Lending"]
