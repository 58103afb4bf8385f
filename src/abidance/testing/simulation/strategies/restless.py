"""A strategy that does a little of everything, as a seed decides: what it trades means nothing, how often does."""

from collections.abc import Iterator
from decimal import Decimal
from random import Random

from abidance.model.event import Timer
from abidance.model.intent import CancelRequest, Intent, TimerRequest
from abidance.model.money import floor_to, to_decimal
from abidance.model.order import OrderRequest, OrderType, Protection, Purpose, Side
from abidance.strategy.base import EventStrategy, View
from abidance.strategy.parameters import Parameter

SECOND = 1_000_000_000


class Restless(EventStrategy):
    """Enters at market and with limits, leaves, changes its mind; every entry has a stop."""

    seed = Parameter(0, 0, 2**31)
    pair = Parameter("BTC/USDT@BINANCE")

    def on_start(self, view: View) -> list[Intent]:
        """Begin to be restless."""
        self._random = Random(self.seed)
        return [TimerRequest(self.name, "act", view.now + 2 * SECOND)]

    def on_timer(self, timer: Timer, view: View) -> list[Intent]:
        """Do one thing, and come again."""
        pause = self._random.choice((1, 2, 2, 3, 5))
        return [*self._act(view), TimerRequest(self.name, "act", max(timer.ts, view.now) + pause * SECOND)]

    def _act(self, view: View) -> Iterator[Intent]:
        random, price = self._random, view.price(self.pair)
        roll, share, distance = random.random(), random.uniform(0.01, 0.2), random.uniform(0.0006, 0.004)
        if price is None:
            return
        rules, held = view.instrument(self.pair), view.position(self.pair).quantity
        waiting = [order for order in view.orders(self.pair) if not order.request.reduce_only]
        quantity = floor_to(to_decimal(share * view.equity() / price), rules.lot)
        if roll < 0.15 and held >= rules.lot:
            part = held if random.random() < 0.6 else max(rules.lot, held * Decimal("0.4"))
            yield self._order(Side.SELL, floor_to(part, rules.lot), price, purpose=Purpose.SIGNAL)
        elif roll < 0.3 and waiting:
            yield CancelRequest(random.choice(waiting).id)
        elif roll < 0.6:
            limit = floor_to(to_decimal(price * (1 - distance / 10)), rules.tick)
            after = random.choice((None, 5, 20))
            yield self._order(Side.BUY, quantity, price, limit, distance, expire_after=after)
        elif roll < 0.9:
            yield self._order(Side.BUY, quantity, price, None, distance)

    def _order(
        self,
        side: Side,
        quantity: Decimal,
        price: float,
        limit: Decimal | None = None,
        distance: float = 0.0,
        *,
        purpose: Purpose = Purpose.ENTRY,
        expire_after: int | None = None,
    ) -> OrderRequest:
        return OrderRequest(
            self.name,
            self.pair,
            side,
            quantity,
            OrderType.MARKET if limit is None else OrderType.LIMIT,
            limit,
            reduce_only=side is Side.SELL,
            purpose=purpose,
            decision_price=to_decimal(price),
            protection=Protection(stop=price * distance) if side is Side.BUY else None,
            expire_after=expire_after,
        )
