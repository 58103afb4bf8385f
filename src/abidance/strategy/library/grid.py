"""A grid of resting orders: the smallest complete strategy over events."""

from decimal import Decimal

from abidance.model.intent import Intent
from abidance.model.market import Bar
from abidance.model.money import ZERO, ceil_to, floor_to, to_decimal
from abidance.model.order import Fill, OrderRequest, OrderType, Purpose, Side
from abidance.strategy.base import EventStrategy, Intents, View
from abidance.strategy.parameters import Parameter


class Grid(EventStrategy):
    """Rest buys in steps below the price; sell each purchase one step higher, then offer to buy it back.

    Idea: a price that goes nowhere crosses every step many times, and each crossing earns a step.
    Market: ranges, with fees well below the step.
    Known failure: a fall through the whole grid leaves it holding everything at a loss, and a rise leaves it behind;
    it has no stop of its own, so give it a small allocation and let the breakers stand.
    """

    levels = Parameter(5, 1, 50)
    step = Parameter(0.01, 0.001, 0.2)
    share = Parameter(0.05, 0.001, 1.0)

    def __init__(self) -> None:
        self._placed: set[str] = set()
        self._filled: dict[str, Decimal] = {}

    def on_bar(self, bar: Bar, view: View) -> Intents:
        """Lay the grid below the first price of each instrument, unless it was laid before a restart."""
        if bar.instrument in self._placed:
            return None
        self._placed.add(bar.instrument)
        if any(True for _ in view.orders(bar.instrument)) or view.position(bar.instrument).quantity:
            return None
        prices = (bar.close * (1 - self.step) ** level for level in range(1, self.levels + 1))
        return [order for price in prices for order in self._buy(bar.instrument, price, view)]

    def on_fill(self, fill: Fill, view: View) -> Intents:
        """Answer a completed order with the opposite one, a step away from the price it got."""
        filled = self._filled.pop(fill.order_id, ZERO) + _received(fill, view)
        if any(order.id == fill.order_id for order in view.orders(fill.instrument)):
            self._filled[fill.order_id] = filled
            return None
        if fill.side is Side.BUY:
            return self._sell(fill, filled, view)
        return self._buy(fill.instrument, float(fill.price) * (1 - self.step), view)

    def _buy(self, instrument: str, price: float, view: View) -> list[Intent]:
        steps = view.instrument(instrument)
        limit = floor_to(to_decimal(price), steps.tick)
        if limit <= 0:
            return []
        quantity = floor_to(to_decimal(view.equity() * self.share) / limit, steps.lot)
        return [self._order(instrument, Side.BUY, quantity, limit)] if quantity > 0 else []

    def _sell(self, fill: Fill, filled: Decimal, view: View) -> list[Intent]:
        steps = view.instrument(fill.instrument)
        limit = ceil_to(fill.price * (1 + to_decimal(self.step)), steps.tick)
        quantity = floor_to(filled, steps.lot)
        return [self._order(fill.instrument, Side.SELL, quantity, limit)] if quantity > 0 else []

    def _order(self, instrument: str, side: Side, quantity: Decimal, limit: Decimal) -> OrderRequest:
        is_exit = side is Side.SELL
        return OrderRequest(
            strategy=self.name,
            instrument=instrument,
            side=side,
            quantity=quantity,
            type=OrderType.LIMIT,
            price=limit,
            reduce_only=is_exit,
            purpose=Purpose.SIGNAL if is_exit else Purpose.ENTRY,
            tag="grid",
            decision_price=limit,
        )


def _received(fill: Fill, view: View) -> Decimal:
    """Return what a fill added to the holding: some venues take a buyer's fee out of it."""
    took_fee = fill.side is Side.BUY and fill.fee_asset == view.instrument(fill.instrument).base
    return fill.quantity - fill.fee if took_fee else fill.quantity
