"""Whether a loan may be asked for, or given back: one answer, with the numbers. Loans are never asked for by a program.

A loan is worth what it may come to: everything owed and all that is under way counts. A change that could not be told
from interest afterwards is refused, because its outcome could not be proven.
"""

from decimal import Decimal
from typing import Protocol

from abidance.model.loan import Loan
from abidance.model.money import ZERO
from abidance.risk.config import LimitsConfig
from abidance.risk.feeds import Feeds

LEAST = Decimal("0.01")
"""The smallest change of a debt as a share of it; what interest may be off meanwhile is a tenth of that."""
DIGITS = 8
"""Places behind the point of an amount; venues lend no finer ones."""


class LoanView(Protocol):
    """What is needed to judge a loan."""

    @property
    def feeds(self) -> Feeds:
        """Return the standing of accounts and circuits."""
        ...

    def equity(self) -> float:
        """Return the equity of the run, debts deducted."""
        ...

    def borrowed(self) -> float:
        """Return what everything owed and under way is worth."""
        ...

    def worth(self, asset: str) -> float:
        """Return what one unit of an asset is worth in the run's currency, 0 where nobody knows."""
        ...

    def owed(self, venue: str, asset: str) -> Decimal:
        """Return what is owed of an asset at a venue."""
        ...

    def spare(self, venue: str, asset: str) -> Decimal:
        """Return what there is of an asset at a venue that no order, margin or position has in keeping."""
        ...


def flaw_of_loan(loan: Loan, view: LoanView, limits: LimitsConfig) -> str | None:
    """Return why a loan may not be asked for or given back, None when it may."""
    owed = view.owed(loan.venue, loan.asset)
    if -loan.amount.as_tuple().exponent > DIGITS and not loan.is_whole:  # type: ignore[operator]
        return f"{abs(loan.amount)} has more than {DIGITS} places behind the point."
    if abs(loan.amount) < owed * LEAST and not loan.is_whole:
        return f"{abs(loan.amount)} is less than {LEAST:%} of the {owed.normalize():f} {loan.asset} that are owed: it could not be told from interest."
    return (
        _flaw_of_repayment(loan, view, owed) if loan.is_repayment else _flaw_of_borrowing(loan, view, limits)
    )


def _flaw_of_repayment(loan: Loan, view: LoanView, owed: Decimal) -> str | None:
    wanted, spare = -loan.amount, view.spare(loan.venue, loan.asset)
    if wanted > owed:
        return f"{wanted} {loan.asset} are more than the {owed.normalize():f} that are owed at {loan.venue}."
    if (
        wanted - max(spare, ZERO) > owed * LEAST
    ):  # interest of a coin is paid in that coin, which nobody traded
        return f"{wanted.normalize():f} {loan.asset} are needed, and {max(spare, ZERO).normalize():f} are there that nothing else needs."
    return None


def _flaw_of_borrowing(loan: Loan, view: LoanView, limits: LimitsConfig) -> str | None:
    status = view.feeds.venues.get(loan.venue)
    if status is None or not status.is_trusted:
        why = " ".join(status.reasons) if status is not None else "its account was not compared yet."
        return f"Nothing is borrowed while {loan.venue} is in doubt: {why}"
    if barriers := view.feeds.barriers(loan.venue):
        return f"Nothing is borrowed while a circuit is open: {barriers[0].reason}"
    equity, worth = view.equity(), view.worth(loan.asset)
    if not worth > 0:
        return f"What {loan.asset} is worth is not known."
    total = view.borrowed() + float(loan.amount) * worth
    if total <= limits.max_borrowed * equity:
        return None
    return (
        f"{total:.8g} would be owed, more than {limits.max_borrowed * equity:.8g}, {limits.max_borrowed:g} times the "
        f"equity of {equity:.8g} (`risk.limits.max_borrowed`)."
    )


__all__ = ["LEAST", "LoanView", "flaw_of_loan"]
