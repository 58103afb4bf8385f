"""Holdings: balances, positions, round trips."""

from decimal import Decimal

import msgspec

from abidance.model.money import ZERO
from abidance.model.order import Direction

OWNER = "owner"
"""The strategy that fills name which the owner of an account made himself: his trades, none of the run's."""


class Balance(msgspec.Struct, frozen=True, gc=False):
    """One asset's amount at one venue; `reserved` is locked by open orders or margin."""

    asset: str
    total: Decimal = ZERO
    reserved: Decimal = ZERO

    @property
    def free(self) -> Decimal:
        """Return what may still be spent."""
        return self.total - self.reserved


class Position(msgspec.Struct, frozen=True, gc=False):
    """A strategy's net holding in one instrument.

    `quantity` is signed (negative = short), `average_price` the mean entry price, `realised` the profit of what was
    closed since the position last was flat, fees and funding not deducted; `fees` and `funding` are since then too,
    in quote units.
    """

    strategy: str
    instrument: str
    quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    ts_opened: int = 0

    @property
    def direction(self) -> Direction:
        """Return LONG, SHORT or FLAT."""
        if self.quantity > 0:
            return Direction.LONG
        return Direction.SHORT if self.quantity < 0 else Direction.FLAT


class RoundTrip(msgspec.Struct, frozen=True, gc=False):
    """From flat to flat in one instrument by one strategy, or still open (`ts_exit` None).

    Prices are means over the fills, `quantity` the largest holding, `pnl` is net of fees and funding in quote units.
    """

    instrument: str
    strategy: str
    direction: Direction
    ts_entry: int
    entry_price: Decimal
    ts_exit: int | None
    exit_price: Decimal | None
    quantity: Decimal
    pnl: Decimal
    fees: Decimal
    funding: Decimal
    tags: tuple[str, ...] = ()
    exit_reason: str = ""
