"""Buy for a fixed amount every few days, over events: a small strategy that remembers and words its own orders.

Try it from the project's folder:

    abidance backtest -s examples/savings_plan.py -p BTC/USDT,ETH/USDT

It never sells, so risk has the last word: purchases are refused once a quarter of the money lies in one coin or half of
it in the market, and after a fall of a quarter until a person says otherwise. The table of refused orders tells each.
"""

from abidance.model.instrument import SECOND_NS
from abidance.model.market import Bar
from abidance.model.money import floor_to, to_decimal
from abidance.model.order import OrderRequest, Side
from abidance.strategy.base import EventStrategy, Intents, View
from abidance.strategy.parameters import Parameter

DAY_NS = 86_400 * SECOND_NS


class SavingsPlan(EventStrategy):
    """Buy every instrument for `amount` every `days`, whatever the price, and never sell.

    Idea: nobody knows the best day to buy.
    Market: one that rises in the long run.
    Known failure: the same as holding; it is in the market with less money for longer.
    """

    amount = Parameter(50.0, 1.0, 100_000.0)
    days = Parameter(7, 1, 365)

    def __init__(self) -> None:
        self._due: dict[str, int] = {}

    def on_bar(self, bar: Bar, view: View) -> Intents:
        """Buy at the first close, and from then on whenever the days have passed."""
        if view.now < self._due.get(bar.instrument, 0):
            return None
        self._due[bar.instrument] = view.now + self.days * DAY_NS
        # Money is Decimal; a quantity is a whole number of the venue's steps. What is too small, risk refuses.
        quantity = floor_to(to_decimal(self.amount / bar.close), view.instrument(bar.instrument).lot)
        order = OrderRequest(
            strategy=self.name,
            instrument=bar.instrument,
            side=Side.BUY,
            quantity=quantity,
            decision_price=to_decimal(bar.close),
            tag="savings",
        )
        return [order]
