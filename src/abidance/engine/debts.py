"""What a run owes to venues, and what it has to give back, as risk looks at it (`risk.borrowing.LoanView`)."""

from collections.abc import Mapping
from decimal import Decimal
from math import inf
from typing import Protocol

from abidance.execution.loans import Loans
from abidance.model.instrument import Instrument
from abidance.model.money import ZERO
from abidance.portfolio.portfolio import Portfolio
from abidance.risk.feeds import Feeds


class Holder(Protocol):
    """What is known of prices, holdings and accounts (`engine.state.State`)."""

    instruments: dict[str, Instrument]
    portfolio: Portfolio
    feeds: Feeds

    def equity(self) -> float:
        """Return the run's equity in its currency."""
        ...

    def free(self, venue: str, asset: str) -> Decimal:
        """Return what may be spent: the balance less what pending entries and margin hold."""
        ...


class Debts:
    """The loans and debts of one state. `lenders` names the assets that may be borrowed, by venue."""

    def __init__(self, state: Holder) -> None:
        self.loans = Loans()
        self.lenders: Mapping[str, frozenset[str]] = {}
        self._state = state

    @property
    def feeds(self) -> Feeds:
        """Return the standing of accounts and circuits."""
        return self._state.feeds

    def equity(self) -> float:
        """Return the equity of the run, debts deducted."""
        return self._state.equity()

    def borrowed(self) -> float:
        """Return what is owed, and what loans under way may add to it, in the run's currency."""
        awaited = [each for each in self.loans.open() if not each.is_repayment]
        more = sum(float(each.amount) * (self.worth(each.asset) or inf) for each in awaited)
        return self._state.portfolio.borrowed() + more

    def owed(self, venue: str, asset: str) -> Decimal:
        """Return what is owed of an asset at a venue."""
        return self._state.portfolio.ledger.owed.get((venue, asset), ZERO)

    def worth(self, asset: str) -> float:
        """Return what one unit of an asset is worth in the run's currency, 0 where nobody knows."""
        return self._state.portfolio.worth(asset)

    def held(self, venue: str, asset: str) -> Decimal:
        """Return how much of an asset at a venue is held by positions in it."""
        total = ZERO
        for position in self._state.portfolio.open_positions():
            traded = self._state.instruments[position.instrument]
            if traded.venue == venue and traded.base == asset and not traded.is_perpetual:
                total += max(position.quantity, ZERO)
        return total

    def spare(self, venue: str, asset: str) -> Decimal:
        """Return what is free of an asset and belongs to no position in it."""
        return self._state.free(venue, asset) - self.held(venue, asset)


__all__ = ["Debts"]
