"""Entries that are worked: in slices over time (TWAP), a part at a time (iceberg), following the best price (chase).

Owns what is left to do of each worked entry, its parent, and says as intents which order is to leave next, change or be
taken back. It sends nothing and approves nothing: each part is judged by risk when its time has come. What is sent and
not proven to be gone counts as filled, so that the parts never come to more than the parent. Exits are not worked.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

import msgspec

from abidance.execution.config import ExecutionConfig
from abidance.execution.orders import Orders
from abidance.model.instrument import SECOND_NS, Instrument
from abidance.model.intent import AmendRequest, CancelRequest, Intent, TimerRequest
from abidance.model.money import ZERO, ceil_to, floor_to, nearest_to, to_decimal, truncate_to
from abidance.model.order import Order, OrderRequest, OrderState, OrderType, Side

TIMER = "abidance.algo:"
"""How the names of timers begin that wake parents."""
ENDED = "algo_ended"
"""The code of the notice that a worked entry was given up before all of it was filled."""
_MARGIN = Decimal("1.5")
"""How many of the venue's minima a part is worth at least, so that it can be sold again after a loss."""


class Market(Protocol):
    """What a parent may look at."""

    @property
    def now(self) -> int:
        """Return the time of the event in hand, ns UTC."""
        ...

    def price(self, instrument: str) -> float | None:
        """Return the last known price."""
        ...

    def best(self, instrument: str, side: Side) -> float | None:
        """Return the best price on the own side: the bid for a buy."""
        ...


@dataclass(slots=True)
class Parent:
    """A worked entry: the whole `request` and the orders made of it so far.

    It is `over` when what rests is being taken back, and nothing is sent after the `last` part.
    """

    number: int
    request: OrderRequest
    config: ExecutionConfig
    instrument: Instrument
    began: int
    slices: int
    parts: int = 0
    over: bool = False
    last: bool = False
    children: list[str] = field(default_factory=list)

    @property
    def place(self) -> tuple[str, str]:
        """Return the strategy and the instrument."""
        return self.request.strategy, self.request.instrument

    @property
    def deadline(self) -> int:
        """Return when its time is over."""
        return self.began + self.config.duration * SECOND_NS

    def least(self, price: float | None) -> Decimal:
        """Return the smallest part that is worth sending."""
        found = max(self.instrument.min_quantity, self.instrument.lot)
        if price is not None and price > 0:
            worth = self.instrument.min_notional * _MARGIN / to_decimal(price)
            found = max(found, worth)
        return ceil_to(found, self.instrument.lot)

    def part(self, quantity: Decimal, price: Decimal | None = None) -> OrderRequest:
        """Return the next part: at market, or resting at a price."""
        self.parts += 1
        made: OrderRequest = msgspec.structs.replace(
            self.request,
            quantity=quantity,
            type=OrderType.MARKET if price is None else OrderType.LIMIT,
            price=price,
            part=f"{self.number}/{self.parts}",
        )
        return made

    def wake(self, ts: int) -> TimerRequest:
        """Return the wish to be woken at `ts`."""
        return TimerRequest(self.request.strategy, f"{TIMER}{self.number}", ts)


