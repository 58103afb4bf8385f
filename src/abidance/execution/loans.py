"""The loans of a run: each asked for once, and ended once, by what the venue proved.

Owns the states of loans. What is owed is the ledger's, what may be asked for is risk's.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from abidance.model.event import DebtChanged, LoanTold
from abidance.model.loan import Loan, LoanState


class Loans:
    """All loans that were asked for in a run, by id."""

    def __init__(self) -> None:
        self._all: dict[str, Loan] = {}

    def begin(self, loan: Loan) -> None:
        """Take in a loan that is asked for from now on."""
        self._all[loan.id] = loan

    def open(self, venue: str = "", asset: str = "") -> Sequence[Loan]:
        """Return the loans whose outcome is not known yet, of a venue and an asset where these are named."""
        return [
            each
            for each in self._all.values()
            if not each.state.is_closed
            and (not venue or each.venue == venue)
            and (not asset or each.asset == asset)
        ]

    def apply(self, event: LoanTold | DebtChanged) -> Loan | None:
        """Take what became of a loan and return it as it stands now; None when it had ended, or is none of ours."""
        known = self._all.get(event.loan_id)
        if known is None or known.state.is_closed:
            return None
        state = LoanState.DONE if isinstance(event, DebtChanged) else event.state
        found: Loan = replace(known, state=state)
        self._all[found.id] = found
        return found


__all__ = ["Loans"]
