"""What an order would come to if it left now: the mean price, the fee, and what says so."""

from decimal import Decimal

import msgspec

from abidance.model.money import to_decimal
from abidance.model.order import Side


def shown_price(price: float) -> Decimal:
    """Return an expected price to as many digits as anyone could compare."""
    return to_decimal(float(f"{price:.12g}"))


class Estimate(msgspec.Struct, frozen=True, gc=False):
    """The expected execution of one order.

    `price` is the mean price of the whole order, `mid` the middle of the market, both in quote units; `fee` a share of
    the value. `source` is `book`, `quote` or `model` (spread and impact as configured). `is_shown` is False when a book
    does not hold the quantity: what is missing was taken to cost one spread more than its last level.
    """

    price: float
    mid: float
    fee: float
    source: str
    is_shown: bool = True

    def slippage(self, side: Side) -> float:
        """Return by which share of the middle the price is worse than it; negative when it is better."""
        return (self.price / self.mid - 1.0) * side.sign

    def cost(self, side: Side) -> float:
        """Return slippage and fee together, as a share of the value."""
        return self.slippage(side) + self.fee
