"""Loans: what a person wants a venue to lend, or to be given back, and what became of it."""

from decimal import Decimal
from enum import StrEnum

import msgspec


class LoanState(StrEnum):
    """Where a loan stands; the last two are its ends."""

    SENT = "sent"
    """It is on record, and may have left."""
    UNKNOWN = "unknown"
    """It left, and nobody knows what the venue made of it."""
    DONE = "done"
    REFUSED = "refused"
    """It is proven that the venue did not do it."""

    @property
    def is_closed(self) -> bool:
        """Return True once nothing more can come of it."""
        return self in (LoanState.DONE, LoanState.REFUSED)


class Loan(msgspec.Struct, frozen=True, gc=False):
    """So much of an asset is to be lent to us at a venue, or (`amount` below zero) to be given back.

    With `is_whole` all that is owed is given back: `amount` is what our books say of it.
    """

    id: str
    venue: str
    asset: str
    amount: Decimal
    ts: int
    state: LoanState = LoanState.SENT
    is_whole: bool = False

    @property
    def is_repayment(self) -> bool:
        """Return True when something is given back."""
        return self.amount < 0

    def __str__(self) -> str:
        deed = "repaying" if self.is_repayment else "borrowing"
        return f"{deed} {abs(self.amount).normalize():f} {self.asset} at {self.venue}"


__all__ = ["Loan", "LoanState"]
