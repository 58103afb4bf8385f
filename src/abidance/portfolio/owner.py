"""What the owner of the accounts did with them himself while a run went on: booked in a purse of his own.

His purse begins at zero when the run does: it says what came and went by him, not what he has. It holds no price and is
worth nothing to the run: equity, exposure, what is free and every limit are reckoned without it.

What he did before the account agreed with our books explains nothing that is missing afterwards: only what came since
then does.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from abidance.model.account import OWNER, Position
from abidance.model.event import AccountAgreed
from abidance.model.instrument import Instrument
from abidance.model.money import ZERO
from abidance.model.order import Fill
from abidance.portfolio.holding import Holding, Movement
from abidance.portfolio.ledger import Ledger
from abidance.portfolio.shares import shared_payment


class Owner:
    """The owner's own trades, by instrument, and what they settle in the ledger. Call it within exact arithmetic."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._held: dict[str, Holding] = {}
        self._agreed: dict[str, AccountAgreed] = {}

    def positions(self) -> Sequence[Position]:
        """Return what he bought less what he sold, by instrument, where that is not nothing."""
        return [held.position for held in self._held.values() if held.quantity]

    def position(self, instrument: str) -> Decimal:
        """Return the same of one instrument, in base units."""
        held = self._held.get(instrument)
        return ZERO if held is None else held.quantity

    def agreed(self, event: AccountAgreed) -> None:
        """Take that an account had all that it must have after so much was moved."""
        self._agreed[event.venue] = event

    def has_agreed(self, venue: str, moved: Mapping[str, Decimal], traded: Mapping[str, Decimal]) -> bool:
        """Say whether an account agreed when just so much was moved and traded."""
        last = self._agreed.get(venue)
        return (moved, traded) == ({}, {}) if last is None else (moved, traded) == (last.moved, last.traded)

    def moved(self, venue: str) -> Mapping[str, Decimal]:
        """Return what came and went by him since the account agreed last, by asset, where that is not nothing."""
        last = self._agreed.get(venue)
        return _since(self._ledger.purse(venue), {} if last is None else last.moved)

    def traded(self, venue: str) -> Mapping[str, Decimal]:
        """Return what he bought less what he sold since the account agreed last, by instrument."""
        last = self._agreed.get(venue)
        return _since(self.holdings(), {} if last is None else last.traded)

    def holdings(self) -> dict[str, Decimal]:
        """Return what he bought less what he sold since the run began, by instrument, where that is not nothing."""
        return {id: held.quantity for id, held in self._held.items() if held.quantity}

    def fill(self, fill: Fill, instrument: Instrument) -> None:
        """Book a trade by hand."""
        held = self._held.setdefault(instrument.id, Holding(OWNER, instrument.id, instrument.quote))
        moved = fill.quantity * fill.side.sign
        if fill.fee_asset == instrument.base and not instrument.is_perpetual:
            moved -= fill.fee
        realised, _ = held.apply(Movement(fill, moved, ZERO))
        profit = realised if instrument.is_perpetual else ZERO
        self._ledger.post_fill(fill, instrument, profit, is_owners=True)

    def share(self, amount: Decimal, instrument: str, positions: Sequence[Position]) -> Decimal:
        """Return his part of a payment on the account's whole position, of which strategies hold `positions`."""
        held = self._held.get(instrument)
        if held is None or not held.quantity:
            return ZERO
        return shared_payment(amount, [*positions, held.position]).get(OWNER, ZERO)


def _since(now: Mapping[str, Decimal], then: Mapping[str, Decimal]) -> dict[str, Decimal]:
    changed = {each: now.get(each, ZERO) - then.get(each, ZERO) for each in {**then, **now}}
    return {each: amount for each, amount in changed.items() if amount}