class Algos:
    """All parents of a run; `tell` takes the strategy and a sentence when one is given up."""

    def __init__(self, orders: Orders, market: Market, tell: Callable[[str, str], None]) -> None:
        self._orders = orders
        self._market = market
        self._tell = tell
        self._parents: dict[int, Parent] = {}
        self._count = 0

    def __bool__(self) -> bool:
        """Return True while any entry is worked."""
        return bool(self._parents)

    def begin(self, request: OrderRequest, config: ExecutionConfig, instrument: Instrument) -> list[Intent]:
        """Work an entry; return what is to be done at once."""
        self._count += 1
        parent = Parent(self._count, request, config, instrument, self._market.now, 1)
        least = parent.least(self._market.price(instrument.id))
        parent.slices = max(1, min(config.slices, int(request.quantity / least)))
        self._parents[parent.number] = parent
        return self._beat(parent)

    def attached(self, order_id: str, request: OrderRequest) -> None:
        """Remember the order that a part became."""
        parent = self._parent(request)
        if parent is not None:
            parent.children.append(order_id)

    def refused(self, request: OrderRequest) -> None:
        """Take that risk refused a part: it is tried again at the next beat, if there is one."""
        parent = self._parent(request)
        if parent is not None and parent.last and not self._standing(parent):
            self._settle(parent)

    def on_order(self, order: Order) -> list[Intent]:
        """Return what is to be done after news of a part."""
        parent = self._parent(order.request)
        if parent is None or not order.state.is_closed or self._standing(parent):
            return []
        if parent.last:
            self._settle(parent)
        elif parent.config.algo == "twap":
            pass  # the next slice makes up for it
        elif order.state is OrderState.FILLED or parent.over:
            return self._next(parent)
        else:
            why = f" ({order.reason})" if order.reason else ""
            self._give_up(parent, f"a part of it was {order.state}{why}")
        return []

    def on_timer(self, name: str) -> list[Intent]:
        """Return what is to be done now that a parent's moment has come."""
        number = name.removeprefix(TIMER)
        parent = self._parents.get(int(number)) if number.isdecimal() else None
        return [] if parent is None or self._market.now < parent.began else self._beat(parent)

    def end(self, strategy: str, instrument: str | None = None) -> None:
        """Send nothing more of a strategy's entries; what stands at the venue is for the caller to take back."""
        for parent in tuple(self._parents.values()):
            if parent.request.strategy == strategy and instrument in (None, parent.request.instrument):
                del self._parents[parent.number]

    # --- what is due

    def _parent(self, request: OrderRequest) -> Parent | None:
        if not request.part:
            return None
        return self._parents.get(int(request.part.partition("/")[0]))

    def _standing(self, parent: Parent) -> list[Order]:
        """Return the parts that may still fill."""
        found = (self._orders.get(order_id) for order_id in parent.children)
        return [order for order in found if order is not None and not order.state.is_closed]

    def _left(self, parent: Parent) -> Decimal:
        """Return what no part has filled or may still fill."""
        left = parent.request.quantity
        for order_id in parent.children:
            order = self._orders.get(order_id)
            if order is not None:
                left -= order.filled if order.state.is_closed else max(order.request.quantity, order.filled)
        return left

    def _beat(self, parent: Parent) -> list[Intent]:
        """Do what is due, and ask to be woken for the next time."""
        intents = self._next(parent)
        if parent.number in self._parents and not parent.last:
            intents.append(parent.wake(self._moment(parent)))
        return intents

    def _moment(self, parent: Parent) -> int:
        """Return when to look again."""
        now, config = self._market.now, parent.config
        if config.algo == "twap":
            # rounded up: a moment too early would still be that of the slice before
            return parent.began - (-self._slice(parent) * config.duration * SECOND_NS // parent.slices)
        beat = now + config.interval * SECOND_NS
        return beat if parent.over or now >= parent.deadline else min(beat, parent.deadline)

    def _slice(self, parent: Parent) -> int:
        """Return which slice's time has come, from 1 on."""
        gone = (self._market.now - parent.began) * parent.slices // (parent.config.duration * SECOND_NS)
        return min(gone + 1, parent.slices)

    def _next(self, parent: Parent) -> list[Intent]:
        if parent.config.algo == "twap":
            return self._by_time(parent)
        if self._market.now >= parent.deadline:
            return self._finish(parent)
        standing = self._standing(parent)
        if standing:
            return self._follow(parent, standing[0]) if parent.config.algo == "chase" else []
        size = parent.request.quantity
        if parent.config.algo == "iceberg":
            size = truncate_to(size * to_decimal(parent.config.display), parent.instrument.lot)
        quantity = self._fitting(parent, size)
        price = self._price(parent)
        if not quantity:
            self._settle(parent)
            return []
        return [parent.part(quantity, price)] if price is not None else []

    def _by_time(self, parent: Parent) -> list[Intent]:
        """Send at market what the clock is ahead of the orders."""
        at, whole = self._slice(parent), parent.request.quantity
        parent.last = at == parent.slices
        planned = whole if parent.last else truncate_to(whole * at / parent.slices, parent.instrument.lot)
        quantity = self._fitting(parent, planned - whole + self._left(parent))
        if not quantity and parent.last and not self._standing(parent):
            self._settle(parent)
        return [parent.part(quantity)] if quantity else []

    def _fitting(self, parent: Parent, size: Decimal) -> Decimal:
        """Return a size that the venue takes and that leaves none that it does not; zero when there is none."""
        left, least = self._left(parent), parent.least(self._market.price(parent.request.instrument))
        if left < least or (size < least and parent.config.algo == "twap"):
            return ZERO
        size = min(max(size, least), left)
        return left if left - size < least else size

    def _finish(self, parent: Parent) -> list[Intent]:
        """Take back what rests; when it is gone, give up the rest or send it at market."""
        parent.over = True
        standing = self._standing(parent)
        if standing:
            return [CancelRequest(order.id) for order in standing] if not parent.last else []
        left = self._left(parent)
        if parent.last or parent.config.finish == "cancel" or not self._fitting(parent, left):
            self._settle(parent)
            return []
        parent.last = True
        return [parent.part(left)]

    # --- prices

    def _price(self, parent: Parent) -> Decimal | None:
        """Return where the next part rests: at the price decided on, or (chase) at the best of the own side."""
        request, tick = parent.request, parent.instrument.tick
        last = self._market.price(request.instrument)
        if last is None:
            return None
        decided = request.decision_price if request.decision_price > 0 else to_decimal(last)
        if parent.config.algo == "iceberg":
            return nearest_to(decided, tick)
        best = self._market.best(request.instrument, request.side)
        if best is None:
            return None
        sign, away = request.side.sign, to_decimal(parent.config.max_chase)
        worst = decided * (1 + sign * away)
        wished = min(to_decimal(best), worst) if sign > 0 else max(to_decimal(best), worst)
        found = floor_to(wished, tick) if sign > 0 else ceil_to(wished, tick)
        return found if found > 0 else None

    def _follow(self, parent: Parent, order: Order) -> list[Intent]:
        price = self._price(parent)
        if price is None or price == order.request.price or order.request.type is OrderType.MARKET:
            return []
        return [AmendRequest(order.id, price=price)]

    # --- the end

    def _settle(self, parent: Parent) -> None:
        """Forget a parent; what is left of it is told."""
        left = self._left(parent)
        if left > 0:
            few = left < parent.least(self._market.price(parent.request.instrument))
            self._give_up(parent, "that is less than the venue takes" if few else "its time is over")
        else:
            del self._parents[parent.number]

    def _give_up(self, parent: Parent, why: str) -> None:
        del self._parents[parent.number]
        request, left = parent.request, self._left(parent)
        verb = "bought" if request.side is Side.BUY else "sold"
        amounts = f"{left.normalize():f} of {request.quantity.normalize():f}"
        text = f"{amounts} {request.instrument} were not {verb} by {parent.config.algo}: {why}."
        self._tell(request.strategy, text)
