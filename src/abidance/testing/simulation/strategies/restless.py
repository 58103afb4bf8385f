"""A strategy that does a little of everything, as a seed decides: what it trades means nothing, how often does."""

from collections.abc import Iterator
from decimal import Decimal
from random import Random

from abidance.model.event import Timer
from abidance.model.intent import CancelRequest, Intent, Target, TimerRequest
from abidance.model.money import floor_to, to_decimal
from abidance.model.order import OrderRequest, OrderType, Protection, Purpose, Side
from abidance.strategy.base import EventStrategy, View
from abidance.strategy.parameters import Parameter

SECOND = 1_000_000_000


class Restless(EventStrategy):
    """Enters at market and with limits, leaves, changes its mind; every entry has a stop. Perpetuals it also sells."""

    seed = Parameter(0, 0, 2**31)
    pair = Parameter("BTC/USDT@BINANCE")
    aims = Parameter(0.0, 0.0, 1.0)
    """How often it wishes for a position instead of ordering."""
    goals = Parameter(0.0, 0.0, 1.0)
    """How often an entry has a goal beside its stop."""

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
        enter, leave = (Side.BUY, Side.SELL) if held >= 0 else (Side.SELL, Side.BUY)
        if rules.is_perpetual and not held and random.random() < 0.5:
            enter, leave = leave, enter
        if self.aims and random.random() < self.aims:
            strength = random.choice((0.0, 0.3, 0.6, 1.0))
            stop = Protection(stop=price * distance)
            yield Target(self.name, self.pair, strength, price, protection=stop)
        elif roll < 0.15 and abs(held) >= rules.lot:
            part = abs(held) if random.random() < 0.6 else max(rules.lot, abs(held) * Decimal("0.4"))
            yield self._order(leave, floor_to(part, rules.lot), price, purpose=Purpose.SIGNAL)
        elif roll < 0.3 and waiting:
            yield CancelRequest(random.choice(waiting).id)
        elif roll < 0.6:
            limit = floor_to(to_decimal(price * (1 - enter.sign * distance / 10)), rules.tick)
            after = random.choice((None, 5, 20))
            yield self._order(enter, quantity, price, limit, distance, expire_after=after)
        elif roll < 0.9:
            yield self._order(enter, quantity, price, None, distance)

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
            reduce_only=purpose is Purpose.SIGNAL,
            purpose=purpose,
            decision_price=to_decimal(price),
            protection=self._protection(price * distance) if purpose is Purpose.ENTRY else None,
            expire_after=expire_after,
        )

    def _protection(self, distance: float) -> Protection:
        has_goal = self.goals and self._random.random() < self.goals
        return Protection(stop=distance, take_profit=distance / 2 if has_goal else None)
